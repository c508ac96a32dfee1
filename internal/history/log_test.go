package history

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/tables"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func row(gen, seq int64, state string, at time.Duration) tables.Generation {
	return tables.Generation{Job: "flights-0", Generation: gen, Kind: tables.WriterStream, State: state, Group: "flights", RecordedAt: t0.Add(at), Seq: seq}
}

func null(s string) bigquery.NullString { return bigquery.NullString{StringVal: s, Valid: s != ""} }

func at(t time.Time) bigquery.NullTimestamp { return bigquery.NullTimestamp{Timestamp: t, Valid: true} }

func TestFold(t *testing.T) {
	l := Fold([]tables.Generation{
		row(2, 1, tables.StateOpen, 3*time.Minute),
		row(1, 2, tables.StateDrained, 2*time.Minute),
		row(1, 1, tables.StateOpen, 0),
		row(1, 2, tables.StateDrained, 2*time.Minute), // written twice
		row(2, 2, tables.StateVoid, 3*time.Minute),    // same time: seq decides
	})
	want := []tables.Generation{row(1, 2, tables.StateDrained, 2*time.Minute), row(2, 2, tables.StateVoid, 3*time.Minute)}
	if diff := cmp.Diff(want, l.Generations("flights-0")); diff != "" {
		t.Errorf("generations (-want +got):\n%s", diff)
	}
	if g, ok := l.Latest("flights-0"); !ok || g.Generation != 2 || g.State != tables.StateVoid {
		t.Errorf("latest %+v, %v", g, ok)
	}
	if n := l.NextGeneration("flights-0"); n != 3 {
		t.Errorf("next generation %d, want 3", n)
	}
	if n := l.NextGeneration("flights-1"); n != 1 {
		t.Errorf("first generation %d, want 1", n)
	}
	if _, ok := l.Latest("flights-1"); ok {
		t.Error("a job without rows has a latest one")
	}
}

func TestNext(t *testing.T) {
	open := row(1, 1, tables.StateOpen, 0)
	withID := open
	withID.DataflowJobID = null("id-1")
	withID.Supersedes = null("flights-0@7")
	drained := row(1, 2, tables.StateDrained, 0)
	void := row(1, 2, tables.StateVoid, 0)
	say := func(state, id string) tables.Generation {
		return tables.Generation{Job: "flights-0", Generation: 1, Kind: tables.WriterStream, State: state, Group: "flights", DataflowJobID: null(id)}
	}
	with := func(g tables.Generation, change func(*tables.Generation)) tables.Generation {
		change(&g)
		return g
	}
	cut := func(n int64, watermark time.Time) func(*tables.Generation) {
		return func(g *tables.Generation) {
			g.Watermark, g.WindowsCut = at(watermark), bigquery.NullInt64{Int64: n, Valid: true}
		}
	}
	cutDrained := with(drained, cut(7, t0))
	backfill := func(g tables.Generation, from, to time.Time) tables.Generation {
		g.Kind, g.WindowFrom, g.WindowTo = tables.WriterBackfill, at(from), at(to)
		return g
	}
	hour := t0.Truncate(time.Hour)
	openBackfill := backfill(open, hour, hour.Add(time.Hour))
	for _, c := range []struct {
		name  string
		log   []tables.Generation
		say   tables.Generation
		now   time.Duration
		want  tables.Generation
		known bool
		err   string
	}{
		{name: "first row", say: say(tables.StateOpen, ""), now: time.Minute, want: row(1, 1, tables.StateOpen, time.Minute)},
		{name: "said before", log: []tables.Generation{open}, say: say(tables.StateOpen, ""), now: time.Minute, want: open, known: true},
		{name: "said before, with the id that is known", log: []tables.Generation{withID}, say: say(tables.StateOpen, ""), now: time.Minute, want: withID, known: true},
		{name: "id learned", log: []tables.Generation{open}, say: say(tables.StateOpen, "id-1"), now: time.Minute, want: func() tables.Generation {
			g := row(1, 2, tables.StateOpen, time.Minute)
			g.DataflowJobID = null("id-1")
			return g
		}()},
		{name: "drained keeps what is known", log: []tables.Generation{withID}, say: say(tables.StateDrained, ""), now: time.Minute, want: func() tables.Generation {
			g := row(1, 2, tables.StateDrained, time.Minute)
			g.DataflowJobID, g.Supersedes = null("id-1"), null("flights-0@7")
			return g
		}()},
		{name: "a clock that is behind", log: []tables.Generation{open}, say: say(tables.StateVoid, ""), now: -time.Hour, want: row(1, 2, tables.StateVoid, time.Microsecond)},
		{name: "nanoseconds are not kept", say: say(tables.StateOpen, ""), now: 1999, want: row(1, 1, tables.StateOpen, time.Microsecond)},
		{name: "drained may become void", log: []tables.Generation{drained}, say: say(tables.StateVoid, ""), now: time.Minute, want: row(1, 3, tables.StateVoid, time.Minute)},
		{name: "drained does not open again", log: []tables.Generation{drained}, say: say(tables.StateOpen, ""), err: "has ended stays so"},
		{name: "drained is not cancelled", log: []tables.Generation{drained}, say: say(tables.StateCancelled, ""), err: "has ended stays so"},
		{name: "void is not drained", log: []tables.Generation{void}, say: say(tables.StateDrained, ""), err: "has ended stays so"},
		{name: "another Dataflow job", log: []tables.Generation{withID}, say: say(tables.StateOpen, "id-2"), err: "it is id-1"},
		{name: "another kind", log: []tables.Generation{open}, say: tables.Generation{Job: "flights-0", Generation: 1, Kind: tables.WriterBackfill, State: tables.StateOpen}, err: "it is a stream"},
		{name: "group learned from the log", log: []tables.Generation{open}, now: time.Minute,
			say:  with(say(tables.StateDrained, ""), func(g *tables.Generation) { g.Group = "" }),
			want: row(1, 2, tables.StateDrained, time.Minute)},
		{name: "no group", say: with(say(tables.StateOpen, ""), func(g *tables.Generation) { g.Group = "" }), err: "no job group"},
		{name: "another group", log: []tables.Generation{open}, say: with(say(tables.StateDrained, ""), func(g *tables.Generation) { g.Group = "clicks" }), err: "it belongs to flights"},
		{name: "drained with what it cut", log: []tables.Generation{open}, now: time.Minute,
			say:  with(say(tables.StateDrained, ""), cut(7, t0.Add(999))), // nanoseconds
			want: with(row(1, 2, tables.StateDrained, time.Minute), cut(7, t0))},
		{name: "what was cut is kept", log: []tables.Generation{cutDrained}, say: say(tables.StateVoid, ""), now: time.Minute,
			want: with(row(1, 3, tables.StateVoid, time.Minute), cut(7, t0))},
		{name: "what was cut is said twice, by one who saw less", log: []tables.Generation{cutDrained}, say: with(say(tables.StateDrained, ""), cut(9, t0.Add(time.Hour))),
			want: cutDrained, known: true},
		{name: "what was cut is learned later", log: []tables.Generation{drained}, say: with(say(tables.StateDrained, ""), cut(7, t0)), now: time.Minute,
			want: with(row(1, 3, tables.StateDrained, time.Minute), cut(7, t0))},
		{name: "first row of a backfill", say: backfill(say(tables.StateOpen, ""), hour, hour.Add(time.Hour)),
			want: backfill(row(1, 1, tables.StateOpen, 0), hour, hour.Add(time.Hour))},
		{name: "a backfill keeps its windows", log: []tables.Generation{openBackfill}, now: time.Minute,
			say:  with(say(tables.StateDrained, ""), func(g *tables.Generation) { g.Kind = tables.WriterBackfill }),
			want: backfill(row(1, 2, tables.StateDrained, time.Minute), hour, hour.Add(time.Hour))},
		{name: "a backfill said twice, in another zone", log: []tables.Generation{openBackfill},
			say:  backfill(say(tables.StateOpen, ""), hour.In(time.FixedZone("", 3600)), hour.Add(time.Hour)),
			want: openBackfill, known: true},
		{name: "a backfill of other windows", log: []tables.Generation{openBackfill}, say: backfill(say(tables.StateOpen, ""), hour, hour.Add(2*time.Hour)), err: "with other windows"},
		{name: "a backfill without windows", say: with(say(tables.StateOpen, ""), func(g *tables.Generation) { g.Kind = tables.WriterBackfill }), err: "needs a span"},
		{name: "a backfill without an end", say: with(say(tables.StateOpen, ""), func(g *tables.Generation) { g.Kind, g.WindowFrom = tables.WriterBackfill, at(hour) }), err: "needs a span"},
		{name: "a backfill of nothing", say: backfill(say(tables.StateOpen, ""), hour, hour), err: "needs a span"},
		{name: "a stream with windows", say: with(say(tables.StateOpen, ""), func(g *tables.Generation) { g.WindowTo = at(hour) }), err: "has no span"},
		{name: "no generation", say: tables.Generation{Job: "flights-0", Kind: tables.WriterStream, State: tables.StateOpen}, err: "incomplete"},
		{name: "unknown state", say: say("running", ""), err: "incomplete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, known, err := Fold(c.log).next(c.say, t0.Add(c.now))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil || known != c.known {
				t.Fatalf("known %v, error %v", known, err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("row (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever is said and however the rows come back, the row that was appended
// last holds, and saying it again changes nothing.
func TestAppendedRowHolds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var rows []tables.Generation
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			g := tables.Generation{
				Job: "flights-0", Generation: rapid.Int64Range(1, 3).Draw(rt, "generation"),
				Kind: tables.WriterStream, State: rapid.SampledFrom(states).Draw(rt, "state"),
				Group: rapid.SampledFrom([]string{"", "flights", "clicks"}).Draw(rt, "group"),
			}
			if rapid.Bool().Draw(rt, "cut") {
				g.Watermark = at(t0.Add(time.Duration(rapid.Int64Range(0, 3000).Draw(rt, "watermark"))))
				g.WindowsCut = bigquery.NullInt64{Int64: rapid.Int64Range(0, 2).Draw(rt, "windows cut"), Valid: true}
			}
			clock := t0.Add(time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(rt, "clock")))
			r, known, err := Fold(rows).next(g, clock)
			if err != nil {
				continue
			}
			if !known {
				rows = append(rows, r, r) // the service may keep it twice
			}
			if len(rows) > 0 {
				rows = rapid.Permutation(rows).Draw(rt, "order")
			}
			l := Fold(rows)
			if got, ok := l.Writer(g.Job, g.Generation); !ok || !same(got, r) {
				rt.Fatalf("recorded %+v, holds %+v", r, got)
			}
			if _, known, err := l.next(g, clock); err != nil || !known {
				rt.Fatalf("saying it again: known %v, error %v", known, err)
			}
		}
	})
}
