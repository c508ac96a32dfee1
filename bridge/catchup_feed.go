package bridge

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Feed takes records that somebody else reads, stretch by stretch, and passes
// them through the bridge's stages: the same messages, ids, dead letters and
// budget as those of a bridge that reads as a member of a group. It commits
// nothing: whoever reads asks each stretch how far it is done, and keeps that.
type Feed struct {
	b    *Bridge
	hard context.Context
	turn chan struct{} // held by the one that waits for room

	largest atomic.Int64 // memory of a fetch

	mu        sync.Mutex
	stretches []*Stretch
}

// Feed runs the bridge's stages for as long as read runs, in the place of Run;
// a Bridge runs once. Ordering is refused: stretches of one partition are read
// at the same time. listening is that of Run.
func (b *Bridge) Feed(ctx context.Context, listening func(addr string), read func(ctx context.Context, f *Feed) error) error {
	if b.plan.buckets > 0 {
		return exit.Usagef("spec.ordering.buckets is %d: a range that is read in splits arrives in no order", b.plan.buckets).
			WithHint("let the bridge itself read it: kappa bridge run")
	}
	f := &Feed{b: b, turn: make(chan struct{}, 1)}
	count := f.inFlight
	b.stats.outstanding.Store(&count)
	return b.serve(ctx, listening, func(ctx context.Context) error {
		hard, abort := context.WithCancel(context.WithoutCancel(ctx))
		defer abort()
		f.hard = hard
		b.health.solved("start")
		b.stages.start(hard)
		err := read(ctx, f)
		b.stages.endInput()
		abort()
		b.stages.wait()
		return err
	})
}

// Stretch is a run of offsets of one partition, read in order.
type Stretch struct {
	feed   *Feed
	p      *partition
	source string
	sizer  *fetchSizer
	room   int64 // of the budget, for the fetch that is under way
	alone  bool  // nobody else fetches meanwhile

	mu   sync.Mutex
	next int64 // after what was taken, or found to be without records

}

// Open begins a stretch at an offset of a partition. readers is how many
// stretches are read at a time: each gets its part of the budget. An error says
// why records of the partition cannot be taken.
func (f *Feed) Open(cluster, topic string, topicID [16]byte, number int32, from int64, readers int) (*Stretch, error) {
	i := slices.IndexFunc(f.b.sources, func(s *source) bool { return s.name == cluster })
	if i < 0 {
		return nil, exit.Usagef("spec.sources has no %s", cluster)
	}
	s := f.b.sources[i]
	if was := s.topics.first(topic, kadm.TopicID(topicID)); was != kadm.TopicID(topicID) {
		return nil, exit.Environmentf("%s/%s: the topic was created again (its id was %s, now it is %s)", cluster, topic, kadm.TopicID(topicID), was)
	}
	if f.b.spec.IDs.From == idsFromPosition {
		if err := checkIDPartition(number); err != nil {
			return nil, exit.Usagef("%s/%s: %w", cluster, topic, err)
		}
	}
	id := partitionID{topic, number}
	one := &Stretch{
		feed: f, source: cluster, next: from,
		p: &partition{
			assignment: newLedger().assign(id, from),
			trouble:    s.fetchPart(id),
			origin: origin{
				prefix:    fmt.Sprintf("%s/%s/%d/", s.id, topic, number),
				hash:      topicHash(s.id, topicID),
				partition: number,
			},
		},
	}
	// A quarter of the budget is for fetches, the rest for what is under way.
	target := min(f.b.sizes.limit/4/int64(max(readers, 1)), maxFetch)
	one.sizer = newFetchSizer(target, f.b.sizes.record)
	one.sizer.apply = func(int32, int32) {}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stretches = append(f.stretches, one)
	return one, nil
}

// Room waits until the budget has room for a fetch (invariant B4) and returns
// how many bytes to ask the broker for. Take gives the room back, in exchange
// for what was fetched; Unused does where nothing was. The error is that of ctx.
func (s *Stretch) Room(ctx context.Context) (fetch int32, err error) {
	f := s.feed
	select { // one after the other, or all would see the same room
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() {
		if !s.alone {
			<-f.turn
		}
	}()
	budget := f.b.stages.budget
	// A broker sends a whole batch, even if that is more than it was asked for.
	n := max(s.sizer.target, f.largest.Load())
	if err := budget.poll(ctx, func() int64 { return n }); err != nil {
		return 0, err
	}
	budget.addRecords(n)
	s.room, s.alone = n, f.largest.Load() == 0 // the first shows what fetches bring
	s.sizer.mu.Lock()
	defer s.sizer.mu.Unlock()
	return s.sizer.applied, nil
}

// Unused gives back the room for a fetch that brought nothing.
func (s *Stretch) Unused() {
	s.feed.b.stages.budget.release(s.room, 0)
	s.room = 0
	if s.alone {
		s.alone = false
		<-s.feed.turn
	}
}

// Observe notes how a batch that was fetched grew when it was decompressed.
func (s *Stretch) Observe(m kgo.FetchBatchMetrics) { s.sizer.observe(m) }

// Take enters records that were fetched, in order, and hands them to the
// workers; next is the offset after them, or after what follows them that has
// no records. The error is that of ctx, or says that the log was rewritten
// (invariant B3). When ctx is done, what was not handed over stays undone.
func (s *Stretch) Take(ctx context.Context, records []*kgo.Record, next int64) error {
	b := s.feed.b
	var rewritten error
	units, n, bytes := b.enter(kgo.Fetches{{Topics: []kgo.FetchTopic{{
		Topic: s.p.id.topic, Partitions: []kgo.FetchPartition{{Partition: s.p.id.partition, Records: records}},
	}}}}, func(partitionID) *partition { return s.p }, func(_ *partition, err error) { rewritten = err })
	if took := int64(bytes) + int64(n)*b.sizes.record; took > s.feed.largest.Load() {
		s.feed.largest.Store(took)
	}
	s.Unused()
	if rewritten != nil {
		return fmt.Errorf("%w: the log was rewritten", rewritten)
	}
	s.mu.Lock()
	s.next = max(s.next, next)
	s.mu.Unlock()
	for _, u := range units {
		if !b.stages.take(ctx, u) {
			return ctx.Err()
		}
	}
	return b.pacer.wait(ctx, n, bytes)
}

// Next is the offset after what was taken.
func (s *Stretch) Next() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// Done is the offset up to which everything is done: acknowledged, durably
// dead-lettered or filtered (invariant B1).
func (s *Stretch) Done() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.p.outstanding() == 0 {
		return s.next
	}
	_, done := s.p.position()
	if m, ok := s.p.committable(); ok {
		done = m.offset
	}
	return done
}

// Committed notes that an offset was committed.
func (s *Stretch) Committed(offset int64) { s.p.committedTo(offset) }

// Trouble shows why the partition cannot be read for the moment; "" that it
// can. It reports whether that is news.
func (s *Stretch) Trouble(what string) bool {
	if what == "" {
		s.feed.b.health.solved(s.p.trouble)
		return false
	}
	return s.feed.b.health.problem(s.p.trouble, what)
}

// Stop shows that the stretch cannot go on until the operator has done
// something about it (invariant B3).
func (s *Stretch) Stop(what string) {
	if !s.p.stopped.Swap(true) {
		s.feed.b.stats.stopped.Inc()
	}
	s.feed.b.health.problem("stopped "+s.source+" "+s.p.id.topic+fmt.Sprintf("/%d", s.p.id.partition), what)
}

// Skip goes on at an offset because somebody has accepted that what lies before
// it is gone (invariant B3).
func (s *Stretch) Skip(to int64) {
	s.mu.Lock()
	lost := max(0, to-s.next)
	s.next = max(s.next, to)
	s.mu.Unlock()
	s.feed.b.stats.lost.WithLabelValues(s.source, s.p.id.topic).Add(float64(lost))
}

// inFlight is the number of records that were taken and are not done.
func (f *Feed) inFlight() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, s := range f.stretches {
		n += s.p.outstanding()
	}
	return int64(n)
}

// Close ends a stretch of which nothing is in flight any more.
func (s *Stretch) Close() {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stretches = slices.DeleteFunc(f.stretches, func(one *Stretch) bool { return one == s })
}

// Settle waits until nothing is in flight or ctx is done; batches do not wait
// to fill meanwhile. It reports how many records are left.
func (f *Feed) Settle(ctx context.Context) int64 {
	f.b.stages.publisher.setFlush(true)
	defer f.b.stages.publisher.setFlush(false)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		left := f.inFlight()
		if left == 0 {
			return 0
		}
		select {
		case <-ctx.Done():
			return left
		case <-tick.C:
		}
	}
}

// Drain is Settle for at most limits.drain, whatever ctx says.
func (f *Feed) Drain(ctx context.Context) int64 {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.b.spec.Limits.Drain.D())
	defer cancel()
	return f.Settle(ctx)
}
