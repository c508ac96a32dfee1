package compare

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// This file decides, without I/O, which windows are settled (rule C4).

func writerName(job string, generation int64) string { return fmt.Sprintf("%s@%d", job, generation) }

// streamState is how far the stream side is settled.
type streamState struct {
	jobs      []JobState
	settled   bool      // something is settled
	atMaximum bool      // everything is
	byClock   bool      // there are no jobs: through is the clock
	through   time.Time // all jobs are past this, unless atMaximum
	problem   string    // why nothing is settled
}

var jobNumber = regexp.MustCompile(`^-[0-9]+$`)

// decideStream says how far the jobs of a group have come. The jobs are those
// that have published a watermark for the group and the stream writers that
// are named after it; backfills are none, for no window waits for one. What
// counts for a job is the watermark of its newest generation: while that one is
// void nothing is settled, for what it read is still to be read again.
func decideStream(group string, gens []tables.Generation, marks []tables.Watermark) streamState {
	newest := map[string]tables.Generation{}
	jobs := map[string]bool{}
	backfills := map[string]bool{} // by writer
	for _, g := range gens {
		backfills[writerName(g.Job, g.Generation)] = g.Kind == tables.WriterBackfill
		tail, named := strings.CutPrefix(g.Job, group)
		if named && jobNumber.MatchString(tail) && g.Kind == tables.WriterStream {
			jobs[g.Job] = true
		}
		if old, ok := newest[g.Job]; g.Kind == tables.WriterStream && (!ok || g.Generation > old.Generation) {
			newest[g.Job] = g
		}
	}
	observed := map[string]tables.Watermark{}
	for _, m := range marks {
		name := writerName(m.Job, m.Generation)
		if backfills[name] {
			continue
		}
		jobs[m.Job] = true
		if old, ok := observed[name]; !ok || m.ObservedAt.After(old.ObservedAt) {
			observed[name] = m
		}
	}
	names := make([]string, 0, len(jobs))
	for j := range jobs {
		names = append(names, j)
	}
	slices.Sort(names)
	s := streamState{settled: true, atMaximum: true}
	for _, name := range names {
		state := jobState(name, newest, observed)
		s.jobs = append(s.jobs, state)
		switch {
		case state.Problem != "":
			s.settled = false
			if s.problem == "" {
				s.problem = fmt.Sprintf("job %s: %s", name, state.Problem)
			}
		case state.AtMaximum:
		default:
			if s.atMaximum || state.Watermark.Before(s.through) {
				s.through = *state.Watermark
			}
			s.atMaximum = false
		}
	}
	if len(names) == 0 {
		s.settled, s.problem = false, fmt.Sprintf("no job of the group %s has published a watermark", group)
	}
	if !s.settled {
		s.atMaximum = false
	}
	return s
}

func jobState(job string, newest map[string]tables.Generation, observed map[string]tables.Watermark) JobState {
	state := JobState{Job: job}
	g, ok := newest[job]
	if !ok {
		state.Problem = "it is not in the generations table"
		return state
	}
	state.Generation = g.Generation
	m, ok := observed[writerName(job, g.Generation)]
	if ok {
		state.AtMaximum, state.ObservedAt = m.AtMaximum, &m.ObservedAt
		if m.Watermark.Valid {
			state.Watermark = &m.Watermark.Timestamp
		}
	}
	switch {
	case g.State != tables.StateOpen && g.State != tables.StateDrained:
		state.AtMaximum = false
		state.Problem = fmt.Sprintf("its newest generation %d is %s, and none has taken its place", g.Generation, g.State)
	case !ok:
		state.Problem = fmt.Sprintf("generation %d has published no watermark", g.Generation)
	case !m.AtMaximum && !m.Watermark.Valid:
		state.Problem = fmt.Sprintf("the watermark of generation %d is not known yet", g.Generation)
	}
	return state
}

// floor aligns to windows, which start at multiples of size since the Unix epoch.
func floor(t time.Time, size time.Duration) time.Time {
	us, n := t.UnixMicro(), size.Microseconds()
	return time.UnixMicro(us - (us%n+n)%n).UTC()
}

// batchState is what says that windows are complete on the batch side.
type batchState struct {
	loads   []tables.BatchLoad
	byClock bool
	after   time.Duration // by the clock: how long after their end
	now     time.Time
}

// decideScope finds the settled windows: those in r that are complete on the
// batch side, by its loads or by the clock, and whose end all jobs are past by
// after; a stream without jobs is as far as the clock. Bounds of the result are
// starts of windows (invariant C4).
func decideScope(r Range, w windowing, after time.Duration, batch batchState, stream streamState) (settled []Range, left []LeftOut) {
	whole := Range{w.ceil(r.From), w.ceil(r.To)}
	complete := clip(coverage(batch.loads, w), whole)
	reason, message := LeftOutNotLoaded, "no batch load covers them"
	if batch.byClock {
		complete = clip([]Range{whole}, Range{whole.From, w.floor(batch.now.Add(-batch.after))})
		reason, message = LeftOutBatchOpen, fmt.Sprintf("their end is not %s ago", shortDuration(batch.after))
	}
	settled = complete
	switch {
	case !stream.settled:
		settled = nil
	case !stream.atMaximum:
		// A window counts if its end + after ≤ watermark.
		settled = clip(complete, Range{whole.From, w.floor(stream.through.Add(-after))})
	}
	if missing := subtract([]Range{whole}, complete); len(missing) > 0 {
		left = append(left, LeftOut{reason, message, w.count(missing), missing})
	}
	if open := subtract(complete, settled); len(open) > 0 {
		message := stream.problem
		switch {
		case message != "":
		case stream.byClock:
			message = fmt.Sprintf("their end is not %s ago", shortDuration(after))
		default:
			message = fmt.Sprintf("the stream's watermark, %s, is not past their end by %s", stamp(stream.through), shortDuration(after))
		}
		left = append(left, LeftOut{LeftOutStreamOpen, message, w.count(open), open})
	}
	return settled, left
}

// newest is the part of a range that holds its newest settled windows, this
// long: from the first of them on. Later windows that are not settled stay in it.
// Of calendar days it is as many as the length has: a week in which clocks change
// has seven of them too.
func newest(r Range, settled []Range, w windowing, last time.Duration) Range {
	if len(settled) == 0 {
		return r
	}
	end := settled[len(settled)-1].To
	from := w.ceil(end.Add(-last))
	if w.zone != nil {
		from = w.begins(w.dayOf(end).Add(-last.Truncate(day)))
	}
	if from.After(r.From) {
		r.From = from
	}
	return r
}

// coverage merges the loads' ranges and shrinks them to whole windows.
func coverage(loads []tables.BatchLoad, w windowing) []Range {
	var spans []Range
	for _, l := range loads {
		spans = append(spans, Range{l.RangeStart.UTC(), l.RangeEnd.UTC()})
	}
	var out []Range
	for _, s := range union(spans) {
		s.From, s.To = w.ceil(s.From), w.floor(s.To)
		if s.From.Before(s.To) {
			out = append(out, s)
		}
	}
	return out
}

// clip returns the parts of spans that are within bounds.
func clip(spans []Range, bounds Range) []Range {
	var out []Range
	for _, s := range spans {
		if s.From.Before(bounds.From) {
			s.From = bounds.From
		}
		if s.To.After(bounds.To) {
			s.To = bounds.To
		}
		if s.From.Before(s.To) {
			out = append(out, s)
		}
	}
	return out
}

// subtract returns the parts of spans that no range of holes covers; both are
// sorted and disjoint.
func subtract(spans, holes []Range) []Range {
	var out []Range
	for _, s := range spans {
		for _, h := range holes {
			if !h.To.After(s.From) || !h.From.Before(s.To) {
				continue
			}
			if h.From.After(s.From) {
				out = append(out, Range{s.From, h.From})
			}
			s.From = h.To
		}
		if s.From.Before(s.To) {
			out = append(out, s)
		}
	}
	return out
}
