// Package check is `kappa bridge check`: it parses, calls package
// bridge/inspect, and prints views of its result.
package check

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/bridge/inspect"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/trial"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/cli/version"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/term"
)

// New returns the command.
func New(a *app.App) *cobra.Command {
	cfg := inspect.DefaultConfig()
	var specs *specflags.Flags
	cmd := &cobra.Command{
		Use:   "check -f SPEC",
		Short: "Try a bridge against the live systems, without publishing anything",
		Long: `Look at everything that a bridge needs: the clusters and their topics, the consumer
group, the topics of the destination, where dead letters go, the schema registry,
and the permissions on them where they can be asked for. Then read some real records
from the start, the middle and the end of every partition, put them through the
bridge's transform and limits, and report what would be refused and why, the share
that the filter drops, the sizes of messages, how even the split and the partitions
are, and what throughput publishing needs.

Nothing is published, committed or made. Values of records are never shown.

Exit codes: 0 if all can be published, 10 if some records would be refused, 3 if
something is missing, not permitted or cannot be reached.`,
		Example: `  kappa bridge check -f specs/bridge.yaml
  kappa bridge check -f specs/ --name flights --samples 300 --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), a, specs, cfg) },
	}
	specs = specflags.Add(cmd)
	cmd.Flags().IntVar(&cfg.Samples, "samples", cfg.Samples, "most records of a partition that are read; 0: none")
	cmd.Flags().DurationVar(&cfg.Wait, "wait", 20*time.Second, "longest wait for one system")
	return cmd
}

func run(ctx context.Context, a *app.App, specs *specflags.Flags, cfg inspect.Config) error {
	spec, _, err := specs.Bridge()
	if err != nil {
		return err
	}
	cfg.Spec = spec
	platform, err := gcp.Open(spec.Spec.Platform)
	if err != nil {
		return err
	}
	if spec.Spec.UsesPubSub() {
		client, err := platform.PubSub(ctx)
		if err != nil {
			return err
		}
		defer client.Close()
		cfg.PubSub = client
	}
	if cfg.Trier, err = trial.NewMaker(spec, version.Read(a.Version).Version); err != nil {
		return err
	}
	display := term.New(a.Err)
	task := display.Start("check "+spec.Metadata.Name, "records", 0)
	cfg.Progress = task.Set
	res, err := inspect.Run(ctx, cfg)
	if err != nil {
		task.Fail("failed")
		display.Close()
		return err
	}
	task.Done("")
	display.Close()
	if a.JSON() {
		err = res.WriteJSON(a.Out)
	} else {
		err = res.WriteText(a.Out)
	}
	if code := res.ExitCode(); err == nil && code != exit.OK {
		e := exit.With(code, errors.New(res.Verdict+": "+res.Reason))
		e.Printed = true // the report has said all there is to say
		return e
	}
	return err
}
