package compare

import (
	"math/big"
	"slices"
	"strings"
)

// causeKey is what keys have in common that are counted together.
type causeKey struct{ cause, status string }

// causes says why the keys differ, with what shows each cause by the key whose
// difference is the greatest.
func (q queries) causes(diffs []difference, differing, unexamined int64) Causes {
	c := summarize(diffs, differing, unexamined)
	c.EvidenceRead = q.spec.Evidence.Raw != ""
	type sums struct {
		difference, absolute []*big.Rat
		worst                *difference
		size                 *big.Rat
	}
	all := map[causeKey]*sums{}
	for i := range diffs {
		d := &diffs[i]
		k := causeKey{d.cause, d.status}
		s := all[k]
		if s == nil {
			s = &sums{}
			for range q.spec.Metrics {
				s.difference, s.absolute = append(s.difference, new(big.Rat)), append(s.absolute, new(big.Rat))
			}
			all[k] = s
		}
		size := new(big.Rat)
		for m := range q.spec.Metrics {
			delta := d.delta(m)
			add(s.difference[m], delta)
			add(s.absolute[m], delta.Abs(delta))
			add(size, delta)
		}
		if s.worst == nil || size.Cmp(s.size) > 0 {
			s.worst, s.size = d, size
		}
	}
	for i := range c.Entries {
		e := &c.Entries[i]
		e.Metrics = []MetricDelta{}
		s := all[causeKey{e.Cause, e.Status}]
		if s == nil {
			continue
		}
		e.Evidence, e.SQL = s.worst.evidence, q.sampleSQL(s.worst)
		for m, metric := range q.spec.Metrics {
			e.Metrics = append(e.Metrics, MetricDelta{metric.Name, decimalText(s.difference[m]), decimalText(s.absolute[m])})
		}
	}
	return c
}

// summarize counts differences by cause: what is unexplained first, then the
// most frequent. differing may be more than there are differences, where the
// reconciliation returned a bounded number of them.
func summarize(diffs []difference, differing, unexamined int64) Causes {
	counts := map[causeKey]int64{}
	for _, d := range diffs {
		counts[causeKey{d.cause, d.status}]++
	}
	if beyond := differing - int64(len(diffs)); beyond > 0 {
		counts[causeKey{Unexplained, Unexplained}] += beyond
		unexamined += beyond
	}
	c := Causes{Differing: differing, Unexamined: unexamined, Explained: NewRatio(1, 1), Entries: []Cause{}}
	for k, n := range counts {
		if k.status == Unexplained {
			c.Unexplained = n
		}
		c.Entries = append(c.Entries, Cause{Cause: k.cause, Status: k.status, Keys: n, Share: NewRatio(n, differing)})
	}
	if differing > 0 {
		c.Explained = NewRatio(differing-c.Unexplained, differing)
	}
	slices.SortFunc(c.Entries, func(a, b Cause) int {
		switch {
		case (a.Status == Unexplained) != (b.Status == Unexplained):
			if a.Status == Unexplained {
				return -1
			}
			return 1
		case a.Keys != b.Keys:
			return int(b.Keys - a.Keys)
		}
		return strings.Compare(a.Cause+a.Status, b.Cause+b.Status)
	})
	return c
}
