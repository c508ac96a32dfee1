// Package demo is `kappa demo`: the whole migration on this machine.
package demo

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/demo"
)

// New returns the command.
func New(a *app.App) *cobra.Command {
	cfg := demo.Default()
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play a whole migration on this machine, on real flights",
		Long: `Play a whole migration on this machine and check the outcome against the truth.

One week of real US flights goes through Kafka, the bridge, Pub/Sub, three
streaming jobs on Dataflow, Bigtable and BigQuery. While it flows, a new version is
deployed to the jobs, and the bridge and a job are killed and started again. A
batch job plays the old batch layer, which drops late flights. Both sides are
compared, per origin airport and hour, and every difference is explained from the
raw events; what is served from Bigtable is held against BigQuery. At the end
kappa-truth computes the truth from the input file alone and holds it against both.

The reports (summary.json, compare.html, compare.json, compare.txt, truth.json),
the specs and the logs are put into the output folder. Everything runs on
loopback, and nothing is left running.

Exit code 0 only if nothing was lost or counted twice and the truth agrees.`,
		Example: `  kappa demo
  kappa demo --batch-cutoff 30m --duplicates 0.05
  kappa demo --input flights.parquet --out out/mine
  kappa demo --keep`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), a, cfg) },
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Input, "input", cfg.Input, "`file` of flights with the columns scheduled (or date), delay, distance, origin, destination: CSV, gzipped or not, or Parquet (default: a week that is built in)")
	f.DurationVar(&cfg.BatchCutoff, "batch-cutoff", cfg.BatchCutoff, "how long after an hour's end the old batch layer still takes reports")
	f.Float64Var(&cfg.Duplicates, "duplicates", cfg.Duplicates, "`fraction` of the flights whose report is sent twice")
	f.Float64Var(&cfg.Rate, "rate", cfg.Rate, "`records` produced per second (default: by the number of flights)")
	f.BoolVar(&cfg.Keep, "keep", cfg.Keep, "leave the sandbox up at the end, until Ctrl-C, and print its endpoints")
	f.StringVar(&cfg.Out, "out", cfg.Out, "`folder` for the reports")
	_ = cmd.MarkFlagFilename("input", "csv", "gz", "parquet")
	_ = cmd.MarkFlagDirname("out")
	return cmd
}

func run(ctx context.Context, a *app.App, cfg demo.Config) error {
	cfg.Progress = a.Err
	cfg.LogLevel = level(a.Log)
	cfg.Finished = func(s *demo.Summary, p *demo.Paths) error {
		if a.JSON() {
			return a.PrintJSON(s)
		}
		return s.Write(a.Out, p, demo.Style{Color: app.Terminal(a.Out) && os.Getenv("NO_COLOR") == ""})
	}
	cfg.Serving = func(environment []string, file string) {
		fmt.Fprintln(a.Err, "\nThe sandbox is up until Ctrl-C. Its services are found by these variables:")
		for _, v := range environment {
			fmt.Fprintf(a.Err, "  export %s\n", v)
		}
		fmt.Fprintf(a.Err, "To set them all in another shell: . %s\n", file)
	}
	return demo.Run(ctx, cfg)
}

// level is the least level that l writes.
func level(l *slog.Logger) slog.Level {
	for _, at := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
		if l.Enabled(context.Background(), at) {
			return at
		}
	}
	return slog.LevelError
}
