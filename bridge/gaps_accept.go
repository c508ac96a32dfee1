package bridge

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// gapLoop looks, while a partition is stopped, whether an operator has accepted
// its gap.
func (r *reader) gapLoop(ctx context.Context) {
	tick := time.NewTicker(r.cfg.LagEvery)
	defer tick.Stop()
	removed := make(map[string]bool) // topics that are being subscribed to again
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := r.lookForAcceptances(ctx, removed); err != nil && ctx.Err() == nil {
			r.cfg.Log.Debug("accepted gaps cannot be looked up; retrying", "source", r.name, "error", err)
		}
	}
}

// stoppedParts are the partitions that are stopped.
func (r *reader) stoppedParts() []*partition {
	r.mu.Lock()
	defer r.mu.Unlock()
	var stopped []*partition
	if r.stopping {
		return nil
	}
	for _, p := range r.parts {
		if p.stopped.Load() && p.gap.Load() != nil {
			stopped = append(stopped, p)
		}
	}
	return stopped
}

func (r *reader) lookForAcceptances(ctx context.Context, removed map[string]bool) error {
	r.subscribeAgain(removed)
	stopped := r.stoppedParts()
	if len(stopped) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var topics []string
	for _, p := range stopped {
		if !slices.Contains(topics, p.id.topic) {
			topics = append(topics, p.id.topic)
		}
	}
	for _, p := range stopped {
		if g := *p.gap.Load(); g.Kind == gapNone { // it turned out that nothing is gone
			if err := r.goOn(ctx, p, g, nil); err != nil {
				return err
			}
		}
	}
	accepted, err := acceptances(ctx, r.admin, r.source.spec.Group, topics...)
	if err != nil || len(accepted) == 0 {
		return err
	}
	meta, err := r.admin.Metadata(kadm.WithAuthorizedOps(ctx), topics...) // never from memory
	if err != nil {
		return err
	}
	for _, p := range stopped {
		a, now := accepted[p.id], meta.Topics[p.id.topic].ID
		if a == nil || a.Applied != nil || removed[p.id.topic] {
			continue
		}
		g := *p.gap.Load()
		switch {
		case !a.fits(g, now):
			r.health.problem(r.stopPart(p.id), fmt.Sprintf("%s/%d is stopped: %s; what %s accepted is something else (%s, from offset %d): accept again: %s",
				p.id.topic, p.id.partition, g.What, a.By, a.Kind, a.Due, r.acceptCommand(p.id)))
		case p.outstanding() > 0: // what was read before the gap is still on its way
		case g.Kind == GapRecreated:
			// The client never follows a topic to its new id by itself. When it has
			// the partitions again, assign sees what was accepted.
			removed[p.id.topic] = true
			r.client.PurgeTopicsFromConsuming(p.id.topic)
		default:
			if err := r.goOn(ctx, p, g, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// subscribeAgain subscribes to topics that were removed, once all of their
// partitions are given up: only then are they assigned anew.
func (r *reader) subscribeAgain(removed map[string]bool) {
	for topic := range removed {
		r.mu.Lock()
		held := false
		for id := range r.parts {
			held = held || id.topic == topic
		}
		r.mu.Unlock()
		if !held {
			delete(removed, topic)
			r.client.AddConsumeTopics(topic)
		}
	}
}

// goOn goes on with a partition where an acceptance says; where there is none,
// since nothing is gone, at the offset that is due.
func (r *reader) goOn(ctx context.Context, p *partition, g gap, a *Acceptance) error {
	if g.Kind == GapCutBack { // offsets up to there are those of records that were published, until the log has passed them
		ends, err := r.admin.ListEndOffsets(ctx, p.id.topic)
		if err != nil {
			return err
		}
		end, ok := ends.Lookup(p.id.topic, p.id.partition)
		if !ok || end.Err != nil {
			return fmt.Errorf("look up the end of %s/%d: %w", p.id.topic, p.id.partition, end.Err)
		}
		if end.Offset < a.To {
			r.health.problem(r.stopPart(p.id), fmt.Sprintf("%s/%d is stopped: %s; accepted by %s: it goes on when the log has reached offset %d (now %d)",
				p.id.topic, p.id.partition, g.What, a.By, a.To, end.Offset))
			return nil
		}
	}
	r.commits.Lock() // a rebalance waits: the partition stays ours until this is done
	defer r.commits.Unlock()
	r.mu.Lock()
	ours := r.parts[p.id] == p && !p.fenced.Load() && !r.stopping
	r.mu.Unlock()
	if !ours || p.outstanding() > 0 {
		return nil
	}
	to := g.To
	if a != nil {
		to = a.To
	}
	// While it is still paused, so that nothing is fetched before it is entered
	// anew; twice, since setting what is set does nothing, and then answers to
	// fetches from before would still come.
	for _, offset := range []int64{to + 1, to} {
		r.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{p.id.topic: {p.id.partition: {Epoch: -1, Offset: offset}}})
	}
	if err := r.send(ctx, map[partitionID]mark{p.id: {to, -1}}); err != nil {
		return fmt.Errorf("commit where %s/%d goes on: %w", p.id.topic, p.id.partition, err)
	}
	if a != nil {
		r.passedOver(ctx, p.id, g, a)
	}
	r.health.solved(r.stopPart(p.id))
	r.health.solved(p.trouble)
	r.stats.stopped.Dec()
	r.begin(p.id, to, nil)
	return nil
}

// passedOver says that a gap was passed over, and notes in the acceptance that
// it was, so that it never serves another gap.
func (r *reader) passedOver(ctx context.Context, id partitionID, g gap, a *Acceptance) {
	lost := a.passed(g)
	r.stats.lost.WithLabelValues(r.name, id.topic).Add(float64(lost))
	r.cfg.Log.Warn("a gap was accepted; the partition goes on", "source", r.name, "topic", id.topic, "partition", id.partition,
		"gone", g.What, "offset", a.To, "lost_offsets", lost, "by", a.By, "reason", a.Reason, "accepted_at", a.Time)
	now := time.Now().UTC()
	a.Applied = &now
	if err := a.record(ctx, r.admin, r.source.spec.Group, id); err != nil {
		r.cfg.Log.Warn("it cannot be noted that the accepted gap was passed over", "source", r.name, "topic", id.topic, "partition", id.partition, "error", err)
	}
}
