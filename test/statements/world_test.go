package statements

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/compare/report"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	sandbox "github.com/kappa-migrate/kappa/sandbox/bigquery"
)

const project = "kappa-demo"

// monday is the first window of every world.
var monday = time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)

func at(hours float64) time.Time { return monday.Add(time.Duration(hours * float64(time.Hour))) }

// text is how a time goes into the exchange.
func text(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999Z") }

// record is a row, as insertAll takes it.
type record map[string]any

// Save implements bigquery.ValueSaver.
func (r record) Save() (map[string]bigquery.Value, string, error) {
	out := map[string]bigquery.Value{}
	for k, v := range r {
		out[k] = v
	}
	return out, "", nil
}

// world is the tables of one scenario.
type world struct {
	dataset string
	spec    *jobspecs.Comparison
	tables  []tables.Table
	views   []view // in the order in which they are made
	rows    map[string][]record
	events  int
	within  compare.Range // what is compared, where the clock says what is settled; zero: eight hours
}

type view struct{ name, query string }

// service is a BigQuery and a recorded client of it.
type service struct {
	client *bigquery.Client
	addr   string
	rec    *recorder

	refused []Statement // that the sandbox lacks a function for
}

func start(t *testing.T) *service {
	t.Helper()
	srv, err := sandbox.New(sandbox.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	s := &service{rec: &recorder{}, addr: srv.Addr()}
	s.client, err = bigquery.NewClient(t.Context(), project, option.WithEndpoint("http://"+srv.Addr()+"/bigquery/v2/"),
		option.WithHTTPClient(&http.Client{Transport: s.rec}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.client.Close() })
	return s
}

// newWorld is a world with the spec's sides, raw events and control tables as kappa
// makes them, in which one job has read all there is, and the batch side is loaded
// for eight hours.
func newWorld(t *testing.T, name, spec string) *world {
	t.Helper()
	w := &world{dataset: strings.ReplaceAll(name, "-", "_"), rows: map[string][]record{}}
	set, err := jobspecs.Parse(name+".yaml", []byte(strings.ReplaceAll(spec, "DATASET", w.dataset)), jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	w.spec = set.Comparisons[0]
	w.spec.Spec.Dataset = w.dataset
	w.tables = []tables.Table{tables.GenerationsTable(), tables.WatermarksTable(), tables.BatchLoadsTable()}
	w.writer("flights-0", 1, record{"kind": "stream", "state": "drained"})
	w.watermark("flights-0", 1, record{"at_maximum": true})
	return w
}

func (w *world) add(table string, r record) { w.rows[table] = append(w.rows[table], r) }

func (w *world) writer(job string, generation int, further record) {
	r := record{"job": job, "generation": generation, "job_group": "flights", "recorded_at": text(at(100 + float64(len(w.rows[tables.Generations])))), "seq": 1}
	for k, v := range further {
		r[k] = v
	}
	w.add(tables.Generations, r)
}

func (w *world) watermark(job string, generation int, further record) {
	r := record{"job_group": "flights", "job": job, "generation": generation, "at_maximum": false, "observed_at": text(at(100))}
	for k, v := range further {
		r[k] = v
	}
	w.add(tables.Watermarks, r)
}

func (w *world) load(target string, from, to float64) {
	w.add(tables.BatchLoads, record{"load": "flights", "target": target, "range_start": text(at(from)), "range_end": text(at(to)),
		"row_count": 1, "source": "gs://bucket/batch", "job_id": "job", "loaded_at": text(at(100))})
}

// event adds the raw rows of an event: deliveries of one record, or of two.
func (w *world) event(table, id string, hour float64, arrives time.Duration, deliveries, records int, fields record) {
	for n := range records {
		w.events++
		for m := range deliveries {
			r := record{"event_id": id, "message_id": fmt.Sprintf("m%d-%d", w.events, m), "event_time": text(at(hour)),
				"source_time": text(at(hour).Add(arrives)), "publish_time": text(at(50)), "write_time": text(at(51)),
				"position": fmt.Sprintf("c/flights/0/%d", w.events), "job": "flights-0", "generation": 1}
			_ = n
			for k, v := range fields {
				r[k] = v
			}
			w.add(table, r)
		}
	}
}

// create makes the tables and writes the rows.
func (w *world) create(t *testing.T, s *service) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ds := s.client.Dataset(w.dataset)
	must(ds.Create(ctx, nil))
	for _, table := range w.tables {
		must(ds.Table(table.Name).Create(ctx, table.Metadata()))
		for part := range slices.Chunk(w.rows[table.Name], 400) {
			must(ds.Table(table.Name).Inserter().Put(ctx, part))
		}
	}
	for _, v := range w.views {
		must(ds.Table(v.name).Create(ctx, &bigquery.TableMetadata{ViewQuery: v.query}))
	}
}

// exchange is what there is of the world: its tables with their first rows, and
// those that were made since.
func (w *world) exchange(ctx context.Context, s *service) ([]Table, error) {
	var out []Table
	for it := s.client.Dataset(w.dataset).Tables(ctx); ; {
		table, err := it.Next()
		if errors.Is(err, iterator.Done) {
			for _, made := range s.rec.madeTables() { // those that are gone again
				if !slices.ContainsFunc(out, func(t Table) bool { return t.ID() == made.ID() }) {
					out = append(out, made)
				}
			}
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		md, err := table.Metadata(ctx)
		if err != nil {
			return nil, err
		}
		_, ours := w.rows[table.TableID]
		ours = ours || slices.ContainsFunc(w.tables, func(t tables.Table) bool { return t.Name == table.TableID })
		x := Table{Made: !ours && md.ViewQuery == "", Project: project, Dataset: w.dataset, Name: table.TableID, View: md.ViewQuery, Rows: []map[string]any{}}
		if md.TimePartitioning != nil {
			x.Partition = md.TimePartitioning.Field
		}
		for _, f := range md.Schema {
			c := Column{Name: f.Name, Type: typeName(f.Type), Mode: "NULLABLE"}
			switch {
			case f.Repeated:
				c.Mode = "REPEATED"
			case f.Required:
				c.Mode = "REQUIRED"
			}
			x.Columns = append(x.Columns, c)
		}
		for _, r := range w.rows[table.TableID] {
			x.Rows = append(x.Rows, r)
		}
		out = append(out, x)
	}
}

// typeName is the name in SQL of a type of the API.
func typeName(t bigquery.FieldType) string {
	switch t {
	case bigquery.IntegerFieldType:
		return "INT64"
	case bigquery.FloatFieldType:
		return "FLOAT64"
	case bigquery.BooleanFieldType:
		return "BOOL"
	}
	return string(t)
}

// now is long after all that there is.
func (w *world) now() time.Time {
	if end := w.within.To; !end.IsZero() {
		return end.AddDate(0, 0, 8)
	}
	return at(200)
}

// run compares, and writes every report: a view may not send anything.
func (w *world) run(t *testing.T, s *service, r compare.Range) *compare.Result {
	t.Helper()
	if r.From.IsZero() && w.spec.Spec.Batch.Settled() == jobspecs.SettledByClock {
		r = compare.Range{From: at(0), To: at(8)} // nothing else says where to begin
		if !w.within.From.IsZero() {
			r = w.within
		}
	}
	res, err := compare.Run(t.Context(), compare.Config{Spec: w.spec, Client: s.client, Range: r, Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	if err := report.WriteJSON(io.Discard, res); err != nil {
		t.Fatal(err)
	}
	return res
}
