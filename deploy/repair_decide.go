package deploy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file decides, without I/O, what a repair does.
//
// The windows to recompute are those of the events that the void generations have
// read, which their raw rows tell, and those that they have written. That is
// enough. Beside the numbers that no longer count, a generation leaves ids by
// which its successors drop what it has counted. It leaves those of events that it
// has read, all of which are in its raw rows, and those that it has taken over
// itself from a writer that has counted them. So there is no event that a
// successor drops, that nobody counts, and that is outside of these windows.

// Repair is what is to be repaired: generations whose numbers are wrong.
type Repair struct {
	Void []tables.Writer // of the StreamJob; none of them runs any more

	// One of them, as a Backfill has it. A raw table is none: its rows were made by
	// the code that was wrong.
	Archive string
	Files   string

	// Wait says to wait until the windows can be replaced.
	Wait bool
}

// RepairPlan is what a repair does. It is data: views print it.
type RepairPlan struct {
	Group   string         `json:"group"`
	Writers []RepairWriter `json:"writers"`

	// The windows that are recomputed; null: the generations have read nothing.
	From *time.Time `json:"window_from"`
	To   *time.Time `json:"window_to"`
	// Repaired is the complete backfill, JOB@GENERATION, that has replaced them;
	// empty: none has.
	Repaired string `json:"repaired,omitempty"`
	// UnsettledUntil is what the watermarks of the jobs that run must reach first;
	// null: they have, or nothing runs.
	UnsettledUntil *time.Time `json:"unsettled_until,omitempty"`
}

// RepairWriter is a generation that is repaired.
type RepairWriter struct {
	Job        string        `json:"job"`
	Generation int64         `json:"generation"`
	State      string        `json:"state"`      // on record
	Voids      bool          `json:"voids"`      // its being void is yet to be recorded
	Deployed   *Deployment   `json:"deployment"` // that has brought it; null: not known
	Tables     []TouchedRows `json:"tables"`
}

// Writer names the writer.
func (w RepairWriter) Writer() tables.Writer {
	return tables.Writer{Job: w.Job, Generation: w.Generation}
}

// TouchedRows are the rows of a writer in a table.
type TouchedRows struct {
	Table   string    `json:"table"`
	Rows    int64     `json:"rows"`
	Windows int64     `json:"windows"` // keys and windows; of the raw table 0
	From    time.Time `json:"from"`    // start of the first window; time of the first event
	To      time.Time `json:"to"`      // end of the last window; time of the last event
}

// Pending reports whether the repair has anything to do.
func (p *RepairPlan) Pending() bool { return p.voids() || p.From != nil && p.Repaired == "" }

// voids reports whether a generation is yet to be recorded as void.
func (p *RepairPlan) voids() bool {
	return slices.ContainsFunc(p.Writers, func(w RepairWriter) bool { return w.Voids })
}

// names are the writers.
func (p *RepairPlan) names() string {
	var out []string
	for _, w := range p.Writers {
		out = append(out, w.Writer().String())
	}
	return strings.Join(out, ", ")
}

// same reports whether o, made later, does the same as p, or only the rest of it.
func (p *RepairPlan) same(o *RepairPlan) bool {
	equal := func(a, b *time.Time) bool { return a == nil && b == nil || a != nil && b != nil && a.Equal(*b) }
	return p.names() == o.names() && equal(p.From, o.From) && equal(p.To, o.To)
}

// check checks r against a spec. Its errors are the user's.
func (r Repair) check(job *jobspecs.StreamJob) error {
	if err := job.KappaPipeline("repair"); err != nil {
		return err
	}
	if len(r.Void) == 0 {
		return exit.Usagef("no generation to void").WithHint("name one with --void JOB@GENERATION")
	}
	for i, w := range r.Void {
		if slices.Contains(r.Void[:i], w) {
			return exit.Usagef("%s is to be voided twice", w)
		}
	}
	b := r.backfill(job, tables.Span{})
	return b.checkSource(job)
}

// backfill recomputes the windows.
func (r Repair) backfill(job *jobspecs.StreamJob, span tables.Span) Backfill {
	return Backfill{Job: repairJob(job), From: span.From, To: span.To, Archive: r.Archive, Files: r.Files}
}

// repairJob is the name that repairs of a StreamJob write under.
func repairJob(job *jobspecs.StreamJob) string { return job.Metadata.Name + "-repair" }

// decideVoid says whether a generation is to be recorded as void, by its newest
// row and the id of the job of its name that has not ended (empty: none).
func decideVoid(group string, w tables.Writer, log history.Log, active string) (state string, voids bool, err error) {
	g, ok := log.Writer(w.Job, w.Generation)
	switch {
	case !ok:
		var has []string
		for _, g := range log.Generations(w.Job) {
			has = append(has, g.Writer().String())
		}
		e := exit.Usagef("the history has no generation %s", w)
		if len(has) > 0 {
			return "", false, e.WithHint("it has %s", strings.Join(has, ", "))
		}
		return "", false, e.WithHint("look at `kappa deploy history`")
	case g.Group != group:
		return "", false, exit.Usagef("%s is a writer of %s, not of %s", w, g.Group, group)
	case g.State == tables.StateVoid, g.State == tables.StateCancelled:
		return g.State, false, nil // its rows do not count as it is
	case g.State == tables.StateOpen && active != "":
		// It would go on to write, and what it reads would be lost to its successor.
		return "", false, exit.Environmentf("%s still runs (%s)", w, active).
			WithHint("replace it first, by `kappa deploy apply` with the right code and spec or by `kappa deploy rollback`; then repair")
	}
	return g.State, true, nil
}

// windowsOf are the windows in which rows of a table lie, as a span that begins
// and ends where a window of every aggregation does; false: there are none.
func windowsOf(job *jobspecs.StreamJob, writers []RepairWriter) (tables.Span, bool) {
	var span tables.Span
	for _, w := range writers {
		for _, t := range w.Tables {
			if t.Rows == 0 {
				continue
			}
			if span.From.IsZero() || t.From.Before(span.From) {
				span.From = t.From
			}
			if t.To.After(span.To) {
				span.To = t.To
			}
		}
	}
	if span.From.IsZero() {
		return span, false
	}
	unit := int64(1)
	for _, a := range job.Spec.Aggregations {
		unit = leastCommonMultiple(unit, int64(a.Window.D()/time.Second))
	}
	from := span.From.Unix()
	from -= (from%unit + unit) % unit
	to := span.To.Unix()
	if span.To.Nanosecond() > 0 {
		to++
	}
	if rest := (to%unit + unit) % unit; rest > 0 {
		to += unit - rest
	}
	return tables.Span{From: time.Unix(from, 0).UTC(), To: time.Unix(to, 0).UTC()}, true
}

func leastCommonMultiple(a, b int64) int64 {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}

// repairedBy finds the complete repair of a span that was recorded after all of
// the writers were void. It was begun then, or goes on under the same lease: no
// generation becomes void while a backfill is computed.
func repairedBy(log history.Log, job *jobspecs.StreamJob, writers []RepairWriter, span tables.Span) string {
	for _, g := range slices.Backward(log.Generations(repairJob(job))) {
		if g.Kind != tables.WriterBackfill || g.State != tables.StateDrained || g.Group != job.Metadata.Name ||
			g.WindowFrom.Timestamp.After(span.From) || g.WindowTo.Timestamp.Before(span.To) {
			continue
		}
		after := func(w RepairWriter) bool {
			void, ok := log.Writer(w.Job, w.Generation)
			return ok && !w.Voids && g.RecordedAt.After(void.RecordedAt)
		}
		if !slices.ContainsFunc(writers, func(w RepairWriter) bool { return !after(w) }) {
			return g.Writer().String()
		}
	}
	return ""
}

// pace is how fast watermarks move.
type pace struct {
	at    time.Time // when it was looked at first
	least time.Time // the least watermark then
}

// next adds a reading and says when a time is reached, if they go on like that. A
// watermark that was seen once is taken to move as the clock does; one that stands
// still never reaches anything (false).
func (p *pace) next(now, least, until time.Time) (time.Time, bool) {
	if p.at.IsZero() {
		p.at, p.least = now, least
		return now.Add(until.Sub(least)), true
	}
	moved, took := least.Sub(p.least), now.Sub(p.at)
	if moved <= 0 || took <= 0 {
		return time.Time{}, false
	}
	left := float64(until.Sub(least)) / float64(moved) * float64(took)
	return now.Add(time.Duration(left)), true
}

// missing says what is not there until the windows are recomputed.
func (p *RepairPlan) missing() string {
	if p.From == nil {
		return "nothing"
	}
	return fmt.Sprintf("what %s had counted in the windows from %s to %s", p.names(), stamp(*p.From), stamp(*p.To))
}
