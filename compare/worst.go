package compare

import "slices"

// worstWindows returns the windows with the most keys that differ, at most n.
func (r *Result) worstWindows(n int) []WindowResult {
	var worst []WindowResult
	for _, w := range r.Windows {
		if w.Counts.Differing() > 0 {
			worst = append(worst, w)
		}
	}
	slices.SortStableFunc(worst, func(a, b WindowResult) int {
		return int(b.Counts.Differing() - a.Counts.Differing())
	})
	return worst[:min(n, len(worst))]
}
