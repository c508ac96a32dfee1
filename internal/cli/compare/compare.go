// Package compare holds the commands `kappa compare run` and `kappa compare
// plan`: they parse, call package compare, and print views of its result.
package compare

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/term"
)

// New returns the group of commands.
func New(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Reconcile the batch layer's numbers with the stream's, and say why they differ",
	}
	cmd.AddCommand(newRun(a), newPlan(a))
	return cmd
}

// bounds are the flags of the compared range.
type bounds struct{ from, to string }

func (b *bounds) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.from, "from", "", "first window start to compare, `TIME` as 2006-01-02 or RFC 3339 (default: as far as the batch loads reach)")
	cmd.Flags().StringVar(&b.to, "to", "", "window start at which to stop, `TIME`, exclusive (default: likewise)")
}

func (b bounds) parse() (compare.Range, error) {
	from, err := specflags.Time("--from", b.from)
	if err != nil {
		return compare.Range{}, err
	}
	to, err := specflags.Time("--to", b.to)
	return compare.Range{From: from, To: to}, err
}

// config loads the spec and opens what a run needs. The caller closes.
func config(ctx context.Context, a *app.App, specs *specflags.Flags, b bounds) (compare.Config, func(), error) {
	r, err := b.parse()
	if err != nil {
		return compare.Config{}, nil, err
	}
	spec, _, err := specs.Comparison()
	if err != nil {
		return compare.Config{}, nil, err
	}
	platform, err := gcp.Open(spec.Spec.Platform)
	if err != nil {
		return compare.Config{}, nil, err
	}
	client, err := platform.BigQuery(ctx)
	if err != nil {
		return compare.Config{}, nil, err
	}
	log := a.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cfg := compare.Config{Spec: spec, Client: client, Range: r, Log: log}
	if err := cfg.Validate(); err != nil {
		client.Close()
		return compare.Config{}, nil, err
	}
	if err := platform.Reachable(ctx); err != nil {
		client.Close()
		return compare.Config{}, nil, err
	}
	return cfg, func() { client.Close() }, nil
}

func newRun(a *app.App) *cobra.Command {
	var b bounds
	var out string
	cmd := &cobra.Command{
		Use:   "run -f SPEC",
		Short: "Compare both sides and give a verdict",
		Long: `Compare every key (key columns and window) of the batch side with the stream
side, prove from the raw events why keys differ, and give a verdict by the
spec's gate.

Only settled windows are compared: those that a batch load covers and that the
watermark of every job is past. What is left out is listed.

Exit codes: 0 for GO, 10 for HOLD, 13 for NO DATA.`,
		Example: `  kappa compare run -f flights/compare.yaml --out out/compare
  kappa compare run -f flights/ --from 2001-01-08 --to 2001-01-15 --output json`,
		Args: cobra.NoArgs,
	}
	specs := specflags.Add(cmd)
	b.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "`DIR` to write compare.txt, compare.json, compare.html, compare.md and compare.junit.xml into")
	_ = cmd.MarkFlagDirname("out")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, done, err := config(cmd.Context(), a, specs, b)
		if err != nil {
			return err
		}
		defer done()
		if out != "" { // before anything is read: a folder that cannot be written to is found out now
			if err := os.MkdirAll(out, 0o755); err != nil {
				return exit.Environmentf("make the output folder: %w", err)
			}
		}
		step, finish := progress(term.New(a.Err))
		cfg.Progress = step
		res, err := compare.Run(cmd.Context(), cfg)
		finish(err)
		if err != nil {
			return err
		}
		if out != "" {
			if err := res.WriteFiles(out); err != nil {
				return exit.With(exit.Environment, err)
			}
		}
		if err := show(a, res, out); err != nil {
			return err
		}
		return verdict(res)
	}
	return cmd
}

// progress shows the steps of a run as phases; finish ends the last of them.
func progress(d *term.Display) (step func(compare.Progress), finish func(error)) {
	phases := term.NewPhases(d)
	step = func(p compare.Progress) {
		unit := ""
		if p.Total > 0 {
			unit = "keys"
		}
		task := phases.Enter(p.Phase, unit, p.Total)
		task.Note(p.Message)
		task.Set(p.Done)
	}
	return step, phases.Close
}

func show(a *app.App, res *compare.Result, out string) error {
	if a.JSON() {
		return res.WriteJSON(a.Out)
	}
	color := app.Terminal(a.Out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	width := app.Width(a.Out)
	if !app.Terminal(a.Out) {
		width = compare.FileWidth // a pipe or file has no edge to cut at
	}
	if err := res.WriteText(a.Out, width, color); err != nil {
		return err
	}
	if out != "" {
		fmt.Fprintf(a.Out, "\nreports in %s\n", filepath.Clean(out))
	}
	return nil
}

// verdict turns the verdict into the exit code. The report has already said
// all there is to say.
func verdict(res *compare.Result) error {
	code := res.ExitCode()
	if code == exit.OK {
		return nil
	}
	e := exit.With(code, errors.New("verdict "+res.Verdict.Verdict+": "+res.Verdict.Rule))
	e.Printed = true
	return e
}

func newPlan(a *app.App) *cobra.Command {
	var b bounds
	cmd := &cobra.Command{
		Use:   "plan -f SPEC",
		Short: "Show the SQL that a run would send, and what it would read",
		Long: `Show what a run would do: the windows that are settled, the SQL with its
parameters, and the bytes that it would read, by dry run. Neither side is read.`,
		Example: "  kappa compare plan -f flights/compare.yaml",
		Args:    cobra.NoArgs,
	}
	specs := specflags.Add(cmd)
	b.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, done, err := config(cmd.Context(), a, specs, b)
		if err != nil {
			return err
		}
		defer done()
		plan, err := compare.PlanRun(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		if a.JSON() {
			return a.PrintJSON(plan)
		}
		return plan.WriteText(a.Out)
	}
	return cmd
}
