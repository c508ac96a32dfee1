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
	return tables.Generation{Job: "flights-0", Generation: gen, Kind: tables.WriterStream, State: state, RecordedAt: t0.Add(at), Seq: seq}
}

func null(s string) bigquery.NullString { return bigquery.NullString{StringVal: s, Valid: s != ""} }

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
		return tables.Generation{Job: "flights-0", Generation: 1, Kind: tables.WriterStream, State: state, DataflowJobID: null(id)}
	}
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
