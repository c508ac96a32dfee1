package pubsub

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"go.uber.org/goleak"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	testTopic    = "projects/p/topics/orders"
	testSub      = "projects/p/subscriptions/orders"
	testSnapshot = "projects/p/snapshots/orders"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The client library's metrics, started once per process.
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		// Of a client's subscriber that has ended; it ends at its next tick.
		goleak.IgnoreTopFunction("cloud.google.com/go/pubsub/v2.(*messageIterator).streamKeepAliveHandler"))
}

// start starts a server and connects the official client to it.
func start(t testing.TB) (*Server, *pubsub.Client) {
	t.Helper()
	s, err := New(Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := pubsub.NewClient(t.Context(), "p",
		option.WithEndpoint(s.Addr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return s, c
}

func create(t testing.TB, c *pubsub.Client, change func(*pb.Subscription)) {
	t.Helper()
	if _, err := c.TopicAdminClient.CreateTopic(t.Context(), &pb.Topic{Name: testTopic}); err != nil {
		t.Fatal(err)
	}
	sub := &pb.Subscription{Name: testSub, Topic: testTopic}
	if change != nil {
		change(sub)
	}
	if _, err := c.SubscriptionAdminClient.CreateSubscription(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
}

// publishN publishes messages "0" to "n-1".
func publishN(t testing.TB, c *pubsub.Client, n int) {
	t.Helper()
	for i := 0; i < n; i += maxRequestCount {
		req := &pb.PublishRequest{Topic: testTopic}
		for j := i; j < min(n, i+maxRequestCount); j++ {
			req.Messages = append(req.Messages, &pb.PubsubMessage{
				Data:       fmt.Appendf(nil, "%d", j),
				Attributes: map[string]string{"kappa-id": fmt.Sprintf("00000000-0000-8000-8000-%012d", j), "kappa-event-time": "2001-01-08T00:01:00.000Z"},
			})
		}
		if _, err := c.TopicAdminClient.Publish(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
}

// unlimited lifts the client's flow control.
func unlimited(s *pubsub.Subscriber) *pubsub.Subscriber {
	s.ReceiveSettings.MaxOutstandingMessages = -1
	s.ReceiveSettings.MaxOutstandingBytes = -1
	return s
}

// TestHoldsManyMessages receives 100,000 messages without acknowledging any,
// then acknowledges them all: each arrives once, and nothing stays behind.
func TestHoldsManyMessages(t *testing.T) {
	const n = 100_000
	s, c := start(t)
	create(t, c, func(s *pb.Subscription) { s.AckDeadlineSeconds = 60 })
	publishN(t, c, n)

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var mu sync.Mutex
	held := map[string]*pubsub.Message{}
	var again atomic.Int64
	all := make(chan struct{})
	begin := time.Now()
	go func() {
		select {
		case <-all:
			t.Logf("held %d messages after %v", n, time.Since(begin))
		case <-ctx.Done():
		}
		mu.Lock()
		defer mu.Unlock()
		for _, m := range held {
			m.Ack()
		}
		cancel()
	}()
	sub := unlimited(c.Subscriber(testSub))
	sub.ReceiveSettings.MinDurationPerAckExtension = 5 * time.Minute // the 10 s that the client starts with are little for a busy machine
	err := sub.Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		mu.Lock()
		defer mu.Unlock()
		if held[m.ID] != nil {
			again.Add(1)
		}
		held[m.ID] = m
		if len(held) == n {
			close(all)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(held) != n || again.Load() != 0 {
		t.Errorf("received %d messages and %d again, want %d and 0", len(held), again.Load(), n)
	}
	poll(t, "nothing is retained", func() bool { return s.retained.Load() == 0 })
}

// poll waits until ok, and fails after a minute.
func poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("still not so after a minute: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
