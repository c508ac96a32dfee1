package history

import (
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// Log is the folded log of generations. It does no I/O.
type Log struct {
	newest map[string][]tables.Generation // by job, ascending by generation
}

// Fold makes a Log of the rows of the table, in any order, repeated or not.
func Fold(rows []tables.Generation) Log {
	type writer struct {
		job        string
		generation int64
	}
	newest := map[writer]tables.Generation{}
	for _, r := range rows {
		w := writer{r.Job, r.Generation}
		if old, ok := newest[w]; !ok || newer(r, old) {
			newest[w] = r
		}
	}
	l := Log{newest: map[string][]tables.Generation{}}
	for w, r := range newest {
		l.newest[w.job] = append(l.newest[w.job], r)
	}
	for _, gs := range l.newest {
		slices.SortFunc(gs, func(a, b tables.Generation) int { return int(a.Generation - b.Generation) })
	}
	return l
}

func newer(a, b tables.Generation) bool {
	if c := a.RecordedAt.Compare(b.RecordedAt); c != 0 {
		return c > 0
	}
	return a.Seq > b.Seq
}

// Generations are the newest rows of all writers of a job, oldest generation first.
func (l Log) Generations(job string) []tables.Generation { return slices.Clone(l.newest[job]) }

// Writer is the newest row of a writer.
func (l Log) Writer(job string, generation int64) (tables.Generation, bool) {
	for _, g := range l.newest[job] {
		if g.Generation == generation {
			return g, true
		}
	}
	return tables.Generation{}, false
}

// Latest is the newest row of the highest generation of a job.
func (l Log) Latest(job string) (tables.Generation, bool) {
	gs := l.newest[job]
	if len(gs) == 0 {
		return tables.Generation{}, false
	}
	return gs[len(gs)-1], true
}

// NextGeneration is the number that the next generation of a job takes.
func (l Log) NextGeneration(job string) int64 {
	g, _ := l.Latest(job)
	return g.Generation + 1
}

// byDataflowID finds the writer that a Dataflow job is.
func (l Log) byDataflowID(job, id string) (tables.Generation, bool) {
	for _, g := range l.newest[job] {
		if id != "" && g.DataflowJobID.StringVal == id {
			return g, true
		}
	}
	return tables.Generation{}, false
}

var states = []string{tables.StateOpen, tables.StateDrained, tables.StateCancelled, tables.StateVoid}

// next completes g to the row that follows in the log, or reports that the log
// already says what g says.
func (l Log) next(g tables.Generation, now time.Time) (row tables.Generation, known bool, err error) {
	if g.Job == "" || g.Generation < 1 || !slices.Contains(states, g.State) ||
		(g.Kind != tables.WriterStream && g.Kind != tables.WriterBackfill) {
		return row, false, fmt.Errorf("record %s@%d: incomplete: kind %q, state %q", g.Job, g.Generation, g.Kind, g.State)
	}
	row = stored(g)
	row.RecordedAt, row.Seq = now.UTC().Truncate(time.Microsecond), 1
	old, ok := l.Writer(g.Job, g.Generation)
	if ok {
		if err := contradiction(old, row); err != nil {
			return row, false, err
		}
		row = carry(old, row)
	}
	if row.Group == "" {
		return row, false, fmt.Errorf("record %s@%d: incomplete: no job group", g.Job, g.Generation)
	}
	// invariant P2: a backfill without windows would replace nothing, or everything.
	if spanned := row.WindowFrom.Valid && row.WindowTo.Valid && row.WindowFrom.Timestamp.Before(row.WindowTo.Timestamp); row.Kind == tables.WriterBackfill && !spanned {
		return row, false, fmt.Errorf("record %s@%d: a backfill needs a span of windows, from before to", g.Job, g.Generation)
	}
	if row.Kind == tables.WriterStream && (row.WindowFrom.Valid || row.WindowTo.Valid) {
		return row, false, fmt.Errorf("record %s@%d: a stream has no span of windows", g.Job, g.Generation)
	}
	if !ok {
		return row, false, nil
	}
	if sameFacts(row, old) {
		return old, true, nil
	}
	if row.State != old.State && old.State != tables.StateOpen && row.State != tables.StateVoid ||
		old.State == tables.StateVoid && row.State != tables.StateVoid {
		return row, false, fmt.Errorf("record %s@%d as %s: it is %s, and a generation that has ended stays so", g.Job, g.Generation, g.State, old.State)
	}
	return after(old, row), false, nil
}

// after makes a row the newest of its writer.
func after(old, row tables.Generation) tables.Generation {
	row.Seq = old.Seq + 1
	// Another machine's clock may be ahead: the new row has to be the newest.
	if least := old.RecordedAt.Add(time.Microsecond); row.RecordedAt.Before(least) {
		row.RecordedAt = least
	}
	return row
}

// stored is g as BigQuery keeps it, in microseconds: what is read back must be
// equal.
func stored(g tables.Generation) tables.Generation {
	for _, t := range []*bigquery.NullTimestamp{&g.WindowFrom, &g.WindowTo, &g.Watermark} {
		t.Timestamp = t.Timestamp.UTC().Truncate(time.Microsecond)
	}
	return g
}

// contradiction says what of a writer's row cannot be, by an older one: what a
// writer is stays as it was.
func contradiction(old, g tables.Generation) error {
	switch {
	case old.Kind != g.Kind:
		return fmt.Errorf("record %s@%d as %s: it is a %s", g.Job, g.Generation, g.Kind, old.Kind)
	case g.Group != "" && old.Group != "" && g.Group != old.Group:
		return fmt.Errorf("record %s@%d for %s: it belongs to %s", g.Job, g.Generation, g.Group, old.Group)
	case g.DataflowJobID.Valid && old.DataflowJobID.Valid && g.DataflowJobID != old.DataflowJobID:
		return fmt.Errorf("record %s@%d as Dataflow job %s: it is %s", g.Job, g.Generation, g.DataflowJobID.StringVal, old.DataflowJobID.StringVal)
	case differs(g.WindowFrom, old.WindowFrom), differs(g.WindowTo, old.WindowTo):
		return fmt.Errorf("record %s@%d with other windows: they are %s to %s", g.Job, g.Generation,
			old.WindowFrom.Timestamp.Format(time.RFC3339), old.WindowTo.Timestamp.Format(time.RFC3339))
	}
	return nil
}

func differs(a, b bigquery.NullTimestamp) bool {
	return a.Valid && b.Valid && !a.Timestamp.Equal(b.Timestamp)
}

// carry completes g by an older row of its writer: what it does not say is as
// it was. What a drain has cut holds as it was first said: of two that watched
// it, one may have seen less.
func carry(old, g tables.Generation) tables.Generation {
	if g.Group == "" {
		g.Group = old.Group
	}
	if !g.DataflowJobID.Valid {
		g.DataflowJobID = old.DataflowJobID
	}
	if !g.Supersedes.Valid {
		g.Supersedes = old.Supersedes
	}
	if !g.WindowFrom.Valid {
		g.WindowFrom = old.WindowFrom
	}
	if !g.WindowTo.Valid {
		g.WindowTo = old.WindowTo
	}
	if old.Watermark.Valid {
		g.Watermark = old.Watermark
	}
	if old.WindowsCut.Valid {
		g.WindowsCut = old.WindowsCut
	}
	return g
}

// sameFacts reports whether both rows say the same of their writer.
func sameFacts(a, b tables.Generation) bool {
	a.RecordedAt, a.Seq = b.RecordedAt, b.Seq
	for _, p := range [][2]*bigquery.NullTimestamp{{&a.WindowFrom, &b.WindowFrom}, {&a.WindowTo, &b.WindowTo}, {&a.Watermark, &b.Watermark}} {
		if p[0].Valid == p[1].Valid && p[0].Timestamp.Equal(p[1].Timestamp) {
			*p[0] = *p[1] // equal times may differ as structs
		}
	}
	return a == b
}

// FormatWriter writes a writer as the column supersedes does: JOB@GENERATION.
func FormatWriter(job string, generation int64) string { return fmt.Sprintf("%s@%d", job, generation) }

// same reports whether both are one row.
func same(a, b tables.Generation) bool {
	return a.Seq == b.Seq && a.RecordedAt.Equal(b.RecordedAt) && sameFacts(a, b)
}
