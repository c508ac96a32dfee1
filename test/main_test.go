// Package test holds the tests of the whole program: scripts and fault tests
// over the real binary, and the rules of who may import whom.
package test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// kappa is the path of the binary that TestMain built.
var kappa string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kappa-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	kappa = filepath.Join(dir, "kappa")
	build := exec.Command("go", "build", "-ldflags", "-X main.version=v0.0.0-test", "-o", kappa, "../cmd/kappa")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build kappa: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
