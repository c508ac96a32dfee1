package test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/sandboxchild"
)

const filesSpec = `apiVersion: kappa/v1
kind: Comparison
metadata: {name: files}
spec:
  environment: sandbox
  project: kappa-demo
  batch: {files: [old.csv]}
  stream: {files: [new.csv]}
  keys: [{name: origin, type: STRING}]
  window: 1h
  metrics: [{name: flights, type: count}]
  gate: {days: 0}
`

// sandboxProgram is kappa-sandbox: the one in KAPPA_BIN_DIR, else one that is built.
func sandboxProgram(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("KAPPA_BIN_DIR"); bin != "" {
		return filepath.Join(bin, sandboxchild.Program)
	}
	path := filepath.Join(t.TempDir(), sandboxchild.Program)
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/kappa-sandbox").CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", sandboxchild.Program, err, out)
	}
	return path
}

// childrenOf are the processes that one has started.
func childrenOf(pid int) (children []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		var state string
		var parent, child int
		if n, _ := fmt.Sscan(rest, &state, &parent); n == 2 && parent == pid {
			_, _ = fmt.Sscan(string(data), &child)
			children = append(children, child)
		}
	}
	return children
}

// running reports whether a process runs; one that waits to be reaped does not.
func running(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(data), ") ")
	return err == nil && ok && !strings.HasPrefix(rest, "Z")
}

// TestStoppedFilesComparison: however a comparison of files ends, it takes the
// platform in which it compares with it, and leaves no file behind.
func TestStoppedFilesComparison(t *testing.T) {
	sandbox := sandboxProgram(t)
	dir := t.TempDir()
	var rows bytes.Buffer
	rows.WriteString("window_start,origin,flights\n")
	for i := range 300_000 {
		fmt.Fprintf(&rows, "2001-01-08T%02d:00:00Z,K%d,%d\n", i%24, i/24, i%97)
	}
	for name, data := range map[string][]byte{"compare.yaml": []byte(filesSpec), "old.csv": rows.Bytes(), "new.csv": rows.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	spec := filepath.Join(dir, "compare.yaml")
	run := []string{"compare", "run", "-f", spec, "--out", filepath.Join(dir, "out")}
	why := []string{"compare", "why", "K1", "2001-01-08T05:00:00Z", "-f", spec}
	for _, tt := range []struct {
		name, at string // the line of progress at which it is stopped
		signal   os.Signal
		args     []string
		code     int
	}{
		{"Ctrl-C while files are loaded", "load batch: …", os.Interrupt, run, 130},
		{"Ctrl-C while the other side is loaded", "load stream: …", os.Interrupt, run, 130},
		{"Ctrl-C while it compares", "reconcile: …", os.Interrupt, run, 130},
		{"killed while files are loaded", "load stream: …", os.Kill, run, -1},
		{"killed while it compares", "reconcile: …", os.Kill, run, -1},
		{"why, Ctrl-C", "reconcile: …", os.Interrupt, why, 130},
		{"why, killed", "load batch: …", os.Kill, why, -1},
		{"not stopped", "", nil, run, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			temp := t.TempDir()
			cmd := exec.CommandContext(t.Context(), kappa, tt.args...)
			cmd.Env = append(os.Environ(), sandboxchild.EnvOverride+"="+sandbox, "TMPDIR="+temp)
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var children []int
			var said []string
			var once sync.Once
			for lines := bufio.NewScanner(stderr); lines.Scan(); {
				said = append(said, lines.Text())
				if strings.HasPrefix(lines.Text(), cmp.Or(tt.at, "load batch: …")) {
					once.Do(func() {
						children = childrenOf(cmd.Process.Pid)
						if tt.signal != nil {
							_ = cmd.Process.Signal(tt.signal)
						}
					})
				}
			}
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d; stderr:\n%s", code, tt.code, strings.Join(said, "\n"))
			}
			if tt.code == 130 && !strings.HasPrefix(said[len(said)-1], "error: interrupted: ") {
				t.Errorf("it says %q", said[len(said)-1])
			}
			if len(children) != 1 {
				t.Fatalf("children %v, want one", children)
			}
			for deadline := time.Now().Add(30 * time.Second); slices.ContainsFunc(children, running); {
				if time.Now().After(deadline) {
					_ = syscall.Kill(children[0], syscall.SIGKILL)
					t.Fatalf("process %d outlives its parent", children[0])
				}
				<-time.After(20 * time.Millisecond) // between two looks
			}
			if left, _ := os.ReadDir(temp); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if out, _ := os.ReadDir(filepath.Join(dir, "out")); tt.signal != nil && len(out) > 0 {
				t.Errorf("reports of a run that was stopped: %v", out)
			}
		})
	}
}
