// Package dataflowtest helps tests that need a Dataflow service with jobs that
// behave as told: the emulator of package dataflow with a fake worker, a small
// program that is built once for each test binary.
//
// The TestMain of a package that uses it calls Main.
package dataflowtest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest/fake"
)

// Behaviour is what a fake worker does.
type Behaviour = fake.Behaviour

// workerDir is where the fake worker is built.
var workerDir string

// Main runs the tests of a package and exits; the tests fail if they leave
// goroutines behind.
func Main(m *testing.M) {
	var err error
	if workerDir, err = os.MkdirTemp("", "kappa-fake-worker-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m,
		// The Storage client's opencensus starts this one in an init function.
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		goleak.Cleanup(func(code int) {
			_ = os.RemoveAll(workerDir)
			os.Exit(code)
		}))
}

// workerProgram builds the fake worker. It is built as it is, also for tests that
// run under the race detector: it is none of what they look at.
var workerProgram = sync.OnceValues(func() (string, error) {
	path := filepath.Join(workerDir, "worker")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", path, "github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest/fake/worker")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the fake worker: %w\n%s", err, out)
	}
	return path, nil
})

// SetWorker makes the children that this process starts from now on fake
// workers with these behaviours, if they are started from the path that it
// returns. Jobs that are launched later can behave otherwise: call it again.
func SetWorker(t testing.TB, behaviours map[string]Behaviour) (binary string) {
	t.Helper()
	if workerDir == "" {
		t.Fatal("the TestMain of this package does not call dataflowtest.Main")
	}
	if behaviours == nil {
		behaviours = map[string]Behaviour{}
	}
	list, err := json.Marshal(behaviours)
	if err != nil {
		t.Fatal(err)
	}
	if binary, err = workerProgram(); err != nil {
		t.Fatal(err)
	}
	t.Setenv(fake.Env, string(list))
	return binary
}
