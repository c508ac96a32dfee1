package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
)

func TestRecordVoid(t *testing.T) {
	s := history.New(open(t), dataset)
	if err := s.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendRow(t, s, generation(1, tables.StateOpen, "id-1"))
	appendRow(t, s, generation(2, tables.StateOpen, ""))
	appendRow(t, s, generation(3, tables.StateOpen, "id-3"))
	if err := s.RecordDrained(t.Context(), "flights", "flights-0", "id-3", 3, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id         string
		generation int64
		fresh      bool
		err        string
	}{
		{"id-1", 0, true, ""},
		{"id-1", 1, false, ""}, // said before
		{"id-2", 2, true, ""},  // an id that was never recorded: the label's generation
		{"id-2", 0, false, ""}, // now it is
		{"id-3", 3, false, "the history has it as drained"},
		{"id-9", 0, false, "knows no generation with the Dataflow job id-9"},
		{"id-9", 1, false, "knows no generation"}, // which is another job's
	} {
		fresh, err := s.RecordVoid(t.Context(), "flights", "flights-0", c.id, c.generation)
		if fresh != c.fresh || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s as generation %d: %v, %v", c.id, c.generation, fresh, err)
		}
	}
	log, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{tables.StateVoid, tables.StateVoid, tables.StateDrained} {
		if g := log.Generations("flights-0")[i]; g.State != want || g.Group != "flights" || !g.DataflowJobID.Valid {
			t.Errorf("generation %+v, want %s", g, want)
		}
	}
}

// After an update the generation ends as the job that it has become.
func TestRecordUpdated(t *testing.T) {
	s := history.New(open(t), dataset)
	if err := s.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendRow(t, s, generation(1, tables.StateOpen, "id-1"))
	for range 2 { // said again, nothing is written
		if err := s.RecordUpdated(t.Context(), "flights-0", 1, "id-1", "id-2"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.RecordUpdated(t.Context(), "flights-0", 1, "id-1", "id-3"); err == nil || !strings.Contains(err.Error(), `it is "id-2"`) {
		t.Errorf("from a job that it is no more: %v", err)
	}
	if _, err := s.Append(t.Context(), generation(1, tables.StateOpen, "id-3")); err == nil {
		t.Error("appended as another job")
	}
	if err := s.RecordDrained(t.Context(), "flights", "flights-0", "id-1", 1, time.Time{}); err == nil {
		t.Error("drained as the job that it is no more")
	}
	if err := s.RecordDrained(t.Context(), "flights", "flights-0", "id-2", 1, time.Time{}); err != nil {
		t.Error(err)
	}
	if g, ok, err := s.Latest(t.Context(), "flights-0"); err != nil || !ok || g.State != tables.StateDrained || g.DataflowJobID.StringVal != "id-2" || g.Seq != 3 {
		t.Errorf("latest %+v, %v", g, err)
	}
}
