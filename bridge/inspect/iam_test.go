package inspect

import (
	"context"
	"net"
	"strings"
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// policy answers as Pub/Sub does to those who may publish, who may not, and
// who may not even ask.
type policy struct {
	iampb.UnimplementedIAMPolicyServer
}

func (policy) TestIamPermissions(_ context.Context, r *iampb.TestIamPermissionsRequest) (*iampb.TestIamPermissionsResponse, error) {
	switch {
	case strings.HasSuffix(r.Resource, "/mine"):
		return &iampb.TestIamPermissionsResponse{Permissions: r.Permissions}, nil
	case strings.HasSuffix(r.Resource, "/theirs"):
		return &iampb.TestIamPermissionsResponse{}, nil
	}
	return nil, status.Error(codes.PermissionDenied, "no")
}

func TestPermissionToPublish(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	iampb.RegisterIAMPolicyServer(server, policy{})
	go server.Serve(l)
	defer server.Stop()
	client, err := pubsub.NewClient(t.Context(), "kappa-test", option.WithEndpoint(l.Addr().String()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	n := &inspection{Config: Config{PubSub: client}}
	for topic, want := range map[string]Check{
		"mine":   {State: Passed, Detail: "kept"},
		"theirs": {State: Failed, Detail: "the credentials may not publish to it"},
		"hidden": {State: Skipped, Detail: "kept; permission to publish not known: no"},
	} {
		got := n.mayPublish(t.Context(), "projects/kappa-test/topics/"+topic, "kept")
		if got.State != want.State || got.Detail != want.Detail {
			t.Errorf("%s: %+v, want %+v", topic, got, want)
		}
	}
}
