package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/compare/report"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/term"
)

func newRun(a *app.App) *cobra.Command {
	var b bounds
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run -f SPEC",
		Short: "Compare both sides and give a verdict",
		Long: `Compare every key (key columns and window) of the batch side with the stream
side, prove from the raw events why keys differ, and give a verdict by the
spec's gate.

Only settled windows are compared: those that are complete on both sides. What is
left out is listed.

A range longer than range.partition of the spec is compared in parts, each by one
query. A run that was stopped, even killed, goes on with the part that it was at, if
it is started again within a day and nothing that a part was found by has changed:
what is settled, the batch loads, which writers count, the spec. What it has found is
kept in --state until the run has ended, readable by its owner alone, because it
holds keys and values. Comparisons over local files keep nothing there.

Where the spec names history.dataset, the run is recorded there, and what earlier runs
of the same spec have found of settled days counts for the gate.

With --baseline only regressions count: keys that are unexplained now and were not in
that run, or were of another class. The rules on shares of exact keys, and the days,
are then left aside.

Exit codes: 0 for GO, 10 for HOLD, 13 for NO DATA; 2 for a bad spec, flag or baseline,
3 where a table, file or permission is missing, 1 if a query failed, 130 if it was
stopped: none of these is a verdict.`,
		Example: `  kappa compare run -f flights/compare.yaml --out out/compare
  kappa compare run -f flights/ --from 2001-01-08 --to 2001-01-15 --output json
  kappa compare run -f flights/ --last 7d --baseline main/compare.json`,
		Args: cobra.NoArgs,
	}
	specs := specflags.Add(cmd)
	b.add(cmd)
	cmd.Flags().StringVar(&o.out, "out", "", "`DIR` to write compare.txt, compare.json, compare.html, compare.md and compare.junit.xml into")
	cmd.Flags().StringVar(&o.state, "state", "", "`DIR` for what a run that is stopped has found (default: kappa/compare in the user's cache folder)")
	cmd.Flags().BoolVar(&o.fresh, "fresh", false, "compare all parts anew, whatever a run that was stopped has found")
	cmd.Flags().StringVar(&o.baseline, "baseline", "", "compare.json `FILE` of an earlier run: judge only what is worse than there")
	cmd.Flags().BoolVar(&o.noHistory, "no-history", false, "read the history, but do not record this run in it")
	_ = cmd.MarkFlagDirname("out")
	_ = cmd.MarkFlagDirname("state")
	_ = cmd.MarkFlagFilename("baseline", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), a, specs, b, o) }
	return cmd
}

// runOptions are the flags of a run, beside those of the spec and the range.
type runOptions struct {
	out, state, baseline string
	fresh, noHistory     bool
}

// softMemory is how much memory a run takes before it collects its garbage more
// often: a scheduler's container is small. GOMEMLIMIT says another limit.
const softMemory = 128 << 20

func run(ctx context.Context, a *app.App, specs *specflags.Flags, b bounds, o runOptions) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(softMemory))
	}
	var baseline *compare.Result
	if o.baseline != "" { // before anything is started
		var err error
		if baseline, err = report.ReadBaseline(o.baseline); err != nil {
			return err
		}
	}
	state, err := stateDir(a, specs, o.state)
	if err != nil {
		return err
	}
	if o.out != "" { // a folder that cannot be written to is found out now, and not after files were loaded
		if err := os.MkdirAll(o.out, 0o755); err != nil {
			return exit.Environmentf("make the output folder: %w", err)
		}
	}
	cfg, done, err := config(ctx, a, specs, b)
	if err != nil {
		return err
	}
	defer done()
	cfg.Baseline, cfg.BaselineFile, cfg.Fresh, cfg.ReadOnly, cfg.StateDir = baseline, o.baseline, o.fresh, o.noHistory, state
	step, finish := progress(term.New(a.Err))
	cfg.Progress = step
	res, err := compare.Run(ctx, cfg)
	finish(err)
	if err != nil {
		return err
	}
	if o.out != "" {
		if err := report.WriteFiles(o.out, res); err != nil {
			return exit.With(exit.Environment, err)
		}
	}
	return concluded(show(a, res, o.out), verdict(res.Verdict))
}

// concluded is how a command ends that has shown a report and has a verdict. A
// reader who has seen enough of the report, as head has, makes no HOLD a pass.
func concluded(shown, verdict error) error {
	if verdict != nil && errors.Is(shown, syscall.EPIPE) {
		return verdict
	}
	return cmp.Or(shown, verdict)
}

// stateDir is where checkpoints are kept; "" keeps none. The files of a comparison
// over local files may have changed without a trace, so it has none.
func stateDir(a *app.App, specs *specflags.Flags, given string) (string, error) {
	spec, _, err := specs.Comparison()
	switch {
	case err != nil:
		return "", err
	case overFiles(&spec.Spec) && given != "":
		return "", exit.Usagef("--state: a comparison over local files keeps nothing of a run that is stopped").WithHint("leave --state out")
	case overFiles(&spec.Spec):
		return "", nil
	case given != "":
		return given, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		if a.Log != nil {
			a.Log.Warn("no checkpoints: there is no cache folder; name one with --state", "error", err)
		}
		return "", nil
	}
	return filepath.Join(cache, "kappa", "compare"), nil
}

// progress shows the steps of a run as phases; finish ends the last of them.
func progress(d *term.Display) (step func(compare.Progress), finish func(error)) {
	phases := term.NewPhases(d)
	step = func(p compare.Progress) {
		unit := p.Unit
		if p.Total == 0 {
			unit = ""
		}
		task := phases.Enter(p.Phase, unit, p.Total)
		task.Note(p.Message)
		task.Set(p.Done)
		if p.Ended {
			task.Done(p.Message)
		}
	}
	return step, phases.Close
}

func show(a *app.App, res *compare.Result, out string) error {
	if a.JSON() {
		return report.WriteJSON(a.Out, res)
	}
	color := app.Terminal(a.Out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	width := app.Width(a.Out)
	if !app.Terminal(a.Out) {
		width = report.FileWidth // a pipe or file has no edge to cut at
	}
	if err := report.WriteText(a.Out, res, width, color); err != nil {
		return err
	}
	if out != "" {
		fmt.Fprintf(a.Out, "\nreports in %s\n", filepath.Clean(out))
	}
	return nil
}

// verdict turns the verdict into the exit code. The report has already said
// all there is to say.
func verdict(v compare.Verdict) error { return outcome(v.ExitCode(), v.Verdict, v.Rule) }

func outcome(code exit.Code, verdict, rule string) error {
	if code == exit.OK {
		return nil
	}
	e := exit.With(code, errors.New("verdict "+verdict+": "+rule))
	e.Printed = true
	return e
}
