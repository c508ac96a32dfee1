package compare

import (
	"strings"
	"testing"
)

const shadowGroup, shadowTable = "flights_shadow_v2", "stream_flights_v2"

// shadowed adds a shadow's backfill of windows by their hours, the last exclusive,
// and returns what writes its rows.
func (w *world) shadowed(generation int64, state string, from, to float64) func(hour int, n, delay, distance int64) {
	w.shadow = shadowTable
	w.generation("flights-shadow-v2", generation, "backfill", state, "")
	r := w.rows["generations"][len(w.rows["generations"])-1]
	r["window_from"], r["window_to"], r["job_group"] = hours(from), hours(to), shadowGroup
	return func(hour int, n, delay, distance int64) {
		r := w.pane("flights-shadow-v2@1", 0, "ORD", hour, n, delay, distance)
		r["generation"] = generation
		rows := w.rows["stream_flights"]
		w.rows["stream_flights"] = rows[:len(rows)-1]
		w.add(shadowTable, r)
	}
}

// againstLive makes the shadow the batch side of the comparison.
func (w *world) againstLive() {
	w.spec.Spec.Batch.Table, w.spec.Spec.Batch.Shadow, w.spec.Spec.Batch.Cutoff = shadowTable, shadowGroup, 0
	w.spec.Spec.Evidence.Raw, w.spec.Spec.Evidence.Late = "", ""
}

func TestScenariosOfShadows(t *testing.T) {
	unexplained := func(n int64) map[string]int64 { return map[string]int64{Unexplained: n} }
	tests := []scenario{
		{
			name: "live against a shadow: what it has not computed is not compared, and its rows do not count in live windows",
			build: func(w *world) {
				twoGenerations(w)
				put := w.shadowed(1, "drained", 2, 5)
				for h := range 8 {
					w.both("ORD", h, 2)
				}
				put(2, 2, 10, 200)
				put(2, 2, 10, 200) // the sink wrote it twice
				put(3, 2, 10, 200)
				put(4, 9, 9, 9) // differs
				put(5, 9, 9, 9) // outside of its span
				w.againstLive()
			},
			want: outcome{Hold, Counts{Total: 3, Exact: 2, Mismatch: 1}, unexplained(1), 3},
			check: func(t *testing.T, r *Result) {
				if r.Batch.Loads != 1 || r.Batch.CoveredTo == nil || !r.Batch.CoveredTo.Equal(hours(5)) {
					t.Errorf("batch %+v", r.Batch)
				}
				for _, g := range r.Stream.Generations {
					if g.Kind == "stream" && (!g.Counts || len(g.Except) > 0) {
						t.Errorf("a shadow has replaced rows of %+v", g)
					}
				}
			},
		},
		{
			name: "a shadow that ran again replaces itself",
			build: func(w *world) {
				put := w.shadowed(1, "drained", 2, 4)
				put(2, 7, 7, 7)
				put(3, 7, 7, 7)
				put = w.shadowed(2, "drained", 2, 4)
				w.both("ORD", 2, 2)
				w.both("ORD", 3, 2)
				put(2, 2, 10, 200)
				put(3, 2, 10, 200)
				w.againstLive()
			},
			want: outcome{Go, Counts{Total: 2, Exact: 2}, none, 2},
		},
		{
			name: "a shadow against the batch layer",
			build: func(w *world) {
				put := w.shadowed(1, "drained", 2, 4)
				w.both("ORD", 2, 2)
				w.both("ORD", 3, 2)
				w.both("ORD", 6, 2)
				put(2, 2, 10, 200)
				put(3, 2, 10, 200)
				w.spec.Spec.Stream.Table, w.spec.Spec.Stream.Job = shadowTable, shadowGroup
				w.spec.Spec.Evidence.Raw, w.spec.Spec.Evidence.Late = "", ""
			},
			want: outcome{Go, Counts{Total: 2, Exact: 2}, none, 2},
			check: func(t *testing.T, r *Result) {
				found := false
				for _, l := range r.Scope.LeftOut {
					found = found || strings.Contains(l.Message, "the shadow has not computed them") && l.Windows == 6
				}
				if !found {
					t.Errorf("left out %+v", r.Scope.LeftOut)
				}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

// An unfinished shadow is nothing yet.
func TestUnfinishedShadow(t *testing.T) {
	w := newWorld(t)
	put := w.shadowed(1, "open", 2, 5)
	w.both("ORD", 2, 2)
	put(2, 2, 10, 200)
	w.againstLive()
	r := w.run()
	if r.Verdict.Verdict != NoData || r.Scope.Windows != 0 {
		t.Errorf("verdict %+v of %d windows", r.Verdict, r.Scope.Windows)
	}
	found := false
	for _, l := range r.Scope.LeftOut {
		found = found || strings.Contains(l.Message, "no complete backfill of flights_shadow_v2")
	}
	if !found {
		t.Errorf("left out %+v", r.Scope.LeftOut)
	}
}
