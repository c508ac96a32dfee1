package deploy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Jobs is what deploy needs of the Dataflow API, for the spec's project and
// region; dataflowapi.Client is one.
type Jobs interface {
	// Named returns all jobs of a name, newest first, as summaries.
	Named(ctx context.Context, name string) ([]*pb.Job, error)
	// Get returns a job with labels.
	Get(ctx context.Context, id string) (*pb.Job, error)
	// Errors returns the newest error messages of a job, at most n.
	Errors(ctx context.Context, id string, n int) ([]string, error)
	// ErrorsSince returns how many error messages a job has had since a time, and
	// the newest.
	ErrorsSince(ctx context.Context, id string, since time.Time) (n int, newest string, err error)
	// Launch launches a flex template, once.
	Launch(ctx context.Context, p *pb.LaunchFlexTemplateParameter) (*pb.Job, error)
	// Resize changes the least and the most workers of a job that runs.
	Resize(ctx context.Context, id string, least, most int) error
	// Active returns all jobs of the project and region that have not ended, as
	// summaries: with their sources.
	Active(ctx context.Context) ([]*pb.Job, error)
}

// Drainer ends a job; internal/cli/deploy makes one of package drain.
type Drainer interface {
	// Drain drains the job of that name, or watches its drain if it drains
	// already, and returns when the service has said that it is over and that
	// is on record in the history: as drained, or, where it was cancelled because
	// it did not drain in time, as void. Progress is told what to show, in a line.
	Drain(ctx context.Context, job string, progress func(text string)) error
	// Cancel cancels the job of that name without draining it, or watches its
	// cancel, and returns when it has ended and that is on record in the history:
	// as void, or, where it had drained before the cancel reached it, as drained.
	Cancel(ctx context.Context, job string, progress func(text string)) error
}

// History is the log of generations; history.Store is one. Its tables may not
// exist before Ensure.
type History interface {
	Ensure(ctx context.Context) error
	Read(ctx context.Context) (history.Log, error)
	// Append records the state of a generation once it can be read; it is idempotent.
	Append(ctx context.Context, g tables.Generation) (tables.Generation, error)
	// RecordUpdated records that the service has replaced the Dataflow job of an
	// open generation in place.
	RecordUpdated(ctx context.Context, job string, generation int64, from, to string) error
	// RecordDrained records that a generation has ended by a drain.
	RecordDrained(ctx context.Context, group, job, dataflowJobID string, generation int64, watermark time.Time) error
}

// Defaults of a Config.
const (
	DefaultStartTimeout = 15 * time.Minute
	DefaultPoll         = 2 * time.Second
)

// Config configures a Deployer.
type Config struct {
	Log      *slog.Logger
	Job      *jobspecs.StreamJob
	Clients  *Clients
	Jobs     Jobs
	History  History
	Drainer  Drainer  // nil: plans that drain a job cannot be applied
	Observer Observer // nil: no backfills, and no conditions about watermarks
	Gate     Gate     // nil: no conditions about a comparison
	Journal  *journal.Journal
	Reason   string // why, for the journal
	Version  string // of kappa, for the journal
	// AcceptLoss lets plans be applied that cancel jobs: their state is lost, and
	// their generations are void.
	AcceptLoss bool
	// WithoutReplay launches the successor of a dead generation even if the
	// snapshot that it would read again from is gone.
	WithoutReplay bool
	StartTimeout  time.Duration // longest wait until a launched job runs; 0: DefaultStartTimeout
	Poll          time.Duration // pause between two looks at a job; 0: DefaultPoll
}

func (c *Config) validate() error {
	switch {
	case c.Log == nil:
		return errors.New("deploy: no logger")
	case c.Job == nil:
		return errors.New("deploy: no StreamJob")
	case c.Clients == nil:
		return errors.New("deploy: no clients")
	case c.Jobs == nil:
		return errors.New("deploy: no Dataflow jobs")
	case c.History == nil:
		return errors.New("deploy: no history")
	case c.Journal == nil:
		return errors.New("deploy: no journal")
	case c.StartTimeout < 0 || c.Poll < 0:
		return errors.New("deploy: negative start timeout or poll interval")
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = DefaultStartTimeout
	}
	if c.Poll == 0 {
		c.Poll = DefaultPoll
	}
	return nil
}

// Severities of problems.
const (
	Error   = "error"   // the plan cannot be applied
	Warning = "warning" // it can, at the reader's own risk
)

// Problem is something that preflight has found.
type Problem struct {
	Severity string `json:"severity"`
	What     string `json:"what"` // the resource
	Text     string `json:"text"`
	Mend     string `json:"mend,omitempty"` // imperative
}

// Resource is something that is missing and that Apply creates.
type Resource struct {
	Kind string `json:"kind"` // dataset, table, bigtable table, bigtable family, file
	Name string `json:"name"`
	Note string `json:"note,omitempty"`
}

// Plan is what Apply does. It is data: views print it.
type Plan struct {
	Group    string     `json:"group"`
	Project  string     `json:"project"`
	Region   string     `json:"region"`
	Template string     `json:"template"`
	Spec     string     `json:"spec"`      // hash of the resolved spec
	SpecFile string     `json:"spec_file"` // where the jobs read it
	Create   []Resource `json:"create"`
	Jobs     []Action   `json:"jobs"`
	Problems []Problem  `json:"problems"`

	// Reshard says that subscriptions move between jobs: all that are to be
	// drained are drained before any is launched. Otherwise one after the other
	// is replaced.
	Reshard       bool   `json:"reshard"`
	ReshardReason string `json:"reshard_reason,omitempty"`

	// Drift is what is otherwise than it was deployed. It keeps nobody from
	// applying the plan, which may mend it or not.
	Drift []Drift `json:"drift"`
}

// Pending reports whether applying the plan would change anything.
func (p *Plan) Pending() bool {
	if len(p.Create) > 0 {
		return true
	}
	for _, j := range p.Jobs {
		if j.Kind != Keep {
			return true
		}
	}
	return false
}

// drains reports whether applying the plan drains jobs.
func (p *Plan) drains() bool {
	return slices.ContainsFunc(p.Jobs, func(a Action) bool { return a.Drains != nil || a.Cancels != nil })
}

// Errors are the problems that keep the plan from being applied.
func (p *Plan) Errors() []Problem {
	var out []Problem
	for _, q := range p.Problems {
		if q.Severity == Error {
			out = append(out, q)
		}
	}
	return out
}

// same reports whether o, made later, does the same as p.
func (p *Plan) same(o *Plan) bool {
	return p.Spec == o.Spec && p.SpecFile == o.SpecFile && p.Template == o.Template &&
		(p.Reshard || !o.Reshard) && // drains that are over need not come first any more
		reflect.DeepEqual(p.Create, o.Create) && reflect.DeepEqual(asTree(p.decisions()), asTree(o.decisions()))
}

// decisions are the actions without the words, in which a state may show that
// moves by itself, without the changes that explain them, which one look may
// have found and another not, and without the end of a drain, which comes by
// itself too, as does that of an update in place or of a cancel.
func (p *Plan) decisions() []Action {
	var out []Action
	for _, a := range p.Jobs {
		a.Reason, a.Changes = "", nil
		if e := a.Ended; e != nil {
			a.Ended = &Ended{Generation: e.Generation, State: e.State, DataflowID: e.DataflowID}
		}
		if d := a.Drains; d != nil && d.State == dataflowapi.StateName(pb.JobState_JOB_STATE_DRAINING) {
			a.Drains, a.Ended = nil, &Ended{Generation: d.Generation, State: tables.StateDrained, DataflowID: d.DataflowID}
			if a.Kind == Replace {
				a.Kind = Launch
			}
		}
		if h := a.Handover; h != nil && h.To != "" {
			a.Kind, a.DataflowID, a.Handover, a.Updated = Adopt, h.To, nil, h
		}
		if d := a.Cancels; d != nil && d.State == dataflowapi.StateName(pb.JobState_JOB_STATE_CANCELLING) {
			a.Kind, a.Cancels, a.Supersedes = Launch, nil, history.FormatWriter(a.Job, d.Generation)
			a.Ended = &Ended{Generation: d.Generation, State: tables.StateVoid, DataflowID: d.DataflowID}
		}
		for _, d := range []**Drains{&a.Drains, &a.Cancels} {
			if *d != nil {
				*d = &Drains{Generation: (*d).Generation, DataflowID: (*d).DataflowID}
			}
		}
		out = append(out, a)
	}
	return out
}

// Deployer plans and applies.
type Deployer struct {
	cfg     Config
	doc     []byte // resolved spec
	hash    string
	command string                                   // that Apply is recorded as
	seam    func(entry journal.Entry, appended bool) // nil but in tests: called around the recording of each entry
}

// New returns a Deployer.
func New(cfg Config) (*Deployer, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	doc, err := jobspecs.Marshal(cfg.Job)
	if err != nil {
		return nil, fmt.Errorf("resolve StreamJob %s: %w", cfg.Job.Metadata.Name, err)
	}
	plain, err := jobspecs.Marshal(identity(cfg.Job))
	if err != nil {
		return nil, fmt.Errorf("resolve StreamJob %s: %w", cfg.Job.Metadata.Name, err)
	}
	return &Deployer{cfg: cfg, doc: doc, hash: digest(plain), command: journal.CommandApply}, nil
}

// digest is short enough for a label.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// deployment names the launch of a generation.
func (d *Deployer) deployment(job string, generation int64) string {
	return launchLabel(job, generation, d.hash)
}

// launchLabel names the launch of a generation with a spec.
func launchLabel(job string, generation int64, spec string) string {
	return digest(fmt.Appendf(nil, "%s\x1f%d\x1f%s", job, generation, spec))
}

// specFile is where the resolved spec is staged: a file for each spec, which
// never changes.
func (d *Deployer) specFile() (bucket, object string) { return d.stagedAs(d.hash) }

// stagedAs is where the spec with a hash is staged.
func (d *Deployer) stagedAs(hash string) (bucket, object string) {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(d.cfg.Job.Spec.Staging, "gs://"), "/")
	return bucket, strings.Trim(prefix, "/") + "/" + d.cfg.Job.Metadata.Name + "/" + hash + ".yaml"
}

// Plan looks at everything and says what Apply would do. A plan with errors is
// a plan too: only what cannot be looked at at all is an error here.
func (d *Deployer) Plan(ctx context.Context) (*Plan, error) {
	p := d.emptyPlan()
	f := &findings{plan: p}
	d.preflight(ctx, f)
	d.checkGate(f)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("plan %s: %w", p.Group, ctx.Err())
	}
	if err := d.planJobs(ctx, f); err != nil {
		return nil, err
	}
	return p, nil
}

// emptyPlan is a plan before anything was looked at.
func (d *Deployer) emptyPlan() *Plan {
	spec := d.cfg.Job.Spec
	bucket, object := d.specFile()
	return &Plan{
		Group: d.cfg.Job.Metadata.Name, Project: spec.Project, Region: spec.Region, Template: spec.Template,
		Spec: d.hash, SpecFile: "gs://" + bucket + "/" + object,
		Create: []Resource{}, Jobs: []Action{}, Problems: []Problem{}, Drift: []Drift{},
	}
}

// planJobs decides about the jobs of the spec and about those that it has no
// more.
func (d *Deployer) planJobs(ctx context.Context, f *findings) error {
	p := f.plan
	var log history.Log
	if !f.historyMissing {
		var err error
		if log, err = d.cfg.History.Read(ctx); err != nil {
			return err
		}
	}
	s, err := d.look(ctx, log)
	if err != nil {
		return err
	}
	p.Jobs, p.ReshardReason = decideAll(d.owners(), s.jobs)
	p.Reshard = p.ReshardReason != ""
	for _, a := range p.Jobs {
		if a.Kind == Blocked {
			f.error("job "+a.Job, a.Reason, s.mend(a))
		}
	}
	d.checkReaders(f, s)
	p.Drift, err = d.drifted(ctx, s, func(err error) {
		f.warning("journal "+d.cfg.Journal.String(), "cannot be read, so what was changed by hand may not be seen: "+err.Error(), "")
	})
	return err
}

// retired are the jobs that have run for a group and that it has no more, by
// their number.
func retired(wanted, ran []string) []string {
	var out []string
	for _, name := range ran {
		if !slices.Contains(wanted, name) {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	return out
}

// owners is which job is to read a subscription.
func (d *Deployer) owners() owners {
	out := owners{}
	for i, name := range d.cfg.Job.JobNames() {
		for _, s := range d.cfg.Job.JobSubscriptions(i) {
			out[subscription(d.cfg.Job.Spec.Project, s)] = name
		}
	}
	return out
}
