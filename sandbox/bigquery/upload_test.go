package bigquery_test

import (
	"bytes"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/kappa-migrate/kappa/sandbox/bigquery"
)

// upload loads a local file into d.NAME to its end.
func upload(t testing.TB, c *bq.Client, name string, r io.Reader, format bq.DataFormat, change ...func(*bq.ReaderSource)) error {
	t.Helper()
	src := bq.NewReaderSource(r)
	src.SourceFormat = format
	for _, f := range change {
		f(src)
	}
	l := c.Dataset("d").Table(name).LoaderFrom(src)
	job, err := l.Run(within(t))
	if err != nil {
		return err
	}
	st, err := job.Wait(within(t))
	must(t, err)
	return st.Err()
}

// A file that needs several requests arrives as it was sent.
func TestResumableUpload(t *testing.T) {
	c := start(t)
	must(t, c.Dataset("d").Create(within(t), nil))
	var b strings.Builder
	const rows = 900_000
	sum := 0
	for i := range rows {
		fmt.Fprintf(&b, "key-%012d,%d\n", i, i%1000)
		sum += i % 1000
	}
	if b.Len() < 17<<20 {
		t.Fatalf("%d bytes are one chunk: nothing is shown", b.Len())
	}
	must(t, upload(t, c, "big", strings.NewReader(b.String()), bq.CSV, func(s *bq.ReaderSource) {
		s.Schema = bq.Schema{{Name: "k", Type: bq.StringFieldType}, {Name: "n", Type: bq.IntegerFieldType}}
	}))
	got := read(t, c.Query("SELECT COUNT(DISTINCT k), SUM(n) FROM d.big"))
	if diff := cmp.Diff([][]bq.Value{{int64(rows), int64(sum)}}, got); diff != "" {
		t.Error(diff)
	}
}

// The protocol of a resumable upload: what a client may rely on.
func TestResumableProtocol(t *testing.T) {
	s, err := bigquery.New(bigquery.Config{Log: quiet()})
	must(t, err)
	defer s.Close()
	c := connect(t, s)
	must(t, c.Dataset("d").Create(within(t), nil))
	client := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	send := func(method, url, content, body string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(within(t), method, url, strings.NewReader(body))
		must(t, err)
		if content != "" {
			req.Header.Set("Content-Range", content)
		}
		resp, err := client.Do(req)
		must(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		must(t, err)
		must(t, resp.Body.Close())
		return resp
	}
	base := "http://" + s.Addr() + "/upload/bigquery/v2/projects/" + project + "/jobs?uploadType=resumable"
	if resp := send("POST", base, "", `{"configuration":{}}`); resp.StatusCode != 400 {
		t.Errorf("an upload without a load job: %s", resp.Status)
	}
	resp := send("POST", base, "", `{"jobReference":{"jobId":"j1"},"configuration":{"load":{"destinationTable":{"projectId":"kappa-test","datasetId":"d","tableId":"t"},
		"schema":{"fields":[{"name":"n","type":"INT64"}]}}}}`)
	url := resp.Header.Get("Location")
	if resp.StatusCode != 200 || url == "" {
		t.Fatalf("begin: %s, location %q", resp.Status, url)
	}
	for _, step := range []struct {
		method, content, body string
		status                int
		have                  string // the header Range
	}{
		{"PUT", "nonsense", "x", 400, ""},
		{"PUT", "bytes 5-8/*", "late", 400, ""},
		{"PUT", "bytes */*", "", 308, ""},
		{"PUT", "bytes 0-3/*", "1\n2\n", 308, "bytes=0-3"},
		{"PUT", "bytes 0-3/*", "1\n2\n", 308, "bytes=0-3"}, // sent again: the answer was lost
		{"PUT", "bytes */6", "", 308, "bytes=0-3"},         // how far has it come?
		{"PUT", "bytes 4-5/6", "3\n", 200, ""},
		{"PUT", "bytes 4-5/6", "3\n", 400, ""}, // it has ended
	} {
		resp := send(step.method, url, step.content, step.body)
		if resp.StatusCode != step.status || resp.Header.Get("Range") != step.have {
			t.Errorf("%s: %s, range %q; want %d, %q", step.content, resp.Status, resp.Header.Get("Range"), step.status, step.have)
		}
	}
	job, err := c.JobFromID(within(t), "j1")
	must(t, err)
	st, err := job.Wait(within(t))
	must(t, err)
	must(t, st.Err())
	if got := strings.TrimSpace(show(read(t, c.Query("SELECT COUNT(*), SUM(n) FROM d.t")))); got != "[3 6]" {
		t.Errorf("loaded %s", got)
	}
	if resp := send("PUT", base+"&upload_id=unknown", "bytes 0-0/1", "x"); resp.StatusCode != 404 {
		t.Errorf("an unknown upload: %s", resp.Status)
	}
}

type parquetRow struct {
	Origin string    `parquet:"origin"`
	Start  time.Time `parquet:"window_start,timestamp(microsecond)"`
	Milli  int64     `parquet:"milli,timestamp(millisecond)"`
	Nano   int64     `parquet:"nano,timestamp(nanosecond)"`
	Day    int32     `parquet:"day,date"`
	N      *int64    `parquet:"n,optional"`
	Small  int32     `parquet:"small"`
	U      uint32    `parquet:"u"`
	Money  int64     `parquet:"money,decimal(2:18)"`
	F      float64   `parquet:"f"`
	G      float32   `parquet:"g"`
	OK     bool      `parquet:"ok"`
	Raw    []byte    `parquet:"raw"`
}

func parquetFile[T any](t testing.TB, rows ...T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, parquet.MaxRowsPerRowGroup(700))
	_, err := w.Write(rows)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func TestLoadParquet(t *testing.T) {
	n := int64(-7)
	row := parquetRow{"Zürich", day, day.UnixMilli() + 1, day.UnixNano() + 1999, 11330, &n, -3, 4_000_000_000, -12345, 0.1, 0.5, true, []byte{0, 1}}
	none := row
	none.N = nil
	file := parquetFile(t, row, none)
	c := withObjects(t, map[string][]byte{"batch/p/0.parquet": file, "batch/p/1.parquet": file, "batch/cut/0.parquet": file[:len(file)/2],
		"batch/other/0.parquet": parquetFile(t, struct {
			Origin int64 `parquet:"origin"`
		}{1}),
		"batch/list/0.parquet": parquetFile(t, struct {
			L []int64 `parquet:"l"`
		}{[]int64{1}}),
		"batch/wide/0.parquet": parquetFile(t, struct {
			D int64 `parquet:"d,decimal(12:18)"`
		}{1}),
	})
	must(t, c.Dataset("d").Create(within(t), nil))
	st, err := load(t, c, "gs://batch/p/*", func(l *bq.Loader) { l.Src.(*bq.GCSReference).SourceFormat = bq.Parquet })
	must(t, err)
	if st.OutputRows != 4 || st.InputFileBytes != 2*int64(len(file)) {
		t.Errorf("statistics: %+v, want 4 rows of %d bytes", st, 2*len(file))
	}
	must(t, upload(t, c, "b", bytes.NewReader(file), bq.Parquet))
	got := read(t, c.Query("SELECT DISTINCT * FROM d.b WHERE n IS NOT NULL"))
	if len(got) != 1 {
		t.Fatalf("rows: %v", got)
	}
	want := []bq.Value{"Zürich", day, day.Add(time.Millisecond), day.Add(time.Microsecond), "2001-01-08", int64(-7), int64(-3), int64(4_000_000_000),
		"-123.45", 0.1, 0.5, true, []byte{0, 1}}
	got[0][4], got[0][8] = fmt.Sprint(got[0][4]), got[0][8].(*big.Rat).FloatString(2)
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Error(diff)
	}
	if got := strings.TrimSpace(show(read(t, c.Query("SELECT COUNT(*), COUNT(n) FROM d.b")))); got != "[6 3]" {
		t.Errorf("rows and values: %s", got)
	}
	for uri, text := range map[string]string{
		"gs://batch/cut/*":   "the Parquet library failed to read the file",
		"gs://batch/other/*": "Field origin has changed type from STRING to INT64",
		"gs://batch/list/*":  "a nested or repeated Parquet column (field l)",
		"gs://batch/wide/*":  "a Parquet decimal of precision 18 and scale 12 (field d)",
	} {
		_, err := load(t, c, uri, func(l *bq.Loader) { l.Src.(*bq.GCSReference).SourceFormat = bq.Parquet })
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q", uri, err, text)
		}
	}
	if got := strings.TrimSpace(show(read(t, c.Query("SELECT COUNT(*) FROM d.b")))); got != "[6]" {
		t.Errorf("after loads that failed: %s rows, want 6", got)
	}
}

// Whatever is done to a file, the server answers, and with an error or all rows.
func TestLoadDamagedParquet(t *testing.T) {
	c := start(t)
	must(t, c.Dataset("d").Create(within(t), nil))
	file := parquetFile(t, parquetRow{Origin: "ATL", Start: day}, parquetRow{Origin: "ORD", Start: day})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range 150 {
		broken := bytes.Clone(file)
		for range 1 + r.IntN(8) {
			broken[r.IntN(len(broken))] = byte(r.Uint32())
		}
		_ = upload(t, c, fmt.Sprintf("t%d", i), bytes.NewReader(broken), bq.Parquet)
	}
	must(t, upload(t, c, "whole", bytes.NewReader(file), bq.Parquet))
}
