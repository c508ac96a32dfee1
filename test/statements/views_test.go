package statements

import (
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// viewScenarios are worlds whose sides are views: what is read is in the tables
// behind them, and a range of those is all that may be paid for.
var viewScenarios = []scenario{
	{
		name: "views",
		build: func(t *testing.T, name string) *world {
			w := plain(t, name, viewsSpec, false)
			w.view("old_view", "SELECT hour AS begins, UPPER(region) AS region, n, revenue * 2 AS revenue, ratio, note FROM "+w.named("old_sales"))
			w.view("new_all", "SELECT * FROM "+w.named("new_sales")+" WHERE orders >= 0")
			w.view("new_view", "SELECT starts, UPPER(area) AS area, orders, cents + cents AS cents, ratio FROM "+w.named("new_all"))
			return w
		},
		needs: map[string][]Need{"reconcile": plainNeeds}, keys: 4,
	},
	{
		// The stream side's table behind a view that leaves out what a reader does not
		// need; rows count by their writer nevertheless.
		name: "view-of-stream",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.spec.Spec.Stream.Table = "stream_view"
			w.spec.Spec.History.Dataset = w.dataset
			w.spec.Spec.Range.Last = jobspecs.Duration(8 * time.Hour)
			w.standard(flightsAggregation("origin"))
			w.load("batch_flights", 0, 8)
			w.flights("batch_flights", "stream_flights", byOrigin)
			w.view("stream_view", "SELECT origin, window_start, job, generation, pane, flights, delay_sum, distance_sum FROM "+w.named("stream_flights"))
			return w
		},
		needs:   map[string][]Need{"reconcile": needsOf("batch_flights", "stream_flights", nil, flightColumns...), "evidence": flightsNeeds["evidence"]},
		keys:    22,
		further: installSchedule,
	},
}

// view adds a view.
func (w *world) view(name, query string) { w.views = append(w.views, view{name, query}) }

// named is the quoted name of a table.
func (w *world) named(table string) string {
	return "`" + project + "`.`" + w.dataset + "`.`" + table + "`"
}

const viewsSpec = plainHead + `  batch: {table: old_view, time: begins, settledBy: clock, where: "n < 100"}
  stream: {table: new_view, time: starts}
  keys: [{name: region, type: STRING, stream: area}]
  window: 1h
  metrics:
    - {name: n, type: count, stream: orders}
    - {name: revenue, type: sum, value: NUMERIC, stream: cents}
    - {name: ratio, type: sum, value: FLOAT64, tolerance: {absolute: 0.5, relative: 1}}
`

// scheduleScenarios are comparisons that find by themselves what is settled, in each
// of the ways that there are.
var scheduleScenarios = []scenario{
	{
		name: "schedule",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.scheduled(8 * time.Hour)
			w.standard(flightsAggregation("origin"))
			w.load("batch_flights", 0, 8)
			w.flights("batch_flights", "stream_flights", byOrigin)
			return w
		},
		keys: 22, further: installSchedule,
	},
	{
		name: "schedule-by-clock",
		build: func(t *testing.T, name string) *world {
			w := plain(t, name, decimalsSpec, false)
			w.scheduled(8 * time.Hour)
			w.spec.Spec.Keys[0].Batch, w.spec.Spec.Keys[0].Stream, w.spec.Spec.Metrics[0].Value = "n", "orders", "NUMERIC" // casts that lose nothing
			w.spec.Spec.Metrics = w.spec.Spec.Metrics[:2]                                                                  // sums of floating point are not scheduled
			w.spec.Spec.Stream.SettleAfter = jobspecs.Duration(time.Hour)
			return w
		},
		keys: 4, further: installSchedule,
	},
	{
		name: "schedule-of-days",
		build: func(t *testing.T, name string) *world {
			w := datesWorld(t, name, monday)
			w.spec.Spec.Alignment.Offset = jobspecs.Duration(6 * time.Hour)
			w.shift("new_days", "starts", 6*time.Hour)
			w.within = compare.Range{From: at(6), To: at(78)}
			w.scheduled(72 * time.Hour)
			return w
		},
		keys: 3, further: installSchedule,
	},
	{
		name: "schedule-of-shadow",
		build: func(t *testing.T, name string) *world {
			w := shadowBatch(t, name)
			w.scheduled(8 * time.Hour)
			return w
		},
		keys: 22, further: installSchedule,
	},
	{
		name: "schedule-for-shadow",
		build: func(t *testing.T, name string) *world {
			w := shadowBatch(t, name)
			w.scheduled(8 * time.Hour)
			w.spec.Spec.Batch.Shadow, w.spec.Spec.Batch.Table = "", "batch_flights"
			w.spec.Spec.Stream.Table, w.spec.Spec.Stream.Job = "stream_flights_shadow_x", "flights_shadow_x"
			w.rows["batch_flights"] = nil
			w.load("batch_flights", 0, 8)
			w.flights("batch_flights", "stream_flights", byOrigin)
			return w
		},
		keys: 21, further: installSchedule,
	},
}

// scheduled gives the world what a scheduled query needs: a history and a range.
func (w *world) scheduled(last time.Duration) {
	w.spec.Spec.History.Dataset = w.dataset
	w.spec.Spec.Range.Last = jobspecs.Duration(last)
}

// shadowBatch is a world whose batch side is a shadow of the stream.
func shadowBatch(t *testing.T, name string) *world {
	w := newWorld(t, name, flightsSpec)
	w.spec.Spec.Batch.Shadow = "flights_shadow_x"
	w.spec.Spec.Batch.Table = "stream_flights_shadow_x"
	w.standard(flightsAggregation("origin"))
	beside := flightsAggregation("origin")
	beside.Table = "stream_flights_shadow_x"
	w.tables = append(w.tables, tables.Aggregate(beside, flightFields))
	w.writer("flights_shadow_x-0", 1, record{"job_group": "flights_shadow_x", "kind": "backfill", "state": "drained", "window_from": loadedFrom, "window_to": loadedTo})
	w.flights("stream_flights_shadow_x", "stream_flights", byOrigin)
	for _, r := range w.rows["stream_flights_shadow_x"] {
		for k, v := range pane(1, 0) {
			r[k] = v
		}
		r["job"] = "flights_shadow_x-0"
	}
	return w
}
