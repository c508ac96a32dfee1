// Package operations tests what operators are given: the guide to the bridge
// (docs/bridge.md) and the examples beside it. Every command is one that kappa
// has, every spec loads, and every metric and label is one that a bridge shows.
package operations

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/kappa-migrate/kappa/jobspecs"
)

const (
	guide    = "../../docs/bridge.md"
	examples = "../../examples/bridge"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// load loads a document of kind Bridge.
func load(t *testing.T, name, text string) *jobspecs.Bridge {
	t.Helper()
	b, err := tryLoad(t, name, text)
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
	return b
}

func tryLoad(t *testing.T, name, text string) (*jobspecs.Bridge, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := jobspecs.Load([]string{path}, jobspecs.Vars{Lookup: func(string) (string, bool) { return "", false }})
	if err != nil {
		return nil, err
	}
	if len(set.Bridges) != 1 {
		return nil, fmt.Errorf("%d documents of kind Bridge", len(set.Bridges))
	}
	return set.Bridges[0], nil
}
