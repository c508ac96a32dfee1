package compare

import (
	"math/big"
	"slices"
	"time"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file makes days of windows, without I/O. The gate counts settled days
// alone, those of which every window was compared (invariant C4). Windows belong
// to the day of UTC that they start in; a window of a day or more is a day by
// itself (windowing.day).

// settledDays are the starts of the days of which every window is in settled, in
// order.
func settledDays(w windowing, settled []Range) []time.Time {
	var days []time.Time
	for _, s := range union(settled) {
		for d := w.day(s.From); ; d = w.nextDay(d) {
			first, next := w.ceil(d), w.ceil(w.nextDay(d))
			if next.After(s.To) {
				break
			}
			if !first.Before(s.From) {
				days = append(days, d)
			}
		}
	}
	return days
}

// tally is what is known of the differing keys of a window, one by one.
type tally struct {
	listed, unexplained int64
	explainedWeight     []*big.Rat // by metric
	unexplainedWeight   []*big.Rat
}

// weightOf is what a key weighs in a metric: the greater of both sides' values.
func (d *difference) weightOf(metric int) *big.Rat {
	if d.unbounded(metric) {
		return new(big.Rat)
	}
	b, s := new(big.Rat).Abs(orZero(d.batch.values[metric])), new(big.Rat).Abs(orZero(d.stream.values[metric]))
	if b.Cmp(s) > 0 {
		return b
	}
	return s
}

// tallies are the differing keys by window.
func tallies(diffs []difference, metrics int) map[time.Time]*tally {
	all := map[time.Time]*tally{}
	for i := range diffs {
		d := &diffs[i]
		if d.class == ClassTolerated {
			continue
		}
		t := all[d.window]
		if t == nil {
			t = &tally{explainedWeight: zeros(metrics), unexplainedWeight: zeros(metrics)}
			all[d.window] = t
		}
		t.listed++
		to := t.explainedWeight
		if d.status == Unexplained {
			t.unexplained++
			to = t.unexplainedWeight
		}
		for m := range metrics {
			add(to[m], d.weightOf(m))
		}
	}
	return all
}

func zeros(n int) []*big.Rat {
	out := make([]*big.Rat, n)
	for i := range out {
		out[i] = new(big.Rat)
	}
	return out
}

// unexplainedIn is the number and weight of the unexplained keys of a window. A
// key that differs and is not listed is unexplained: nothing is known of it.
func (w partWindow) unexplainedIn(t *tally) (int64, []*big.Rat) {
	if t == nil {
		t = &tally{explainedWeight: zeros(len(w.weight)), unexplainedWeight: zeros(len(w.weight))}
	}
	differing := w.Counts.Differing()
	if t.listed == differing {
		return t.unexplained, t.unexplainedWeight
	}
	weights := make([]*big.Rat, len(w.weight))
	for m, of := range w.weight {
		open := new(big.Rat).Sub(of.all, of.agree)
		open.Sub(open, t.explainedWeight[m])
		if open.Sign() < 0 {
			open.SetInt64(0)
		}
		weights[m] = open
	}
	return differing - (t.listed - t.unexplained), weights
}

// days makes the settled days of a part, once causes are attributed, and sets what
// is unexplained of its windows and metrics.
func (q queries) days(p *part) (days []Day, unexplained []*big.Rat) {
	n := len(q.spec.Metrics)
	of, unexplained := tallies(p.differences, n), zeros(n)
	sums := map[time.Time]*daySum{}
	for _, d := range settledDays(q.windowing, p.settled) {
		next := q.windowing.nextDay(d)
		sums[d] = newDaySum(d, next, q.windowing.count([]Range{{q.windowing.ceil(d), q.windowing.ceil(next)}}), n)
	}
	for i := range p.windows {
		w := &p.windows[i]
		open, weights := w.unexplainedIn(of[w.Start])
		w.Unexplained = open
		for m := range weights {
			unexplained[m].Add(unexplained[m], weights[m])
		}
		if sum := sums[q.windowing.day(w.Start)]; sum != nil {
			sum.add(w, open, weights)
		}
	}
	for _, sum := range sums {
		days = append(days, sum.day(q.spec.Metrics))
	}
	slices.SortFunc(days, func(a, b Day) int { return a.Start.Compare(b.Start) })
	return days, unexplained
}

// daySum adds up windows.
type daySum struct {
	start, end  time.Time
	windows     int64
	counts      Counts
	unexplained int64
	weights     [][]*big.Rat // by metric: all, agree, unexplained, difference, absolute
}

func newDaySum(start, end time.Time, windows int64, metrics int) *daySum {
	s := &daySum{start: start, end: end, windows: windows}
	for range metrics {
		s.weights = append(s.weights, zeros(5))
	}
	return s
}

func (s *daySum) add(w *partWindow, open int64, weights []*big.Rat) {
	s.counts.add(w.Counts)
	s.unexplained += open
	for m, sum := range s.weights {
		for i, v := range []*big.Rat{w.weight[m].all, w.weight[m].agree, weights[m], number(w.Metrics[m].Difference), number(w.Metrics[m].Absolute)} {
			sum[i].Add(sum[i], v)
		}
	}
}

func (s *daySum) day(metrics []jobspecs.Metric) Day {
	d := Day{Start: s.start, End: s.end, Windows: s.windows, Counts: s.counts, Unexplained: s.unexplained, Metrics: []DayMetric{}}
	for m, sum := range s.weights {
		d.Metrics = append(d.Metrics, DayMetric{metrics[m].Name, decimalText(sum[0]), decimalText(sum[1]), decimalText(sum[2]), decimalText(sum[3]), decimalText(sum[4])})
	}
	return d
}

func (c *Counts) add(o Counts) {
	c.Total += o.Total
	c.Exact += o.Exact
	c.Tolerated += o.Tolerated
	c.Mismatch += o.Mismatch
	c.Missing += o.Missing
	c.Extra += o.Extra
	c.Nonunique += o.Nonunique
}
