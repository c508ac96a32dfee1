package compare

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Writers whose rows count in some windows alone: backfills, and the streams
// that they replace there while those go on.
func TestScenariosOfBackfills(t *testing.T) {
	tests := []scenario{
		{
			name: "a complete backfill replaces two hours, while streams go on",
			build: func(w *world) {
				twoGenerations(w)
				w.backfill("flights-fill", "drained", 2, 4)
				for h := range 6 {
					w.both("ORD", h, 2)
				}
				// What the streams had in its hours was wrong, and a later
				// generation may add to it still.
				w.pane("flights-0@1", 2, "ORD", 2, 9, 9, 9)
				w.pane("flights-0@2", 0, "ORD", 3, 9, 9, 9)
				w.pane("flights-0@2", 0, "LAX", 3, 9, 9, 9) // a key of its own, that is no key
				w.pane("flights-fill@1", 0, "ORD", 2, 2, 10, 200)
				w.pane("flights-fill@1", 0, "ORD", 3, 2, 10, 200)
				// At its edges it adds nothing.
				w.pane("flights-fill@1", 0, "ORD", 1, 9, 9, 9)
				w.pane("flights-fill@1", 0, "ORD", 4, 9, 9, 9)
			},
			want: outcome{Go, Counts{Total: 6, Exact: 6}, none, 8},
			check: func(t *testing.T, r *Result) {
				own, replaced := span(2, 4), []ReplacedRange{{span(2, 4), "flights-fill@1"}}
				want := []Writer{
					{Job: "flights-0", Generation: 1, Kind: "stream", State: "drained", Counts: true, Except: replaced, Ignored: 5},
					{Job: "flights-0", Generation: 2, Kind: "stream", State: "drained", Counts: true, Except: replaced, Ignored: 2},
					{Job: "flights-fill", Generation: 1, Kind: "backfill", State: "drained", Counts: true, Within: &own, Ignored: 2},
				}
				if diff := cmp.Diff(want, r.Stream.Generations); diff != "" {
					t.Errorf("writers (-want +got):\n%s", diff)
				}
				if r.Stream.Rows != 4*2+2 {
					t.Errorf("%d rows count", r.Stream.Rows)
				}
			},
		},
		{
			name: "an open backfill changes nothing",
			build: func(w *world) {
				w.backfill("flights-fill", "open", 0, 8)
				w.both("ORD", 2, 2)
				w.pane("flights-fill@1", 0, "ORD", 2, 2, 10, 200)
				// Its deliveries are no evidence yet: had the stream lost this
				// one, the batch would have it.
				w.event(flight{origin: "ORD", hour: 3, delay: 1, distance: 1, by: "flights-fill@1"})
				w.event(flight{origin: "ORD", hour: 3, delay: 2, distance: 2})
				w.event(flight{origin: "ORD", hour: 3, delay: 3, distance: 3, arrives: 3 * time.Hour})
				w.batch("ORD", 3, 1, 2, 2)
				w.pane("flights-0@1", 0, "ORD", 3, 2, 5, 5)
				w.spec.Spec.Gate.MinExactPercent = "50"
			},
			want: outcome{Go, Counts{Total: 2, Exact: 1, Mismatch: 1}, map[string]int64{"late_dropped_by_batch": 1}, 8},
			check: func(t *testing.T, r *Result) {
				want := []Writer{
					{Job: "flights-0", Generation: 1, Kind: "stream", State: "drained", Counts: true},
					{Job: "flights-fill", Generation: 1, Kind: "backfill", State: "open", Reason: "backfill not yet complete", Ignored: 1},
				}
				if diff := cmp.Diff(want, r.Stream.Generations); diff != "" {
					t.Errorf("writers (-want +got):\n%s", diff)
				}
			},
		},
		{
			name: "of overlapping backfills the last that was completed holds",
			build: func(w *world) {
				w.backfill("z-first", "drained", 1, 4)
				w.backfill("a-last", "drained", 3, 6)
				for h, writer := range []string{"flights-0@1", "z-first@1", "z-first@1", "a-last@1", "a-last@1", "a-last@1", "flights-0@1"} {
					w.batch("ORD", h, 1, 1, 1)
					for _, other := range []string{"flights-0@1", "z-first@1", "a-last@1"} {
						if other != writer {
							w.pane(other, 0, "ORD", h, 7, 7, 7)
						}
					}
					w.pane(writer, 0, "ORD", h, 1, 1, 1)
				}
			},
			want: outcome{Go, Counts{Total: 7, Exact: 7}, none, 8},
			check: func(t *testing.T, r *Result) {
				ignored := map[string]int64{}
				for _, g := range r.Stream.Generations {
					ignored[g.Job] = g.Ignored
				}
				if diff := cmp.Diff(map[string]int64{"flights-0": 5, "z-first": 5, "a-last": 4}, ignored); diff != "" {
					t.Errorf("ignored rows (-want +got):\n%s", diff)
				}
			},
		},
		{
			name: "a backfill of another group replaces nothing of this one",
			build: func(w *world) {
				w.backfill("fares-fill", "drained", 0, 8)
				w.rows["generations"][1]["job_group"] = "fares"
				w.both("ORD", 2, 2)
			},
			want: outcome{Go, Counts{Total: 1, Exact: 1}, none, 8},
		},
		{
			name: "an unlisted writer counts neither within a backfill's span nor outside of it",
			build: func(w *world) {
				w.backfill("flights-fill", "drained", 2, 4)
				w.batch("ORD", 2, 1, 1, 1)
				w.pane("flights-fill@1", 0, "ORD", 2, 1, 1, 1)
				w.pane("ghost@1", 0, "ORD", 2, 9, 9, 9)
				w.pane("ghost@1", 0, "ORD", 5, 9, 9, 9)
			},
			want: outcome{Go, Counts{Total: 1, Exact: 1}, none, 8},
			check: func(t *testing.T, r *Result) {
				if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "2 rows of ghost@1 do not count") {
					t.Errorf("warnings: %q", r.Warnings)
				}
			},
		},
		{
			name: "evidence in a replaced window is what the backfill read",
			build: func(w *world) {
				w.backfill("flights-fill", "drained", 2, 4)
				// The stream misread an event; the backfill did not.
				w.deliver("a", flight{origin: "ORD", hour: 2, delay: 99, distance: 1}, 1)
				w.deliver("a", flight{origin: "ORD", hour: 2, delay: 5, distance: 1, by: "flights-fill@1"}, 1)
				w.deliver("b", flight{origin: "ORD", hour: 2, delay: 7, distance: 1, arrives: 3 * time.Hour, by: "flights-fill@1"}, 1)
				w.batch("ORD", 2, 1, 5, 1)
				w.pane("flights-0@1", 0, "ORD", 2, 1, 99, 1)
				w.pane("flights-fill@1", 0, "ORD", 2, 2, 12, 2)
				w.spec.Spec.Gate.MinExactPercent = ""
			},
			want: outcome{Go, Counts{Total: 1, Mismatch: 1}, map[string]int64{"late_dropped_by_batch": 1}, 8},
		},
		{
			name: "late in the stream, counted by the backfill; late after the backfill, counted by none",
			build: func(w *world) {
				w.backfill("flights-fill", "drained", 2, 4)
				w.deliver("a", flight{origin: "ORD", hour: 2, delay: 5, distance: 1, late: true}, 1)
				again := record{"job": "flights-fill"}
				for k, v := range w.rows["raw_flights"][0] {
					if k != "job" {
						again[k] = v
					}
				}
				w.add("raw_flights", again)                                                                          // the same delivery, from the archive
				w.deliver("b", flight{origin: "ORD", hour: 2, delay: 7, distance: 1, late: true}, 1)                 // the stream alone
				w.deliver("c", flight{origin: "ATL", hour: 3, delay: 7, distance: 1}, 1)                             // lost by the backfill: no stream took it for late
				w.deliver("d", flight{origin: "ATL", hour: 3, delay: 7, distance: 1, by: "flights-fill@1"}, 1)       //
				w.deliver("e", flight{origin: "DEN", hour: 5, delay: 7, distance: 1, late: true, by: "void-0@1"}, 1) // dropped by a writer of which nothing counts
				w.generation("void-0", 1, "stream", "void", "")
				w.batch("ORD", 2, 2, 12, 2)
				w.pane("flights-fill@1", 0, "ORD", 2, 1, 5, 1)
				w.batch("ATL", 3, 2, 14, 2)
				w.pane("flights-fill@1", 0, "ATL", 3, 1, 7, 1)
				w.batch("DEN", 5, 1, 7, 1)
			},
			want: outcome{Hold, Counts{Total: 3, Mismatch: 2, Missing: 1}, map[string]int64{"late_dropped_by_stream": 1, Unexplained: 2}, 8},
		},
		{
			name: "a delivery that one generation took for late and the next one did not is lost if it is missing",
			build: func(w *world) {
				twoGenerations(w)
				w.both("ORD", 0, 2)
				w.deliver("a", flight{origin: "ORD", hour: 2, delay: 5, distance: 1, late: true}, 1)
				again := record{"generation": 2}
				for k, v := range w.rows["raw_flights"][2] {
					if k != "generation" {
						again[k] = v
					}
				}
				w.add("raw_flights", again)
				w.batch("ORD", 2, 1, 5, 1)
			},
			want: outcome{Hold, Counts{Total: 2, Exact: 1, Missing: 1}, map[string]int64{Unexplained: 1}, 8},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

// twoGenerations makes the job of the world one that was redeployed, and has
// read all there is.
func twoGenerations(w *world) {
	w.generation("flights-0", 2, "stream", "drained", "")
	w.watermark("flights-0", 2, time.Time{}, true)
}

// A backfill of some windows costs no further reading (invariant C1).
func TestBackfillsAreReadInTheSamePass(t *testing.T) {
	w := newWorld(t)
	w.both("ORD", 2, 2)
	w.both("ORD", 5, 2)
	w.create()
	before := w.again(Range{})
	w.backfill("flights-fill", "drained", 2, 4)
	w.backfill("flights-more", "drained", 3, 4)
	if err := client.Dataset(w.spec.Spec.Dataset).Table("generations").Inserter().Put(ctxBackground, w.rows["generations"][1:]); err != nil {
		t.Fatal(err)
	}
	after := w.again(Range{})
	if before.Counts.Exact != 2 || after.Counts.Exact != 1 || after.Counts.Missing != 1 {
		t.Errorf("before %+v, after %+v", before.Counts, after.Counts)
	}
	if before.Cost.Processed == 0 || before.Cost.Processed != after.Cost.Processed {
		t.Errorf("%d bytes read before, %d after", before.Cost.Processed, after.Cost.Processed)
	}
	p, err := PlanRun(ctxBackground, w.config())
	if err != nil {
		t.Fatal(err)
	}
	plan := Text(p, 0)
	for _, want := range []string{"-- @writers1 = [flights-0@1]", "-- @writers1_from1 = 2001-01-08T04:00:00Z", "-- @writers2 = [flights-fill@1]", "-- @writers3_to0 = 2001-01-08T04:00:00Z"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q:\n%s", want, plan)
		}
	}
}
