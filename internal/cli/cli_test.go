package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/exit"
)

func testApp() (a *app.App, out, errs *bytes.Buffer) {
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	return &app.App{In: strings.NewReader(""), Out: out, Err: errs, Version: "v1.2.3"}, out, errs
}

// leaves are all commands that do something themselves.
func leaves(cmd *cobra.Command) []*cobra.Command {
	if !cmd.HasSubCommands() {
		if cmd.Runnable() {
			return []*cobra.Command{cmd}
		}
		return nil
	}
	var out []*cobra.Command
	for _, c := range cmd.Commands() {
		out = append(out, leaves(c)...)
	}
	return out
}

func newTree(t *testing.T) *cobra.Command {
	t.Helper()
	a, _, _ := testApp()
	return New(a)
}

func TestEveryCommandIsDocumented(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short text %q", cmd.CommandPath(), cmd.Short)
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	root := newTree(t)
	walk(root)
	all := leaves(root)
	if len(all) < 10 {
		t.Fatalf("only %d commands", len(all))
	}
	for _, cmd := range all {
		if cmd.Long == "" {
			t.Errorf("%s has no long text", cmd.CommandPath())
		}
		// cobra's own completion commands show their examples in the long text.
		if cmd.Example == "" && cmd.Parent().Name() != "completion" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		if c := cmd.Root(); c != root {
			t.Errorf("%s is not in the tree", cmd.CommandPath())
		}
	}
}

// TestEveryExampleParses: an example that the program refuses is worse than none.
func TestEveryExampleParses(t *testing.T) {
	var examples int
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			examples++
			if err := parses(newTree(t), line); err != nil {
				t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
			}
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(newTree(t))
	if examples < 20 {
		t.Errorf("only %d examples", examples)
	}
}

func parses(root *cobra.Command, line string) error {
	words, err := apptest.Split(line)
	if err != nil {
		return err
	}
	if len(words) == 0 || words[0] != "kappa" {
		return errors.New("it is no command of kappa")
	}
	cmd, rest, err := root.Find(words[1:])
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd.HasSubCommands() {
		return errors.New("the command only holds others")
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return err
	}
	return checkOutput(cmd, cmd.Flag("output").Value.String())
}

// TestExamplesOfExamples: the check above does find what is wrong.
func TestExamplesOfExamples(t *testing.T) {
	for _, bad := range []string{
		"kapa demo", "kappa dmeo", "kappa demo --nope", "kappa validate", "kappa bridge", "kappa version x", "kappa version --output env", "kappa demo --duplicates many",
	} {
		if parses(newTree(t), bad) == nil {
			t.Errorf("%q parses", bad)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		args string
		code exit.Code
		want []string
	}{
		{"dmeo", exit.Usage, []string{`error: kappa has no command "dmeo"`, "did you mean `kappa demo`?"}},
		{"nothing-like-it", exit.Usage, []string{"run `kappa --help`"}},
		{"bridge rnu", exit.Usage, []string{"did you mean `kappa bridge run`?"}},
		{"help nope", exit.Usage, []string{`no command "nope"`}},
		{"help bridge nope", exit.Usage, []string{`kappa bridge has no command "nope"`}},
		{"version --ouput json", exit.Usage, []string{"kappa version has no flag --ouput", "did you mean --output?"}},
		{"version -q", exit.Usage, []string{"no flag -q"}},
		{"version extra", exit.Usage, []string{"kappa version --help"}},
		{"version --output yaml", exit.Usage, []string{`--output "yaml"`, "text or json"}},
		{"version --output env", exit.Usage, []string{`--output "env"`}},
		{"version --log-level loud", exit.Usage, []string{"debug, info, warn, error"}},
		{"version --log-format xml", exit.Usage, []string{"neither text nor json"}},
		{"validate", exit.Usage, []string{"kappa validate --help"}},
		{"validate nope.yaml", exit.Environment, []string{"nope.yaml"}},
		{"demo --duplicates many", exit.Usage, []string{"duplicates", "kappa demo --help"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			a, out, errs := testApp()
			if got := Run(t.Context(), a, strings.Fields(c.args)); got != c.code {
				t.Errorf("exit code %d, want %d", got, c.code)
			}
			for _, w := range c.want {
				if !strings.Contains(errs.String(), w) {
					t.Errorf("stderr does not say %q:\n%s", w, errs)
				}
			}
			if out.Len() > 0 {
				t.Errorf("stdout: %s", out)
			}
			if n := strings.Count(errs.String(), "error: "); n != 1 {
				t.Errorf("the error is printed %d times:\n%s", n, errs)
			}
		})
	}
}

// TestErrorsAsJSON: also where the command line is so wrong that --output is
// not reached.
func TestErrorsAsJSON(t *testing.T) {
	for _, args := range []string{"validate nope.yaml --output json", "version --nope --output json", "version --nope --output=json", "nope --output json"} {
		a, out, errs := testApp()
		code := Run(t.Context(), a, strings.Fields(args))
		var got struct {
			Error struct {
				Message string
				Code    exit.Code
				Hint    string
			}
		}
		if err := json.Unmarshal(errs.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, errs)
		}
		if got.Error.Message == "" || got.Error.Code != code || code == exit.OK || out.Len() > 0 {
			t.Errorf("%s: code %d, %+v, stdout %q", args, code, got, out)
		}
	}
}

func TestGroupsShowTheirHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"bridge"}, {"compare"}} {
		a, out, _ := testApp()
		if code := Run(t.Context(), a, args); code != exit.OK || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%v: code %d\n%s", args, code, out)
		}
	}
}

func TestExitCodesAreDocumented(t *testing.T) {
	a, out, _ := testApp()
	if code := Run(t.Context(), a, []string{"help", "exit-codes"}); code != exit.OK {
		t.Fatalf("exit code %d", code)
	}
	for _, row := range exit.Table {
		if !strings.Contains(out.String(), row.Meaning) {
			t.Errorf("%q is missing:\n%s", row.Meaning, out)
		}
	}
}

func TestBrokenPipe(t *testing.T) {
	wrap := func(err error) error { return errors.Join(errors.New("print the result"), err) }
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&fs.PathError{Op: "write", Path: os.Stdout.Name(), Err: syscall.EPIPE}, true},
		{wrap(&fs.PathError{Op: "write", Path: os.Stdout.Name(), Err: syscall.EPIPE}), true},
		{&fs.PathError{Op: "write", Path: os.Stdout.Name(), Err: syscall.ENOSPC}, false},
		{&fs.PathError{Op: "write", Path: "/tmp/fifo", Err: syscall.EPIPE}, false},
		{syscall.EPIPE, false}, // of a connection
		{nil, false},
	} {
		if got := brokenPipe(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

// TestPrintedErrorsAreNotPrintedAgain, but keep their exit code.
func TestPrintedErrorsAreNotPrintedAgain(t *testing.T) {
	var b bytes.Buffer
	err := &exit.Error{Code: exit.GateNotMet, Err: errors.New("verdict HOLD"), Printed: true}
	report(&b, err, false)
	report(&b, err, true)
	if b.Len() > 0 {
		t.Errorf("printed %q", &b)
	}
}

func TestACancelledContextIsAnInterruption(t *testing.T) {
	if code := exit.Of(context.Canceled); code != exit.Interrupted {
		t.Errorf("exit code %d", code)
	}
}
