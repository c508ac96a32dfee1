package deploy

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/term"
)

// planText prints a plan for people.
func planText(w io.Writer, p *deploy.Plan) error {
	fmt.Fprintf(w, "StreamJob %s in %s, %s, spec %s\n", p.Group, p.Project, p.Region, p.Spec)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, r := range p.Create {
		fmt.Fprintf(tw, "  create\t%s %s\t%s\n", r.Kind, r.Name, r.Note)
	}
	for _, j := range p.Jobs {
		what := "job " + j.Job
		if j.Generation > 0 {
			what += fmt.Sprintf(", generation %d", j.Generation)
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", verb(j), what, because(j))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	changesText(w, p.Jobs)
	for _, q := range p.Problems {
		fmt.Fprintf(w, "%s: %s: %s\n", q.Severity, q.What, q.Text)
		if q.Mend != "" {
			fmt.Fprintf(w, "  hint: %s\n", q.Mend)
		}
	}
	driftText(w, p.Drift)
	if p.Reshard {
		fmt.Fprintf(w, "All jobs that run are drained before any is launched: %s.\n", p.ReshardReason)
	}
	kinds := map[deploy.Kind]int{}
	for _, j := range p.Jobs {
		kinds[j.Kind]++
	}
	resized := ""
	if n := kinds[deploy.Resize]; n > 0 {
		resized = fmt.Sprintf("%d to resize, ", n)
	}
	if n := kinds[deploy.Update]; n > 0 {
		resized += fmt.Sprintf("%d to update, ", n)
	}
	_, err := fmt.Fprintf(w, "%d to create, %d to launch, %s%d to replace, %d to retire, %d running, %d blocked.\n",
		len(p.Create), kinds[deploy.Launch], resized, kinds[deploy.Replace]+kinds[deploy.Cancel], kinds[deploy.Retire], kinds[deploy.Keep]+kinds[deploy.Adopt], kinds[deploy.Blocked])
	return err
}

// changesText prints the fields that differ, once for all jobs with the same.
func changesText(w io.Writer, jobs []deploy.Action) {
	shown := make([]bool, len(jobs))
	for i, j := range jobs {
		if len(j.Changes) == 0 || shown[i] {
			continue
		}
		var names []string
		for k := i; k < len(jobs); k++ {
			if slices.Equal(jobs[k].Changes, j.Changes) {
				names, shown[k] = append(names, jobs[k].Job), true
			}
		}
		fmt.Fprintf(w, "%s in %s:\n", count(len(j.Changes), "change", "changes"), strings.Join(names, ", "))
		for _, c := range j.Changes {
			fmt.Fprintf(w, "  %s: %s → %s\n", c.Path, given(c.From), given(c.To))
		}
	}
}

// given is a value of a change; what is not there is said to be so.
func given(value string) string {
	if value == "" {
		return "(not given)"
	}
	return value
}

// verb is what is done about a job, in words.
func verb(j deploy.Action) string {
	switch {
	case j.Kind == deploy.Replace:
		return "drain and replace"
	case j.Kind == deploy.Cancel:
		return "cancel and replace"
	case j.Kind == deploy.Update:
		return "update in place"
	case j.Kind == deploy.Retire && j.Drains != nil:
		return "drain and retire"
	}
	return string(j.Kind)
}

func because(j deploy.Action) string {
	reason := j.Reason
	if e := j.Ended; e != nil {
		reason += fmt.Sprintf("; generation %d is recorded as %s first", e.Generation, e.State)
	}
	if d := j.Drains; d != nil {
		reason += fmt.Sprintf("; generation %d is drained", d.Generation)
		if j.Kind == deploy.Replace {
			reason += " first"
		}
	}
	return reason
}

func printResult(a *app.App, res *deploy.Result) error {
	if a.JSON() {
		return a.PrintJSON(res)
	}
	tw := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "JOB\tGENERATION\tSTATE\tLAUNCHED\tDRAINED\tPAUSE\tDATAFLOW JOB")
	for _, j := range res.Jobs {
		launched := "before"
		switch {
		case j.Updated != "":
			launched = "now, in place of " + j.Updated
		case j.Launched:
			launched = "now"
		case j.Resized != nil:
			launched = "before, now " + j.Resized.String()
		case j.Retired || j.Drained != nil:
			launched = "-" // there is none to launch, or it came to none
		}
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", j.Job, j.Generation, j.State, launched, drained(j.Drained), pause(j.PauseSeconds), j.DataflowID)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if p := res.Pause; p != nil && p.Jobs > 1 {
		_, err := fmt.Fprintf(a.Out, "Nobody read for %s at the longest, and for %s in all, of %d jobs.\n",
			term.Span(seconds(p.MaxSeconds)), term.Span(seconds(p.SumSeconds)), p.Jobs)
		return err
	}
	return nil
}

// pause is for how long nobody has read what a job reads.
func pause(s *float64) string {
	if s == nil {
		return "-"
	}
	return term.Span(seconds(*s))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// drained says which generation was drained, and what it cost.
func drained(d *deploy.DrainedResult) string {
	if d == nil {
		return "-"
	}
	text := fmt.Sprintf("generation %d in %s", d.Generation, term.Span(seconds(d.Seconds)))
	if d.WindowsCut != nil {
		text += ", " + count(int(*d.WindowsCut), "window cut", "windows cut")
	}
	return text
}

// progress shows an apply: what is created and what is recorded, then a phase
// for each drain and for each launch, and for each job that is watched. Several
// may be under way.
type progress struct {
	display *term.Display
	phases  map[string]*term.Task
	begun   []*term.Task // in order
	counts  map[string]int64
	list    *term.Task // which ends with the next phase; nil: none
}

func newProgress(d *term.Display) *progress {
	return &progress{display: d, phases: map[string]*term.Task{}, counts: map[string]int64{}}
}

func (p *progress) event(e deploy.Event) {
	name, unit, list := e.Job, "", false
	switch e.Step {
	case deploy.Creating:
		name, unit, list = "create", "resources", true
	case deploy.Ending:
		name, unit, list = "history", "recorded", true
	case deploy.Draining, deploy.Drained:
		name = "drain " + e.Job
	case deploy.Cancelling, deploy.Cancelled:
		name = "cancel " + e.Job
	case deploy.Watching, deploy.Healthy:
		name = "health " + e.Job
	case deploy.Baking, deploy.Baked:
		name = "canary " + e.Job
	}
	t, ok := p.phases[name]
	if !ok {
		if p.list != nil {
			p.list.Done("")
			p.list = nil
		}
		t = p.display.Start(name, unit, 0)
		p.phases[name], p.begun = t, append(p.begun, t)
	}
	if list {
		p.list = t
		p.counts[name]++
		t.Set(p.counts[name])
		t.Note(e.Text)
		return
	}
	switch e.Step {
	case deploy.Running:
		t.Done(fmt.Sprintf("running, generation %d", e.Generation))
	case deploy.Drained, deploy.Cancelled, deploy.Healthy, deploy.Baked:
		t.Done(e.Text)
	case deploy.Draining, deploy.Cancelling, deploy.Watching, deploy.Baking:
		t.Note(e.Text)
	default:
		t.Note(fmt.Sprintf("%s %s", e.Step, e.Text))
	}
}

// close ends the display. What has not come to its end has failed with the rest.
func (p *progress) close(err error) {
	for _, t := range p.begun {
		if err != nil {
			t.Fail("") // of a phase that is done, the first word stands
		} else {
			t.Done("")
		}
	}
	p.display.Close()
}
