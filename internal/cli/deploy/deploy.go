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
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/term"
)

// New returns the command.
func New(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "Launch, replace and backfill the streaming jobs on Dataflow",
	}
	cmd.AddCommand(newPlan(a), newApply(a), newBackfill(a))
	return cmd
}

func newPlan(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	cmd := &cobra.Command{
		Use:   "plan -f SPEC",
		Short: "Show what apply would do, and everything that is in its way",
		Long: `Look at everything that the jobs of a StreamJob need (subscriptions, BigQuery
tables, Bigtable tables, the template, the staging bucket) and at the jobs
themselves, and show what apply would do. Nothing is changed.

The exit code is 0 if there is nothing to do, 11 if changes are pending, and 3
if something is in the way; then all of it is shown.`,
		Example: `  kappa deploy plan -f specs/stream.yaml
  kappa deploy plan -f specs/ --name flights --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd.Context(), a, specs, timing{}, func(s *session) error { return plan(cmd.Context(), a, s.Deployer) })
		},
	}
	specs = specflags.Add(cmd)
	return cmd
}

func newApply(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	var yes, exitWithParent bool
	var t timing
	cmd := &cobra.Command{
		Use:   "apply -f SPEC",
		Short: "Create what is missing, launch the jobs that do not run, replace those that differ",
		Long: `Show the plan, ask, and apply it: create the tables that are missing, launch the
jobs of a StreamJob that do not run, and replace those that run with another spec.
Every generation of a job is recorded in the generations table before it is
launched, so that an apply that was stopped is resumed by running it again, and a
second one does nothing.

A job is replaced by draining it: it stops reading, lets its windows fire, writes
what it has, and ends; then its next generation is launched. The watermark of every
source is shown meanwhile. One job is replaced after the other, so that the rest
goes on; a step that fails stops the rest. Where subscriptions move between jobs,
because the number of jobs has changed, all jobs that run are drained before any is
launched: two jobs must never read one subscription. A job that the spec has no
more is drained.

Stopping this command does not stop a drain, which cannot be taken back; run it
again to go on. The generation of a job that failed or was cancelled is recorded as
void before its successor is launched: its rows no longer count.

A job that has not drained in time drains on, and apply fails; with --on-timeout
wait it goes on to wait instead, and with cancel it cancels the job, records its
generation as void and launches the successor, which reads its messages again. To
cancel needs --accept-loss, also where the spec says so: the job loses its state.

The exit code is 11 if the plan was not applied or was stale, 12 if a job has not
drained in time, and 1 if one ended in another way.`,
		Example: `  kappa deploy apply -f specs/stream.yaml
  kappa deploy apply -f specs/stream.yaml --yes --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if exitWithParent {
				go child.EndWithoutParent(os.Getppid())
			}
			if err := t.validate(); err != nil {
				return err
			}
			return with(cmd.Context(), a, specs, t, func(s *session) error { return apply(cmd.Context(), a, s, yes) })
		},
	}
	specs = specflags.Add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "apply without asking; needed where there is no terminal to ask on")
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
}

func (t *timing) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&t.poll, "poll", deploy.DefaultPoll, "pause between two looks at a job")
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

// session is a Deployer and the display that its drains are shown on.
type session struct {
	*deploy.Deployer
	drains *drains
}

// with calls fn with a session of the StreamJob that the flags name.
func with(ctx context.Context, a *app.App, specs *specflags.Flags, t timing, fn func(*session) error) error {
	job, _, err := specs.StreamJob()
	if err != nil {
		return err
	}
	dr := &drains{log: a.Log, group: job.Metadata.Name, poll: t.poll}
	if t.limits != nil {
		if dr.timeout, dr.then, err = t.limits.Of(job.Spec.Update); err != nil {
			return err
		}
	}
	clients, err := deploy.Connect(ctx, job)
	if err != nil {
		return err
	}
	defer clients.Close()
	api := dataflowapi.New(clients.Dataflow, job.Spec.Project, job.Spec.Region)
	store := history.New(clients.BigQuery, job.Spec.Sinks.BigQuery.Dataset, job.Spec.Aggregations...)
	dr.api, dr.recorder = api, store
	s := &session{drains: dr}
	s.Deployer, err = deploy.New(deploy.Config{
		Log: a.Log, Job: job, Clients: clients, Jobs: api, History: store, Drainer: s.drains, Observer: s.drains, Poll: t.poll,
		WithoutReplay: t.withoutReplay, StartTimeout: job.Spec.Update.StartTimeout.D(),
	})
	if err != nil {
		return err
	}
	return fn(s)
}

func plan(ctx context.Context, a *app.App, d *deploy.Deployer) error {
	p, err := d.Plan(ctx)
	if err != nil {
		return err
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
	if err := planText(a.Err, p); err != nil {
		return err
	}
	if len(p.Errors()) > 0 {
		return exit.Environmentf("%s cannot be deployed: %s in the way", p.Group, count(len(p.Errors()), "thing is", "things are"))
	}
	if p.Pending() && !yes {
		if err := ask(ctx, a); err != nil {
			return err
		}
	}
	show := newProgress(s.drains.shownOn(term.New(a.Err)))
	res, err := s.Apply(ctx, p, show.event)
	show.close(err)
	if res != nil && (err == nil || len(res.Jobs) > 0) {
		if perr := printResult(a, res); perr != nil && err == nil {
			err = perr
		}
	}
	return err
}

// ask asks whether to go on. Programs have to say --yes.
func ask(ctx context.Context, a *app.App) error {
	if !a.Interactive() {
		return exit.Usagef("there is no terminal to ask on").WithHint("look at the plan with `kappa deploy plan`, then apply with --yes")
	}
	yes, err := a.Confirm(ctx, "Apply?")
	if err == nil && !yes {
		err = exit.With(exit.Pending, errors.New("not applied"))
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
