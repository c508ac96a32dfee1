package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file decides, without I/O, whether a job is healthy: from what was read of
// it so far, and when.

const (
	// errorsSpan is what error messages are counted in.
	errorsSpan = time.Minute
	// leastStall is how long a watermark may stand at least before it is one that
	// does not move: the service says it anew every few seconds only.
	leastStall = 10 * time.Second
)

// Names of conditions.
const (
	conditionRunning    = "running"
	conditionMoving     = "watermark moving"
	conditionAge        = "watermark age"
	conditionErrors     = "errors"
	conditionComparison = "comparison" // and its name
)

const pbRunning = pb.JobState_JOB_STATE_RUNNING

// conditions are what makes a job healthy.
type conditions struct {
	healthyFor time.Duration // how long all have to hold; 0: a moment, and the watermark need not move
	within     time.Duration // how long that may take
	maxAge     time.Duration // of the watermark; 0: any
	maxErrors  int           // error messages in errorsSpan; -1: any
	comparison string        // that must say GO; empty: none
}

// conditionsOf are those of a spec after each job.
func conditionsOf(r jobspecs.Rollout) conditions {
	c := r.Conditions
	return conditions{
		healthyFor: c.HealthyFor.D(), within: c.Within.D(), maxAge: c.MaxWatermarkAge.D(),
		maxErrors: c.MaxErrorsPerMinute, comparison: c.Comparison,
	}
}

// ofCanary are those of a spec for its canaries: the same, for longer.
func (c conditions) ofCanary(r jobspecs.Rollout) conditions {
	c.healthyFor = r.CanaryFor.D()
	c.within += c.healthyFor
	return c
}

// none reports whether it is enough that a job runs.
func (c conditions) none() bool {
	return c.healthyFor == 0 && c.maxAge == 0 && c.maxErrors < 0 && c.comparison == ""
}

// watermarks reports whether they have to be looked at.
func (c conditions) watermarks() bool { return c.healthyFor > 0 || c.maxAge > 0 }

// SourceWatermark is where a source of a job is.
type SourceWatermark struct {
	Source    string    // short name of its subscription or topic
	Watermark time.Time // zero: not known, or at its maximum
	Maximum   bool      // nothing comes any more
	Backlog   string    // what waits to be read, for people; empty: not known
}

// known reports whether the service shows a watermark.
func (s SourceWatermark) known() bool { return s.Maximum || !s.Watermark.IsZero() }

// reading is what a look at a job has found.
type reading struct {
	at      time.Time
	state   pb.JobState
	unread  string // why the state could not be read; empty: it was
	sources []SourceWatermark
	unseen  string // why the watermarks could not be read; empty: they were
	errors  int    // messages in the last errorsSpan
	newest  string // of them
	unheard string // why the messages could not be read; empty: they were
}

// Check is a condition of a rollout, as it was last looked at.
type Check struct {
	Condition string `json:"condition"` // running, watermark moving, watermark age, errors, comparison
	Holds     bool   `json:"holds"`
	Text      string `json:"text"` // with the figures
}

// Health is what was checked of a job before the next was taken.
type Health struct {
	Healthy     bool    `json:"healthy"`
	Seconds     float64 `json:"seconds"`      // that it was looked at
	HeldSeconds float64 `json:"held_seconds"` // for which all conditions have held at last
	Checks      []Check `json:"checks"`
}

// outcome is what follows from the readings so far.
type outcome int

const (
	notYet    outcome = iota
	askGate           // all else holds: the comparison has to be asked
	isHealthy         // at last
	unhealthy         // it takes too long, or the comparison says HOLD
)

// mark is how a source's watermark has moved.
type mark struct {
	at    time.Time // the greatest
	moved time.Time // when it was last seen to move; zero: never
	first time.Time // when it was first seen
}

// watch follows one job until it is healthy. It does no I/O and reads no clock.
type watch struct {
	conditions
	began time.Time
	again time.Duration // pause before a comparison that cannot be judged is asked again

	marks   map[string]mark
	since   time.Time // when all conditions began to hold; zero: they do not
	checks  []Check   // of the newest reading
	now     time.Time // of the newest reading
	verdict *Verdict  // of the comparison, as long as the rest holds; nil: not asked
	asked   time.Time // when it was
	hold    bool      // it says HOLD
}

func newWatch(c conditions, again time.Duration, began time.Time) *watch {
	return &watch{conditions: c, began: began, again: again, marks: map[string]mark{}, now: began}
}

// add takes a reading.
func (w *watch) add(r reading) outcome {
	w.now = r.at
	w.checks = []Check{runs(r)}
	if w.healthyFor > 0 {
		w.checks = append(w.checks, w.moving(r))
	}
	if w.maxAge > 0 {
		w.checks = append(w.checks, w.age(r))
	}
	if w.maxErrors >= 0 {
		w.checks = append(w.checks, w.quiet(r))
	}
	holds := !slices.ContainsFunc(w.checks, func(c Check) bool { return !c.Holds })
	switch {
	case !holds:
		w.since, w.verdict = time.Time{}, nil // invariant D3: without a break
	case w.since.IsZero():
		w.since = r.at
	}
	long := holds && r.at.Sub(w.since) >= w.healthyFor && w.movedSince(r)
	judged := w.verdict != nil && w.verdict.Verdict == VerdictGo
	if w.comparison != "" {
		w.checks = append(w.checks, w.compared())
	}
	switch {
	case long && (w.comparison == "" || judged):
		return isHealthy
	case r.at.Sub(w.began) > w.within:
		return unhealthy
	case long && (w.verdict == nil || r.at.Sub(w.asked) >= w.again):
		return askGate
	}
	return notYet
}

// judge takes the verdict of the comparison.
func (w *watch) judge(at time.Time, v Verdict) outcome {
	w.verdict, w.asked = &v, at
	w.checks[len(w.checks)-1] = w.compared()
	if v.Verdict == VerdictHold {
		w.hold = true
		return unhealthy
	}
	return notYet
}

func runs(r reading) Check {
	c := Check{Condition: conditionRunning, Holds: r.unread == "" && r.state == pbRunning}
	if c.Text = "is " + dataflowapi.StateName(r.state); r.unread != "" {
		c.Text = "its state cannot be read: " + r.unread // invariant D3
	}
	return c
}

// moving: every watermark that the service shows, moves. One that it has shown
// once has to be shown on.
func (w *watch) moving(r reading) Check {
	c := Check{Condition: conditionMoving}
	if r.unseen != "" {
		c.Text = "the watermarks cannot be read: " + r.unseen // invariant D3
		return c
	}
	stall := max(w.healthyFor, leastStall)
	var bad, hidden []string
	seen := map[string]bool{}
	for _, s := range r.sources {
		if !s.known() {
			continue
		}
		seen[s.Source] = true
		m, before := w.marks[s.Source]
		switch {
		case !before:
			m = mark{at: s.Watermark, first: r.at}
		case s.Watermark.After(m.at):
			m.at, m.moved = s.Watermark, r.at
		}
		w.marks[s.Source] = m
		switch {
		case s.Maximum:
		case m.moved.IsZero() && r.at.Sub(m.first) <= stall:
			bad = append(bad, fmt.Sprintf("%s is at %s and has not moved yet", s.Source, stamp(m.at)))
		case m.moved.IsZero():
			bad = append(bad, fmt.Sprintf("%s has stood at %s for %s%s", s.Source, stamp(m.at), span(r.at.Sub(m.first)), s.waits()))
		case r.at.Sub(m.moved) > stall:
			bad = append(bad, fmt.Sprintf("%s has stood at %s for %s%s", s.Source, stamp(m.at), span(r.at.Sub(m.moved)), s.waits()))
		}
	}
	for _, s := range slices.Sorted(maps.Keys(w.marks)) {
		if !seen[s] {
			hidden = append(hidden, fmt.Sprintf("%s is shown no more", s))
		}
	}
	bad = append(bad, hidden...)
	c.Holds = len(bad) == 0
	switch {
	case !c.Holds:
		c.Text = strings.Join(bad, "; ")
	case len(seen) == 0:
		c.Text = "the service shows no watermark"
	default:
		c.Text = least(r.sources)
	}
	return c
}

// waits says what a source has not given to the job.
func (s SourceWatermark) waits() string {
	if s.Backlog == "" {
		return ""
	}
	return ", backlog " + s.Backlog
}

// least says where the hindmost source is.
func least(sources []SourceWatermark) string {
	var hindmost SourceWatermark
	for _, s := range sources {
		if !s.Watermark.IsZero() && (hindmost.Source == "" || s.Watermark.Before(hindmost.Watermark)) {
			hindmost = s
		}
	}
	if hindmost.Source == "" {
		return "at the maximum"
	}
	return fmt.Sprintf("%s is at %s", hindmost.Source, stamp(hindmost.Watermark))
}

// movedSince reports whether every watermark that is shown has moved since all
// conditions hold: one step that began it says little.
func (w *watch) movedSince(r reading) bool {
	if w.healthyFor == 0 {
		return true
	}
	return !slices.ContainsFunc(r.sources, func(s SourceWatermark) bool {
		return s.known() && !s.Maximum && !w.marks[s.Source].moved.After(w.since)
	})
}

// age: no watermark is further behind the clock than it may be.
func (w *watch) age(r reading) Check {
	c := Check{Condition: conditionAge}
	var worst time.Duration
	name := ""
	switch {
	case r.unseen != "":
		c.Text = "the watermarks cannot be read: " + r.unseen // invariant D3
		return c
	case len(r.sources) == 0:
		c.Text = "the service shows no watermark" // invariant D3
		return c
	}
	for _, s := range r.sources {
		if !s.known() {
			c.Text = fmt.Sprintf("the service shows no watermark of %s", s.Source) // invariant D3
			return c
		}
		if old := r.at.Sub(s.Watermark); !s.Maximum && (name == "" || old > worst) {
			name, worst = s.Source, old
		}
	}
	c.Holds = worst <= w.maxAge
	if c.Text = "at the maximum"; name != "" {
		c.Text = fmt.Sprintf("%s is %s behind, at most %s", name, span(worst), span(w.maxAge))
	}
	return c
}

// quiet: the job has no more error messages than it may.
func (w *watch) quiet(r reading) Check {
	c := Check{Condition: conditionErrors, Holds: r.unheard == "" && r.errors <= w.maxErrors}
	switch {
	case r.unheard != "":
		c.Text = "its messages cannot be read: " + r.unheard // invariant D3
	default:
		c.Text = fmt.Sprintf("%d in the last minute, at most %d", r.errors, w.maxErrors)
		if !c.Holds {
			c.Text += ": " + r.newest
		}
	}
	return c
}

// gate is the condition that is about the comparison.
func (w *watch) gate() string { return conditionComparison + " " + w.comparison }

// compared is what the comparison says.
func (w *watch) compared() Check {
	c := Check{Condition: w.gate(), Text: "is asked once the rest has held for " + span(w.healthyFor)}
	if v := w.verdict; v != nil {
		c.Holds, c.Text = v.Verdict == VerdictGo, v.String()
	}
	return c
}
