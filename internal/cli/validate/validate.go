// Package validate is `kappa validate`: are these specs right?
package validate

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Report is the result as it prints with --output json.
type Report struct {
	Valid     bool                `json:"valid"`
	Documents []jobspecs.Document `json:"documents"`
	Errors    jobspecs.Errors     `json:"errors"`
	Warnings  jobspecs.Warnings   `json:"warnings"`
}

// options are the values of the command's own flags.
type options struct {
	sets      []string
	env       string
	strict    bool
	listRules bool
}

// New returns the command.
func New(a *app.App) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "validate PATH... | --list-rules",
		Short: "Check specs",
		Long: `Check spec files, and folders of them, without touching anything else.

All errors are reported at once, each with file, line and column, the offending
text, and how to mend it. References between documents are checked among those
that are named together. Variables take their values from --set, else from the
environment, else from their defaults.

Warnings are about what is allowed and probably wrong, each with the name of its
rule. They leave the exit code 0, unless --strict is given. A document that breaks
a rule on purpose names it in its field "ignore", with a comment that says why:

  ignore: [start-at-latest]  # a sample is enough

Exit code 2 if there is an error or, with --strict, a warning.`,
		Example: `  kappa validate bridge.yaml
  kappa validate specs/ --set KAFKA_BROKERS=kafka-1:9092
  kappa validate specs/ --strict --output json
  kappa validate --list-rules`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.listRules {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.MinimumNArgs(1)(cmd, args)
		},
		RunE: func(_ *cobra.Command, paths []string) error {
			if o.listRules {
				return list(a)
			}
			return run(a, paths, o)
		},
	}
	specflags.AddEnv(cmd, &o.env, func(args []string) []string { return args })
	specflags.AddSet(cmd, &o.sets)
	cmd.Flags().BoolVar(&o.strict, "strict", false, "take warnings for errors: exit code 2")
	cmd.Flags().BoolVar(&o.listRules, "list-rules", false, "list the rules that warnings come from, and check nothing")
	return cmd
}

func run(a *app.App, paths []string, o options) error {
	vars, err := specflags.Vars(o.sets)
	if err != nil {
		return err
	}
	vars.Environment = o.env
	_, docs, err := jobspecs.LoadDocuments(paths, vars)
	var errs jobspecs.Errors
	if err != nil && !errors.As(err, &errs) {
		return err
	}
	warnings := jobspecs.Warnings{}
	for _, d := range docs {
		warnings = append(warnings, d.Warnings...)
	}
	if n := len(warnings); n > 0 && o.strict && err == nil {
		err = exit.Usagef("%s, and --strict takes warnings for errors", count(n)).
			WithHint("mend them; or name a rule in the document's field ignore, with a comment that says why")
	}
	if a.JSON() {
		r := Report{Valid: err == nil, Documents: docs, Errors: errs, Warnings: warnings}
		if r.Documents == nil {
			r.Documents = []jobspecs.Document{}
		}
		if r.Errors == nil {
			r.Errors = jobspecs.Errors{}
		}
		if perr := a.PrintJSON(r); perr != nil || err == nil {
			return perr
		}
		return &exit.Error{Code: exit.Of(err), Err: err, Printed: true}
	}
	if len(errs) == 0 {
		if perr := text(a.Out, docs); perr != nil {
			return perr
		}
	}
	for _, w := range warnings {
		if _, perr := fmt.Fprintf(a.Err, "warning: %s\n", w); perr != nil {
			return perr
		}
	}
	return err
}

// text prints a line for each document.
func text(w io.Writer, docs []jobspecs.Document) error {
	for _, d := range docs {
		note := ""
		if d.Abstract {
			note = " (abstract)"
		}
		if n := len(d.Warnings); n > 0 {
			note += " (" + count(n) + ")"
		}
		if _, err := fmt.Fprintf(w, "ok  %s:%d  %s %s%s\n", d.File, d.Line, d.Kind, d.Name, note); err != nil {
			return err
		}
	}
	return nil
}

func count(warnings int) string {
	if warnings == 1 {
		return "1 warning"
	}
	return fmt.Sprintf("%d warnings", warnings)
}
