package statements

import (
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// causeScenarios are worlds with the causes that the flights world does not have: each
// is looked for, and shown, by SQL of its own.
var causeScenarios = []scenario{
	{
		name: "causes",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.standard(flightsAggregation("origin"))
			w.deadLetters()
			w.writer("old-flights", 1, record{"kind": "stream", "state": "cancelled"})
			for _, h := range []float64{2.5, 50} { // the load was run again
				w.load("batch_flights", 0, 8)
				of := w.rows[tables.BatchLoads][len(w.rows[tables.BatchLoads])-1]
				of["loaded_at"], of["row_count"] = text(at(h)), 10
			}
			for h := range 8 {
				for _, o := range []string{"AAA", "BBB", "CCC", "DDD", "EEE"} {
					w.agree(o, h, 2)
				}
			}
			// Dead-lettered by the bridge.
			w.happened("raw_flights", "ORD", 1, -time.Minute, 1, 10)
			w.happened("dead_flights", "ORD", 1, -time.Minute, 5, 20)
			w.sides("ORD", 1, values(2, 6, 30), values(1, 1, 10))
			// Read by a generation that was cancelled, and by no other.
			w.happened("raw_flights", "DEN", 1, -time.Minute, 1, 10)
			w.happened("raw_flights", "DEN", 1, -time.Minute, 5, 20)
			lost := w.rows["raw_flights"]
			lost[len(lost)-1]["job"] = "old-flights"
			w.sides("DEN", 1, values(2, 6, 30), values(1, 1, 10))
			// The batch has what was there when it was loaded first.
			w.happened("raw_flights", "ATL", 1, -time.Minute, 1, 10)
			w.happened("raw_flights", "ATL", 1, 110*time.Minute, 2, 20)
			w.happened("raw_flights", "ATL", 1, 4*time.Hour, 4, 40)
			w.sides("ATL", 1, values(1, 1, 10), values(3, 7, 70))
			// One key by two names.
			w.happened("raw_flights", "SFO", 1, -time.Minute, 1, 10)
			w.happened("raw_flights", "SFO", 1, -time.Minute, 2, 20)
			w.sides("sfo ", 1, values(2, 3, 30), nil)
			w.sides("SFO", 1, nil, values(2, 3, 30))
			return w
		},
		causes: []string{"dropped_by_bridge", "window_cut_by_drain", "batch_restated", "key_form"},
		keys:   45,
		further: func(t *testing.T, w *world, s *service) {
			why, err := compare.Explain(t.Context(), compare.Config{Spec: w.spec, Client: s.client, Now: w.now}, "origin=ORD", at(1), 100)
			if err != nil {
				t.Fatal(err)
			}
			s.copied(t, why.SQL, at(1))
		},
	},
	{
		name: "rounding",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.spec.Spec.Metrics[1].Value = "NUMERIC"
			w.standard(flightsAggregation("origin"))
			for _, table := range w.tables {
				for _, f := range table.Schema {
					if f.Name == "delay" || f.Name == "delay_sum" {
						f.Type = bigquery.NumericFieldType
					}
				}
			}
			w.load("batch_flights", 0, 8)
			for _, o := range []string{"AAA", "BBB", "CCC", "DDD"} {
				w.agree(o, 1, 2)
			}
			for range 2 {
				w.happened("raw_flights", "ORD", 1, -time.Minute, "1.004", 10)
			}
			w.sides("ORD", 1, record{"flights": 2, "delay_sum": "2.01", "distance_sum": 20}, record{"flights": 2, "delay_sum": "2.008", "distance_sum": 20})
			return w
		},
		causes: []string{"rounding_in_batch"}, keys: 5,
	},
	{
		name: "hours-apart",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.standard(flightsAggregation("origin"))
			w.load("batch_flights", 0, 24)
			for n, o := range []string{"ORD", "DEN", "ATL", "LAX"} {
				for h := range 24 {
					delay := 100*n + 7*h*h%31 + 1
					w.happened("raw_flights", o, h, -time.Minute, delay, 10)
					w.sides(o, h, nil, values(1, delay, 10))
					if h >= 5 {
						w.sides(o, h-5, values(1, delay, 10), nil)
					}
				}
			}
			return w
		},
		causes: []string{"time_shift_in_batch"}, keys: 96,
	},
}

// deadLetters gives the world a table of dead letters.
func (w *world) deadLetters() {
	w.spec.Spec.Evidence.DeadLetters = "dead_flights"
	t := tables.Raw("dead_flights", flightFields)
	for _, f := range t.Schema {
		f.Required = false
	}
	t.Schema = append(t.Schema, &bigquery.FieldSchema{Name: "reason", Type: bigquery.StringFieldType})
	w.tables = append(w.tables, t)
}

// happened adds an event to a table, in the middle of an hour; it arrives as long after
// that.
func (w *world) happened(table, origin string, hour int, arrives time.Duration, delay any, distance int) {
	w.event(table, fmt.Sprintf("e%d", w.events), float64(hour)+0.5, arrives, 1, 1, record{"origin": origin, "delay": delay, "distance": distance})
	if table != "dead_flights" {
		return
	}
	r := w.rows[table][len(w.rows[table])-1]
	delete(r, "job")
	delete(r, "generation")
	r["reason"] = "too large"
}

// sides adds what each side has of a key; nil: nothing.
func (w *world) sides(origin string, hour int, batch, stream record) {
	key := record{"origin": origin, "window_start": text(at(float64(hour)))}
	if batch != nil {
		w.add("batch_flights", with(key, batch))
	}
	if stream != nil {
		w.add("stream_flights", with(key, stream, pane(1, 0)))
	}
}

// agree adds n events that both sides have counted.
func (w *world) agree(origin string, hour, n int) {
	for range n {
		w.happened("raw_flights", origin, hour, -time.Minute, 5, 100)
	}
	w.sides(origin, hour, values(n, 5*n, 100*n), values(n, 5*n, 100*n))
}
