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
}

// New returns the command.
func New(a *app.App) *cobra.Command {
	var sets []string
	cmd := &cobra.Command{
		Use:   "validate PATH...",
		Short: "Check specs",
		Long: `Check spec files, and folders of them, without touching anything else.

All errors are reported at once, each with file, line and column, the offending
text, and how to mend it. References between documents are checked among those
that are named together. Variables take their values from --set, else from the
environment, else from their defaults.

Exit code 2 if anything is wrong.`,
		Example: `  kappa validate bridge.yaml
  kappa validate specs/ --set KAFKA_BROKERS=kafka-1:9092
  kappa validate specs/ --output json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, paths []string) error { return run(a, paths, sets) },
	}
	specflags.AddSet(cmd, &sets)
	return cmd
}

func run(a *app.App, paths, sets []string) error {
	vars, err := specflags.Vars(sets)
	if err != nil {
		return err
	}
	_, docs, err := jobspecs.LoadDocuments(paths, vars)
	var errs jobspecs.Errors
	if err != nil && !errors.As(err, &errs) {
		return err
	}
	if a.JSON() {
		r := Report{Valid: err == nil, Documents: docs, Errors: errs}
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
	if err != nil {
		return err
	}
	return text(a.Out, docs)
}

func text(w io.Writer, docs []jobspecs.Document) error {
	for _, d := range docs {
		note := ""
		if d.Abstract {
			note = " (abstract)"
		}
		if _, err := fmt.Fprintf(w, "ok  %s:%d  %s %s%s\n", d.File, d.Line, d.Kind, d.Name, note); err != nil {
			return err
		}
	}
	return nil
}
