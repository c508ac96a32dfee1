// Package drain is `kappa drain`: drain streaming jobs and watch them.
package drain

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/suggest"
	"github.com/kappa-migrate/kappa/internal/term"
)

type options struct {
	specs    *specflags.Flags
	limits   *Limits
	poll     time.Duration
	parallel int
}

// New returns the command.
func New(a *app.App) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "drain -f SPEC [JOB…]",
		Short: "Drain streaming jobs and watch their watermarks",
		Long: `Drain the jobs of a StreamJob, or those of them that are named: each stops reading,
lets its windows fire, writes what it has, and ends. The watermark of every source
is shown meanwhile. A job has drained when Dataflow says so, and then its
generation is recorded as drained: its rows count for ever.

One job is drained after the other, so that the rest goes on, unless --parallel
says otherwise. Stopping this command does not stop a drain, which cannot be taken
back; run it again to go on watching.

A job that has not drained in time drains on, and the command fails; with
--on-timeout wait it goes on to wait instead, and with cancel it cancels the job.
A cancelled job loses its state: its generation is recorded as void, its rows do
not count, and its successor reads its messages again. That needs --accept-loss,
also where the spec says cancel.

The exit code is 12 if a job has not drained in time or was cancelled for it, and 1
if it ended in another way. Jobs that were cancelled and recorded by an earlier run
are passed over.`,
		Example: `  kappa drain -f specs/stream.yaml
  kappa drain -f specs/stream.yaml flights-0 --timeout 2h
  kappa drain -f specs/stream.yaml flights-0 --on-timeout cancel --accept-loss
  kappa drain -f specs/stream.yaml --parallel 3 --output json`,
		RunE: func(cmd *cobra.Command, jobs []string) error { return run(cmd.Context(), a, &o, jobs) },
	}
	o.specs = specflags.Add(cmd)
	o.limits = AddLimits(cmd, "timeout")
	cmd.Flags().DurationVar(&o.poll, "poll", drain.DefaultPoll, "pause between two looks at a job")
	cmd.Flags().IntVar(&o.parallel, "parallel", drain.DefaultParallel, "how many jobs drain at a time")
	return cmd
}

func (o *options) validate() error {
	switch {
	case o.poll <= 0:
		return exit.Usagef("--poll %s: must be longer than 0", o.poll)
	case o.parallel < 1:
		return exit.Usagef("--parallel %d: must be at least 1", o.parallel)
	}
	return o.limits.Validate()
}

func run(ctx context.Context, a *app.App, o *options, jobs []string) error {
	if err := o.validate(); err != nil {
		return err
	}
	spec, _, err := o.specs.StreamJob()
	if err != nil {
		return err
	}
	if jobs, err = choose(spec.JobNames(), jobs); err != nil {
		return err
	}
	timeout, onTimeout, err := o.limits.Of(spec.Spec.Update)
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
	api, err := platform.Dataflow(ctx)
	if err != nil {
		return err
	}
	defer api.Close()
	bq, err := platform.BigQuery(ctx)
	if err != nil {
		return err
	}
	defer bq.Close()

	store := history.New(bq, spec.Spec.Sinks.BigQuery.Dataset, spec.Spec.Aggregations...)
	show := newProgress(term.New(a.Err))
	res, err := drain.Run(ctx, drain.Config{
		Log: show.display.Logger(a.Log), API: dataflowapi.New(api, spec.Spec.Project, spec.Spec.Region),
		Recorder: store, Adopted: store.OpenJob, Group: spec.Metadata.Name,
		Jobs: jobs, Parallel: o.parallel, Timeout: timeout, OnTimeout: onTimeout, Poll: o.poll, Progress: show.update,
	})
	show.close()
	if res != nil && (err == nil || len(res.Jobs) > 0) {
		if perr := printResult(a, res); perr != nil && err == nil {
			err = perr
		}
	}
	return err
}

// choose returns the jobs to drain: those that were named, in the order of the
// group, or all.
func choose(group, named []string) ([]string, error) {
	if len(named) == 0 {
		return group, nil
	}
	for _, n := range named {
		if slices.Contains(group, n) {
			continue
		}
		e := exit.Usagef("the StreamJob has no job %q", n)
		if s := suggest.Closest(n, group); s != "" {
			return nil, e.WithHint("did you mean %s?", s)
		}
		return nil, e.WithHint("its jobs are %s", strings.Join(group, ", "))
	}
	var out []string
	for _, g := range group {
		if slices.Contains(named, g) {
			out = append(out, g)
		}
	}
	return out, nil
}

func printResult(a *app.App, res *drain.Result) error {
	if a.JSON() {
		return a.PrintJSON(res)
	}
	tw := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "JOB\tGENERATION\tDRAINED\tLAST WATERMARK\tDATAFLOW JOB")
	for _, j := range res.Jobs {
		took := "before"
		if !j.Before {
			took = "in " + term.Span(time.Duration(j.Seconds*float64(time.Second)))
		}
		if j.Void {
			took = "no: " + j.State + ", void"
		}
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\n", j.Job, j.Generation, took, j.Watermark, j.ID)
	}
	return tw.Flush()
}
