package compare

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// outcome is what most scenarios look at.
type outcome struct {
	Verdict string
	Counts  Counts
	Causes  map[string]int64
	Windows int64
}

func outcomeOf(r *Result) outcome {
	return outcome{r.Verdict.Verdict, r.Counts, r.CauseCounts(), r.Scope.Windows}
}

// scenario is a world with known flaws, and what a comparison must find in it.
type scenario struct {
	name  string
	build func(w *world)
	want  outcome
	check func(t *testing.T, r *Result)
}

func (s scenario) run(t *testing.T) {
	w := newWorld(t)
	s.build(w)
	r := w.run()
	if diff := cmp.Diff(s.want, outcomeOf(r)); diff != "" {
		t.Errorf("outcome (-want +got):\n%s\nrule: %s", diff, r.Verdict.Rule)
	}
	if s.check != nil {
		s.check(t, r)
	}
}

var none = map[string]int64{}

func TestScenarios(t *testing.T) {
	tests := []scenario{
		{
			name:  "flawless",
			build: func(w *world) { w.both("ORD", 0, 3); w.both("ATL", 0, 2); w.both("ORD", 7, 2) },
			want:  outcome{Go, Counts{Total: 3, Exact: 3}, none, 8},
			check: func(t *testing.T, r *Result) {
				if r.Exact.Percent(2) != "100.00" || r.Causes.Explained.Percent(0) != "100" || len(r.Samples) != 0 {
					t.Errorf("exact %s, explained %s, %d samples", r.Exact.Percent(2), r.Causes.Explained.Percent(0), len(r.Samples))
				}
				want := []Metric{
					{Name: "flights", Type: "count", Value: "INT64", BatchTotal: "7", StreamTotal: "7", Difference: "0", Absolute: "0", Weight: weights("7", "0", "0", "0", "0"), Exact: Ratio{"7", "7"}, Agree: Ratio{"7", "7"}, Unexplained: Ratio{"0", "7"}},
					{Name: "delay_sum", Type: "sum", Value: "INT64", BatchTotal: "35", StreamTotal: "35", Difference: "0", Absolute: "0", Weight: weights("35", "0", "0", "0", "0"), Exact: Ratio{"35", "35"}, Agree: Ratio{"35", "35"}, Unexplained: Ratio{"0", "35"}},
					{Name: "distance_sum", Type: "sum", Value: "INT64", BatchTotal: "700", StreamTotal: "700", Difference: "0", Absolute: "0", Weight: weights("700", "0", "0", "0", "0"), Exact: Ratio{"700", "700"}, Agree: Ratio{"700", "700"}, Unexplained: Ratio{"0", "700"}}}
				if diff := cmp.Diff(want, r.Metrics); diff != "" {
					t.Errorf("metrics (-want +got):\n%s", diff)
				}
				if r.Batch.Rows != 3 || r.Stream.Rows != 6 {
					t.Errorf("rows %d, %d", r.Batch.Rows, r.Stream.Rows)
				}
			},
		},
		{
			name: "late events dropped by the batch",
			build: func(w *world) {
				w.both("ORD", 0, 30)
				w.event(flight{origin: "ORD", hour: 1, delay: 1, distance: 10, arrives: 2 * time.Hour}) // at the cut-off: in
				w.event(flight{origin: "ORD", hour: 1, delay: 150, distance: 10, arrives: 2*time.Hour + time.Millisecond})
				w.batch("ORD", 1, 1, 1, 10)
				w.pane("flights-0@1", 0, "ORD", 1, 1, 1, 10)
				w.pane("flights-0@1", 1, "ORD", 1, 1, 150, 10)
				w.event(flight{origin: "ATL", hour: 2, delay: 300, distance: 10, arrives: 4 * time.Hour})
				w.pane("flights-0@1", 0, "ATL", 2, 1, 300, 10)
				w.spec.Spec.Gate.MinExactPercent = "33.3"
			},
			want: outcome{Go, Counts{Total: 3, Exact: 1, Mismatch: 1, Extra: 1}, map[string]int64{"late_dropped_by_batch": 2}, 8},
			check: func(t *testing.T, r *Result) {
				if m := r.Metrics[1]; m.Difference != "450" || m.Absolute != "450" || m.Weight[ClassMismatch] != "151" || m.Weight[ClassExtra] != "300" {
					t.Errorf("delay_sum: %+v", m)
				}
				if len(r.Windows) != 3 || r.Windows[1].Counts.Mismatch != 1 || r.Windows[1].Metrics[1].Difference != "150" {
					t.Errorf("windows: %+v", r.Windows)
				}
				if s := r.Segments[0]; s.Columns[0] != "origin" || len(s.Worst) != 2 || *s.Worst[0].Values[0] != "ATL" {
					t.Errorf("segments: %+v", r.Segments)
				}
				if len(r.Samples) != 2 || r.Samples[1].Class != ClassExtra || r.Samples[1].Metrics[0].Batch != nil || *r.Samples[1].Metrics[1].Stream != "300" {
					t.Errorf("samples: %+v", r.Samples)
				}
			},
		},
		{
			name: "missing keys: dropped by the stream, and simply gone",
			build: func(w *world) {
				w.both("ORD", 0, 2)
				w.event(flight{origin: "ATL", hour: 1, delay: 3, distance: 7, late: true})
				w.batch("ATL", 1, 1, 3, 7)
				w.event(flight{origin: "DEN", hour: 1, delay: 3, distance: 7})
				w.batch("DEN", 1, 1, 3, 7)
			},
			want: outcome{Hold, Counts{Total: 3, Exact: 1, Missing: 2}, map[string]int64{"late_dropped_by_stream": 1, Unexplained: 1}, 8},
		},
		{
			name: "what a void writer took for late does not explain a loss",
			build: func(w *world) {
				w.generation("flights-0", 2, "stream", "drained", "")
				w.generation("flights-0", 1, "stream", "void", "")
				w.watermark("flights-0", 2, time.Time{}, true)
				w.both("ORD", 0, 2)
				w.pane("flights-0@2", 0, "ORD", 0, 2, 10, 200)
				w.event(flight{origin: "ATL", hour: 1, delay: 3, distance: 7, late: true}) // by flights-0@1
				w.batch("ATL", 1, 1, 3, 7)
			},
			want: outcome{Hold, Counts{Total: 2, Exact: 1, Missing: 1}, map[string]int64{Unexplained: 1}, 8},
		},
		{
			name: "duplicates counted on either side",
			build: func(w *world) {
				f := flight{origin: "ORD", hour: 0, delay: 3, distance: 7}
				w.deliver("sent twice", f, 1)
				w.deliver("sent twice", f, 1)
				w.batch("ORD", 0, 2, 6, 14)
				w.pane("flights-0@1", 0, "ORD", 0, 1, 3, 7)
				f.hour = 1
				w.deliver("published twice", f, 2)
				w.batch("ORD", 1, 1, 3, 7)
				w.pane("flights-0@1", 0, "ORD", 1, 2, 6, 14)
				f.hour = 2
				w.deliver("both, dropped late as well", f, 1)
				w.deliver("both, dropped late as well", f, 2)
				w.deliver("late", flight{origin: "ORD", hour: 2, delay: 200, distance: 7, arrives: 3 * time.Hour}, 1)
				w.batch("ORD", 2, 2, 6, 14)
				w.pane("flights-0@1", 0, "ORD", 2, 4, 209, 28)
				w.spec.Spec.Gate.MinExactPercent = "0"
			},
			want: outcome{Go, Counts{Total: 3, Mismatch: 3}, map[string]int64{"duplicates_in_batch": 1, "duplicates_in_stream": 1,
				"late_dropped_by_batch + duplicates_in_batch + duplicates_in_stream": 1}, 8},
		},
		{
			name: "a raw row written twice is one delivery",
			build: func(w *world) {
				w.both("ORD", 0, 20)
				w.event(flight{origin: "ATL", hour: 0, delay: 1, distance: 1, arrives: 5 * time.Hour})
				w.add("raw_flights", w.rows["raw_flights"][len(w.rows["raw_flights"])-1])
				w.pane("flights-0@1", 0, "ATL", 0, 2, 2, 2) // not what one delivery gives
			},
			want: outcome{Hold, Counts{Total: 2, Exact: 1, Extra: 1}, map[string]int64{Unexplained: 1}, 8},
		},
		{
			name: "void, superseded and unlisted writers do not count",
			build: func(w *world) {
				w.generation("flights-1", 1, "stream", "open", "")
				w.generation("flights-1", 1, "stream", "void", "") // the newest row holds
				w.generation("flights-1", 2, "stream", "drained", "flights-1@1")
				w.generation("flights-2", 1, "stream", "drained", "")
				w.generation("instead", 1, "stream", "drained", "flights-2@1")
				w.watermark("flights-1", 2, time.Time{}, true)
				w.both("ORD", 0, 2)
				w.pane("flights-1@1", 0, "ORD", 0, 9, 9, 9)
				w.pane("flights-2@1", 0, "ORD", 0, 9, 9, 9)
				w.pane("ghost@1", 0, "ORD", 0, 9, 9, 9)
				w.pane("ghost@1", 0, "LAX", 0, 9, 9, 9) // a key of its own, that is no key
				w.batch("ATL", 1, 3, 0, 0)
				w.pane("flights-1@2", 0, "ATL", 1, 1, 0, 0) // two writers of one key add up
				w.pane("instead@1", 0, "ATL", 1, 2, 0, 0)
			},
			want: outcome{NoData, Counts{}, none, 0}, // flights-2 has published no watermark
			check: func(t *testing.T, r *Result) {
				if !strings.Contains(r.Verdict.Rule, "job flights-2: generation 1 has published no watermark") {
					t.Errorf("rule: %s", r.Verdict.Rule)
				}
			},
		},
		{
			name: "ignored rows are reported",
			build: func(w *world) {
				w.generation("old-0", 1, "stream", "void", "")
				w.generation("old-1", 1, "stream", "drained", "")
				w.generation("instead", 1, "stream", "drained", "old-1@1")
				w.generation("fill", 1, "backfill", "drained", "") // of no windows
				w.both("ORD", 0, 2)
				w.pane("old-0@1", 0, "ORD", 0, 9, 9, 9)
				w.pane("old-1@1", 0, "ORD", 0, 9, 9, 9)
				w.pane("ghost@1", 0, "ORD", 0, 9, 9, 9)
				w.pane("ghost@1", 0, "LAX", 0, 9, 9, 9)
				w.batch("ATL", 1, 3, 0, 0)
				w.pane("flights-0@1", 0, "ATL", 1, 1, 0, 0)
				w.pane("instead@1", 0, "ATL", 1, 2, 0, 0)
				w.pane("fill@1", 0, "ATL", 1, 2, 0, 0)
			},
			want: outcome{Go, Counts{Total: 2, Exact: 2}, none, 8},
			check: func(t *testing.T, r *Result) {
				ignored := map[string]int64{}
				for _, g := range r.Stream.Generations {
					if g.Ignored > 0 {
						ignored[writerName(g.Job, g.Generation)+" "+g.Reason] = g.Ignored
					}
				}
				want := map[string]int64{"old-0@1 void": 1, "old-1@1 superseded by instead@1": 1, "fill@1 backfill without a span of windows": 1, "ghost@1 not in the generations table": 2}
				if diff := cmp.Diff(want, ignored); diff != "" {
					t.Errorf("ignored (-want +got):\n%s", diff)
				}
				if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "ghost@1") {
					t.Errorf("warnings: %q", r.Warnings)
				}
			},
		},
		{
			name: "unsettled windows are left out",
			build: func(w *world) {
				w.watermark("flights-0", 1, hours(5), false) // newer than "at maximum"; settled: end + 2h cut-off ≤ 5h
				w.both("ORD", 0, 2)
				w.both("ORD", 2, 2)
				w.batch("ORD", 3, 7, 7, 7) // still open: the stream side has nothing yet
			},
			want: outcome{Go, Counts{Total: 2, Exact: 2}, none, 3},
			check: func(t *testing.T, r *Result) {
				if diff := cmp.Diff([]Range{span(0, 3)}, r.Scope.Settled); diff != "" {
					t.Errorf("settled (-want +got):\n%s", diff)
				}
				if l := r.Scope.LeftOut; len(l) != 1 || l[0].Windows != 5 || l[0].Reason != LeftOutStreamOpen {
					t.Errorf("left out: %+v", l)
				}
			},
		},
		{
			name: "settleAfter waits longer",
			build: func(w *world) {
				w.spec.Spec.Stream.SettleAfter = jobspecs.Duration(4 * time.Hour)
				w.watermark("flights-0", 1, hours(5), false)
				w.both("ORD", 0, 2)
			},
			want: outcome{Go, Counts{Total: 1, Exact: 1}, none, 1},
		},
		{
			name: "a gap in the loads is left out, on both sides of it is compared",
			build: func(w *world) {
				w.load(12, 16)
				w.both("ORD", 0, 2)
				w.both("ORD", 15, 2)
				w.pane("flights-0@1", 0, "ORD", 9, 7, 7, 7) // not loaded yet: not "extra"
			},
			want: outcome{Go, Counts{Total: 2, Exact: 2}, none, 12},
			check: func(t *testing.T, r *Result) {
				if l := r.Scope.LeftOut; len(l) != 1 || l[0].Windows != 4 || l[0].Reason != LeftOutNotLoaded {
					t.Errorf("left out: %+v", l)
				}
			},
		},
		{name: "nothing on either side", build: func(w *world) {}, want: outcome{NoData, Counts{}, none, 8}},
		{name: "an empty batch side", build: func(w *world) {
			w.pane("flights-0@1", 0, "ORD", 0, 1, 1, 1)
			w.spec.Spec.Gate = jobspecs.Gate{MaxUnexplained: 9}
		},
			want: outcome{NoData, Counts{Total: 1, Extra: 1}, map[string]int64{Unexplained: 1}, 8}},
		{name: "an empty stream side", build: func(w *world) { w.batch("ORD", 0, 1, 1, 1); w.spec.Spec.Gate = jobspecs.Gate{MaxUnexplained: 9} },
			want: outcome{NoData, Counts{Total: 1, Missing: 1}, map[string]int64{Unexplained: 1}, 8}},
		{name: "a stream side of rows that do not count", build: func(w *world) { w.batch("ORD", 0, 1, 1, 1); w.pane("ghost@1", 0, "ORD", 0, 1, 1, 1) },
			want: outcome{NoData, Counts{Total: 1, Missing: 1}, map[string]int64{Unexplained: 1}, 8}},
		{name: "no watermarks", build: func(w *world) { w.both("ORD", 0, 2); delete(w.rows, "watermarks"); delete(w.rows, "generations") },
			want: outcome{NoData, Counts{}, none, 0}},
		{name: "no batch loads", build: func(w *world) { w.both("ORD", 0, 2); delete(w.rows, "batch_loads") },
			want: outcome{NoData, Counts{}, none, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

func weights(exact, mismatch, missing, extra, nonunique string) map[string]string {
	return map[string]string{ClassExact: exact, ClassTolerated: "0", ClassMismatch: mismatch, ClassMissing: missing, ClassExtra: extra, ClassNonunique: nonunique}
}
