package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/suggest"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Run runs the command line args, without the program's name, and returns the
// exit code. Errors are printed once, here.
func Run(ctx context.Context, a *app.App, args []string) exit.Code {
	root := New(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if brokenPipe(err) {
		return exit.OK // whoever read the results has seen enough
	}
	if err == nil {
		return exit.OK
	}
	code := exit.Of(err)
	if code == exit.Interrupted {
		err = fmt.Errorf("interrupted: %w", err)
	}
	report(a.Err, err, a.JSON() || wantsJSON(args))
	return code
}

// brokenPipe reports whether err says that the reader of stdout is gone. Other
// pipes and connections break too, hence the look at the name.
func brokenPipe(err error) bool {
	var pe *fs.PathError
	return errors.As(err, &pe) && pe.Path == os.Stdout.Name() && errors.Is(pe.Err, syscall.EPIPE)
}

// wantsJSON looks for --output json where the command line could not be parsed.
func wantsJSON(args []string) bool {
	for i, arg := range args {
		if arg == "--output=json" || (arg == "--output" && i+1 < len(args) && args[i+1] == "json") {
			return true
		}
	}
	return false
}

// report prints err: for people as `error: …` and `  hint: …`, for programs as
// one JSON object.
func report(w io.Writer, err error, asJSON bool) {
	var hint string
	var e *exit.Error
	if errors.As(err, &e) {
		if e.Printed {
			return
		}
		hint = e.Hint
	}
	if !asJSON {
		fmt.Fprintf(w, "error: %s\n", err)
		if hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", hint)
		}
		return
	}
	type body struct {
		Message string          `json:"message"`
		Code    exit.Code       `json:"code"`
		Hint    string          `json:"hint,omitempty"`
		Specs   jobspecs.Errors `json:"specs,omitempty"`
	}
	b := body{Message: err.Error(), Code: exit.Of(err), Hint: hint}
	if errors.As(err, &b.Specs) {
		b.Message = "errors in the specs" // each stands in Specs
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(struct {
		Error body `json:"error"`
	}{b})
}

// prepare gives every command of the tree the same manners: wrong usage is
// exit code 2 with a suggestion, a group without a command shows its help.
func prepare(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(flagError)
	cmd.DisableAutoGenTag = true
	for _, c := range cmd.Commands() {
		prepare(c)
	}
	if !cmd.Runnable() && cmd.HasSubCommands() {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = group
		cmd.DisableFlagsInUseLine = true
		return
	}
	if args := cmd.Args; args != nil {
		cmd.Args = func(c *cobra.Command, a []string) error { return usage(c, args(c, a)) }
	}
	// Required flags and flag groups are checked by cobra itself, after PreRun.
	pre, preE := cmd.PreRun, cmd.PreRunE
	cmd.PreRun, cmd.PreRunE = nil, func(c *cobra.Command, a []string) error {
		if preE != nil {
			if err := preE(c, a); err != nil {
				return err
			}
		} else if pre != nil {
			pre(c, a)
		}
		if err := c.ValidateRequiredFlags(); err != nil {
			return usage(c, err)
		}
		return usage(c, c.ValidateFlagGroups())
	}
}

// group is what a command does that only holds others.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(append(names, c.Name()), c.Aliases...)
		}
	}
	hint := fmt.Sprintf("run `%s --help` to see the commands", cmd.CommandPath())
	if s := suggest.Closest(args[0], names); s != "" {
		hint = fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), s)
	}
	return exit.Usagef("%s has no command %q", cmd.CommandPath(), args[0]).WithHint("%s", hint)
}

func usage(cmd *cobra.Command, err error) error {
	var e *exit.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return exit.With(exit.Usage, err).WithHint("run `%s --help`", cmd.CommandPath())
}

// flagError turns an error of the flag parser into wrong usage.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		name := strings.TrimLeft(unknown.GetSpecifiedName(), "-")
		out := exit.Usagef("%s has no flag %s", cmd.CommandPath(), dashes(name))
		if s := suggest.Closest(name, names); s != "" {
			return out.WithHint("did you mean --%s?", s)
		}
		return out.WithHint("run `%s --help`", cmd.CommandPath())
	}
	return usage(cmd, err)
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
