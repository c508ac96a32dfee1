package compare

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/option"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	sandbox "github.com/kappa-migrate/kappa/sandbox/bigquery"
)

// The scenarios run against the sandbox's BigQuery: one server for all tests,
// a dataset for each.
var (
	ctxBackground = context.Background()

	client   *bigquery.Client
	endpoint string
	datasets atomic.Int64
)

func TestMain(m *testing.M) {
	srv, err := sandbox.New(sandbox.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	endpoint = "http://" + srv.Addr() + "/bigquery/v2/"
	client, err = bigquery.NewClient(ctxBackground, "kappa-demo", option.WithEndpoint(endpoint), option.WithoutAuthentication())
	if err != nil {
		panic(err)
	}
	code := m.Run()
	client.Close()
	srv.Close()
	os.Exit(code)
}

// record is a row of a table.
type record map[string]bigquery.Value

func (r record) Save() (map[string]bigquery.Value, string, error) { return r, "", nil }

// world is what the tables of one test hold.
type world struct {
	t      testing.TB
	spec   *jobspecs.Comparison
	rows   map[string][]record
	events int

	dimensions []string // of the aggregation; nil: the keys
	rollups    [][]string
	shadow     string // table of a shadow; empty: none

	extra []tables.Table
	alter func(name string, md *bigquery.TableMetadata) // changes a table before it is made
}

var eventFields = jobspecs.Event{Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}, {Name: "gate", Type: "INT64"}, {Name: "slot", Type: "TIMESTAMP"},
	{Name: "delay", Type: "INT64"}, {Name: "distance", Type: "INT64"}}}

// newWorld is a world in which one job has read all there is, and the batch
// side is loaded for eight hours.
func newWorld(t testing.TB) *world {
	w := &world{t: t, spec: flightsSpec(), rows: map[string][]record{}}
	w.spec.Spec.Dataset = fmt.Sprintf("kappa_%d", datasets.Add(1))
	w.generation("flights-0", 1, "stream", "drained", "")
	w.watermark("flights-0", 1, time.Time{}, true)
	w.load(0, 4)
	w.load(4, 8)
	return w
}

func (w *world) add(table string, r record) { w.rows[table] = append(w.rows[table], r) }

func (w *world) generation(job string, n int64, kind, state, supersedes string) {
	r := record{"job_group": "flights", "job": job, "generation": n, "kind": kind, "state": state, "recorded_at": hours(100).Add(time.Duration(len(w.rows[tables.Generations])) * time.Second), "seq": 1}
	if supersedes != "" {
		r["supersedes"] = supersedes
	}
	w.add(tables.Generations, r)
}

// backfill adds a backfill of windows by their hours, the last exclusive.
func (w *world) backfill(job, state string, from, to float64) {
	w.generation(job, 1, "backfill", state, "")
	r := w.rows[tables.Generations][len(w.rows[tables.Generations])-1]
	r["window_from"], r["window_to"] = hours(from), hours(to)
}

func (w *world) watermark(job string, n int64, at time.Time, maximum bool) {
	r := record{"job_group": "flights", "job": job, "generation": n, "at_maximum": maximum, "observed_at": hours(100).Add(time.Duration(len(w.rows[tables.Watermarks])) * time.Second)}
	if !at.IsZero() {
		r["watermark"] = at
	}
	w.add(tables.Watermarks, r)
}

func (w *world) load(from, to float64) {
	w.add(tables.BatchLoads, record{"load": "flights", "target": "batch_flights", "range_start": hours(from), "range_end": hours(to), "row_count": 1,
		"source": "gs://b/", "job_id": "j", "loaded_at": hours(100)})
}

// flight is an event: its report arrives a while after its hour's end, negative
// for before.
type flight struct {
	origin          any // string or nil
	hour            int
	delay, distance int64
	arrives         time.Duration
	late            bool   // the stream dropped it as too late
	by              string // writer that read it; empty: flights-0@1
}

// deliver writes the raw rows of one record of the event: as many messages as
// asked for.
func (w *world) deliver(id string, f flight, messages int) {
	w.events++
	by := tables.Writer{Job: "flights-0", Generation: 1}
	if f.by != "" {
		var err error
		if by, err = tables.ParseWriter(f.by); err != nil {
			w.t.Fatal(err)
		}
	}
	position := fmt.Sprintf("c/flights/0/%d", w.events)
	for m := range messages {
		r := record{"event_id": id, "message_id": fmt.Sprintf("m%d-%d", w.events, m), "event_time": hours(float64(f.hour)).Add(30 * time.Minute),
			"source_time": hours(float64(f.hour + 1)).Add(f.arrives), "publish_time": hours(100), "write_time": hours(100), "position": position,
			"job": by.Job, "generation": by.Generation, "delay": f.delay, "distance": f.distance}
		if f.origin != nil {
			r["origin"] = f.origin
		}
		w.add("raw_flights", r)
		if f.late {
			late := record{"watermark": hours(99)}
			for k, v := range r {
				late[k] = v
			}
			w.add("late_flights", late)
		}
	}
}

func (w *world) event(f flight) { w.deliver(fmt.Sprintf("e%d", w.events), f, 1) }

func aggregate(origin any, hour int, n, delay, distance int64) record {
	r := record{"window_start": hours(float64(hour)), "flights": n, "delay_sum": delay, "distance_sum": distance}
	if origin != nil {
		r["origin"] = origin
	}
	return r
}

func (w *world) batch(origin any, hour int, n, delay, distance int64) {
	w.add("batch_flights", aggregate(origin, hour, n, delay, distance))
}

func (w *world) pane(writer string, pane int64, origin any, hour int, n, delay, distance int64) record {
	r := aggregate(origin, hour, n, delay, distance)
	by, err := tables.ParseWriter(writer)
	if err != nil {
		w.t.Fatal(err)
	}
	r["job"], r["generation"], r["pane"], r["timing"], r["write_time"] = by.Job, by.Generation, pane, "on_time", hours(100)
	w.add("stream_flights", r)
	return r
}

// both writes a key that is exact: n flights, as events, as a batch row and as
// two panes.
func (w *world) both(origin any, hour int, n int64) {
	for range n {
		w.event(flight{origin: origin, hour: hour, delay: 5, distance: 100, arrives: -time.Minute})
	}
	w.batch(origin, hour, n, 5*n, 100*n)
	w.pane("flights-0@1", 0, origin, hour, n-1, 5*(n-1), 100*(n-1))
	w.pane("flights-0@1", 1, origin, hour, 1, 5, 100)
}

// create makes the tables and writes the rows.
func (w *world) create() {
	w.t.Helper()
	ds := client.Dataset(w.spec.Spec.Dataset)
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	must(ds.Create(ctxBackground, nil))
	agg := jobspecs.Aggregation{Name: "flights", Dimensions: keyNames(w.spec), Table: "stream_flights", Rollups: w.rollups}
	if w.dimensions != nil {
		agg.Dimensions = w.dimensions
	}
	load := jobspecs.BatchLoadSpec{Table: "batch_flights", Keys: w.spec.Spec.KeyFields()}
	for _, m := range w.spec.Spec.Metrics {
		agg.Measures = append(agg.Measures, jobspecs.Measure{Name: m.Name, Type: m.Type, Field: m.Field})
		load.Metrics = append(load.Metrics, jobspecs.Field{Name: m.Name, Type: "INT64"})
	}
	beside := agg
	beside.Table = cmp.Or(w.shadow, "stream_none")
	for _, t := range append(w.extra, tables.Batch(load), tables.Aggregate(agg, eventFields), tables.Aggregate(beside, eventFields), tables.Raw("raw_flights", eventFields), tables.Late("late_flights", eventFields),
		tables.GenerationsTable(), tables.WatermarksTable(), tables.BatchLoadsTable()) {
		md := t.Metadata()
		if w.alter != nil {
			w.alter(t.Name, md)
		}
		must(ds.Table(t.Name).Create(ctxBackground, md))
		for part := range slices.Chunk(w.rows[t.Name], 400) {
			must(ds.Table(t.Name).Inserter().Put(ctxBackground, part))
		}
	}
}

func keyNames(c *jobspecs.Comparison) []string {
	var names []string
	for _, k := range c.Spec.Keys {
		names = append(names, k.Name)
	}
	return names
}

// What package report, which imports this one, does with a result; views_test.go
// sets them.
var (
	Views    func(*Result) map[string]func(io.Writer) error
	ReadJSON func(io.Reader) (*Result, error)
	Text     func(v any, width int) string // of a plan, a Why or Duplicates
)

func (w *world) config() Config {
	return Config{Spec: w.spec, Client: client, Now: func() time.Time { return hours(200) }}
}

// run writes the world and compares.
func (w *world) run() *Result {
	w.t.Helper()
	w.create()
	return w.again(Range{})
}

func (w *world) again(r Range) *Result {
	w.t.Helper()
	cfg := w.config()
	cfg.Range = r
	res, err := Run(ctxBackground, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	// Every result must be fit for every view.
	for name, write := range Views(res) {
		if err := write(io.Discard); err != nil {
			w.t.Fatalf("%s: %v", name, err)
		}
	}
	return res
}
