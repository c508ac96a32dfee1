package report

import (
	"slices"

	"github.com/kappa-migrate/kappa/compare"
)

// worstWindows returns the windows with the most keys that differ, at most n.
func worstWindows(r *compare.Result, n int) []compare.WindowResult {
	var worst []compare.WindowResult
	for _, w := range r.Windows {
		if w.Counts.Differing() > 0 {
			worst = append(worst, w)
		}
	}
	slices.SortStableFunc(worst, func(a, b compare.WindowResult) int {
		return int(b.Counts.Differing() - a.Counts.Differing())
	})
	return worst[:min(n, len(worst))]
}
