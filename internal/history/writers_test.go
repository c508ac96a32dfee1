package history

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/tables"
)

func TestWriters(t *testing.T) {
	hour := t0.Truncate(time.Hour)
	of := func(group, job string, generation int64, kind, state string, spans ...time.Time) tables.Generation {
		g := row(generation, 1, state, 0)
		g.Group, g.Job, g.Kind = group, job, kind
		if len(spans) == 2 {
			g.WindowFrom, g.WindowTo = at(spans[0]), at(spans[1])
		}
		return g
	}
	stale := of("flights", "flights-1", 1, tables.WriterStream, tables.StateDrained)
	stale.RecordedAt = t0.Add(-time.Minute)
	l := Fold([]tables.Generation{
		of("flights", "flights-10", 1, tables.WriterStream, tables.StateDrained),
		of("flights", "flights-0", 2, tables.WriterStream, tables.StateOpen),
		of("flights", "flights-0", 1, tables.WriterStream, tables.StateDrained),
		stale, of("flights", "flights-1", 1, tables.WriterStream, tables.StateVoid), // drained, and then void
		of("flights", "flights-2", 1, tables.WriterStream, tables.StateCancelled),
		of("clicks", "clicks-0", 1, tables.WriterStream, tables.StateDrained),
		of("flights", "flights-backfill", 1, tables.WriterBackfill, tables.StateDrained, hour.Add(2*time.Hour), hour.Add(3*time.Hour)),
		of("flights", "flights-backfill", 2, tables.WriterBackfill, tables.StateDrained, hour, hour.Add(4*time.Hour)),
		of("flights", "flights-backfill", 3, tables.WriterBackfill, tables.StateDrained, hour, hour.Add(time.Hour)),
		of("flights", "flights-backfill", 4, tables.WriterBackfill, tables.StateOpen, hour, hour.Add(5*time.Hour)),
		of("flights", "flights-backfill", 5, tables.WriterBackfill, tables.StateVoid, hour, hour.Add(6*time.Hour)),
		of("clicks", "clicks-backfill", 1, tables.WriterBackfill, tables.StateDrained, hour, hour.Add(7*time.Hour)),
	})
	if diff := cmp.Diff([]string{"clicks-0@1", "flights-0@1", "flights-10@1"}, l.Predecessors()); diff != "" {
		t.Errorf("predecessors (-want +got):\n%s", diff)
	}
	wantSpans := []tables.Span{{From: hour, To: hour.Add(time.Hour)}, {From: hour, To: hour.Add(4 * time.Hour)}, {From: hour.Add(2 * time.Hour), To: hour.Add(3 * time.Hour)}}
	if diff := cmp.Diff(wantSpans, l.Replaced("flights")); diff != "" {
		t.Errorf("replaced (-want +got):\n%s", diff)
	}
	if got := l.Replaced("other"); got != nil {
		t.Errorf("replaced of a group without backfills: %v", got)
	}
	if diff := cmp.Diff([]string{"flights-0", "flights-1", "flights-10", "flights-2"}, l.Jobs("flights")); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	var counting []string
	standings := l.Standings()
	for _, s := range standings {
		if s.CountsAt(hour.Add(10 * time.Hour)) {
			counting = append(counting, s.Writer().String())
		}
	}
	if diff := cmp.Diff([]string{"clicks-0@1", "flights-0@1", "flights-0@2", "flights-10@1"}, counting); diff != "" || len(standings) != 12 {
		t.Errorf("%d standings, of which count (-want +got):\n%s", len(standings), diff)
	}
}
