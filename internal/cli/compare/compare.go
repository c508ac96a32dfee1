// Package compare holds the commands `kappa compare`: they parse, call package
// compare, and print views of its result.
package compare

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/compare/report"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// New returns the group of commands.
func New(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Reconcile the batch layer's numbers with the stream's, and say why they differ",
		Long: `Reconcile the batch layer's numbers with the stream's, key by key and window by
window; prove from the raw events why they differ; and say whether the gate of a
cut-over is met.

Start with init, which writes a spec from two tables, and plan, which shows what a
run would read. run gives the verdict, and why explains one key. schedule compares
every day; gate asks what was found. duplicates watches deduplication.`,
		Example: `  kappa compare init --project example-project --batch lambda.flights --stream kappa.stream_flights --out compare.yaml
  kappa compare plan -f compare.yaml
  kappa compare run -f compare.yaml --out out/compare`,
	}
	cmd.AddCommand(newRun(a), newGate(a), newPlan(a), newWhy(a), newSchedule(a), newInit(a), newDuplicates(a))
	for _, c := range cmd.Commands() {
		completeNoFiles(c)
	}
	return cmd
}

// completeNoFiles keeps the shell from offering files where none is meant.
func completeNoFiles(cmd *cobra.Command) {
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if len(f.Annotations) > 0 && (f.Annotations[cobra.BashCompFilenameExt] != nil || f.Annotations[cobra.BashCompSubdirsInDir] != nil) || f.Value.Type() == "bool" {
			return
		}
		_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions) // a flag with values of its own keeps them
	})
}

// bounds are the flags of the compared range.
type bounds struct{ from, to, last string }

func (b *bounds) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.from, "from", "", "first window start to compare, `TIME` as 2006-01-02 or RFC 3339 (default: as far as the batch loads reach)")
	cmd.Flags().StringVar(&b.to, "to", "", "window start at which to stop, `TIME`, exclusive (default: likewise)")
	cmd.Flags().StringVar(&b.last, "last", "", "without --from: compare the newest settled windows, `DURATION` long, such as 24h or 7d (default: range.last of the spec)")
}

// parse gives the flags to a run.
func (b bounds) parse() (cfg compare.Config, err error) {
	if cfg.Range.From, err = specflags.Time("--from", b.from); err != nil {
		return cfg, err
	}
	if cfg.Range.To, err = specflags.Time("--to", b.to); err != nil || b.last == "" {
		return cfg, err
	}
	last, err := jobspecs.ParseDuration(b.last)
	if err != nil || last <= 0 {
		return cfg, exit.Usagef("--last %q is not a length of time", b.last).WithHint("write it as 24h or 7d")
	}
	cfg.Last = last.D()
	if !cfg.Range.From.IsZero() {
		return cfg, exit.Usagef("--from and --last exclude each other").WithHint("give one of them; --to says where the newest windows end")
	}
	return cfg, nil
}

// config loads the spec and opens what a run needs. The caller closes.
func config(ctx context.Context, a *app.App, specs *specflags.Flags, b bounds) (compare.Config, func(), error) {
	cfg, err := b.parse()
	if err != nil {
		return compare.Config{}, nil, err
	}
	spec, _, err := specs.Comparison()
	if err != nil {
		return compare.Config{}, nil, err
	}
	log := a.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if overFiles(&spec.Spec) {
		cfg.Spec, cfg.Log = spec, log
		return filesConfig(ctx, a, specs, cfg)
	}
	platform, err := gcp.Open(spec.Spec.Platform)
	if err != nil {
		return compare.Config{}, nil, err
	}
	client, err := platform.BigQuery(ctx)
	if err != nil {
		return compare.Config{}, nil, err
	}
	cfg.Spec, cfg.Client, cfg.Log = spec, client, log
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

func newPlan(a *app.App) *cobra.Command {
	var b bounds
	cmd := &cobra.Command{
		Use:   "plan -f SPEC",
		Short: "Show the SQL that a run would send, and what it would read",
		Long: `Show what a run would do: the windows that are settled, the SQL with its
parameters, and the bytes that it would read, by dry run. Neither side is read.
Files on this machine are loaded for it, as for a run.

Exit codes: 0 when it is shown, 2 for a bad spec or flag, 3 where a table, file or
permission is missing.`,
		Example: `  kappa compare plan -f flights/compare.yaml
  kappa compare plan -f flights/ --from 2001-01-08 --to 2001-01-15 --output json`,
		Args: cobra.NoArgs,
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
		return report.WritePlan(a.Out, plan)
	}
	return cmd
}
