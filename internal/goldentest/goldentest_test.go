package goldentest

import (
	"os"
	"path/filepath"
	"testing"
)

// recorder takes the place of a test that may fail.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

// A difference fails a test, unless the file is to be written.
func TestCheck(t *testing.T) {
	defer func(was bool) { *update = was }(*update)
	file := filepath.Join(t.TempDir(), "file")
	for _, c := range []struct {
		update, fails bool
		got, kept     string
	}{
		{update: true, got: "a\n", kept: "a\n"},
		{got: "a\n", kept: "a\n"},
		{got: "a", kept: "a\n", fails: true},
		{update: true, got: "b\n", kept: "b\n"},
	} {
		*update = c.update
		r := &recorder{TB: t}
		Check(r, file, c.got)
		kept, err := os.ReadFile(file)
		if r.failed != c.fails || err != nil || string(kept) != c.kept {
			t.Errorf("%+v: failed %t, the file holds %q, %v", c, r.failed, kept, err)
		}
	}
}
