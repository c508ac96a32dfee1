package repair

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	deploycli "github.com/kappa-migrate/kappa/internal/cli/deploy"
	draincli "github.com/kappa-migrate/kappa/internal/cli/drain"
	"github.com/kappa-migrate/kappa/internal/cli/repair"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// run runs a command that must succeed, and returns what it printed.
func (w *world) run(command func(*app.App) *cobra.Command, args ...string) string {
	w.Helper()
	out, errs, err := apptest.Run(w, "json", command, append(args, "--poll", "50ms")...)
	if err != nil {
		w.Fatalf("%v: %v\n%s", args, err, errs)
	}
	return out
}

// wrongIn is how many windows of a table are not what the events say.
func wrongIn(got, want map[key]value) int {
	n := 0
	for k, v := range want {
		if got[k] != v {
			n++
		}
	}
	return n
}

// TestRepair: both jobs sum up the wrong field for some hours, with late events and
// duplicates, while events flow. The right code takes over, the generations are
// voided, and in the end every window is right: those of the wrong generations,
// those that they share with their successors, and all later ones.
func TestRepair(t *testing.T) {
	w := newWorld(t)
	w.run(deploycli.New, "apply", "-f", w.wrong, "--yes")
	w.until("wrong numbers of six hours", func() bool { return len(w.read("stream_flights")) >= 18 })
	w.pace(slow) // else the windows were past before anything is repaired
	w.run(deploycli.New, "apply", "-f", w.right, "--yes")
	if n := wrongIn(w.read("stream_flights"), w.truth()); n < 15 {
		t.Fatalf("only %d windows are wrong: the test shows nothing", n)
	}

	args := []string{"-f", w.right, "--void", "flights-0@1", "--void", "flights-1@1", "--archive", archive, "--reason", "distances for delays", "--yes"}
	// Its windows are still open for late events: void, and no more.
	_, errs, err := apptest.Run(t, "text", repair.New, append(args, "--poll", "50ms")...)
	if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "void, and what flights-0@1, flights-1@1 had counted") {
		t.Fatalf("at once: %v\n%s", err, errs)
	}
	w.pace(fast)
	var res deploy.RepairResult
	if err := json.Unmarshal([]byte(w.run(repair.New, append(args, "--wait")...)), &res); err != nil || res.Backfill == nil {
		t.Fatalf("repair: %+v, %v", res, err)
	}
	if span := res.To.Sub(*res.From); span < 6*time.Hour {
		t.Errorf("only %s were recomputed", span)
	}
	// The span is right as soon as the repair is complete.
	got, truth := w.read("stream_flights"), w.truth()
	for k, v := range truth {
		if !k.window.Before(*res.From) && k.window.Before(*res.To) && got[k] != v {
			t.Errorf("%v has %+v, want %+v", k, got[k], v)
		}
	}
	// All the rest is what the right generations make of it.
	w.end()
	w.until("everything is read", func() bool { return w.count("raw_flights", "job IN ('flights-0', 'flights-1')") >= w.sent })
	w.run(draincli.New, "-f", w.right)
	if n := w.count("late_flights", "TRUE"); n > 0 {
		t.Errorf("%d events were too late: the truth does not know of that", n)
	}
	if diff := cmp.Diff(w.truth(), w.read("stream_flights"), cmp.AllowUnexported(key{}, value{})); diff != "" {
		t.Errorf("windows (-want +got):\n%s", diff)
	}
}

// count counts the rows of a table.
func (w *world) count(table, where string) int {
	w.Helper()
	it, err := w.clients.BigQuery.Query("SELECT COUNT(*) AS n FROM kappa." + table + " WHERE " + where).Read(w.Context())
	var row struct{ N int }
	if err == nil {
		err = it.Next(&row)
	}
	if err != nil {
		w.Fatal(err)
	}
	return row.N
}
