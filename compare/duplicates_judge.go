package compare

import (
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file decides, without I/O, what a run of the monitor looks at, when it looks
// twice, and what is too much.

// countedWindow is what the first query says of a window.
type countedWindow struct {
	start                     time.Time
	deliveries, late, counted int64
}

// inTime are the deliveries that were not too late. A delivery that is missing in
// the raw table, and in the late one, is none.
func (w countedWindow) inTime() int64 { return max(w.deliveries-w.late, 0) }

// distinctEvents is what the second query says.
type distinctEvents struct {
	total           DistinctCounts
	windows         map[time.Time]DuplicateWindow
	keys, positions []DuplicateGroup
}

// duplicatesRange is what is looked at: the newest settled windows, or, of what is
// asked for, the settled part (invariant C4). The reason says why there is none.
func duplicatesRange(w windowing, asked Range, spec *jobspecs.DuplicateMonitorSpec, stream streamState, now time.Time) (r Range, reason string) {
	if !stream.settled {
		return r, stream.problem
	}
	through := now
	if !stream.atMaximum {
		through = stream.through.Add(-spec.Counts.SettleAfter.D())
	}
	r.To = w.floor(through)
	if to := asked.To; !to.IsZero() && w.floor(to).Before(r.To) {
		r.To = w.floor(to)
	}
	r.From = w.floor(r.To.Add(-spec.Range.Last.D()))
	if !asked.From.IsZero() {
		r.From = w.ceil(asked.From)
	}
	if !r.From.Before(r.To) {
		return r, fmt.Sprintf("no window from %s on is settled: the watermark is at %s", stamp(r.From), stamp(through))
	}
	return r, ""
}

// count takes in what the first query has found.
func (d *Duplicates) count(found []countedWindow) {
	for _, w := range found {
		c := &d.Counts
		if w.start.Before(d.Range.From) {
			c = &d.PastCounts
		}
		c.Deliveries += w.deliveries
		c.Late += w.late
		c.Counted += w.counted
	}
	d.Before, d.PastBefore = d.Counts.beyond(), d.PastCounts.beyond()
	now, ok := d.Before.Rat()
	if past, had := d.PastBefore.Rat(); ok && had {
		text := points(new(big.Rat).Sub(now, past))
		d.Change = &text
	}
	d.listWindows(found, nil)
}

// beyond is the share of deliveries in time that the counted events do not need.
func (c DuplicateCounts) beyond() Ratio {
	return NewRatio(max(c.Deliveries-c.Late, 0)-c.Counted, c.Counted)
}

// points is a difference of shares in percentage points, to four decimals.
func points(r *big.Rat) string {
	return new(big.Rat).Mul(r, big.NewRat(100, 1)).FloatString(4)
}

// exceeds reports whether a share is above a bound in percent.
func exceeds(r Ratio, percent jobspecs.Decimal) bool {
	v, ok := r.Rat()
	return ok && v.Mul(v, big.NewRat(100, 1)).Cmp(percent.Rat()) > 0
}

// second says why distinct events have to be counted; empty: they need not be.
func (m *monitor) second() string {
	d, alert := m.result, m.spec.Alert
	switch {
	case d.Counts.Deliveries == 0 && d.Counts.Counted == 0:
		return "" // there is nothing
	case m.cfg.Exact:
		return "asked for"
	case d.Counts.Counted == 0:
		return "nothing is counted"
	case d.Counts.Deliveries-d.Counts.Late < d.Counts.Counted:
		return "more events are counted than were delivered in time"
	case exceeds(d.Before, alert.MaxPercentBefore):
		return "the percentage before deduplication is above maxPercentBefore"
	}
	if d.Change != nil {
		change, limit := number(*d.Change), alert.MaxIncrease.Rat()
		switch {
		case change.Cmp(limit) > 0:
			return "the percentage before deduplication has risen by more than maxIncrease"
		case change.Cmp(new(big.Rat).Neg(limit)) < 0:
			// Duplicates that are counted look like events.
			return "the percentage before deduplication has fallen by more than maxIncrease"
		}
	}
	return ""
}

// distinct takes in what the second query has found. Events are counted twice, or
// not at all, window by window: what is missing in one does not make up for what
// is too much in another.
func (d *Duplicates) distinct(exact distinctEvents, found []countedWindow) {
	d.Exact = true
	c := exact.total
	for _, w := range found {
		if w.start.Before(d.Range.From) {
			continue
		}
		var due int64 // events that should be counted
		if e, ok := exact.windows[w.start]; ok {
			due = *e.Events - *e.TooLate
		}
		c.Twice += max(w.counted-due, 0)
		c.Missing += max(due-w.counted, 0)
	}
	d.Counts.DistinctCounts = &c
	d.Before = NewRatio(c.Redelivered+c.Republished+c.Recorded, c.Events)
	after := NewRatio(c.Twice, c.Events-c.TooLate)
	d.After = &after
	d.Keys, d.Positions = withDuplicates(exact.keys), withDuplicates(exact.positions)
	d.listWindows(found, exact.windows)
}

func withDuplicates(groups []DuplicateGroup) []DuplicateGroup {
	out := slices.DeleteFunc(groups, func(g DuplicateGroup) bool { return g.Duplicates == 0 })
	slices.SortStableFunc(out, func(a, b DuplicateGroup) int { return int(b.Duplicates - a.Duplicates) })
	return append([]DuplicateGroup{}, out...)
}

// listWindows lists the windows of the range with duplicates, worst first.
func (d *Duplicates) listWindows(found []countedWindow, exact map[time.Time]DuplicateWindow) {
	d.Windows = []DuplicateWindow{}
	for _, w := range found {
		if w.start.Before(d.Range.From) {
			continue
		}
		out := DuplicateWindow{Start: w.start, Deliveries: w.deliveries, Late: w.late, Counted: w.counted, Duplicates: w.inTime() - w.counted}
		if exact != nil {
			e := exact[w.start]
			out.Events, out.TooLate = e.Events, e.TooLate
			out.Duplicates = w.deliveries
			if e.Events != nil {
				out.Duplicates -= *e.Events
			}
		}
		if out.Duplicates > 0 {
			d.Windows = append(d.Windows, out)
		}
	}
	slices.SortStableFunc(d.Windows, func(a, b DuplicateWindow) int { return int(b.Duplicates - a.Duplicates) })
	d.Windows = d.Windows[:min(len(d.Windows), d.top)]
}

// judge gives the verdict. No deliveries are NO DATA, never a pass.
func (d *Duplicates) judge(alert jobspecs.DuplicateAlert) {
	switch {
	case d.Range == nil:
		d.Verdict = DuplicatesNoData
		return
	case d.Counts.Deliveries == 0 && d.Counts.Counted == 0:
		d.Verdict, d.Rule = DuplicatesNoData, fmt.Sprintf("nothing was delivered or counted from %s to %s", stamp(d.Range.From), stamp(d.Range.To))
		return
	case d.Counts.Deliveries == 0:
		d.Verdict, d.Rule = DuplicatesNoData, "the raw table holds no delivery of what is counted"
		return
	}
	by := " of the counted events"
	if d.Exact {
		by = " of the events"
	}
	d.Checks = append(d.Checks, Check{Rule: "maxPercentBefore", Want: "at most " + percentText(alert.MaxPercentBefore) + " %",
		Got: d.Before.Text() + by, OK: !exceeds(d.Before, alert.MaxPercentBefore)})
	after := Check{Rule: "maxPercentAfter", Want: "at most " + percentText(alert.MaxPercentAfter) + " %", Got: "not looked at", OK: true}
	if d.After != nil {
		after.Got, after.OK = d.After.Text()+" of the events", !exceeds(*d.After, alert.MaxPercentAfter)
		if _, ok := d.After.Rat(); !ok && d.Counts.Twice > 0 {
			after.Got, after.OK = countOf(d.Counts.Twice, "event")+" counted, none delivered in time", false
		}
	}
	d.Checks = append(d.Checks, after)
	if d.Change != nil {
		d.Checks = append(d.Checks, Check{Rule: "maxIncrease", Want: "at most " + percentText(alert.MaxIncrease) + " points above the past",
			Got: *d.Change + " points", OK: number(*d.Change).Cmp(alert.MaxIncrease.Rat()) <= 0})
	}
	d.Verdict, d.Rule = DuplicatesOK, "all thresholds hold"
	if !d.Exact {
		d.Rule = "all thresholds hold that can be judged by counts of rows"
	}
	for _, c := range d.Checks {
		if !c.OK {
			d.Verdict, d.Rule = DuplicatesAlert, fmt.Sprintf("%s, wanted %s (%s)", c.Got, c.Want, c.Rule)
			return
		}
	}
}
