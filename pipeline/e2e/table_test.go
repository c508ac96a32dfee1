package e2e

import (
	"log/slog"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/pipeline"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

type anyRow map[string]bigquery.Value

func (r anyRow) Save() (map[string]bigquery.Value, string, error) { return r, "", nil }

// A backfill reads a raw table by days: each event once by its id, from a writer
// that counts if there is one, and nothing of what it has written itself.
func TestBackfillFromTable(t *testing.T) {
	sandboxtest.Start(t)
	set, err := jobspecs.Parse("stream.yaml", []byte(spec), jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	job := set.StreamJobs[0]
	platform, err := gcp.Open(job.Spec.Platform)
	if err != nil {
		t.Fatal(err)
	}
	bq, bt := create(t, platform, job)
	day := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	row := func(event string, at time.Duration, writer string, published, delay int) anyRow {
		w, err := tables.ParseWriter(writer)
		if err != nil {
			t.Fatal(err)
		}
		return anyRow{"event_id": event, "message_id": writer + event, "event_time": day.Add(at), "source_time": day, "publish_time": day.Add(time.Duration(published) * time.Second),
			"write_time": day, "position": "c/t/0/1", "job": w.Job, "generation": w.Generation, "origin": "ATL", "delay": delay, "due": day.Add(at)}
	}
	rows := []anyRow{
		row("a", time.Hour, "flights-0@1", 1, 7), row("a", time.Hour, "flights-0@1", 2, 7), // delivered twice
		row("b", time.Hour, "void-0@1", 1, 100), row("b", time.Hour, "flights-0@1", 9, 11), // misread by a writer that does not count
		row("c", 23*time.Hour, "void-0@1", 1, 13), // read by no other
		row("d", 25*time.Hour, "flights-0@1", 1, 17),
		row("e", 25*time.Hour, "flights-fill@2", 1, 1000), // of the backfill itself: it began, and was killed
		row("f", 26*time.Hour, "flights-0@1", 1, 1000),    // after the span
		row("g", -time.Second, "flights-0@1", 1, 1000),    // before
		row("", time.Hour, "flights-0@1", 1, 1000),        // could not be aggregated
	}
	rows[5]["origin"], rows[5]["delay"], rows[5]["due"] = nil, nil, nil
	if err := bq.Dataset("kappa").Table("raw_flights").Inserter().Put(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	plan, err := pipeline.NewPlan(job, "flights-fill", 2)
	if err != nil {
		t.Fatal(err)
	}
	plan.Within(tables.Span{From: day, To: day.Add(26 * time.Hour)})
	if err := plan.FindTable("kappa.raw_flights", []string{"flights-0@1"}, 1<<30); err != nil {
		t.Fatal(err)
	}
	if err := pipeline.Run(t.Context(), pipeline.Config{Plan: plan, Runner: pipeline.Prism, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	want := []string{"ATL 2001-01-08 01 2 18 11", "ATL 2001-01-08 23 1 13 13", "null 2001-01-09 01 1 null null"}
	if diff := cmp.Diff(want, cells(t, bt)); diff != "" {
		t.Errorf("Bigtable (-want +got)\n%s", diff)
	}
	// What it has read is evidence of its own, with the message that it was.
	got := query(t, bq, "SELECT CONCAT(event_id, ' ', message_id) AS line FROM kappa.raw_flights WHERE job = 'flights-fill' AND event_id != 'e' ORDER BY line")
	if diff := cmp.Diff([]string{"a flights-0@1a", "b flights-0@1b", "c void-0@1c", "d flights-0@1d"}, got); diff != "" {
		t.Errorf("raw rows (-want +got)\n%s", diff)
	}
}
