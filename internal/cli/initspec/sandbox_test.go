package initspec

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	deploycli "github.com/kappa-migrate/kappa/internal/cli/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/provision"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { dataflowtest.Main(m) }

// What is written runs in the sandbox: nothing is in the way of its jobs, and
// they run.
func TestRunsInSandbox(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := apptest.Run(t, "text", New, dir, "--name", "shop-orders", "--splits", "3"); err != nil {
		t.Fatal(err)
	}
	stream := filepath.Join(dir, "stream.yaml")
	binary := dataflowtest.SetWorker(t, dataflowtest.Reading(dataflowtest.Load(t, stream)))
	sandboxtest.Start(t, func(c *sandbox.Config) { c.PipelineBinary = binary })
	set, err := jobspecs.Load([]string{dir}, jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Bridges[0].Spec.Sources["main"].Brokers; strings.Contains(got[0], ":9092") {
		t.Errorf("the brokers are not the sandbox's: %v", got)
	}
	made, err := provision.Apply(t.Context(), set)
	// A Kafka topic, 3 topics and the dead letters' with a subscription each, 3 buckets, the template.
	if want := 1 + 4*2 + 3 + 1; err != nil || len(made) != want {
		t.Fatalf("%d resources made, want %d: %v\n%s", len(made), want, err, strings.Join(made, "\n"))
	}
	if made, err := provision.Apply(t.Context(), set); err != nil || len(made) != 0 {
		t.Errorf("again: %v, %v", made, err)
	}
	out, stderr, err := apptest.Run(t, "json", deploycli.New, "plan", "-f", stream)
	var p deploy.Plan
	if jerr := json.Unmarshal([]byte(out), &p); exit.Of(err) != exit.Pending || jerr != nil || len(p.Jobs) != 2 {
		t.Fatalf("plan: %v, %v\n%s\n%s", err, jerr, out, stderr)
	}
	out, stderr, err = apptest.Run(t, "text", deploycli.New, "apply", "-f", stream, "--yes", "--poll", "20ms")
	if err != nil || strings.Count(out, "RUNNING") != 2 {
		t.Fatalf("apply: %v\n%s\n%s", err, out, stderr)
	}
}
