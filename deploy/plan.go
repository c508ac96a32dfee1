package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

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
	// Launch launches a flex template, once.
	Launch(ctx context.Context, p *pb.LaunchFlexTemplateParameter) (*pb.Job, error)
}

// History is the log of generations; history.Store is one. Its tables may not
// exist before Ensure.
type History interface {
	Ensure(ctx context.Context) error
	// Latest returns the newest row of the highest generation of a job.
	Latest(ctx context.Context, job string) (tables.Generation, bool, error)
	// Append records the state of a generation once it can be read; it is idempotent.
	Append(ctx context.Context, g tables.Generation) (tables.Generation, error)
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
	Log          *slog.Logger
	Job          *jobspecs.StreamJob
	Clients      *Clients
	Jobs         Jobs
	History      History
	StartTimeout time.Duration // longest wait until a launched job runs; 0: DefaultStartTimeout
	Poll         time.Duration // pause between two looks at a job; 0: DefaultPoll
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

// Differing are the jobs that run with another spec, which Apply leaves alone.
func (p *Plan) Differing() []string {
	var names []string
	for _, j := range p.Jobs {
		if j.Differs {
			names = append(names, j.Job)
		}
	}
	return names
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

// same reports whether both plans do the same.
func (p *Plan) same(o *Plan) bool {
	return p.Spec == o.Spec && p.SpecFile == o.SpecFile && p.Template == o.Template &&
		reflect.DeepEqual(p.Create, o.Create) && reflect.DeepEqual(p.decisions(), o.decisions())
}

// decisions are the actions without the words, in which a state may show that
// moves by itself.
func (p *Plan) decisions() []Action {
	var out []Action
	for _, a := range p.Jobs {
		a.Reason = ""
		out = append(out, a)
	}
	return out
}

// Deployer plans and applies.
type Deployer struct {
	cfg  Config
	doc  []byte // resolved spec
	hash string
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
	// What is written for people alone does not make another spec.
	plain := *cfg.Job
	plain.Metadata.Description = ""
	identity, err := jobspecs.Marshal(&plain)
	if err != nil {
		return nil, fmt.Errorf("resolve StreamJob %s: %w", cfg.Job.Metadata.Name, err)
	}
	return &Deployer{cfg: cfg, doc: doc, hash: digest(identity)}, nil
}

// digest is short enough for a label.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// deployment names the launch of a generation.
func (d *Deployer) deployment(job string, generation int64) string {
	return digest(fmt.Appendf(nil, "%s\x1f%d\x1f%s", job, generation, d.hash))
}

// specFile is where the resolved spec is staged: a file for each spec, which
// never changes.
func (d *Deployer) specFile() (bucket, object string) {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(d.cfg.Job.Spec.Staging, "gs://"), "/")
	return bucket, strings.Trim(prefix, "/") + "/" + d.cfg.Job.Metadata.Name + "/" + d.hash + ".yaml"
}

// Plan looks at everything and says what Apply would do. A plan with errors is
// a plan too: only what cannot be looked at at all is an error here.
func (d *Deployer) Plan(ctx context.Context) (*Plan, error) {
	spec := d.cfg.Job.Spec
	bucket, object := d.specFile()
	p := &Plan{
		Group: d.cfg.Job.Metadata.Name, Project: spec.Project, Region: spec.Region, Template: spec.Template,
		Spec: d.hash, SpecFile: "gs://" + bucket + "/" + object,
		Create: []Resource{}, Jobs: []Action{}, Problems: []Problem{},
	}
	f := &findings{plan: p}
	d.preflight(ctx, f)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("plan %s: %w", p.Group, ctx.Err())
	}
	for _, name := range d.cfg.Job.JobNames() {
		o, err := d.observe(ctx, name, f.historyMissing)
		if err != nil {
			return nil, err
		}
		a := decide(o)
		p.Jobs = append(p.Jobs, a)
		if a.Kind == Blocked {
			f.error("job "+name, a.Reason, "")
		}
	}
	return p, nil
}
