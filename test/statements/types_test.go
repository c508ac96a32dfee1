package statements

import (
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// typeScenarios are worlds of the types that windows and keys may have.
var typeScenarios = []scenario{
	{
		name: "dates", build: func(t *testing.T, name string) *world { return datesWorld(t, name, monday) },
		needs: map[string][]Need{"reconcile": {
			{"old_days", []string{"day", "region", "n"}, "2001-01-08", "2001-01-11"},
			{"new_days", []string{"starts", "area", "orders"}, "2001-01-08T00:00:00", "2001-01-11T00:00:00"},
		}}, keys: 3,
	},
	{
		name: "dates-with-offset", build: func(t *testing.T, name string) *world {
			w := datesWorld(t, name, monday)
			w.spec.Spec.Alignment = jobspecs.Alignment{Offset: jobspecs.Duration(6 * time.Hour)}
			w.shift("new_days", "starts", 6*time.Hour)
			w.within = compare.Range{From: at(6), To: at(78)}
			return w
		}, keys: 3,
	},
	{
		name: "dates-when-clocks-change", build: func(t *testing.T, name string) *world {
			w := datesWorld(t, name, time.Date(2001, 3, 24, 0, 0, 0, 0, time.UTC))
			w.spec.Spec.Alignment = jobspecs.Alignment{TimeZone: "Europe/Berlin"}
			w.within = compare.Range{From: w.within.From.Add(-time.Hour), To: w.within.To.Add(-2 * time.Hour)}
			return w
		}, keys: 3,
	},
	{
		name: "key-dates-and-truths",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.spec.Spec.Keys = []jobspecs.CompareKey{{Name: "on_day", Type: "DATE"}, {Name: "domestic", Type: "BOOL"}}
			w.spec.Spec.Segments = []jobspecs.Segment{{Keys: []string{"on_day", "domestic"}}}
			w.standardOf(flightsAggregation("on_day", "domestic"), jobspecs.Event{Fields: append([]jobspecs.Field{{Name: "on_day", Type: "STRING"}, {Name: "domestic", Type: "STRING"}}, flightFields.Fields...)})
			for _, table := range w.tables {
				for _, f := range table.Schema {
					switch f.Name {
					case "on_day":
						f.Type = bigquery.DateFieldType
					case "domestic":
						f.Type = bigquery.BooleanFieldType
					}
				}
			}
			w.load("batch_flights", 0, 8)
			days := map[any]record{}
			w.flights("batch_flights", "stream_flights", func(origin any) record {
				if origin != nil && days[origin] == nil {
					days[origin] = record{"on_day": civil.DateOf(monday).AddDays(len(days) / 2).String(), "domestic": len(days)%2 == 0}
				}
				return days[origin]
			})
			return w
		},
		needs: map[string][]Need{"reconcile": needsOf("batch_flights", "stream_flights", nil, "on_day", "domestic", "flights", "delay_sum", "distance_sum")}, keys: 22,
	},
	{
		name: "sensitive",
		build: func(t *testing.T, name string) *world {
			w := newWorld(t, name, flightsSpec)
			w.spec.Spec.Sensitive = []string{"origin"}
			w.standard(flightsAggregation("origin"))
			w.load("batch_flights", 0, 8)
			w.flights("batch_flights", "stream_flights", byOrigin)
			return w
		},
		needs: flightsNeeds, keys: 22,
	},
}

// datesWorld is a world of days: a DATE on the batch side, a DATETIME on the stream's.
func datesWorld(t *testing.T, name string, from time.Time) *world {
	w := newWorld(t, name, datesSpec)
	w.within = compare.Range{From: from, To: from.AddDate(0, 0, 3)}
	letters, number := bigquery.StringFieldType, bigquery.IntegerFieldType
	w.tables = append(w.tables,
		tables.Table{Name: "old_days", Schema: bigquery.Schema{{Name: "day", Type: bigquery.DateFieldType}, {Name: "region", Type: letters}, {Name: "n", Type: number}, {Name: "note", Type: letters}}, PartitionBy: "day"},
		tables.Table{Name: "new_days", Schema: bigquery.Schema{{Name: "starts", Type: bigquery.DateTimeFieldType}, {Name: "area", Type: letters}, {Name: "orders", Type: number}}, PartitionBy: "starts"})
	for d := range 5 { // the last two are beyond the range
		of := civil.DateOf(from).AddDays(d)
		w.add("old_days", record{"day": of.String(), "region": "north", "n": d, "note": "x"})
		w.add("new_days", record{"starts": of.String() + "T00:00:00", "area": "north", "orders": d + d%2})
	}
	return w
}

// shift moves the times of a table.
func (w *world) shift(table, column string, by time.Duration) {
	for _, r := range w.rows[table] {
		of, err := civil.ParseDateTime(r[column].(string))
		if err != nil {
			panic(err)
		}
		r[column] = civil.DateTimeOf(of.In(time.UTC).Add(by)).String()
	}
}

const datesSpec = plainHead + `  batch: {table: old_days, time: day, settledBy: clock}
  stream: {table: new_days, time: starts}
  keys: [{name: region, type: STRING, stream: area}]
  window: 24h
  metrics: [{name: n, type: count, stream: orders}]
`
