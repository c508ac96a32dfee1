package pubsub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
)

// stream is a raw StreamingPull, without the client library's leases.
type stream struct {
	t testing.TB
	pb.Subscriber_StreamingPullClient
	cancel func()
}

func open(t testing.TB, c *pubsub.Client, change func(*pb.StreamingPullRequest)) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	//lint:ignore SA1019 the client has one connection here
	s, err := pb.NewSubscriberClient(c.SubscriptionAdminClient.Connection()).StreamingPull(ctx)
	if err != nil {
		t.Fatal(err)
	}
	req := &pb.StreamingPullRequest{Subscription: testSub, StreamAckDeadlineSeconds: 10}
	if change != nil {
		change(req)
	}
	if err := s.Send(req); err != nil {
		t.Fatal(err)
	}
	return &stream{t, s, cancel}
}

// receive receives n messages.
func (s *stream) receive(n int) []*pb.ReceivedMessage {
	s.t.Helper()
	var out []*pb.ReceivedMessage
	for len(out) < n {
		resp, err := s.Recv()
		if err != nil {
			s.t.Fatalf("after %d of %d messages: %v", len(out), n, err)
		}
		out = append(out, resp.ReceivedMessages...)
	}
	return out
}

func (s *stream) send(req *pb.StreamingPullRequest) {
	s.t.Helper()
	if err := s.Send(req); err != nil {
		s.t.Fatal(err)
	}
}

// modack sets the deadlines of messages.
func (s *stream) modack(seconds int32, messages ...*pb.ReceivedMessage) {
	s.t.Helper()
	req := &pb.StreamingPullRequest{ModifyDeadlineAckIds: ackIDs(messages)}
	for range messages {
		req.ModifyDeadlineSeconds = append(req.ModifyDeadlineSeconds, seconds)
	}
	s.send(req)
}

func TestFlowControl(t *testing.T) {
	for name, change := range map[string]func(*pb.StreamingPullRequest){
		"messages": func(r *pb.StreamingPullRequest) { r.MaxOutstandingMessages = 10 },
		"bytes":    func(r *pb.StreamingPullRequest) { r.MaxOutstandingBytes = 1 }, // one at a time
	} {
		t.Run(name, func(t *testing.T) {
			s, c := start(t)
			create(t, c, nil)
			publishN(t, c, 100)
			st := open(t, c, change)
			limit := 10
			if name == "bytes" {
				limit = 1
			}
			outstanding := func() int {
				sub := s.subs[testSub]
				sub.mu.Lock()
				defer sub.mu.Unlock()
				return len(sub.backlog.leases)
			}
			seen := map[string]bool{}
			for len(seen) < 100 {
				got := st.receive(limit)
				if len(got) != limit || outstanding() != limit {
					t.Fatalf("received %d with %d outstanding, want %d", len(got), outstanding(), limit)
				}
				for _, m := range got {
					seen[m.Message.MessageId] = true
				}
				st.send(&pb.StreamingPullRequest{AckIds: ackIDs(got)})
			}
		})
	}
}

// TestLeaseOutlivesStream shows that the messages of a closed stream come
// again when their deadlines have passed, and not before.
func TestLeaseOutlivesStream(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	create(t, c, nil)
	publishN(t, c, 2)
	first := open(t, c, nil)
	held := first.receive(2)
	begin := time.Now()
	for i, m := range held {
		if err := c.SubscriptionAdminClient.ModifyAckDeadline(t.Context(), &pb.ModifyAckDeadlineRequest{
			Subscription: testSub, AckIds: []string{m.AckId}, AckDeadlineSeconds: int32(3 + 3*(1-i)),
		}); err != nil {
			t.Fatal(err)
		}
	}
	first.cancel()
	second := open(t, c, nil)
	for i, want := range []time.Duration{3 * time.Second, 6 * time.Second} {
		again := second.receive(1)[0]
		waited := time.Since(begin)
		if m := held[1-i]; string(again.Message.Data) != string(m.Message.Data) || again.AckId == m.AckId {
			t.Errorf("received %v, want %v under another ack id", again, m)
		}
		if waited < want {
			t.Errorf("came again after %v, before its deadline of %v", waited, want)
		}
	}
}

func TestHeartbeat(t *testing.T) {
	_, c := start(t)
	create(t, c, nil)
	st := open(t, c, func(r *pb.StreamingPullRequest) { r.ProtocolVersion = 1 })
	for range 3 {
		st.send(&pb.StreamingPullRequest{})
		resp, err := st.Recv()
		if err != nil || len(resp.ReceivedMessages) != 0 {
			t.Fatalf("after a ping: %v, %v", resp, err)
		}
	}
	publishN(t, c, 1)
	st.receive(1)
}

func TestStreamErrors(t *testing.T) {
	_, c := start(t)
	create(t, c, nil)
	for _, tt := range []struct {
		name   string
		open   func(*pb.StreamingPullRequest)
		then   *pb.StreamingPullRequest
		code   codes.Code
		reason string
	}{
		{"no deadline", func(r *pb.StreamingPullRequest) { r.StreamAckDeadlineSeconds = 0 }, nil, codes.InvalidArgument, "ack deadline"},
		{"unknown subscription", func(r *pb.StreamingPullRequest) { r.Subscription += "x" }, nil, codes.NotFound, testSub + "x"},
		{"subscription again", nil, &pb.StreamingPullRequest{Subscription: testSub}, codes.InvalidArgument, "first request"},
		{"bad ack id", nil, &pb.StreamingPullRequest{AckIds: []string{"?"}}, codes.InvalidArgument, "invalid ack ID"},
		{"lengths", nil, &pb.StreamingPullRequest{ModifyDeadlineAckIds: []string{"1-1"}}, codes.InvalidArgument, "lengths"},
		{"bad deadline", nil, &pb.StreamingPullRequest{ModifyDeadlineAckIds: []string{"1-1"}, ModifyDeadlineSeconds: []int32{601}}, codes.InvalidArgument, "601"},
		{"bad stream deadline", nil, &pb.StreamingPullRequest{StreamAckDeadlineSeconds: 5}, codes.InvalidArgument, "5 seconds"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := open(t, c, tt.open)
			if tt.then != nil {
				st.send(tt.then)
			}
			_, err := st.Recv()
			wantCode(t, err, tt.code, tt.reason)
		})
	}
	t.Run("closed by the client", func(t *testing.T) {
		st := open(t, c, nil)
		if err := st.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want EOF", err)
		}
	})
	t.Run("subscription deleted", func(t *testing.T) {
		st := open(t, c, nil)
		publishN(t, c, 1)
		st.receive(1)
		if err := c.SubscriptionAdminClient.DeleteSubscription(t.Context(), &pb.DeleteSubscriptionRequest{Subscription: testSub}); err != nil {
			t.Fatal(err)
		}
		_, err := st.Recv()
		wantCode(t, err, codes.NotFound, testSub)
	})
}

func TestCloseEndsStreams(t *testing.T) {
	s, c := start(t)
	create(t, c, nil)
	st := open(t, c, nil)
	publishN(t, c, 1)
	st.receive(1)
	s.Close()
	_, err := st.Recv()
	wantCode(t, err, codes.Unavailable, "shutting down")
}

// TestFanOut gives every subscription its own copy, and a topic without any
// loses what it gets.
func TestFanOut(t *testing.T) {
	s, c := start(t)
	if _, err := c.TopicAdminClient.CreateTopic(t.Context(), &pb.Topic{Name: testTopic}); err != nil {
		t.Fatal(err)
	}
	publishN(t, c, 10)
	if n := s.retained.Load(); n != 0 {
		t.Errorf("a topic without subscriptions holds %d bytes", n)
	}
	for _, name := range []string{testSub, testSub + "-2"} {
		if _, err := c.SubscriptionAdminClient.CreateSubscription(t.Context(), &pb.Subscription{Name: name, Topic: testTopic}); err != nil {
			t.Fatal(err)
		}
	}
	publishN(t, c, 10)
	one := open(t, c, nil).receive(10)
	two := open(t, c, func(r *pb.StreamingPullRequest) { r.Subscription = testSub + "-2" }).receive(10)
	for i := range one {
		if one[i].Message.MessageId != two[i].Message.MessageId || string(one[i].Message.Data) != fmt.Sprint(i) {
			t.Errorf("message %d: %v and %v", i, one[i], two[i])
		}
	}
}

func TestDeadLetters(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	const deadTopic, deadSub = "projects/p/topics/dead", "projects/p/subscriptions/dead"
	if _, err := c.TopicAdminClient.CreateTopic(ctx, &pb.Topic{Name: deadTopic}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SubscriptionAdminClient.CreateSubscription(ctx, &pb.Subscription{Name: deadSub, Topic: deadTopic}); err != nil {
		t.Fatal(err)
	}
	create(t, c, func(s *pb.Subscription) {
		s.DeadLetterPolicy = &pb.DeadLetterPolicy{DeadLetterTopic: deadTopic, MaxDeliveryAttempts: 5}
	})
	publishN(t, c, 1)
	st := open(t, c, nil)
	for attempt := int32(1); attempt <= 5; attempt++ {
		m := st.receive(1)[0]
		if m.DeliveryAttempt != attempt {
			t.Fatalf("attempt %d, want %d", m.DeliveryAttempt, attempt)
		}
		st.modack(0, m)
	}
	m := open(t, c, func(r *pb.StreamingPullRequest) { r.Subscription = deadSub }).receive(1)[0]
	a := m.Message.Attributes
	if a[attrDeadLetterCount] != "5" || a[attrDeadLetterSub] != "orders" || a[attrDeadLetterProject] != "p" || a["kappa-id"] == "" || string(m.Message.Data) != "0" {
		t.Errorf("dead letter: %v", m)
	}

	// Without the topic the message stays where it is.
	if err := c.TopicAdminClient.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: deadTopic}); err != nil {
		t.Fatal(err)
	}
	publishN(t, c, 1)
	for range 8 {
		st.modack(0, st.receive(1)[0])
	}
}

// processorTime is what this process has used so far.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestIdleCostsNothing holds messages and looks at the processor time of the
// whole process.
func TestIdleCostsNothing(t *testing.T) {
	_, c := start(t)
	create(t, c, func(s *pb.Subscription) { s.AckDeadlineSeconds = 600 })
	const n = 50_000
	publishN(t, c, n)
	st := open(t, c, func(r *pb.StreamingPullRequest) { r.StreamAckDeadlineSeconds = 600 })
	st.receive(n)
	// The garbage collector may still be at work: wait for one idle second.
	poll(t, "a second with less than 5% of a core", func() bool {
		before := processorTime(t)
		<-time.After(time.Second)
		return processorTime(t)-before < 50*time.Millisecond
	})
}
