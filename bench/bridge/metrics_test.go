package main

import (
	"strings"
	"testing"
)

func TestHistogram(t *testing.T) {
	const text = `# TYPE h histogram
h_bucket{le="0.01"} 10
h_bucket{le="0.02"} 30
h_bucket{le="+Inf"} 40
h_sum 1
h_count 40
other_bucket{le="1"} 3
`
	h, err := parseHistogram(strings.NewReader(text), "h")
	if err != nil {
		t.Fatal(err)
	}
	d := h.since(histogram{counts: []float64{10, 20, 20}}) // 0, 10, 10 more
	for _, c := range []struct {
		h       histogram
		q, want float64
	}{
		{h, 0.125, 5}, {h, 0.5, 15}, {h, 0.75, 20}, {h, 0.99, 20},
		{d, 0.25, 15}, {d, 0.99, 20},
		{histogram{}, 0.5, 0}, {h.since(h), 0.5, 0},
	} {
		if got := c.h.quantile(c.q); got < c.want-1e-9 || got > c.want+1e-9 {
			t.Errorf("%v of %v is %v, want %v", c.q, c.h.counts, got, c.want)
		}
	}
	for _, bad := range []string{"", "h_bucket{le=\"x\"} 1\n", "h_bucket{le=\"1\"} x\n", "h_bucket{le=\"1\"} 1\n"} {
		if _, err := parseHistogram(strings.NewReader(bad), "h"); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
