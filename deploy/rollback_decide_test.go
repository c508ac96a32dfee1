package deploy

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/journal"
)

// deployments are records, newest first, of "COMMAND SPEC OUTCOME", oldest first;
// their ids are d0, d1, ….
func deployments(t *testing.T, lines ...string) []journal.Record {
	t.Helper()
	var out []journal.Record
	for i, line := range lines {
		var command, spec, outcome string
		if _, err := fmt.Sscan(line, &command, &spec, &outcome); err != nil {
			t.Fatal(err)
		}
		r := journal.Record{ID: fmt.Sprintf("d%d", i), Entries: []journal.Entry{{Kind: journal.KindBegin, Command: command, Spec: spec}}}
		switch outcome {
		case "open":
		case "asked":
			r.Abort = &journal.Abort{By: "ada"}
		default:
			r.Entries = append(r.Entries, journal.Entry{Kind: journal.KindEnd, Outcome: outcome})
		}
		out = append([]journal.Record{r}, out...)
	}
	return out
}

func TestBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  string // id; empty: there is none
	}{
		{"nothing", nil, ""},
		{"one", []string{"apply a done"}, ""},
		{"one that failed", []string{"apply a failed"}, ""},
		{"two", []string{"apply a done", "apply b done"}, "d0"},
		{"the same twice", []string{"apply a done", "apply a done"}, ""},
		{"the same again", []string{"apply a done", "apply b done", "apply b done"}, "d0"},
		{"and back by hand", []string{"apply a done", "apply b done", "apply a done"}, "d1"},
		{"failed", []string{"apply a done", "apply b done", "apply c failed"}, "d1"},
		{"unfinished", []string{"apply a done", "apply b done", "apply c open"}, "d1"},
		{"aborted", []string{"apply a done", "apply b aborted"}, "d0"},
		{"failed, of the same", []string{"apply a done", "apply b done", "apply b failed"}, "d0"},
		{"superseded does not count", []string{"apply a done", "apply b superseded", "apply c done"}, "d0"},
		{"other commands do not count", []string{"apply a done", "adopt x done", "apply b done", "backfill y done"}, "d0"},
		{"rolled back twice", []string{"apply a done", "apply b done", "apply c done", "rollback b done"}, "d0"},
		{"rolled back to the first", []string{"apply a done", "apply b done", "rollback a done"}, ""},
		{"rolled back and on", []string{"apply a done", "apply b done", "rollback a done", "apply c done"}, "d0"},
		{"rolled back to what is not known any more", []string{"apply b done", "rollback a done"}, "d0"},
		{"a rollback that was killed", []string{"apply a done", "apply b done", "rollback a open"}, "d0"},
		{"a rollback that failed", []string{"apply a done", "apply b done", "rollback a failed"}, "d0"},
		{"a rollback that was stopped", []string{"apply a done", "apply b done", "rollback a aborted"}, "d1"},
		{"a rollback that is to be stopped", []string{"apply a done", "apply b done", "rollback a asked"}, "d1"},
	} {
		got, ok := back(deployments(t, c.lines...))
		if ok != (c.want != "") || got.ID != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got.ID, ok, c.want)
		}
	}
}

func TestBackwards(t *testing.T) {
	at := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	entry := func(minute int, kind, job string) journal.Entry {
		return journal.Entry{Kind: kind, Job: job, At: at.Add(time.Duration(minute) * time.Minute)}
	}
	newer := deployments(t, "apply b done")[0]
	newer.Entries = append(newer.Entries, entry(10, journal.KindStep, "g-0"), entry(11, journal.KindStep, "g-10"), entry(12, journal.KindFact, "g-0"))
	older := deployments(t, "apply a done")[0]
	older.Entries = append(older.Entries, entry(1, journal.KindStep, "g-2"), entry(2, journal.KindStep, "g-0"), entry(3, journal.KindStep, ""),
		entry(4, journal.KindStep, "g-x"), entry(5, journal.KindStep, "other-3"), entry(1, journal.KindStep, "g-1"))
	other := deployments(t, "backfill a done")[0]
	other.Entries = append(other.Entries, entry(20, journal.KindStep, "g-5"))
	if diff := cmp.Diff([]int{10, 0, 2, 1}, backwards("g", []journal.Record{newer, older, other})); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}
