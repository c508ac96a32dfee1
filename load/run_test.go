package load_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/storage"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/load"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

const spec = `
apiVersion: kappa/v1
kind: BatchLoad
metadata: {name: flights}
spec:
  environment: sandbox
  project: kappa-demo
  source: {uri: gs://batch/flights/, batch: 4h}
  dataset: kappa
  table: batch_flights
  keys: [{name: origin, type: STRING}]
  metrics: [{name: flights, type: INT64}]
`

type avroRow struct {
	Origin      *string `avro:"origin"`
	WindowStart int64   `avro:"window_start"`
	Flights     int64   `avro:"flights"`
}

var schema = avro.MustParse(`{"type":"record","name":"r","fields":[
	{"name":"origin","type":["null","string"]},
	{"name":"window_start","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"flights","type":["null","long"]}]}`)

// platform is a sandbox with a dataset and a bucket.
type platform struct {
	t   *testing.T
	doc *jobspecs.BatchLoad
	bq  *bigquery.Client
	gcs *storage.Client
}

func newPlatform(t *testing.T) *platform {
	sandboxtest.Start(t)
	set, err := jobspecs.Parse("load.yaml", []byte(spec), jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, doc: set.BatchLoads[0]}
	g, err := gcp.Open(p.doc.Spec.Platform)
	if err != nil {
		t.Fatal(err)
	}
	if p.bq, err = g.BigQuery(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.bq.Close() })
	if p.gcs, err = g.Storage(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.gcs.Close() })
	return p
}

func (p *platform) setUp() {
	p.t.Helper()
	if err := p.gcs.Bucket("batch").Create(p.t.Context(), "kappa-demo", nil); err != nil {
		p.t.Fatal(err)
	}
	if err := p.bq.Dataset("kappa").Create(p.t.Context(), &bigquery.DatasetMetadata{Location: "US"}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *platform) put(name string, data []byte) {
	p.t.Helper()
	w := p.gcs.Bucket("batch").Object(name).NewWriter(p.t.Context())
	_, err := w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		p.t.Fatal(err)
	}
}

// batch writes a file with one row per origin, of the batch's second hour.
func (p *platform) batch(folder, file string, flights int64, origins ...string) {
	p.t.Helper()
	start, err := time.Parse("2006-01-02T15", folder)
	if err != nil {
		p.t.Fatal(err)
	}
	var buf bytes.Buffer
	w, err := ocf.NewWriter(&buf, schema)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, o := range origins {
		if err := w.Encode(&avroRow{&o, start.Add(time.Hour).UnixMicro(), flights}); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		p.t.Fatal(err)
	}
	p.put("flights/"+folder+"/"+file, buf.Bytes())
}

func (p *platform) run() (*load.Result, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
	defer cancel()
	return load.Run(ctx, load.Config{Spec: p.doc, BigQuery: p.bq, Storage: p.gcs, Log: slog.New(slog.DiscardHandler)})
}

func (p *platform) mustRun() *load.Result {
	p.t.Helper()
	res, err := p.run()
	if err != nil {
		p.t.Fatal(err)
	}
	return res
}

// rows returns what the table holds, as origin → flights by window.
func (p *platform) rows() map[string]int64 {
	p.t.Helper()
	it, err := p.bq.Query("SELECT origin, window_start, flights FROM `kappa-demo.kappa.batch_flights`").Read(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	out := map[string]int64{}
	for {
		var r struct {
			Origin      string    `bigquery:"origin"`
			WindowStart time.Time `bigquery:"window_start"`
			Flights     int64     `bigquery:"flights"`
		}
		err := it.Next(&r)
		if errors.Is(err, iterator.Done) {
			return out
		}
		if err != nil {
			p.t.Fatal(err)
		}
		out[r.WindowStart.UTC().Format("02T15 ")+r.Origin] += r.Flights
	}
}

// recorded returns the job ids in batch_loads by the start of the batch.
func (p *platform) recorded() map[string][]string {
	p.t.Helper()
	it, err := p.bq.Query("SELECT `load`, target, range_start, range_end, row_count, source, job_id, loaded_at FROM `kappa-demo.kappa.batch_loads`").Read(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	out := map[string][]string{}
	for {
		var r tables.BatchLoad
		err := it.Next(&r)
		if errors.Is(err, iterator.Done) {
			return out
		}
		if err != nil {
			p.t.Fatal(err)
		}
		if r.RangeEnd.Sub(r.RangeStart) != 4*time.Hour || r.Load != "flights" || r.Target != "batch_flights" || r.LoadedAt.IsZero() {
			p.t.Errorf("recorded %+v", r)
		}
		key := r.RangeStart.UTC().Format("02T15")
		out[key] = append(out[key], r.JobID)
	}
}

func TestRunTwiceLoadsOnce(t *testing.T) {
	p := newPlatform(t)
	p.setUp()
	p.batch("2001-01-08T00", "part-00000.avro", 3, "ATL", "LAS")
	p.batch("2001-01-08T00", "part-00001.avro", 5, "SFO")
	p.batch("2001-01-08T04", "part-00000.avro", 1) // a batch without rows
	p.put("flights/_SUCCESS", nil)
	first := p.mustRun()
	if first.Loaded != 2 || first.Already != 0 || first.Rows != 3 || first.Target != "kappa.batch_flights" {
		t.Errorf("first run: %+v", first)
	}
	p.batch("2001-01-08T08", "part-00000.avro", 7, "ATL")
	second := p.mustRun()
	if second.Loaded != 1 || second.Already != 2 || second.Rows != 4 {
		t.Errorf("second run: %+v", second)
	}
	if d := cmp.Diff(map[string]int64{"08T01 ATL": 3, "08T01 LAS": 3, "08T01 SFO": 5, "08T09 ATL": 7}, p.rows()); d != "" {
		t.Error(d)
	}
	want := map[string][]string{"08T00": {first.Batches[0].JobID}, "08T04": {first.Batches[1].JobID}, "08T08": {second.Batches[2].JobID}}
	if d := cmp.Diff(want, p.recorded()); d != "" {
		t.Error(d)
	}
}

func TestRunAtOnceLoadsOnce(t *testing.T) {
	p := newPlatform(t)
	p.setUp()
	for _, f := range []string{"2001-01-08T00", "2001-01-08T04", "2001-01-08T08"} {
		p.batch(f, "part-00000.avro", 3, "ATL")
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { _, errs[i] = p.run() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]int64{"08T01 ATL": 3, "08T05 ATL": 3, "08T09 ATL": 3}, p.rows()); d != "" {
		t.Error(d)
	}
}

// A run that was killed after the load job and before it was recorded is
// finished by the next one, which loads nothing again.
func TestRunIsResumed(t *testing.T) {
	p := newPlatform(t)
	p.setUp()
	p.batch("2001-01-08T00", "part-00000.avro", 3, "ATL")
	first := p.mustRun()
	if err := p.bq.Dataset("kappa").Table(tables.BatchLoads).Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := p.mustRun()
	if d := cmp.Diff(map[string][]string{"08T00": {first.Batches[0].JobID}}, p.recorded()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]int64{"08T01 ATL": 3}, p.rows()); d != "" {
		t.Error(d)
	}
	if second.Batches[0].JobID != first.Batches[0].JobID || second.Rows != 1 {
		t.Errorf("second run: %+v", second)
	}

	// The same with files that changed meanwhile: nobody can tell which rows are there.
	if err := p.bq.Dataset("kappa").Table(tables.BatchLoads).Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.batch("2001-01-08T00", "part-00000.avro", 4, "ATL")
	_, err := p.run()
	if err == nil || !strings.Contains(err.Error(), "holds 1 rows") || exit.Of(err) != exit.Failed {
		t.Errorf("got %v", err)
	}
	if d := cmp.Diff(map[string]int64{"08T01 ATL": 3}, p.rows()); d != "" {
		t.Error(d)
	}
}

func TestRunRefusesRestatedBatches(t *testing.T) {
	p := newPlatform(t)
	p.setUp()
	p.batch("2001-01-08T00", "part-00000.avro", 3, "ATL")
	p.mustRun()
	p.batch("2001-01-08T00", "part-00000.avro", 4, "ATL")
	p.batch("2001-01-08T04", "part-00000.avro", 1, "ATL")
	_, err := p.run()
	var e *exit.Error
	if !errors.As(err, &e) || e.Code != exit.Failed || !strings.Contains(err.Error(), "gs://batch/flights/2001-01-08T00/") || !strings.Contains(e.Hint, "DELETE FROM kappa.batch_flights") {
		t.Errorf("got %v", err)
	}
	if d := cmp.Diff(map[string]int64{"08T01 ATL": 3}, p.rows()); d != "" {
		t.Errorf("a refused run loads nothing, not the new batch either: %s", d)
	}
}

// A file that cannot be loaded fails its job and loads nothing; once it is
// mended the batch is loaded, once.
func TestRunAfterFailure(t *testing.T) {
	p := newPlatform(t)
	p.setUp()
	p.batch("2001-01-08T00", "part-00000.avro", 3, "ATL")
	p.put("flights/2001-01-08T00/part-00001.avro", []byte("not Avro"))
	for range 2 { // the second time another attempt is made, and fails as well
		_, err := p.run()
		if err == nil || !strings.Contains(err.Error(), "gs://batch/flights/2001-01-08T00/") || exit.Of(err) != exit.Failed {
			t.Fatalf("got %v", err)
		}
	}
	if got := p.rows(); len(got) > 0 {
		t.Errorf("a failed job left %v", got)
	}
	p.batch("2001-01-08T00", "part-00001.avro", 4, "LAS")
	p.mustRun()
	if d := cmp.Diff(map[string]int64{"08T01 ATL": 3, "08T01 LAS": 4}, p.rows()); d != "" {
		t.Error(d)
	}
}

// A run that is stopped says so: that is another exit code than a failure.
func TestRunIsStopped(t *testing.T) {
	p := newPlatform(t)
	p.setUp()
	p.batch("2001-01-08T00", "part-00000.avro", 3, "ATL")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := load.Run(ctx, load.Config{Spec: p.doc, BigQuery: p.bq, Storage: p.gcs, Log: slog.New(slog.DiscardHandler)})
	if exit.Of(err) != exit.Interrupted {
		t.Errorf("got %v, exit code %d", err, exit.Of(err))
	}
}

func TestRunWithoutWhatItNeeds(t *testing.T) {
	p := newPlatform(t)
	expect := func(want string) {
		t.Helper()
		_, err := p.run()
		var e *exit.Error
		if !errors.As(err, &e) || e.Code != exit.Environment || !strings.Contains(err.Error(), want) || e.Hint == "" {
			t.Errorf("got %v, want %q, with a hint", err, want)
		}
	}
	expect("bucket batch does not exist")
	if err := p.gcs.Bucket("batch").Create(t.Context(), "kappa-demo", nil); err != nil {
		t.Fatal(err)
	}
	expect("there is no batch folder below gs://batch/flights/")
	p.batch("2001-01-08T00", "part-00000.avro", 3, "ATL")
	expect("dataset kappa does not exist")
	if err := p.bq.Dataset("kappa").Create(t.Context(), &bigquery.DatasetMetadata{}); err != nil {
		t.Fatal(err)
	}
	other := bigquery.Schema{{Name: "origin", Type: bigquery.StringFieldType}, {Name: "window_start", Type: bigquery.StringFieldType}}
	if err := p.bq.Dataset("kappa").Table("batch_flights").Create(t.Context(), &bigquery.TableMetadata{Schema: other}); err != nil {
		t.Fatal(err)
	}
	expect("column window_start of table kappa.batch_flights is STRING, not TIMESTAMP")
}
