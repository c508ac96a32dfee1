package repair_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	deploycli "github.com/kappa-migrate/kappa/internal/cli/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/deploy/deploytest"
	draincli "github.com/kappa-migrate/kappa/internal/cli/drain"
	"github.com/kappa-migrate/kappa/internal/cli/repair"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

func TestMain(m *testing.M) { dataflowtest.Main(m) }

const (
	specFile = deploytest.SpecFile
	archive  = deploytest.Archive
)

type anyRow map[string]bigquery.Value

func (r anyRow) Save() (map[string]bigquery.Value, string, error) { return r, "", nil }

// The whole of it, by the command: refused while it runs, asked for, waited for,
// and nothing the second time.
func TestRepair(t *testing.T) {
	clients := deploytest.Start(t, map[string]dataflowtest.Behaviour{"": {}, "flights-repair": {Batch: true, ExitAfter: 100 * time.Millisecond}})
	apply := func() {
		t.Helper()
		if _, errs, err := apptest.Run(t, "text", deploycli.New, "apply", "-f", specFile, "--yes", "--poll", "20ms"); err != nil {
			t.Fatalf("apply: %v\n%s", err, errs)
		}
	}
	apply()
	window := time.Date(2001, 1, 8, 5, 0, 0, 0, time.UTC)
	rows := []anyRow{{"job": "flights-0", "generation": 1, "pane": 0, "origin": "ATL", "flights": 1, "timing": "on_time", "window_start": window, "write_time": window}}
	if err := clients.BigQuery.Dataset("kappa").Table("stream_flights").Inserter().Put(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	args := func(more ...string) []string {
		return append([]string{"-f", specFile, "--void", "flights-0@1", "--archive", archive, "--reason", "delays in seconds", "--poll", "20ms"}, more...)
	}
	if _, _, err := apptest.Run(t, "text", repair.New, args("--yes")...); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "flights-0@1 still runs") {
		t.Errorf("while it runs: %v", err)
	}
	if _, errs, err := apptest.Run(t, "text", draincli.New, "-f", specFile, "--poll", "20ms"); err != nil {
		t.Fatalf("drain: %v\n%s", err, errs)
	}
	apply()
	_, errs, err := apptest.Run(t, "text", repair.New, args()...)
	if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "no terminal to ask on") || !strings.Contains(errs, "flights-0@1 is drained, and becomes void") ||
		!strings.Contains(errs, "1 rows  2001-01-08T05:00:00Z to 2001-01-08T06:00:00Z  1 keys and windows") ||
		!strings.Contains(errs, "The windows from 2001-01-08T05:00:00Z to 2001-01-08T06:00:00Z are recomputed.") {
		t.Errorf("unasked: %v\n%s", err, errs)
	}
	// The fake workers' watermarks gain an hour a report; they have four days to go.
	out, errs, err := apptest.Run(t, "text", repair.New, args("--yes", "--wait")...)
	if err != nil || !strings.Contains(out, "Void: flights-0@1. flights-repair@1 (") || !strings.Contains(out, "replaces the windows from 2001-01-08T05:00:00Z to 2001-01-08T06:00:00Z.") ||
		!strings.Contains(errs, "backfill: done, ") {
		t.Errorf("repair: %v\n%s\n%s", err, out, errs)
	}
	out, errs, err = apptest.Run(t, "json", repair.New, args()...)
	var res deploy.RepairResult
	if jerr := json.Unmarshal([]byte(out), &res); err != nil || jerr != nil || res.Backfill != nil || res.Repaired != "flights-repair@1" || len(res.Void) != 1 ||
		!strings.Contains(errs, "flights-0@1 is void already") || !strings.Contains(errs, "there is nothing to do") {
		t.Errorf("again: %v, %v\n%s\n%s", err, jerr, out, errs)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-f", specFile, "--reason", "x"}, "--void is missing"},
		{[]string{"-f", specFile, "--void", "flights-0", "--reason", "x"}, `writer "flights-0" is not JOB@GENERATION`},
		{[]string{"-f", specFile, "--void", "flights-0@1"}, "--reason is missing"},
		{[]string{"-f", specFile, "--void", "flights-0@1", "--reason", " "}, "--reason is missing"},
		{[]string{"-f", specFile, "--poll", "-1s"}, "--poll -1s"},
	} {
		if _, _, err := apptest.Run(t, "text", repair.New, c.args...); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}
