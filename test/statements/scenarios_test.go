package statements

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/jobspecs/examples"
)

// scenario is a world that kappa is run in.
type scenario struct {
	name  string
	build func(t *testing.T, name string) *world
	needs map[string][]Need // by purpose of the statement
	// further is what is done after the run; nil: nothing.
	further func(t *testing.T, w *world, s *service)
	causes  []string // that the run must name
	keys    int64    // that the run must find on either side: a scenario in which nothing is compared shows nothing
}

// The range that every world is loaded for.
var loadedFrom, loadedTo = text(at(0)), text(at(8))

// needsOf is what a reconciliation of kappa's own tables needs: of the batch side
// keys, window and metrics, of the stream side the writer and pane as well.
func needsOf(batch, stream string, further []string, columns ...string) []Need {
	return []Need{
		{batch, append([]string{"window_start"}, columns...), loadedFrom, loadedTo},
		{stream, append(append([]string{"window_start", "job", "generation", "pane"}, further...), columns...), loadedFrom, loadedTo},
	}
}

var flightFields = jobspecs.Event{Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}, {Name: "gate", Type: "INT64"},
	{Name: "slot", Type: "TIMESTAMP"}, {Name: "delay", Type: "INT64"}, {Name: "distance", Type: "INT64"}}}

var flightMeasures = []jobspecs.Measure{{Name: "flights", Type: "count"}, {Name: "delay_sum", Type: "sum", Field: "delay"}, {Name: "distance_sum", Type: "sum", Field: "distance"}}

// standard gives the world the tables of the flights example.
func (w *world) standard(agg jobspecs.Aggregation) { w.standardOf(agg, flightFields) }

func (w *world) standardOf(agg jobspecs.Aggregation, of jobspecs.Event) {
	load := jobspecs.BatchLoadSpec{Table: "batch_flights", Keys: w.spec.Spec.KeyFields()}
	for _, m := range agg.Measures {
		load.Metrics = append(load.Metrics, jobspecs.Field{Name: m.Name, Type: "INT64"})
	}
	w.tables = append(w.tables, tables.Batch(load), tables.Aggregate(agg, of), tables.Raw("raw_flights", of), tables.Late("late_flights", of))
}

func flightsAggregation(dimensions ...string) jobspecs.Aggregation {
	return jobspecs.Aggregation{Name: "flights", Dimensions: dimensions, Table: "stream_flights", Measures: flightMeasures}
}

func values(n, delay, distance int) record {
	return record{"flights": n, "delay_sum": delay, "distance_sum": distance}
}

func with(rs ...record) record {
	out := record{}
	for _, r := range rs {
		for k, v := range r {
			out[k] = v
		}
	}
	return out
}

func pane(writer int, n int) record {
	return record{"job": "flights-0", "generation": writer, "pane": n, "timing": "on_time", "write_time": text(at(51))}
}

// flights fills the flights example with one key of every class and cause, and
// with rows beyond the range, which no query may pay for.
func (w *world) flights(batch, stream string, dimension func(origin any) record) {
	hour := func(h int) record { return record{"window_start": text(at(float64(h)))} }
	both := func(origin any, h, n int) {
		fields := with(dimension(origin), record{"delay": 5, "distance": 100})
		for i := range n {
			w.event("raw_flights", fmt.Sprintf("%v-%d-%d", origin, h, i), float64(h)+0.5, 20*time.Minute, 1, 1, fields)
		}
		w.add(batch, with(dimension(origin), hour(h), values(n, 5*n, 100*n)))
		w.add(stream, with(dimension(origin), hour(h), values(n-1, 5*(n-1), 100*(n-1)), pane(1, 0)))
		w.add(stream, with(dimension(origin), hour(h), values(1, 5, 100), pane(1, 1)))
	}
	for h := range 8 {
		both("ORD", h, 2+h)
		both("ATL", h, 3)
	}
	both("ORD", 30, 3) // beyond the range, in the next partition
	both(nil, 0, 2)
	// Late, and dropped by the batch.
	w.event("raw_flights", "den-1", 1.5, time.Minute, 1, 1, with(dimension("DEN"), record{"delay": 7, "distance": 11}))
	w.event("raw_flights", "den-2", 1.5, 9*time.Hour, 1, 1, with(dimension("DEN"), record{"delay": 540, "distance": 13}))
	w.add(batch, with(dimension("DEN"), hour(1), values(1, 7, 11)))
	w.add(stream, with(dimension("DEN"), hour(1), values(2, 547, 24), pane(1, 0)))
	// Sent twice, and counted twice by the batch; only there.
	w.event("raw_flights", "lax", 2.5, time.Minute, 1, 2, with(dimension("LAX"), record{"delay": 3, "distance": 17}))
	w.add(batch, with(dimension("LAX"), hour(2), values(2, 6, 34)))
	w.add(stream, with(dimension("LAX"), hour(2), values(1, 3, 17), pane(1, 0)))
	// Dropped by the stream as too late: only on the batch side.
	w.event("raw_flights", "jfk", 3.5, time.Minute, 1, 1, with(dimension("JFK"), record{"delay": 4, "distance": 19}))
	w.event("late_flights", "jfk", 3.5, time.Minute, 1, 1, with(dimension("JFK"), record{"delay": 4, "distance": 19, "watermark": text(at(99))}))
	w.add(batch, with(dimension("JFK"), hour(3), values(1, 4, 19)))
	// Only on the stream side, and unexplained; several rows on the batch side.
	w.add(stream, with(dimension("SFO"), hour(4), values(1, 1, 1), pane(1, 0)))
	w.add(batch, with(dimension("BOS"), hour(5), values(1, 1, 1)))
	w.add(batch, with(dimension("BOS"), hour(5), values(1, 1, 2)))
	// Rows of a writer that does not count, and a copy.
	w.add(stream, with(dimension("ORD"), hour(0), values(9, 9, 9), pane(7, 0)))
	w.add(stream, with(dimension("ATL"), hour(1), values(1, 5, 100), pane(1, 1)))
}

func byOrigin(origin any) record {
	if origin == nil {
		return record{}
	}
	return record{"origin": origin}
}

const flightsSpec = `apiVersion: kappa/v1
kind: Comparison
metadata: {name: flights}
spec:
  environment: sandbox
  project: kappa-demo
  dataset: DATASET
  batch: {table: batch_flights, cutoff: 2h}
  stream: {table: stream_flights, job: flights}
  keys: [{name: origin, type: STRING}]
  window: 1h
  metrics:
    - {name: flights, type: count}
    - {name: delay_sum, type: sum, field: delay}
    - {name: distance_sum, type: sum, field: distance}
  evidence: {raw: raw_flights, late: late_flights}
`

var flightColumns = []string{"origin", "flights", "delay_sum", "distance_sum"}

var rawColumns = []string{"event_id", "message_id", "event_time", "source_time", "position", "job", "generation", "origin", "delay", "distance"}

var flightsNeeds = map[string][]Need{
	"reconcile": needsOf("batch_flights", "stream_flights", nil, flightColumns...),
	"evidence":  {{"raw_flights", rawColumns, text(at(1)), text(at(5))}, {"late_flights", rawColumns, text(at(1)), text(at(5))}},
}

var scenarios = slices.Concat([]scenario{
	{
		name: "example",
		build: func(t *testing.T, name string) *world {
			doc, err := examples.Flights.ReadFile("flights/compare.yaml")
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, name, string(doc))
			w.standard(flightsAggregation("origin"))
			w.load("batch_flights", 0, 8)
			w.flights("batch_flights", "stream_flights", byOrigin)
			return w
		},
		needs: flightsNeeds, keys: 22,
	},
	{
		name: "no-late-table",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.spec.Spec.Evidence.Late = ""
			w.standard(flightsAggregation("origin"))
			w.load("batch_flights", 0, 8)
			w.flights("batch_flights", "stream_flights", byOrigin)
			return w
		},
		needs: map[string][]Need{"reconcile": flightsNeeds["reconcile"], "evidence": flightsNeeds["evidence"][:1]}, keys: 22,
	},
	{
		name: "spans",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.standard(flightsAggregation("origin"))
			w.load("batch_flights", 0, 3)
			w.load("batch_flights", 5, 8)
			w.flights("batch_flights", "stream_flights", byOrigin)
			return w
		},
		needs: map[string][]Need{"reconcile": flightsNeeds["reconcile"]}, keys: 16,
	},
	{
		name: "backfills",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.standard(flightsAggregation("origin"))
			w.load("batch_flights", 0, 8)
			w.flights("batch_flights", "stream_flights", byOrigin)
			w.writer("fill", 1, record{"kind": "backfill", "state": "drained", "window_from": text(at(2)), "window_to": text(at(4))})
			w.writer("fill", 2, record{"kind": "backfill", "state": "drained", "window_from": text(at(6)), "window_to": text(at(7))})
			return w
		},
		needs: map[string][]Need{"reconcile": flightsNeeds["reconcile"]}, keys: 22,
	},
	{
		name:  "rollups",
		build: rollupsWorld,
		needs: map[string][]Need{"reconcile": needsOf("batch_flights", "stream_flights", []string{"rollup"}, flightColumns...), "evidence": flightsNeeds["evidence"]}, keys: 22,
	},
	{
		name:  "shadow-batch",
		build: shadowBatch,
		needs: map[string][]Need{"reconcile": {
			{"stream_flights_shadow_x", append([]string{"window_start", "job", "generation", "pane"}, flightColumns...), loadedFrom, loadedTo},
			{"stream_flights", append([]string{"window_start", "job", "generation", "pane"}, flightColumns...), loadedFrom, loadedTo},
		}}, keys: 22,
	},
	{
		name: "key-types",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.spec.Spec.Keys = []jobspecs.CompareKey{{Name: "gate", Type: "INT64"}, {Name: "slot", Type: "TIMESTAMP"}, {Name: "origin", Type: "STRING"}}
			w.spec.Spec.Metrics = []jobspecs.Metric{{Name: "flights", Type: "count", Value: "INT64"}, {Name: "delay_min", Type: "min", Value: "INT64", Field: "delay"}, {Name: "delay_max", Type: "max", Value: "INT64", Field: "delay"}}
			agg := flightsAggregation("gate", "slot", "origin")
			agg.Measures = []jobspecs.Measure{{Name: "flights", Type: "count"}, {Name: "delay_min", Type: "min", Field: "delay"}, {Name: "delay_max", Type: "max", Field: "delay"}}
			w.standard(agg)
			w.load("batch_flights", 0, 8)
			w.flights("batch_flights", "stream_flights", func(origin any) record {
				switch origin {
				case nil:
					return record{}
				case "DEN":
					return record{"gate": 9007199254740993, "slot": text(at(0.000001)), "origin": "Å“\"\\'"}
				}
				return record{"gate": len(fmt.Sprint(origin)), "slot": text(at(2)), "origin": origin}
			})
			for _, table := range []string{"batch_flights", "stream_flights"} {
				for _, r := range w.rows[table] {
					r["delay_min"], r["delay_max"] = r["delay_sum"], r["distance_sum"]
					delete(r, "delay_sum")
					delete(r, "distance_sum")
				}
			}
			return w
		},
		needs: map[string][]Need{"reconcile": needsOf("batch_flights", "stream_flights", nil, "gate", "slot", "origin", "flights", "delay_min", "delay_max")}, keys: 22,
	},
}, furtherScenarios, typeScenarios, causeScenarios, viewScenarios, scheduleScenarios)

// rollupsWorld is a world whose stream side holds several sets of dimensions.
func rollupsWorld(t *testing.T, name string) *world {
	w := newWorld(t, name, flightsSpec)
	agg := flightsAggregation("origin", "gate")
	agg.Rollups = [][]string{{"origin"}}
	w.standard(agg)
	w.load("batch_flights", 0, 8)
	w.flights("batch_flights", "stream_flights", byOrigin)
	for _, r := range w.rows["stream_flights"] {
		r["rollup"] = "origin"
	}
	w.add("stream_flights", with(byOrigin("ORD"), record{"window_start": text(at(0)), "gate": 7, "rollup": "origin,gate"}, values(2, 10, 200), pane(1, 0)))
	return w
}
