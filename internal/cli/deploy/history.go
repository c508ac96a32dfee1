package deploy

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/term"
)

const defaultLimit = 20

func newHistory(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	var limit int
	var job string
	cmd := &cobra.Command{
		Use:   "history -f SPEC [DEPLOYMENT]",
		Short: "Show who has done what to the jobs, when and why",
		Long: `Show the deployments of a StreamJob, newest first: when, who, by which command, why,
how it ended, how long it took, and about which jobs something was to be done. With a
DEPLOYMENT, all that it has recorded, step by step: a step is recorded before it is
taken, so the last one of a deployment that has not ended may not have been taken.

The journal is kept for ever, in the folder that the spec names: the Dataflow API
forgets jobs 30 days after their end, and has never known who has started them.

The exit code is 2 for a DEPLOYMENT that there is none of.`,
		Example: `  kappa deploy history -f specs/stream.yaml
  kappa deploy history -f specs/stream.yaml --job flights-0 --limit 5
  kappa deploy history -f specs/stream.yaml 20260102t030405-a1b2c3 --output json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case limit < 0:
				return exit.Usagef("--limit %d: must be at least 0, which shows all", limit)
			case len(args) == 1 && (job != "" || cmd.Flags().Changed("limit")):
				return exit.Usagef("--job and --limit choose among deployments, and %s is one", args[0])
			}
			return with(cmd.Context(), a, specs, timing{}, func(s *session) error {
				if len(args) == 1 {
					return timeline(cmd.Context(), a, s, args[0])
				}
				return deployments(cmd.Context(), a, s, limit, job)
			})
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return deploymentIDs(cmd.Context(), a, specs, args)
		},
	}
	specs = specflags.Add(cmd)
	cmd.Flags().IntVar(&limit, "limit", defaultLimit, "most deployments that are shown; 0: all")
	cmd.Flags().StringVar(&job, "job", "", "only the deployments that were to do something about this `job`")
	completeJobs(cmd, "job", specs)
	return cmd
}

// completeJobs offers the names of the jobs to the shell.
func completeJobs(cmd *cobra.Command, flag string, specs *specflags.Flags) {
	_ = cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		job, _, err := specs.StreamJob()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return job.JobNames(), cobra.ShellCompDirectiveNoFileComp
	})
}

// deploymentIDs offers the newest deployments to the shell.
func deploymentIDs(ctx context.Context, a *app.App, specs *specflags.Flags, args []string) (ids []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	err := with(ctx, a, specs, timing{}, func(s *session) error {
		list, err := s.Deployments(ctx, defaultLimit, "")
		for _, d := range list {
			ids = append(ids, cobra.CompletionWithDesc(d.ID, d.Command+" by "+d.By+reasonText(d.Reason)))
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

func deployments(ctx context.Context, a *app.App, s *session, limit int, job string) error {
	list, err := s.Deployments(ctx, limit, job)
	if err != nil {
		return err
	}
	if a.JSON() {
		return a.PrintJSON(struct {
			Deployments []deploy.Deployment `json:"deployments"`
		}{list})
	}
	return historyText(a.Out, list)
}

func historyText(w io.Writer, list []deploy.Deployment) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "No deployment is on record.")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "DEPLOYMENT\tBEGAN\tBY\tCOMMAND\tOUTCOME\tTOOK\tJOBS\tREASON")
	for _, d := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, d.Began.Format(time.RFC3339), d.By, d.Command, outcomeText(d), tookText(d), jobsText(d.Jobs), orDash(d.Reason))
	}
	return tw.Flush()
}

func outcomeText(d deploy.Deployment) string {
	if d.Outcome == "" {
		return "not ended"
	}
	return d.Outcome
}

func tookText(d deploy.Deployment) string {
	if d.Seconds == nil {
		return "-"
	}
	return term.Span(seconds(*d.Seconds))
}

// fewJobs is how many jobs a line names.
const fewJobs = 3

func jobsText(jobs []string) string {
	if len(jobs) > fewJobs {
		return fmt.Sprintf("%s and %d more", strings.Join(jobs[:fewJobs], ", "), len(jobs)-fewJobs)
	}
	return orDash(strings.Join(jobs, ", "))
}

func timeline(ctx context.Context, a *app.App, s *session, id string) error {
	t, err := s.Timeline(ctx, id)
	if err != nil {
		return err
	}
	if a.JSON() {
		return a.PrintJSON(t)
	}
	return timelineText(a.Out, t)
}

func timelineText(w io.Writer, t *deploy.Timeline) error {
	fmt.Fprintf(w, "%s\nkappa %s, spec %s\n", deploymentText(t.Deployment), t.Version, t.Spec)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, e := range t.Entries {
		// Whoever goes on with it may be somebody else.
		line := e.Line
		if e.Kind == "resume" || e.By != t.By && e.Kind == "end" {
			line += ", by " + e.By
		}
		fmt.Fprintf(tw, "  %s\t+%s\t%s\t%s\n", e.At.Format(time.RFC3339), term.Span(seconds(e.Seconds)), e.Kind, line)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if t.Error != "" {
		fmt.Fprintf(w, "error: %s\n", t.Error)
	}
	switch {
	case t.Outcome == "" && t.Abort != nil:
		fmt.Fprintf(w, "It has not ended; %s has asked for it to be stopped%s.\n", t.Abort.By, reasonText(t.Abort.Reason))
	case t.Outcome == "":
		fmt.Fprintln(w, "It has not ended.")
	case t.Abort != nil:
		fmt.Fprintf(w, "%s has asked for it to be stopped at %s%s.\n", t.Abort.By, t.Abort.At.Format(time.RFC3339), reasonText(t.Abort.Reason))
	}
	return nil
}
