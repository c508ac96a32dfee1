package specflags

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/exit"
)

const load = `apiVersion: kappa/v1
kind: BatchLoad
variables: {DATASET: {default: kappa}}
metadata: {name: %}
spec:
  project: kappa-demo
  source: {uri: gs://b/}
  dataset: ${DATASET}
  table: t
  keys: [{name: k, type: STRING}]
  metrics: [{name: m, type: INT64}]
`

func files(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, n := range names {
		if err := os.WriteFile(filepath.Join(dir, n+".yaml"), []byte(strings.ReplaceAll(load, "%", n)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func parse(t *testing.T, args ...string) *Flags {
	t.Helper()
	cmd := &cobra.Command{Use: "x"}
	f := Add(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPick(t *testing.T) {
	one, two := files(t, "one"), files(t, "one", "two")
	for _, c := range []struct {
		name string
		args []string
		want string // name of the document, or part of the error and its hint
		code exit.Code
	}{
		{"the only one", []string{"-f", one}, "one", exit.OK},
		{"by name", []string{"-f", two, "--name", "two"}, "two", exit.OK},
		{"by file", []string{"--file", two + "/one.yaml", "-f", two + "/two.yaml", "--name", "one"}, "one", exit.OK},
		{"which of two", []string{"-f", two}, "--name: one, two", exit.Usage},
		{"misspelt name", []string{"-f", files(t, "flights"), "--name", "fligths"}, "did you mean flights?", exit.Usage},
		{"wrong name", []string{"-f", two, "--name", "nothing-like-it"}, "there are one, two", exit.Usage},
		{"no file", nil, "with -f", exit.Usage},
		{"missing file", []string{"-f", one + "/nope.yaml"}, "nope.yaml", exit.Environment},
		{"bad --set", []string{"-f", one, "--set", "DATASET"}, "is not NAME=VALUE", exit.Usage},
		{"--set without a name", []string{"-f", one, "--set", "=x"}, "is not NAME=VALUE", exit.Usage},
		{"--set twice", []string{"-f", one, "--set", "DATASET=a", "--set", "DATASET=b"}, "DATASET twice", exit.Usage},
		{"unused --set", []string{"-f", one, "--set", "DATASTE=a"}, "did you mean DATASET?", exit.Usage},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, _, err := parse(t, c.args...).BatchLoad()
			if exit.Of(err) != c.code {
				t.Fatalf("exit code %d, want %d: %v", exit.Of(err), c.code, err)
			}
			if err == nil {
				if d.Metadata.Name != c.want {
					t.Errorf("got %s, want %s", d.Metadata.Name, c.want)
				}
				return
			}
			text := err.Error()
			if e, ok := err.(*exit.Error); ok {
				text += "\n" + e.Hint
			}
			if !strings.Contains(text, c.want) {
				t.Errorf("%q does not say %q", text, c.want)
			}
		})
	}
}

func TestEnv(t *testing.T) {
	dir := files(t, "one")
	overlays := strings.ReplaceAll(load, "%", "two") + "overlays:\n  staging: {spec: {dataset: staging}}\n  production: {}\n"
	if err := os.WriteFile(filepath.Join(dir, "two.yaml"), []byte(overlays), 0o600); err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]string{"": "kappa", "staging": "staging", "production": "kappa"} {
		args := []string{"-f", dir, "--name", "two"}
		if env != "" {
			args = append(args, "--env", env)
		}
		d, _, err := parse(t, args...).BatchLoad()
		if err != nil || d.Spec.Dataset != want {
			t.Errorf("%q: %v, %v", env, d, err)
		}
	}
	_, _, err := parse(t, "-f", dir, "--name", "two", "--env", "stagin").BatchLoad()
	if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "did you mean staging?") {
		t.Errorf("misspelt: %v", err)
	}
	for _, args := range [][]string{{"--env="}, {"--env", ""}, {"--env", "a", "--env", "b"}} {
		cmd := &cobra.Command{Use: "x"}
		Add(cmd)
		if err := cmd.ParseFlags(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

func TestEnvCompletion(t *testing.T) {
	cmd := &cobra.Command{Use: "x", Run: func(*cobra.Command, []string) {}}
	Add(cmd)
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs([]string{cobra.ShellCompNoDescRequestCmd, "-f", "../../../jobspecs/examples/environments", "--env", ""})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "production\nstaging\n:4\n") {
		t.Errorf("completes to %q", out.String())
	}
}

func TestSetValuesMayHoldSigns(t *testing.T) {
	v, err := Vars([]string{"A=b=c,d", "B="})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"A": "b=c,d", "B": ""}, v.Set); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestOtherKinds(t *testing.T) {
	f := parse(t, "-f", "../../../jobspecs/examples/flights", "--set", "KAFKA_BROKERS=kafka:9092")
	b, set, err := f.Bridge()
	if err != nil || b != set.Bridges[0] {
		t.Errorf("bridge: %v", err)
	}
	j, set, err := f.StreamJob()
	if err != nil || j != set.StreamJobs[0] {
		t.Errorf("stream job: %v", err)
	}
	c, set, err := f.Comparison()
	if err != nil || c != set.Comparisons[0] {
		t.Errorf("comparison: %v", err)
	}
	_, _, err = parse(t, "-f", files(t, "one")).Bridge()
	if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "hold no Bridge") {
		t.Errorf("no bridge: %v", err)
	}
}

func TestTime(t *testing.T) {
	for in, want := range map[string]time.Time{
		"":                          {},
		"2001-01-08":                time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC),
		"2001-01-08T06:00:00Z":      time.Date(2001, 1, 8, 6, 0, 0, 0, time.UTC),
		"2001-01-08T06:00:00+02:00": time.Date(2001, 1, 8, 4, 0, 0, 0, time.UTC),
	} {
		if got, err := Time("--from", in); err != nil || !got.Equal(want) {
			t.Errorf("Time(%q) = %v, %v", in, got, err)
		}
	}
}
