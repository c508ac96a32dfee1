package compare

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/compare/report"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func newGate(a *app.App) *cobra.Command {
	var result, maxAge string
	cmd := &cobra.Command{
		Use:   "gate {-f SPEC | --result FILE}",
		Short: "Give the verdict of runs that have been made, without reading either side",
		Long: `Give the verdict again, without reading either side: for CI, which must not pay for a
comparison at every push.

With -f it decides by the history (history.dataset of the spec): by the newest settled
days that runs of the same spec have recorded, or, with gate.days: 0, by the newest of
these runs. A day that was loaded again since does not count. Of what a schedule has
recorded, no difference is explained.

With --result it decides by the compare.json of one run, and by the gate that the run
had. A file that is damaged, or that is not the whole of a result, is refused.

A GO must rest on something recent: where the newest of the days, or the run, was
compared longer than --max-age ago, it is NO DATA. Of what a schedule has recorded,
the end of the day or range counts, for it is not compared before that.

Exit codes: 0 for GO, 10 for HOLD, 13 for NO DATA, 2 for a spec without a history or
a file that is no result, 3 where the history cannot be read.`,
		Example: `  kappa compare gate -f flights/compare.yaml
  kappa compare gate -f flights/compare.yaml --max-age 7d
  kappa compare gate --result out/compare/compare.json --output json`,
		Args: cobra.NoArgs,
	}
	specs := specflags.Add(cmd)
	cmd.Flags().StringVar(&result, "result", "", "compare.json `FILE` of a run to decide by")
	cmd.Flags().StringVar(&maxAge, "max-age", "3d", "`DURATION` since the newest comparison after which it is no GO, such as 36h or 7d; 0s: any age will do")
	_ = cmd.MarkFlagFilename("result", "json")
	_ = cmd.RegisterFlagCompletionFunc("max-age", cobra.FixedCompletions([]string{"36h", "3d", "7d"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		age, err := jobspecs.ParseDuration(maxAge)
		if err != nil || age < 0 {
			return exit.Usagef("--max-age %q is not a length of time", maxAge).WithHint("write it as 36h or 7d; 0s lets any age pass")
		}
		d, err := decision(cmd.Context(), a, specs, result, age.D())
		if err != nil {
			return err
		}
		if a.JSON() {
			err = a.PrintJSON(d)
		} else {
			err = report.WriteDecision(a.Out, d)
		}
		return concluded(err, verdict(d.Verdict))
	}
	return cmd
}

func decision(ctx context.Context, a *app.App, specs *specflags.Flags, result string, maxAge time.Duration) (*compare.Decision, error) {
	if result == "" {
		if err := hasHistory(specs); err != nil {
			return nil, err
		}
		cfg, done, err := config(ctx, a, specs, bounds{})
		if err != nil {
			return nil, err
		}
		defer done()
		return compare.DecideByHistory(ctx, cfg, maxAge)
	}
	if len(specs.Files) > 0 {
		return nil, exit.Usagef("-f and --result exclude each other").WithHint("the result holds the gate that it was judged by")
	}
	f, err := os.Open(result)
	if err != nil {
		return nil, exit.Environmentf("read the result: %w", err)
	}
	defer f.Close()
	res, err := report.ReadJSON(f)
	if err != nil {
		return nil, err
	}
	return compare.DecideByResult(res, time.Now(), maxAge), nil
}

// hasHistory refuses a spec without one before anything is opened, or files are
// loaded for nothing.
func hasHistory(specs *specflags.Flags) error {
	spec, _, err := specs.Comparison()
	if err != nil || spec.Spec.History.Dataset != "" {
		return err
	}
	return exit.Usagef("the comparison %s has no history (history.dataset), so there is nothing to decide by", spec.Metadata.Name).
		WithHint("name a dataset in the spec, or decide by a compare.json with --result")
}
