package compare

import (
	"math/big"
	"slices"
)

// part is what was found in a partition of the range: by one reconciliation query,
// and of the keys that differ by evidence. A run is made of one or more; what it
// says is the sum of them (mergeParts).
type part struct {
	settled               []Range
	counts                Counts
	metrics               []partMetric
	windows               []partWindow
	segments              []partSegment // of each key, then of each chosen combination
	batchRows, streamRows int64
	copies                int64
	conflicts             int64
	ignored               map[string]int64 // rows that do not count, by writer

	differences []difference
	unexamined  int64 // differences whose evidence was not read
	evidence    int64 // bytes
	lowerBound  int64 // bytes that a query over both sides must be billed for

	jobs []QueryJob
}

// partMetric is a metric over all keys of a partition.
type partMetric struct {
	batch, stream        *big.Rat            // totals; nil: they do not add up
	difference, absolute *big.Rat            // sums over keys
	weight               map[string]*big.Rat // by class
	skipped              int64               // keys that the sums leave out: FLOAT64 that is not finite
}

// partWindow is a window and the weight of its keys by each metric.
type partWindow struct {
	WindowResult
	weight []windowWeight
}

// windowWeight is the weight of all keys of a window, and of those that are exact
// or tolerated.
type windowWeight struct{ all, agree *big.Rat }

// maxPartSegments is the most values of a segment that a query returns. So many
// that parts can be merged: what a value has in a part that does not return it is
// not known.
const maxPartSegments = 1_000

// partSegment holds values of a segment, those with the most differing keys
// first, and those without any, because they may differ in another part.
type partSegment struct {
	worst     []SegmentValue
	truncated bool // there are more values, of which nothing is known

	approximate bool // of merged parts: one of them was truncated
}

// fill writes into a result what a part says.
func (p *part) fill(q queries, res *Result) {
	res.Counts = p.counts
	res.Exact = NewRatio(p.counts.Exact, p.counts.Total)
	res.Agree = NewRatio(p.counts.Exact+p.counts.Tolerated, p.counts.Total)
	res.Batch.Rows, res.Stream.Rows, res.Stream.Copies = p.batchRows, p.streamRows, p.copies
	for _, w := range p.windows {
		res.Windows = append(res.Windows, w.WindowResult)
	}
	res.Metrics = q.metricsOf(p)
	for i, columns := range q.segments() {
		res.Segments = append(res.Segments, p.segments[i].result(columns))
	}
	res.Cost.Evidence = p.evidence
	res.Cost.LowerBound = p.lowerBound
	for _, j := range p.jobs {
		if j.Purpose == purposeReconcile {
			res.Cost.Processed += j.Processed
			res.Cost.Billed += j.Billed
		}
	}
	res.Cost.Ratio = NewRatio(res.Cost.Billed, res.Cost.LowerBound)
}

// result is the worst values.
func (s partSegment) result(columns []string) SegmentResult {
	out := SegmentResult{Columns: columns, Worst: []SegmentValue{}, Approximate: s.approximate}
	for _, v := range s.worst {
		switch {
		case v.Counts.Differing() == 0:
		case len(out.Worst) == maxSegments:
			out.Truncated = true
		default:
			out.Worst = append(out.Worst, v)
		}
	}
	return out
}

// segments are the key columns of each segment: each key, then each chosen
// combination.
func (q queries) segments() [][]string {
	var all [][]string
	for _, k := range q.spec.Keys {
		all = append(all, []string{k.Name})
	}
	for _, s := range q.spec.Segments {
		all = append(all, s.Keys)
	}
	return all
}

// metricsOf is what a result says of the metrics.
func (q queries) metricsOf(p *part) []Metric {
	out := []Metric{}
	for i, m := range q.spec.Metrics {
		of := p.metrics[i]
		v := Metric{Name: m.Name, Type: m.Type, Value: m.Value, Approximate: m.Value == "FLOAT64", Tolerance: toleranceText(m.Tolerance), Skipped: of.skipped, Difference: decimalText(of.difference), Absolute: decimalText(of.absolute),
			Weight: map[string]string{}}
		all := new(big.Rat)
		for _, c := range Classes {
			v.Weight[c] = decimalText(orZero(of.weight[c]))
			all.Add(all, orZero(of.weight[c]))
		}
		agree := new(big.Rat).Add(orZero(of.weight[ClassExact]), orZero(of.weight[ClassTolerated]))
		v.Exact, v.Agree = Ratio{v.Weight[ClassExact], decimalText(all)}, Ratio{decimalText(agree), decimalText(all)}
		if of.batch != nil && of.stream != nil {
			v.BatchTotal, v.StreamTotal = decimalText(of.batch), decimalText(of.stream)
		}
		out = append(out, v)
	}
	return out
}

// finish orders what the query returned in no order.
func (p *part) finish() {
	slices.SortFunc(p.windows, func(a, b partWindow) int { return a.Start.Compare(b.Start) })
	for i := range p.segments {
		p.segments[i].finish()
	}
	slices.SortFunc(p.differences, compareDifferences)
}

func (s *partSegment) finish() {
	slices.SortFunc(s.worst, compareSegmentValues)
	if len(s.worst) > maxPartSegments {
		s.worst, s.truncated = s.worst[:maxPartSegments], true
	}
}

// compareSegmentValues orders values: those with the most keys that differ first.
func compareSegmentValues(a, b SegmentValue) int {
	if c := b.Counts.Differing() - a.Counts.Differing(); c != 0 {
		return int(c)
	}
	return slices.CompareFunc(a.Values, b.Values, compareText)
}
