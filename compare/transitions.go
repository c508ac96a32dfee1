package compare

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// This file says what has changed since the last run, without I/O.

const classUnknown = "unknown" // of a key in another run

// keyID is a key and its window.
type keyID struct {
	window time.Time
	key    string
}

func classesOf(keys []DifferingKey) map[keyID]string {
	classes := make(map[keyID]string, len(keys))
	for _, k := range keys {
		classes[keyID{k.Window.UTC(), k.Key}] = k.Class
	}
	return classes
}

func inSpans(spans []Range, t time.Time) bool {
	return slices.ContainsFunc(spans, func(r Range) bool { return !t.Before(r.From) && t.Before(r.To) })
}

// compareWithPast fills what a result says of earlier runs.
func (r *Result) compareWithPast(p past, w windowing, id string) error {
	same := func(row tables.CompareRun) bool {
		return row.SpecHash == r.SpecHash && row.RangeFrom.Equal(r.Scope.Range.From) && row.RangeTo.Equal(r.Scope.Range.To)
	}
	for i := len(p.runs) - 1; i >= 0; i-- {
		if !same(p.runs[i]) { // this run takes its place
			r.Trend = append(r.Trend, trendPoint(p.runs[i]))
		}
	}
	r.Trend = r.Trend[max(0, len(r.Trend)-(trendRuns-1)):]
	i := slices.IndexFunc(p.runs, func(row tables.CompareRun) bool { return row.RunID.Valid && row.RunID.StringVal != id })
	if i < 0 {
		return nil
	}
	last := p.runs[i]
	point := trendPoint(last)
	r.Last = &LastRun{ID: point.ID, Started: point.Started, Range: Range{last.RangeFrom.UTC(), last.RangeTo.UTC()}, Verdict: point.Verdict, SpecHash: last.SpecHash, Exact: point.Exact}
	settled, err := spans(last.Settled.StringVal)
	if err != nil {
		return err
	}
	left, err := spans(last.LeftOut.StringVal)
	if err != nil {
		return err
	}
	// Keys of another spec may be other columns, or hashes: which are the same nobody knows.
	var then lastKeys
	if last.SpecHash == r.SpecHash {
		then = lastKeys{settled: settled, complete: countsOf(last).Differing() == 0}
	}
	if last.SpecHash == r.SpecHash && p.of == last.RunID.StringVal {
		then.classes = classesOf(p.keys)
		then.complete = int64(len(p.keys)) == countsOf(last).Differing()
	}
	r.Transitions = transitions(r.DifferingKeys, int64(len(r.DifferingKeys)) == r.Counts.Differing(), r.Scope.Settled, then)
	if len(left) > 0 {
		r.SecondLook = secondLook(left, r, w)
	}
	return nil
}

// spans reads the spans of a row; none if the row says none.
func spans(text string) ([]Range, error) {
	if text == "" {
		return nil, nil
	}
	var out []Range
	err := json.Unmarshal([]byte(text), &out)
	return out, err
}

// lastKeys are the differing keys of the last run.
type lastKeys struct {
	classes  map[keyID]string
	settled  []Range
	complete bool // they are all that differed
}

// transitions counts the keys that differed then or differ now, by their classes.
// A key that is in no list of a run that has compared its window, and has listed
// all, was exact there: or within a tolerance, or on neither side. Keys of windows
// that this run has not compared are left alone.
func transitions(keys []DifferingKey, complete bool, settled []Range, last lastKeys) []Transition {
	type change struct{ from, to string }
	counts := map[change]int64{}
	now := classesOf(keys)
	for id, class := range now {
		from, ok := last.classes[id]
		switch {
		case ok:
		case last.complete && inSpans(last.settled, id.window):
			from = ClassExact
		default:
			from = classUnknown
		}
		counts[change{from, class}]++
	}
	for id, class := range last.classes {
		if _, ok := now[id]; ok || !inSpans(settled, id.window) {
			continue
		}
		to := ClassExact
		if !complete {
			to = classUnknown
		}
		counts[change{class, to}]++
	}
	out := []Transition{}
	for c, n := range counts {
		out = append(out, Transition{c.from, c.to, n})
	}
	order := append(slices.Clone(Classes), classUnknown)
	slices.SortFunc(out, func(a, b Transition) int {
		if c := slices.Index(order, a.From) - slices.Index(order, b.From); c != 0 {
			return c
		}
		return slices.Index(order, a.To) - slices.Index(order, b.To)
	})
	return out
}

// secondLook is about the windows that the last run left out.
func secondLook(left []Range, r *Result, w windowing) *SecondLook {
	s := &SecondLook{StillOpen: []Range{}}
	s.Windows = w.count(left)
	for _, span := range union(r.Scope.Settled) {
		s.Compared += w.count(clip(left, span))
	}
	var open []Range
	for _, l := range r.Scope.LeftOut {
		open = append(open, l.Ranges...)
	}
	for _, span := range union(open) {
		s.StillOpen = append(s.StillOpen, clip(left, span)...)
	}
	for _, k := range r.DifferingKeys {
		if inSpans(left, k.Window) {
			s.Differing++
		}
	}
	return s
}

// passes are the runs that said GO without another verdict between, the newest of
// the trend included. A schedule gives no verdict.
func passes(trend []TrendPoint) int {
	n := 0
	for _, p := range slices.Backward(trend) {
		switch p.Verdict {
		case Go:
			n++
		case "":
		default:
			return n
		}
	}
	return n
}
