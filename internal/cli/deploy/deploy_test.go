package deploy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	deploycli "github.com/kappa-migrate/kappa/internal/cli/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/deploy/deploytest"
	draincli "github.com/kappa-migrate/kappa/internal/cli/drain"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { dataflowtest.Main(m) }

const specFile = deploytest.SpecFile

// The whole life of a group, by the commands.
func TestLife(t *testing.T) {
	deploytest.Start(t, dataflowtest.Reading(dataflowtest.Load(t, specFile)))
	out, _, err := apptest.Run(t, "text", deploycli.New, "plan", "-f", specFile)
	if exit.Of(err) != exit.Pending || !strings.Contains(out, "create  dataset kappa") || !strings.Contains(out, "was never launched") ||
		!strings.Contains(out, "3 to launch, 0 to replace, 0 to retire, 0 running, 0 blocked.") {
		t.Errorf("first plan: %v\n%s", err, out)
	}
	if _, _, err := apptest.Run(t, "text", deploycli.New, "apply", "-f", specFile); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "no terminal") {
		t.Errorf("apply without --yes: %v", err)
	}
	out, errs, err := apptest.Run(t, "text", deploycli.New, "apply", "-f", specFile, "--yes", "--poll", "20ms")
	if err != nil || strings.Count(out, "RUNNING") != 3 || strings.Count(out, "now") != 3 || !strings.Contains(errs, "flights-2: done, running, generation 1") {
		t.Fatalf("apply: %v\n%s\n%s", err, out, errs)
	}
	out, _, err = apptest.Run(t, "json", deploycli.New, "plan", "-f", specFile)
	var p deploy.Plan
	if jerr := json.Unmarshal([]byte(out), &p); err != nil || jerr != nil || p.Pending() || len(p.Jobs) != 3 || p.Jobs[0].Kind != deploy.Keep {
		t.Errorf("plan of what runs: %v, %v\n%s", err, jerr, out)
	}
	out, _, err = apptest.Run(t, "json", deploycli.New, "apply", "-f", specFile)
	var res deploy.Result
	if jerr := json.Unmarshal([]byte(out), &res); err != nil || jerr != nil || len(res.Jobs) != 3 || res.Jobs[0].Launched {
		t.Errorf("second apply: %v, %v\n%s", err, jerr, out)
	}

	// A spec that differs: every job is drained and replaced, one after the other.
	text, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, old, new string) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), name)
		changed := bytes.Replace(text, []byte(old), []byte(new), 1)
		if bytes.Equal(changed, text) {
			t.Fatalf("there is no %q in the spec", old)
		}
		if err := os.WriteFile(file, changed, 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	longer := write("longer.yaml", "horizon: 4d", "horizon: 5d")
	out, _, err = apptest.Run(t, "text", deploycli.New, "plan", "-f", longer)
	if exit.Of(err) != exit.Pending || strings.Count(out, "drain and replace") != 3 || !strings.Contains(out, "generation 1 is drained first") ||
		!strings.Contains(out, "0 to launch, 3 to replace, 0 to retire, 0 running, 0 blocked.") || strings.Contains(out, "before any is launched") {
		t.Errorf("plan of another spec: %v\n%s", err, out)
	}
	out, errs, err = apptest.Run(t, "json", deploycli.New, "apply", "-f", longer, "--yes", "--poll", "20ms")
	res = deploy.Result{}
	if jerr := json.Unmarshal([]byte(out), &res); err != nil || jerr != nil || len(res.Jobs) != 3 {
		t.Fatalf("apply of another spec: %v, %v\n%s\n%s", err, jerr, out, errs)
	}
	for _, j := range res.Jobs {
		if !j.Launched || j.Generation != 2 || j.Drained == nil || j.Drained.Generation != 1 || j.Drained.Seconds <= 0 || j.Drained.WindowsCut == nil {
			t.Errorf("apply of another spec: %+v", j)
		}
	}
	if !strings.Contains(out, `"windows_cut": 0`) || !strings.Contains(errs, "drain flights-1: done, 0 windows cut") || !strings.Contains(errs, "flights-1: done, running, generation 2") {
		t.Errorf("apply of another spec:\n%s\n%s", out, errs)
	}

	// Fewer jobs: all drain before any is launched, and one retires.
	fewer := write("fewer.yaml", "jobs: 3", "jobs: 2")
	dataflowtest.SetWorker(t, dataflowtest.Reading(dataflowtest.Load(t, fewer)))
	out, _, err = apptest.Run(t, "text", deploycli.New, "plan", "-f", fewer)
	if exit.Of(err) != exit.Pending || strings.Count(out, "drain and retire") != 1 ||
		!strings.Contains(out, "All jobs that run are drained before any is launched: flights-0 reads flights-3, which becomes flights-1's.") {
		t.Errorf("plan of fewer jobs: %v\n%s", err, out)
	}
	out, errs, err = apptest.Run(t, "text", deploycli.New, "apply", "-f", fewer, "--yes", "--poll", "20ms")
	if err != nil || strings.Count(out, "now") != 2 || strings.Count(out, "generation 2 in ") != 3 || !strings.Contains(out, "0 windows cut") {
		t.Errorf("apply of fewer jobs: %v\n%s\n%s", err, out, errs)
	}
	if last, first := strings.LastIndex(errs, "drain flights-1: done"), strings.Index(errs, "flights-0: done, running"); last < 0 || last > first {
		t.Errorf("a job was launched before all had drained:\n%s", errs)
	}
	dataflowtest.SetWorker(t, dataflowtest.Reading(dataflowtest.Load(t, specFile)))
	_, errs, err = apptest.Run(t, "text", deploycli.New, "apply", "-f", specFile, "--yes", "--poll", "20ms") // and back
	if err != nil || !strings.Contains(errs, "before any is launched: flights-0 reads flights-2, which becomes flights-2's.") {
		t.Fatalf("apply of more jobs: %v\n%s", err, errs)
	}

	if _, _, err := apptest.Run(t, "text", draincli.New, "-f", specFile, "flight-1"); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), `no job "flight-1"`) {
		t.Errorf("drain of an unknown job: %v", err)
	}
	out, errs, err = apptest.Run(t, "text", draincli.New, "-f", specFile, "--poll", "20ms", "flights-2", "flights-0")
	if err != nil || strings.Count(out, "flights-") != 2 || !strings.Contains(errs, "drain flights-2: done, drained") {
		t.Errorf("drain: %v\n%s\n%s", err, out, errs)
	}
	out, _, err = apptest.Run(t, "json", draincli.New, "-f", specFile, "--poll", "20ms", "--parallel", "3")
	var drained drain.Result
	if err != nil || !strings.Contains(out, `"group": "flights"`) {
		t.Errorf("drain of all: %v\n%s", err, out)
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(out, `"watermark"`, `"-"`)), &drained); err != nil || len(drained.Jobs) != 3 || !drained.Jobs[0].Before || drained.Jobs[1].Before {
		t.Errorf("drain of all: %v, %+v", err, drained)
	}

	// Again: the next generation.
	out, _, err = apptest.Run(t, "text", deploycli.New, "apply", "-f", specFile, "--yes", "--poll", "20ms")
	if err != nil || strings.Count(out, "now") != 3 || strings.Count(out, "RUNNING") != 3 {
		t.Errorf("next generation: %v\n%s", err, out)
	}
}

// What differs is shown field by field; and a job that needs other workers
// alone is not drained.
func TestChangesAndResize(t *testing.T) {
	deploytest.Start(t, dataflowtest.Reading(dataflowtest.Load(t, specFile)))
	if _, _, err := apptest.Run(t, "text", deploycli.New, "apply", "-f", specFile, "--yes", "--poll", "20ms"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, old, new string) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), name)
		changed := bytes.Replace(text, []byte(old), []byte(new), 1)
		if err := os.WriteFile(file, changed, 0o644); err != nil || bytes.Equal(changed, text) {
			t.Fatalf("there is no %q in the spec, or %v", old, err)
		}
		return file
	}
	both := write("both.yaml", "horizon: 4d", "tuning: {maxWorkers: 7, serviceOptions: [enable_prime]}\n  horizon: 5d")
	out, _, err := apptest.Run(t, "text", deploycli.New, "plan", "-f", both)
	want := `3 changes in flights-0, flights-1, flights-2:
  spec.horizon: "4d" → "5d"
  spec.tuning.maxWorkers: 1 → 7
  spec.tuning.serviceOptions: (not given) → ["enable_prime"]
`
	if exit.Of(err) != exit.Pending || !strings.Contains(out, want) || !strings.Contains(out, "0 to launch, 3 to replace, 0 to retire, 0 running, 0 blocked.") {
		t.Errorf("plan: %v\n%s", err, out)
	}

	wider := write("wider.yaml", "horizon: 4d", "tuning: {maxWorkers: 7}\n  horizon: 4d")
	out, _, err = apptest.Run(t, "text", deploycli.New, "plan", "-f", wider)
	if exit.Of(err) != exit.Pending || strings.Count(out, "is RUNNING with 1 to 1 workers instead of 1 to 7 workers") != 3 ||
		!strings.Contains(out, "1 change in flights-0, flights-1, flights-2:\n  spec.tuning.maxWorkers: 1 → 7\n") || !strings.Contains(out, "0 to launch, 3 to resize, 0 to replace,") {
		t.Errorf("plan: %v\n%s", err, out)
	}
	out, _, err = apptest.Run(t, "json", deploycli.New, "plan", "-f", wider)
	var p deploy.Plan
	if jerr := json.Unmarshal([]byte(out), &p); exit.Of(err) != exit.Pending || jerr != nil || p.Jobs[2].Kind != deploy.Resize || p.Jobs[2].Changes[0].To != "7" || p.Jobs[2].Resize.Max != 7 {
		t.Errorf("plan: %v, %v\n%s", err, jerr, out)
	}
	out, errs, err := apptest.Run(t, "text", deploycli.New, "apply", "-f", wider, "--yes", "--poll", "20ms")
	if err != nil || strings.Count(out, "before, now 1 to 7 workers") != 3 || strings.Contains(errs, "drain ") || !strings.Contains(errs, "flights-1: done, running, generation 1") {
		t.Errorf("apply: %v\n%s\n%s", err, out, errs)
	}
	if out, _, err = apptest.Run(t, "text", deploycli.New, "plan", "-f", wider); err != nil || !strings.Contains(out, "3 running") {
		t.Errorf("plan of what runs: %v\n%s", err, out)
	}
}

// A drain that takes too long stops the rollout, and goes on when it is run again.
func TestApplyDrainTimeout(t *testing.T) {
	deploytest.Start(t, map[string]dataflowtest.Behaviour{"": {DrainTakes: time.Second}})
	if _, _, err := apptest.Run(t, "text", deploycli.New, "apply", "-f", specFile, "--yes", "--poll", "20ms"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "changed.yaml")
	if err := os.WriteFile(changed, bytes.Replace(text, []byte("horizon: 4d"), []byte("horizon: 5d"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"apply", "-f", changed, "--yes", "--poll", "20ms"}
	out, errs, err := apptest.Run(t, "text", deploycli.New, append(args, "--drain-timeout", "200ms")...)
	if exit.Of(err) != exit.DrainTimeout || !strings.Contains(err.Error(), "its drain goes on") || !strings.Contains(errs, "drain flights-0: FAILED") || strings.Contains(out, "now") {
		t.Errorf("apply: %v\n%s\n%s", err, out, errs)
	}
	dataflowtest.SetWorker(t, nil)
	out, errs, err = apptest.Run(t, "text", deploycli.New, args...)
	if err != nil || strings.Count(out, "now") != 3 || !strings.Contains(errs, "is DRAINING already; generation 1 is drained first") {
		t.Errorf("apply again: %v\n%s\n%s", err, out, errs)
	}
}

func TestDrainTimeout(t *testing.T) {
	deploytest.Start(t, map[string]dataflowtest.Behaviour{"": {Hold: true}})
	if _, _, err := apptest.Run(t, "text", deploycli.New, "apply", "-f", specFile, "--yes", "--poll", "20ms"); err != nil {
		t.Fatal(err)
	}
	_, errs, err := apptest.Run(t, "text", draincli.New, "-f", specFile, "--poll", "20ms", "--timeout", "200ms")
	if exit.Of(err) != exit.DrainTimeout || !strings.Contains(err.Error(), "its drain goes on") || !strings.Contains(errs, "drain flights-0: FAILED, not drained") {
		t.Errorf("drain: %v\n%s", err, errs)
	}
}

// A job that never drains is cancelled, with leave: apply goes on behind it,
// drain records it and stops.
func TestCancelOnTimeout(t *testing.T) {
	deploytest.Start(t, map[string]dataflowtest.Behaviour{"flights-0": {Hold: true}})
	text, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "changed.yaml")
	text = bytes.Replace(text, []byte("horizon: 4d"), []byte("horizon: 5d"), 1)
	text = bytes.Replace(text, []byte("update: {"), []byte("update: {drainTimeout: 200ms, onTimeout: cancel, "), 1)
	if err := os.WriteFile(changed, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := apptest.Run(t, "text", deploycli.New, "apply", "-f", specFile, "--yes", "--poll", "20ms"); err != nil {
		t.Fatal(err)
	}
	args := []string{"apply", "-f", changed, "--yes", "--poll", "20ms"}
	if _, _, err := apptest.Run(t, "text", deploycli.New, args...); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "refused without --accept-loss") {
		t.Errorf("apply without leave: %v", err)
	}
	out, errs, err := apptest.Run(t, "json", deploycli.New, append(args, "--accept-loss")...)
	var res deploy.Result
	if jerr := json.Unmarshal([]byte(out), &res); err != nil || jerr != nil || len(res.Jobs) != 3 {
		t.Fatalf("apply: %v, %v\n%s\n%s", err, jerr, out, errs)
	}
	for i, j := range res.Jobs {
		if !j.Launched || j.Generation != 2 || j.State != "RUNNING" || (j.Drained == nil) != (i == 0) {
			t.Errorf("apply: %+v", j)
		}
	}
	if !strings.Contains(errs, "drain flights-0: done, not drained in time and cancelled: generation 1 is void") {
		t.Errorf("apply:\n%s", errs)
	}

	// Generation 2 does not drain either.
	drains := []string{"-f", changed, "--poll", "20ms"}
	if _, _, err := apptest.Run(t, "text", draincli.New, drains...); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "spec.update.onTimeout: cancel") {
		t.Errorf("drain without leave: %v", err)
	}
	if _, _, err := apptest.Run(t, "text", draincli.New, "-f", specFile, "--on-timeout", "cancel"); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "--on-timeout cancel") {
		t.Errorf("drain without leave: %v", err)
	}
	out, errs, err = apptest.Run(t, "text", draincli.New, append(drains, "--accept-loss")...)
	if exit.Of(err) != exit.DrainTimeout || !strings.Contains(err.Error(), "generation 2 is recorded as void, and its rows do not count") ||
		!strings.Contains(err.Error(), "not begun: [flights-1 flights-2]") || !strings.Contains(out, "no: CANCELLED, void") || !strings.Contains(errs, "drain flights-0: FAILED, cancelled, void") {
		t.Errorf("drain: %v\n%s\n%s", err, out, errs)
	}
	out, errs, err = apptest.Run(t, "json", draincli.New, append(drains, "--accept-loss", "--timeout", "1m")...)
	if err != nil || strings.Count(out, `"state": "DRAINED"`) != 2 || strings.Count(out, `"void": true`) != 1 {
		t.Errorf("drain of the rest: %v\n%s\n%s", err, out, errs)
	}
}

func TestPlanWithErrors(t *testing.T) {
	binary := dataflowtest.SetWorker(t, nil)
	sandboxtest.Start(t, func(c *sandbox.Config) { c.PipelineBinary = binary })
	for _, args := range [][]string{{"plan", "-f", specFile}, {"apply", "-f", specFile, "--yes"}} {
		out, errs, err := apptest.Run(t, "text", deploycli.New, args...)
		if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "8 things are in the way") ||
			!strings.Contains(out+errs, "error: subscription flights-0: does not exist") || !strings.Contains(out+errs, "  hint: create it") {
			t.Errorf("%v: %v\n%s%s", args, err, out, errs)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args    []string
		command func(*app.App) *cobra.Command
		want    string
	}{
		{[]string{"plan"}, deploycli.New, "no spec given"},
		{[]string{"apply", "-f", specFile, "--poll", "0s"}, deploycli.New, "--poll 0s"},
		{[]string{"apply", "-f", specFile, "--drain-timeout", "-1s"}, deploycli.New, "--drain-timeout -1s"},
		{[]string{"-f", specFile, "--timeout", "0s"}, draincli.New, "--timeout 0s"},
		{[]string{"-f", specFile, "--on-timeout", "cancle"}, draincli.New, `--on-timeout "cancle": must be one of fail, wait, cancel`},
		{[]string{"apply", "-f", specFile, "--on-timeout", "pray"}, deploycli.New, `--on-timeout "pray"`},
		{[]string{"apply", "-f", specFile, "--on-timeout", "cancel"}, deploycli.New, "refused without --accept-loss"},
		{[]string{"-f", specFile, "--poll", "-1s"}, draincli.New, "--poll -1s"},
		{[]string{"-f", specFile, "--parallel", "0"}, draincli.New, "--parallel 0"},
	} {
		if _, _, err := apptest.Run(t, "text", c.command, c.args...); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}
