package terraform

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/goldentest"
	"github.com/kappa-migrate/kappa/jobspecs"
)

const examples = "../../jobspecs/examples/"

// vars gives a value to every variable that has no default.
var vars = jobspecs.Vars{Lookup: func(name string) (string, bool) { return "kafka:9092", name == "KAFKA_BROKERS" }}

func load(t testing.TB, paths ...string) *jobspecs.Set {
	t.Helper()
	set, err := jobspecs.Load(paths, vars)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func generate(t testing.TB, set *jobspecs.Set, o Options) *Configuration {
	t.Helper()
	c, err := Generate(set, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// all prints a configuration as one text.
func all(c *Configuration) string {
	var b strings.Builder
	for _, f := range c.Files {
		fmt.Fprintf(&b, "### %s\n%s", f.Name, f.Text)
	}
	b.WriteString("### resources\n")
	for _, r := range c.Resources {
		fmt.Fprintf(&b, "%s %s %s\n", r.File, r.Address, strings.Join(r.Instances, ","))
	}
	return b.String()
}

type testCase struct {
	name    string
	paths   []string
	options Options
}

// cases are the examples, and specs that are unlike them.
var cases = []testCase{
	{"flights", []string{examples + "flights"}, Options{}},
	{"flights-tables", []string{examples + "flights/stream.yaml", examples + "flights/load.yaml", examples + "flights/compare.yaml"}, Options{Tables: true}},
	{"two-step", []string{examples + "two-step"}, Options{}},
	{"other", []string{examples + "other"}, Options{Tables: true}},
	{"history", []string{examples + "compare-history"}, Options{}},
	{"load", []string{examples + "flights/load.yaml"}, Options{}},
	{"large", []string{"testdata/large.yaml"}, Options{}},
}

func TestGolden(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := all(generate(t, load(t, c.paths...), c.options))
			goldentest.Check(t, "testdata/"+c.name+".golden", got)
			if again := all(generate(t, load(t, c.paths...), c.options)); again != got {
				t.Errorf("another run gave another text:\n%s", cmp.Diff(got, again))
			}
		})
	}
}

// everything is the cases, and every other example there is.
func everything(t *testing.T) []testCase {
	entries, err := os.ReadDir(examples)
	if err != nil {
		t.Fatal(err)
	}
	list := slices.Clone(cases)
	for _, e := range entries {
		if e.IsDir() && e.Name() != "compare-files" { // which needs nothing on Google Cloud
			list = append(list, testCase{e.Name() + " with tables", []string{examples + e.Name()}, Options{Tables: true}})
		}
	}
	return list
}

var (
	declared   = regexp.MustCompile(`(?m)^(resource|data) "([a-z_]+)" "([A-Za-z0-9_]+)" \{$`)
	variables  = regexp.MustCompile(`(?m)^variable "([A-Za-z0-9_]+)" \{$`)
	references = regexp.MustCompile(`\b(google_[a-z_]+|var|data\.google_project)\.([A-Za-z0-9_]+)`)
)

// Whatever is referred to is declared, once, and every file can be read.
func TestComplete(t *testing.T) {
	for _, c := range everything(t) {
		t.Run(c.name, func(t *testing.T) {
			conf := generate(t, load(t, c.paths...), c.options)
			have := map[string]int{}
			var listed []string
			for _, f := range conf.Files {
				if !strings.HasPrefix(f.Text, Marker+"\n") {
					t.Errorf("%s does not begin with the marker", f.Name)
				}
				tokens, err := tokenize(f.Text)
				if err == nil {
					err = balanced(tokens)
				}
				if err != nil {
					t.Errorf("%s: %v", f.Name, err)
				}
				for _, m := range declared.FindAllStringSubmatch(f.Text, -1) {
					if m[1] == "data" {
						m[2] = "data." + m[2]
					} else {
						listed = append(listed, m[2]+"."+m[3])
					}
					have[m[2]+"."+m[3]]++
				}
				for _, m := range variables.FindAllStringSubmatch(f.Text, -1) {
					have["var."+m[1]]++
				}
			}
			for _, f := range conf.Files {
				for _, m := range references.FindAllStringSubmatch(f.Text, -1) {
					if have[m[0]] == 0 && have["data."+m[0]] == 0 {
						t.Errorf("%s refers to %s, which is not declared", f.Name, m[0])
					}
				}
			}
			for what, n := range have {
				if n > 1 {
					t.Errorf("%s is declared %d times", what, n)
				}
			}
			var addresses []string
			for _, r := range conf.Resources {
				addresses = append(addresses, r.Address)
			}
			if d := cmp.Diff(listed, addresses); d != "" {
				t.Errorf("resources listed (-declared +listed):\n%s", d)
			}
		})
	}
}

// Where there is a terraform, it finds nothing to format: it can read what is
// written, too.
func TestFormatted(t *testing.T) {
	tool, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("there is no terraform here; TestComplete reads the files by a reader of its own")
	}
	for _, c := range everything(t) {
		dir := t.TempDir()
		for _, f := range generate(t, load(t, c.paths...), c.options).Files {
			if err := os.WriteFile(filepath.Join(dir, f.Name), []byte(f.Text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.CommandContext(t.Context(), tool, "fmt", "-check", "-diff", "-no-color", dir).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
	}
}

func TestNothingNeeded(t *testing.T) {
	set := load(t, examples+"two-step")
	set.Bridges = set.Bridges[:1] // from Kafka to Kafka
	if _, err := Generate(set, Options{}); exit.Of(err) != exit.Usage {
		t.Errorf("got %v", err)
	}
}

func TestRetention(t *testing.T) {
	for horizon, want := range map[time.Duration]time.Duration{
		time.Hour: 7 * day, 6*day + 12*time.Hour: 7 * day, 10 * day: 11 * day, 31 * day: 31 * day,
	} {
		j := &jobspecs.StreamJob{}
		j.Spec.Horizon = jobspecs.Duration(horizon)
		j.Spec.Update.DrainTimeout = jobspecs.Duration(30 * time.Minute)
		if got := Retention(j); got != want {
			t.Errorf("horizon %s: %s, want %s", horizon, got, want)
		}
	}
}
