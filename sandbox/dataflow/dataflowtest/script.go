package dataflowtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kappa-migrate/kappa/sandbox/dataflow"
)

// Script is a script of rules, each an item of a YAML list, as people write them.
func Script(t testing.TB, rules string) dataflow.Script {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script.yaml")
	if err := os.WriteFile(file, []byte("rules:\n"+rules+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := dataflow.LoadScript(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
