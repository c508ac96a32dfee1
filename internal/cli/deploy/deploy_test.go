package deploy_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	deploycli "github.com/kappa-migrate/kappa/internal/cli/deploy"
	draincli "github.com/kappa-migrate/kappa/internal/cli/drain"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	dataflowtest.WorkIfChild()
	// The Storage client's opencensus starts this one in an init function.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

const specFile = "../../../jobspecs/examples/flights/stream.yaml"

// call runs a command and returns what it printed.
func call(t *testing.T, output string, command func(*app.App) *cobra.Command, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app.App{In: strings.NewReader(""), Out: &out, Err: &errs, Log: slog.New(slog.DiscardHandler), Output: output}
	cmd := command(a)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

func start(t *testing.T, behaviours map[string]dataflowtest.Behaviour) {
	t.Helper()
	binary := dataflowtest.SetWorker(t, behaviours)
	sandboxtest.Start(t, func(c *sandbox.Config) { c.PipelineBinary = binary })
	job := dataflowtest.Load(t, specFile)
	clients, err := deploy.Connect(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	dataflowtest.PrepareFlights(t, job, clients.PubSub, clients.Storage)
}

// The whole life of a group, by the commands.
func TestLife(t *testing.T) {
	start(t, nil)
	out, _, err := call(t, "text", deploycli.New, "plan", "-f", specFile)
	if exit.Of(err) != exit.Pending || !strings.Contains(out, "create  dataset kappa") || !strings.Contains(out, "was never launched") ||
		!strings.Contains(out, "3 to launch, 0 running, 0 blocked.") {
		t.Errorf("first plan: %v\n%s", err, out)
	}
	if _, _, err := call(t, "text", deploycli.New, "apply", "-f", specFile); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "no terminal") {
		t.Errorf("apply without --yes: %v", err)
	}
	out, errs, err := call(t, "text", deploycli.New, "apply", "-f", specFile, "--yes")
	if err != nil || strings.Count(out, "RUNNING") != 3 || strings.Count(out, "now") != 3 || !strings.Contains(errs, "flights-2: done, running, generation 1") {
		t.Fatalf("apply: %v\n%s\n%s", err, out, errs)
	}
	out, _, err = call(t, "json", deploycli.New, "plan", "-f", specFile)
	var p deploy.Plan
	if jerr := json.Unmarshal([]byte(out), &p); err != nil || jerr != nil || p.Pending() || len(p.Jobs) != 3 || p.Jobs[0].Kind != deploy.Keep {
		t.Errorf("plan of what runs: %v, %v\n%s", err, jerr, out)
	}
	out, _, err = call(t, "json", deploycli.New, "apply", "-f", specFile)
	var res deploy.Result
	if jerr := json.Unmarshal([]byte(out), &res); err != nil || jerr != nil || len(res.Jobs) != 3 || res.Jobs[0].Launched {
		t.Errorf("second apply: %v, %v\n%s", err, jerr, out)
	}

	// A spec that differs is reported, not applied.
	text, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "changed.yaml")
	if err := os.WriteFile(changed, bytes.Replace(text, []byte("horizon: 4d"), []byte("horizon: 5d"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, err = call(t, "text", deploycli.New, "apply", "-f", changed, "--yes")
	if exit.Of(err) != exit.Pending || !strings.Contains(err.Error(), "flights-0, flights-1, flights-2 run with another spec") {
		t.Errorf("apply of another spec: %v", err)
	}

	if _, _, err := call(t, "text", draincli.New, "-f", specFile, "flight-1"); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), `no job "flight-1"`) {
		t.Errorf("drain of an unknown job: %v", err)
	}
	out, errs, err = call(t, "text", draincli.New, "-f", specFile, "--poll", "20ms", "flights-2", "flights-0")
	if err != nil || strings.Count(out, "flights-") != 2 || !strings.Contains(errs, "drain flights-2: done, drained") {
		t.Errorf("drain: %v\n%s\n%s", err, out, errs)
	}
	out, _, err = call(t, "json", draincli.New, "-f", specFile, "--poll", "20ms", "--parallel", "3")
	var drained drain.Result
	if err != nil || !strings.Contains(out, `"group": "flights"`) {
		t.Errorf("drain of all: %v\n%s", err, out)
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(out, `"watermark"`, `"-"`)), &drained); err != nil || len(drained.Jobs) != 3 || !drained.Jobs[0].Before || drained.Jobs[1].Before {
		t.Errorf("drain of all: %v, %+v", err, drained)
	}

	// Again: the next generation.
	out, _, err = call(t, "text", deploycli.New, "apply", "-f", changed, "--yes")
	if err != nil || strings.Count(out, "  2  ") != 3 {
		t.Errorf("next generation: %v\n%s", err, out)
	}
}

func TestDrainTimeout(t *testing.T) {
	start(t, map[string]dataflowtest.Behaviour{"": {Hold: true}})
	if _, _, err := call(t, "text", deploycli.New, "apply", "-f", specFile, "--yes"); err != nil {
		t.Fatal(err)
	}
	_, errs, err := call(t, "text", draincli.New, "-f", specFile, "--poll", "20ms", "--timeout", "200ms")
	if exit.Of(err) != exit.DrainTimeout || !strings.Contains(err.Error(), "its drain goes on") || !strings.Contains(errs, "drain flights-0: FAILED, not drained") {
		t.Errorf("drain: %v\n%s", err, errs)
	}
}

func TestPlanWithErrors(t *testing.T) {
	binary := dataflowtest.SetWorker(t, nil)
	sandboxtest.Start(t, func(c *sandbox.Config) { c.PipelineBinary = binary })
	for _, args := range [][]string{{"plan", "-f", specFile}, {"apply", "-f", specFile, "--yes"}} {
		out, errs, err := call(t, "text", deploycli.New, args...)
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
		{[]string{"-f", specFile, "--timeout", "0s"}, draincli.New, "--timeout 0s"},
		{[]string{"-f", specFile, "--poll", "-1s"}, draincli.New, "--poll -1s"},
		{[]string{"-f", specFile, "--parallel", "0"}, draincli.New, "--parallel 0"},
	} {
		if _, _, err := call(t, "text", c.command, c.args...); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}
