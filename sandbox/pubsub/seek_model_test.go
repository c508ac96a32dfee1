package pubsub

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"pgregory.net/rapid"
)

// The model of the service: sets of message ids, and nothing else.
type modelSub struct {
	name    string
	retain  bool
	pending map[string]bool
	out     map[string]string // ack id: message
	acked   map[string]bool   // retained
	ackIDs  []string          // all that were ever given out
}

func (s *modelSub) unacked() map[string]bool {
	all := maps.Clone(s.pending)
	for _, id := range s.out {
		all[id] = true
	}
	return all
}

// seek makes pending what is to be, of all that the subscription may know.
func (s *modelSub) seek(pending map[string]bool) {
	known := s.unacked()
	maps.Copy(known, s.acked)
	s.pending, s.out, s.acked = maps.Clone(pending), map[string]string{}, map[string]bool{}
	for id := range known {
		if s.retain && !pending[id] {
			s.acked[id] = true
		}
	}
}

type modelService struct {
	t         *rapid.T
	tb        testing.TB // outlives t, and has a context
	server    *Server
	c         *pubsub.Client
	topic     string
	subs      []*modelSub
	snapshots map[string]map[string]bool // what they hold
	atStart   map[string]map[string]bool // what of it was unacknowledged
	begins    map[string]int             // how many messages were published before
	published []string
	sizes     map[string]int64
	marks     []modelMark
}

// modelMark is a time between two publications.
type modelMark struct {
	at        time.Time
	published int
}

// bytes is what the server must say that it holds.
func (m *modelService) bytes() (n int64) {
	add := func(ids map[string]bool) {
		for id := range ids {
			n += m.sizes[id]
		}
	}
	for _, s := range m.subs {
		add(s.unacked())
		add(s.acked)
	}
	first := len(m.published)
	for name, ids := range m.atStart {
		add(ids)
		first = min(first, m.begins[name])
	}
	for _, id := range m.published[first:] {
		n += m.sizes[id] // the record
	}
	return n
}

func (m *modelService) publish(t *rapid.T) {
	for range rapid.IntRange(1, 3).Draw(t, "messages") {
		before := m.server.retained.Load()
		resp, err := m.c.TopicAdminClient.Publish(m.tb.Context(), &pb.PublishRequest{Topic: m.topic, Messages: []*pb.PubsubMessage{{Data: []byte("x")}}})
		if err != nil {
			t.Fatal(err)
		}
		id := resp.MessageIds[0]
		holders := int64(len(m.subs))
		if len(m.snapshots) > 0 {
			holders++
		}
		m.sizes[id] = (m.server.retained.Load() - before) / holders
		m.published = append(m.published, id)
		for _, s := range m.subs {
			s.pending[id] = true
		}
		for _, ids := range m.snapshots {
			ids[id] = true
		}
	}
}

func (m *modelService) pull(t *rapid.T, s *modelSub, n int) {
	//lint:ignore SA1019 deprecated, and the only way not to wait
	resp, err := m.c.SubscriptionAdminClient.Pull(m.tb.Context(), &pb.PullRequest{Subscription: s.name, MaxMessages: int32(n), ReturnImmediately: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(resp.ReceivedMessages), min(n, len(s.pending)); got != want {
		t.Fatalf("%s: pulled %d messages, want %d", s.name, got, want)
	}
	for _, r := range resp.ReceivedMessages {
		id := r.Message.MessageId
		if !s.pending[id] {
			t.Fatalf("%s: pulled %s, which is not pending", s.name, id)
		}
		if slices.Contains(s.ackIDs, r.AckId) {
			t.Fatalf("%s: the ack id %s was given out twice", s.name, r.AckId)
		}
		delete(s.pending, id)
		s.out[r.AckId] = id
		s.ackIDs = append(s.ackIDs, r.AckId)
	}
}

// use acknowledges, refuses or extends some of all ack ids that there ever were.
func (m *modelService) use(t *rapid.T, s *modelSub, how string) {
	if len(s.ackIDs) == 0 {
		t.Skip("no ack id")
	}
	ids := rapid.SliceOfNDistinct(rapid.SampledFrom(s.ackIDs), 1, -1, rapid.ID[string]).Draw(t, "ack ids")
	var err error
	switch how {
	case "ack":
		err = m.c.SubscriptionAdminClient.Acknowledge(m.tb.Context(), &pb.AcknowledgeRequest{Subscription: s.name, AckIds: ids})
	case "refuse":
		err = m.c.SubscriptionAdminClient.ModifyAckDeadline(m.tb.Context(), &pb.ModifyAckDeadlineRequest{Subscription: s.name, AckIds: ids})
	case "extend":
		err = m.c.SubscriptionAdminClient.ModifyAckDeadline(m.tb.Context(), &pb.ModifyAckDeadlineRequest{Subscription: s.name, AckIds: ids, AckDeadlineSeconds: 600})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, ackID := range ids {
		id, ok := s.out[ackID]
		if !ok || how == "extend" {
			continue // void
		}
		delete(s.out, ackID)
		if how == "refuse" {
			s.pending[id] = true
		} else if s.retain {
			s.acked[id] = true
		}
	}
}

func (m *modelService) seekToTime(t *rapid.T, s *modelSub) {
	mark := rapid.SampledFrom(m.marks).Draw(t, "time")
	if _, err := m.c.SubscriptionAdminClient.Seek(m.tb.Context(), toTime(s.name, mark.at)); err != nil {
		t.Fatal(err)
	}
	known := s.unacked()
	maps.Copy(known, s.acked)
	pending := map[string]bool{}
	for _, id := range m.published[mark.published:] {
		if known[id] {
			pending[id] = true
		}
	}
	s.seek(pending)
}

// TestSeekAgainstModel drives the server, by way of the official client, and the
// model with the same steps.
func TestSeekAgainstModel(t *testing.T) {
	server, c := start(t)
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		m := &modelService{
			t: rt, tb: t, server: server, c: c, topic: fmt.Sprintf("%s-%d", testTopic, runs),
			snapshots: map[string]map[string]bool{}, atStart: map[string]map[string]bool{}, begins: map[string]int{}, sizes: map[string]int64{},
		}
		m.marks = []modelMark{{at: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)}}
		if _, err := c.TopicAdminClient.CreateTopic(t.Context(), &pb.Topic{Name: m.topic}); err != nil {
			rt.Fatal(err)
		}
		for i, retain := range []bool{false, true} {
			s := &modelSub{
				name: fmt.Sprintf("%s-%d-%d", testSub, runs, i), retain: retain,
				pending: map[string]bool{}, out: map[string]string{}, acked: map[string]bool{},
			}
			if _, err := c.SubscriptionAdminClient.CreateSubscription(t.Context(), &pb.Subscription{
				Name: s.name, Topic: m.topic, AckDeadlineSeconds: 600, RetainAckedMessages: retain,
			}); err != nil {
				rt.Fatal(err)
			}
			m.subs = append(m.subs, s)
		}
		defer m.close()
		anySub := func(t *rapid.T) *modelSub { return rapid.SampledFrom(m.subs).Draw(t, "subscription") }
		anySnapshot := func(t *rapid.T) string {
			if len(m.snapshots) == 0 {
				t.Skip("no snapshot")
			}
			return rapid.SampledFrom(slices.Sorted(maps.Keys(m.snapshots))).Draw(t, "snapshot")
		}
		created := 0
		rt.Repeat(map[string]func(*rapid.T){
			"publish": m.publish,
			"pull":    func(t *rapid.T) { m.pull(t, anySub(t), rapid.IntRange(1, 5).Draw(t, "limit")) },
			"ack":     func(t *rapid.T) { m.use(t, anySub(t), "ack") },
			"refuse":  func(t *rapid.T) { m.use(t, anySub(t), "refuse") },
			"extend":  func(t *rapid.T) { m.use(t, anySub(t), "extend") },
			"mark":    func(*rapid.T) { m.marks = append(m.marks, modelMark{time.Now(), len(m.published)}) },
			"create a snapshot": func(t *rapid.T) {
				s := anySub(t)
				created++
				name := fmt.Sprintf("%s-%d-%d", testSnapshot, runs, created)
				createSnapshot(m.tb, c, name, s.name)
				m.snapshots[name], m.atStart[name], m.begins[name] = s.unacked(), s.unacked(), len(m.published)
			},
			"delete a snapshot": func(t *rapid.T) {
				name := anySnapshot(t)
				if err := c.SubscriptionAdminClient.DeleteSnapshot(m.tb.Context(), &pb.DeleteSnapshotRequest{Snapshot: name}); err != nil {
					t.Fatal(err)
				}
				delete(m.snapshots, name)
				delete(m.atStart, name)
				delete(m.begins, name)
			},
			"seek to a snapshot": func(t *rapid.T) {
				s, name := anySub(t), anySnapshot(t)
				if _, err := c.SubscriptionAdminClient.Seek(m.tb.Context(), toSnapshot(s.name, name)); err != nil {
					t.Fatal(err)
				}
				s.seek(m.snapshots[name])
			},
			"seek to a time": func(t *rapid.T) { m.seekToTime(t, anySub(t)) },
			"": func(t *rapid.T) {
				if got, want := server.retained.Load(), m.bytes(); got != want {
					t.Fatalf("holds %d bytes, want %d", got, want)
				}
			},
		})
		for _, s := range m.subs {
			m.pull(rt, s, maxPull)
		}
	})
}

// close removes everything, and wants nothing to be left.
func (m *modelService) close() {
	ctx, subs := m.tb.Context(), m.c.SubscriptionAdminClient
	for name := range m.snapshots {
		if err := subs.DeleteSnapshot(ctx, &pb.DeleteSnapshotRequest{Snapshot: name}); err != nil {
			m.t.Error(err)
		}
	}
	for _, s := range m.subs {
		if err := subs.DeleteSubscription(ctx, &pb.DeleteSubscriptionRequest{Subscription: s.name}); err != nil {
			m.t.Error(err)
		}
	}
	if err := m.c.TopicAdminClient.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: m.topic}); err != nil {
		m.t.Error(err)
	}
	if n := m.server.retained.Load(); n != 0 {
		m.t.Errorf("%d bytes held, want 0", n)
	}
}
