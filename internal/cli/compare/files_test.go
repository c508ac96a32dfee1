package compare

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	domain "github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
)

// useSandbox makes the commands find kappa-sandbox: the one in KAPPA_BIN_DIR,
// else one that is built once.
func useSandbox(t *testing.T) {
	t.Helper()
	path, err := sandboxProgram()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(sandboxchild.EnvOverride, path)
}

var sandboxProgram = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("KAPPA_BIN_DIR"); bin != "" {
		return filepath.Join(bin, sandboxchild.Program), nil
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("kappa-compare-test-%d", os.Getpid()), sandboxchild.Program)
	out, err := exec.Command("go", "build", "-o", path, "github.com/kappa-migrate/kappa/cmd/kappa-sandbox").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", sandboxchild.Program, err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("KAPPA_BIN_DIR") == "" {
		_ = os.RemoveAll(filepath.Join(os.TempDir(), fmt.Sprintf("kappa-compare-test-%d", os.Getpid()))) // if it was built
	}
	os.Exit(code)
}

// children are the processes that this one has started and that still run.
func children(t *testing.T) (names []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		head, rest, _ := strings.Cut(string(data), ") ")
		var state string
		var parent int
		if n, _ := fmt.Sscan(rest, &state, &parent); n == 2 && parent == os.Getpid() && state != "Z" {
			names = append(names, head)
		}
	}
	return names
}

// The commands of the page on files do what it says, and leave nothing behind.
func TestFilesAsDocumented(t *testing.T) {
	useSandbox(t)
	t.Chdir("../../..")
	page, err := os.Open("docs/compare-files.md")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	want := map[string]exit.Code{"run": exit.GateNotMet, "plan": exit.OK}
	ran := map[string]bool{}
	for lines := bufio.NewScanner(page); lines.Scan(); {
		line, ok := strings.CutPrefix(lines.Text(), "kappa compare ")
		if !ok {
			continue
		}
		args, err := apptest.Split(line)
		if err != nil {
			t.Fatal(err)
		}
		out, errs, err := apptest.Run(t, "json", New, args...)
		if exit.Of(err) != want[args[0]] {
			t.Fatalf("kappa compare %s: %v (code %d), want code %d\n%s", line, err, exit.Of(err), want[args[0]], errs)
		}
		ran[args[0]] = true
		if args[0] != "run" {
			continue
		}
		var res domain.Result
		if err := json.Unmarshal([]byte(out), &res); err != nil {
			t.Fatal(err)
		}
		if c := res.Counts; c.Total != 90 || c.Exact != 80 || c.Mismatch != 10 {
			t.Errorf("counts %+v, want 90 keys, 80 exact and 10 that mismatch", c)
		}
		if b := res.Scope.Batch; b.Kind != domain.SideFiles || len(b.Files) != 1 {
			t.Errorf("batch side %+v, want the files", b)
		}
		if !strings.Contains(errs, "batch: 90 rows of batch.csv; guessed from all values: hour TIMESTAMP") {
			t.Errorf("it is not said what was guessed:\n%s", errs)
		}
	}
	if len(ran) != len(want) {
		t.Errorf("the page shows %v, want run and plan", ran)
	}
	if left := children(t); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// What is wrong with files is said, with a code of its own, and never a verdict.
func TestFilesThatCannotBeCompared(t *testing.T) {
	useSandbox(t)
	const head = "window_start,origin,flights\n"
	for name, tt := range map[string]struct {
		batch, stream string // the stream's file; empty: there is none
		code          exit.Code
		want          string
	}{
		"no file":      {head + "2001-01-08,ATL,1\n", "", exit.Environment, "stream.files: no file matches stream.csv"},
		"an empty one": {head + "2001-01-08,ATL,1\n", head, exit.NoData, "NO DATA: the files of the stream side hold no rows"},
		"both empty":   {head, head, exit.NoData, "NO DATA"},
		"a bad row":    {head + "2001-01-08,ATL,one\n", head + "2001-01-08,ATL,1\n", exit.Environment, `batch.csv:2: flights is "one", which is no INT64`},
		"no window":    {head + ",ATL,1\n", head + "2001-01-08,ATL,1\n", exit.Environment, "belongs to no window"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"batch.csv": tt.batch, "stream.csv": tt.stream, "compare.yaml": `apiVersion: kappa/v1
kind: Comparison
metadata: {name: files}
spec:
  environment: sandbox
  project: kappa-demo
  batch: {files: [batch.csv]}
  stream: {files: [stream.csv]}
  keys: [{name: origin, type: STRING}]
  window: 1h
  metrics: [{name: flights, type: count}]
`} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			out, _, err := apptest.Run(t, "text", New, "run", "-f", filepath.Join(dir, "compare.yaml"))
			if exit.Of(err) != tt.code || !strings.Contains(fmt.Sprint(err), tt.want) || out != "" {
				t.Errorf("%v (code %d), want %q (code %d); printed %q", err, exit.Of(err), tt.want, tt.code, out)
			}
			if left := children(t); len(left) > 0 {
				t.Errorf("processes are left: %v", left)
			}
		})
	}
}

// Without the program there is nothing to compare in.
func TestFilesWithoutASandbox(t *testing.T) {
	t.Setenv(sandboxchild.EnvOverride, filepath.Join(t.TempDir(), "none"))
	_, _, err := apptest.Run(t, "text", New, "run", "-f", "../../../examples/compare-files/compare.yaml")
	var coded *exit.Error
	if !errors.As(err, &coded) || coded.Code != exit.Environment {
		t.Errorf("%v, want code %d", err, exit.Environment)
	}
}
