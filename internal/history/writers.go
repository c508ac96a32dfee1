package history

import (
	"slices"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// newestRows is the newest row of every writer, in no order.
func (l Log) newestRows() []tables.Generation {
	var rows []tables.Generation
	for _, gs := range l.newest {
		rows = append(rows, gs...)
	}
	return rows
}

// Standings says of every writer which of its rows count, ordered by job and
// generation.
func (l Log) Standings() []tables.Standing { return tables.Standings(l.newestRows()) }

// Jobs are the names of the jobs that have run, or are believed to run, as
// streams of a group, sorted.
func (l Log) Jobs(group string) []string {
	var jobs []string
	for job, gs := range l.newest {
		if slices.ContainsFunc(gs, func(g tables.Generation) bool { return g.Kind == tables.WriterStream && g.Group == group }) {
			jobs = append(jobs, job)
		}
	}
	slices.Sort(jobs)
	return jobs
}

// Predecessors are the writers, as JOB@GENERATION and sorted, whose rows count
// and which have handed over the ids of the events that they counted: streams
// that have drained. They are of any group: another group's job may have read
// the same subscription. A writer that is not drained is not among them: what
// it counted does not count, so an event that it knew must be counted again
// (invariant P3, P5).
func (l Log) Predecessors() []string {
	var out []string
	for _, g := range l.newestRows() {
		if g.Kind == tables.WriterStream && g.State == tables.StateDrained {
			out = append(out, g.Writer().String())
		}
	}
	slices.Sort(out)
	return out
}

// Replaced are the spans of windows that backfills of a group which count have
// taken over, by their start: no stream's row counts in them any more.
func (l Log) Replaced(group string) []tables.Span {
	var out []tables.Span
	for _, s := range l.Standings() {
		if s.Counts && s.Within != nil && s.Group == group {
			out = append(out, *s.Within)
		}
	}
	slices.SortFunc(out, func(a, b tables.Span) int {
		if c := a.From.Compare(b.From); c != 0 {
			return c
		}
		return a.To.Compare(b.To)
	})
	return out
}
