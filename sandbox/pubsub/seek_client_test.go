package pubsub

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// TestSeekToSnapshot takes a snapshot in the middle of everything, goes on, and
// goes back: all subscriptions of the topic can.
func TestSeekToSnapshot(t *testing.T) {
	_, c := start(t)
	create(t, c, func(s *pb.Subscription) { s.AckDeadlineSeconds = 600 })
	second := testSub + "-2"
	publishData(t, c, "", "acked", "leased", "refused", "pending")
	first := pull(t, c, 3)
	acknowledge(t, c, testSub, first[0].AckId)
	if err := c.SubscriptionAdminClient.ModifyAckDeadline(t.Context(), &pb.ModifyAckDeadlineRequest{Subscription: testSub, AckIds: []string{first[2].AckId}}); err != nil {
		t.Fatal(err)
	}
	createSnapshot(t, c, testSnapshot, testSub)
	publishData(t, c, "", "later")
	rest := available(t, c, testSub)
	wantData(t, "after the snapshot", rest, "pending", "refused", "later")
	acknowledge(t, c, testSub, ackIDs(rest)...)
	acknowledge(t, c, testSub, first[1].AckId)
	if _, err := c.SubscriptionAdminClient.CreateSubscription(t.Context(), &pb.Subscription{Name: second, Topic: testTopic}); err != nil {
		t.Fatal(err)
	}
	publishData(t, c, "", "last")

	want := []string{"leased", "refused", "pending", "later", "last"}
	for _, sub := range []string{testSub, second, testSub, testSub} {
		seek(t, c, toSnapshot(sub, testSnapshot))
		got := available(t, c, sub)
		wantData(t, sub+" after the seek", got, want...)
		acknowledge(t, c, sub, ackIDs(got[:2])...)
	}
}

// TestSeekVoidsAckIDs uses ack ids from before a seek after it, on an open
// stream and by themselves.
func TestSeekVoidsAckIDs(t *testing.T) {
	s, c := start(t)
	create(t, c, nil)
	publishN(t, c, 10)
	createSnapshot(t, c, testSnapshot, testSub)
	st := open(t, c, nil)
	old := st.receive(10)
	st.send(&pb.StreamingPullRequest{AckIds: ackIDs(old[:5])})
	poll(t, "five are acknowledged", func() bool { return holding(s) == 5 })

	seek(t, c, toSnapshot(testSub, testSnapshot))
	again := st.receive(10) // at once, on the open stream, in order
	for i, m := range again {
		if string(m.Message.Data) != fmt.Sprint(i) || m.AckId == old[i].AckId {
			t.Errorf("message %d: %v under %s, want %v under another ack id than %s", i, m.Message, m.AckId, old[i].Message, old[i].AckId)
		}
	}
	// Neither acknowledges, refuses nor extends anything.
	acknowledge(t, c, testSub, ackIDs(old)...)
	st.modack(0, old...)
	st.modack(600, old...)
	acknowledge(t, c, testSub, again[0].AckId) // a round trip, and one that counts
	if n := holding(s); n != 9 {
		t.Errorf("%d messages held, want 9", n)
	}
	if got := available(t, c, testSub); len(got) != 0 {
		t.Errorf("a void ack id gave back %v", data(got))
	}
	sub := s.subs[testSub]
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for _, h := range sub.backlog.leases {
		if h.deadline > time.Now().Add(time.Minute).UnixNano() {
			t.Errorf("a void ack id extended the lease of %d", h.msg.id)
		}
	}
}

// holding returns the number of messages that the subscription holds.
func holding(s *Server) int64 {
	sub := s.subs[testSub]
	sub.mu.Lock()
	defer sub.mu.Unlock()
	return sub.backlog.count
}

// TestSeekToTime goes back and forth in time, with and without acknowledged
// messages to go back to.
func TestSeekToTime(t *testing.T) {
	for name, retain := range map[string]bool{"retained": true, "not retained": false} {
		t.Run(name, func(t *testing.T) {
			s, c := start(t)
			create(t, c, func(s *pb.Subscription) { s.RetainAckedMessages = retain })
			publishData(t, c, "", "1", "2")
			middle := time.Now()
			publishData(t, c, "", "3", "4")
			got := pull(t, c, 3)
			acknowledge(t, c, testSub, got[0].AckId, got[2].AckId) // 1 and 3; 2 is leased, 4 pending
			end := time.Now()

			seek(t, c, toTime(testSub, middle))
			if retain {
				wantData(t, "back to the middle", available(t, c, testSub), "3", "4")
			} else {
				wantData(t, "back to the middle", available(t, c, testSub), "4")
			}
			acknowledge(t, c, testSub, got[1].AckId)
			seek(t, c, toTime(testSub, end))
			wantData(t, "on to the end", available(t, c, testSub))
			seek(t, c, toTime(testSub, time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC)))
			if retain {
				wantData(t, "back to the beginning", available(t, c, testSub), "1", "2", "3", "4")
			} else {
				wantData(t, "back to the beginning", available(t, c, testSub))
			}
			publishData(t, c, "", "5")
			seek(t, c, toTime(testSub, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
			wantData(t, "after the purge", available(t, c, testSub))
			publishData(t, c, "", "6")
			wantData(t, "published after the purge", available(t, c, testSub), "6")

			// Without retention what was retained is gone at once.
			seek(t, c, toTime(testSub, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
			if retained := s.retained.Load() > 0; retained != retain {
				t.Errorf("something is retained: %v, want %v", retained, retain)
			}
			if _, err := c.SubscriptionAdminClient.UpdateSubscription(t.Context(), &pb.UpdateSubscriptionRequest{
				Subscription: &pb.Subscription{Name: testSub},
				UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"retain_acked_messages"}},
			}); err != nil {
				t.Fatal(err)
			}
			if n := s.retained.Load(); n != 0 {
				t.Errorf("%d bytes retained, want 0", n)
			}
		})
	}
}

// TestSeekOrdered shows that a seek takes the messages of an ordering key back
// in their order, with those that were acknowledged out of it.
func TestSeekOrdered(t *testing.T) {
	s, c := start(t)
	create(t, c, func(s *pb.Subscription) { s.EnableMessageOrdering = true })
	publishData(t, c, "a", "a1", "a2", "a3", "a4")
	publishData(t, c, "b", "b1", "b2")
	st := open(t, c, func(r *pb.StreamingPullRequest) { r.MaxOutstandingMessages = 3 })
	byData := map[string]*pb.ReceivedMessage{}
	for _, m := range st.receive(3) {
		byData[string(m.Message.Data)] = m
	}
	if byData["a1"] == nil || byData["a2"] == nil {
		t.Fatalf("received %v, want a1 and a2 among them", byData)
	}
	acknowledge(t, c, testSub, byData["a2"].AckId) // before a1
	st.receive(1)                                  // instead of it
	createSnapshot(t, c, testSnapshot, testSub)
	publishData(t, c, "a", "a5")
	seek(t, c, toSnapshot(testSub, testSnapshot))

	seen := map[string][]string{}
	want := map[string][]string{"a": {"a1", "a2", "a3", "a4", "a5"}, "b": {"b1", "b2"}}
	for n := 0; n < 7; {
		for _, m := range st.receive(1) {
			seen[m.Message.OrderingKey] = append(seen[m.Message.OrderingKey], string(m.Message.Data))
			st.send(&pb.StreamingPullRequest{AckIds: []string{m.AckId}})
			n++
		}
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
	poll(t, "all are acknowledged", func() bool { return holding(s) == 0 })
}

// TestSeekWhileReceiving goes back again and again while the official client
// receives: every message comes once more each time.
func TestSeekWhileReceiving(t *testing.T) {
	s, c := start(t)
	create(t, c, nil)
	const n, rounds = 100, 4
	createSnapshot(t, c, testSnapshot, testSub)
	publishN(t, c, n)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var mu sync.Mutex
	round := map[string]int{}
	done := make(chan struct{}, n*rounds)
	var receiving sync.WaitGroup
	receiving.Go(func() {
		sub := c.Subscriber(testSub)
		sub.ReceiveSettings.MaxOutstandingMessages = 50
		if err := sub.Receive(ctx, func(_ context.Context, m *pubsub.Message) {
			mu.Lock()
			defer mu.Unlock()
			round[m.ID]++
			m.Ack()
			done <- struct{}{}
		}); err != nil {
			t.Error(err)
		}
	})
	for r := 1; ; r++ {
		for range n {
			select {
			case <-done:
			case <-ctx.Done():
				t.Fatalf("round %d: %v", r, ctx.Err())
			}
		}
		poll(t, "all are acknowledged", func() bool { return holding(s) == 0 })
		if r == rounds {
			break
		}
		seek(t, c, toSnapshot(testSub, testSnapshot))
	}
	cancel()
	receiving.Wait()
	for id, times := range round {
		if times != rounds {
			t.Errorf("%s came %d times, want %d", id, times, rounds)
		}
	}
	if len(round) != n {
		t.Errorf("%d messages, want %d", len(round), n)
	}
}
