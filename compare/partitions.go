package compare

import (
	"math/big"
	"slices"
	"time"
)

// This file divides a range into partitions and puts together what was found in
// them, without I/O.

// partitions divides the settled spans into those that one query compares each. A
// range that is not longer than length is one partition. Boundaries are starts of
// windows at multiples of length, so that a range that has moved on still has the
// same partitions, and none has more windows or spans than a query returns or names.
func partitions(settled []Range, w windowing, length time.Duration) [][]Range {
	if len(settled) == 0 {
		return nil
	}
	whole := wholeRange(settled)
	if most := maxWindows * w.size; length <= 0 || most > 0 && length > most {
		length = most
	}
	length = max(length, w.size)
	var out [][]Range
	add := func(spans []Range) {
		for chunk := range slices.Chunk(spans, maxSpans) {
			out = append(out, chunk)
		}
	}
	if whole.To.Sub(whole.From) <= length {
		add(settled)
		return out
	}
	for at := floor(whole.From, length); at.Before(whole.To); at = at.Add(length) {
		add(clip(settled, Range{w.ceil(at), w.ceil(at.Add(length))}))
	}
	return out
}

// mergeParts puts together what was found in the partitions of a range. Sums,
// windows and segments are exact, but for a segment with more values in a partition
// than a query returns (maxPartSegments), which is marked. Of the differing keys as
// many are kept as of a single query; those beyond count as differing, and as
// unexplained.
func mergeParts(parts []*part) *part {
	m := &part{ignored: map[string]int64{}}
	segments := []map[string]int{}
	for _, p := range parts {
		m.settled = append(m.settled, p.settled...)
		m.counts.add(p.counts)
		m.windows = append(m.windows, p.windows...)
		m.batchRows += p.batchRows
		m.streamRows += p.streamRows
		m.copies += p.copies
		m.conflicts += p.conflicts
		m.unexamined += p.unexamined
		m.evidence += p.evidence
		m.lowerBound += p.lowerBound
		m.jobs = append(m.jobs, p.jobs...)
		m.differences = append(m.differences, p.differences...)
		for name, n := range p.ignored {
			m.ignored[name] += n
		}
		for i, of := range p.metrics {
			if i == len(m.metrics) {
				m.metrics = append(m.metrics, partMetric{difference: new(big.Rat), absolute: new(big.Rat), weight: map[string]*big.Rat{}})
			}
			m.metrics[i].add(of)
		}
		for i, of := range p.segments {
			if i == len(m.segments) {
				m.segments, segments = append(m.segments, partSegment{}), append(segments, map[string]int{})
			}
			m.segments[i].add(of, segments[i])
			m.segments[i].approximate = m.segments[i].approximate || of.truncated && len(parts) > 1
		}
	}
	slices.SortFunc(m.differences, compareDifferences)
	if beyond := len(m.differences) - maxDifferingKeys; beyond > 0 {
		m.differences = m.differences[:maxDifferingKeys]
	}
	m.finish()
	return m
}

func (m *partMetric) add(o partMetric) {
	for _, v := range []struct {
		to  **big.Rat
		add *big.Rat
	}{{&m.batch, o.batch}, {&m.stream, o.stream}} {
		if v.add != nil {
			*v.to = new(big.Rat).Add(orZero(*v.to), v.add)
		}
	}
	m.difference.Add(m.difference, orZero(o.difference))
	m.absolute.Add(m.absolute, orZero(o.absolute))
	m.skipped += o.skipped
	for class, w := range o.weight {
		m.weight[class] = new(big.Rat).Add(orZero(m.weight[class]), w)
	}
}

// add merges the values of a segment; at is where each is.
func (s *partSegment) add(o partSegment, at map[string]int) {
	s.truncated = s.truncated || o.truncated
	for _, v := range o.worst {
		id := keyJSON(v.Values)
		i, ok := at[id]
		if !ok {
			at[id] = len(s.worst)
			v.Metrics = slices.Clone(v.Metrics)
			s.worst = append(s.worst, v)
			continue
		}
		s.worst[i].Counts.add(v.Counts)
		for m, delta := range v.Metrics {
			to := &s.worst[i].Metrics[m]
			to.Difference = decimalText(new(big.Rat).Add(number(to.Difference), number(delta.Difference)))
			to.Absolute = decimalText(new(big.Rat).Add(number(to.Absolute), number(delta.Absolute)))
		}
	}
}
