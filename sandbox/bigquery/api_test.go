package bigquery_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	bq "cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/sandbox/bigquery"
)

// call sends a request as it stands and decodes the answer.
func call(t testing.TB, s *bigquery.Server, method, path, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr()+path, strings.NewReader(body))
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(t, err)
	var out map[string]any
	if len(data) > 0 {
		must(t, json.Unmarshal(data, &out))
	}
	return resp.StatusCode, out
}

func TestConfig(t *testing.T) {
	for _, c := range []bigquery.Config{
		{}, {Log: quiet(), MemoryLimit: "lots"}, {Log: quiet(), MemoryLimit: "1GB'; ATTACH 'x"}, {Log: quiet(), StorageEndpoint: "nowhere"}, {Log: quiet(), Listen: "127.0.0.1:notaport"},
	} {
		if s, err := bigquery.New(c); err == nil {
			s.Close()
			t.Errorf("%+v was taken", c)
		}
	}
	s, err := bigquery.New(bigquery.Config{Log: slog.New(slog.DiscardHandler), Listen: "127.0.0.1:0", MemoryLimit: "64MB"})
	must(t, err)
	defer s.Close()
	if !strings.HasPrefix(s.Addr(), "127.0.0.1:") {
		t.Errorf("listens on %s", s.Addr())
	}
	if _, err := bigquery.New(bigquery.Config{Log: quiet(), Listen: s.Addr()}); err == nil {
		t.Error("two servers on one address")
	}
}

// TestPlainHTTP: what other clients than Go's rely on.
func TestPlainHTTP(t *testing.T) {
	s := newServer(t)
	// The base path may be left out.
	for _, base := range []string{"/bigquery/v2", ""} {
		code, out := call(t, s, "POST", base+"/projects/p/queries", `{"query":"SELECT TIMESTAMP '2024-01-01 00:00:00.25' AS ts, [STRUCT(TIMESTAMP '1970-01-01' AS moment)] AS list, 'x' AS s","useLegacySql":false}`)
		rows, _ := json.Marshal(out["rows"])
		// Timestamps are seconds in floating point unless asked for otherwise.
		if want := `[{"f":[{"v":"1.70406720025E+09"},{"v":[{"v":{"f":[{"v":"0E+00"}]}}]},{"v":"x"}]}]`; code != 200 || string(rows) != want {
			t.Errorf("%d %s, want %s", code, rows, want)
		}
	}
	code, out := call(t, s, "POST", "/projects/p/queries", `{"query":"SELECT 1 AS x"}`)
	if msg := fmt.Sprint(out); code != 501 || !strings.Contains(msg, "legacy SQL (useLegacySql is not false) is not supported by the sandbox") {
		t.Errorf("%d %s", code, msg)
	}
	for path, want := range map[string]string{
		"/bigquery/v2/projects/p/nothing":         "GET /bigquery/v2/projects/p/nothing is not supported by the sandbox",
		"/bigquery/v2/projects/p/serviceAccount":  "serviceAccount is not supported by the sandbox",
		"/projects/p/queries/none?maxResults=one": "Not found: Job p:none",
	} {
		code, out := call(t, s, "GET", path, "")
		if msg := fmt.Sprint(out); code < 400 || !strings.Contains(msg, want) {
			t.Errorf("%s: %d %s", path, code, msg)
		}
	}
	code, out = call(t, s, "POST", "/projects/p/datasets", "{"+strings.Repeat(" ", 11<<20)+"}")
	if msg := fmt.Sprint(out); code != http.StatusRequestEntityTooLarge || !strings.Contains(msg, "Request payload size exceeds the limit") {
		t.Errorf("%d %s", code, msg)
	}
}

// TestRequestID: jobs.query that is sent again runs once.
func TestRequestID(t *testing.T) {
	s := newServer(t)
	c := connect(t, s)
	numbers(t, c, 1)
	body := `{"query":"INSERT d.n (i) VALUES (7)","useLegacySql":false,"requestId":"r-1"}`
	for range 3 {
		code, out := call(t, s, "POST", "/projects/"+project+"/queries", body)
		if code != 200 || out["numDmlAffectedRows"] != "1" || out["jobComplete"] != true {
			t.Errorf("%d %v", code, out)
		}
	}
	if rows := read(t, c.Query("SELECT COUNT(*) AS n FROM d.n WHERE i = 7")); rows[0][0] != int64(1) {
		t.Error(rows)
	}
}

// TestMemoryLimit: a query that needs more than the limit spills or fails; the
// server lives on, and leaves nothing behind.
func TestMemoryLimit(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Cleanup(func() {
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("%v left behind, %v", left, err)
		}
	})
	c := start(t, func(c *bigquery.Config) { c.MemoryLimit = "64MB" })
	rows := read(t, c.Query("SELECT COUNT(*) AS n, MAX(r) AS r FROM (SELECT ROW_NUMBER() OVER (ORDER BY MOD(x * 7919, 1000003), s) AS r FROM (SELECT x, REPEAT(CAST(x AS STRING), 20) AS s FROM UNNEST(GENERATE_ARRAY(1, 600000)) AS x))"))
	if rows[0][0] != int64(600_000) || rows[0][1] != int64(600_000) {
		t.Errorf("a query that spills returns %v", rows)
	}
	_, err := tryRead(t, c.Query("SELECT ARRAY_LENGTH(ARRAY_AGG(REPEAT(CAST(x AS STRING), 200))) AS n FROM UNNEST(GENERATE_ARRAY(1, 1000000)) AS x"))
	if err != nil && !strings.Contains(err.Error(), "Resources exceeded during query execution") {
		t.Errorf("got %v", err)
	}
	if rows = read(t, c.Query("SELECT 1 AS x")); rows[0][0] != int64(1) {
		t.Error(rows)
	}
}

// TestEngineIsLocked: even what the translator would let through could not
// reach files or settings. This looks behind the translator on purpose, by the
// functions that a query can name.
func TestEngineIsLocked(t *testing.T) {
	c := start(t)
	for _, name := range []string{"read_csv", "read_parquet", "read_text", "glob", "getenv", "duckdb_settings", "pragma_table_info", "query", "query_table", "sniff_csv", "current_setting", "nextval"} {
		for _, sql := range []string{"SELECT " + name + "('/etc/passwd') AS x", "SELECT * FROM " + name + "('/etc/passwd')"} {
			_, err := tryRead(t, c.Query(sql))
			failsWith(t, err, 400, "notImplemented", "is not supported by the sandbox")
		}
	}
	for _, sql := range []string{"SELECT * FROM `/etc/passwd`", "SELECT * FROM `d./etc/passwd`", "SELECT * FROM 'x.csv'", "SELECT rowid FROM UNNEST([1]) AS x", "SELECT c1 FROM (SELECT 1 AS x)", "SELECT * FROM p1"} {
		if _, err := tryRead(t, c.Query(sql)); err == nil {
			t.Errorf("%s: no error", sql)
		}
	}
}

// TestResultsAreBounded: old results make room for new ones, and say so.
func TestResultsAreBounded(t *testing.T) {
	c := start(t)
	ctx := within(t)
	var first *bq.Job
	for i := range 3 {
		job, err := c.Query(fmt.Sprintf("SELECT x, REPEAT('%d', 1000) AS s FROM UNNEST(GENERATE_ARRAY(1, 30000)) AS x", i)).Run(ctx)
		must(t, err)
		_, err = job.Wait(ctx)
		must(t, err)
		if first == nil {
			first = job
		}
		it, err := job.Read(ctx)
		must(t, err)
		var row []bq.Value
		must(t, it.Next(&row))
	}
	it, err := first.Read(ctx)
	if err == nil {
		var row []bq.Value
		err = it.Next(&row)
	}
	failsWith(t, err, 404, "notFound", "the sandbox keeps only the newest")
}
