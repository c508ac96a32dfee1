package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// ackMetric is the bridge's histogram of the time from the poll of a request's
// first record to its acknowledgement.
const ackMetric = "kappa_bridge_ack_seconds"

// histogram is a Prometheus histogram: cumulative counts by upper bound.
type histogram struct {
	bounds []float64 // seconds; the last is +Inf
	counts []float64
}

// acks reads the bridge's histogram.
func (r *running) acks(ctx context.Context) (histogram, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.listen+"/metrics", nil)
	if err != nil {
		return histogram{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return histogram{}, fmt.Errorf("read the bridge's metrics: %w", err)
	}
	defer resp.Body.Close()
	return parseHistogram(resp.Body, ackMetric)
}

// parseHistogram reads a histogram without labels from Prometheus' text form.
func parseHistogram(text io.Reader, name string) (h histogram, err error) {
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name+`_bucket{le="`)
		if !ok {
			continue
		}
		le, value, ok := strings.Cut(rest, `"} `)
		if !ok {
			return h, fmt.Errorf("metric %q is not a bucket", lines.Text())
		}
		bound, err := strconv.ParseFloat(le, 64)
		if err != nil {
			return h, fmt.Errorf("metric %q: %w", lines.Text(), err)
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return h, fmt.Errorf("metric %q: %w", lines.Text(), err)
		}
		h.bounds, h.counts = append(h.bounds, bound), append(h.counts, n)
	}
	if err := lines.Err(); err != nil {
		return h, err
	}
	if len(h.bounds) < 2 || !math.IsInf(h.bounds[len(h.bounds)-1], 1) {
		return h, fmt.Errorf("the metrics have no histogram %s", name)
	}
	return h, nil
}

// since is the histogram of what came after an earlier one.
func (h histogram) since(earlier histogram) histogram {
	d := histogram{bounds: h.bounds, counts: make([]float64, len(h.counts))}
	for i := range h.counts {
		d.counts[i] = h.counts[i]
		if i < len(earlier.counts) {
			d.counts[i] -= earlier.counts[i]
		}
	}
	return d
}

// quantile is an estimate in milliseconds, within a bucket by its width; 0 if
// the histogram is empty.
func (h histogram) quantile(q float64) float64 {
	if len(h.counts) == 0 || h.counts[len(h.counts)-1] == 0 {
		return 0
	}
	rank := q * h.counts[len(h.counts)-1]
	below, from := 0.0, 0.0
	for i, n := range h.counts {
		if n >= rank {
			if math.IsInf(h.bounds[i], 1) {
				return from * 1e3 // all that is known
			}
			return (from + (h.bounds[i]-from)*(rank-below)/(n-below)) * 1e3
		}
		below, from = n, h.bounds[i]
	}
	return from * 1e3
}
