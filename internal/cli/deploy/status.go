package deploy

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/term"
)

func newStatus(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	cmd := &cobra.Command{
		Use:   "status -f SPEC",
		Short: "Show what runs, who has deployed it, and whether somebody deploys now",
		Long: `Show of every job of a StreamJob which generation it is at, its state, with which
spec it runs, since when, who has deployed it, when and why, its watermark, what
waits in its subscriptions and how many errors it had in the last hour. What the
service does not tell stands as unknown; a job that it has forgotten, which it does
30 days after the end, is shown as the history has it.

Also shown: who deploys now, a deployment that was begun and has not ended with what
it was doing, and drift: what of the jobs is otherwise than it was deployed.

The exit code is 0 whatever runs: kappa deploy plan says whether it is right.`,
		Example: `  kappa deploy status -f specs/stream.yaml
  kappa deploy status -f specs/ --name flights --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd.Context(), a, specs, timing{}, func(s *session) error {
				st, err := s.Status(cmd.Context())
				if err != nil {
					return err
				}
				if a.JSON() {
					return a.PrintJSON(st)
				}
				return statusText(a.Out, st)
			})
		},
	}
	specs = specflags.Add(cmd)
	return cmd
}

const unknown = "unknown"

func statusText(w io.Writer, s *deploy.Status) error {
	fmt.Fprintf(w, "StreamJob %s in %s, %s, spec %s\n", s.Group, s.Project, s.Region, s.Spec)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "JOB\tGENERATION\tSTATE\tSPEC\tSINCE\tWATERMARK\tBACKLOG\tERRORS\tDATAFLOW JOB")
	for _, j := range s.Jobs {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", j.Job, generationText(j), stateText(j), specText(j), sinceText(j.Since, s.At),
			watermarkText(j), backlogText(j), errorsText(j), orDash(j.DataflowID))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, j := range s.Jobs {
		if j.NewestError != "" {
			fmt.Fprintf(w, "%s: newest error: %s\n", j.Job, j.NewestError)
		}
	}
	deployedText(w, s.Jobs)
	if h := s.Deploying; h != nil {
		fmt.Fprintf(w, "%s deploys since %s: kappa deploy %s, process %d on %s.\n", h.By, h.AcquiredAt.Format(time.RFC3339), h.Command, h.PID, h.Host)
	}
	if u := s.Unfinished; u != nil {
		fmt.Fprintf(w, "Unfinished: %s\n  last, at %s: %s\n", deploymentText(u.Deployment), u.Since.Format(time.RFC3339), u.Doing)
		switch {
		case u.Abort != nil:
			fmt.Fprintf(w, "  %s has asked for it to be stopped%s\n", u.Abort.By, reasonText(u.Abort.Reason))
		case s.Deploying == nil:
			fmt.Fprintf(w, "  nobody goes on with it: run %s again, or end it with kappa deploy abort\n", u.Command)
		}
	}
	driftText(w, s.Drift)
	if s.Unread != "" {
		fmt.Fprintf(w, "warning: who has deployed is not known: %s\n", s.Unread)
	}
	return nil
}

func generationText(j deploy.JobStatus) string {
	if j.Generation == 0 {
		return "-"
	}
	return fmt.Sprint(j.Generation)
}

// stateText is the state by the service, else by the history.
func stateText(j deploy.JobStatus) string {
	text := j.State
	switch {
	case text == "" && j.Recorded == "":
		text = "never launched"
	case text == "":
		text = j.Recorded + ", unknown to Dataflow"
		if j.Recorded != "open" {
			text = j.Recorded
		}
	}
	if j.Retired {
		text += ", retired"
	}
	if j.Adopted {
		text += ", adopted"
	}
	return text
}

func specText(j deploy.JobStatus) string {
	switch {
	case j.Spec == "" && j.State == "":
		return "-"
	case j.Spec == "":
		return unknown
	case j.Wanted:
		return "the wanted one"
	}
	return j.Spec
}

func sinceText(at *time.Time, now time.Time) string {
	if at == nil {
		return "-"
	}
	return term.Span(max(now.Sub(*at), 0))
}

func watermarkText(j deploy.JobStatus) string {
	switch {
	case j.AtMaximum:
		return "maximum"
	case j.Watermark == nil:
		return ifRuns(j)
	}
	return fmt.Sprintf("%s (%s behind)", j.Watermark.UTC().Format(time.RFC3339), term.Span(time.Duration(*j.WatermarkAge*float64(time.Second))))
}

func backlogText(j deploy.JobStatus) string {
	var parts []string
	if j.BacklogElements != nil {
		parts = append(parts, fmt.Sprintf("%d elements", *j.BacklogElements))
	}
	if j.BacklogBytes != nil {
		parts = append(parts, fmt.Sprintf("%d bytes", *j.BacklogBytes))
	}
	if len(parts) == 0 {
		return ifRuns(j)
	}
	return strings.Join(parts, ", ")
}

func errorsText(j deploy.JobStatus) string {
	if j.Errors == nil {
		return ifRuns(j)
	}
	return fmt.Sprint(*j.Errors)
}

// ifRuns says that something is not known; of a job that does not run there is
// nothing to know.
func ifRuns(j deploy.JobStatus) string {
	switch j.State {
	case "", "DONE", "FAILED", "CANCELLED", "UPDATED", "DRAINED":
		return "-"
	}
	return unknown
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func reasonText(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// deployedText says who has deployed what runs, once for all jobs of a deployment.
func deployedText(w io.Writer, jobs []deploy.JobStatus) {
	shown := map[string]bool{}
	for i, j := range jobs {
		if j.Deployment == nil || shown[j.Deployment.ID] {
			continue
		}
		shown[j.Deployment.ID] = true
		var names []string
		for _, k := range jobs[i:] {
			if k.Deployment != nil && k.Deployment.ID == j.Deployment.ID {
				names = append(names, k.Job)
			}
		}
		fmt.Fprintf(w, "Deployed %s: %s\n", strings.Join(names, ", "), deploymentText(*j.Deployment))
	}
}

// deploymentText is a deployment in a line.
func deploymentText(d deploy.Deployment) string {
	return fmt.Sprintf("%s, %s by %s at %s%s", d.ID, d.Command, d.By, d.Began.Format(time.RFC3339), reasonText(d.Reason))
}

// driftText says what is otherwise than it was deployed.
func driftText(w io.Writer, drift []deploy.Drift) {
	if len(drift) == 0 {
		return
	}
	fmt.Fprintln(w, "Drift, otherwise than it was deployed:")
	for _, d := range drift {
		fmt.Fprintf(w, "  %s\n", d)
	}
}
