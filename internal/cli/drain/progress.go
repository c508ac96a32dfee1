package drain

import (
	"fmt"
	"strings"

	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/term"
)

// progress shows a phase per job and a gauge per source.
type progress struct {
	display *term.Display
	tasks   map[string]*term.Task
	open    map[string]bool
}

func newProgress(d *term.Display) *progress {
	return &progress{display: d, tasks: map[string]*term.Task{}, open: map[string]bool{}}
}

func (p *progress) update(u drain.Progress) {
	job := u.Reading.Job
	t, ok := p.tasks[job]
	if !ok {
		t = p.display.Start("drain "+job, "", 0)
		p.tasks[job], p.open[job] = t, true
	}
	Gauges(p.display, u)
	switch u.Phase {
	case drain.Drained:
		t.Done("drained")
	case drain.Voided:
		t.Fail("cancelled, void")
	default:
		t.Note(Note(u))
		return
	}
	delete(p.open, job)
}

// Gauges shows a gauge per source of a job that drains, and takes them away
// when it has ended.
func Gauges(d *term.Display, u drain.Progress) {
	for _, s := range u.Sources {
		text := ""
		if u.Phase != drain.Drained && u.Phase != drain.Voided {
			text = gauge(s)
		}
		d.Gauge(s.Name(), text)
	}
}

// gauge writes a source's watermark and how fast it moves, and its backlog.
func gauge(s drain.SourceProgress) string {
	text := s.Watermark.String()
	if s.PerSecond != nil && *s.PerSecond > 0 {
		text += fmt.Sprintf(" (%.0f s of event time a second)", *s.PerSecond)
	}
	if s.Backlog.Known() {
		text += ", backlog " + s.Backlog.String()
		if s.ETA > 0 {
			text += ", gone in about " + term.Span(s.ETA)
		}
	}
	return text
}

// Note writes where a job's drain is.
func Note(u drain.Progress) string {
	parts := []string{u.Reading.State}
	if u.Phase == drain.Requesting {
		parts = append(parts, "requesting the drain")
	}
	if u.Phase == drain.Cancelling {
		parts = append(parts, "cancelling it")
	}
	if u.Phase == drain.Recording {
		parts = append(parts, "recording it")
	}
	if at, ok := u.Reading.Pipeline.Time(); ok {
		parts = append(parts, "results up to "+drain.At(at).String())
	}
	if u.ETA > 0 {
		parts = append(parts, "about "+term.Span(u.ETA)+" left")
	}
	if u.Note != "" {
		parts = append(parts, u.Note)
	}
	return strings.Join(append(parts, term.Span(u.Elapsed)), ", ")
}

// close ends the display; what is open has not drained.
func (p *progress) close() {
	for job := range p.open {
		p.tasks[job].Fail("not drained")
	}
	p.display.Close()
}
