package deploy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigtable"
	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Step is what Apply is doing.
type Step string

// The steps.
const (
	Creating   Step = "creating"   // a resource
	Ending     Step = "ending"     // how a generation ended is recorded
	Recording  Step = "recording"  // that a generation begins
	Completing Step = "completing" // the record of a generation: its Dataflow job, or that it is complete
	Draining   Step = "draining"   // the generation that runs
	Drained    Step = "drained"    // and on record
	Replaying  Step = "replaying"  // a subscription goes back to where a dead generation began
	Launching  Step = "launching"
	Starting   Step = "starting" // launched, does not run yet
	Resizing   Step = "resizing" // a job that runs
	Resized    Step = "resized"
	Updating   Step = "updating" // a job that runs is replaced by the service, in place
	Updated    Step = "updated"
	Cancelling Step = "cancelling" // the generation that runs
	Cancelled  Step = "cancelled"  // and on record as void
	Running    Step = "running"
	Watching   Step = "watching" // a job that runs, until it is healthy
	Healthy    Step = "healthy"
	Baking     Step = "baking" // a canary, before the rest is taken
	Baked      Step = "baked"
	Voiding    Step = "voiding" // a generation whose numbers are wrong
	Waiting    Step = "waiting" // for the watermarks to pass windows that are replaced then
	Done       Step = "done"    // of a backfill
)

// Event is a step that Apply takes.
type Event struct {
	Step       Step
	Job        string // empty: of no job
	Generation int64
	DataflowID string
	Text       string
	Messages   int64 // that a backfill has read; 0: not known
}

// JobResult is a job after Apply.
type JobResult struct {
	Job        string         `json:"job"`
	Generation int64          `json:"generation"`
	DataflowID string         `json:"dataflow_id"`
	State      string         `json:"state"`             // of the Dataflow job; of a retired one that had ended, as recorded
	Launched   bool           `json:"launched"`          // by this Apply
	Resized    *Bounds        `json:"resized,omitempty"` // what this Apply has made of its bounds
	Updated    string         `json:"updated,omitempty"` // Dataflow job that this one has replaced in place
	Retired    bool           `json:"retired,omitempty"` // the spec has it no more
	Drained    *DrainedResult `json:"drained,omitempty"` // the generation that this Apply drained

	// PauseSeconds is for how long nobody has read what it reads: from when its
	// old generation has stopped until its new one ran; null: nothing was stopped.
	PauseSeconds *float64 `json:"pause_seconds,omitempty"`
	Health       *Health  `json:"health,omitempty"` // before the next job was taken
	Canary       *Health  `json:"canary,omitempty"` // before the rest was taken
}

// DrainedResult is a generation that was drained.
type DrainedResult struct {
	Generation int64      `json:"generation"`
	DataflowID string     `json:"dataflow_id"`
	Seconds    float64    `json:"seconds"`     // until it was on record
	Watermark  *time.Time `json:"watermark"`   // the last before the drain; null: not known
	WindowsCut *int64     `json:"windows_cut"` // keys and windows that the drain cut; null: not known
}

// Result is what Apply has done.
type Result struct {
	Group    string      `json:"group"`
	Spec     string      `json:"spec"`
	SpecFile string      `json:"spec_file"`
	Created  []Resource  `json:"created"`
	Jobs     []JobResult `json:"jobs"`
	Pause    *Pause      `json:"pause,omitempty"` // of the jobs that were replaced
}

// Apply plans and applies at once, for callers that ask nobody.
func Apply(ctx context.Context, cfg Config, progress func(Event)) (*Result, error) {
	d, err := New(cfg)
	if err != nil {
		return nil, err
	}
	p, err := d.Plan(ctx)
	if err != nil {
		return nil, err
	}
	return d.Apply(ctx, p, progress)
}

// Apply applies a plan that was looked at. It is computed again, and refused
// if it is not the same any more. Progress may be nil. The result has what was
// done, even with an error.
func (d *Deployer) Apply(ctx context.Context, p *Plan, progress func(Event)) (*Result, error) {
	var fresh *Plan
	var res *Result
	var recheck bool
	err := d.recorded(ctx, d.command, func(ctx context.Context) (any, bool, error) {
		var err error
		if fresh, err = d.Plan(ctx); err != nil {
			return nil, false, err
		}
		if !p.same(fresh) { // invariant D1
			return nil, false, exit.With(exit.Pending, fmt.Errorf("the plan is stale: something has changed since it was made:\n  %s", strings.Join(p.different(fresh), "\n  "))).
				WithHint("look at the new plan and apply that")
		}
		if err := fresh.refuse("deployed"); err != nil { // invariant D1
			return nil, false, err
		}
		if fresh.drains() && d.cfg.Drainer == nil {
			return nil, false, errors.New("deploy: the plan drains jobs, and there is no drainer")
		}
		if err := d.MayLose(fresh); err != nil {
			return nil, false, err
		}
		if err := d.watchable(); err != nil {
			return nil, false, err
		}
		if recheck, err = d.recheck(ctx); err != nil {
			return nil, false, err
		}
		return fresh, fresh.Pending() || recheck, nil
	}, func(ctx context.Context, r *recorder) (_ any, err error) {
		res, err = d.apply(ctx, fresh, d.course(fresh, recheck), r)
		return res, err
	}, progress)
	return res, err
}

func (d *Deployer) apply(ctx context.Context, p *Plan, c course, r *recorder) (*Result, error) {
	res := &Result{Group: p.Group, Spec: p.Spec, SpecFile: p.SpecFile, Created: []Resource{}, Jobs: []JobResult{}}
	if err := d.prepare(ctx, p, res, r); err != nil {
		return res, err
	}
	t := &take{Deployer: d, recorder: r.sideBySide(), plan: p, results: make([]*JobResult, len(p.Jobs)), pauses: newPauses()}
	err := t.stages(ctx, rollout(p.Jobs, p.Reshard, c))
	for _, j := range t.results {
		if j != nil {
			res.Jobs = append(res.Jobs, *j)
		}
	}
	res.Pause = pauseOf(res.Jobs)
	return res, err
}

// refuse is the error of a plan with errors; nil if it has none.
func (p *Plan) refuse(done string) error {
	errs := p.Errors()
	if len(errs) == 0 {
		return nil
	}
	var b strings.Builder
	for _, e := range errs {
		fmt.Fprintf(&b, "\n  %s: %s", e.What, e.Text)
		if e.Mend != "" {
			fmt.Fprintf(&b, " (%s)", e.Mend)
		}
	}
	return exit.Environmentf("%s cannot be %s: %d of the things that it needs are not right:%s", p.Group, done, len(errs), b.String())
}

// prepare creates what is missing.
func (d *Deployer) prepare(ctx context.Context, p *Plan, res *Result, rec *recorder) error {
	for _, r := range p.Create {
		if err := rec.before(ctx, Event{Step: Creating, Text: r.Kind + " " + r.Name}); err != nil {
			return err
		}
		if err := d.create(ctx, r); err != nil {
			return err
		}
		res.Created = append(res.Created, r)
	}
	return d.cfg.History.Ensure(ctx)
}

// create creates a resource. What someone else has created meanwhile is as good.
func (d *Deployer) create(ctx context.Context, r Resource) error {
	var err error
	spec := d.cfg.Job.Spec
	switch r.Kind {
	case kindDataset:
		// Where the jobs run: reading across regions costs and cannot be joined.
		err = d.cfg.Clients.BigQuery.Dataset(spec.Sinks.BigQuery.Dataset).Create(ctx, &bigquery.DatasetMetadata{Location: spec.Region})
	case kindTable:
		err = d.createTable(ctx, r.Name)
	case kindBigtableTable:
		err = d.createBigtable(r.Name, func(t servingTable) error {
			return d.cfg.Clients.Bigtable.CreateTableFromConf(ctx, &bigtable.TableConf{
				TableID: t.table, Families: map[string]bigtable.GCPolicy{t.family: t.policy},
			})
		})
	case kindBigtableFamily:
		err = d.createBigtable(r.Name, func(t servingTable) error {
			return d.cfg.Clients.Bigtable.CreateColumnFamilyWithConfig(ctx, t.table, t.family, bigtable.Family{GCPolicy: t.policy})
		})
	case kindFile:
		err = d.stage(ctx)
	default:
		err = errors.New("unknown kind of resource")
	}
	if err != nil && !exists(err) {
		return exit.Environmentf("create %s %s: %w", r.Kind, r.Name, err)
	}
	return nil
}

func (d *Deployer) createTable(ctx context.Context, name string) error {
	dataset := d.cfg.Job.Spec.Sinks.BigQuery.Dataset
	for _, t := range d.wantedTables() {
		if dataset+"."+t.Name == name {
			return d.cfg.Clients.BigQuery.Dataset(dataset).Table(t.Name).Create(ctx, t.Metadata())
		}
	}
	return errors.New("unknown table")
}

// stageWithin bounds the writing of the spec file.
const stageWithin = time.Minute

// stage writes the resolved spec, unless it is there: its name is its hash.
func (d *Deployer) stage(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stageWithin) // cancelling ctx discards a half-written object
	defer cancel()
	bucket, object := d.specFile()
	w := d.cfg.Clients.Storage.Bucket(bucket).Object(object).If(storage.Conditions{DoesNotExist: true}).NewWriter(ctx)
	w.ContentType = "application/yaml"
	if _, err := w.Write(d.doc); err != nil {
		return err
	}
	return w.Close()
}

// exists reports whether an error says that what was to be created is there.
func exists(err error) bool {
	var e *googleapi.Error
	if errors.As(err, &e) && (e.Code == http.StatusConflict || e.Code == http.StatusPreconditionFailed) {
		return true
	}
	return status.Code(err) == codes.AlreadyExists
}
