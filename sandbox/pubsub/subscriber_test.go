package pubsub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// TestRedeliveryAfterDeadline uses the official client without its lease
// extension: a message that is neither acknowledged nor refused comes again.
func TestRedeliveryAfterDeadline(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	create(t, c, nil)
	publishN(t, c, 100)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	sub := unlimited(c.Subscriber(testSub))
	sub.ReceiveSettings.MaxExtension = -1
	sub.ReceiveSettings.MaxDurationPerAckExtension = 10 * time.Second
	var mu sync.Mutex
	first, second := map[string]time.Time{}, map[string]time.Time{}
	err := sub.Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := first[m.ID]; !ok {
			first[m.ID] = time.Now()
			return // and forget it
		}
		second[m.ID] = time.Now()
		m.Ack()
		if len(second) == 100 {
			cancel()
		}
	})
	if err != nil || len(second) != 100 {
		t.Fatalf("%d of 100 came again, %v", len(second), err)
	}
	for id, at := range second {
		if waited := at.Sub(first[id]); waited < 9*time.Second {
			t.Errorf("came again after %v, before its deadline of 10s", waited)
			break
		}
	}
}

// TestOrdering publishes with the official client, refuses some messages, and
// wants every key in order, going back to what was refused.
func TestOrdering(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	create(t, c, func(s *pb.Subscription) { s.EnableMessageOrdering = true })
	const keys, each = 10, 200
	p := c.Publisher(testTopic)
	p.EnableMessageOrdering = true
	p.PublishSettings.EnableCompression = true
	p.PublishSettings.CompressionBytesThreshold = 1
	var results []*pubsub.PublishResult
	for i := range each {
		for k := range keys {
			results = append(results, p.Publish(t.Context(), &pubsub.Message{Data: fmt.Appendf(nil, "%d", i), OrderingKey: fmt.Sprintf("key-%d", k)}))
		}
	}
	for _, r := range results {
		if _, err := r.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.Stop()

	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var mu sync.Mutex
	done := map[string]int{}     // messages acknowledged in order
	refused := map[string]bool{} // messages refused once
	complete := 0
	err := unlimited(c.Subscriber(testSub)).Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		mu.Lock()
		defer mu.Unlock()
		var i int
		if _, err := fmt.Sscan(string(m.Data), &i); err != nil {
			t.Error(err)
		}
		name := m.OrderingKey + "/" + string(m.Data)
		switch {
		case i > done[m.OrderingKey]:
			// What follows a refused message may still be on its way to us, and
			// will come again.
			if !refused[fmt.Sprintf("%s/%d", m.OrderingKey, done[m.OrderingKey])] {
				t.Errorf("%s: received %d, want %d", m.OrderingKey, i, done[m.OrderingKey])
			}
			m.Ack()
		case i == done[m.OrderingKey] && !refused[name] && rand.IntN(50) == 0:
			refused[name] = true
			m.Nack()
		case i == done[m.OrderingKey]:
			done[m.OrderingKey]++
			m.Ack()
			if done[m.OrderingKey] == each {
				if complete++; complete == keys {
					cancel()
				}
			}
		default:
			m.Ack() // again, after a message before it
		}
	})
	if err != nil || complete != keys {
		t.Fatalf("%d of %d keys are complete, %v: %v", complete, keys, err, done)
	}
	if len(refused) == 0 {
		t.Error("nothing was refused: the test shows nothing")
	}
}

// TestStreamsShare lets two subscribers that each hold few messages work off
// one subscription.
func TestStreamsShare(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	create(t, c, nil)
	const n = 2000
	publishN(t, c, n)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var mu sync.Mutex
	seen := map[string]int{}
	var by [2]int
	var both sync.WaitGroup
	for i := range by {
		both.Go(func() {
			sub := c.Subscriber(testSub)
			sub.ReceiveSettings.MaxOutstandingMessages = 10
			if err := sub.Receive(ctx, func(_ context.Context, m *pubsub.Message) {
				mu.Lock()
				defer mu.Unlock()
				by[i]++
				seen[m.ID]++
				m.Ack()
				if len(seen) == n {
					cancel()
				}
			}); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if len(seen) != n || by[0]+by[1] != n {
		t.Errorf("received %d messages in %v deliveries, want %d once each", len(seen), by, n)
	}
	if by[0] == 0 || by[1] == 0 {
		t.Errorf("one subscriber got nothing: %v", by)
	}
}

// TestHeldBeyondDeadline holds messages for longer than their deadline, which
// the official client extends all the while: none comes again.
func TestHeldBeyondDeadline(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	create(t, c, nil)
	const n = 20_000
	publishN(t, c, n)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	sub := unlimited(c.Subscriber(testSub))
	sub.ReceiveSettings.MaxDurationPerAckExtension = 10 * time.Second
	var mu sync.Mutex
	var held []*pubsub.Message
	deliveries := 0
	err := sub.Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		mu.Lock()
		defer mu.Unlock()
		deliveries++
		held = append(held, m)
		if len(held) == n {
			time.AfterFunc(15*time.Second, func() { // the deadline is 10 s
				mu.Lock()
				defer mu.Unlock()
				for _, m := range held {
					m.Ack()
				}
				cancel()
			})
		}
	})
	if err != nil || deliveries != n {
		t.Errorf("%d deliveries of %d messages, %v", deliveries, n, err)
	}
	poll(t, "nothing is retained", func() bool { return s.retained.Load() == 0 })
}
