// Package load is `kappa load`: the old batch layer's outputs into BigQuery.
package load

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/term"
	"github.com/kappa-migrate/kappa/load"
)

// New returns the command.
func New(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Load the old batch layer's outputs into BigQuery",
	}
	cmd.AddCommand(newRun(a))
	return cmd
}

func newRun(a *app.App) *cobra.Command {
	var flags *specflags.Flags
	cmd := &cobra.Command{
		Use:   "run -f SPEC",
		Short: "Load the batches that are not loaded yet",
		Long: `Load the batch folders that a BatchLoad names into its BigQuery table, each batch
once: loading again loads only what is new, however often and by however many at
once it is run, and whatever stopped an earlier run.

A batch whose files changed after it was loaded is refused, and nothing is
loaded: its rows would be there twice. The error says what to delete first.

The table and the log of loads (batch_loads) are created if they are missing;
the dataset and the bucket must exist.`,
		Example: `  kappa load run -f specs/load.yaml
  kappa load run -f specs/ --name flights --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), a, flags) },
	}
	flags = specflags.Add(cmd)
	return cmd
}

func run(ctx context.Context, a *app.App, flags *specflags.Flags) error {
	spec, _, err := flags.BatchLoad()
	if err != nil {
		return err
	}
	platform, err := gcp.Open(spec.Spec.Platform)
	if err != nil {
		return err
	}
	if err := platform.Reachable(ctx); err != nil {
		return err
	}
	bq, err := platform.BigQuery(ctx)
	if err != nil {
		return err
	}
	defer bq.Close()
	gcs, err := platform.Storage(ctx)
	if err != nil {
		return err
	}
	defer gcs.Close()

	show := term.New(a.Err)
	defer show.Close()
	task := show.Start("Load", "batches", 0)
	res, err := load.Run(ctx, load.Config{
		Spec: spec, BigQuery: bq, Storage: gcs, Log: show.Logger(a.Log),
		Progress: func(done, total int, b load.Batch) {
			task.SetTotal(int64(total))
			task.Set(int64(done))
			task.Note(b.Folder)
		},
	})
	if err != nil {
		task.Fail("")
		return err
	}
	task.Done("")
	show.Close()
	if a.JSON() {
		return a.PrintJSON(res)
	}
	return text(a.Out, res)
}

func text(w io.Writer, res *load.Result) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "BATCH\tFILES\tROWS\tSTATE\tJOB")
	for _, b := range res.Batches {
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\n", b.RangeStart.Format("2006-01-02T15"), b.Files, term.Count(b.Rows), b.State, b.JobID)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s holds %s rows of %d batches: %d loaded now, %d before.\n",
		res.Target, term.Count(res.Rows), len(res.Batches), res.Loaded, res.Already)
	return err
}
