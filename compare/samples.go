package compare

import (
	"cmp"
	"math/big"
	"slices"
)

// sample picks a bounded number of differences per class: those without an
// explanation first, then the greatest differences, so that what is shown is
// what is worth looking at.
func (q queries) sample(diffs []difference) []Sample {
	limit := q.spec.Limits.Samples
	rank := map[string]int{Unexplained: 0, Likely: 1, Known: 2, Proven: 3}
	type sized struct {
		*difference
		size *big.Rat
	}
	out := []Sample{}
	for _, class := range Classes {
		var best []sized // never more than limit: of a hundred thousand keys few are shown
		for i := range diffs {
			if diffs[i].class != class {
				continue
			}
			d := sized{&diffs[i], diffs[i].size()}
			at, _ := slices.BinarySearchFunc(best, d, func(a, b sized) int {
				return cmp.Or(rank[a.status]-rank[b.status], b.size.Cmp(a.size), -1) // behind its equals
			})
			if at < limit {
				best = slices.Insert(best, at, d)
				best = best[:min(limit, len(best))]
			}
		}
		for _, d := range best {
			out = append(out, q.sampleOf(d.difference))
		}
	}
	return out
}

// size is the sum of the absolute differences of all metrics.
func (d *difference) size() *big.Rat {
	sum := new(big.Rat)
	for i := range d.batch.values {
		delta := d.delta(i)
		add(sum, delta.Abs(delta))
	}
	return sum
}

func (d *difference) delta(i int) *big.Rat {
	if d.unbounded(i) {
		return new(big.Rat)
	}
	return minus(orZero(d.stream.values[i]), orZero(d.batch.values[i]))
}

func (q queries) sampleOf(d *difference) Sample {
	s := Sample{Class: d.class, Window: d.window, BatchRows: d.batchRows, StreamRows: d.streamRows, Cause: d.cause, Status: d.status, Evidence: d.evidence, Known: d.known, SQL: q.sampleSQL(d)}
	for i, k := range q.spec.Keys {
		s.Key = append(s.Key, KeyValue{k.Name, keyText(d.keys[i])})
	}
	for i, m := range q.spec.Metrics {
		s.Metrics = append(s.Metrics, d.sampleMetric(m.Name, i))
	}
	return s
}
