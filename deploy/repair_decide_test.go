package deploy

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// repairable is a StreamJob with windows of an hour and of a day and a half.
func repairable() *jobspecs.StreamJob {
	return &jobspecs.StreamJob{Metadata: jobspecs.Metadata{Name: "flights"}, Spec: jobspecs.StreamJobSpec{Aggregations: []jobspecs.Aggregation{
		{Name: "hourly", Window: jobspecs.Duration(time.Hour)}, {Name: "long", Window: jobspecs.Duration(90 * time.Minute)},
	}}}
}

func TestRepairCheck(t *testing.T) {
	w := tables.Writer{Job: "flights-0", Generation: 1}
	foreign := repairable()
	foreign.Spec.Pipeline = jobspecs.PipelineOther
	for _, c := range []struct {
		name string
		job  *jobspecs.StreamJob
		r    Repair
		want string // empty: it is fine
	}{
		{"fine", repairable(), Repair{Void: []tables.Writer{w}, Archive: "gs://a/*"}, ""},
		{"files", repairable(), Repair{Void: []tables.Writer{w}, Files: "gs://a/*"}, ""},
		{"nothing to void", repairable(), Repair{Archive: "gs://a/*"}, "no generation to void"},
		{"twice", repairable(), Repair{Void: []tables.Writer{w, w}, Archive: "gs://a/*"}, "flights-0@1 is to be voided twice"},
		{"nothing to read", repairable(), Repair{Void: []tables.Writer{w}}, "reads one of"},
		{"a bad archive", repairable(), Repair{Void: []tables.Writer{w}, Archive: "x"}, "is not gs://"},
		{"another pipeline", foreign, Repair{Void: []tables.Writer{w}, Archive: "gs://a/*"}, "is not kappa's to read"},
	} {
		err := c.r.check(c.job)
		if c.want == "" && err != nil || c.want != "" && (exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestDecideVoid(t *testing.T) {
	row := func(job string, n int64, group, state string) tables.Generation {
		return tables.Generation{Job: job, Generation: n, Group: group, Kind: tables.WriterStream, State: state, Seq: 1}
	}
	log := history.Fold([]tables.Generation{
		row("flights-0", 1, "flights", "drained"), row("flights-0", 2, "flights", "void"), row("flights-0", 3, "flights", "cancelled"),
		row("flights-0", 4, "flights", "open"), row("fares-0", 1, "fares", "drained"),
	})
	for _, c := range []struct {
		name   string
		w      tables.Writer
		active string
		state  string
		voids  bool
		code   exit.Code
		err    string
	}{
		{name: "drained", w: tables.Writer{Job: "flights-0", Generation: 1}, active: "id-4", state: "drained", voids: true},
		{name: "void already", w: tables.Writer{Job: "flights-0", Generation: 2}, active: "id-4", state: "void"},
		{name: "cancelled: does not count either", w: tables.Writer{Job: "flights-0", Generation: 3}, state: "cancelled"},
		{name: "open, and its job has ended", w: tables.Writer{Job: "flights-0", Generation: 4}, state: "open", voids: true},
		{name: "runs", w: tables.Writer{Job: "flights-0", Generation: 4}, active: "id-4", code: exit.Environment, err: "flights-0@4 still runs (id-4)"},
		{name: "unknown generation", w: tables.Writer{Job: "flights-0", Generation: 9}, code: exit.Usage, err: "no generation flights-0@9"},
		{name: "unknown job", w: tables.Writer{Job: "flights-9", Generation: 1}, code: exit.Usage, err: "no generation flights-9@1"},
		{name: "of another group", w: tables.Writer{Job: "fares-0", Generation: 1}, code: exit.Usage, err: "a writer of fares, not of flights"},
	} {
		state, voids, err := decideVoid("flights", c.w, log, c.active)
		if c.err != "" {
			if exit.Of(err) != c.code || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: got %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil || state != c.state || voids != c.voids {
			t.Errorf("%s: %s, voids %v, %v", c.name, state, voids, err)
		}
	}
}

// The windows of a repair are those of what was written and of what was read, each
// aggregation's as a whole: windows of 60 and 90 minutes meet every three hours.
func TestWindowsOf(t *testing.T) {
	at := func(h, m int) time.Time { return hours(h).Add(time.Duration(m) * time.Minute) }
	rows := func(from, to time.Time) TouchedRows { return TouchedRows{Rows: 1, From: from, To: to} }
	for _, c := range []struct {
		name string
		rows []TouchedRows
		want tables.Span // zero: none
	}{
		{name: "nothing"},
		{name: "no rows", rows: []TouchedRows{{From: hours(0), To: hours(1)}}},
		{name: "fits", rows: []TouchedRows{rows(hours(3), hours(6))}, want: tables.Span{From: hours(3), To: hours(6)}},
		{name: "is widened", rows: []TouchedRows{rows(hours(4), hours(7))}, want: tables.Span{From: hours(3), To: hours(9)}},
		{name: "an event that left no row (raw alone)", rows: []TouchedRows{rows(hours(3), hours(6)), rows(at(2, 59), at(6, 0).Add(time.Microsecond))},
			want: tables.Span{From: hours(0), To: hours(9)}},
	} {
		span, any := windowsOf(repairable(), []RepairWriter{{}, {Tables: c.rows}})
		if any == c.want.From.IsZero() || any && cmp.Diff(c.want, span) != "" {
			t.Errorf("%s: %v, %v, want %v", c.name, any, span, c.want)
		}
		for _, a := range repairable().Spec.Aggregations {
			if any && (!aligned(span.From, a.Window.D()) || !aligned(span.To, a.Window.D())) {
				t.Errorf("%s: %v is not aligned to %s", c.name, span, a.Window)
			}
		}
	}
}

// A repair is complete if its backfill was, of all of the windows, after the
// generations were void.
func TestRepairedBy(t *testing.T) {
	at := func(n int) time.Time { return day.Add(time.Duration(n) * time.Minute) }
	void := tables.Generation{Job: "flights-0", Generation: 1, Group: "flights", Kind: tables.WriterStream, State: tables.StateVoid, RecordedAt: at(10), Seq: 2}
	fill := func(n int64, recorded int, from, to int, change ...func(*tables.Generation)) tables.Generation {
		g := tables.Generation{Job: "flights-repair", Generation: n, Group: "flights", Kind: tables.WriterBackfill, State: tables.StateDrained, RecordedAt: at(recorded), Seq: 3,
			WindowFrom: bigquery.NullTimestamp{Timestamp: hours(from), Valid: true}, WindowTo: bigquery.NullTimestamp{Timestamp: hours(to), Valid: true}}
		for _, fn := range change {
			fn(&g)
		}
		return g
	}
	span := tables.Span{From: hours(3), To: hours(6)}
	for _, c := range []struct {
		name  string
		voids bool
		fill  tables.Generation
		want  string
	}{
		{"of these windows", false, fill(1, 11, 3, 6), "flights-repair@1"},
		{"of more", false, fill(2, 11, 0, 9), "flights-repair@2"},
		{"of fewer", false, fill(1, 11, 3, 5), ""},
		{"of others", false, fill(1, 11, 4, 7), ""},
		{"before they were void", false, fill(1, 9, 3, 6), ""},
		{"they are not void yet", true, fill(1, 11, 3, 6), ""},
		{"not complete", false, fill(1, 11, 3, 6, func(g *tables.Generation) { g.State = tables.StateOpen }), ""},
		{"void itself", false, fill(1, 11, 3, 6, func(g *tables.Generation) { g.State = tables.StateVoid }), ""},
		{"a backfill, no repair", false, fill(1, 11, 3, 6, func(g *tables.Generation) { g.Job = "flights-backfill" }), ""},
		{"of another group", false, fill(1, 11, 3, 6, func(g *tables.Generation) { g.Group = "fares" }), ""},
	} {
		log := history.Fold([]tables.Generation{void, c.fill})
		if got := repairedBy(log, repairable(), []RepairWriter{{Job: "flights-0", Generation: 1, Voids: c.voids}}, span); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestPace(t *testing.T) {
	var p pace
	until := hours(10)
	at := func(n int) time.Time { return day.AddDate(1, 0, 0).Add(time.Duration(n) * time.Second) }
	for _, c := range []struct {
		name  string
		now   time.Time
		least time.Time
		want  time.Time // zero: never
	}{
		{"once: as the clock", at(0), hours(4), at(6 * 3600)},
		{"it stands still", at(60), hours(4), time.Time{}},
		{"an hour in two minutes", at(120), hours(5), at(120 + 5*120)},
		{"faster since", at(180), hours(7), at(180 + 3*60)},
	} {
		got, ok := p.next(c.now, c.least, until)
		if ok == c.want.IsZero() || ok && !got.Equal(c.want) {
			t.Errorf("%s: %v %v, want %v", c.name, got, ok, c.want)
		}
	}
}
