package test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kappa-migrate/kappa/internal/goldentest"
)

// TestScripts runs testdata/script over the real binary. Scripts see no
// environment of ours: no emulator address, no credentials.
func TestScripts(t *testing.T) {
	examples, err := filepath.Abs("../jobspecs/examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: goldentest.Updating(),
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(kappa)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("EXAMPLES", examples)
			return nil
		},
	})
}
