package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/suggest"
)

// This file reads the journal: who did what to the jobs, when and why.

// Deployment is a deployment as the journal has it.
type Deployment struct {
	ID       string     `json:"id"`
	Command  string     `json:"command"`
	By       string     `json:"by"`
	Reason   string     `json:"reason,omitempty"`
	Version  string     `json:"version,omitempty"` // of kappa
	Spec     string     `json:"spec"`              // hash of the resolved spec
	SpecFile string     `json:"spec_file,omitempty"`
	Template string     `json:"template,omitempty"`
	Began    time.Time  `json:"began"`
	Ended    *time.Time `json:"ended"`   // null: it has not
	Seconds  *float64   `json:"seconds"` // from begin to end; null: it has not ended
	Outcome  string     `json:"outcome"` // done, failed, aborted, superseded; empty: it has not ended
	Error    string     `json:"error,omitempty"`
	Jobs     []string   `json:"jobs"` // about which it was to do something

	Abort *journal.Abort `json:"abort,omitempty"` // somebody's request that it be stopped
}

// planned is what every command's plan in the journal has of its jobs.
type planned struct {
	Job  string `json:"job"` // of a command about one job
	Jobs []struct {
		Job  string `json:"job"`
		Kind Kind   `json:"kind"`
	} `json:"jobs"`
}

// deploymentOf sums a record up, of which its ends are enough.
func deploymentOf(r journal.Record) Deployment {
	b := r.Begin()
	d := Deployment{
		ID: r.ID, Command: b.Command, By: b.By, Reason: b.Reason, Version: b.Version, Spec: b.Spec, SpecFile: b.SpecFile,
		Template: b.Template, Began: b.At, Abort: r.Abort, Jobs: []string{},
	}
	if e, ended := r.End(); ended {
		took := e.At.Sub(b.At).Seconds()
		d.Ended, d.Seconds, d.Outcome, d.Error = &e.At, &took, e.Outcome, e.Error
	}
	var p planned
	if err := json.Unmarshal(b.Plan, &p); err != nil {
		return d // a plan of another version: its jobs are not known
	}
	if p.Job != "" {
		d.Jobs = append(d.Jobs, p.Job)
	}
	for _, j := range p.Jobs {
		if j.Kind != Keep {
			d.Jobs = append(d.Jobs, j.Job)
		}
	}
	return d
}

// doing says what a deployment was doing last, in a line.
func doing(r journal.Record) string {
	for _, e := range slices.Backward(r.Entries) {
		if e.Kind == journal.KindStep || e.Kind == journal.KindFact {
			return entryText(e)
		}
	}
	return "nothing yet"
}

// entryText says in a line what an entry is.
func entryText(e journal.Entry) string {
	switch e.Kind {
	case journal.KindBegin:
		return strings.TrimSpace(e.Command + " begins")
	case journal.KindResume:
		return "goes on"
	case journal.KindEnd:
		return "ends: " + e.Outcome
	}
	text := e.Step
	if e.Job != "" {
		text += " " + e.Job
	}
	if e.Generation > 0 {
		text += fmt.Sprintf(", generation %d", e.Generation)
	}
	if e.DataflowID != "" {
		text += " (" + e.DataflowID + ")"
	}
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Deployments are the newest deployments, newest first: at most limit of them (0:
// all), and, where a job is named, those that were to do something about it.
func (d *Deployer) Deployments(ctx context.Context, limit int, job string) ([]Deployment, error) {
	read := limit
	if job != "" {
		read = 0 // how many others stand between is not known
	}
	records, err := d.cfg.Journal.Ends(ctx, read)
	if err != nil {
		return nil, err
	}
	out := []Deployment{}
	for _, r := range records {
		s := deploymentOf(r)
		if job != "" && !slices.Contains(s.Jobs, job) {
			continue
		}
		if out = append(out, s); limit > 0 && len(out) == limit {
			break
		}
	}
	return out, nil
}

// TimelineEntry is an entry of a deployment.
type TimelineEntry struct {
	journal.Entry
	Seconds float64 `json:"seconds"` // since the deployment began
	Line    string  `json:"line"`    // what it is, in words
}

// Timeline is one deployment with all that it has recorded.
type Timeline struct {
	Deployment
	Entries []TimelineEntry `json:"entries"`
}

// Timeline reads one deployment.
func (d *Deployer) Timeline(ctx context.Context, id string) (*Timeline, error) {
	r, err := d.cfg.Journal.Read(ctx, id)
	if errors.Is(err, journal.ErrUnknown) {
		return nil, d.unknownDeployment(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	t := &Timeline{Deployment: deploymentOf(r), Entries: []TimelineEntry{}}
	for _, e := range r.Entries {
		t.Entries = append(t.Entries, TimelineEntry{Entry: e, Seconds: e.At.Sub(t.Began).Seconds(), Line: entryText(e)})
	}
	return t, nil
}

// unknownDeployment is the error of an id that the journal does not have.
func (d *Deployer) unknownDeployment(ctx context.Context, id string) error {
	e := exit.Usagef("the journal %s has no deployment %q", d.cfg.Journal, id)
	records, err := d.cfg.Journal.Ends(ctx, 0)
	if err != nil {
		return err
	}
	var ids []string
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	if s := suggest.Closest(id, ids); s != "" {
		return e.WithHint("did you mean %s?", s)
	}
	return e.WithHint("look at what there is with `kappa deploy history`")
}
