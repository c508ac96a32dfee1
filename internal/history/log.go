package history

import (
	"fmt"
	"slices"
	"strings"
	"time"

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
	row = g
	// BigQuery keeps microseconds; what is read back must be equal.
	row.RecordedAt, row.Seq = now.UTC().Truncate(time.Microsecond), 1
	old, ok := l.Writer(g.Job, g.Generation)
	if !ok {
		return row, false, nil
	}
	if old.Kind != g.Kind {
		return row, false, fmt.Errorf("record %s@%d as %s: it is a %s", g.Job, g.Generation, g.Kind, old.Kind)
	}
	if g.DataflowJobID.Valid && old.DataflowJobID.Valid && g.DataflowJobID != old.DataflowJobID {
		return row, false, fmt.Errorf("record %s@%d as Dataflow job %s: it is %s", g.Job, g.Generation, g.DataflowJobID.StringVal, old.DataflowJobID.StringVal)
	}
	// What a row does not say is as it was.
	if !row.DataflowJobID.Valid {
		row.DataflowJobID = old.DataflowJobID
	}
	if !row.Supersedes.Valid {
		row.Supersedes = old.Supersedes
	}
	if row.State == old.State && row.DataflowJobID == old.DataflowJobID && row.Supersedes == old.Supersedes {
		return old, true, nil
	}
	if row.State != old.State && old.State != tables.StateOpen && row.State != tables.StateVoid ||
		old.State == tables.StateVoid && row.State != tables.StateVoid {
		return row, false, fmt.Errorf("record %s@%d as %s: it is %s, and a generation that has ended stays so", g.Job, g.Generation, g.State, old.State)
	}
	row.Seq = old.Seq + 1
	// Another machine's clock may be ahead: the new row has to be the newest.
	if least := old.RecordedAt.Add(time.Microsecond); row.RecordedAt.Before(least) {
		row.RecordedAt = least
	}
	return row, false, nil
}

// FormatWriter writes a writer as the column supersedes does: JOB@GENERATION.
func FormatWriter(job string, generation int64) string { return fmt.Sprintf("%s@%d", job, generation) }

func same(a, b tables.Generation) bool {
	return a.Job == b.Job && a.Generation == b.Generation && a.Seq == b.Seq && strings.EqualFold(a.State, b.State) &&
		a.RecordedAt.Equal(b.RecordedAt) && a.DataflowJobID == b.DataflowJobID
}
