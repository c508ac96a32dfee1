package main

import "slices"

// figure is a measured value: the median of its runs.
type figure struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Runs   []float64 `json:"runs"` // in their order
}

func figureOf(runs []float64) figure {
	f := figure{Runs: runs}
	if len(runs) == 0 {
		return f
	}
	sorted := slices.Sorted(slices.Values(runs))
	f.Min, f.Max = sorted[0], sorted[len(sorted)-1]
	f.Median = (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
	return f
}

// figureBy is the figure of a value of each run.
func figureBy[T any](runs []T, value func(T) float64) figure {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = value(r)
	}
	return figureOf(values)
}
