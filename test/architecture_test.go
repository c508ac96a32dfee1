package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/kappa-migrate/kappa"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string // direct, tests excluded
	Deps       []string // all
	CgoFiles   []string
}

// list runs go list over patterns; with deps, over all that they import too.
func list(t *testing.T, deps bool, patterns ...string) map[string]pkg {
	t.Helper()
	args := []string{"list", "-json=ImportPath,Standard,Imports,Deps,CgoFiles"}
	if deps {
		args = append(args, "-deps")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, patterns...)...)
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	pkgs := map[string]pkg{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs[p.ImportPath] = p
	}
}

// within reports whether path is the package or folder of the module.
func within(path, folder string) bool {
	full := module + "/" + folder
	return path == full || strings.HasPrefix(path, full+"/")
}

// features are the parts of a migration. They know nothing of each other and
// of the command line: internal/cli hands them to one another.
var features = []string{"bridge", "deploy", "drain", "compare", "load", "serve"}

// TestKappaIsSmall: kappa ships as one static program, without Beam, DuckDB,
// the emulators, and cgo.
func TestKappaIsSmall(t *testing.T) {
	pkgs := list(t, true, "./cmd/kappa")
	if _, ok := pkgs[module+"/internal/cli"]; !ok {
		t.Fatal("go list did not list what kappa imports")
	}
	for path, p := range pkgs {
		for _, banned := range []string{"github.com/apache/beam/", "github.com/duckdb/", "github.com/fsouza/fake-gcs-server", "github.com/twmb/franz-go/pkg/kfake", "cloud.google.com/go/bigtable/bttest"} {
			if strings.HasPrefix(path, banned) {
				t.Errorf("cmd/kappa reaches %s", path)
			}
		}
		if within(path, "pipeline") || within(path, "sandbox") {
			t.Errorf("cmd/kappa reaches %s", path)
		}
		if !p.Standard && len(p.CgoFiles) > 0 {
			t.Errorf("cmd/kappa reaches %s, which needs cgo", path)
		}
	}
}

// TestTruthStandsAlone: what checks the result shares no code with what made it.
func TestTruthStandsAlone(t *testing.T) {
	pkgs := list(t, true, "./cmd/kappa-truth")
	for path := range pkgs {
		if strings.HasPrefix(path, module) && path != module+"/cmd/kappa-truth" {
			t.Errorf("cmd/kappa-truth reaches %s", path)
		}
	}
}

func TestImportRules(t *testing.T) {
	all := list(t, false, "./...")
	if len(all) < 15 {
		t.Fatalf("go list found %d packages", len(all))
	}
	for path, p := range all {
		for _, broken := range brokenRules(p) {
			t.Errorf("%s %s", strings.TrimPrefix(path, module+"/"), broken)
		}
	}
}

// forTests reports whether a package of the module is there for tests alone, as
// its name says: those of several packages share it.
func forTests(path string) bool {
	return strings.HasPrefix(path, module+"/") && strings.HasSuffix(path, "test")
}

// brokenRules says which rules a package breaks.
func brokenRules(p pkg) []string {
	var out []string
	say := func(s string) { out = append(out, s) }
	for _, imp := range p.Imports {
		short := strings.TrimPrefix(imp, module+"/")
		if within(imp, "pipeline") && !within(p.ImportPath, "pipeline") && !within(p.ImportPath, "cmd/kappa-pipeline") {
			say("imports " + short + ": only cmd/kappa-pipeline may")
		}
		if forTests(imp) && !forTests(p.ImportPath) {
			say("imports " + short + ": only tests may")
		}
		if within(imp, "sandbox") && !within(p.ImportPath, "sandbox") && !within(p.ImportPath, "cmd/kappa-sandbox") && !within(p.ImportPath, "bench") && !forTests(p.ImportPath) {
			say("imports " + short + ": only cmd/kappa-sandbox, benchmarks and tests may")
		}
		if within(imp, "internal/cli") && !within(p.ImportPath, "internal/cli") && !within(p.ImportPath, "cmd/kappa") && !within(p.ImportPath, "test") {
			say("imports " + short + ": only cmd/kappa may")
		}
		if within(imp, "jobspecs") || within(imp, "internal") {
			continue
		}
		if within(p.ImportPath, "jobspecs") && strings.HasPrefix(imp, module+"/") {
			say("imports " + short + ": jobspecs stands below all features")
		}
	}
	for _, f := range features {
		if !within(p.ImportPath, f) {
			continue
		}
		for _, dep := range p.Deps {
			if strings.HasPrefix(dep, "github.com/spf13/cobra") {
				say("reaches cobra: commands belong into internal/cli")
			}
			if i := slices.IndexFunc(features, func(other string) bool { return other != f && within(dep, other) }); i >= 0 {
				say("reaches " + features[i] + ": features do not know each other")
			}
		}
	}
	return out
}

// TestBrokenRulesAreFound: the rules above can fail.
func TestBrokenRulesAreFound(t *testing.T) {
	for _, c := range []struct {
		path, imp string
		broken    bool
	}{
		{"internal/cli/demo", "pipeline", true},
		{"cmd/kappa-pipeline", "pipeline", false},
		{"pipeline/source", "pipeline/decode", false},
		{"internal/demo", "sandbox", true},
		{"cmd/kappa-sandbox", "sandbox/pubsub", false},
		{"sandbox", "sandbox/pubsub", false},
		{"bridge", "internal/cli/app", true},
		{"bridge", "jobspecs", false},
		{"deploy", "drain", true},
		{"deploy/plan", "deploy", false},
		{"jobspecs", "bridge", true},
		{"jobspecs", "internal/exit", false},
		{"internal/cli/drain", "drain", false},
		{"internal/cli/deploy/deploytest", "sandbox/sandboxtest", false},
		{"internal/cli/deploy", "internal/cli/deploy/deploytest", true},
	} {
		imp := module + "/" + c.imp
		got := brokenRules(pkg{ImportPath: module + "/" + c.path, Imports: []string{imp}, Deps: []string{imp}})
		if (len(got) > 0) != c.broken {
			t.Errorf("%s imports %s: %v", c.path, c.imp, got)
		}
	}
	if got := brokenRules(pkg{ImportPath: module + "/load", Deps: []string{"github.com/spf13/cobra"}}); len(got) != 1 {
		t.Errorf("cobra in a feature: %v", got)
	}
}
