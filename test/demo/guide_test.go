//go:build demo

package demo

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// TestGuide runs a demo without any flag but --keep, checks its numbers, and then
// runs every command of the guide, in order, in one shell, against the sandbox
// that the demo left up, as the guide says.
func TestGuide(t *testing.T) {
	bin := binaries(t)
	dir := t.TempDir()
	if err := os.Symlink(bin, filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("../../docs/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\n"
	blocks := shellBlock.FindAllSubmatch(guide, -1)
	for _, b := range blocks {
		script += string(b[1])
	}
	if len(blocks) < 8 || !strings.Contains(script, "compare run") {
		t.Fatalf("only %d blocks found in the guide", len(blocks))
	}

	demo := exec.Command(filepath.Join(bin, "kappa"), "demo", "--keep")
	demo.Dir = dir
	var output bytes.Buffer
	demo.Stdout, demo.Stderr = &output, &output
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- demo.Wait() }()
	t.Cleanup(func() {
		_ = demo.Process.Kill()
		waitForNone(t, bin)
	})
	waitForFile(t, filepath.Join(dir, "out/demo/sandbox.env"), 3*time.Minute)
	checkDefaults(t, readSummary(t, filepath.Join(dir, "out/demo")))

	shell := exec.Command("bash", "-xc", script)
	shell.Dir = dir
	text, err := shell.CombinedOutput()
	t.Logf("%s", text)
	if err != nil {
		t.Fatalf("the guide's commands: %v", err)
	}
	checkCompared(t, filepath.Join(dir, "out/compare.json"))

	if err := demo.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the demo: %v\n%s", err, output.Bytes())
	}
	if _, err := os.Stat(filepath.Join(dir, "out/demo/sandbox.env")); err == nil {
		t.Error("sandbox.env is left behind after the sandbox is gone")
	}
}

// checkCompared: after a second generation of every job, with nothing new to
// read, and a second load, the numbers must be those of the demo.
func checkCompared(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Keys struct {
			Total, Exact, Mismatch, Extra, Nonunique int64
		} `json:"keys"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	if c := r.Keys; c.Total != 16_459 || c.Exact != 15_728 || c.Mismatch != 644 || c.Extra != 87 || c.Nonunique != 0 {
		t.Errorf("counts %+v", c)
	}
}

func waitForFile(t *testing.T, path string, limit time.Duration) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not there after %s", path, limit)
		}
		time.Sleep(50 * time.Millisecond) // between two looks, with a deadline
	}
}

func waitForNone(t *testing.T, dir string) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for len(processes(dir)) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("still running: %q", processes(dir))
		}
		time.Sleep(20 * time.Millisecond) // between two looks, with a deadline
	}
}
