package deploy

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// errorsSince is how far back a job's error messages are counted.
const errorsSince = time.Hour

// Status is what runs of a StreamJob, and who has deployed it. Nothing in it
// says that anything is right: Plan does.
type Status struct {
	Group      string          `json:"group"`
	Project    string          `json:"project"`
	Region     string          `json:"region"`
	Spec       string          `json:"spec"` // hash of the one that is wanted
	At         time.Time       `json:"at"`
	Jobs       []JobStatus     `json:"jobs"`
	Deploying  *journal.Holder `json:"deploying"`  // who holds the lease; null: nobody
	Unfinished *Unfinished     `json:"unfinished"` // the newest deployment, if it has not ended; null: it has
	Drift      []Drift         `json:"drift"`
	Unread     string          `json:"unread,omitempty"` // why the journal could not be read; then who has deployed is not known
}

// JobStatus is one job.
type JobStatus struct {
	Job        string      `json:"job"`
	Generation int64       `json:"generation"`            // 0: none was launched
	Recorded   string      `json:"recorded,omitempty"`    // by the history: open, drained, cancelled, void; empty: nothing
	State      string      `json:"state"`                 // by the service: RUNNING, DRAINED, …; empty: it knows no such job
	DataflowID string      `json:"dataflow_id,omitempty"` // by the service, else by the history
	Spec       string      `json:"spec,omitempty"`        // hash of the one that it runs with; empty: not known
	Wanted     bool        `json:"wanted"`                // it is the one that is wanted
	Retired    bool        `json:"retired,omitempty"`     // the spec has no such job any more
	Adopted    bool        `json:"adopted,omitempty"`     // it was started by hand
	Since      *time.Time  `json:"since"`                 // of a job that runs, its start; else when its end was recorded; null: none
	Deployment *Deployment `json:"deployment"`            // that has brought the generation; null: not known

	Watermark       *time.Time `json:"watermark"`             // least of its sources; null: not known, or at its maximum
	WatermarkAge    *float64   `json:"watermark_age_seconds"` // null: not known
	AtMaximum       bool       `json:"at_maximum,omitempty"`
	BacklogBytes    *int64     `json:"backlog_bytes"`    // null: not known
	BacklogElements *int64     `json:"backlog_elements"` // null: not known
	Errors          *int       `json:"errors_last_hour"` // null: not known
	NewestError     string     `json:"newest_error,omitempty"`
}

// Unfinished is a deployment that has not ended.
type Unfinished struct {
	Deployment
	Doing string    `json:"doing"` // the last that it has recorded
	Since time.Time `json:"since"` // when it recorded that
}

// Status says what runs. It needs the history and the API; what else cannot be
// read is not known.
func (d *Deployer) Status(ctx context.Context) (*Status, error) {
	var log history.Log
	exists, err := d.hasHistory(ctx)
	if err != nil {
		return nil, err
	}
	if exists {
		if log, err = d.cfg.History.Read(ctx); err != nil {
			return nil, err
		}
	}
	s, err := d.look(ctx, log)
	if err != nil {
		return nil, err
	}
	spec := d.cfg.Job.Spec
	out := &Status{
		Group: d.cfg.Job.Metadata.Name, Project: spec.Project, Region: spec.Region, Spec: d.hash, At: time.Now().UTC(), Jobs: []JobStatus{},
	}
	records, err := d.cfg.Journal.Ends(ctx, recentDeployments)
	if err != nil {
		out.Unread = err.Error()
	} else if err := d.deploying(ctx, out); err != nil {
		out.Unread = err.Error()
	}
	for _, o := range s.jobs {
		j := jobStatus(o)
		j.Deployment = deployedBy(records, j.Job, j.Generation)
		out.Jobs = append(out.Jobs, j)
	}
	err = each(ctx, len(s.jobs), func(ctx context.Context, i int) error {
		if s.jobs[i].active != nil {
			d.measure(ctx, &out.Jobs[i], out.At)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	out.Drift, err = d.drifted(ctx, s, func(err error) { out.Unread = err.Error() })
	return out, err
}

// hasHistory reports whether there is a table of generations.
func (d *Deployer) hasHistory(ctx context.Context) (bool, error) {
	_, err := d.cfg.Clients.BigQuery.Dataset(d.cfg.Job.Spec.Sinks.BigQuery.Dataset).Table(tables.Generations).Metadata(ctx)
	if notFound(err) {
		return false, nil
	}
	return err == nil, err
}

// deploying adds who deploys, and what has not ended.
func (d *Deployer) deploying(ctx context.Context, s *Status) error {
	holder, held, err := d.cfg.Journal.Holder(ctx)
	if err != nil {
		return err
	}
	if held {
		holder.Token = "" // the right to deploy is nobody else's
		s.Deploying = &holder
	}
	last, unfinished, err := d.cfg.Journal.Unfinished(ctx)
	if err != nil || !unfinished {
		return err
	}
	s.Unfinished = &Unfinished{Deployment: deploymentOf(last), Doing: doing(last), Since: last.Entries[len(last.Entries)-1].At}
	return nil
}

// jobStatus is what was observed of a job.
func jobStatus(o observed) JobStatus {
	j := JobStatus{Job: o.job, Retired: o.retired, Adopted: o.adopted}
	if g := o.latest; g != nil {
		at := g.RecordedAt
		j.Generation, j.Recorded, j.DataflowID, j.Since = g.Generation, g.State, g.DataflowJobID.StringVal, &at
	}
	k := o.active
	if k == nil {
		k = o.last
	}
	if k == nil {
		return j
	}
	j.State, j.DataflowID, j.Spec = dataflowapi.StateName(k.state), k.id, k.spec
	if k.generation > 0 {
		j.Generation = k.generation
	}
	j.Wanted = k == o.active && k.spec == o.spec
	if o.live != nil && o.live.GetCreateTime() != nil {
		at := o.live.GetCreateTime().AsTime()
		j.Since = &at
	}
	return j
}

// deployedBy is the newest deployment, of records that are newest first, that
// was to bring a generation of a job, or to change it; nil: none.
func deployedBy(records []journal.Record, job string, generation int64) *Deployment {
	if generation == 0 {
		return nil
	}
	for _, r := range records {
		var p struct {
			Jobs []Action `json:"jobs"`
		}
		if err := json.Unmarshal(r.Begin().Plan, &p); err != nil {
			continue // of another version
		}
		if slices.ContainsFunc(p.Jobs, func(a Action) bool {
			return a.Job == job && a.Generation == generation && a.Kind != Keep && a.Kind != Blocked && a.Kind != Retire
		}) {
			d := deploymentOf(r)
			return &d
		}
	}
	return nil
}

// measure adds what the service measures of a job that runs. What it does not
// tell is not known, and no reason to tell nothing.
func (d *Deployer) measure(ctx context.Context, j *JobStatus, now time.Time) {
	if n, newest, err := d.cfg.Jobs.ErrorsSince(ctx, j.DataflowID, now.Add(-errorsSince)); err == nil {
		newest, _, _ = strings.Cut(newest, "\n")
		j.Errors, j.NewestError = &n, newest
	}
	if d.cfg.Observer == nil {
		return
	}
	seen, err := d.cfg.Observer.Observe(ctx, []string{j.Job})
	if err != nil || len(seen) != 1 || seen[0].ID != j.DataflowID {
		d.cfg.Log.Debug("cannot measure", "job", j.Job, "job_id", j.DataflowID, "error", err)
		return
	}
	o := seen[0]
	j.AtMaximum, j.BacklogBytes, j.BacklogElements = o.AtMaximum, o.BacklogBytes, o.BacklogElements
	if !o.Watermark.IsZero() {
		at, age := o.Watermark, now.Sub(o.Watermark).Seconds()
		j.Watermark, j.WatermarkAge = &at, &age
	}
}
