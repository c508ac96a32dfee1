package deploy

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
)

func newAdopt(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	var jobs []string
	var yes bool
	var t timing
	cmd := &cobra.Command{
		Use:   "adopt -f SPEC --job NAME=DATAFLOW_ID",
		Short: "Take jobs that were started by hand for jobs of a StreamJob",
		Long: `Record jobs that run, and that kappa has not launched, as generations of the jobs of
a StreamJob. Nothing is launched or stopped. The job may have another name; its next
generation has the name that the StreamJob gives it.

A job is adopted if it runs in the spec's region, reads the subscriptions that the
spec gives to the job and none that are not the group's, and if nothing else runs
under the name. Of a job of kappa-pipeline the rows count under the writer that its
parameters --job and --generation name: it is refused if these name another job, or a
generation that was before. What the service does not show is said to be unknown.

What an adopted job runs with is not known, so the next apply drains it and launches
the next generation with the spec.

The exit code is 0 also if all jobs were adopted before, 3 if a job cannot be adopted,
and 11 if the answer was no or a job has changed meanwhile.`,
		Example: `  kappa deploy adopt -f specs/stream.yaml --job flights-0=2026-01-02_03_04_05-1234567890 --reason 'started by hand at 3 am'
  kappa deploy adopt -f specs/stream.yaml --job flights-0=2026-01-02_03_04_05-12 --job flights-1=2026-01-02_03_04_06-34 --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := adoptions(jobs)
			if err != nil {
				return err
			}
			return with(cmd.Context(), a, specs, t, func(s *session) error { return adopt(cmd.Context(), a, s, list, yes) })
		},
	}
	specs = specflags.Add(cmd)
	cmd.Flags().StringArrayVar(&jobs, "job", nil, "`NAME=DATAFLOW_ID` of a job of the StreamJob and of what runs for it; may be repeated")
	completeJobs(cmd, "job", specs)
	cmd.Flags().BoolVar(&yes, "yes", false, "adopt without asking; needed where there is no terminal to ask on")
	t.addReason(cmd)
	return cmd
}

func adoptions(jobs []string) ([]deploy.Adoption, error) {
	var out []deploy.Adoption
	for _, j := range jobs {
		name, id, ok := strings.Cut(j, "=")
		if !ok || name == "" || id == "" {
			return nil, exit.Usagef("--job %q is not NAME=DATAFLOW_ID", j)
		}
		out = append(out, deploy.Adoption{Job: name, DataflowID: id})
	}
	if len(out) == 0 {
		return nil, exit.Usagef("--job is missing").WithHint("name what is to be adopted as --job NAME=DATAFLOW_ID")
	}
	return out, nil
}

func adopt(ctx context.Context, a *app.App, s *session, list []deploy.Adoption, yes bool) error {
	p, err := s.PlanAdopt(ctx, list)
	if err != nil {
		return err
	}
	if err := adoptText(a.Err, p); err != nil {
		return err
	}
	if !yes {
		if err := ask(ctx, a, "Adopt?"); err != nil {
			return err
		}
	}
	p, err = s.Adopt(ctx, p, nil)
	if err != nil {
		return err
	}
	if a.JSON() {
		return a.PrintJSON(p)
	}
	for _, j := range p.Jobs {
		when := "is adopted"
		if j.Kind == deploy.Keep {
			when = "was adopted before"
		}
		if _, err := fmt.Fprintf(a.Out, "%s %s as %s, generation %d.\n", j.DataflowID, when, j.Job, j.Generation); err != nil {
			return err
		}
	}
	return nil
}

// adoptText says what is to be adopted, and what is not known of it.
func adoptText(w io.Writer, p *deploy.AdoptPlan) error {
	fmt.Fprintf(w, "StreamJob %s in %s, %s\n", p.Group, p.Project, p.Region)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, j := range p.Jobs {
		verb := "adopt"
		if j.Kind == deploy.Keep {
			verb = "adopted before"
		}
		fmt.Fprintf(tw, "  %s\t%s (%s), %s\tas %s, generation %d\treads %s\n", verb, j.DataflowID, j.Name, j.State, j.Job, j.Generation, orUnknown(strings.Join(j.Reads, ", ")))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, j := range p.Jobs {
		for _, u := range j.Unknown {
			if _, err := fmt.Fprintf(w, "warning: %s: not known is %s\n", j.Job, u); err != nil {
				return err
			}
		}
	}
	return nil
}

func orUnknown(text string) string {
	if text == "" {
		return unknown
	}
	return text
}
