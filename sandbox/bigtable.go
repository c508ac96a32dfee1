package sandbox

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"cloud.google.com/go/bigtable/bttest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxBigtableMessage is what the official client allows itself to send and receive.
const maxBigtableMessage = 256 << 20

func startBigtable(log *slog.Logger, addr string) (*bttest.Server, error) {
	// The fake panics in methods that it does not have; without these the
	// whole sandbox would die of one call.
	refuse := func(method string, err *error) {
		if r := recover(); r != nil {
			log.Warn("bigtable call is not supported", "method", method, "panic", fmt.Sprint(r))
			log.Debug("bigtable panic", "method", method, "stack", string(debug.Stack()))
			*err = status.Errorf(codes.Unimplemented, "the sandbox's Bigtable does not support the method %s", method)
		}
	}
	return bttest.NewServer(addr,
		grpc.MaxRecvMsgSize(maxBigtableMessage), grpc.MaxSendMsgSize(maxBigtableMessage),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (_ any, err error) {
			defer refuse(info.FullMethod, &err)
			return handler(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
			defer refuse(info.FullMethod, &err)
			return handler(srv, stream)
		}),
	)
}
