package statements

import (
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/jobspecs/examples"
	"github.com/kappa-migrate/kappa/sandbox/transfer/transfertest"
)

// furtherScenarios are worlds of other commands, and of sides that kappa did not make.
var furtherScenarios = []scenario{
	{
		name: "history",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.spec.Spec.History.Dataset = w.dataset
			w.standard(flightsAggregation("origin"))
			w.load("batch_flights", 0, 8)
			w.flights("batch_flights", "stream_flights", byOrigin)
			return w
		},
		needs: map[string][]Need{"reconcile": flightsNeeds["reconcile"]}, keys: 22,
		further: func(t *testing.T, w *world, s *service) { w.run(t, s, compare.Range{}) }, // that a second run reads the first
	},
	{
		name: "why",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.standard(flightsAggregation("origin"))
			w.load("batch_flights", 0, 8)
			w.flights("batch_flights", "stream_flights", byOrigin)
			return w
		},
		keys: 22,
		further: func(t *testing.T, w *world, s *service) {
			why, err := compare.Explain(t.Context(), compare.Config{Spec: w.spec, Client: s.client, Now: func() time.Time { return at(200) }}, "origin=DEN", at(1), 100)
			if err != nil {
				t.Fatal(err)
			}
			s.copied(t, why.SQL, at(1))
		},
	},
	{
		name: "duplicates",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.standard(flightsAggregation("origin"))
			w.load("batch_flights", 0, 8)
			w.flights("batch_flights", "stream_flights", byOrigin)
			return w
		},
		keys: 22,
		further: func(t *testing.T, w *world, s *service) {
			watchDuplicates(t, w, s, func(*jobspecs.DuplicateMonitor) {})
			watchDuplicates(t, w, s, func(m *jobspecs.DuplicateMonitor) { m.Spec.Late, m.Spec.Keys = "", nil })
		},
	},
	{
		name:  "duplicates-of-rollups",
		build: func(t *testing.T, name string) *world { return rollupsWorld(t, name) },
		keys:  22,
		further: func(t *testing.T, w *world, s *service) {
			watchDuplicates(t, w, s, func(*jobspecs.DuplicateMonitor) {})
		},
	},
	{
		name:  "decimals",
		build: func(t *testing.T, name string) *world { return plain(t, name, decimalsSpec, false) },
		needs: map[string][]Need{"reconcile": plainNeeds}, keys: 4,
	},
	{
		name:  "expressions",
		build: func(t *testing.T, name string) *world { return plain(t, name, expressionsSpec, false) },
		needs: map[string][]Need{"reconcile": plainNeeds}, keys: 4,
	},
	{
		name:  "queries",
		build: func(t *testing.T, name string) *world { return plain(t, name, queriesSpec, false) },
		needs: map[string][]Need{"reconcile": plainNeeds}, keys: 4,
	},
	{
		name:  "days",
		build: func(t *testing.T, name string) *world { return plain(t, name, daysSpec, true) },
		keys:  3,
	},
}

// watchDuplicates looks for duplicates by the example's monitor, first as it is run and
// then with exact counts.
func watchDuplicates(t *testing.T, w *world, s *service, change func(*jobspecs.DuplicateMonitor)) {
	doc, err := examples.Flights.ReadFile("flights/duplicates.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := jobspecs.Parse("duplicates.yaml", doc, jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	monitor := set.Monitors[0]
	monitor.Spec.Dataset = w.dataset
	change(monitor)
	for _, exact := range []bool{false, true} {
		d, err := compare.RunDuplicates(t.Context(), compare.DuplicatesConfig{Spec: monitor, Client: s.client, Exact: exact, Now: func() time.Time { return at(200) },
			Range: compare.Range{From: at(0), To: at(8)}})
		if err != nil {
			t.Fatal(err)
		}
		if d.Counts.Deliveries == 0 {
			t.Errorf("no deliveries: %s", d.Rule)
		}
	}
}

// installSchedule installs the comparison as a scheduled query, and runs what was
// installed as the service would.
func installSchedule(t *testing.T, w *world, s *service) {
	client, _ := transfertest.Start(t, s.addr)
	every, err := compare.ParseRecurrence("24h", w.spec.Metadata.Name)
	if err != nil {
		t.Fatal(err)
	}
	made, err := compare.InstallSchedule(t.Context(), compare.ScheduleConfig{Spec: w.spec, Client: s.client, Transfer: client, Recurrence: every, Now: func() time.Time { return at(200) }})
	if err != nil {
		t.Fatal(err)
	}
	q := s.client.Query(made.SQL)
	q.Labels = map[string]string{"kappa_phase": "scheduled"}
	q.Parameters = []bigquery.QueryParameter{{Name: "run_time", Value: at(200)}}
	job, err := q.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st, err := job.Wait(t.Context()); err != nil || st.Err() != nil {
		t.Fatal(err, st.Err())
	}
}

// plain is a world of tables that others have made: other names, other types, no
// writers, and settled by the clock.
func plain(t *testing.T, name, spec string, days bool) *world {
	w := newWorld(t, name, spec)
	number, letters := bigquery.NumericFieldType, bigquery.StringFieldType
	old := bigquery.Schema{{Name: "hour", Type: bigquery.TimestampFieldType}, {Name: "region", Type: letters}, {Name: "n", Type: bigquery.IntegerFieldType}, {Name: "revenue", Type: number}, {Name: "ratio", Type: bigquery.FloatFieldType}, {Name: "note", Type: letters}}
	new := bigquery.Schema{{Name: "starts", Type: bigquery.TimestampFieldType}, {Name: "area", Type: letters}, {Name: "orders", Type: bigquery.IntegerFieldType}, {Name: "cents", Type: number}, {Name: "ratio", Type: bigquery.FloatFieldType}, {Name: "debug", Type: letters}}
	w.tables = append(w.tables, tables.Table{Name: "old_sales", Schema: old, PartitionBy: "hour"}, tables.Table{Name: "new_sales", Schema: new, PartitionBy: "starts"})
	hours := []float64{0, 1, 2, 3}
	if days {
		hours = []float64{-1, 23, 47} // midnight in Berlin
		w.within = compare.Range{From: at(-1), To: at(71)}
	}
	for i, h := range hours {
		amount := []string{"1234567890123456.123456789", "0.000000001", "-7.5", "3"}[i]
		other := []string{"1234567890123456.123456788", "0.000000001", "-7.5", "3.0000001"}[i]
		w.add("old_sales", record{"hour": text(at(h)), "region": "north", "n": i, "revenue": amount, "ratio": 0.5, "note": "x"})
		w.add("new_sales", record{"starts": text(at(h)), "area": "north", "orders": i, "cents": other, "ratio": 0.5 + float64(i)/1e9, "debug": "y"})
	}
	w.add("old_sales", record{"hour": text(at(300)), "region": "north", "n": 1, "revenue": "1", "ratio": 1, "note": "x"})
	return w
}

var plainNeeds = []Need{
	{"old_sales", []string{"hour", "region", "n", "revenue", "ratio"}, loadedFrom, loadedTo},
	{"new_sales", []string{"starts", "area", "orders", "cents", "ratio"}, loadedFrom, loadedTo},
}

const plainHead = `apiVersion: kappa/v1
kind: Comparison
metadata: {name: sales}
spec:
  environment: sandbox
  project: kappa-demo
  dataset: DATASET
`

const decimalsSpec = plainHead + `  batch: {table: old_sales, time: hour, settledBy: clock}
  stream: {table: new_sales, time: starts}
  keys: [{name: region, type: STRING, stream: area}]
  window: 1h
  metrics:
    - {name: n, type: count, stream: orders}
    - {name: revenue, type: sum, value: NUMERIC, stream: cents, tolerance: {relative: 0.0001}, nulls: zero}
    - {name: ratio, type: max, value: FLOAT64, tolerance: {absolute: 0.000001}}
`

const expressionsSpec = plainHead + `  batch: {table: old_sales, time: hour, settledBy: clock, unique: false, where: "n >= 0"}
  stream: {table: new_sales, time: starts, where: "orders IS NOT NULL"}
  keys: [{name: region, type: STRING, batch: "UPPER(TRIM(region))", stream: "UPPER(area)"}]
  window: 1h
  metrics:
    - {name: n, type: count, stream: orders}
    - {name: revenue, type: sum, value: NUMERIC, batch: "revenue * 2", stream: "cents + cents"}
    - {name: ratio, type: sum, value: FLOAT64, tolerance: {absolute: 0.5, relative: 1}}
`

const queriesSpec = plainHead + `  batch: {query: "SELECT hour, region, n, revenue, ratio FROM ` + "`kappa-demo`.`DATASET`.`old_sales`" + ` WHERE hour >= @from AND hour < @to", time: hour}
  stream: {query: "SELECT starts, area, orders, cents, ratio FROM ` + "`kappa-demo`.`DATASET`.`new_sales`" + ` WHERE starts >= @from AND starts < @to", time: starts}
  keys: [{name: region, type: STRING, stream: area}]
  window: 1h
  metrics:
    - {name: n, type: count, stream: orders}
    - {name: revenue, type: sum, value: NUMERIC, stream: cents}
    - {name: ratio, type: min, value: FLOAT64, tolerance: {absolute: 0.000001}}
`

const daysSpec = plainHead + `  batch: {table: old_sales, time: hour, settledBy: clock}
  stream: {table: new_sales, time: starts}
  keys: [{name: region, type: STRING, stream: area}]
  window: 24h
  alignment: {timeZone: Europe/Berlin}
  metrics:
    - {name: n, type: count, stream: orders}
    - {name: revenue, type: sum, value: NUMERIC, stream: cents}
`
