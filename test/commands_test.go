package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/goldentest"
)

// result is what one run of the binary gave.
type result struct {
	code        exit.Code
	out, stderr string
}

// exec runs the binary in dir with nothing in its environment.
func execute(t *testing.T, dir string, args ...string) result {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), kappa, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &stderr
	cmd.Env = []string{"HOME=" + dir, "PATH=/nonexistent"}
	err := cmd.Run()
	var ee *exec.ExitError
	if err != nil && !errors.As(err, &ee) {
		t.Fatal(err)
	}
	return result{exit.Code(cmd.ProcessState.ExitCode()), out.String(), stderr.String()}
}

// leaves are all commands that do something themselves, as their words.
func leaves(cmd *cobra.Command, words []string) map[string]*cobra.Command {
	out := map[string]*cobra.Command{}
	if !cmd.HasSubCommands() {
		if cmd.Runnable() {
			out[strings.Join(words, " ")] = cmd
		}
		return out
	}
	for _, c := range cmd.Commands() {
		for k, v := range leaves(c, append(words[:len(words):len(words)], c.Name())) {
			out[k] = v
		}
	}
	return out
}

// needed is what a command cannot do without, beside the specs.
var needed = map[string][]string{
	"bridge accept": {"--partition", "flights/0", "--by", "ada", "--reason", "trial"},
	"bridge locate": {"c0e0de33-5f00-8050-8000-075bcd150000"},
	"backfill":      {"--from", "2001-01-08T00:00:00Z", "--to", "2001-01-09T00:00:00Z", "--archive", "gs://archive/*.avro"},
	"compare why":   {"ORD", "2001-01-08T06:00:00Z"},
	"deploy adopt":  {"--job", "flights-0=2026-01-02_03_04_05-12"},
	"repair":        {"--void", "flights-0@1", "--archive", "gs://archive/*.avro", "--reason", "trial"},
}

// TestEveryCommand: the manners that all commands share, found by walking the
// tree, so that a new command cannot be forgotten.
func TestEveryCommand(t *testing.T) {
	tree := cli.New(&app.App{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
	all := leaves(tree, nil)
	for _, want := range []string{"validate", "schema", "bridge run", "sandbox", "demo", "deploy apply", "drain", "load run", "compare run", "compare gate", "compare init", "compare schedule", "compare why", "compare duplicates", "export terraform", "version", "completion bash", "help"} {
		if all[want] == nil {
			t.Errorf("there is no command %q", want)
		}
	}
	for words, cmd := range all {
		t.Run(strings.ReplaceAll(words, " ", "_"), func(t *testing.T) {
			args := strings.Fields(words)
			testHelp(t, args)
			testBadFlag(t, args)
			testBadOutput(t, args)
			if cmd.Flags().Lookup("file") != nil {
				testSpecs(t, append(args, needed[words]...))
			}
		})
	}
}

func testHelp(t *testing.T, args []string) {
	r := execute(t, t.TempDir(), append(args, "--help")...)
	if r.code != exit.OK || r.stderr != "" || !strings.Contains(r.out, "Usage:\n  kappa "+strings.Join(args, " ")) {
		t.Errorf("--help: %+v", r)
	}
}

func testBadFlag(t *testing.T, args []string) {
	r := execute(t, t.TempDir(), append(args, "--ouptut", "json")...)
	if r.code != exit.Usage || r.out != "" || !strings.Contains(r.stderr, "has no flag --ouptut") || !strings.Contains(r.stderr, "hint: did you mean --output?") {
		t.Errorf("bad flag: %+v", r)
	}
}

func testBadOutput(t *testing.T, args []string) {
	// Enough arguments for those that want some.
	r := execute(t, t.TempDir(), append(args, "--output", "papyrus")...)
	if r.code != exit.Usage || r.out != "" {
		t.Errorf("bad --output: %+v", r)
	}
}

// testSpecs: what all commands do that take specs.
func testSpecs(t *testing.T, args []string) {
	dir := t.TempDir()
	broken, err := os.ReadFile("testdata/broken.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.yaml"), broken, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := execute(t, dir, args...); r.code != exit.Usage || !strings.Contains(r.stderr, "with -f") {
		t.Errorf("no spec: %+v", r)
	}
	if r := execute(t, dir, append(args, "-f", "nope.yaml")...); r.code != exit.Environment || !strings.Contains(r.stderr, "nope.yaml") {
		t.Errorf("missing file: %+v", r)
	}
	r := execute(t, dir, append(args, "-f", "broken.yaml")...)
	if r.code != exit.Usage || r.out != "" {
		t.Errorf("broken spec: %+v", r)
	}
	goldentest.Check(t, "testdata/broken.golden", r.stderr)

	r = execute(t, dir, append(args, "-f", "broken.yaml", "--output", "json")...)
	var got struct {
		Error struct {
			Code  exit.Code
			Specs []struct {
				File         string
				Line, Column int
				Code         string
			}
		}
	}
	if err := json.Unmarshal([]byte(r.stderr), &got); err != nil {
		t.Fatalf("broken spec as JSON: %v\n%s", err, r.stderr)
	}
	if got.Error.Code != exit.Usage || len(got.Error.Specs) == 0 {
		t.Errorf("broken spec as JSON: %s", r.stderr)
	}
	for _, e := range got.Error.Specs {
		if e.File != "broken.yaml" || e.Line == 0 || e.Column == 0 || e.Code == "" {
			t.Errorf("an error without place or code: %+v", e)
		}
	}
}
