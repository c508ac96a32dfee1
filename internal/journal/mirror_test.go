package journal_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

// sheet is a table in memory that can be away.
type sheet struct {
	mu      sync.Mutex
	away    bool
	entries []string
	whole   map[string]bool
}

func (s *sheet) Put(_ context.Context, entries []journal.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errors.New("away")
	}
	for _, e := range entries {
		s.entries = append(s.entries, fmt.Sprint(e.Deployment, " ", e.Seq))
	}
	return nil
}

func (s *sheet) Whole(context.Context) (map[string]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errors.New("away")
	}
	return s.whole, nil
}

func (s *sheet) set(away bool, whole ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away, s.whole = away, map[string]bool{}
	for _, id := range whole {
		s.whole[id] = true
	}
}

// What the mirror missed is sent when the next deployment ends, in order and no
// more than that; a mirror that is away stops nobody.
func TestMirror(t *testing.T) {
	w := local(t)
	ctx, table := w.Context(), &sheet{}
	var warnings strings.Builder
	log := slog.New(slog.NewTextHandler(&warnings, nil))
	deploy := func() string {
		l := w.acquire(w.open("ann"))
		finish := l.Mirror(ctx, table, log)
		d := must(l.Begin(ctx, journal.Entry{Command: journal.CommandApply}))(w)
		if err := d.Append(ctx, journal.Entry{Kind: journal.KindStep}); err != nil {
			w.Fatal(err)
		}
		if err := d.End(ctx, journal.OutcomeDone, nil, nil); err != nil {
			w.Fatal(err)
		}
		finish(true)
		if err := l.Release(ctx); err != nil {
			w.Fatal(err)
		}
		return d.ID
	}
	table.set(true)
	first := deploy()
	if !strings.Contains(warnings.String(), "is not mirrored in full") || len(table.entries) != 0 {
		t.Errorf("warned of %q", warnings.String())
	}
	table.set(false)
	second := deploy()
	want := []string{second + " 1", second + " 2", second + " 3"}
	for _, id := range []string{first, second} { // which it says that it has not
		want = append(want, id+" 1", id+" 2", id+" 3")
	}
	if diff := cmp.Diff(want, table.entries); diff != "" {
		t.Errorf("mirrored (-want +got):\n%s", diff)
	}
	table.entries = nil
	table.set(false, first, second)
	third := deploy()
	if diff := cmp.Diff([]string{third + " 1", third + " 2", third + " 3", third + " 1", third + " 2", third + " 3"}, table.entries); diff != "" {
		t.Errorf("mirrored (-want +got):\n%s", diff)
	}
	l := w.acquire(w.open("ann"))
	table.entries = nil
	l.Mirror(ctx, table, log)(false) // nothing was done
	if err := l.Release(ctx); err != nil || len(table.entries) != 0 {
		t.Errorf("mirrored %v, %v", table.entries, err)
	}
}

// historySQL is the documented query.
const historySQL = `
SELECT * FROM kappa.deployments
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY job_group, deployment, seq ORDER BY recorded_at) = 1
ORDER BY deployment, seq, job_group`

// The deployments table has what the journal has, whatever was sent twice.
func TestRows(t *testing.T) {
	sandboxtest.Start(t)
	ctx := t.Context()
	p := must(gcp.Open(jobspecs.Platform{Environment: "sandbox", Project: "kappa-demo"}))(t)
	client := must(p.BigQuery(ctx))(t)
	t.Cleanup(func() { client.Close() })
	rows := journal.Rows(client, "kappa", "flights")
	if err := rows.Put(ctx, []journal.Entry{{}}); err == nil {
		t.Error("written to a table that is not there")
	}
	if _, err := rows.Whole(ctx); err == nil {
		t.Error("read a table that is not there")
	}
	ds := client.Dataset("kappa")
	if err := ds.Create(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if err := ds.Table(tables.Deployments).Create(ctx, tables.DeploymentsTable().Metadata()); err != nil {
		t.Fatal(err)
	}
	entries := []journal.Entry{
		{Deployment: "d1", Seq: 1, At: noon, By: "ann", Kind: journal.KindBegin, Command: "apply", Reason: "why", Spec: "abc", Template: "gs://t"},
		{Deployment: "d1", Seq: 2, At: noon, By: "ann", Kind: journal.KindStep, Step: "launching", Job: "flights-0", Generation: 3, DataflowID: "id", Text: "text"},
		{Deployment: "d1", Seq: 3, At: noon, By: "ann", Kind: journal.KindEnd, Outcome: "failed", Error: "no quota"},
		{Deployment: "d2", Seq: 1, At: noon, By: "ann", Kind: journal.KindBegin},
		{Deployment: "d3", Seq: 1, At: noon, By: "ann", Kind: journal.KindBegin},
		{Deployment: "d3", Seq: 3, At: noon, By: "ann", Kind: journal.KindEnd},
	}
	for range 2 {
		if err := rows.Put(ctx, entries); err != nil {
			t.Fatal(err)
		}
	}
	if err := journal.Rows(client, "kappa", "trains").Put(ctx, entries[3:4]); err != nil {
		t.Fatal(err)
	}
	if whole := must(rows.Whole(ctx))(t); !cmp.Equal(map[string]bool{"d1": true}, whole) {
		t.Errorf("whole: %v", whole)
	}
	it := must(client.Query(historySQL).Read(ctx))(t)
	var got []tables.Deployment
	for {
		var d tables.Deployment
		err := it.Next(&d)
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d)
	}
	text := func(s string) bigquery.NullString { return bigquery.NullString{StringVal: s, Valid: true} }
	row := func(group, id string, seq int64, kind string) tables.Deployment {
		return tables.Deployment{Group: group, Deployment: id, Seq: seq, RecordedAt: noon, RecordedBy: "ann", Kind: kind}
	}
	want := []tables.Deployment{
		row("flights", "d1", 1, "begin"), row("flights", "d1", 2, "step"), row("flights", "d1", 3, "end"),
		row("flights", "d2", 1, "begin"), row("trains", "d2", 1, "begin"), row("flights", "d3", 1, "begin"), row("flights", "d3", 3, "end"),
	}
	want[0].Command, want[0].Reason, want[0].Spec, want[0].Template = text("apply"), text("why"), text("abc"), text("gs://t")
	want[1].Step, want[1].Job, want[1].DataflowJobID, want[1].Text = text("launching"), text("flights-0"), text("id"), text("text")
	want[1].Generation = bigquery.NullInt64{Int64: 3, Valid: true}
	want[2].Outcome, want[2].Error = text("failed"), text("no quota")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}
