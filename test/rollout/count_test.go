package main

import (
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

// What is counted is what readers count: a pane once, however often it was written,
// of writers that are open or drained.
func TestCount(t *testing.T) {
	sandboxtest.Start(t)
	set, err := jobspecs.Parse("spec.yaml", specText, jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	spec := set.StreamJobs[0].Spec
	p, err := gcp.Open(spec.Platform)
	if err != nil {
		t.Fatal(err)
	}
	bq, err := p.BigQuery(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bq.Close() })
	dataset := bq.Dataset(spec.Sinks.BigQuery.Dataset)
	if err := dataset.Create(t.Context(), &bigquery.DatasetMetadata{}); err != nil {
		t.Fatal(err)
	}
	put := func(table tables.Table, rows ...[]bigquery.Value) {
		t.Helper()
		if err := dataset.Table(table.Name).Create(t.Context(), table.Metadata()); err != nil {
			t.Fatal(err)
		}
		var savers []*bigquery.ValuesSaver
		for _, r := range rows {
			savers = append(savers, &bigquery.ValuesSaver{Schema: table.Schema, Row: r})
		}
		if err := dataset.Table(table.Name).Inserter().Put(t.Context(), savers); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	pane := func(block string, digits int64, job string, generation, pane int64) []bigquery.Value {
		return []bigquery.Value{block, start, 1, digits, job, generation, pane, "on_time", start}
	}
	put(tables.Aggregate(spec.Aggregations[0], spec.Event),
		pane("0-0", 1, "events-0", 1, 0), pane("0-0", 1, "events-0", 1, 0), // a pane, written twice
		pane("0-0", 8, "events-0", 2, 0), // the next generation
		pane("0-0", 8, "events-0", 3, 0), // is void
		pane("1-0", 2, "events-1", 1, 0), // counted twice
	)
	generation := func(job string, n int64, state string, seq int64) []bigquery.Value {
		return []bigquery.Value{job, n, "stream", state, nil, nil, start, seq, "events", nil, nil, nil, nil}
	}
	put(tables.GenerationsTable(),
		generation("events-0", 1, "open", 1), generation("events-0", 1, "drained", 2), generation("events-0", 2, "open", 1),
		generation("events-0", 3, "open", 1), generation("events-0", 3, "void", 2), generation("events-1", 1, "drained", 1),
	)
	delivery := func(id, job string, at time.Duration) []bigquery.Value {
		return []bigquery.Value{"event", id, start, start, start, start.Add(at), "c/t/0/0", job, 1, nil, nil}
	}
	put(tables.Raw(spec.Sinks.BigQuery.Raw, spec.Event),
		delivery("1", "events-0", 0), delivery("2", "events-0", 2*time.Second), delivery("2", "events-0", 2*time.Second),
		delivery("3", "events-0", 9*time.Second), delivery("4", "events-1", time.Second), delivery("5", "events-0", 100*time.Second),
	)
	shards := []*shard{{index: 0}, {index: 1}}
	shards[0].events.Store(2)
	shards[1].events.Store(1)
	got, err := count(t.Context(), bq, shards)
	want := []tally{{counted: 2}, {counted: 2, double: 1, examples: []string{"event 0 counted 2 times"}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(tally{})); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if n, err := arrived(t.Context(), bq); err != nil || n != 5 {
		t.Errorf("%d messages, %v", n, err)
	}
	gaps, err := pauses(t.Context(), bq, start, start.Add(8*time.Second))
	if err != nil || gaps["events-0"].seconds != 7 || len(gaps) != 1 {
		t.Errorf("pauses %+v, %v", gaps, err)
	}
}
