package compare

import (
	"math"
	"strings"
	"testing"
	"time"
)

// Rows that are not as they should be, values at their limits, and evidence
// that is not there.
func TestScenariosOfRows(t *testing.T) {
	tests := []scenario{
		{
			name: "a batch key with two rows",
			build: func(w *world) {
				w.both("ORD", 0, 2)
				w.both("ATL", 0, 2)
				w.rows["batch_flights"] = append(w.rows["batch_flights"], w.rows["batch_flights"][1]) // identical
			},
			want: outcome{Hold, Counts{Total: 2, Exact: 1, Nonunique: 1}, map[string]int64{Unexplained: 1}, 8},
			check: func(t *testing.T, r *Result) {
				if s := r.Samples[0]; s.BatchRows != 2 || *s.Metrics[0].Batch != "4" {
					t.Errorf("sample: %+v", s)
				}
			},
		},
		{
			name: "identical copies of a pane collapse",
			build: func(w *world) {
				w.both("ORD", 0, 2)
				w.rows["stream_flights"] = append(w.rows["stream_flights"], w.rows["stream_flights"]...)
			},
			want: outcome{Go, Counts{Total: 1, Exact: 1}, none, 8},
			check: func(t *testing.T, r *Result) {
				if r.Stream.Copies != 2 || r.Stream.Rows != 2 {
					t.Errorf("copies %d, rows %d", r.Stream.Copies, r.Stream.Rows)
				}
			},
		},
		{
			name: "copies of a pane that differ are a conflict",
			build: func(w *world) {
				w.both("ORD", 0, 2)
				w.pane("flights-0@1", 0, "ORD", 0, 1, 6, 100)
				w.both("ATL", 0, 2)
				null := w.pane("flights-0@1", 0, "ATL", 0, 1, 5, 100) // a copy whose value is NULL differs too
				delete(null, "delay_sum")
			},
			want: outcome{Hold, Counts{Total: 2, Nonunique: 2}, map[string]int64{Unexplained: 2}, 8},
			check: func(t *testing.T, r *Result) {
				if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "2 rows of the stream side exist in copies that differ") {
					t.Errorf("warnings: %q", r.Warnings)
				}
			},
		},
		{
			name: "NULL keys meet, and are explained",
			build: func(w *world) {
				w.both(nil, 0, 19)
				w.both("", 0, 2) // the empty text is no NULL
				w.event(flight{origin: nil, hour: 1, delay: 1, distance: 10})
				w.event(flight{origin: nil, hour: 1, delay: 150, distance: 10, arrives: 3 * time.Hour})
				w.event(flight{origin: "", hour: 1, delay: 7, distance: 70, arrives: 3 * time.Hour})
				w.batch(nil, 1, 1, 1, 10)
				w.pane("flights-0@1", 0, nil, 1, 2, 151, 20)
				w.spec.Spec.Gate.MinExactPercent = "50"
			},
			want: outcome{Go, Counts{Total: 3, Exact: 2, Mismatch: 1}, map[string]int64{"late_dropped_by_batch": 1}, 8},
			check: func(t *testing.T, r *Result) {
				if s := r.Samples[0]; s.Key[0].Value != nil || !strings.Contains(s.SQL, "`origin` IS NULL") {
					t.Errorf("sample: %+v", s)
				}
			},
		},
		{
			name: "beyond 2^53 one is a difference",
			build: func(w *world) {
				w.batch("ORD", 0, 1, 1<<53, math.MaxInt64)
				w.pane("flights-0@1", 0, "ORD", 0, 1, 1<<53+1, math.MaxInt64)
				w.batch("ATL", 0, 1, math.MinInt64, math.MaxInt64)
				w.pane("flights-0@1", 0, "ATL", 0, 1, math.MinInt64, math.MaxInt64)
				w.batch("DEN", 0, 1, math.MaxInt64, 0)
				w.pane("flights-0@1", 0, "DEN", 0, 1, math.MinInt64, 0)
			},
			want: outcome{Hold, Counts{Total: 3, Exact: 1, Mismatch: 2}, map[string]int64{Unexplained: 2}, 8},
			check: func(t *testing.T, r *Result) {
				if m := r.Metrics[1]; m.Difference != "-18446744073709551614" || m.Absolute != "18446744073709551616" || m.BatchTotal != "9007199254740991" {
					t.Errorf("delay_sum: %+v", m)
				}
				if m := r.Metrics[2]; m.BatchTotal != "18446744073709551614" || m.Weight[ClassExact] != "9223372036854775807" {
					t.Errorf("distance_sum: %+v", m)
				}
			},
		},
		{
			name: "an absent metric is not zero",
			build: func(w *world) {
				w.both("ORD", 0, 2)
				w.batch("ATL", 0, 1, 0, 0)
				r := w.pane("flights-0@1", 0, "ATL", 0, 1, 0, 0)
				delete(r, "delay_sum")
				w.batch("DEN", 0, 1, 0, 0)
				delete(w.rows["batch_flights"][2], "delay_sum")
				r = w.pane("flights-0@1", 0, "DEN", 0, 1, 0, 0)
				delete(r, "delay_sum")
			},
			want: outcome{Hold, Counts{Total: 3, Exact: 2, Mismatch: 1}, map[string]int64{Unexplained: 1}, 8},
		},
		{
			name: "deliveries of one event that disagree prove nothing",
			build: func(w *world) {
				w.both("ORD", 0, 2)
				w.deliver("e", flight{origin: "ATL", hour: 0, delay: 1, distance: 1, arrives: 3 * time.Hour}, 1)
				w.deliver("e", flight{origin: "ATL", hour: 0, delay: 2, distance: 1, arrives: 3 * time.Hour}, 1)
				w.pane("flights-0@1", 0, "ATL", 0, 1, 1, 1)
			},
			want: outcome{Hold, Counts{Total: 2, Exact: 1, Extra: 1}, map[string]int64{Unexplained: 1}, 8},
		},
		{
			name: "without raw events nothing is explained",
			build: func(w *world) {
				w.both("ORD", 0, 2)
				w.event(flight{origin: "ATL", hour: 0, delay: 1, distance: 1, arrives: 3 * time.Hour})
				w.pane("flights-0@1", 0, "ATL", 0, 1, 1, 1)
				w.spec.Spec.Evidence.Raw = ""
			},
			want: outcome{Hold, Counts{Total: 2, Exact: 1, Extra: 1}, map[string]int64{Unexplained: 1}, 8},
			check: func(t *testing.T, r *Result) {
				if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "evidence.raw") {
					t.Errorf("warnings: %q", r.Warnings)
				}
			},
		},
		{
			name: "without a late table",
			build: func(w *world) {
				w.both("ORD", 0, 2)
				w.event(flight{origin: "ATL", hour: 0, delay: 1, distance: 1, arrives: 3 * time.Hour})
				w.pane("flights-0@1", 0, "ATL", 0, 1, 1, 1)
				w.spec.Spec.Evidence.Late = ""
				w.spec.Spec.Gate.MinExactPercent = ""
			},
			want: outcome{Go, Counts{Total: 2, Exact: 1, Extra: 1}, map[string]int64{"late_dropped_by_batch": 1}, 8},
		},
		{
			name: "the evidence's byte cap leaves keys unexamined",
			build: func(w *world) {
				w.both("ORD", 0, 2)
				w.event(flight{origin: "ATL", hour: 0, delay: 1, distance: 1, arrives: 3 * time.Hour})
				w.pane("flights-0@1", 0, "ATL", 0, 1, 1, 1)
				w.spec.Spec.Evidence.MaxBytesBilled = 100
			},
			want: outcome{Hold, Counts{Total: 2, Exact: 1, Extra: 1}, map[string]int64{Unexplained: 1}, 8},
			check: func(t *testing.T, r *Result) {
				if c := r.Causes; c.Unexamined != 1 || c.Unexplained != 1 || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "byte cap of 100") {
					t.Errorf("unexamined %d, unexplained %d, warnings %q", c.Unexamined, c.Unexplained, r.Warnings)
				}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}
