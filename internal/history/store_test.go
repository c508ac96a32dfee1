package history_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/sandbox/bigquery/bigquerytest"
)

func TestMain(m *testing.M) {
	// The Storage client's opencensus starts this one in an init function.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

const (
	project = "kappa-test"
	dataset = "kappa"
)

// open returns a client of an empty BigQuery that has the dataset.
func open(t *testing.T) *bigquery.Client {
	t.Helper()
	client, _ := bigquerytest.Start(t, project, dataset)
	return client
}

func generation(n int64, state, id string) tables.Generation {
	return tables.Generation{
		Job: "flights-0", Generation: n, Kind: tables.WriterStream, State: state, Group: "flights",
		DataflowJobID: bigquery.NullString{StringVal: id, Valid: id != ""},
	}
}

func appendRow(t *testing.T, s *history.Store, g tables.Generation) tables.Generation {
	t.Helper()
	row, err := s.Append(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func watermarks(t *testing.T, client *bigquery.Client) []tables.Watermark {
	t.Helper()
	it := client.Dataset(dataset).Table(tables.Watermarks).Read(t.Context())
	var rows []tables.Watermark
	for {
		var w tables.Watermark
		err := it.Next(&w)
		if errors.Is(err, iterator.Done) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, w)
	}
}

func TestGenerations(t *testing.T) {
	client := open(t)
	s := history.New(client, dataset)
	for range 2 { // twice: what is there is left alone
		if err := s.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := s.Latest(t.Context(), "flights-0"); ok || err != nil {
		t.Errorf("latest of nothing: %v, %v", ok, err)
	}
	appendRow(t, s, generation(1, tables.StateOpen, ""))
	withID := appendRow(t, s, generation(1, tables.StateOpen, "id-1"))
	if withID.Seq != 2 {
		t.Errorf("row %+v", withID)
	}
	if again := appendRow(t, s, generation(1, tables.StateOpen, "id-1")); again.Seq != 2 || !again.RecordedAt.Equal(withID.RecordedAt) {
		t.Errorf("said twice: %+v", again)
	}
	appendRow(t, s, generation(1, tables.StateVoid, ""))
	next := generation(2, tables.StateOpen, "")
	next.Supersedes = bigquery.NullString{StringVal: history.FormatWriter("flights-0", 1), Valid: true}
	appendRow(t, s, next)

	// Another process sees the same.
	log, err := history.New(client, dataset).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gs := log.Generations("flights-0")
	if len(gs) != 2 || gs[0].State != tables.StateVoid || gs[0].DataflowJobID.StringVal != "id-1" || gs[0].Seq != 3 ||
		gs[1].State != tables.StateOpen || gs[1].Supersedes.StringVal != "flights-0@1" || log.NextGeneration("flights-0") != 3 {
		t.Errorf("log %+v", gs)
	}
	if _, err := s.Append(t.Context(), generation(1, tables.StateOpen, "")); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("a void generation opened again: %v", err)
	}
}

func TestRecordDrained(t *testing.T) {
	client := open(t)
	s := history.New(client, dataset)
	if err := s.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendRow(t, s, generation(1, tables.StateOpen, "id-1"))
	appendRow(t, s, generation(2, tables.StateOpen, ""))
	last := time.Date(2001, 1, 14, 23, 0, 0, 0, time.UTC)
	for range 2 {
		if err := s.RecordDrained(t.Context(), "flights", "flights-0", "id-1", 0, last); err != nil {
			t.Fatal(err)
		}
	}
	// An id that was never recorded: the label's generation.
	if err := s.RecordDrained(t.Context(), "flights", "flights-0", "id-2", 2, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id         string
		generation int64
	}{{"id-9", 0}, {"id-9", 3}, {"id-9", 1}, {"", 0}} {
		if err := s.RecordDrained(t.Context(), "flights", "flights-0", c.id, c.generation, last); err == nil {
			t.Errorf("recorded job %q as generation %d", c.id, c.generation)
		}
	}
	log, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range log.Generations("flights-0") {
		if g.State != tables.StateDrained || !g.DataflowJobID.Valid {
			t.Errorf("generation %+v", g)
		}
	}
	byGeneration := map[int64]tables.Watermark{}
	rows := watermarks(t, client)
	if len(rows) != 2 {
		t.Errorf("%d watermarks, want one for each generation", len(rows))
	}
	for _, w := range rows {
		byGeneration[w.Generation] = w
	}
	if w := byGeneration[1]; w.Group != "flights" || w.Job != "flights-0" || !w.AtMaximum || !w.Watermark.Timestamp.Equal(last) {
		t.Errorf("watermark of generation 1: %+v", w)
	}
	if w := byGeneration[2]; !w.AtMaximum || w.Watermark.Valid {
		t.Errorf("watermark of generation 2: %+v", w)
	}
}

// Jobs that drain at the same time are recorded at the same time.
func TestRecordDrainedTogether(t *testing.T) {
	s := history.New(open(t), dataset)
	if err := s.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	jobs := []string{"flights-0", "flights-1", "flights-2"}
	for _, job := range jobs {
		g := generation(1, tables.StateOpen, "id-"+job)
		g.Job = job
		appendRow(t, s, g)
	}
	var wg sync.WaitGroup
	for _, job := range jobs {
		wg.Go(func() {
			if err := s.RecordDrained(t.Context(), "flights", job, "id-"+job, 1, time.Time{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	log, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range jobs {
		if g, ok := log.Latest(job); !ok || g.State != tables.StateDrained {
			t.Errorf("%s: %+v", job, g)
		}
	}
}

func TestPublishWatermarks(t *testing.T) {
	client := open(t)
	s := history.New(client, dataset)
	if err := s.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.PublishWatermarks(t.Context()); err != nil {
		t.Errorf("nothing: %v", err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC)
	want := tables.Watermark{Group: "flights", Job: "flights-0", Generation: 1, ObservedAt: at,
		Watermark: bigquery.NullTimestamp{Timestamp: at.Add(-time.Hour).Truncate(time.Microsecond), Valid: true}}
	if err := s.PublishWatermarks(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	want.ObservedAt = at.Truncate(time.Microsecond)
	if diff := cmp.Diff([]tables.Watermark{want}, watermarks(t, client)); diff != "" {
		t.Errorf("watermarks (-want +got):\n%s", diff)
	}
}

// invariant D3: what cannot be read is an error, not an empty history.
func TestUnreadable(t *testing.T) {
	s := history.New(open(t), dataset) // without Ensure: no tables
	if _, _, err := s.Latest(t.Context(), "flights-0"); exit.Of(err) != exit.Environment {
		t.Errorf("latest: %v", err)
	}
	if _, err := s.Append(t.Context(), generation(1, tables.StateOpen, "")); exit.Of(err) != exit.Environment {
		t.Errorf("append: %v", err)
	}
	if err := s.PublishWatermarks(t.Context(), tables.Watermark{Job: "flights-0", Generation: 1}); exit.Of(err) != exit.Environment {
		t.Errorf("publish: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Read(ctx); exit.Of(err) == exit.OK {
		t.Error("a read that was cancelled is no empty history")
	}
}
