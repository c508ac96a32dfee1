package pipeline

import (
	"context"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/util/grpcx"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
)

// Prism is made for one job in a process. Tests that run several at once must
// not stage two of them at a time: its map of artifacts has no lock, and the
// process dies of "concurrent map writes".
func init() { grpcx.Dial = dialPrism }

// dialPrism is Beam's own way to connect, but for the staging.
func dialPrism(ctx context.Context, endpoint string, timeout time.Duration) (*grpc.ClientConn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)), grpc.WithStreamInterceptor(stageAlone))
	if err != nil {
		return nil, err
	}
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		if !conn.WaitForStateChange(ctx, state) {
			conn.Close()
			return nil, ctx.Err()
		}
	}
	return conn, nil
}

var staging sync.Mutex

// stageAlone lets one job stage its artifacts at a time.
func stageAlone(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if !strings.HasSuffix(method, "/ReverseArtifactRetrievalService") {
		return open(ctx, desc, cc, method, opts...)
	}
	staging.Lock()
	stream, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		staging.Unlock()
		return nil, err
	}
	context.AfterFunc(stream.Context(), staging.Unlock)
	return stream, nil
}
