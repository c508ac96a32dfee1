package deploy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file puts into words, without I/O, what a watch has found.

// health is what is known at last.
func (w *watch) health(o outcome) *Health {
	h := &Health{Healthy: o == isHealthy, Seconds: w.now.Sub(w.began).Seconds(), Checks: slices.Clone(w.checks)}
	if !w.since.IsZero() {
		h.HeldSeconds = w.now.Sub(w.since).Seconds()
	}
	return h
}

// missing are the conditions that do not hold, with their figures.
func (w *watch) missing() []string {
	var out []string
	for _, c := range w.checks {
		if !c.Holds {
			out = append(out, c.Condition+": "+c.Text)
		}
	}
	return out
}

// gated reports whether all that is missing is the comparison.
func (w *watch) gated() bool {
	return w.comparison != "" && !slices.ContainsFunc(w.checks, func(c Check) bool {
		return !c.Holds && c.Condition != w.gate()
	})
}

// progress says what is waited for.
func (w *watch) progress() string {
	if w.since.IsZero() {
		return "waiting: " + strings.Join(w.missing(), "; ")
	}
	held := w.now.Sub(w.since)
	if held >= w.healthyFor && w.verdict != nil {
		return "waiting: " + strings.Join(w.missing(), "; ")
	}
	text := fmt.Sprintf("healthy for %s of %s", span(held), span(w.healthyFor))
	for _, c := range w.checks {
		if c.Condition == conditionMoving {
			text += ": " + c.Text
		}
	}
	return text
}

// failure says why a job is not healthy.
func (w *watch) failure() string {
	missing := w.missing()
	switch {
	case w.hold:
		return w.gate() + " says " + w.verdict.String()
	case len(missing) == 0 || w.gated() && w.verdict == nil:
		return fmt.Sprintf("not healthy for %s within %s: all conditions hold, but only for %s", span(w.healthyFor), span(w.within), span(w.now.Sub(w.since)))
	}
	return fmt.Sprintf("not healthy within %s:\n  %s", span(w.within), strings.Join(missing, "\n  "))
}

// span is a duration without more digits than people read.
func span(d time.Duration) string {
	round := time.Second
	if d < 10*time.Second {
		round = 10 * time.Millisecond
	}
	return jobspecs.Duration(d.Round(round)).String()
}

// summary says what was found of a healthy job.
func (h *Health) summary() string {
	text := "for " + span(time.Duration(h.HeldSeconds*float64(time.Second)))
	for _, c := range h.Checks {
		if c.Condition != conditionRunning {
			text += "; " + c.Condition + ": " + c.Text
		}
	}
	return text
}
