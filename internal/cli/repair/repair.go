// Package repair is `kappa repair`: generations of wrong code are voided, and their
// windows recomputed.
package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	backfillcli "github.com/kappa-migrate/kappa/internal/cli/backfill"
	deploycli "github.com/kappa-migrate/kappa/internal/cli/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/internal/term"
)

// New returns the command.
func New(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	var void []string
	var reason string
	var yes bool
	var poll time.Duration
	var r deploy.Repair
	cmd := &cobra.Command{
		Use:   "repair --void JOB@GENERATION -f SPEC --archive gs://BUCKET/PATTERN --reason TEXT",
		Short: "Void what wrong code has counted, and recompute its windows",
		Long: `Wrong code was deployed, and its numbers are wrong. First deploy the right code, or
roll back: a generation that runs is not voided. Then this command

  1. looks for the windows that the generations have touched, in what they have
     written and in what they have read, shows them and asks,
  2. records the generations as void: their rows do not count from then on, and what
     they had counted is missing from these windows,
  3. runs a backfill of exactly these windows with the spec that is given, which must
     be the right one. Once it is complete it takes the place of everything in them.

The backfill cannot begin while a streaming job still takes events of the windows: the
watermark of every job that runs must have passed their end by the spec's horizon. If
it has not, the command ends behind the second step with exit code 3 and says when to
run it again; with --wait it waits, and nobody is kept from deploying meanwhile. Run
again with the same flags, it goes on where it was: what is void is not voided twice,
a backfill that runs is joined, and a repair that is complete is left alone.

The archive, or the files, must hold every event of the windows: see kappa backfill.
What is needed to name the generations is in kappa deploy history. Where all jobs of
a StreamJob ran the wrong code, give --void for each: their windows are recomputed
together.

The exit code is 1 if the backfill failed, 3 if it cannot begin yet, or if something
that it needs is missing, 11 if the question was answered with no or the plan was
stale, and 130 if the command was stopped.`,
		Example: `  kappa repair --void flights-0@7 -f specs/stream.yaml --archive 'gs://kappa-archive/flights/2001-01-*.avro' --reason 'delays in seconds instead of minutes'
  kappa repair --void flights-0@7 --void flights-1@7 -f specs/stream.yaml --archive 'gs://kappa-archive/flights/*.avro' --reason 'delays in seconds' --wait --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if poll <= 0 {
				return exit.Usagef("--poll %s: must be longer than 0", poll)
			}
			for _, text := range void {
				w, err := tables.ParseWriter(text)
				if err != nil {
					return exit.Usagef("--void: %w", err)
				}
				r.Void = append(r.Void, w)
			}
			if len(r.Void) == 0 {
				return exit.Usagef("--void is missing").WithHint("name the generation, JOB@GENERATION, whose numbers are wrong")
			}
			if strings.TrimSpace(reason) == "" {
				return exit.Usagef("--reason is missing").WithHint("say what was wrong: it is kept in the history of deployments")
			}
			var err error
			if r.Files, err = backfillcli.Here(r.Files); err != nil {
				return err
			}
			return deploycli.With(cmd.Context(), a, specs, poll, reason, func(d *deploy.Deployer) error { return run(cmd.Context(), a, d, r, yes) })
		},
	}
	specs = specflags.Add(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&void, "void", nil, "generation to void, `JOB@GENERATION`; may be repeated")
	f.StringVar(&r.Archive, "archive", "", "Avro files of the archive, gs://BUCKET/`PATTERN`; * and ? stay within a folder")
	f.StringVar(&r.Files, "files", "", "files of events, gs://BUCKET/`PATTERN`, or in the sandbox a pattern of this machine")
	f.StringVar(&reason, "reason", "", "`text` for the history of deployments: what was wrong")
	f.BoolVar(&r.Wait, "wait", false, "wait until the windows can be replaced")
	f.BoolVar(&yes, "yes", false, "void without asking; needed where there is no terminal to ask on")
	f.DurationVar(&poll, "poll", deploy.DefaultPoll, "pause between two looks at a job")
	cmd.MarkFlagsMutuallyExclusive("archive", "files")
	return cmd
}

func run(ctx context.Context, a *app.App, d *deploy.Deployer, r deploy.Repair, yes bool) error {
	p, err := d.PlanRepair(ctx, r)
	if err != nil {
		return err
	}
	if err := planText(a.Err, p); err != nil {
		return err
	}
	if p.Pending() && !yes {
		if err := ask(ctx, a); err != nil {
			return err
		}
	}
	show := &progress{display: term.New(a.Err)}
	res, err := d.Repair(ctx, r, p, show.event)
	show.close(err)
	if err != nil {
		return err
	}
	if a.JSON() {
		return a.PrintJSON(res)
	}
	return resultText(a.Out, res)
}

// ask asks whether to go on. Programs have to say --yes.
func ask(ctx context.Context, a *app.App) error {
	if !a.Interactive() {
		return exit.Usagef("there is no terminal to ask on").WithHint("look at what is shown above, then repair with --yes")
	}
	yes, err := a.Confirm(ctx, "Repair?")
	if err == nil && !yes {
		err = exit.With(exit.Pending, errors.New("not repaired"))
	}
	return err
}

// planText prints a plan for people.
func planText(w io.Writer, p *deploy.RepairPlan) error {
	for _, g := range p.Writers {
		what := "is " + g.State + " already"
		if g.Voids {
			what = "is " + g.State + ", and becomes void"
		}
		fmt.Fprintf(w, "%s %s\n", g.Writer(), what)
		if d := g.Deployed; d != nil {
			fmt.Fprintf(w, "  deployed by %s at %s%s\n", d.By, d.Began.UTC().Format(time.RFC3339), because(d.Reason))
		}
		tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		for _, t := range g.Tables {
			windows := ""
			if t.Windows > 0 {
				windows = fmt.Sprintf("%d keys and windows", t.Windows)
			}
			fmt.Fprintf(tw, "  %s\t%d rows\t%s to %s\t%s\n", t.Table, t.Rows, t.From.Format(time.RFC3339), t.To.Format(time.RFC3339), windows)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	var text string
	switch {
	case p.From == nil:
		text = "They have read and written nothing: there is no window to recompute."
	case p.Repaired != "":
		text = fmt.Sprintf("%s has replaced their windows, from %s to %s: there is nothing to do.", p.Repaired, p.From.Format(time.RFC3339), p.To.Format(time.RFC3339))
	default:
		text = fmt.Sprintf("The windows from %s to %s are recomputed. Until then what is void is missing from them.", p.From.Format(time.RFC3339), p.To.Format(time.RFC3339))
		if p.UnsettledUntil != nil {
			text += fmt.Sprintf("\nThat can begin once the watermarks of the jobs that run have reached %s.", p.UnsettledUntil.Format(time.RFC3339))
		}
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func resultText(w io.Writer, res *deploy.RepairResult) error {
	var err error
	switch {
	case res.From == nil:
		_, err = fmt.Fprintf(w, "Void: %s. There was no window to recompute.\n", strings.Join(res.Void, ", "))
	case res.Backfill == nil:
		_, err = fmt.Fprintf(w, "Void: %s. %s has replaced the windows from %s to %s.\n", strings.Join(res.Void, ", "), res.Repaired,
			res.From.Format(time.RFC3339), res.To.Format(time.RFC3339))
	default:
		_, err = fmt.Fprintf(w, "Void: %s. %s\n", strings.Join(res.Void, ", "), backfillcli.Sentence(res.Backfill))
	}
	return err
}

// progress shows a repair: what is recorded, the wait, and the backfill.
type progress struct {
	display *term.Display
	current *term.Task
	name    string
}

func (p *progress) event(e deploy.Event) {
	name, unit := "backfill", "messages"
	switch e.Step {
	case deploy.Voiding:
		name, unit = "void", "generations"
	case deploy.Waiting:
		name, unit = "wait", ""
	}
	if p.name != name {
		if p.current != nil {
			p.current.Done("")
		}
		p.name, p.current = name, p.display.Start(name, unit, 0)
	}
	switch e.Step {
	case deploy.Voiding:
		p.current.Note(fmt.Sprintf("%s, %s", e.Job, e.Text))
	case deploy.Waiting:
		p.current.Note(e.Text)
	case deploy.Done:
		p.current.Done(fmt.Sprintf("%s, generation %d", e.Job, e.Generation))
		p.current, p.name = nil, ""
	case deploy.Running:
		p.current.Set(e.Messages)
		p.current.Note(string(e.Step))
	default:
		p.current.Note(fmt.Sprintf("%s %s", e.Step, e.Text))
	}
}

func (p *progress) close(err error) {
	switch {
	case p.current == nil:
	case err != nil && p.name != "void": // what is void stays so
		p.current.Fail("")
	default:
		p.current.Done("")
	}
	p.display.Close()
}
