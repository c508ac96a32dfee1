package deploy

import (
	"fmt"
	"io"
	"text/tabwriter"

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
		reason := j.Reason
		if e := j.Ended; e != nil {
			reason += fmt.Sprintf("; generation %d is recorded as %s first", e.Generation, e.State)
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", j.Kind, what, reason)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, q := range p.Problems {
		fmt.Fprintf(w, "%s: %s: %s\n", q.Severity, q.What, q.Text)
		if q.Mend != "" {
			fmt.Fprintf(w, "  hint: %s\n", q.Mend)
		}
	}
	kinds := map[deploy.Kind]int{}
	for _, j := range p.Jobs {
		kinds[j.Kind]++
	}
	_, err := fmt.Fprintf(w, "%d to create, %d to launch, %d running, %d blocked.\n",
		len(p.Create), kinds[deploy.Launch], kinds[deploy.Keep]+kinds[deploy.Adopt], kinds[deploy.Blocked])
	return err
}

func printResult(a *app.App, res *deploy.Result) error {
	if a.JSON() {
		return a.PrintJSON(res)
	}
	tw := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "JOB\tGENERATION\tSTATE\tLAUNCHED\tDATAFLOW JOB")
	for _, j := range res.Jobs {
		launched := "before"
		if j.Launched {
			launched = "now"
		}
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\n", j.Job, j.Generation, j.State, launched, j.DataflowID)
	}
	return tw.Flush()
}

// progress shows an apply: what is created, then one phase per job.
type progress struct {
	display *term.Display
	create  *term.Task
	created int64
	jobs    map[string]*term.Task
	current *term.Task
}

func newProgress(d *term.Display) *progress {
	return &progress{display: d, jobs: map[string]*term.Task{}}
}

func (p *progress) event(e deploy.Event) {
	if e.Step == deploy.Creating {
		if p.create == nil {
			p.create = p.display.Start("create", "resources", 0)
			p.current = p.create
		}
		p.created++
		p.create.Set(p.created)
		p.create.Note(e.Text)
		return
	}
	if p.create != nil {
		p.create.Done("")
		p.create = nil
	}
	t, ok := p.jobs[e.Job]
	if !ok {
		t = p.display.Start(e.Job, "", 0)
		p.jobs[e.Job] = t
	}
	p.current = t
	if e.Step == deploy.Running {
		t.Done(fmt.Sprintf("running, generation %d", e.Generation))
		p.current = nil
		return
	}
	t.Note(fmt.Sprintf("%s %s", e.Step, e.Text))
}

func (p *progress) close(err error) {
	switch {
	case p.current == nil:
	case err != nil:
		p.current.Fail("")
	default:
		p.current.Done("")
	}
	p.display.Close()
}
