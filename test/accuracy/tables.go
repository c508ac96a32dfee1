package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"golang.org/x/sync/errgroup"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Names of the tables, as the spec of the comparison has them.
const (
	project     = "kappa-demo"
	dataset     = "accuracy"
	batchTable  = "batch_flights"
	streamTable = "stream_flights"
	rawTable    = "raw_flights"
	lateTable   = "late_flights"
	deadTable   = "dead_flights"
	group       = "flights"
	job         = "flights-0"
	gone        = "flights-9" // a job that is in no table of writers
)

// record is a row.
type record map[string]bigquery.Value

// Save implements bigquery.ValueSaver.
func (r record) Save() (map[string]bigquery.Value, string, error) { return r, bigquery.NoDedupeID, nil }

// rows of all tables, by their names.
type rows map[string][]record

func (r rows) add(table string, row record) { r[table] = append(r[table], row) }

// of writes down a world: its raw events, a batch row, and the stream's value in
// some panes.
func (r rows) of(at place, w *world, chance *rand.Rand) {
	for _, d := range w.deliveries {
		row := record{"event_id": d.event, "message_id": d.message, "event_time": at.start.Add(window / 2), "source_time": d.arrived, "publish_time": d.arrived,
			"write_time": d.arrived, "position": d.position, "job": job, "generation": 1, "origin": at.origin, "delay": d.delay, "distance": d.distance}
		switch d.fate {
		case undelivered:
			row["job"], row["generation"], row["reason"] = "bridge", 0, "too large"
			r.add(deadTable, row)
			continue
		case lost:
			row["job"] = gone
		}
		r.add(rawTable, row)
		if d.fate == tooLate {
			late := record{"watermark": d.arrived.Add(4 * 24 * time.Hour)}
			for k, v := range row {
				late[k] = v
			}
			r.add(lateTable, late)
		}
	}
	aggregate := func(v values) record {
		return record{"origin": at.origin, "window_start": at.start, "flights": v.flights, "delay_sum": v.delay, "distance_sum": v.distance}
	}
	if w.batch.present {
		r.add(batchTable, aggregate(w.batch))
	}
	if !w.stream.present {
		return
	}
	rest := w.stream
	for pane := 0; ; pane++ {
		v := rest
		if pane < 2 && rest.flights > 1 && chance.IntN(2) == 0 {
			v = values{true, 1 + chance.Int64N(rest.flights-1), chance.Int64N(100), chance.Int64N(1000)}
			rest = values{true, rest.flights - v.flights, rest.delay - v.delay, rest.distance - v.distance}
		} else {
			rest = values{}
		}
		row := aggregate(v)
		row["job"], row["generation"], row["pane"], row["timing"], row["write_time"] = job, 1, pane, "on_time", at.start
		r.add(streamTable, row)
		if !rest.present {
			return
		}
	}
}

// control says that one job has read everything, and that the batch layer is
// loaded for the range.
func (r rows) control(from, to time.Time) {
	at := to.AddDate(0, 1, 0)
	r.add(tables.Generations, record{"job_group": group, "job": job, "generation": 1, "kind": tables.WriterStream, "state": tables.StateDrained, "recorded_at": at, "seq": 1})
	r.add(tables.Watermarks, record{"job_group": group, "job": job, "generation": 1, "at_maximum": true, "observed_at": at})
	r.add(tables.BatchLoads, record{"load": group, "target": batchTable, "range_start": from, "range_end": to, "row_count": len(r[batchTable]), "source": "gs://accuracy/batch",
		"job_id": "load", "loaded_at": at})
}

var fields = jobspecs.Event{Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}, {Name: "delay", Type: "INT64"}, {Name: "distance", Type: "INT64"}}}

func schemas() []tables.Table {
	keys := []jobspecs.Field{{Name: "origin", Type: "STRING"}}
	sums := []jobspecs.Field{{Name: "flights", Type: "INT64"}, {Name: "delay_sum", Type: "INT64"}, {Name: "distance_sum", Type: "INT64"}}
	measures := []jobspecs.Measure{{Name: "flights", Type: "count"}, {Name: "delay_sum", Type: "sum", Field: "delay"}, {Name: "distance_sum", Type: "sum", Field: "distance"}}
	return []tables.Table{
		tables.Batch(jobspecs.BatchLoadSpec{Table: batchTable, Keys: keys, Metrics: sums}),
		tables.Aggregate(jobspecs.Aggregation{Name: group, Dimensions: []string{"origin"}, Table: streamTable, Measures: measures}, fields),
		tables.Raw(rawTable, fields), tables.Late(lateTable, fields), deadLetters(),
		tables.GenerationsTable(), tables.WatermarksTable(), tables.BatchLoadsTable(),
	}
}

// deadLetters is the table of what the bridge could not deliver: the raw events'
// columns, and why.
func deadLetters() tables.Table {
	t := tables.Raw(deadTable, fields)
	t.Schema = append(t.Schema, &bigquery.FieldSchema{Name: "reason", Type: bigquery.StringFieldType})
	return t
}

// write makes the tables and writes the rows.
func (r rows) write(ctx context.Context, client *bigquery.Client) error {
	ds := client.Dataset(dataset)
	if err := ds.Create(ctx, nil); err != nil {
		return fmt.Errorf("create the dataset: %w", err)
	}
	for _, t := range schemas() {
		if err := ds.Table(t.Name).Create(ctx, t.Metadata()); err != nil {
			return fmt.Errorf("create table %s: %w", t.Name, err)
		}
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(2)
		for part := range slices.Chunk(r[t.Name], 2000) {
			g.Go(func() error { return ds.Table(t.Name).Inserter().Put(ctx, part) })
		}
		if err := g.Wait(); err != nil {
			return fmt.Errorf("write table %s: %w", t.Name, err)
		}
	}
	return nil
}

// spec is the comparison as YAML.
func spec(m metrics) string {
	s := `apiVersion: kappa/v1
kind: Comparison
metadata: {name: accuracy}
spec:
  environment: sandbox
  project: ` + project + `
  dataset: ` + dataset + `
  batch: {table: ` + batchTable + `, cutoff: ` + strings.TrimSuffix(cutoff.String(), "0m0s") + `}
  stream: {table: ` + streamTable + `, job: ` + group + `}
  keys: [{name: origin, type: STRING}]
  window: 1h
  metrics:
    - {name: flights, type: count}
`
	if m.sums {
		s += `    - {name: delay_sum, type: sum, field: delay}
    - {name: distance_sum, type: sum, field: distance}
`
	}
	return s + `  evidence: {raw: ` + rawTable + `, late: ` + lateTable + `, deadLetters: ` + deadTable + `}
  limits: {samples: 1000000}
`
}
