package catchup

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/bridge"
)

// split reads what is left of a split, range by range, until ctx is done.
func (r *Runner) split(ctx context.Context, f *bridge.Feed, s *Split) {
	conns := &clients{options: r.options, open: make(map[string]*kgo.Client)}
	defer conns.close()
	for i := range s.Ranges {
		one := &s.Ranges[i]
		if one.Next >= one.To || ctx.Err() != nil {
			continue
		}
		if err := r.stretch(ctx, f, conns, one); err != nil {
			r.mu.Lock()
			r.stopped = append(r.stopped, fmt.Errorf("%s: %w", one, err))
			r.mu.Unlock()
		}
	}
}

// stretch reads one range. The error says why it cannot even begin.
func (r *Runner) stretch(ctx context.Context, f *bridge.Feed, conns *clients, one *Range) error {
	id, err := parseTopicID(one.TopicID)
	if err != nil {
		return err
	}
	client, err := conns.of(one.Source)
	if err != nil {
		return err
	}
	s, err := f.Open(one.Source, one.Topic, id, one.Partition, one.Next, r.cfg.Parallel)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.active[one] = s
	r.mu.Unlock()
	fetcher := &fetcher{Runner: r, client: client, leaders: r.c.reading.clusters[one.Source], of: one, id: id, stretch: s, epoch: -1}
	for pause := newPause(); s.Next() < one.To && ctx.Err() == nil; {
		switch err := fetcher.next(ctx); {
		case err == nil:
			s.Trouble("")
			pause.reset()
		case errors.Is(err, errGone):
			return nil
		case ctx.Err() != nil:
		default: // rule B6: as long as it takes
			again := moved(err)
			if !again && s.Trouble(fmt.Sprintf("%s cannot be read: %v", one, err)) {
				r.log.Warn("a range cannot be read; retrying", "range", one.String(), "offset", s.Next(), "error", err)
			}
			fetcher.again = true
			pause.wait(ctx)
		}
	}
	return nil
}

// fetcher reads a range fetch by fetch.
type fetcher struct {
	*Runner
	client  *kgo.Client
	leaders *leaders
	of      *Range
	id      [16]byte
	stretch *bridge.Stretch
	epoch   int32 // leader epoch of the last record
	again   bool  // look for the leader again

	idle time.Time // since when fetches bring nothing; zero: they do
}

// errGone says that a range was stopped.
var errGone = errors.New("the range is stopped")

// next makes one fetch and passes on what it brings.
func (f *fetcher) next(ctx context.Context) error {
	fetchBytes, err := f.stretch.Room(ctx)
	if err != nil {
		return err
	}
	defer f.stretch.Unused() // Take has exchanged it by then
	c, at := f.c.clusters[f.of.Source], f.stretch.Next()
	leader, err := f.leaders.find(ctx, f.of.Topic, f.of.Partition, f.again)
	if err != nil {
		return f.explain(ctx, at, err)
	}
	f.again = false
	answer, err := fetch(ctx, f.client, leader, fetchRequest{
		topic: f.of.Topic, topicID: f.id, partition: f.of.Partition, offset: at, lastEpoch: f.epoch,
		maxBytes: fetchBytes, maxWait: 500 * time.Millisecond, readCommitted: c.readCommitted(),
	})
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return f.explain(ctx, at, err)
	}
	if end := answer.DivergingEpoch.EndOffset; end >= 0 {
		f.stop(f.of, f.stretch, fmt.Sprintf("offsets %d to %d (%d), which had been read, are gone: the log was cut back by an unclean leader election", end, at-1, at-end))
		return errGone
	}
	part, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: at, IsolationLevel: isolation(c.readCommitted()), Topic: f.of.Topic, Partition: f.of.Partition,
	}, answer, f.decode, f.stretch.Observe)
	if next <= at {
		if part.Err != nil {
			return part.Err
		}
		return f.nothing(ctx, at)
	}
	f.idle = time.Time{}
	records := part.Records
	for n := len(records); n > 0 && records[n-1].Offset >= f.of.To; n-- {
		records = records[:n-1]
	}
	if n := len(records); n > 0 {
		f.epoch = records[n-1].LeaderEpoch
	}
	// Once fetched, records are handed over even if ctx is done meanwhile, or
	// the wait for what is in flight would wait for them.
	if err := f.stretch.Take(f.hard, records, min(next, f.of.To)); err != nil && f.hard.Err() == nil {
		f.stop(f.of, f.stretch, err.Error())
		return errGone
	}
	return nil
}

// nothing deals with a fetch that brought nothing, though the range goes on: a
// new leader may need a moment to know how far its log reaches. If it stays so,
// the log was cut back (invariant B3).
func (f *fetcher) nothing(ctx context.Context, at int64) error {
	if f.idle.IsZero() {
		f.idle = time.Now()
	}
	if time.Since(f.idle) < f.patience {
		return kerr.OffsetNotAvailable
	}
	c := f.c.clusters[f.of.Source]
	ends, err := c.list(ctx, c.admin.ListEndOffsets)
	if err != nil {
		return err
	}
	if end, ok := ends.Lookup(f.of.Topic, f.of.Partition); ok && end.Offset < f.of.To {
		f.stop(f.of, f.stretch, fmt.Sprintf("offsets %d to %d (%d), which had been there when the range was planned, are gone: the log was cut back", end.Offset, f.of.To-1, f.of.To-end.Offset))
		return errGone
	}
	f.idle = time.Time{} // they are there: wait on
	return fmt.Errorf("the broker gives nothing at offset %d, though the log goes on", at)
}

// explain finds out whether a failed fetch means that something is gone
// (invariant B3), and stops the range if so. What cannot be found out now is
// asked again with the next fetch.
func (f *fetcher) explain(ctx context.Context, at int64, cause error) error {
	c := f.c.clusters[f.of.Source]
	switch {
	case errors.Is(cause, kerr.OffsetOutOfRange):
		starts, err := c.list(ctx, c.admin.ListStartOffsets)
		if err != nil {
			return errors.Join(cause, err)
		}
		ends, err := c.list(ctx, c.admin.ListEndOffsets)
		if err != nil {
			return errors.Join(cause, err)
		}
		start, ok := starts.Lookup(f.of.Topic, f.of.Partition)
		end, eok := ends.Lookup(f.of.Topic, f.of.Partition)
		switch {
		case !ok || !eok:
			return cause
		case at < start.Offset:
			if skipped, err := f.skip(ctx, at); skipped {
				return nil
			} else if err != nil {
				return errors.Join(cause, err)
			}
			last := min(start.Offset, f.of.To) - 1
			f.stop(f.of, f.stretch, fmt.Sprintf("offsets %d to %d (%d) are gone before they were read: retention or a deletion removed them", at, last, last-at+1))
			return errGone
		case at > end.Offset:
			f.stop(f.of, f.stretch, fmt.Sprintf("offsets %d to %d (%d), which had been there when the range was planned, are gone: the log was cut back or begun again", end.Offset, f.of.To-1, f.of.To-end.Offset))
			return errGone
		}
	case errors.Is(cause, kerr.UnknownTopicID), errors.Is(cause, kerr.InconsistentTopicID), errors.Is(cause, kerr.UnknownTopicOrPartition):
		meta, err := c.metadata(ctx)
		if err != nil {
			return errors.Join(cause, err)
		}
		t, ok := meta.Topics[f.of.Topic]
		gone := !ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition)
		if gone || t.Err == nil && t.ID.String() != f.of.TopicID {
			f.stop(f.of, f.stretch, fmt.Sprintf("the topic was deleted or created again: offsets %d to %d (%d) of the old topic are gone", at, f.of.To-1, f.of.To-at))
			return errGone
		}
	}
	return cause
}

// skip goes on behind a gap if somebody has accepted it.
func (f *fetcher) skip(ctx context.Context, at int64) (bool, error) {
	c := f.c.clusters[f.of.Source]
	accepted, err := c.accepted(ctx)
	if err != nil {
		return false, err
	}
	a := accepted[f.of.Topic][f.of.Partition]
	if !a.Covers(at, f.of.TopicID) {
		return false, nil
	}
	to := min(a.To, f.of.To)
	f.stretch.Skip(to)
	f.log.Warn("a gap was accepted; the range goes on", "range", f.of.String(), "from", at, "offset", to, "lost_offsets", to-at,
		"by", a.By, "reason", a.Reason, "accepted_at", a.Time)
	return true, nil
}

// pause is the wait between attempts: longer each time, with jitter.
type pause struct{ next time.Duration }

const (
	firstPause = 50 * time.Millisecond
	mostPause  = 5 * time.Second
)

func newPause() *pause { return &pause{firstPause} }

func (p *pause) reset() { p.next = firstPause }

func (p *pause) wait(ctx context.Context) {
	t := time.NewTimer(p.next/2 + rand.N(p.next))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	p.next = min(2*p.next, mostPause)
}
