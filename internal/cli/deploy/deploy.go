// Package deploy is `kappa deploy`: the jobs of a StreamJob.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/child"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	draincli "github.com/kappa-migrate/kappa/internal/cli/drain"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/term"
)

// New returns the command.
func New(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "Plan, launch, replace and roll back the streaming jobs on Dataflow",
	}
	cmd.AddCommand(newPlan(a), newApply(a), newStatus(a), newHistory(a), newAdopt(a), newRollback(a), newAbort(a))
	return cmd
}

func newPlan(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	var out string
	cmd := &cobra.Command{
		Use:   "plan -f SPEC [--out PLANFILE]",
		Short: "Show what apply would do, and everything that is in its way",
		Long: `Look at everything that the jobs of a StreamJob need (subscriptions, BigQuery
tables, Bigtable tables, the template, the staging bucket) and at the jobs
themselves, and show what apply would do. Nothing is changed.

Drift is shown as well: what of the jobs is otherwise than it was deployed, because
somebody has changed it by hand or it has ended by itself. It keeps nobody from
applying the plan.

With --out the plan is written to a file as well, with the resolved spec and a hash
over both: kappa deploy apply PLANFILE applies it if nothing has changed meanwhile.
A plan with something in its way is not written.

The exit code is 0 if there is nothing to do, 11 if changes are pending, and 3
if something is in the way; then all of it is shown.`,
		Example: `  kappa deploy plan -f specs/stream.yaml
  kappa deploy plan -f specs/ --name flights --output json
  kappa deploy plan -f specs/stream.yaml --env production --out flights.plan`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("out") && out == "" {
				return exit.Usagef("--out names no file")
			}
			return with(cmd.Context(), a, specs, timing{}, func(s *session) error { return plan(cmd.Context(), a, s.Deployer, out) })
		},
	}
	specs = specflags.Add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "`file` that the plan is written to, for apply")
	return cmd
}

func newApply(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	var yes, exitWithParent bool
	var t timing
	cmd := &cobra.Command{
		Use:   "apply {-f SPEC | PLANFILE}",
		Short: "Create what is missing, launch the jobs that do not run, replace those that differ",
		Long: `Show the plan, ask, and apply it: create the tables that are missing, launch the
jobs of a StreamJob that do not run, and replace those that run with another spec.
Every generation of a job is recorded in the generations table before it is
launched, so that an apply that was stopped is resumed by running it again, and a
second one does nothing.

A job is replaced by draining it: it stops reading, lets its windows fire, writes
what it has, and ends; then its next generation is launched. The watermark of every
source is shown meanwhile. One job is replaced after the other, so that the rest
goes on; a step that fails stops the rest. spec.update.rollout says in which order,
how many at a time, and what must hold of a replaced job before the next is taken:
how long it has to run with its watermark moving, how old that may be, how many
errors it may log, and which Comparison must say GO. What cannot be observed does
not hold. Canaries are replaced first, and the rest once they have been healthy for
long enough. An apply that was stopped while it watched begins to watch anew.

Where subscriptions move between jobs, because the number of jobs has changed, all
jobs that run are drained before any is launched: two jobs must never read one
subscription. A job that the spec has no more is drained. A job of which only the
least and the most workers differ is resized while it runs: nothing is drained.

spec.update.strategy says how else a job is replaced. With update, or managed, the
service replaces it in place and hands its state over, so that the generation goes
on; what the service refuses leaves the job as it is, and stops the rest. With
cancel the job is cancelled, its generation is void, and its successor reads its
messages again; that needs --accept-loss.

Stopping this command does not stop a drain, which cannot be taken back; run it
again to go on. The generation of a job that failed or was cancelled is recorded as
void before its successor is launched: its rows no longer count.

A job that has not drained in time drains on, and apply fails; with --on-timeout
wait it goes on to wait instead, and with cancel it cancels the job, records its
generation as void and launches the successor, which reads its messages again. To
cancel needs --accept-loss, also where the spec says so: the job loses its state.

With a plan file of kappa deploy plan --out that plan is applied, with the spec in
the file: no -f is needed, but for conditions that name a Comparison. A file that
was changed is refused; so is one whose plan is not what would be done now, and what
is different is said.

Only one command changes the jobs of a StreamJob at a time: it holds a lease, and
whoever comes second is told who does. Every step is recorded before it is taken, in
the journal that kappa deploy history shows, with the --reason.

The exit code is 2 for a plan file that was changed, 3 if something is in the way or
somebody else deploys, 10 if the Comparison does not say GO, 11 if the plan was not
applied or was stale, 12 if a job has not drained in time, 14 if somebody has stopped
it with kappa deploy abort, and 1 if a job ended in another way or is not healthy in
time.`,
		Example: `  kappa deploy apply -f specs/stream.yaml
  kappa deploy apply -f specs/stream.yaml --yes --output json --reason 'longer horizon'
  kappa deploy apply flights.plan --yes`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if exitWithParent {
				go child.EndWithoutParent(os.Getppid())
			}
			if err := t.validate(); err != nil {
				return err
			}
			if len(args) == 1 {
				return applyFile(cmd.Context(), a, specs, t, args[0], yes)
			}
			return with(cmd.Context(), a, specs, t, func(s *session) error { return apply(cmd.Context(), a, s, yes) })
		},
	}
	specs = specflags.Add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "apply without asking; needed where there is no terminal to ask on")
	t.addReason(cmd)
	t.limits = draincli.AddLimits(cmd, "drain-timeout")
	cmd.Flags().BoolVar(&t.withoutReplay, "without-replay", false, "launch the successor of a dead generation even if the snapshot that it would read again from is gone")
	t.add(cmd)
	cmd.Flags().BoolVar(&exitWithParent, "exit-with-parent", false, "end when the parent process is gone")
	_ = cmd.Flags().MarkHidden("exit-with-parent")
	return cmd
}

// timing is how long is waited.
type timing struct {
	limits *draincli.Limits // nil: nothing is drained
	poll   time.Duration

	withoutReplay bool
	reason        string // for the journal
}

func (t *timing) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&t.poll, "poll", deploy.DefaultPoll, "pause between two looks at a job")
}

// addReason adds --reason, for commands that change something.
func (t *timing) addReason(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.reason, "reason", "", "`why` this is done, for the journal")
}

func (t *timing) validate() error {
	if t.poll <= 0 {
		return exit.Usagef("--poll %s: must be longer than 0", t.poll)
	}
	if t.limits == nil {
		return nil
	}
	return t.limits.Validate()
}

func plan(ctx context.Context, a *app.App, d *deploy.Deployer, out string) error {
	p, err := d.Plan(ctx)
	if err != nil {
		return err
	}
	if out != "" && len(p.Errors()) == 0 {
		if err := writePlan(d, p, out); err != nil {
			return err
		}
	}
	if a.JSON() {
		err = a.PrintJSON(p)
	} else {
		err = planText(a.Out, p)
	}
	switch {
	case err != nil:
		return err
	case len(p.Errors()) > 0:
		return exit.Environmentf("%s cannot be deployed: %s in the way", p.Group, count(len(p.Errors()), "thing is", "things are"))
	case p.Pending():
		return &exit.Error{Code: exit.Pending, Err: fmt.Errorf("changes are pending for %s", p.Group), Printed: true}
	}
	return nil
}

func apply(ctx context.Context, a *app.App, s *session, yes bool) error {
	p, err := s.Plan(ctx)
	if err != nil {
		return err
	}
	return applyPlan(ctx, a, s, p, yes, "Apply?", func(res *deploy.Result) error { return printResult(a, res) })
}

// applyPlan shows a plan, asks, applies it, and prints what was done.
func applyPlan(ctx context.Context, a *app.App, s *session, p *deploy.Plan, yes bool, question string, print func(*deploy.Result) error) error {
	if err := planText(a.Err, p); err != nil {
		return err
	}
	if len(p.Errors()) > 0 {
		return exit.Environmentf("%s cannot be deployed: %s in the way", p.Group, count(len(p.Errors()), "thing is", "things are"))
	}
	if err := s.MayLose(p); err != nil {
		return err
	}
	if p.Pending() && !yes {
		if err := ask(ctx, a, question); err != nil {
			return err
		}
	}
	show := newProgress(s.drains.shownOn(term.New(a.Err)))
	res, err := s.Apply(ctx, p, show.event)
	show.close(err)
	if res != nil && (err == nil || len(res.Jobs) > 0) {
		if perr := print(res); perr != nil && err == nil {
			err = perr
		}
	}
	return err
}

// ask asks whether to go on. Programs have to say --yes.
func ask(ctx context.Context, a *app.App, question string) error {
	if !a.Interactive() {
		return exit.Usagef("there is no terminal to ask on").WithHint("look at what would be done, which changes nothing, then add --yes")
	}
	yes, err := a.Confirm(ctx, question)
	if err == nil && !yes {
		err = exit.With(exit.Pending, errors.New("nothing was done: the answer was no"))
	}
	return err
}

// count writes a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
