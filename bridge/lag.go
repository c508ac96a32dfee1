package bridge

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// lagLoop measures how far the committed offsets are behind what can be read,
// and looks whether partitions make progress.
func (r *reader) lagLoop(ctx context.Context) {
	tick := time.NewTicker(r.cfg.LagEvery)
	defer tick.Stop()
	for {
		r.measureLag(ctx)
		r.watch(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *reader) measureLag(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ends, err := r.admin.ListCommittedOffsets(ctx, r.topics.names()...)
	if err != nil {
		return // the metrics keep their last values
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	var total int64
	for id, p := range r.parts {
		end, ok := ends.Lookup(id.topic, id.partition)
		if !ok || end.Err != nil {
			continue
		}
		_, committed := p.position()
		lag := max(0, end.Offset-committed)
		p.progress.lag = lag
		number := strconv.Itoa(int(id.partition))
		r.stats.lag.WithLabelValues(r.name, id.topic, number).Set(float64(lag))
		r.stats.lagSeconds.WithLabelValues(r.name, id.topic, number).Set(p.behind(now, lag).Seconds())
		total += lag
	}
	if len(r.parts) > 0 {
		r.lag.Store(total)
	}
}

// progress is what the watchdog remembers of a partition.
type progress struct {
	lag       int64 // as measured last
	committed int64
	since     time.Time // when committed was as it is for the first time, or nothing was to do
	stalled   bool
}

// watch looks for partitions that have records to read or to acknowledge, and
// make no progress, though nothing is known to be wrong: a destination that is
// away or a partition that is stopped is not a reason to start the process
// again, and /readyz says so.
func (r *reader) watch(now time.Time) {
	explained := r.troubled()
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, p := range r.parts {
		w := &p.progress
		_, committed := p.position()
		idle := w.lag == 0 && p.outstanding() == 0
		if w.since.IsZero() || committed != w.committed || idle || explained || p.stopped.Load() {
			w.committed, w.since = committed, now
			r.unstall(p)
			continue
		}
		limit := r.Bridge.spec.Limits.Stall.D()
		if limit <= 0 || now.Sub(w.since) < limit {
			continue
		}
		what := fmt.Sprintf("%s/%d of %s has made no progress for %s: %d records to read, %d in flight", id.topic, id.partition, r.name, now.Sub(w.since).Round(time.Second), w.lag, p.outstanding())
		if r.health.stalled(r.fetchPart(id), what) && !w.stalled {
			w.stalled = true
			r.stats.stalled.Inc()
			r.cfg.Log.Error("partition makes no progress, and nothing is known to be wrong; see /livez", "source", r.name, "topic", id.topic, "partition", id.partition)
		}
	}
}

// unstall forgets that a partition made no progress. r.mu is held.
func (r *reader) unstall(p *partition) {
	if p.progress.stalled {
		p.progress.stalled = false
		r.stats.stalled.Dec()
		r.health.moving(r.fetchPart(p.id))
	}
}

// troubled reports whether something is known to be wrong that can hold every
// partition: the group, the cluster or the destination.
func (r *reader) troubled() bool {
	if r.health.hasOtherThan("stopped ") {
		return true
	}
	p := r.stages.publisher
	for _, l := range p.lanes {
		if l.state.bad.Load() {
			return true
		}
	}
	return p.dead.state.bad.Load()
}
