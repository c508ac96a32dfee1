package compare

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// All key types, and extremes as metrics, which merge by keeping the extreme.
func TestKeysAndMetricsOfAllTypes(t *testing.T) {
	w := newWorld(t)
	w.spec.Spec.Keys = []jobspecs.CompareKey{{Name: "origin", Type: "STRING"}, {Name: "gate", Type: "INT64"}, {Name: "slot", Type: "TIMESTAMP"}}
	w.spec.Spec.Metrics = []jobspecs.Metric{{Name: "flights", Type: "count", Value: "INT64"}, {Name: "delay_min", Type: "min", Value: "INT64", Field: "delay"}, {Name: "delay_max", Type: "max", Value: "INT64", Field: "delay"}}
	w.spec.Spec.Gate = jobspecs.Gate{}
	key := func(r record, gate any, slot any) record {
		if gate != nil {
			r["gate"] = gate
		}
		if slot != nil {
			r["slot"] = slot
		}
		return r
	}
	event := func(gate, slot any, delay int64, arrives time.Duration) {
		w.event(flight{origin: "ORD", hour: 1, delay: delay, distance: 1, arrives: arrives})
		key(w.rows["raw_flights"][len(w.rows["raw_flights"])-1], gate, slot)
	}
	batch := func(gate, slot any, n, low, high int64) {
		w.add("batch_flights", key(record{"origin": "ORD", "window_start": hours(1), "flights": n, "delay_min": low, "delay_max": high}, gate, slot))
	}
	pane := func(pane, n, low, high int64, gate, slot any) {
		w.add("stream_flights", key(record{"origin": "ORD", "window_start": hours(1), "flights": n, "delay_min": low, "delay_max": high,
			"job": "flights-0", "generation": 1, "pane": pane, "timing": "on_time", "write_time": hours(100)}, gate, slot))
	}
	slot := hours(-1.5).Add(123 * time.Microsecond)
	// Exact: panes merge to the extremes.
	event(int64(-7), slot, 3, 0)
	event(int64(-7), slot, -4, 0)
	batch(int64(-7), slot, 2, -4, 3)
	pane(0, 1, 3, 3, int64(-7), slot)
	pane(1, 1, -4, -4, int64(-7), slot)
	// A late event that moves an extreme.
	event(int64(8), slot, 3, 0)
	event(int64(8), slot, 99, 3*time.Hour)
	batch(int64(8), slot, 1, 3, 3)
	pane(0, 2, 3, 99, int64(8), slot)
	// Keys of NULLs, one of them only on the stream side.
	event(nil, slot, 1, 3*time.Hour)
	pane(0, 1, 1, 1, nil, slot)
	event(int64(8), nil, 1, 3*time.Hour)
	pane(0, 1, 1, 1, int64(8), nil)
	r := w.run()
	want := outcome{Go, Counts{Total: 4, Exact: 1, Mismatch: 1, Extra: 2}, map[string]int64{"late_dropped_by_batch": 3}, 8}
	if diff := cmp.Diff(want, outcomeOf(r)); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
	if m := r.Metrics[2]; m.BatchTotal != "" || m.Difference != "98" {
		t.Errorf("delay_max: %+v", m)
	}
	if len(r.Segments) != 3 || len(r.Segments[2].Worst) != 2 {
		t.Errorf("segments: %+v", r.Segments)
	}
}

// Invariant C1: the reconciliation is one job, and it reads each needed column
// of each table once: exactly the bytes of those columns.
func TestReconcileReadsEachTableOnce(t *testing.T) {
	w := newWorld(t)
	for h := range 8 {
		w.both("ORD", h, 3)
		w.both(nil, h, 2)
	}
	w.pane("flights-0@1", 2, "ATL", 3, 1, 1, 1)
	r := w.run()
	var want int64
	text := func(v any) int64 {
		if s, ok := v.(string); ok {
			return 2 + int64(len(s))
		}
		return 0
	}
	for _, b := range w.rows["batch_flights"] {
		want += text(b["origin"]) + 8 + 3*8
	}
	for _, s := range w.rows["stream_flights"] {
		want += text(s["origin"]) + 8 + 3*8 + text(s["job"]) + 8 + 8
	}
	if r.Cost.Estimated != want || r.Cost.Processed != want {
		t.Errorf("%d bytes estimated, %d processed; the needed columns hold %d", r.Cost.Estimated, r.Cost.Processed, want)
	}
	if r.Cost.LowerBound != 2*billingMinimum {
		t.Errorf("lower bound %d", r.Cost.LowerBound)
	}
	jobs := 0
	for _, j := range r.Cost.Jobs {
		if j.Purpose == "reconcile" {
			jobs++
		}
	}
	if jobs != 1 {
		t.Errorf("%d reconciliation jobs, want 1", jobs)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name  string
		build func(w *world)
		edit  func(w *world)                   // of the spec, once the tables are made
		after func(ds *bigquery.Dataset) error // of the tables
		code  exit.Code
		want  string
	}{
		{name: "int64 overflow over panes", code: exit.Failed, want: "overflow", build: func(w *world) {
			w.both("ORD", 0, 2)
			w.pane("flights-0@1", 7, "ORD", 0, 1, math.MaxInt64, 0)
		}},
		{name: "over the byte cap", code: exit.Usage, want: "limits.maxBytesBilled", build: func(w *world) { w.both("ORD", 0, 2); w.spec.Spec.Limits.MaxBytesBilled = 10 }},
		{name: "no such table", code: exit.Environment, want: "no_such_table", build: func(w *world) { w.spec.Spec.Evidence.Late = "no_such_table" }},
		{name: "no such column", code: exit.Environment, want: "has no column carrier", build: func(w *world) {}, edit: func(w *world) {
			w.spec.Spec.Keys = append(w.spec.Spec.Keys, jobspecs.CompareKey{Name: "carrier", Type: "STRING"})
		}},
		{name: "floating point", code: exit.Environment, want: "floating point", build: func(w *world) {}, after: func(ds *bigquery.Dataset) error {
			if err := ds.Table("batch_flights").Delete(ctxBackground); err != nil {
				return err
			}
			return ds.Table("batch_flights").Create(ctxBackground, &bigquery.TableMetadata{TimePartitioning: &bigquery.TimePartitioning{Field: "window_start"}, Schema: bigquery.Schema{
				{Name: "origin", Type: bigquery.StringFieldType}, {Name: "window_start", Type: bigquery.TimestampFieldType}, {Name: "flights", Type: bigquery.FloatFieldType},
				{Name: "delay_sum", Type: bigquery.IntegerFieldType}, {Name: "distance_sum", Type: bigquery.IntegerFieldType}}})
		}},
		{name: "not partitioned", code: exit.Environment, want: "not partitioned by window_start", build: func(w *world) {}, after: func(ds *bigquery.Dataset) error {
			if err := ds.Table("batch_flights").Delete(ctxBackground); err != nil {
				return err
			}
			return ds.Table("batch_flights").Create(ctxBackground, &bigquery.TableMetadata{Schema: bigquery.Schema{
				{Name: "origin", Type: bigquery.StringFieldType}, {Name: "window_start", Type: bigquery.TimestampFieldType}, {Name: "flights", Type: bigquery.IntegerFieldType},
				{Name: "delay_sum", Type: bigquery.IntegerFieldType}, {Name: "distance_sum", Type: bigquery.IntegerFieldType}}})
		}},
		{name: "a backtick in a column", code: exit.Usage, want: "quoted safely", build: func(w *world) {}, edit: func(w *world) { w.spec.Spec.Keys[0].Name = "a`b" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.build(w)
			w.create()
			if tt.edit != nil {
				tt.edit(w)
			}
			if tt.after != nil {
				if err := tt.after(client.Dataset(w.spec.Spec.Dataset)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Run(ctxBackground, w.config())
			if err == nil || !strings.Contains(err.Error(), tt.want) || exit.Of(err) != tt.code {
				t.Errorf("error %v (code %d); want one that says %q, code %d", err, exit.Of(err), tt.want, tt.code)
			}
		})
	}
}

func TestRangeBoundsTheRun(t *testing.T) {
	w := newWorld(t)
	w.both("ORD", 0, 2)
	w.both("ORD", 3, 2)
	w.batch("ORD", 6, 9, 9, 9)
	w.create()
	r := w.again(span(0, 4))
	if diff := cmp.Diff(outcome{Go, Counts{Total: 2, Exact: 2}, map[string]int64{}, 4}, outcomeOf(r)); diff != "" || r.Scope.Default {
		t.Errorf("default %v, outcome (-want +got):\n%s", r.Scope.Default, diff)
	}
	r = w.again(Range{From: hours(3)})
	if diff := cmp.Diff(outcome{Hold, Counts{Total: 2, Exact: 1, Missing: 1}, map[string]int64{Unexplained: 1}, 5}, outcomeOf(r)); diff != "" || !r.Scope.Default {
		t.Errorf("default %v, outcome (-want +got):\n%s", r.Scope.Default, diff)
	}
}

func TestCancelledRunEnds(t *testing.T) {
	w := newWorld(t)
	w.both("ORD", 0, 2)
	w.create()
	ctx, cancel := context.WithCancel(ctxBackground)
	cfg := w.config()
	cfg.Progress = func(p Progress) {
		if p.Phase == "reconcile" {
			cancel()
		}
	}
	if _, err := Run(ctx, cfg); exit.Of(err) != exit.Interrupted {
		t.Errorf("error %v, code %d", err, exit.Of(err))
	}
}

func TestPlanReadsNeitherSide(t *testing.T) {
	w := newWorld(t)
	w.both("ORD", 0, 2)
	w.create()
	p, err := PlanRun(ctxBackground, w.config())
	if err != nil {
		t.Fatal(err)
	}
	var purposes []string
	for _, q := range p.Queries {
		purposes = append(purposes, q.Purpose)
	}
	if diff := cmp.Diff([]string{"generations", "watermarks", "batch_loads", "reconcile", "evidence"}, purposes); diff != "" || p.Bytes == 0 || p.Scope.Windows != 8 {
		t.Errorf("%d bytes, %d windows, queries (-want +got):\n%s", p.Bytes, p.Scope.Windows, diff)
	}
	plan := Text(p, 0)
	for _, want := range []string{"8 windows of 1h settled", "-- @from = 2001-01-08T00:00:00Z", "-- @writers = [flights-0@1]", "GROUPING SETS", "billed ÷ lower bound 1.00"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q:\n%s", want, plan)
		}
	}
}
