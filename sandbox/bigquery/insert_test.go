package bigquery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	bq "cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/sandbox/bigquery"
)

// everyType is a schema with every type that the sandbox stores.
var everyType = bq.Schema{
	{Name: "id", Type: bq.IntegerFieldType, Required: true},
	{Name: "s", Type: bq.StringFieldType}, {Name: "by", Type: bq.BytesFieldType}, {Name: "i", Type: bq.IntegerFieldType},
	{Name: "f", Type: bq.FloatFieldType}, {Name: "b", Type: bq.BooleanFieldType}, {Name: "ts", Type: bq.TimestampFieldType},
	{Name: "d", Type: bq.DateFieldType}, {Name: "dt", Type: bq.DateTimeFieldType}, {Name: "n", Type: bq.NumericFieldType},
	{Name: "list", Type: bq.StringFieldType, Repeated: true},
	{Name: "rec", Type: bq.RecordFieldType, Schema: bq.Schema{{Name: "x", Type: bq.IntegerFieldType}, {Name: "y", Type: bq.StringFieldType, Repeated: true}}},
	{Name: "recs", Type: bq.RecordFieldType, Repeated: true, Schema: bq.Schema{{Name: "k", Type: bq.NumericFieldType}}},
}

func newTable(t testing.TB, c *bq.Client, name string, schema bq.Schema) *bq.Table {
	t.Helper()
	ctx := within(t)
	ds := c.Dataset("d")
	if _, err := ds.Metadata(ctx); err != nil {
		must(t, ds.Create(ctx, nil))
	}
	tb := ds.Table(name)
	must(t, tb.Create(ctx, &bq.TableMetadata{Schema: schema}))
	return tb
}

func TestEveryTypeRoundTrips(t *testing.T) {
	c := start(t)
	tb := newTable(t, c, "t", everyType)
	ts := time.Date(1969, 12, 31, 23, 59, 59, 123456000, time.UTC)
	num, _ := new(big.Rat).SetString("-12345678901234567890123456789.123456789")
	full := []bq.Value{int64(1), "é \"x\"\n\\ <&>", []byte{0, 255}, int64(-1 << 63), 1e-300, true, ts, civil.Date{Year: 2024, Month: 2, Day: 29},
		civil.DateTime{Date: civil.Date{Year: 2024, Month: 1, Day: 2}, Time: civil.Time{Hour: 3, Minute: 4, Second: 5, Nanosecond: 600000000}},
		num, []bq.Value{"a", ""}, []bq.Value{int64(7), []bq.Value{"p", "q"}}, []bq.Value{[]bq.Value{big.NewRat(1, 2)}, []bq.Value{nil}}}
	empty := make([]bq.Value, len(full))
	empty[0] = int64(2)
	must(t, tb.Inserter().Put(within(t), []*bq.ValuesSaver{{Schema: everyType, Row: full}, {Schema: everyType, Row: empty}}))
	empty[10], empty[12] = []bq.Value(nil), []bq.Value(nil) // a repeated field is never NULL
	want := [][]bq.Value{full, empty}
	compare := cmp.Comparer(func(a, b *big.Rat) bool { return a.Cmp(b) == 0 })
	for name, rows := range map[string][][]bq.Value{
		"query": read(t, c.Query("SELECT * FROM d.t ORDER BY id")),
		"list":  func() [][]bq.Value { rows, err := drain(tb.Read(within(t))); must(t, err); return rows }(),
	} {
		if diff := cmp.Diff(want, rows, compare); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	// What was read can be a parameter again.
	q := c.Query("SELECT COUNT(*) AS n FROM d.t WHERE s = @s AND `by` = @by AND i = @i AND f = @f AND b = @b AND ts = @ts AND d = @d AND dt = @dt AND n = @n AND list[OFFSET(0)] IN UNNEST(@list)")
	for i, name := range []string{"s", "by", "i", "f", "b", "ts", "d", "dt", "n"} {
		q.Parameters = append(q.Parameters, bq.QueryParameter{Name: name, Value: full[i+1]})
	}
	q.Parameters = append(q.Parameters, bq.QueryParameter{Name: "list", Value: []string{"z", "a"}})
	if rows := read(t, q); rows[0][0] != int64(1) {
		t.Error(rows)
	}
}

// post sends an insertAll request as it stands.
func post(t testing.TB, s *bigquery.Server, table, body string) (int, map[string]any) {
	t.Helper()
	resp, err := http.Post("http://"+s.Addr()+"/bigquery/v2/projects/"+project+"/datasets/d/tables/"+table+"/insertAll", "application/json", strings.NewReader(body))
	must(t, err)
	defer resp.Body.Close()
	var out map[string]any
	must(t, json.NewDecoder(resp.Body).Decode(&out))
	return resp.StatusCode, out
}

func newServer(t testing.TB) *bigquery.Server {
	t.Helper()
	s, err := bigquery.New(bigquery.Config{Log: quiet()})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()); http.DefaultClient.CloseIdleConnections() })
	return s
}

// TestValuesOfInsertAll: JSON forms that BigQuery takes, and the errors of
// those that it does not.
func TestValuesOfInsertAll(t *testing.T) {
	s := newServer(t)
	c := connect(t, s)
	newTable(t, c, "t", everyType)
	for i, tc := range []struct{ json, column, want string }{
		{`"i": 5`, "i", "5"}, {`"i": "5"`, "i", "5"}, {`"i": 5.0`, "i", "5"}, {`"I": 5`, "i", "5"}, {`"i": null`, "i", "<nil>"},
		{`"f": 1`, "f", "1"}, {`"f": "NaN"`, "f", "NaN"}, {`"b": "true"`, "b", "true"}, {`"s": 12`, "s", "12"}, {`"s": true`, "s", "true"},
		{`"s": "\u00e9\n"`, "s", "é\n"}, {`"ts": 1.5`, "ts", "1970-01-01 00:00:01.5 +0000 UTC"}, {`"ts": "2024-01-01T00:00:00.123456789+02:00"`, "ts", "2023-12-31 22:00:00.123456 +0000 UTC"},
		{`"ts": "2024-01-01 00:00:00 UTC"`, "ts", "2024-01-01 00:00:00 +0000 UTC"}, {`"n": 1.5`, "n", "3/2"}, {`"n": "1.5"`, "n", "3/2"}, {`"d": "2024-01-02"`, "d", "2024-01-02"},
		{`"list": ["a"]`, "list", "[a]"}, {`"list": null`, "list", "[]"}, {`"rec": {"x": "3", "y": []}`, "rec", "[3 []]"}, {`"rec": null`, "rec", "<nil>"},
		{`"by": "AP8="`, "by", "[0 255]"},
	} {
		code, resp := post(t, s, "t", fmt.Sprintf(`{"rows":[{"json":{"id":%d, %s}}]}`, i, tc.json))
		if code != 200 || resp["insertErrors"] != nil {
			t.Errorf("%s: %d %v", tc.json, code, resp)
			continue
		}
		rows := read(t, c.Query(fmt.Sprintf("SELECT `%s` FROM d.t WHERE id = %d", tc.column, i)))
		if got := fmt.Sprint(rows[0][0]); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.json, got, tc.want)
		}
	}
	for _, tc := range []struct{ json, location, message string }{
		{`"id": 1, "nope": 1`, "nope", "no such field: nope."}, {`"i": 1`, "id", "Missing required field: id."}, {`"id": null`, "id", "Missing required field: id."},
		{`"id": 1, "i": "x"`, "i", "Cannot convert value to integer (bad value): x"}, {`"id": 1.5`, "id", "Cannot convert value to integer (bad value): 1.5"},
		{`"id": 1, "ts": "noon"`, "ts", "Could not parse 'noon' as a timestamp"}, {`"id": 1, "s": ["a"]`, "s", "Array specified for non-repeated field: s."},
		{`"id": 1, "s": {"a": 1}`, "s", "This field: s is not a record."}, {`"id": 1, "list": [null]`, "list", "Array cannot have a null element"},
		{`"id": 1, "rec": {"z": 1}`, "rec.z", "no such field: rec.z."}, {`"id": 1, "b": "maybe"`, "b", "Cannot convert value to boolean"}, {`"id": 1, "n": "1e40"`, "n", "Invalid NUMERIC value: 1e40"},
		{`"id": 1, "d": "2024-02-30"`, "d", "Invalid date: '2024-02-30'"}, {`"id": 1, "by": "?"`, "by", "Could not decode base64"}, {`"id": 9223372036854775808`, "id", "Cannot convert value to integer"},
	} {
		_, resp := post(t, s, "t", `{"rows":[{"insertId":"q","json":{`+tc.json+`}}]}`)
		text, _ := json.Marshal(resp)
		for _, want := range []string{`"reason":"invalid"`, `"location":"` + tc.location + `"`, tc.message, `"index":0`} {
			if !bytes.Contains(text, []byte(want)) {
				t.Errorf("%s: got %s, want %s", tc.json, text, want)
			}
		}
	}
	for body, want := range map[string]string{
		`{"rows":[]}`: "No rows present in the request.", `{}`: "No rows present", `{"rows":[{"json":{"id":}}]}`: "Parse Error", `{"rows":`: "Parse Error", `nonsense`: "Parse Error",
		`{"rows":[{"json":{"id":1}}],"templateSuffix":"_x"}`:                               "templateSuffix is not supported by the sandbox",
		`{"rows":[{"json":{"id":1}}` + strings.Repeat(`,{"json":{"id":1}}`, 50_000) + `]}`: "too many rows present in the request, limit: 50000 row count: 50001.",
	} {
		code, resp := post(t, s, "t", body)
		if text, _ := json.Marshal(resp); code < 400 || !bytes.Contains(text, []byte(want)) {
			t.Errorf("%.40s: %d %.200s, want %s", body, code, text, want)
		}
	}
}

func TestRowErrors(t *testing.T) {
	c := start(t)
	tb := newTable(t, c, "t", flightSchema)
	wide := append(append(bq.Schema{}, flightSchema...), &bq.FieldSchema{Name: "x", Type: bq.StringFieldType})
	rows := func() []*bq.ValuesSaver {
		return []*bq.ValuesSaver{
			{Schema: flightSchema, InsertID: "a", Row: []bq.Value{"ATL", day, 1}},
			{Schema: wide, InsertID: "b", Row: []bq.Value{"MSY", day, 1, "extra"}},
			{Schema: flightSchema, InsertID: "c", Row: []bq.Value{nil, day, 1}},
		}
	}
	err := tb.Inserter().Put(within(t), rows())
	var multi bq.PutMultiError
	if !errors.As(err, &multi) || len(multi) != 3 {
		t.Fatalf("got %v", err)
	}
	for _, re := range multi {
		be := re.Errors[0].(*bq.Error)
		want := []string{"stopped ", "invalid no such field: x.", "invalid Missing required field: origin."}[re.RowIndex]
		if got := be.Reason + " " + be.Message; got != want {
			t.Errorf("row %d: got %q, want %q", re.RowIndex, got, want)
		}
	}
	count := func() int64 { return read(t, c.Query("SELECT COUNT(*) AS n FROM d.t"))[0][0].(int64) }
	if n := count(); n != 0 {
		t.Fatalf("%d rows of a request that failed", n)
	}
	ins := tb.Inserter()
	ins.SkipInvalidRows = true
	if err := ins.Put(within(t), rows()); !errors.As(err, &multi) || len(multi) != 2 {
		t.Fatalf("got %v", err)
	}
	if n := count(); n != 1 {
		t.Fatalf("%d rows, want 1", n)
	}
	ins.IgnoreUnknownValues = true
	if err := ins.Put(within(t), rows()); !errors.As(err, &multi) || len(multi) != 1 {
		t.Fatalf("got %v", err)
	}
	if n := count(); n != 2 { // a is known already
		t.Fatalf("%d rows, want 2", n)
	}
	failsWith(t, c.Dataset("d").Table("gone").Inserter().Put(within(t), rows()), 404, "notFound", "Table kappa-test:d.gone")
}

// TestDeduplication: rows with an insert id that was seen lately are dropped;
// rows without one are not.
func TestDeduplication(t *testing.T) {
	c := start(t)
	tb := newTable(t, c, "t", flightSchema)
	put := func(ids ...string) {
		t.Helper()
		var rows []*bq.ValuesSaver
		for _, id := range ids {
			rows = append(rows, &bq.ValuesSaver{Schema: flightSchema, InsertID: id, Row: []bq.Value{"ATL", day, 1}})
		}
		must(t, tb.Inserter().Put(within(t), rows))
	}
	put("a", "b", "a")
	put("b", "c")
	put(bq.NoDedupeID, bq.NoDedupeID)
	if n := read(t, c.Query("SELECT COUNT(*) AS n FROM d.t"))[0][0]; n != int64(5) {
		t.Errorf("%d rows, want 5", n)
	}
	// The ids belong to the table.
	other := newTable(t, c, "u", flightSchema)
	must(t, other.Inserter().Put(within(t), &bq.ValuesSaver{Schema: flightSchema, InsertID: "a", Row: []bq.Value{"ATL", day, 1}}))
	if n := read(t, c.Query("SELECT COUNT(*) AS n FROM d.u"))[0][0]; n != int64(1) {
		t.Errorf("%d rows, want 1", n)
	}
}

// TestConcurrentInserts: every row of many requests at once is there exactly
// once, though each is sent twice, while queries and schema changes run.
func TestConcurrentInserts(t *testing.T) {
	c := start(t)
	tb := newTable(t, c, "t", flightSchema)
	const writers, requests, size = 6, 8, 100
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for r := range requests {
				var rows []*bq.ValuesSaver
				for i := range size {
					id := fmt.Sprint(w/2, "-", r, "-", i) // two writers send the same
					rows = append(rows, &bq.ValuesSaver{Schema: flightSchema, InsertID: id, Row: []bq.Value{id, day, 1}})
				}
				if err := tb.Inserter().Put(t.Context(), rows); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			if _, err := tryRead(t, c.Query("SELECT origin, COUNT(*) AS n FROM d.t GROUP BY origin HAVING COUNT(*) > 1")); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		schema := append(bq.Schema{}, flightSchema...)
		for i := range 3 {
			schema = append(schema, &bq.FieldSchema{Name: fmt.Sprint("x", i), Type: bq.StringFieldType})
			if _, err := tb.Update(t.Context(), bq.TableMetadataToUpdate{Schema: schema}, ""); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	rows := read(t, c.Query("SELECT COUNT(*) AS n, COUNT(DISTINCT origin) AS d FROM d.t"))
	if want := int64(writers / 2 * requests * size); rows[0][0] != want || rows[0][1] != want {
		t.Errorf("got %v, want %d", rows, want)
	}
}

// BenchmarkInsertAll sends 500 rows of a raw table in each request, from four
// connections.
func BenchmarkInsertAll(b *testing.B) {
	s := newServer(b)
	c := connect(b, s)
	schema := bq.Schema{{Name: "event_id", Type: bq.StringFieldType, Required: true}, {Name: "message_id", Type: bq.StringFieldType, Required: true},
		{Name: "event_time", Type: bq.TimestampFieldType, Required: true}, {Name: "source_time", Type: bq.TimestampFieldType, Required: true},
		{Name: "position", Type: bq.StringFieldType, Required: true}, {Name: "origin", Type: bq.StringFieldType}, {Name: "delay", Type: bq.IntegerFieldType}}
	newTable(b, c, "t", schema)
	url := "http://" + s.Addr() + "/bigquery/v2/projects/" + project + "/datasets/d/tables/t/insertAll"
	var n, mu = 0, sync.Mutex{}
	b.SetParallelism(2)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		var body bytes.Buffer
		for pb.Next() {
			mu.Lock()
			n++
			req := n
			mu.Unlock()
			body.Reset()
			body.WriteString(`{"rows":[`)
			for i := range 500 {
				if i > 0 {
					body.WriteByte(',')
				}
				fmt.Fprintf(&body, `{"insertId":"%d-%d","json":{"event_id":"7c0b8a3e-0000-5000-8000-%012d","message_id":"%d","event_time":"2001-01-08T00:01:00Z","source_time":"2001-01-08T00:04:00.123456Z","position":"c/flights/3/%d","origin":"ATL","delay":%d}}`, req, i, req*500+i, req*500+i, i, i)
			}
			body.WriteString(`]}`)
			resp, err := http.Post(url, "application/json", &body)
			if err != nil || resp.StatusCode != 200 {
				b.Error(err, resp)
				return
			}
			resp.Body.Close()
		}
	})
	b.ReportMetric(float64(b.N)*500/b.Elapsed().Seconds(), "rows/s")
}

// TestGroupingWhileAppending: grouping by small integers, which DuckDB plans by
// the column's statistics, while rows with new values arrive.
func TestGroupingWhileAppending(t *testing.T) {
	c := start(t)
	tb := newTable(t, c, "t", flightSchema)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := 0; i < 150; i++ {
				var rows []*bq.ValuesSaver
				for n := range 40 {
					rows = append(rows, &bq.ValuesSaver{Schema: flightSchema, Row: []bq.Value{fmt.Sprint(n), day.Add(time.Duration(i) * time.Hour), i*2 + w}})
				}
				if err := tb.Inserter().Put(t.Context(), rows); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for ctx.Err() == nil {
				rows, err := tryRead(t, c.Query("SELECT flights, COUNT(*) AS n, MIN(window_start) AS w FROM d.t GROUP BY flights"))
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range rows {
					if r[1] != int64(40) {
						t.Errorf("part of a request is visible: %v", r)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	cancel()
	readers.Wait()
}
