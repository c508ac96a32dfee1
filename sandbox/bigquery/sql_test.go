package bigquery_test

import (
	"embed"
	"fmt"
	"math"
	"path"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/option"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/bigquery"
)

// The queries that the commands of this project send, as they send them.
//
//go:embed testdata/sql/*.sql
var queries embed.FS

var (
	day    = time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	window = day.Add(7 * time.Hour)
)

// platform makes the tables of a migration with some rows in them.
func platform(t testing.TB, c *bq.Client, keyed bool) {
	t.Helper()
	ctx := within(t)
	ds := c.Dataset("kappa")
	must(t, ds.Create(ctx, nil))
	ev := jobspecs.Event{Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}, {Name: "delay", Type: "INT64"}, {Name: "distance", Type: "INT64"}}}
	agg := jobspecs.Aggregation{Name: "a", Table: "stream_flights", Dimensions: []string{"origin"}, Measures: []jobspecs.Measure{
		{Name: "flights", Type: "count"}, {Name: "delay_sum", Type: "sum"}, {Name: "distance_sum", Type: "sum"}}}
	batch := jobspecs.BatchLoadSpec{Table: "batch_flights", Keys: []jobspecs.Field{{Name: "origin", Type: "STRING"}}, Metrics: []jobspecs.Field{
		{Name: "flights", Type: "INT64"}, {Name: "delay_sum", Type: "INT64"}, {Name: "distance_sum", Type: "INT64"}}}
	if keyed {
		more := []jobspecs.Field{{Name: "gate", Type: "INT64"}, {Name: "slot", Type: "TIMESTAMP"}}
		ev.Fields = append(ev.Fields, more...)
		agg.Dimensions = append(agg.Dimensions, "gate", "slot")
		agg.Measures = []jobspecs.Measure{{Name: "flights", Type: "count"}, {Name: "delay_min", Type: "min"}, {Name: "delay_max", Type: "max"}, {Name: "distance_sum", Type: "sum"}}
		batch.Keys = append(batch.Keys, more...)
		batch.Metrics = []jobspecs.Field{{Name: "flights", Type: "INT64"}, {Name: "delay_min", Type: "INT64"}, {Name: "delay_max", Type: "INT64"}, {Name: "distance_sum", Type: "INT64"}}
	}
	for _, tb := range []tables.Table{tables.Raw("raw_flights", ev), tables.Late("late_flights", ev), tables.Aggregate(agg, ev), tables.Batch(batch),
		tables.GenerationsTable(), tables.WatermarksTable(), tables.BatchLoadsTable()} {
		must(t, ds.Table(tb.Name).Create(ctx, tb.Metadata()))
	}
	put := func(table string, rows ...map[string]bq.Value) {
		t.Helper()
		savers := make([]*bq.ValuesSaver, 0, len(rows))
		md, err := ds.Table(table).Metadata(ctx)
		must(t, err)
		for _, r := range rows {
			s := &bq.ValuesSaver{Schema: md.Schema}
			for _, f := range md.Schema {
				s.Row = append(s.Row, r[f.Name])
			}
			savers = append(savers, s)
		}
		must(t, ds.Table(table).Inserter().Put(ctx, savers))
	}
	type m = map[string]bq.Value
	put("generations", m{"job": "flights-0", "generation": 1, "kind": "stream", "job_group": "flights", "state": "open", "recorded_at": day, "seq": 1},
		m{"job": "flights-0", "generation": 1, "kind": "stream", "job_group": "flights", "state": "drained", "recorded_at": day, "seq": 2},
		m{"job": "flights-1", "generation": 1, "kind": "stream", "job_group": "flights", "state": "void", "recorded_at": day, "seq": 1})
	put("watermarks", m{"job_group": "flights", "job": "flights-0", "generation": 1, "at_maximum": true, "observed_at": day})
	put("batch_loads", m{"load": "flights", "target": "batch_flights", "range_start": day, "range_end": day.Add(4 * time.Hour), "row_count": 3, "source": "gs://b/x", "job_id": "j", "loaded_at": day})
	pane := func(origin string, flights, pane int) m {
		return m{"origin": origin, "gate": 3, "slot": day, "window_start": window, "flights": flights, "delay_sum": 10 * flights, "distance_sum": 100 * flights,
			"delay_min": -1, "delay_max": 9, "job": "flights-0", "generation": 1, "pane": pane, "timing": map[bool]string{true: "late", false: "on_time"}[pane > 0], "write_time": day}
	}
	put("stream_flights", pane("ATL", 2, 0), pane("ATL", 2, 0), pane("ATL", 1, 1), pane("MSY", 4, 0), pane("ORD", 1, 0))
	put("batch_flights",
		m{"origin": "ATL", "gate": 3, "slot": day, "window_start": window, "flights": 2, "delay_sum": 20, "distance_sum": 200, "delay_min": -1, "delay_max": 9},
		m{"origin": "MSY", "gate": 3, "slot": day, "window_start": window, "flights": 4, "delay_sum": 40, "distance_sum": 400, "delay_min": -1, "delay_max": 9})
	var raw []m
	for i := range 3 {
		raw = append(raw, m{"event_id": fmt.Sprint("e", i), "message_id": fmt.Sprint("m", i), "event_time": window.Add(time.Minute), "source_time": window.Add(time.Duration(i*90) * time.Minute),
			"publish_time": day, "write_time": day.Add(time.Duration(i) * time.Second), "position": fmt.Sprint("c/flights/0/", i), "job": "flights-0", "generation": 1,
			"origin": "ATL", "gate": 3, "slot": day, "delay": 10, "distance": 100})
	}
	put("raw_flights", append(raw, raw[0])...)
	late := m{"watermark": day}
	for k, v := range raw[2] {
		late[k] = v
	}
	put("late_flights", late)
}

// parameters have the values by which the rows of platform are found.
func parameters(sql string) []bq.QueryParameter {
	all := map[string]any{
		"from": day, "to": day.AddDate(0, 0, 1), "first": day, "last": day.AddDate(0, 0, 1), "target": "batch_flights", "group": "flights",
		"from0": day, "to0": day.Add(8 * time.Hour), "from1": day.Add(9 * time.Hour), "to1": day.Add(10 * time.Hour),
		"writers": []string{"flights-0@1"}, "size": int64(time.Hour / time.Microsecond), "cutoff": int64(2 * time.Hour / time.Microsecond),
		"windows": []time.Time{window, window}, "key0": []string{"ATL", "ORD"}, "key1": []int64{3, 3}, "key2": []time.Time{day, day},
		"null0": []bool{false, false}, "null1": []bool{false, false}, "null2": []bool{false, false},
	}
	var out []bq.QueryParameter
	for name, v := range all {
		for _, end := range []string{" ", ",", ")", "\n", "["} {
			if strings.Contains(sql+"\n", "@"+name+end) {
				out = append(out, bq.QueryParameter{Name: name, Value: v})
				break
			}
		}
	}
	return out
}

func TestQueriesOfTheProject(t *testing.T) {
	files, err := queries.ReadDir("testdata/sql")
	must(t, err)
	clients := map[bool]*bq.Client{}
	for _, keyed := range []bool{false, true} {
		clients[keyed] = demoClient(t)
		platform(t, clients[keyed], keyed)
	}
	for _, f := range files {
		t.Run(f.Name(), func(t *testing.T) {
			data, err := queries.ReadFile(path.Join("testdata/sql", f.Name()))
			must(t, err)
			c := clients[strings.HasPrefix(f.Name(), "compare-keys-")]
			q := c.Query(string(data))
			q.Parameters = parameters(q.Q)
			q.MaxBytesBilled = math.MaxInt64
			rows := read(t, q)
			if len(rows) == 0 {
				t.Error("no rows")
			}
			t.Log("\n" + show(rows))
			q.MaxBytesBilled, q.DryRun = 0, true
			job, err := q.Run(within(t))
			must(t, err)
			if n := job.LastStatus().Statistics.TotalBytesProcessed; n <= 0 {
				t.Errorf("dry run says %d bytes", n)
			}
		})
	}
}

// demoClient is a client of a server of its own in the project that the
// queries name.
func demoClient(t testing.TB) *bq.Client {
	t.Helper()
	s, err := bigquery.New(bigquery.Config{Log: quiet()})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	c, err := bq.NewClient(t.Context(), "kappa-demo", option.WithEndpoint("http://"+s.Addr()+"/bigquery/v2/"), option.WithoutAuthentication())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}
