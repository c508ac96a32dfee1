package compare

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
)

func newGate(a *app.App) *cobra.Command {
	var result string
	cmd := &cobra.Command{
		Use:   "gate {-f SPEC | --result FILE}",
		Short: "Give the verdict of runs that have been made, without reading either side",
		Long: `Give the verdict again, without reading either side: for CI, which must not pay for a
comparison at every push.

With -f it decides by the history (history.dataset of the spec): by the newest settled
days that runs of the same spec have recorded, or, with gate.days: 0, by the newest of
these runs. Of what a schedule has recorded, no difference is explained.

With --result it decides by the compare.json of one run, and by the gate that the run
had. A file that is damaged, or that is not the whole of a result, is refused.

Exit codes: 0 for GO, 10 for HOLD, 13 for NO DATA.`,
		Example: `  kappa compare gate -f flights/compare.yaml
  kappa compare gate --result out/compare/compare.json --output json`,
		Args: cobra.NoArgs,
	}
	specs := specflags.Add(cmd)
	cmd.Flags().StringVar(&result, "result", "", "compare.json `FILE` of a run to decide by")
	_ = cmd.MarkFlagFilename("result", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := decision(cmd.Context(), a, specs, result)
		if err != nil {
			return err
		}
		if a.JSON() {
			err = a.PrintJSON(d)
		} else {
			err = d.WriteText(a.Out)
		}
		if err != nil {
			return err
		}
		return verdict(d.Verdict)
	}
	return cmd
}

func decision(ctx context.Context, a *app.App, specs *specflags.Flags, result string) (*compare.Decision, error) {
	if result == "" {
		cfg, done, err := config(ctx, a, specs, bounds{})
		if err != nil {
			return nil, err
		}
		defer done()
		return compare.DecideByHistory(ctx, cfg)
	}
	if len(specs.Files) > 0 {
		return nil, exit.Usagef("-f and --result exclude each other").WithHint("the result holds the gate that it was judged by")
	}
	f, err := os.Open(result)
	if err != nil {
		return nil, exit.Environmentf("read the result: %w", err)
	}
	defer f.Close()
	res, err := compare.ReadJSON(f)
	if err != nil {
		return nil, err
	}
	return compare.DecideByResult(res), nil
}
