package compare

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/compare/report"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/term"
)

func newDuplicates(a *app.App) *cobra.Command {
	var from, to string
	var exact bool
	cmd := &cobra.Command{
		Use:   "duplicates -f SPEC",
		Short: "Say how many events come more than once, and whether any is counted twice",
		Long: `Hold the raw events, every delivery of them, against the counts of deduplicated
events, window by window, as a DuplicateMonitor says: what share of the deliveries
is beyond the first of an event, whether it has risen, and whether deduplication
lets anything through.

The first query counts rows and reads no ids. Only where its numbers are suspicious,
or with --exact, a second one counts distinct events, and says which keys and which
partitions of the source have the most duplicates, and why. Events that are both
delivered twice and counted twice look like events to the first query, so run it
with --exact from time to time: once a day, say.

Only settled windows are looked at: those that the watermark of every job is past.

Exit codes: 0 if all thresholds hold, 10 if one does not, 13 if there was nothing
to look at, 2 for a bad spec or flag, 3 where a table or permission is missing.`,
		Example: `  kappa compare duplicates -f flights/duplicates.yaml
  kappa compare duplicates -f flights/duplicates.yaml --from 2001-01-08 --to 2001-01-15 --exact --output json`,
		Args: cobra.NoArgs,
	}
	specs := specflags.Add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "first window start to look at, `TIME` as 2006-01-02 or RFC 3339 (default: range.last of the spec before --to)")
	cmd.Flags().StringVar(&to, "to", "", "window start at which to stop, `TIME`, exclusive (default: as far as windows are settled)")
	cmd.Flags().BoolVar(&exact, "exact", false, "count distinct events even if nothing is suspicious")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, done, err := duplicatesConfig(cmd.Context(), a, specs, from, to)
		if err != nil {
			return err
		}
		defer done()
		cfg.Exact = exact
		step, finish := progress(term.New(a.Err))
		cfg.Progress = step
		res, err := compare.RunDuplicates(cmd.Context(), cfg)
		finish(err)
		if err != nil {
			return err
		}
		if a.JSON() {
			err = a.PrintJSON(res)
		} else {
			err = report.WriteDuplicates(a.Out, res)
		}
		return concluded(err, outcome(res.ExitCode(), res.Verdict, res.Rule))
	}
	return cmd
}

// duplicatesConfig loads the spec and opens what a run needs. The caller closes.
func duplicatesConfig(ctx context.Context, a *app.App, specs *specflags.Flags, from, to string) (compare.DuplicatesConfig, func(), error) {
	var cfg compare.DuplicatesConfig
	var err error
	if cfg.Range.From, err = specflags.Time("--from", from); err != nil {
		return cfg, nil, err
	}
	if cfg.Range.To, err = specflags.Time("--to", to); err != nil {
		return cfg, nil, err
	}
	if cfg.Spec, _, err = specs.Monitor(); err != nil {
		return cfg, nil, err
	}
	platform, err := gcp.Open(cfg.Spec.Spec.Platform)
	if err != nil {
		return cfg, nil, err
	}
	if cfg.Client, err = platform.BigQuery(ctx); err != nil {
		return cfg, nil, err
	}
	cfg.Log = a.Log
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	err = cfg.Validate()
	if err == nil {
		err = platform.Reachable(ctx)
	}
	if err != nil {
		cfg.Client.Close()
		return cfg, nil, err
	}
	return cfg, func() { cfg.Client.Close() }, nil
}
