package report

import (
	"fmt"
	"strings"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/term"
)

// This file says what was compared and how fresh it is, without I/O.

// sideText says what a side is read from.
func sideText(s compare.SideScope) string {
	t := plain(s.Name)
	switch s.Kind {
	case compare.SideFiles:
		t = "files " + plain(strings.Join(s.Files, ", "))
	case compare.SideQuery:
		t = "a query"
	case compare.SideView:
		t = "view " + t
	}
	if s.Where != "" {
		t += " where " + plain(s.Where)
	}
	if s.Job != "" {
		t += ", written by " + plain(s.Job)
	}
	return t
}

// partsText says in how many queries a range was compared; "" in one.
func partsText(r *compare.Result) string {
	switch {
	case r.Partitions <= 1:
		return ""
	case r.Resumed > 0:
		return fmt.Sprintf("in %d parts, %d of them by a run that was stopped", r.Partitions, r.Resumed)
	}
	return fmt.Sprintf("in %d parts", r.Partitions)
}

// streamRows is what was read of the stream side.
func streamRows(r *compare.Result) string {
	rows := countOf(r.Stream.Rows, "row")
	if r.Stream.Copies > 0 {
		rows += ", identical copies collapsed: " + count(r.Stream.Copies)
	}
	return rows
}

// leftOutText is the left-out windows in a sentence.
func leftOutText(l compare.LeftOut) string { return plain(l.Text()) }

// windowsText says what windows are.
func windowsText(s compare.Scope) string {
	t := "of " + s.WindowSize
	if s.TimeZone != "" {
		t += " in " + plain(s.TimeZone)
	}
	if s.Offset != "" {
		t += " (offset " + s.Offset + ")"
	}
	return t
}

// jobText is the state of a job.
func jobText(j compare.JobState) string {
	switch {
	case j.Problem != "":
		return plain(j.Problem)
	case j.AtMaximum:
		return "all there is has been read"
	case j.Watermark != nil:
		return "watermark " + moment(*j.Watermark)
	}
	return "watermark unknown"
}

// timesBound says how many times the least possible was billed.
func timesBound(c compare.Cost) string {
	v, ok := c.Ratio.Rat()
	if !ok || v.Sign() == 0 {
		return ""
	}
	return " (" + v.FloatString(2) + " times the least possible, " + term.Bytes(c.LowerBound) + ")"
}

// exceptionsShown bounds the replaced spans that a report for people names of a
// writer; the JSON has all.
const exceptionsShown = 3

// where says for people in which windows the rows of a writer count.
func where(w compare.Writer) string {
	where := "in all windows"
	if w.Within != nil {
		where = fmt.Sprintf("from %s to %s", stamp(w.Within.From), stamp(w.Within.To))
	}
	for i, e := range w.Except {
		switch i {
		case 0:
			where += " but not"
		case exceptionsShown:
			return where + fmt.Sprintf(" and %d further", len(w.Except)-i)
		default:
			where += ","
		}
		where += fmt.Sprintf(" from %s to %s (%s)", stamp(e.From), stamp(e.To), plain(e.By))
	}
	return where
}

// byClock is how fresh a side is of which nothing but the clock says it.
const byClock = "settled by the clock"

// batchText is how fresh the batch side is.
func batchText(r *compare.Result) string {
	b := r.Batch
	if b.Loads == 0 && r.Scope.Windows > 0 {
		return byClock
	}
	s := countOf(b.Loads, "load")
	if b.Reloaded > 0 {
		s += fmt.Sprintf(" (%s loaded more than once)", countOf(b.Reloaded, "range"))
	}
	if b.CoveredTo != nil {
		s += " up to " + moment(*b.CoveredTo)
	}
	if b.LastLoaded != nil {
		s += ", the last at " + minute(*b.LastLoaded)
	}
	return s
}

// streamText is how fresh the stream side is.
func streamText(r *compare.Result) string {
	switch s := r.Stream; {
	case s.AtMaximum:
		return "all there is has been read"
	case s.SettledTo != nil:
		return "all jobs are past " + moment(*s.SettledTo)
	case len(s.Jobs) == 0 && r.Scope.Windows > 0:
		return byClock
	}
	return "how far it is is unknown"
}
