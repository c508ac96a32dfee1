package compare

import (
	"cmp"
	"fmt"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// scope decides what is compared (rule C4) and writes it into the result.
func (p *prepared) scope(c control) error {
	spec, res, w := p.queries.spec, p.result, p.queries.windowing
	now := p.cfg.Now().UTC()
	p.standings = tables.Standings(c.generations)
	var computed []Range // by a shadow
	switch {
	case tables.IsShadow(spec.Stream.Job):
		p.stream = streamState{settled: true, atMaximum: true}
		computed = shadowSpans(p.standings, spec.Stream.Job)
	case spec.Stream.Settled() == jobspecs.SettledByClock:
		p.stream = streamState{settled: true, byClock: true, through: now}
	default:
		p.stream = decideStream(spec.Stream.Job, c.generations, c.watermarks)
	}
	if spec.Batch.Shadow != "" {
		c.loads, c.reloaded = shadowLoads(p.standings, spec.Batch.Shadow), 0
	}
	batch := batchState{loads: c.loads, byClock: batchByClock(spec), after: spec.Batch.SettleAfter.D(), now: now}
	length := cmp.Or(p.cfg.Last, spec.Range.Last.D())
	r, err := defaultRange(batch, w, p.cfg.Range, length)
	if err != nil {
		return err
	}
	after := max(spec.Stream.SettleAfter.D(), spec.Batch.Cutoff.D())
	decide := func() ([]Range, []LeftOut) {
		settled, left := decideScope(r, w, after, batch, p.stream)
		if tables.IsShadow(spec.Stream.Job) {
			settled, left = withinShadow(settled, left, computed, w)
		}
		return settled, left
	}
	settled, left := decide()
	if length > 0 && p.cfg.Range.From.IsZero() {
		r = newest(r, settled, w, length)
		settled, left = decide()
	}
	p.describe()
	res.Scope.Range, res.Scope.Default = r, p.cfg.Range.From.IsZero() || p.cfg.Range.To.IsZero()
	p.counting = countingRows(p.standings, wholeRange(settled))
	res.Scope.Settled = append(res.Scope.Settled, settled...)
	res.Scope.LeftOut = append(res.Scope.LeftOut, left...)
	res.Scope.Windows = w.count(settled)
	if len(c.loads) == 0 && !batch.byClock {
		nothing := fmt.Sprintf("the table %s lists no load of %s", tables.BatchLoads, spec.Batch.Table)
		if spec.Batch.Shadow != "" {
			nothing = fmt.Sprintf("there is no complete backfill of %s", spec.Batch.Shadow)
		}
		res.Scope.LeftOut = append(res.Scope.LeftOut, LeftOut{LeftOutNotLoaded, nothing, 0, []Range{}})
	}
	res.Batch = c.batchFreshness()
	res.Stream = StreamFreshness{AtMaximum: p.stream.atMaximum, Jobs: p.stream.jobs, Generations: p.ownWriters()}
	if p.stream.settled && !p.stream.atMaximum && !p.stream.byClock {
		res.Stream.SettledTo = &p.stream.through
	}
	if res.Stream.Jobs == nil {
		res.Stream.Jobs = []JobState{}
	}
	return nil
}

// describe writes what preflight has learnt of the sides, and where windows begin.
func (p *prepared) describe() {
	q, scope := p.queries, &p.result.Scope
	for _, s := range []struct {
		of *side
		to *SideScope
	}{{&q.batch, &scope.Batch}, {&q.stream, &scope.Stream}} {
		if s.of.kind != SideQuery && s.to.Kind != SideFiles {
			s.to.Kind, s.to.Name = s.of.kind, s.of.name.String()
		}
	}
	if q.windowing.offset > 0 {
		scope.Offset = shortDuration(q.windowing.offset)
	}
	if q.windowing.zone != nil {
		scope.TimeZone = q.windowing.zone.String()
	}
}

// batchByClock reports whether the clock alone says what is complete on the
// batch side; what a shadow has computed is known.
func batchByClock(spec *jobspecs.ComparisonSpec) bool {
	return spec.Batch.Shadow == "" && spec.Batch.Settled() == jobspecs.SettledByClock
}

// defaultRange fills the bounds that were not given: with what the loads cover,
// or, by the clock, with all windows that have ended. last is the length that
// newest cuts the range to, if that is asked for.
func defaultRange(batch batchState, w windowing, given Range, last time.Duration) (Range, error) {
	r := given
	if batch.byClock {
		if given.To.IsZero() {
			r.To = w.floor(batch.now)
		}
		switch {
		case !given.From.IsZero():
		case last <= 0:
			return r, exit.Usagef("the batch side is settled by the clock, so nothing says where the range begins").
				WithHint("give --from, or range.last in the spec")
		default:
			r.From = w.floor(time.Unix(0, 0))
		}
	}
	for _, l := range batch.loads {
		if given.From.IsZero() && (r.From.IsZero() || l.RangeStart.Before(r.From)) {
			r.From = l.RangeStart
		}
		if given.To.IsZero() && (r.To.IsZero() || l.RangeEnd.After(r.To)) {
			r.To = l.RangeEnd
		}
	}
	if r.To.Before(r.From) || r.From.IsZero() || r.To.IsZero() {
		// Nothing is complete there.
		r = Range{given.From, given.From}
		if given.From.IsZero() {
			r = Range{given.To, given.To}
		}
	}
	return Range{r.From.UTC(), r.To.UTC()}, nil
}

// ownWriters are the writers of the compared group, its backfills included;
// others are added when their rows are met.
func (p *prepared) ownWriters() []Writer {
	if p.queries.spec.Stream.Job == "" {
		return []Writer{}
	}
	jobs := map[string]bool{}
	for _, j := range p.stream.jobs {
		jobs[j.Job] = true
	}
	own := []tables.Standing{}
	for _, s := range p.standings {
		if jobs[s.Job] || s.Group == p.queries.spec.Stream.Job {
			own = append(own, s)
		}
	}
	return writersOf(own)
}
