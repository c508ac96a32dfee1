package deploy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	deploycli "github.com/kappa-migrate/kappa/internal/cli/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/deploy/deploytest"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// A rollout as people and programs see it: what is waited for, what was checked,
// for how long nobody read, and what its comparison says.
func TestRollout(t *testing.T) {
	deploytest.Start(t, dataflowtest.Reading(dataflowtest.Load(t, specFile)))
	text, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "stream.yaml")
	write := func(horizon, conditions string) {
		t.Helper()
		changed := strings.Replace(strings.Replace(string(text), "{healthyFor: 0s}", conditions, 1), "horizon: 4d", "horizon: "+horizon, 1)
		if !strings.Contains(changed, conditions) || !strings.Contains(changed, horizon) {
			t.Fatal("the spec has no conditions and horizon to change")
		}
		if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	apply := func(output string, flags ...string) (string, string, error) {
		t.Helper()
		return apptest.Run(t, output, deploycli.New, append([]string{"apply", "--yes", "--poll", "20ms"}, flags...)...)
	}
	write("4d", "{healthyFor: 0s}")
	if out, _, err := apply("text", "-f", file); err != nil || strings.Contains(out, "Nobody read") {
		t.Fatalf("the first time: %v\n%s", err, out)
	}

	write("5d", "{healthyFor: 100ms, within: 20s}")
	out, errs, err := apply("text", "-f", file)
	if err != nil || strings.Count(errs, "health flights-") != 6 || !strings.Contains(errs, "health flights-2: done, healthy for ") || !strings.Contains(errs, "watermark moving: flights-") {
		t.Errorf("progress: %v\n%s", err, errs)
	}
	if !strings.Contains(out, "PAUSE") || !strings.Contains(out, "Nobody read for ") || !strings.Contains(out, ", of 3 jobs.") {
		t.Errorf("result:\n%s", out)
	}

	// Its comparison is not loaded: nothing is done.
	write("6d", "{healthyFor: 0s, within: 200ms, comparison: flights}")
	if _, _, err := apply("text", "-f", file); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "cannot be deployed") {
		t.Errorf("no comparison: %v", err)
	}
	if out, _, err := apptest.Run(t, "text", deploycli.New, "plan", "-f", file); err == nil || !strings.Contains(out, "error: Comparison flights: is not loaded") {
		t.Errorf("plan without the comparison: %v\n%s", err, out)
	}
	// It is, and has no data: the second job is left alone.
	out, errs, err = apply("json", "-f", file, "-f", "../../../jobspecs/examples/flights/compare.yaml")
	var res deploy.Result
	if jerr := json.Unmarshal([]byte(out), &res); jerr != nil || exit.Of(err) != exit.GateNotMet || !strings.Contains(err.Error(), "comparison flights: NO DATA") {
		t.Fatalf("%v, %v\n%s", err, jerr, out)
	}
	if len(res.Jobs) != 1 || res.Jobs[0].PauseSeconds == nil || res.Pause == nil || res.Jobs[0].Health == nil || res.Jobs[0].Health.Healthy ||
		!strings.Contains(errs, "health flights-0: FAILED") || strings.Contains(errs, "drain flights-1") {
		t.Errorf("result %+v\n%s", res, errs)
	}
}
