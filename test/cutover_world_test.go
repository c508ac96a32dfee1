package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	example "github.com/kappa-migrate/kappa/examples/flights"
	"github.com/kappa-migrate/kappa/internal/demo/flights"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// flightCutoff is how long after an hour's end the old batch job of the example
// still took reports.
const flightCutoff = 2 * time.Hour

// flightKey is a key and window of the example.
type flightKey struct {
	origin string
	hour   time.Time
}

// flightSums are the values of a key.
type flightSums struct{ flights, delay, distance int64 }

func (s *flightSums) add(f flights.Flight) {
	s.flights++
	s.delay += int64(f.Delay)
	s.distance += int64(f.Distance)
}

// lines are the rows of tables, as JSON, by the tables' names.
type lines map[string]*bytes.Buffer

func (l lines) add(t *testing.T, table string, row map[string]any) {
	t.Helper()
	text, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	if l[table] == nil {
		l[table] = &bytes.Buffer{}
	}
	l[table].Write(append(text, '\n'))
}

// fillWithFlights makes the tables that the demo leaves behind: a week of real
// flights, of which every hundredth was reported twice, as three drained jobs have
// counted them, and as the batch job that closes an hour two hours after its end.
func fillWithFlights(t *testing.T, client *bigquery.Client) {
	t.Helper()
	week, err := flights.ReadBytes(example.WeekName, example.Week)
	if err != nil {
		t.Fatal(err)
	}
	rows := lines{}
	batch, stream := map[flightKey]*flightSums{}, map[flightKey]*flightSums{}
	for i, f := range week {
		k := flightKey{f.Origin, f.ScheduledAt().Truncate(time.Hour)}
		if stream[k] == nil {
			stream[k] = &flightSums{}
		}
		stream[k].add(f)
		if !f.ArrivesAt().After(k.hour.Add(time.Hour + flightCutoff)) {
			if batch[k] == nil {
				batch[k] = &flightSums{}
			}
			batch[k].add(f)
		}
		for n := range 1 + (i%100)/99 { // 0, but for every hundredth
			rows.add(t, "raw_flights", map[string]any{
				"event_id": fmt.Sprint("e", i), "message_id": fmt.Sprint("m", i, ".", n), "position": fmt.Sprintf("demo/flights/%d/%d.%d", i%6, i, n),
				"event_time": f.ScheduledAt(), "source_time": f.ArrivesAt(), "publish_time": f.ArrivesAt(), "write_time": f.ArrivesAt(),
				"job": fmt.Sprint("flights-", i%3), "generation": 1, "origin": f.Origin, "delay": f.Delay, "distance": f.Distance,
			})
		}
	}
	first, last := week[0].ScheduledAt(), week[0].ScheduledAt()
	for k, s := range stream {
		row := map[string]any{"origin": k.origin, "window_start": k.hour, "flights": s.flights, "delay_sum": s.delay, "distance_sum": s.distance,
			"job": "flights-0", "generation": 1, "pane": 0, "timing": "on_time", "write_time": k.hour}
		rows.add(t, "stream_flights", row)
		if k.hour.Before(first) {
			first = k.hour
		}
		if k.hour.After(last) {
			last = k.hour
		}
	}
	for k, s := range batch {
		rows.add(t, "batch_flights", map[string]any{"origin": k.origin, "window_start": k.hour, "flights": s.flights, "delay_sum": s.delay, "distance_sum": s.distance})
	}
	seen := last.AddDate(0, 0, 7) // when everything had been read and loaded
	for from := first.Truncate(4 * time.Hour); from.Before(last); from = from.Add(4 * time.Hour) {
		rows.add(t, tables.BatchLoads, map[string]any{"load": "flights", "target": "batch_flights", "range_start": from, "range_end": from.Add(4 * time.Hour),
			"row_count": 1, "source": "gs://kappa-demo-batch/flights", "job_id": fmt.Sprint("load-", from.Unix()), "loaded_at": seen})
	}
	for _, job := range []string{"flights-0", "flights-1", "flights-2"} {
		rows.add(t, tables.Generations, map[string]any{"job_group": "flights", "job": job, "generation": 1, "kind": tables.WriterStream, "state": tables.StateDrained, "recorded_at": seen, "seq": 1})
		rows.add(t, tables.Watermarks, map[string]any{"job_group": "flights", "job": job, "generation": 1, "at_maximum": true, "observed_at": seen})
	}
	loadFlights(t, client, rows)
}

// loadFlights makes the tables and fills them, each by one load job.
func loadFlights(t *testing.T, client *bigquery.Client, rows lines) {
	t.Helper()
	event := jobspecs.Event{Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}, {Name: "delay", Type: "INT64"}, {Name: "distance", Type: "INT64"}}}
	sums := []jobspecs.Field{{Name: "flights", Type: "INT64"}, {Name: "delay_sum", Type: "INT64"}, {Name: "distance_sum", Type: "INT64"}}
	measures := []jobspecs.Measure{{Name: "flights", Type: "count"}, {Name: "delay_sum", Type: "sum", Field: "delay"}, {Name: "distance_sum", Type: "sum", Field: "distance"}}
	for _, table := range []tables.Table{
		tables.Raw("raw_flights", event), tables.Late("late_flights", event),
		tables.Aggregate(jobspecs.Aggregation{Name: "flights_by_origin", Dimensions: []string{"origin"}, Measures: measures, Table: "stream_flights"}, event),
		tables.Batch(jobspecs.BatchLoadSpec{Table: "batch_flights", Keys: event.Fields[:1], Metrics: sums}),
		tables.GenerationsTable(), tables.WatermarksTable(), tables.BatchLoadsTable(),
	} {
		to := client.Dataset("kappa").Table(table.Name)
		if err := to.Create(t.Context(), table.Metadata()); err != nil {
			t.Fatal(err)
		}
		if rows[table.Name] == nil {
			continue
		}
		src := bigquery.NewReaderSource(rows[table.Name])
		src.SourceFormat, src.Schema = bigquery.JSON, table.Schema
		job, err := to.LoaderFrom(src).Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		status, err := job.Wait(t.Context())
		if err == nil {
			err = status.Err()
		}
		if err != nil {
			t.Fatalf("load %s: %v", table.Name, err)
		}
	}
}
