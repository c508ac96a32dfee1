package pubsub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"pgregory.net/rapid"
)

// Publishers, consumers and seeks all at once. Every call is noted with when it
// began and ended; the model says of every message whether it must be there in
// the end, must not, or may, because calls overlapped.

// span is when a call was under way, by a clock that counts calls.
type span struct{ begin, end int64 }

func (s span) before(o span) bool { return s.end < o.begin }

// delivery is one message, as a consumer got it.
type delivery struct {
	id, ackID string
	pulled    span
	acked     *span
}

// run is everything that happens at once.
type run struct {
	ctx   context.Context
	c     *pubsub.Client
	topic string
	clock atomic.Int64

	mu        sync.Mutex
	errs      []error
	published []string
	snapshots map[string]span                   // when they were created
	delivered map[string]map[string][]*delivery // by subscription and message

	certain, checked int // messages
}

// call does something and notes when.
func (r *run) call(do func() error) span {
	begin := r.clock.Add(1)
	err := do()
	if err != nil {
		r.mu.Lock()
		r.errs = append(r.errs, err)
		r.mu.Unlock()
	}
	return span{begin, r.clock.Add(1)}
}

func (r *run) publish(requests int, rnd *rand.Rand) {
	for range requests {
		req := &pb.PublishRequest{Topic: r.topic}
		for range 1 + rnd.IntN(16) {
			req.Messages = append(req.Messages, &pb.PubsubMessage{Data: []byte("x")})
		}
		r.call(func() error {
			resp, err := r.c.TopicAdminClient.Publish(r.ctx, req)
			if err != nil {
				return err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.published = append(r.published, resp.MessageIds...)
			return nil
		})
	}
}

// consume pulls and acknowledges about half, some of it only pulls later, until
// stopped.
func (r *run) consume(sub string, stop <-chan struct{}, rnd *rand.Rand) {
	var late, all []*delivery
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, d := range all {
			r.delivered[sub][d.id] = append(r.delivered[sub][d.id], d)
		}
	}()
	ack := func(some []*delivery) {
		if len(some) == 0 {
			return
		}
		req := &pb.AcknowledgeRequest{Subscription: sub}
		for _, d := range some {
			req.AckIds = append(req.AckIds, d.ackID)
		}
		acked := r.call(func() error { return r.c.SubscriptionAdminClient.Acknowledge(r.ctx, req) })
		for _, d := range some {
			d.acked = &acked
		}
	}
	for {
		select {
		case <-stop:
			ack(late)
			return
		default:
		}
		got := r.pull(sub, 1+rnd.IntN(32))
		if len(got) == 0 {
			<-time.After(time.Millisecond) // leave the processor to the others
		}
		all = append(all, got...)
		var now []*delivery
		for _, d := range got {
			switch rnd.IntN(4) {
			case 0:
				now = append(now, d)
			case 1:
				late = append(late, d)
			}
		}
		ack(now)
		if rnd.IntN(5) == 0 {
			ack(late)
			late = nil
		}
	}
}

func (r *run) pull(sub string, n int) (out []*delivery) {
	var resp *pb.PullResponse
	pulled := r.call(func() (err error) {
		//lint:ignore SA1019 deprecated, and the only way not to wait
		resp, err = r.c.SubscriptionAdminClient.Pull(r.ctx, &pb.PullRequest{Subscription: sub, MaxMessages: int32(n), ReturnImmediately: true})
		return err
	})
	for _, m := range resp.GetReceivedMessages() {
		out = append(out, &delivery{id: m.Message.MessageId, ackID: m.AckId, pulled: pulled})
	}
	return out
}

func (r *run) snapshot(sub, name string) {
	at := r.call(func() error {
		_, err := r.c.SubscriptionAdminClient.CreateSnapshot(r.ctx, &pb.CreateSnapshotRequest{Name: name, Subscription: sub})
		return err
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.snapshots[name] = at
}

func (r *run) seek(sub, name string) span {
	return r.call(func() error {
		_, err := r.c.SubscriptionAdminClient.Seek(r.ctx, toSnapshot(sub, name))
		return err
	})
}

// drain acknowledges all that sub has, and returns it in the order of delivery.
func (r *run) drain(sub string) (ids []string) {
	for {
		got := r.pull(sub, maxPull)
		if len(got) == 0 {
			return ids
		}
		req := &pb.AcknowledgeRequest{Subscription: sub}
		for _, d := range got {
			ids = append(ids, d.id)
			req.AckIds = append(req.AckIds, d.ackID)
		}
		r.call(func() error { return r.c.SubscriptionAdminClient.Acknowledge(r.ctx, req) })
	}
}

// giveBack refuses all that consumers of sub have not acknowledged.
func (r *run) giveBack(sub string) {
	req := &pb.ModifyAckDeadlineRequest{Subscription: sub}
	for _, deliveries := range r.delivered[sub] {
		for _, d := range deliveries {
			if d.acked == nil {
				req.AckIds = append(req.AckIds, d.ackID)
			}
		}
	}
	for ids := range slices.Chunk(req.AckIds, 1000) {
		req.AckIds = ids
		r.call(func() error { return r.c.SubscriptionAdminClient.ModifyAckDeadline(r.ctx, req) })
	}
}

// verdict is what is known of a message.
type verdict int

const (
	mayBe verdict = iota
	mustBe
	mustNotBe
)

// inSnapshot decides whether a snapshot of sub, which nothing sought, holds a
// message: unless it was acknowledged before.
func (r *run) inSnapshot(sub, id string, created span) verdict {
	v := mustBe
	for _, d := range r.delivered[sub][id] {
		switch {
		case d.acked == nil || created.before(*d.acked):
		case d.acked.before(created):
			return mustNotBe
		default:
			v = mayBe
		}
	}
	return v
}

// afterSeek decides whether a message that the snapshot holds or not is pending
// in sub in the end, after its last seek.
func (r *run) afterSeek(sub, id string, held verdict, sought span) verdict {
	for _, d := range r.delivered[sub][id] {
		switch {
		case d.acked == nil || d.pulled.before(sought):
			// Acknowledged before the seek, which undoes it, or after, when the
			// ack id is void.
		case sought.before(d.pulled):
			return mustNotBe
		case held == mustBe:
			held = mayBe
		}
	}
	return held
}

// check compares what was found with what is known, and wants every message
// once and in the order of publishing.
func (r *run) check(t *rapid.T, what string, got []string, known func(id string) verdict) {
	if !slices.IsSortedFunc(got, func(a, b string) int { return len(a) - len(b) }) || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) < len(got) {
		t.Fatalf("%s: not in order, or some twice: %v", what, got)
	}
	there := map[string]bool{}
	for _, id := range got {
		there[id] = true
	}
	definite := 0
	for _, id := range r.published {
		found := there[id]
		switch v := known(id); {
		case v == mustBe && !found:
			t.Fatalf("%s: %s is missing", what, id)
		case v == mustNotBe && found:
			t.Fatalf("%s: %s was acknowledged, and came again", what, id)
		case v != mayBe:
			definite++
		}
	}
	r.certain += definite
	r.checked += len(r.published)
}

// TestSeeksAtOnce publishes, acknowledges, creates snapshots of one subscription
// and seeks the other to them, all at the same time.
func TestSeeksAtOnce(t *testing.T) {
	server, c := start(t)
	runs, certain, checked := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		r := &run{
			ctx: t.Context(), c: c, topic: fmt.Sprintf("%s-%d", testTopic, runs),
			snapshots: map[string]span{}, delivered: map[string]map[string][]*delivery{},
		}
		source, target := fmt.Sprintf("%s-source-%d", testSub, runs), fmt.Sprintf("%s-target-%d", testSub, runs)
		if _, err := c.TopicAdminClient.CreateTopic(r.ctx, &pb.Topic{Name: r.topic}); err != nil {
			rt.Fatal(err)
		}
		// The idle ones make the time longer in which a publication is in some
		// places and not in others.
		all := []string{source, target}
		for i := range 12 {
			all = append(all, fmt.Sprintf("%s-idle-%d-%d", testSub, runs, i))
		}
		for _, name := range all {
			if _, err := c.SubscriptionAdminClient.CreateSubscription(r.ctx, &pb.Subscription{
				Name: name, Topic: r.topic, AckDeadlineSeconds: 600, RetainAckedMessages: rapid.Bool().Draw(rt, "retain"),
			}); err != nil {
				rt.Fatal(err)
			}
		}
		seed := rapid.Uint64().Draw(rt, "seed")
		publishers := rapid.SliceOfN(rapid.IntRange(15, 40), 2, 3).Draw(rt, "requests")
		snapshots := rapid.IntRange(1, 8).Draw(rt, "snapshots")
		consumers := rapid.IntRange(1, 2).Draw(rt, "consumers")

		var publishing, consuming sync.WaitGroup
		stop := make(chan struct{})
		for _, sub := range []string{source, target} {
			r.delivered[sub] = map[string][]*delivery{}
			for i := range consumers {
				consuming.Go(func() { r.consume(sub, stop, rand.New(rand.NewPCG(seed, uint64(i)))) })
			}
		}
		for i, requests := range publishers {
			publishing.Go(func() { r.publish(requests, rand.New(rand.NewPCG(seed, uint64(10+i)))) })
		}
		name := func(i int) string { return fmt.Sprintf("%s-%d-%d", testSnapshot, runs, i) }
		last, sought := "", span{}
		publishing.Go(func() {
			for i := range snapshots {
				r.snapshot(source, name(i))
				last = name(rand.New(rand.NewPCG(seed, uint64(100+i))).IntN(i + 1))
				sought = r.seek(target, last)
			}
		})
		publishing.Wait()
		close(stop)
		consuming.Wait()

		r.giveBack(target)
		r.check(rt, "sought", r.drainSorted(target), func(id string) verdict {
			return r.afterSeek(target, id, r.inSnapshot(source, id, r.snapshots[last]), sought)
		})
		for i := 0; i < snapshots; i += 1 + snapshots/6 {
			r.seek(source, name(i))
			r.check(rt, name(i), r.drain(source), func(id string) verdict { return r.inSnapshot(source, id, r.snapshots[name(i)]) })
		}
		for i := range snapshots {
			r.call(func() error {
				return c.SubscriptionAdminClient.DeleteSnapshot(r.ctx, &pb.DeleteSnapshotRequest{Snapshot: name(i)})
			})
		}
		for _, sub := range all {
			r.call(func() error {
				return c.SubscriptionAdminClient.DeleteSubscription(r.ctx, &pb.DeleteSubscriptionRequest{Subscription: sub})
			})
		}
		if len(r.errs) > 0 {
			rt.Fatal(r.errs)
		}
		if n := server.retained.Load(); n != 0 {
			rt.Fatalf("%d bytes held, want 0", n)
		}
		certain, checked = certain+r.certain, checked+r.checked
	})
	if certain*2 < checked {
		t.Errorf("only %d of %d messages had to be there or not: the test shows little", certain, checked)
	}
	t.Logf("%d of %d messages had to be there or not", certain, checked)
}

// drainSorted is for what was refused, which is not in the order of publishing.
func (r *run) drainSorted(sub string) []string {
	ids := r.drain(sub)
	slices.Sort(ids)
	return ids
}
