// Package pubsubtest starts a Pub/Sub for the time of a test.
package pubsubtest

import (
	"log/slog"
	"testing"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	server "github.com/kappa-migrate/kappa/sandbox/pubsub"
)

// Start starts a Pub/Sub with topics, each of which has a subscription of its
// own name. It returns a client of a project, and the service's address. Both
// end with the test.
func Start(t testing.TB, project string, topics ...string) (client *pubsub.Client, addr string) {
	t.Helper()
	s, err := server.New(server.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	client, err = pubsub.NewClient(t.Context(), project, option.WithEndpoint(s.Addr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	for _, topic := range topics {
		name := "projects/" + project + "/topics/" + topic
		if _, err := client.TopicAdminClient.CreateTopic(t.Context(), &pubsubpb.Topic{Name: name}); err != nil {
			t.Fatal(err)
		}
		sub := &pubsubpb.Subscription{Name: "projects/" + project + "/subscriptions/" + topic, Topic: name, AckDeadlineSeconds: 60}
		if _, err := client.SubscriptionAdminClient.CreateSubscription(t.Context(), sub); err != nil {
			t.Fatal(err)
		}
	}
	return client, s.Addr()
}
