// Package redrive is `kappa bridge redrive`: it sends dead letters again.
package redrive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/bridge"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/cli/version"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/term"
)

// New returns the command.
func New(a *app.App) *cobra.Command {
	var cfg bridge.RedriveConfig
	var specs *specflags.Flags
	cmd := &cobra.Command{
		Use:   "redrive -f SPEC",
		Short: "Send dead letters again, with their original ids",
		Long: `Read the dead letters of a bridge from where its spec sends them (a file, a Kafka
topic, or, with --subscription, a Pub/Sub topic) and send them again through the
bridge's own transform and routing: with the ids, the positions and the times that
their records have, so that what was published before is recognised.

A letter is done only when the destination has acknowledged all of it: it is then
acknowledged in its subscription, committed in the consumer group GROUP.redrive, or
noted in FILE.done. What is bad again stays a dead letter: in a file where it is, in
a topic as a new letter that says what is wrong now.

To repair letters: write them to a file with --export, correct their values (base64),
and give the file back with --repaired: each stands in for the letter of its position.`,
		Example: `  kappa bridge redrive -f specs/bridge.yaml --subscription flights-dead-letters --dry-run
  kappa bridge redrive -f specs/bridge.yaml --subscription flights-dead-letters --export letters.json
  kappa bridge redrive -f specs/bridge.yaml --subscription flights-dead-letters --repaired letters.json
  kappa bridge redrive -f specs/bridge.yaml --from-file repaired.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), a, specs, cfg) },
	}
	specs = specflags.Add(cmd)
	f := cmd.Flags()
	f.StringVar(&cfg.File, "from-file", "", "`file` of dead letters to read, a line of JSON each, and not where the spec sends them")
	f.StringVar(&cfg.Subscription, "subscription", "", "`name` of a subscription to the dead letters' Pub/Sub topic")
	f.StringVar(&cfg.Repaired, "repaired", "", "`file` of repaired letters, which stand in for those of the same positions")
	f.StringVar(&cfg.Done, "done", "", "`file` of the positions that were sent from a file (default: its name with .done)")
	f.StringVar(&cfg.Reason, "reason", "", "only letters of this `reason`, for example transform or too_large")
	f.IntVar(&cfg.Limit, "limit", 0, "most letters to send; 0: all")
	f.DurationVar(&cfg.Quiet, "quiet", 5*time.Second, "how long nothing may come before reading a subscription ends")
	f.BoolVar(&cfg.DryRun, "dry-run", false, "send nothing; say what would become of the letters")
	f.StringVar(&cfg.Export, "export", "", "send nothing; write the letters to this new `file`")
	_ = cmd.MarkFlagFilename("from-file")
	_ = cmd.MarkFlagFilename("repaired")
	return cmd
}

func run(ctx context.Context, a *app.App, specs *specflags.Flags, cfg bridge.RedriveConfig) error {
	switch {
	case cfg.Limit < 0 || cfg.Quiet <= 0:
		return exit.Usagef("--limit must not be negative, and --quiet positive")
	case cfg.DryRun && cfg.Export != "":
		return exit.Usagef("--dry-run and --export are both given").WithHint("--export sends nothing anyway")
	}
	spec, _, err := specs.Bridge()
	if err != nil {
		return err
	}
	bc := bridge.DefaultConfig()
	bc.Spec, bc.Version = spec, version.Read(a.Version).Version
	if spec.Spec.UsesPubSub() {
		platform, err := gcp.Open(spec.Spec.Platform)
		if err != nil {
			return err
		}
		client, err := platform.PubSub(ctx)
		if err != nil {
			return err
		}
		defer client.Close()
		bc.PubSub = client
	}
	display := term.New(a.Err)
	bc.Log = display.Logger(a.Log)
	b, err := bridge.New(bc)
	if err != nil {
		display.Close()
		return err
	}
	task := display.Start("redrive "+spec.Metadata.Name, "letters", 0)
	cfg.Progress = func(r bridge.RedriveResult) {
		task.Set(int64(r.Read))
		task.Note(fmt.Sprintf("%d sent, %d bad", r.Sent, r.Bad))
	}
	res, err := b.Redrive(ctx, cfg)
	if err != nil {
		task.Fail("stopped")
	} else {
		task.Done("")
	}
	display.Close()
	if perr := print(a, res, cfg); perr != nil && err == nil {
		err = perr
	}
	if n := res.Bad + res.Incomplete; err == nil && n > 0 {
		err = exit.With(exit.Failed, fmt.Errorf("%d dead letters could not be sent", n)).WithHint("write them to a file with --export, repair them, and give the file with --repaired")
	}
	return err
}

func print(a *app.App, r bridge.RedriveResult, cfg bridge.RedriveConfig) error {
	if a.JSON() {
		return a.PrintJSON(r)
	}
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(a.Out, format, args...)
		errs = append(errs, err)
	}
	for _, l := range r.Letters {
		line("%s  %s: %s\n", l.Position, l.Reason, l.Error)
	}
	what := "sent"
	switch {
	case cfg.DryRun:
		what = "would be sent"
	case cfg.Export != "":
		line("%d written to %s\n", r.Exported, cfg.Export)
	}
	line("%d letters read: %d %s, %d bad, %d incomplete, %d left\n", r.Read, r.Sent, what, r.Bad, r.Incomplete, r.Left)
	return errors.Join(errs...)
}
