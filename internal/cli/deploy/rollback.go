package deploy

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	draincli "github.com/kappa-migrate/kappa/internal/cli/drain"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
)

func newRollback(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	var to string
	var yes bool
	var t timing
	cmd := &cobra.Command{
		Use:   "rollback -f SPEC [--to DEPLOYMENT]",
		Short: "Go back to the spec of the last good deployment, in reverse order",
		Long: `Bring the jobs of a StreamJob back to the spec of the last deployment that got
through before the present one, or of the one that --to names: its spec is read from
the staging folder, the plan is shown field by field, and it is applied as any other,
with the conditions of the rollout. The jobs that were changed last go back first, and
those that run with that spec already are left alone.

Generations go on counting: what the jobs have computed since counts, or, where a
generation was void, does not, as after any redeploy. Numbers that wrong code has
written are not mended by going back: see kappa repair.

How jobs are replaced, by spec.update, is as the spec of -f says, and the same goes for
the journal. A rollback that was stopped goes on when it is run again. Afterwards the
spec file still says what was rolled back: change it before the next apply.

The exit code is 0 also if all jobs run with that spec, 3 if there is nothing to go
back to or something is in the way, 11 if the answer was no or the plan was stale, and
otherwise as of kappa deploy apply.`,
		Example: `  kappa deploy rollback -f specs/stream.yaml --reason 'errors since the release'
  kappa deploy rollback -f specs/stream.yaml --to 20260102t030405-a1b2c3 --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := t.validate(); err != nil {
				return err
			}
			if cmd.Flags().Changed("to") && to == "" {
				return exit.Usagef("--to names no deployment")
			}
			return with(cmd.Context(), a, specs, t, func(s *session) error { return rollback(cmd.Context(), a, s, to, yes) })
		},
	}
	specs = specflags.Add(cmd)
	cmd.Flags().StringVar(&to, "to", "", "`deployment` to go back to (default: the last good one)")
	_ = cmd.RegisterFlagCompletionFunc("to", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return deploymentIDs(cmd.Context(), a, specs, nil)
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "roll back without asking; needed where there is no terminal to ask on")
	t.addReason(cmd)
	t.limits = draincli.AddLimits(cmd, "drain-timeout")
	cmd.Flags().BoolVar(&t.withoutReplay, "without-replay", false, "launch the successor of a dead generation even if the snapshot that it would read again from is gone")
	t.add(cmd)
	return cmd
}

// rolledBack is what a rollback prints for programs.
type rolledBack struct {
	To     deploy.Deployment `json:"to"` // the deployment that was gone back to
	Result *deploy.Result    `json:"result"`
}

func rollback(ctx context.Context, a *app.App, s *session, to string, yes bool) error {
	back, target, err := s.Back(ctx, to)
	if err != nil {
		return err
	}
	s.Deployer = back
	p, err := s.Plan(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Err, "Back to %s\n", deploymentText(*target))
	show := func(res *deploy.Result) error {
		if a.JSON() {
			return a.PrintJSON(rolledBack{*target, res})
		}
		if err := printResult(a, res); err != nil {
			return err
		}
		_, err := fmt.Fprintln(a.Out, "The spec file still says what was rolled back.")
		return err
	}
	return applyPlan(ctx, a, s, p, yes, "Roll back?", show)
}

func newAbort(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	var t timing
	cmd := &cobra.Command{
		Use:   "abort -f SPEC",
		Short: "Stop a deployment before its next step, on whatever machine it runs",
		Long: `Ask whoever goes on with the unfinished deployment of a StreamJob to stop before the
next step: it notices within a poll or two, also while it waits, and ends with exit
code 14. A deployment that nobody goes on with, because it was killed, is ended as
aborted at once, so that the next apply plans afresh.

Nothing is taken back: a drain that was begun goes on and cannot be stopped, a job
that was launched runs. kappa deploy status shows where it stands; apply again to go
on, or kappa deploy rollback to go back.

The exit code is 0 if it was asked to stop or has ended, also if somebody had asked
before, and 3 if there is no deployment to stop.`,
		Example: `  kappa deploy abort -f specs/stream.yaml --reason 'wrong template'`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd.Context(), a, specs, timing{}, func(s *session) error {
				res, err := s.Abort(cmd.Context(), t.reason)
				if err != nil {
					return err
				}
				if a.JSON() {
					return a.PrintJSON(res)
				}
				return abortText(a, res)
			})
		},
	}
	specs = specflags.Add(cmd)
	t.addReason(cmd)
	return cmd
}

func abortText(a *app.App, res *deploy.AbortResult) error {
	text := "nobody went on with it; it has ended as aborted"
	switch h := res.Running; {
	case h != nil && res.Asked:
		text = fmt.Sprintf("%s (process %d on %s) is asked to stop before the next step", h.By, h.PID, h.Host)
	case h != nil:
		text = fmt.Sprintf("%s (process %d on %s) was asked to stop before, and has not yet", h.By, h.PID, h.Host)
	}
	_, err := fmt.Fprintf(a.Out, "%s\n  last: %s\n  %s\nA drain that was begun goes on.\n", deploymentText(res.Deployment), res.Doing, text)
	return err
}
