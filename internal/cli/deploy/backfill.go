package deploy

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/term"
)

func newBackfill(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	var from, to string
	var b deploy.Backfill
	var t timing // drains nothing
	cmd := &cobra.Command{
		Use:   "backfill -f SPEC --from TIME --to TIME --archive gs://BUCKET/PATTERN",
		Short: "Recompute a span of windows from the archive and replace them",
		Long: `Run the pipeline of a StreamJob as a batch over the archive of its messages, and
replace a span of windows by what it computes: once the job is done and that is on
record, readers take its rows for these windows in the place of all others of the
StreamJob, of jobs that are launched later as well. A backfill that fails changes
nothing.

The span starts and ends where a window of every aggregation starts, and the
archive must hold every event of its windows: Avro files that a Cloud Storage
subscription of Pub/Sub has written with write_metadata. The watermark of every
streaming job that runs must have passed the span by the spec's horizon (exit code
3 until then), so that none of them counts an event of it any more.

A backfill that was stopped is resumed by the same command: its job goes on.`,
		Example: `  kappa deploy backfill -f specs/stream.yaml --from 2001-01-08T00:00:00Z --to 2001-01-09T00:00:00Z --archive 'gs://kappa-archive/flights/2001-01-08*.avro'`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := t.validate(); err != nil {
				return err
			}
			var err error
			if b.From, err = instant("from", from); err != nil {
				return err
			}
			if b.To, err = instant("to", to); err != nil {
				return err
			}
			if b.Archive == "" {
				return exit.Usagef("--archive is missing").WithHint("name the archive's Avro files, as gs://BUCKET/PATTERN")
			}
			return with(cmd.Context(), a, specs, t, func(s *session) error { return backfill(cmd.Context(), a, s, b) })
		},
	}
	specs = specflags.Add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "start of the first window, RFC 3339")
	cmd.Flags().StringVar(&to, "to", "", "end of the last window, RFC 3339")
	cmd.Flags().StringVar(&b.Archive, "archive", "", "Avro files of the archive, gs://BUCKET/PATTERN; * and ? stay within a folder")
	cmd.Flags().StringVar(&b.Job, "job-name", "", "name that the backfill writes under (default: NAME-backfill)")
	t.add(cmd)
	return cmd
}

func instant(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, exit.Usagef("--%s is missing", flag).WithHint("give a time as 2006-01-02T15:04:05Z")
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, exit.Usagef("--%s %q is not a time", flag, text).WithHint("write it as 2006-01-02T15:04:05Z")
	}
	return t, nil
}

func backfill(ctx context.Context, a *app.App, s *session, b deploy.Backfill) error {
	display := term.New(a.Err)
	show := &filling{display: display}
	res, err := s.Backfill(ctx, b, show.event)
	show.close(err)
	if err != nil {
		return err
	}
	if a.JSON() {
		return a.PrintJSON(res)
	}
	_, err = fmt.Fprintf(a.Out, "%s@%d (%s) replaces the windows from %s to %s.\n", res.Job, res.Generation, res.DataflowID,
		res.WindowFrom.Format(time.RFC3339), res.WindowTo.Format(time.RFC3339))
	return err
}

// filling shows a backfill: one phase, which counts messages.
type filling struct {
	display *term.Display
	task    *term.Task
}

func (f *filling) event(e deploy.Event) {
	if f.task == nil {
		f.task = f.display.Start("backfill", "messages", 0)
	}
	switch e.Step {
	case deploy.Done:
		f.task.Done(fmt.Sprintf("%s, generation %d", e.Job, e.Generation))
		f.task = nil
		return
	case deploy.Running:
		f.task.Set(e.Messages)
	}
	f.task.Note(fmt.Sprintf("%s %s", e.Step, e.Text))
}

func (f *filling) close(err error) {
	if f.task != nil && err != nil {
		f.task.Fail("")
	}
	f.display.Close()
}
