package history

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// An update takes an open generation from the job on record to another one, and
// nothing else.
func TestUpdated(t *testing.T) {
	with := func(gen, seq int64, state, id string) tables.Generation {
		r := row(gen, seq, state, 0)
		r.DataflowJobID, r.Supersedes = null(id), null("flights-0@7")
		return r
	}
	open := with(2, 3, tables.StateOpen, "id-1")
	now := t0.Add(time.Hour)
	for _, c := range []struct {
		name     string
		rows     []tables.Generation
		from, to string
		known    bool
		err      string
	}{
		{name: "updated", rows: []tables.Generation{open}, from: "id-1", to: "id-2"},
		{name: "said before", rows: []tables.Generation{with(2, 3, tables.StateOpen, "id-2")}, from: "id-1", to: "id-2", known: true},
		{name: "another job is on record", rows: []tables.Generation{open}, from: "id-0", to: "id-2", err: `it is "id-1"`},
		{name: "no job is on record", rows: []tables.Generation{with(2, 3, tables.StateOpen, "")}, from: "id-1", to: "id-2", err: `it is ""`},
		{name: "has drained", rows: []tables.Generation{with(2, 3, tables.StateDrained, "id-1")}, from: "id-1", to: "id-2", err: "it is drained"},
		{name: "is void", rows: []tables.Generation{with(2, 3, tables.StateVoid, "id-1")}, from: "id-1", to: "id-2", err: "it is void"},
		{name: "has drained as that job", rows: []tables.Generation{with(2, 3, tables.StateDrained, "id-2")}, from: "id-1", to: "id-2", err: "it is drained"},
		{name: "not known", from: "id-1", to: "id-2", err: "does not know it"},
		{name: "to another generation's job", rows: []tables.Generation{open, with(1, 2, tables.StateDrained, "id-2")}, from: "id-1", to: "id-2", err: "that is generation 1"},
		{name: "from nothing", rows: []tables.Generation{open}, to: "id-2", err: "incomplete"},
		{name: "to nothing", rows: []tables.Generation{open}, from: "id-1", err: "incomplete"},
		{name: "to itself", rows: []tables.Generation{open}, from: "id-1", to: "id-1", err: "incomplete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, known, err := Fold(c.rows).updated("flights-0", 2, c.from, c.to, now)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil || known != c.known {
				t.Fatalf("known %v, %v", known, err)
			}
			want := with(2, 4, tables.StateOpen, "id-2")
			want.RecordedAt = now
			if c.known {
				want = c.rows[0]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("row (-want +got):\n%s", diff)
			}
		})
	}
}

// The clock of whoever has recorded the row may be ahead: the new one is newer.
func TestUpdatedIsNewest(t *testing.T) {
	open := row(1, 1, tables.StateOpen, time.Hour)
	open.DataflowJobID = null("id-1")
	got, _, err := Fold([]tables.Generation{open}).updated("flights-0", 1, "id-1", "id-2", t0)
	if err != nil || !newer(got, open) {
		t.Errorf("%+v, %v", got, err)
	}
}
