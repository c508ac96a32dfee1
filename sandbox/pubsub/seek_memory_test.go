package pubsub

import (
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
)

// payloads returns weak pointers to the messages that the subscription holds:
// they are nil once the collector has taken the messages.
func payloads(s *Server) []weak.Pointer[byte] {
	messages, _ := s.subs[testSub].unacknowledged(time.Now())
	var out []weak.Pointer[byte]
	for _, m := range messages {
		out = append(out, weak.Make(&m.encoded[0]))
	}
	return out
}

// alive counts the messages that are in memory, as of the last collection.
func alive(pointers []weak.Pointer[byte]) (n int) {
	for _, p := range pointers {
		if p.Value() != nil {
			n++
		}
	}
	return n
}

// TestSnapshotsFreeMemory looks at the memory of messages, and at what the
// server says that it holds, as snapshots come and go.
func TestSnapshotsFreeMemory(t *testing.T) {
	s, c := start(t)
	create(t, c, nil)
	// add publishes a request that is acknowledged at once, unless it is to be
	// in a snapshot first.
	size := int64(0)
	add := func(snapshot string) []weak.Pointer[byte] {
		t.Helper()
		publishN(t, c, 10)
		pointers := payloads(s)
		size = s.subs[testSub].backlog.bytes
		if snapshot != "" {
			createSnapshot(t, c, snapshot, testSub)
		}
		acknowledge(t, c, testSub, ackIDs(available(t, c, testSub))...)
		return pointers
	}
	remove := func(snapshot string) {
		t.Helper()
		if err := c.SubscriptionAdminClient.DeleteSnapshot(t.Context(), &pb.DeleteSnapshotRequest{Snapshot: snapshot}); err != nil {
			t.Fatal(err)
		}
	}
	const first, second, third = testSnapshot + "-1", testSnapshot + "-2", testSnapshot + "-3"
	none := add("")
	a := add(first)  // held by the first as unacknowledged
	b := add(second) // held by the first as published since, by the second as unacknowledged
	d := add("")     // held by both as published since
	e := add(third)  // by all three, twice as published since
	f := add("")     // by all three as published since

	check := func(what string, bytes int64, want ...int) {
		t.Helper()
		got := make([]int, len(want))
		poll(t, what+": memory is freed", func() bool {
			runtime.GC()
			free := true
			for i, pointers := range [][]weak.Pointer[byte]{none, a, b, d, e, f} {
				got[i] = (alive(pointers) + len(pointers) - 1) / len(pointers)
				free = free && got[i] <= want[i]
			}
			return free
		})
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v of the requests are in memory, want %v", what, got, want)
		}
		// Ids and times differ in length now and then: by a byte or two a message.
		if got := s.retained.Load(); got < bytes*(size-20) || got > bytes*(size+20) {
			t.Errorf("%s: holds %d bytes, want %d times %d", what, got, bytes, size)
		}
	}
	check("three snapshots", 7, 0, 1, 1, 1, 1, 1) // a, b and e as unacknowledged; b, d, e and f in the record
	remove(second)
	check("without the second", 6, 0, 1, 1, 1, 1, 1)
	remove(first)
	check("without the first", 2, 0, 0, 0, 0, 1, 1) // e as unacknowledged, f in the record
	remove(third)
	check("without snapshots", 0, 0, 0, 0, 0, 0, 0)
}

// TestSeekFreesMemory purges a subscription with ordering keys while a stream
// that they are bound to is open and full.
func TestSeekFreesMemory(t *testing.T) {
	s, c := start(t)
	create(t, c, func(s *pb.Subscription) { s.EnableMessageOrdering = true })
	for _, key := range []string{"a", "b", ""} {
		publishData(t, c, key, "1", "2", "3")
	}
	pointers := payloads(s)
	open(t, c, func(r *pb.StreamingPullRequest) { r.MaxOutstandingMessages = 2 }).receive(2)
	if got := alive(pointers); got != 9 {
		t.Fatalf("%d messages are in memory, want 9", got)
	}
	seek(t, c, toTime(testSub, time.Now().Add(time.Hour)))
	poll(t, "the messages are freed", func() bool { runtime.GC(); return alive(pointers) == 0 })
	if n := s.retained.Load(); n != 0 {
		t.Errorf("%d bytes retained, want 0", n)
	}
}

// local is a server without a network, for tests that let days pass.
func local(t *testing.T, change func(*pb.Subscription)) *service {
	t.Helper()
	s := &service{Server: &Server{
		cfg:    Config{Log: slog.New(slog.DiscardHandler), MaxBacklogBytes: DefaultMaxBacklogBytes},
		topics: map[string]*topic{}, subs: map[string]*subscription{}, snapshots: map[string]*snapshot{},
	}}
	if _, err := s.CreateTopic(t.Context(), &pb.Topic{Name: testTopic}); err != nil {
		t.Fatal(err)
	}
	sub := &pb.Subscription{Name: testSub, Topic: testTopic}
	if change != nil {
		change(sub)
	}
	if _, err := s.CreateSubscription(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *service) publishOne(t *testing.T) error {
	t.Helper()
	_, err := s.publish(t.Context(), encode(t, request(&pb.PubsubMessage{Data: make([]byte, 1000)})))
	return err
}

func (s *service) pullNow(t *testing.T) []*pb.ReceivedMessage {
	t.Helper()
	//lint:ignore SA1019 deprecated as waiting is cheaper for the service; a test wants what is there now
	resp, err := s.Pull(t.Context(), &pb.PullRequest{Subscription: testSub, MaxMessages: maxPull, ReturnImmediately: true})
	if err != nil {
		t.Fatal(err)
	}
	return resp.ReceivedMessages
}

const day = 24 * time.Hour

// TestSnapshotExpires shows that a snapshot lives for 7 days less the age of
// its oldest message, and that what it held is free then.
func TestSnapshotExpires(t *testing.T) {
	for _, tt := range []struct {
		name      string
		retention time.Duration // of the subscription
		age       time.Duration // of an unacknowledged message; 0: there is none
		want      time.Duration // 0: refused
	}{
		{"no message", 7 * day, 0, 7 * day},
		{"a day", 7 * day, day, 6 * day},
		{"an hour is left", 7 * day, 6*day + 23*time.Hour, time.Hour},
		{"less than an hour is left", 7 * day, 6*day + 23*time.Hour + time.Second, 0},
		{"past the retention", 7 * day, 7*day + time.Second, 7 * day},
		{"older than 7 days", 31 * day, 20 * day, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := local(t, func(s *pb.Subscription) { s.MessageRetentionDuration = durationpb.New(tt.retention) })
				if tt.age > 0 {
					if err := s.publishOne(t); err != nil {
						t.Fatal(err)
					}
					time.Sleep(tt.age)
				}
				snap, err := s.CreateSnapshot(t.Context(), &pb.CreateSnapshotRequest{Name: testSnapshot, Subscription: testSub})
				if tt.want == 0 {
					wantCode(t, err, codes.FailedPrecondition, "less than 1 hour")
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := time.Until(snap.ExpireTime.AsTime()); got != tt.want {
					t.Errorf("expires after %v, want %v", got, tt.want)
				}
				if err := s.publishOne(t); err != nil {
					t.Fatal(err)
				}
				if got := s.pullNow(t); len(got) > 0 {
					if _, err := s.Acknowledge(t.Context(), &pb.AcknowledgeRequest{Subscription: testSub, AckIds: ackIDs(got)}); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(tt.want - time.Second)
				if _, err := s.GetSnapshot(t.Context(), &pb.GetSnapshotRequest{Snapshot: testSnapshot}); err != nil || s.retained.Load() == 0 {
					t.Errorf("a second before its time: %v, %d bytes held", err, s.retained.Load())
				}
				time.Sleep(2 * time.Second)
				_, err = s.GetSnapshot(t.Context(), &pb.GetSnapshotRequest{Snapshot: testSnapshot})
				wantCode(t, err, codes.NotFound, testSnapshot)
				_, err = s.Seek(t.Context(), toSnapshot(testSub, testSnapshot))
				wantCode(t, err, codes.NotFound, testSnapshot)
				if n := s.retained.Load(); n != 0 {
					t.Errorf("%d bytes held, want 0", n)
				}
			})
		})
	}
}

// TestSnapshotOfTheSameName shows that a snapshot that was deleted does not take
// a later one of its name with it when its time comes.
func TestSnapshotOfTheSameName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := local(t, nil)
		again := func() *snapshot {
			t.Helper()
			if _, err := s.CreateSnapshot(t.Context(), &pb.CreateSnapshotRequest{Name: testSnapshot, Subscription: testSub}); err != nil {
				t.Fatal(err)
			}
			return s.snapshots[testSnapshot]
		}
		old := again()
		if _, err := s.DeleteSnapshot(t.Context(), &pb.DeleteSnapshotRequest{Snapshot: testSnapshot}); err != nil {
			t.Fatal(err)
		}
		if old.expiry.Stop() {
			t.Error("the timer of a deleted snapshot goes on, and holds it")
		}
		again()
		s.dropSnapshot(old) // as a timer does that could not be stopped any more
		if s.snapshots[testSnapshot] == nil {
			t.Error("the old snapshot took the new one with it")
		}
	})
}

// TestRetainedMessagesExpire shows that acknowledged messages can be had back
// within their retention, and give way to new ones after it.
func TestRetainedMessagesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := local(t, func(s *pb.Subscription) {
			s.RetainAckedMessages, s.MessageRetentionDuration = true, durationpb.New(time.Hour)
		})
		s.cfg.MaxBacklogBytes = 2500
		begin := time.Now()
		ackAll := func() int {
			t.Helper()
			got := s.pullNow(t)
			if len(got) > 0 {
				if _, err := s.Acknowledge(t.Context(), &pb.AcknowledgeRequest{Subscription: testSub, AckIds: ackIDs(got)}); err != nil {
					t.Fatal(err)
				}
			}
			return len(got)
		}
		for range 2 {
			if err := s.publishOne(t); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
		}
		ackAll()
		wantCode(t, s.publishOne(t), codes.ResourceExhausted, "limit is 2500")
		for _, want := range []int{2, 2, 1, 0} { // after 20, 40, 61 and 81 minutes
			if _, err := s.Seek(t.Context(), toTime(testSub, begin)); err != nil {
				t.Fatal(err)
			}
			if got := ackAll(); got != want {
				t.Errorf("after %v: %d messages, want %d", time.Since(begin), got, want)
			}
			time.Sleep(20*time.Minute + 30*time.Second)
		}
		if err := s.publishOne(t); err != nil {
			t.Fatal(err)
		}
		if err := s.publishOne(t); err != nil {
			t.Fatal(err)
		}
		ackAll()
		wantCode(t, s.publishOne(t), codes.ResourceExhausted, "limit is 2500")
		time.Sleep(2 * time.Hour)
		if err := s.publishOne(t); err != nil { // no seek has looked meanwhile
			t.Errorf("after the retention: %v", err)
		}
	})
}

// TestRetainedMessagesAreSwept shows that a subscription that retains
// acknowledged messages does not grow for ever.
func TestRetainedMessagesAreSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := local(t, func(s *pb.Subscription) {
			s.RetainAckedMessages, s.MessageRetentionDuration = true, durationpb.New(10*time.Minute)
		})
		most := 0
		for range 20_000 { // 10 minutes are 600 of them
			if err := s.publishOne(t); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Acknowledge(t.Context(), &pb.AcknowledgeRequest{Subscription: testSub, AckIds: ackIDs(s.pullNow(t))}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			most = max(most, len(s.subs[testSub].backlog.acked))
		}
		if most < 600 || most > 3000 {
			t.Errorf("up to %d messages were retained, want between 600 and 3000", most)
		}
	})
}
