package compare

import (
	"slices"
	"time"
)

// Bounds of the heat map.
const (
	heatRows    = 20
	heatColumns = 60
)

// heat counts the listed differing keys by window and by the first key, without
// I/O: rows are the values with the most of them.
func (q queries) heat(diffs []difference, settled []Range) HeatMap {
	h := HeatMap{Columns: []string{}, Values: [][]string{}, Starts: []time.Time{}, Differing: [][]int64{}, Unexplained: [][]int64{}}
	if len(settled) == 0 {
		return h
	}
	h.Columns = []string{q.spec.Keys[0].Name}
	span := wholeRange(settled)
	step := heatStep(span.To.Sub(span.From), q.windowing.size)
	h.Step = shortDuration(step)
	first := q.windowing.floor(span.From)
	if step > q.windowing.size {
		first = floor(span.From, step)
	}
	var slack time.Duration // of calendar days: clocks change by less
	if q.windowing.zone != nil {
		first, slack = q.windowing.floor(span.From), 3*time.Hour
	}
	for t := first; t.Before(span.To); t = t.Add(step) {
		start := t
		if slack > 0 {
			start = q.windowing.floor(t.Add(slack))
		}
		h.Starts = append(h.Starts, start)
	}
	counts := map[string]int64{}
	for i := range diffs {
		if diffs[i].class != ClassTolerated {
			counts[nullText(keyText(diffs[i].keys[0]))]++
		}
	}
	names := sortedKeys(counts)
	slices.SortStableFunc(names, func(a, b string) int { return int(counts[b] - counts[a]) })
	row := map[string]int{}
	for i, n := range names[:min(heatRows, len(names))] {
		row[n] = i
		h.Values = append(h.Values, []string{n})
		h.Differing = append(h.Differing, make([]int64, len(h.Starts)))
		h.Unexplained = append(h.Unexplained, make([]int64, len(h.Starts)))
	}
	for i := range diffs {
		d := &diffs[i]
		r, ok := row[nullText(keyText(d.keys[0]))]
		at := int((d.window.Sub(first) + slack) / step)
		if !ok || d.class == ClassTolerated || at < 0 || at >= len(h.Starts) {
			continue
		}
		h.Differing[r][at]++
		if d.status == Unexplained {
			h.Unexplained[r][at]++
		}
	}
	return h
}

// heatStep is how many windows are joined, as a length of time that people use.
func heatStep(span, size time.Duration) time.Duration {
	step := size
	for _, s := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 7 * day, 28 * day} {
		if span <= heatColumns*step {
			return step
		}
		if s > size && s%size == 0 {
			step = s
		}
	}
	for span > heatColumns*step {
		step *= 2
	}
	return step
}

// nullText is a key as a row of the map names it.
func nullText(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}
