package main

import (
	"context"
	"fmt"
	"math/big"
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

// origin is a key's origin as a table has it.
func origin(of string) bigquery.Value {
	if of == null {
		return nil
	}
	return of
}

// number is a metric's value as a table has it.
func number(c column, x *big.Int) bigquery.Value {
	if c.decimal() {
		return bigquery.NumericString(new(big.Rat).SetFrac(x, big.NewInt(c.kept())))
	}
	return x.Int64()
}

// of writes down a key: its raw events, a batch row, and the stream's value in some
// panes.
func (r rows) of(at key, e *entry, chance *rand.Rand) {
	for _, d := range e.deliveries {
		row := record{"event_id": d.event, "message_id": d.message, "event_time": d.at, "source_time": d.arrived, "publish_time": d.arrived,
			"write_time": d.arrived, "position": d.position, "job": job, "generation": 1, "origin": origin(at.origin)}
		one := sums{1, d.delay, d.miles, d.miles, 0}
		for c := delaySum; c < columns; c++ {
			row[fieldNames[c]] = number(c, one.value(c))
		}
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
			late := record{"watermark": d.arrived.Add(4 * day)}
			for k, v := range row {
				late[k] = v
			}
			r.add(lateTable, late)
		}
	}
	aggregate := func(v values) record {
		row := record{"origin": origin(at.origin), "window_start": at.start}
		for c := range columns {
			row[columnNames[c]] = number(c, v.of[c])
		}
		return row
	}
	if e.batch.present {
		r.add(batchTable, aggregate(e.batch))
	}
	if !e.stream.present {
		return
	}
	for pane, v := range panes(e.stream, chance) {
		row := aggregate(v)
		row["job"], row["generation"], row["pane"], row["timing"], row["write_time"] = job, 1, pane, "on_time", at.start
		r.add(streamTable, row)
	}
}

// panes are up to three parts of a value.
func panes(v values, chance *rand.Rand) []values {
	var out []values
	for len(out) < 2 && v.of[flightCount].Cmp(big.NewInt(1)) > 0 && chance.IntN(2) == 0 {
		part, rest := values{present: true}, values{present: true}
		for c := range columns {
			part.of[c] = big.NewInt(chance.Int64N(1000) * c.kept())
			if c == flightCount {
				part.of[c] = big.NewInt(1 + chance.Int64N(v.of[c].Int64()-1))
			}
			rest.of[c] = new(big.Int).Sub(v.of[c], part.of[c])
			if c == longest { // parts of an extreme are at most as great
				part.of[c], rest.of[c] = v.of[c], v.of[c]
			}
		}
		out, v = append(out, part), rest
	}
	return append(out, v)
}

// control says that one job has read everything, and when the batch layer was loaded.
func (r rows) control(s span) {
	at := s.to.AddDate(0, 2, 0)
	r.add(tables.Generations, record{"job_group": group, "job": job, "generation": 1, "kind": tables.WriterStream, "state": tables.StateDrained, "recorded_at": at, "seq": 1})
	r.add(tables.Watermarks, record{"job_group": group, "job": job, "generation": 1, "at_maximum": true, "observed_at": at})
	load := func(from, to, loaded time.Time, n int) {
		r.add(tables.BatchLoads, record{"load": group, "target": batchTable, "range_start": from, "range_end": to, "row_count": n, "source": "gs://accuracy/batch",
			"job_id": "load", "loaded_at": loaded})
	}
	for from := s.from; from.Before(s.to); from = from.Add(batchOf) {
		load(from, from.Add(batchOf), loadsOf(from, s.loaded())[0], 1)
	}
	load(s.from, s.to, s.loaded(), len(r[batchTable]))
}

// numeric are the columns, of whatever table, that are NUMERIC.
func numeric() map[string]bool {
	out := map[string]bool{}
	for c := range columns {
		if c.decimal() {
			out[columnNames[c]], out[fieldNames[c]] = true, true
		}
	}
	return out
}

var fields = func() jobspecs.Event {
	e := jobspecs.Event{Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}}}
	for c := delaySum; c < columns; c++ {
		if f := (jobspecs.Field{Name: fieldNames[c], Type: "INT64"}); !slices.Contains(e.Fields, f) {
			e.Fields = append(e.Fields, f)
		}
	}
	return e
}()

func schemas() []tables.Table {
	keys := []jobspecs.Field{{Name: "origin", Type: "STRING"}}
	var batch []jobspecs.Field
	var measures []jobspecs.Measure
	for c := range columns {
		batch = append(batch, jobspecs.Field{Name: columnNames[c], Type: "INT64"})
		measures = append(measures, jobspecs.Measure{Name: columnNames[c], Type: c.merge(), Field: fieldNames[c]})
	}
	all := []tables.Table{
		tables.Batch(jobspecs.BatchLoadSpec{Table: batchTable, Keys: keys, Metrics: batch}),
		tables.Aggregate(jobspecs.Aggregation{Name: group, Dimensions: []string{"origin"}, Table: streamTable, Measures: measures}, fields),
		tables.Raw(rawTable, fields), tables.Late(lateTable, fields), deadLetters(),
		tables.GenerationsTable(), tables.WatermarksTable(), tables.BatchLoadsTable(),
	}
	for _, t := range all {
		for _, f := range t.Schema {
			if numeric()[f.Name] {
				f.Type = bigquery.NumericFieldType
			}
		}
	}
	return all
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

// spec is the comparison as YAML. Each day is a part of its own: how many decimals a side
// has is a fact of a part.
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
  range: {partition: 24h}
  metrics:
`
	for _, c := range m {
		s += "    - {name: " + columnNames[c] + ", type: " + c.merge()
		if c.decimal() {
			s += ", value: NUMERIC"
		}
		if fieldNames[c] != "" {
			s += ", field: " + fieldNames[c]
		}
		s += "}\n"
	}
	return s + `  evidence: {raw: ` + rawTable + `, late: ` + lateTable + `, deadLetters: ` + deadTable + `, maxBytesBilled: 1TiB}
  limits: {samples: 1000000}
`
}
