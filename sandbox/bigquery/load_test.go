package bigquery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/fsouza/fake-gcs-server/fakestorage"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"github.com/kappa-migrate/kappa/sandbox/bigquery"
)

const batchSchema = `{"type":"record","name":"row","fields":[
	{"name":"origin","type":"string"},
	{"name":"window_start","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"flights","type":["null","long"]}]}`

// avroFile is an Avro file of batch rows.
func avroFile(t testing.TB, schema string, rows ...map[string]any) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := ocf.NewWriter(&b, avro.MustParse(schema), ocf.WithCodec(ocf.SnappyCodec()))
	must(t, err)
	for _, r := range rows {
		must(t, w.Encode(r))
	}
	must(t, w.Close())
	return b.Bytes()
}

// withObjects starts a Cloud Storage emulator with these objects, and a
// BigQuery that reads from it.
func withObjects(t testing.TB, objects map[string][]byte) *bq.Client {
	t.Helper()
	var initial []fakestorage.Object
	for name, data := range objects {
		bucket, name, _ := strings.Cut(name, "/")
		initial = append(initial, fakestorage.Object{ObjectAttrs: fakestorage.ObjectAttrs{BucketName: bucket, Name: name}, Content: data})
	}
	gcs, err := fakestorage.NewServerWithOptions(fakestorage.Options{Scheme: "http", Host: "127.0.0.1", InitialObjects: initial})
	must(t, err)
	t.Cleanup(gcs.Stop)
	return start(t, func(c *bigquery.Config) { c.StorageEndpoint = strings.TrimPrefix(gcs.URL(), "http://") })
}

// load runs a load job into d.b to its end.
func load(t testing.TB, c *bq.Client, uri string, change ...func(l *bq.Loader)) (*bq.LoadStatistics, error) {
	t.Helper()
	ref := bq.NewGCSReference(uri)
	ref.SourceFormat = bq.Avro
	ref.AvroOptions = &bq.AvroOptions{UseAvroLogicalTypes: true}
	l := c.Dataset("d").Table("b").LoaderFrom(ref)
	for _, f := range change {
		f(l)
	}
	job, err := l.Run(within(t))
	if err != nil {
		return nil, err
	}
	st, err := job.Wait(within(t))
	must(t, err)
	if st.Err() != nil {
		return nil, st.Err()
	}
	return st.Statistics.Details.(*bq.LoadStatistics), nil
}

func TestLoadAvro(t *testing.T) {
	hour := func(h int) time.Time { return day.Add(time.Duration(h) * time.Hour) }
	row := func(origin string, h int, flights any) map[string]any {
		return map[string]any{"origin": origin, "window_start": hour(h), "flights": flights}
	}
	c := withObjects(t, map[string][]byte{
		"batch/flights/00/part-0.avro": avroFile(t, batchSchema, row("ATL", 1, int64(3)), row("MSY", 1, nil)),
		"batch/flights/00/part-1.avro": avroFile(t, batchSchema, row("ORD", 2, int64(5))),
		"batch/flights/04/part-0.avro": avroFile(t, batchSchema, row("ATL", 5, int64(7))),
		"batch/broken/part-0.avro":     append(avroFile(t, batchSchema, row("ATL", 5, int64(7)))[:80], "broken"...),
		"batch/null/part-0.avro":       avroFile(t, strings.Replace(batchSchema, `"type":"string"`, `"type":["null","string"]`, 1), map[string]any{"origin": nil, "window_start": day, "flights": nil}),
		"batch/extra/part-0.avro":      avroFile(t, strings.Replace(batchSchema, `{"name":"origin"`, `{"name":"x","type":"int"},{"name":"origin"`, 1), map[string]any{"x": 1, "origin": "A", "window_start": day, "flights": nil}),
		"batch/text/part-0.avro":       avroFile(t, strings.Replace(batchSchema, `["null","long"]`, `"string"`, 1), map[string]any{"origin": "A", "window_start": day, "flights": "3"}),
	})
	ctx := within(t)
	must(t, c.Dataset("d").Create(ctx, nil))
	must(t, c.Dataset("d").Table("b").Create(ctx, &bq.TableMetadata{Schema: flightSchema}))
	count := func(want string) {
		t.Helper()
		if got := strings.TrimSpace(show(read(t, c.Query("SELECT COUNT(*) AS n, SUM(flights) AS s FROM d.b")))); got != want {
			t.Errorf("table has %s, want %s", got, want)
		}
	}
	st, err := load(t, c, "gs://batch/flights/00/*")
	must(t, err)
	if st.OutputRows != 3 || st.InputFiles != 2 || st.InputFileBytes == 0 {
		t.Errorf("got %+v", st)
	}
	count("[3 8]")
	if rows := read(t, c.Query("SELECT window_start, flights FROM d.b WHERE origin = 'MSY'")); !cmp.Equal(rows, [][]bq.Value{{hour(1), nil}}) {
		t.Error(rows)
	}
	_, err = load(t, c, "gs://batch/flights/*/part-0.avro")
	must(t, err)
	count("[6 18]")
	_, err = load(t, c, "gs://batch/flights/04/part-0.avro", func(l *bq.Loader) { l.WriteDisposition = bq.WriteTruncate })
	must(t, err)
	count("[1 7]")
	// What fails leaves the table as it was.
	for _, tc := range []struct {
		uri, reason, text string
		change            func(l *bq.Loader)
	}{
		{"gs://batch/missing/*", "notFound", "Not found: URI gs://batch/missing/*", nil},
		{"gs://nobucket/x", "notFound", "Not found: URI gs://nobucket/x", nil},
		{"gs://batch/*/part-0.avro", "invalid", "Error while reading data", nil},
		{"gs://batch/broken/*", "invalid", "The Apache Avro library failed", nil},
		{"gs://batch/null/*", "invalid", "Required field origin cannot be null", nil},
		{"gs://batch/extra/*", "invalid", "Cannot add fields (field: x)", nil},
		{"gs://batch/text/*", "invalid", "Field flights has changed type from INT64 to STRING", nil},
		{"gs://batch/flights/04/*", "invalid", "Field window_start has changed type from TIMESTAMP to INT64",
			func(l *bq.Loader) { l.Src.(*bq.GCSReference).AvroOptions.UseAvroLogicalTypes = false }},
		{"gs://batch/flights/04/*", "duplicate", "Already Exists: Table kappa-test:d.b", func(l *bq.Loader) { l.WriteDisposition = bq.WriteEmpty }},
		{"gs://batch/flights/04/*", "notFound", "Not found: Table kappa-test:d.none", func(l *bq.Loader) { l.Dst = c.Dataset("d").Table("none"); l.CreateDisposition = bq.CreateNever }},
	} {
		change := tc.change
		if change == nil {
			change = func(*bq.Loader) {}
		}
		_, err := load(t, c, tc.uri, change)
		var be *bq.Error
		if !errors.As(err, &be) || be.Reason != tc.reason || !strings.Contains(be.Message, tc.text) {
			t.Errorf("%s: got %v, want %s: %s", tc.uri, err, tc.reason, tc.text)
		}
	}
	count("[1 7]")
	// A table that does not exist gets the file's schema.
	_, err = load(t, c, "gs://batch/flights/00/*", func(l *bq.Loader) {
		l.Dst = c.Dataset("d").Table("fresh")
		l.TimePartitioning = &bq.TimePartitioning{Type: bq.DayPartitioningType, Field: "window_start"}
	})
	must(t, err)
	md, err := c.Dataset("d").Table("fresh").Metadata(ctx)
	must(t, err)
	if diff := cmp.Diff(flightSchema, md.Schema); diff != "" || md.NumRows != 3 || md.TimePartitioning == nil {
		t.Error(diff, md)
	}
}

func TestLoadAvroTypes(t *testing.T) {
	schema := `{"type":"record","name":"r","fields":[
		{"name":"i","type":"int"},{"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"b","type":"boolean"},{"name":"by","type":"bytes"},
		{"name":"e","type":{"type":"enum","name":"e","symbols":["x","y"]}},{"name":"date","type":{"type":"int","logicalType":"date"}},
		{"name":"ms","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"num","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":3}},
		{"name":"list","type":{"type":"array","items":"string"}},{"name":"rec","type":["null",{"type":"record","name":"s","fields":[{"name":"k","type":"long"}]}]}]}`
	at := time.Date(2024, 1, 2, 3, 4, 5, 678000000, time.UTC)
	c := withObjects(t, map[string][]byte{"b/o.avro": avroFile(t, schema, map[string]any{
		"i": 1, "f": float32(0.5), "d": 1e300, "b": true, "by": []byte{1}, "e": "y", "date": at.Truncate(24 * time.Hour), "ms": at, "num": big.NewRat(-1234567, 1000),
		"list": []string{"p", "q"}, "rec": map[string]any{"k": int64(9)}})})
	must(t, c.Dataset("d").Create(within(t), nil))
	_, err := load(t, c, "gs://b/o.avro")
	must(t, err)
	got := fmt.Sprint(read(t, c.Query("SELECT * FROM d.b")))
	want := "[[1 0.5 1e+300 true [1] y 2024-01-02 2024-01-02 03:04:05.678 +0000 UTC -1234567/1000 [p q] [9]]]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLoadText(t *testing.T) {
	c := withObjects(t, map[string][]byte{
		"b/rows.csv":   []byte("origin,window_start,flights\nATL,2001-01-08 01:00:00,3\n\"M,\"\"Y\",2001-01-08T02:00:00Z,\n"),
		"b/short.csv":  []byte("ATL,2001-01-08\n"),
		"b/bad.csv":    []byte("ATL,2001-01-08,x\n"),
		"b/rows.jsonl": []byte(`{"origin":"ORD","window_start":"2001-01-08 03:00:00","flights":"4"}` + "\n\n" + `{"origin":"X","window_start":0}`),
		"b/bad.jsonl":  []byte(`{"origin":"ORD","nope":1}`),
	})
	ctx := within(t)
	must(t, c.Dataset("d").Create(ctx, nil))
	must(t, c.Dataset("d").Table("b").Create(ctx, &bq.TableMetadata{Schema: flightSchema}))
	csv := func(l *bq.Loader) { ref := l.Src.(*bq.GCSReference); ref.SourceFormat, ref.AvroOptions = bq.CSV, nil }
	lines := func(l *bq.Loader) { ref := l.Src.(*bq.GCSReference); ref.SourceFormat, ref.AvroOptions = bq.JSON, nil }
	_, err := load(t, c, "gs://b/rows.csv", csv, func(l *bq.Loader) { l.Src.(*bq.GCSReference).SkipLeadingRows = 1 })
	must(t, err)
	_, err = load(t, c, "gs://b/rows.jsonl", lines)
	must(t, err)
	got := show(read(t, c.Query("SELECT origin, UNIX_SECONDS(window_start), flights FROM d.b ORDER BY origin")))
	if want := "[ATL 978915600 3]\n[M,\"Y 978919200 <nil>]\n[ORD 978922800 4]\n[X 0 <nil>]\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for uri, want := range map[string]string{
		"gs://b/short.csv": "CSV table references column position 2, but line 1 has only 2 columns", "gs://b/bad.csv": "Cannot convert value to integer (bad value): x",
		"gs://b/bad.jsonl": "no such field: nope",
	} {
		format := csv
		if strings.HasSuffix(uri, "jsonl") {
			format = lines
		}
		if _, err := load(t, c, uri, format); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), uri) {
			t.Errorf("%s: got %v", uri, err)
		}
	}
}

func TestUploadedFile(t *testing.T) {
	c := start(t)
	ctx := within(t)
	must(t, c.Dataset("d").Create(ctx, nil))
	src := bq.NewReaderSource(strings.NewReader("ATL,2001-01-08,3\n"))
	src.Schema = flightSchema
	job, err := c.Dataset("d").Table("b").LoaderFrom(src).Run(ctx)
	must(t, err)
	st, err := job.Wait(ctx)
	must(t, err)
	must(t, st.Err())
	if rows := read(t, c.Query("SELECT origin, flights FROM d.b")); !cmp.Equal(rows, [][]bq.Value{{"ATL", int64(3)}}) {
		t.Error(rows)
	}
}

func TestLoadRefusals(t *testing.T) {
	c := start(t)
	ctx := within(t)
	must(t, c.Dataset("d").Create(ctx, nil))
	for text, change := range map[string]func(l *bq.Loader){
		"sourceFormat ORC":                       func(l *bq.Loader) { l.Src.(*bq.GCSReference).SourceFormat = bq.ORC },
		"configuration.load.schemaUpdateOptions": func(l *bq.Loader) { l.SchemaUpdateOptions = []string{"ALLOW_FIELD_ADDITION"} },
		"a partition decorator":                  func(l *bq.Loader) { l.Dst = c.Dataset("d").Table("b$20240101") },
		"configuration.load.maxBadRecords":       func(l *bq.Loader) { l.Src.(*bq.GCSReference).MaxBadRecords = 3 },
	} {
		_, err := load(t, c, "gs://b/o", change)
		failsWith(t, err, 501, "notImplemented", text)
	}
	_, err := load(t, c, "gs://b/o")
	if err == nil || !strings.Contains(err.Error(), "the sandbox has no Cloud Storage endpoint") {
		t.Errorf("got %v", err)
	}
}

// TestLoadIsAtomic: while a table is loaded again and again with rows that
// belong together, nobody sees a part of them.
func TestLoadIsAtomic(t *testing.T) {
	rows := make([]map[string]any, 500)
	for i := range rows {
		rows[i] = map[string]any{"origin": fmt.Sprint(i), "window_start": day, "flights": int64(1)}
	}
	c := withObjects(t, map[string][]byte{"b/1.avro": avroFile(t, batchSchema, rows...), "b/2.avro": avroFile(t, batchSchema, rows...)})
	must(t, c.Dataset("d").Create(within(t), nil))
	must(t, c.Dataset("d").Table("b").Create(within(t), &bq.TableMetadata{Schema: flightSchema}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			rows, err := tryRead(t, c.Query("SELECT COUNT(*) AS n FROM d.b"))
			if err != nil || rows[0][0].(int64)%1000 != 0 {
				t.Errorf("got %v, %v", rows, err)
				return
			}
		}
	}()
	for range 5 {
		if _, err := load(t, c, "gs://b/*"); err != nil {
			t.Error(err)
		}
	}
	cancel()
	<-done
}
