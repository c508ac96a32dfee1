package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

type flightsRow struct {
	Origin      string    `bigquery:"origin" avro:"origin"`
	WindowStart time.Time `bigquery:"window_start" avro:"window_start"`
	Flights     int64     `bigquery:"flights" avro:"flights"`
}

func TestBigQuery(t *testing.T) {
	sandboxtest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := platform(t).BigQuery(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantHTTP := func(what string, err error, code int, part string) {
		t.Helper()
		var e *googleapi.Error
		if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, part) {
			t.Errorf("%s: got %v, want status %d with %q", what, err, code, part)
		}
	}

	// Datasets and tables.
	ds := c.Dataset("kappa")
	if err := ds.Create(ctx, &bigquery.DatasetMetadata{Location: "US"}); err != nil {
		t.Fatal(err)
	}
	wantHTTP("dataset created twice", ds.Create(ctx, nil), http.StatusConflict, "kappa")
	schema, err := bigquery.InferSchema(flightsRow{})
	if err != nil {
		t.Fatal(err)
	}
	table := ds.Table("flights")
	if err := table.Create(ctx, &bigquery.TableMetadata{
		Schema:           schema,
		TimePartitioning: &bigquery.TimePartitioning{Type: bigquery.DayPartitioningType, Field: "window_start"},
		Clustering:       &bigquery.Clustering{Fields: []string{"origin"}},
		Labels:           map[string]string{"team": "flights"},
	}); err != nil {
		t.Fatal(err)
	}
	md, err := table.Metadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if md.TimePartitioning.Field != "window_start" || md.Clustering.Fields[0] != "origin" || md.Labels["team"] != "flights" || len(md.Schema) != 3 {
		t.Errorf("table: %+v", md)
	}
	_, err = ds.Table("missing").Metadata(ctx)
	wantHTTP("a table that is not there", err, http.StatusNotFound, "missing")

	// Rows, written and read with paging.
	start := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	const n = 1000
	var rows []*bigquery.StructSaver
	var want []flightsRow
	for i := range n {
		r := flightsRow{Origin: fmt.Sprintf("A%03d", i), WindowStart: start.Add(time.Duration(i) * time.Hour), Flights: int64(i)}
		want = append(want, r)
		rows = append(rows, &bigquery.StructSaver{Struct: r, Schema: schema, InsertID: fmt.Sprint(i)})
	}
	for i := 0; i < n; i += 500 {
		if err := table.Inserter().Put(ctx, rows[i:i+500]); err != nil {
			t.Fatal(err)
		}
	}
	if err := ds.Table("missing").Inserter().Put(ctx, rows[:1]); err == nil {
		t.Error("a table that is not there was written to")
	}
	q := c.Query("SELECT origin, window_start, flights FROM kappa.flights WHERE flights >= @least ORDER BY flights")
	q.Parameters = []bigquery.QueryParameter{{Name: "least", Value: 100}}
	q.Labels = map[string]string{"purpose": "test"}
	it, err := q.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	it.PageInfo().MaxSize = 70
	var got []flightsRow
	for {
		var r flightsRow
		err := it.Next(&r)
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if diff := cmp.Diff(want[100:], got); diff != "" {
		t.Errorf("rows read:\n%s", diff)
	}

	// Dry runs, limits, errors.
	dry := c.Query("SELECT flights FROM kappa.flights")
	dry.DryRun = true
	job, err := dry.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if b := job.LastStatus().Statistics.TotalBytesProcessed; b != 8*n {
		t.Errorf("dry run: %d bytes, want %d", b, 8*n)
	}
	limited := c.Query("SELECT flights FROM kappa.flights")
	limited.MaxBytesBilled = 1
	_, err = limited.Read(ctx)
	wantHTTP("a query over its limit", err, http.StatusBadRequest, "limit")
	_, err = c.Query("SELECT nonsense FROM kappa.flights").Read(ctx)
	wantHTTP("an unknown column", err, http.StatusBadRequest, "nonsense")
	_, err = c.Query("SELECT 1 FROM kappa.missing").Read(ctx)
	wantHTTP("an unknown table", err, http.StatusNotFound, "missing")

	// A load job from Cloud Storage.
	writeAvro(t, ctx, want)
	ref := bigquery.NewGCSReference("gs://kappa-demo-batch/flights/*.avro")
	ref.SourceFormat = bigquery.Avro
	ref.AvroOptions = &bigquery.AvroOptions{UseAvroLogicalTypes: true}
	loader := ds.Table("loaded").LoaderFrom(ref)
	loader.WriteDisposition = bigquery.WriteTruncate
	job, err = loader.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	status, err := job.Wait(ctx)
	if err != nil || status.Err() != nil {
		t.Fatalf("load: %v, %v", err, status.Err())
	}
	it, err = c.Query("SELECT COUNT(*), SUM(flights), MAX(window_start) FROM kappa.loaded").Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var sums []bigquery.Value
	if err := it.Next(&sums); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]bigquery.Value{int64(n), int64(n * (n - 1) / 2), want[n-1].WindowStart}, sums); diff != "" {
		t.Errorf("loaded:\n%s", diff)
	}
}

// writeAvro writes rows to Cloud Storage as the batch layer does.
func writeAvro(t *testing.T, ctx context.Context, rows []flightsRow) {
	t.Helper()
	st, err := platform(t).Storage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	bucket := st.Bucket("kappa-demo-batch")
	if err := bucket.Create(ctx, project, nil); err != nil {
		t.Fatal(err)
	}
	w := bucket.Object("flights/part-00000.avro").NewWriter(ctx)
	enc, err := ocf.NewWriter(w, avro.MustParse(`{"type": "record", "name": "flights", "fields": [
		{"name": "origin", "type": "string"},
		{"name": "window_start", "type": {"type": "long", "logicalType": "timestamp-micros"}},
		{"name": "flights", "type": "long"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(enc.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
}
