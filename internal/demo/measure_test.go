package demo

import (
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/bigquery/bigquerytest"
)

func TestPercentile(t *testing.T) {
	var l latencies
	for i := range 200 {
		l = append(l, time.Duration(i+1)*time.Second)
	}
	for p, want := range map[float64]time.Duration{50: 100 * time.Second, 99: 198 * time.Second, 100: 200 * time.Second, 0: time.Second} {
		if got := l.percentile(p); got != want {
			t.Errorf("p%v = %s, want %s", p, got, want)
		}
	}
	if got := (latencies{}).percentile(99); got != 0 {
		t.Errorf("p99 of nothing = %s", got)
	}
	if got := l[:1].percentile(1); got != time.Second {
		t.Errorf("p1 of one = %s", got)
	}
}

func TestDuplicatePercent(t *testing.T) {
	if got := (deliveries{Deliveries: 200, Events: 198}).duplicatePercent(); got != 1 {
		t.Errorf("got %v, want 1", got)
	}
	if got := (deliveries{}).duplicatePercent(); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestPercent(t *testing.T) {
	for _, tc := range []struct {
		part, whole int64
		want        float64
	}{{15728, 16459, 95.5586}, {731, 731, 100}, {999_999_999, 1_000_000_000, 99.9999}, {0, 5, 0}, {0, 0, 0}} {
		if got := percent(tc.part, tc.whole); got != tc.want {
			t.Errorf("percent(%d, %d) = %v, want %v", tc.part, tc.whole, got, tc.want)
		}
	}
}

// Events are counted by the reader's rule: each pane once, of the writers that
// count in its window.
func TestCounted(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	client, _ := bigquerytest.Start(t, "kappa-demo", "kappa")
	agg := jobspecs.Aggregation{Name: "flights", Dimensions: []string{"origin"}, Table: "stream_flights", Measures: []jobspecs.Measure{{Name: "flights", Type: "count"}}}
	m := meter{client: client, history: history.New(client, "kappa"), spec: jobspecs.StreamJobSpec{Platform: jobspecs.Platform{Project: "kappa-demo"}, Aggregations: []jobspecs.Aggregation{agg},
		Sinks: jobspecs.Sinks{BigQuery: jobspecs.BigQuerySink{Dataset: "kappa"}}}}
	ds := client.Dataset("kappa")
	stream := tables.Aggregate(agg, jobspecs.Event{Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}}})
	for _, table := range []tables.Table{tables.GenerationsTable(), stream} {
		must(ds.Table(table.Name).Create(t.Context(), table.Metadata()))
	}
	start := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	hour := func(n int) time.Time { return start.Add(time.Duration(n) * time.Hour) }
	var rows []*bigquery.ValuesSaver
	pane := func(writer string, hour0 int, pane, flights int64, timing string) {
		w, err := tables.ParseWriter(writer)
		must(err)
		rows = append(rows, &bigquery.ValuesSaver{Schema: stream.Schema, InsertID: fmt.Sprint(len(rows)),
			Row: []bigquery.Value{"ATL", hour(hour0), flights, w.Job, w.Generation, pane, timing, start}})
	}
	generation := func(writer, kind, state string) {
		w, err := tables.ParseWriter(writer)
		must(err)
		g := tables.Generation{Job: w.Job, Generation: w.Generation, Kind: kind, State: state, Group: "flights", RecordedAt: start, Seq: 1}
		if kind == tables.WriterBackfill {
			g.WindowFrom = bigquery.NullTimestamp{Timestamp: hour(1), Valid: true}
			g.WindowTo = bigquery.NullTimestamp{Timestamp: hour(2), Valid: true}
		}
		must(ds.Table(tables.Generations).Inserter().Put(t.Context(), g))
	}
	generation("flights-0@1", "stream", "drained")
	generation("flights-0@2", "stream", "void")
	generation("flights-0@3", "stream", "cancelled")
	generation("fill@1", "backfill", "drained")
	pane("flights-0@1", 0, 0, 3, "on_time")
	pane("flights-0@1", 0, 0, 3, "on_time") // written twice
	pane("flights-0@1", 0, 1, 2, "late")
	pane("flights-0@1", 1, 0, 70, "late") // the backfill's hour
	pane("fill@1", 1, 0, 7, "on_time")
	pane("fill@1", 0, 0, 700, "on_time") // not its hour
	pane("flights-0@2", 0, 0, 7000, "on_time")
	pane("flights-0@3", 0, 0, 7000, "on_time")
	pane("ghost@1", 0, 0, 7000, "on_time")
	must(ds.Table("stream_flights").Inserter().Put(t.Context(), rows))
	got, err := m.counted(t.Context())
	if want := (counted{Counted: 12, Late: 2}); err != nil || got != want {
		t.Errorf("counted %+v, want %+v; %v", got, want, err)
	}
}
