// Package backfill is `kappa backfill`: windows recomputed by a batch.
package backfill

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	deploycli "github.com/kappa-migrate/kappa/internal/cli/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/term"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// defaultMaxBytes is what reading a table may bill unless told otherwise.
const defaultMaxBytes = "1TiB"

// New returns the command.
func New(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	var from, to, maxBytes, reason string
	var poll time.Duration
	var b deploy.Backfill
	cmd := &cobra.Command{
		Use:   "backfill -f SPEC --from TIME --to TIME --archive gs://BUCKET/PATTERN",
		Short: "Recompute a span of windows, and replace them or write them beside",
		Long: `Run the pipeline of a StreamJob as a batch, and replace a span of windows by what it
computes: once the job is done and that is on record, readers take its rows for
these windows in the place of all others of the StreamJob, of jobs that are launched
later as well. A backfill that fails changes nothing.

It reads one of three, which must hold every event of the windows; what lies outside
of the span is skipped:

  --archive  the archive: Avro files that a Cloud Storage subscription of Pub/Sub
             has written with write_metadata
  --files    files of events, for histories that never went through Pub/Sub: lines
             of JSON or Avro, gzipped or not, on Cloud Storage or, in the sandbox, on
             this machine. A record has the columns of a raw table: event_id and
             event_time (RFC 3339; in Avro a timestamp), the event's fields, and, if
             it likes, message_id, publish_time, source_time and position
  --table    a raw table, DATASET.TABLE of the spec's project, with one query for
             each day; an event is taken once by its id, from a writer whose rows
             count if there is one. Each query may bill --max-bytes at most, and so
             may all of them by estimate. What the pipeline could not read is in the
             raw table with NULL fields, and is counted as an event that has none:
             where there is an archive, take that

The span starts and ends where a window of every aggregation starts. The watermark
of every streaming job that runs must have passed it by the spec's horizon (exit code
3 until then), so that none of them counts an event of it any more.

With --shadow SUFFIX nothing is replaced: the rows go to tables TABLE_SUFFIX, which
are created like the StreamJob's own, and none to Bigtable. They count for the readers
of those tables alone, under the group NAME_shadow_SUFFIX, which a Comparison takes
as stream.job or batch.shadow; running it again replaces them. It does not wait for
watermarks: what has not happened yet, or is not in the archive yet, is missing.

A backfill that was stopped is resumed by the same command: its job goes on. Nothing
else can be deployed meanwhile.

The exit code is 1 if the job failed, 3 if something that it needs is missing or not
there yet, and 130 if the command was stopped.`,
		Example: `  kappa backfill -f specs/stream.yaml --from 2001-01-08 --to 2001-01-09 --archive 'gs://kappa-archive/flights/2001-01-08*.avro'
  kappa backfill -f specs/stream.yaml --from 2000-12-01 --to 2001-01-01 --files 'gs://kappa-history/flights/*.json.gz'
  kappa backfill -f specs/stream.yaml --from 2001-01-08 --to 2001-01-09 --table kappa.raw_flights --shadow v2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if poll <= 0 {
				return exit.Usagef("--poll %s: must be longer than 0", poll)
			}
			var err error
			if b.From, err = instant("--from", from); err != nil {
				return err
			}
			if b.To, err = instant("--to", to); err != nil {
				return err
			}
			if b.Table != "" || cmd.Flags().Changed("max-bytes") {
				n, err := jobspecs.ParseBytes(maxBytes)
				if err != nil {
					return exit.Usagef("--max-bytes: %w", err)
				}
				b.MaxBytes = int64(n)
			}
			if b.Files, err = Here(b.Files); err != nil {
				return err
			}
			return deploycli.With(cmd.Context(), a, specs, poll, reason, func(d *deploy.Deployer) error { return run(cmd.Context(), a, d, b) })
		},
	}
	specs = specflags.Add(cmd)
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "start of the first window: a `time`, RFC 3339, or a day")
	f.StringVar(&to, "to", "", "end of the last window: a `time`, RFC 3339, or a day")
	f.StringVar(&b.Archive, "archive", "", "Avro files of the archive, gs://BUCKET/`PATTERN`; * and ? stay within a folder")
	f.StringVar(&b.Files, "files", "", "files of events, gs://BUCKET/`PATTERN`, or in the sandbox a pattern of this machine")
	f.StringVar(&b.Table, "table", "", "raw `table` to read, DATASET.TABLE")
	f.StringVar(&maxBytes, "max-bytes", defaultMaxBytes, "most `bytes` that reading the table may bill; 0: any")
	f.StringVar(&b.Shadow, "shadow", "", "`suffix` of the tables to write in the place of the spec's own")
	f.StringVar(&b.Job, "job-name", "", "`name` that it writes under (default: NAME-backfill, or NAME-shadow-SUFFIX)")
	f.StringVar(&reason, "reason", "", "`text` for the history of deployments")
	f.DurationVar(&poll, "poll", deploy.DefaultPoll, "pause between two looks at the job")
	cmd.MarkFlagsMutuallyExclusive("archive", "files", "table")
	return cmd
}

func instant(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, exit.Usagef("%s is missing", flag).WithHint("write 2001-01-08 (midnight UTC) or 2001-01-08T06:00:00Z")
	}
	return specflags.Time(flag, text)
}

// Here makes a pattern of files of this machine absolute: workers are started
// elsewhere.
func Here(pattern string) (string, error) {
	if pattern == "" || strings.HasPrefix(pattern, "gs://") {
		return pattern, nil
	}
	return filepath.Abs(pattern)
}

func run(ctx context.Context, a *app.App, d *deploy.Deployer, b deploy.Backfill) error {
	show := Show(a.Err)
	res, err := d.Backfill(ctx, b, show.Event)
	show.Close(err)
	if err != nil {
		return err
	}
	if a.JSON() {
		return a.PrintJSON(res)
	}
	_, err = fmt.Fprintln(a.Out, Sentence(res))
	return err
}

// Sentence says what a backfill has done.
func Sentence(res *deploy.BackfillResult) string {
	span := fmt.Sprintf("the windows from %s to %s", res.WindowFrom.Format(time.RFC3339), res.WindowTo.Format(time.RFC3339))
	if s := res.Shadow; s != nil {
		return fmt.Sprintf("%s@%d (%s) has written %s to %s. They count as %s; nothing was replaced.",
			res.Job, res.Generation, res.DataflowID, span, strings.Join(s.Tables, ", "), res.Group)
	}
	return fmt.Sprintf("%s@%d (%s) replaces %s.", res.Job, res.Generation, res.DataflowID, span)
}

// Progress shows a backfill: one phase, which counts messages.
type Progress struct {
	display *term.Display
	task    *term.Task
}

// Show starts to show a backfill. Close it.
func Show(w io.Writer) *Progress { return &Progress{display: term.New(w)} }

// Event shows a step.
func (p *Progress) Event(e deploy.Event) {
	if p.task == nil {
		p.task = p.display.Start("backfill", "messages", 0)
	}
	switch e.Step {
	case deploy.Done:
		p.task.Done(fmt.Sprintf("%s, generation %d", e.Job, e.Generation))
		p.task = nil
		return
	case deploy.Running:
		p.task.Set(e.Messages)
	}
	p.task.Note(fmt.Sprintf("%s %s", e.Step, e.Text))
}

// Close ends the display.
func (p *Progress) Close(err error) {
	if p.task != nil && err != nil {
		p.task.Fail("")
	}
	p.display.Close()
}
