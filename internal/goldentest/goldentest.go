// Package goldentest holds what a test makes to the file in which it is kept.
// `go test -update` writes the files anew.
package goldentest

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// Updating reports whether golden files are to be written. It is valid once the
// flags are parsed: in a test, and in a TestMain that parses them.
func Updating() bool { return *update }

// Check compares got with a file, whose path is relative to the folder of the
// test's package; or writes the file.
func Check[T string | []byte](t testing.TB, file string, got T) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s differs; go test -update writes it anew (-want +got):\n%s", file, d)
	}
}
