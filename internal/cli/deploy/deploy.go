// Package deploy is `kappa deploy`: the jobs of a StreamJob.
package deploy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app"
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
		Short: "Launch the streaming jobs on Dataflow",
	}
	cmd.AddCommand(newPlan(a), newApply(a))
	return cmd
}

func newPlan(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	cmd := &cobra.Command{
		Use:   "plan -f SPEC",
		Short: "Show what apply would do, and everything that is in its way",
		Long: `Look at everything that the jobs of a StreamJob need (subscriptions, BigQuery
tables, the Bigtable table, the template, the staging bucket) and at the jobs
themselves, and show what apply would do. Nothing is changed.

The exit code is 0 if there is nothing to do, 11 if changes are pending, and 3
if something is in the way; then all of it is shown.`,
		Example: `  kappa deploy plan -f specs/stream.yaml
  kappa deploy plan -f specs/ --name flights --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd.Context(), a, specs, func(d *deploy.Deployer) error { return plan(cmd.Context(), a, d) })
		},
	}
	specs = specflags.Add(cmd)
	return cmd
}

func newApply(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	var yes bool
	cmd := &cobra.Command{
		Use:   "apply -f SPEC",
		Short: "Create what is missing and launch the jobs that do not run",
		Long: `Show the plan, ask, and apply it: create the tables that are missing, and launch
the jobs of a StreamJob that do not run, one after the other. Every generation of
a job is recorded in the generations table before it is launched, so that an apply
that was stopped is resumed by running it again, and a second one does nothing.

A job that runs is left alone. One that runs with another spec is reported with
exit code 11: drain it (kappa drain) and apply again. The generation of a job that
failed or was cancelled is recorded as void before its successor is launched: its
rows no longer count.`,
		Example: `  kappa deploy apply -f specs/stream.yaml
  kappa deploy apply -f specs/stream.yaml --yes --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd.Context(), a, specs, func(d *deploy.Deployer) error { return apply(cmd.Context(), a, d, yes) })
		},
	}
	specs = specflags.Add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "apply without asking; needed where there is no terminal to ask on")
	return cmd
}

// with calls fn with a Deployer of the StreamJob that the flags name.
func with(ctx context.Context, a *app.App, specs *specflags.Flags, fn func(*deploy.Deployer) error) error {
	job, _, err := specs.StreamJob()
	if err != nil {
		return err
	}
	clients, err := deploy.Connect(ctx, job)
	if err != nil {
		return err
	}
	defer clients.Close()
	d, err := deploy.New(deploy.Config{
		Log: a.Log, Job: job, Clients: clients,
		Jobs:    dataflowapi.New(clients.Dataflow, job.Spec.Project, job.Spec.Region),
		History: history.New(clients.BigQuery, job.Spec.Sinks.BigQuery.Dataset),
	})
	if err != nil {
		return err
	}
	return fn(d)
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
	return differing(p)
}

func apply(ctx context.Context, a *app.App, d *deploy.Deployer, yes bool) error {
	p, err := d.Plan(ctx)
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
	show := newProgress(term.New(a.Err))
	res, err := d.Apply(ctx, p, show.event)
	show.close(err)
	if res != nil && (err == nil || len(res.Jobs) > 0) {
		if perr := printResult(a, res); perr != nil && err == nil {
			err = perr
		}
	}
	if err != nil {
		return err
	}
	return differing(p)
}

// ask asks whether to go on. Programs have to say --yes.
func ask(ctx context.Context, a *app.App) error {
	if in, ok := a.In.(io.Writer); !ok || !app.Terminal(in) || !app.Terminal(a.Err) {
		return exit.Usagef("there is no terminal to ask on").WithHint("look at the plan with `kappa deploy plan`, then apply with --yes")
	}
	fmt.Fprint(a.Err, "Apply? [y/N] ")
	answer := make(chan string, 1)
	go func() { // not waited for: a read of a terminal cannot be interrupted
		line, err := bufio.NewReader(a.In).ReadString('\n')
		if err != nil {
			line = ""
		}
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case text := <-answer:
		if text == "y" || text == "yes" {
			return nil
		}
		return exit.With(exit.Pending, errors.New("not applied"))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// differing is the error of jobs that run with another spec.
func differing(p *deploy.Plan) error {
	names := p.Differing()
	if len(names) == 0 {
		return nil
	}
	return exit.With(exit.Pending, fmt.Errorf("%s with another spec: apply does not replace jobs that run", strings.Join(names, ", ")+runs(len(names)))).
		WithHint("drain them with `kappa drain %s`, then apply again", strings.Join(names, " "))
}

func runs(n int) string {
	if n == 1 {
		return " runs"
	}
	return " run"
}

// count writes a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
