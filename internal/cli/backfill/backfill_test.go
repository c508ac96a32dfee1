package backfill_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/cli/backfill"
	deploycli "github.com/kappa-migrate/kappa/internal/cli/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/deploy/deploytest"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

func TestMain(m *testing.M) { dataflowtest.Main(m) }

const (
	specFile = deploytest.SpecFile
	archive  = deploytest.Archive
)

// start starts a sandbox in which the jobs of the flights run, with an archive.
func start(t *testing.T, behaviours map[string]dataflowtest.Behaviour) {
	t.Helper()
	deploytest.Start(t, behaviours)
	if _, errs, err := apptest.Run(t, "text", deploycli.New, "apply", "-f", specFile, "--yes", "--poll", "20ms"); err != nil {
		t.Fatalf("apply: %v\n%s", err, errs)
	}
}

func TestBackfill(t *testing.T) {
	start(t, map[string]dataflowtest.Behaviour{
		"": {}, "flights-backfill": {Batch: true, ExitAfter: 300 * time.Millisecond}, "fill-2": {Batch: true, ExitAfter: 10 * time.Millisecond, Exit: 9},
		"flights-shadow-v2": {Batch: true, ExitAfter: 10 * time.Millisecond},
	})
	args := func(to string, more ...string) []string {
		return append([]string{"-f", specFile, "--from", "2001-01-01", "--to", to, "--poll", "20ms"}, more...)
	}
	// The fake workers begin on the 8th, and the horizon is 4 days.
	if _, _, err := apptest.Run(t, "text", backfill.New, args("2003-01-01T00:00:00Z", "--archive", archive)...); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "the watermark of flights-0 is 2001-") {
		t.Errorf("too early: %v", err)
	}
	out, errs, err := apptest.Run(t, "text", backfill.New, args("2001-01-02T00:00:00Z", "--archive", archive)...)
	if err != nil || !strings.Contains(out, "flights-backfill@1 (") || !strings.Contains(out, "replaces the windows from 2001-01-01T00:00:00Z to 2001-01-02T00:00:00Z.") ||
		!strings.Contains(errs, "backfill: done, ") || !strings.Contains(errs, " messages, flights-backfill, generation 1") {
		t.Errorf("backfill: %v\n%s\n%s", err, out, errs)
	}
	// From a file of this machine, by a path that is not absolute.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(here, filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	out, _, err = apptest.Run(t, "json", backfill.New, args("2001-01-02T00:00:00Z", "--files", relative)...)
	var res deploy.BackfillResult
	if jerr := json.Unmarshal([]byte(out), &res); err != nil || jerr != nil || res.Generation != 2 || !res.Launched || res.Files != filepath.Join(dir, "*.json") || res.Archive != "" {
		t.Errorf("backfill as JSON: %v, %v\n%s", err, jerr, out)
	}
	_, errs, err = apptest.Run(t, "text", backfill.New, args("2001-01-02T00:00:00Z", "--archive", archive, "--job-name", "fill-2")...)
	if exit.Of(err) != exit.Failed || !strings.Contains(err.Error(), "generation 1 is recorded as void") || !strings.Contains(errs, "backfill: FAILED") {
		t.Errorf("a backfill that fails: %v\n%s", err, errs)
	}
	// A shadow waits for no watermark.
	out, _, err = apptest.Run(t, "text", backfill.New, args("2003-01-01T00:00:00Z", "--table", "kappa.raw_flights", "--shadow", "v2")...)
	if err != nil || !strings.Contains(out, "has written the windows from 2001-01-01T00:00:00Z to 2003-01-01T00:00:00Z to kappa.stream_flights_v2, kappa.raw_flights_v2, kappa.late_flights_v2. They count as flights_shadow_v2; nothing was replaced.") {
		t.Errorf("shadow: %v\n%s", err, out)
	}
}

func TestUsage(t *testing.T) {
	span := []string{"-f", specFile, "--from", "2001-01-01", "--to", "2001-01-02"}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-f", specFile, "--to", "2001-01-02", "--archive", "gs://b/x"}, "--from is missing"},
		{[]string{"-f", specFile, "--from", "2001-01-02T00:00:00Z", "--archive", "gs://b/x"}, "--to is missing"},
		{[]string{"-f", specFile, "--from", "2001-1-2", "--to", "2001-01-02T00:00:00Z", "--archive", "gs://b/x"}, `--from "2001-1-2" is not a time`},
		{[]string{"-f", specFile, "--poll", "0s"}, "--poll 0s"},
		{append(span, "--table", "a.b", "--max-bytes", "lots"), "--max-bytes"},
	} {
		if _, _, err := apptest.Run(t, "text", backfill.New, c.args...); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
	start(t, nil)
	for _, c := range []struct {
		args []string
		want string
	}{
		{span, "reads one of an archive, files and a table"},
		{append(span, "--archive", "gs://b/x", "--max-bytes", "1GiB"), "a cap of 1073741824 bytes"},
		{append(span, "--archive", "gs://b/x", "--shadow", "V2"), "a suffix has lower-case letters"},
		{append(span, "--table", "raw_flights"), "is not DATASET.TABLE"},
	} {
		if _, _, err := apptest.Run(t, "text", backfill.New, c.args...); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{append(span, "--archive", "gs://nowhere/x"), "the bucket nowhere does not exist"},
		{append(span, "--files", filepath.Join(t.TempDir(), "*")), "names no file"},
		{append(span, "--table", "kappa.nothing"), "table kappa.nothing: does not exist"},
		{append(span, "--table", "kappa.generations"), "lacks the column event_id STRING of a raw table"},
	} {
		if _, _, err := apptest.Run(t, "text", backfill.New, c.args...); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}
