package compare

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/jobspecs"
)

type scheduleOptions struct {
	every   string
	account string
	remove  bool
	status  bool
	dryRun  bool
	print   string
}

var printed = []string{compare.PrintCronJob, compare.PrintGitHubAction}

func newSchedule(a *app.App) *cobra.Command {
	var o scheduleOptions
	cmd := &cobra.Command{
		Use:   "schedule -f SPEC",
		Short: "Compare regularly, by a scheduled query of BigQuery",
		Long: `Make the comparison a scheduled query of BigQuery, or change the one that there
is: doing it again changes nothing.

The query is one statement. It finds by itself which windows, of those that ended
in the last range.last before its run, are settled, and which writers' rows count,
compares both sides as "kappa compare run" does, and writes the rows of the range
and of each settled day into compare_runs of history.dataset: the same as a run of
that range writes. Firing twice writes once. It looks for no causes and gives no
verdict: "kappa compare gate" and "kappa compare run" do, and count its days.

It never fires on the hour, for such schedules can fire twice: an interval begins
at a minute that is made from the comparison's name.

What a scheduled query cannot do, a job elsewhere can: --print writes a Kubernetes
CronJob or a GitHub workflow that runs "kappa compare run".

--status and --remove find the query by the comparison's name and history.dataset,
whatever else has become of the spec.

Exit codes: 0 when it is done, or there is nothing to remove, 2 for a comparison that
cannot be scheduled, 3 where tables or permissions are missing.`,
		Example: `  kappa compare schedule -f flights/compare.yaml --service-account kappa-compare@example-project.iam.gserviceaccount.com
  kappa compare schedule -f flights/compare.yaml --every "every day 04:17" --dry-run
  kappa compare schedule -f flights/compare.yaml --status
  kappa compare schedule -f flights/compare.yaml --remove
  kappa compare schedule -f flights/compare.yaml --every 6h --print cronjob`,
		Args: cobra.NoArgs,
	}
	specs := specflags.Add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.every, "every", "24h", "`TIME` between runs, in whole hours, or a schedule of the Data Transfer API, in UTC: \"every day 04:17\", \"1st monday of month 05:20\"")
	flags.StringVar(&o.account, "service-account", "", "`EMAIL` of the service account as which the query runs (default: you)")
	flags.BoolVar(&o.remove, "remove", false, "remove the scheduled query; what it has written stays")
	flags.BoolVar(&o.status, "status", false, "show the scheduled query and its last runs, and change nothing")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be done, with the SQL, and change nothing")
	flags.StringVar(&o.print, "print", "", "print a file that runs the comparison instead, and change nothing: `KIND` is cronjob or github-action")
	cmd.MarkFlagsMutuallyExclusive("remove", "status", "print")
	_ = cmd.RegisterFlagCompletionFunc("print", cobra.FixedCompletions(printed, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("every", cobra.FixedCompletions([]string{"1h", "6h", "24h", "168h"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return schedule(cmd.Context(), a, specs, o) }
	return cmd
}

func schedule(ctx context.Context, a *app.App, specs *specflags.Flags, o scheduleOptions) error {
	if o.print != "" && !slices.Contains(printed, o.print) {
		return exit.Usagef("--print %q is neither cronjob nor github-action", o.print)
	}
	spec, _, err := specs.Comparison()
	if err != nil {
		return err
	}
	recurrence, err := compare.ParseRecurrence(o.every, spec.Metadata.Name)
	if err != nil {
		return err
	}
	if o.print != "" {
		return compare.PrintSchedule(a.Out, o.print, compare.Printed{Name: spec.Metadata.Name, Project: spec.Spec.Project, Recurrence: recurrence,
			Specs: specs.Files, Env: specs.Env, Sets: specs.Sets})
	}
	if !o.remove && !o.status {
		if err := compare.CheckSchedulable(&spec.Spec); err != nil {
			return err
		}
	}
	cfg, done, err := scheduleConfig(ctx, a, spec)
	if err != nil {
		return err
	}
	defer done()
	cfg.Recurrence, cfg.ServiceAccount, cfg.DryRun = recurrence, o.account, o.dryRun
	do := compare.InstallSchedule
	switch {
	case o.remove:
		do = compare.RemoveSchedule
	case o.status:
		do = compare.ShowSchedule
	}
	s, err := do(ctx, cfg)
	if err != nil {
		return err
	}
	if a.JSON() {
		return a.PrintJSON(s)
	}
	showSchedule(a, s)
	return nil
}

// scheduleConfig opens what a schedule needs. The caller closes.
func scheduleConfig(ctx context.Context, a *app.App, spec *jobspecs.Comparison) (compare.ScheduleConfig, func(), error) {
	cfg := compare.ScheduleConfig{Spec: spec, Log: a.Log}
	platform, err := gcp.Open(spec.Spec.Platform)
	if err != nil {
		return cfg, nil, err
	}
	if cfg.Client, err = platform.BigQuery(ctx); err != nil {
		return cfg, nil, err
	}
	if cfg.Transfer, err = platform.DataTransfer(ctx); err != nil {
		cfg.Client.Close()
		return cfg, nil, err
	}
	done := func() { cfg.Client.Close(); _ = cfg.Transfer.Close() }
	if err := platform.Reachable(ctx); err != nil {
		done()
		return cfg, nil, err
	}
	return cfg, done, nil
}

func showSchedule(a *app.App, s *compare.Schedule) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(a.Out, "%-16s %s\n", name, fmt.Sprintf(format, args...))
	}
	state := s.State
	if s.DryRun && state != compare.ScheduleInstalled && state != compare.ScheduleUnchanged && state != compare.ScheduleAbsent {
		state = "would be " + state
	}
	fmt.Fprintf(a.Out, "%s: %s\n", s.Name, state)
	if s.State == compare.ScheduleAbsent {
		return
	}
	if s.Config != "" {
		line("config", "%s", s.Config)
	}
	line("schedule", "%s (UTC)", s.Schedule)
	if s.Start != nil {
		line("from", "%s", s.Start.Format(time.RFC3339))
	}
	if s.NextRun != nil {
		line("next run", "%s", s.NextRun.Format(time.RFC3339))
	}
	if s.Paused {
		line("paused", "yes: it does not run by itself")
	}
	if s.ServiceAccount != "" {
		line("runs as", "%s", s.ServiceAccount)
	}
	if s.Bytes > 0 {
		line("reads", "%d bytes a run, by dry run", s.Bytes)
	}
	if s.Installed != "" && s.Installed != s.SpecHash {
		line("spec", "it was made from another spec: run kappa compare schedule again")
	}
	for i, r := range s.Runs {
		name := ""
		if i == 0 {
			name = "last runs"
		}
		line(name, "%s %s%s", r.Time.Format(time.RFC3339), r.State, strings.TrimRight(" "+r.Error, " "))
	}
	if s.DryRun && s.SQL != "" && s.State != compare.ScheduleRemoved {
		fmt.Fprintf(a.Out, "\n%s", s.SQL)
	}
}
