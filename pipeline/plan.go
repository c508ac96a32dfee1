package pipeline

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Kind is the type of an event's field.
type Kind uint8

// The kinds, as the specs name them.
const (
	String Kind = iota
	Int64
	Timestamp // microseconds since the epoch
)

var kindNames = [...]string{String: "STRING", Int64: "INT64", Timestamp: "TIMESTAMP"}

// String is the name of the kind.
func (k Kind) String() string { return kindNames[k] }

// Field is a named, typed field of an event.
type Field struct {
	Name string
	Kind Kind
}

// Measure is one additive value of an aggregation.
type Measure struct {
	Name       string
	Op         Op
	Field      int    // index into Plan.Used; -1: it has none
	Expression string // over the event, in the place of a field
}

// Aggregation groups events by sets of dimensions and fixed windows.
type Aggregation struct {
	Name     string
	Table    string
	Window   time.Duration
	Dims     []int // indexes into Plan.Used
	Sets     []Set // all dimensions, then the rollups; none without rollups: keys then have no set
	Measures []Measure
	Filter   string // of the events; empty: all are taken
}

// Set is a set of dimensions by which an aggregation groups.
type Set struct {
	Rollup string // its name in the table
	Rows   string // what its row keys in Bigtable begin with
	Dims   []int  // indexes into Aggregation.Dims, ascending
}

// Plan is a stream job's spec resolved for one of its jobs: all that the
// topology's functions need to know. It travels to the workers as JSON inside
// the functions, so its fields are exported and plain.
type Plan struct {
	Run         string // names the run within its process
	Job         string
	Generation  int64
	Environment string
	Project     string

	Subscriptions []string // full names; none in a backfill
	Native        bool     // the runner reads Pub/Sub itself (Dataflow)
	Batch         Batch    // what a backfill reads

	Fields       []Field // columns of the raw table
	Used         []int   // those that aggregations use, indexes into Fields
	Aggregations []Aggregation
	Horizon      time.Duration
	Remember     time.Duration // of event ids, behind the watermark; the horizon at most
	Delay, Idle  time.Duration // of the watermark
	Interval     time.Duration // between bundles of our own reader while messages are few

	Dataset, Raw, Late   string
	Instance, Table, IDs string

	Shards int           // of a subscription's ids in deduplication
	Slice  time.Duration // of event time in deduplication

	Predecessors []string   // writers, JOB@GENERATION, whose ids count as seen
	Replaced     [][2]int64 // event times, start and end, of windows that a backfill has replaced; microseconds
}

// Shards of a subscription's event ids, a part of where they are left for the
// next generation. Off Dataflow each access to state is a round trip, so a
// bundle should touch few shards; on Dataflow a shard is the unit of
// parallelism and its ids are read as a whole, so there should be many.
const (
	localShards    = 8
	dataflowShards = 1 << 14
)

// NewPlan resolves a spec for one job and generation.
func NewPlan(spec *jobspecs.StreamJob, job string, generation int64) (*Plan, error) {
	s := spec.Spec
	if generation < 1 {
		return nil, exit.Usagef("generation %d: generations are numbered from 1", generation)
	}
	if job == "" {
		return nil, exit.Usagef("the job has no name")
	}
	if strings.Contains(job, "/") {
		return nil, exit.Usagef("job %q: a job's name holds no slash", job)
	}
	p := &Plan{
		Job: job, Generation: generation, Environment: s.Environment, Project: s.Project,
		Horizon: s.Horizon.D(), Delay: s.Watermark.Delay.D(), Idle: s.Watermark.Idle.D(),
		Dataset: s.Sinks.BigQuery.Dataset, Raw: s.Sinks.BigQuery.Raw, Late: s.Sinks.BigQuery.Late,
		Instance: s.Sinks.Bigtable.Instance, Table: s.Sinks.Bigtable.Table, IDs: s.Sinks.Bigtable.IDs,
		Shards: localShards, Interval: pullInterval,
	}
	index := map[string]int{}
	for i, f := range s.Event.Fields {
		k, err := kindOf(f.Type)
		if err != nil {
			return nil, exit.Usagef("event field %s: %w", f.Name, err)
		}
		index[f.Name] = i
		p.Fields = append(p.Fields, Field{Name: f.Name, Kind: k})
	}
	for _, a := range s.Aggregations {
		agg, err := p.aggregation(a, index)
		if err != nil {
			return nil, exit.Usagef("aggregation %s: %w", a.Name, err)
		}
		p.Aggregations = append(p.Aggregations, agg)
	}
	if len(p.Aggregations) == 0 {
		return nil, exit.Usagef("stream job %s has no aggregations", spec.Metadata.Name)
	}
	if p.Remember = s.Deduplication.Horizon.D(); p.Remember == 0 {
		p.Remember = p.Horizon
	}
	if p.Remember < 0 || p.Remember > p.Horizon {
		return nil, exit.Usagef("event ids are remembered for %s, but the horizon is %s", p.Remember, p.Horizon)
	}
	p.Slice = tables.SliceSize(p.Remember)
	return p, nil
}

// Follow makes p a generation after others: it takes what the predecessors,
// JOB@GENERATION, have counted as seen, and leaves the windows alone that
// backfills have replaced.
func (p *Plan) Follow(predecessors []string, replaced []tables.Span) {
	p.Predecessors = predecessors
	for _, r := range replaced {
		p.Replaced = append(p.Replaced, [2]int64{r.From.UnixMicro(), r.To.UnixMicro()})
	}
}

// inherits reports whether ids that a writer has left are seen ones.
func (p *Plan) inherits(w tables.Writer) bool {
	return w == tables.Writer{Job: p.Job, Generation: p.Generation} || slices.Contains(p.Predecessors, w.String())
}

func (p *Plan) aggregation(a jobspecs.Aggregation, index map[string]int) (Aggregation, error) {
	agg := Aggregation{Name: a.Name, Table: a.Table, Window: a.Window.D(), Filter: a.Filter}
	if agg.Window <= 0 || agg.Window%time.Second != 0 { // row keys hold seconds
		return agg, fmt.Errorf("window %s is not a whole number of seconds", agg.Window)
	}
	for _, d := range a.Dimensions {
		i, ok := index[d]
		if !ok {
			return agg, fmt.Errorf("dimension %s is not a field of the event", d)
		}
		agg.Dims = append(agg.Dims, p.use(i))
	}
	for _, m := range a.Measures {
		op, err := opOf(m.Type)
		if err != nil {
			return agg, fmt.Errorf("measure %s: %w", m.Name, err)
		}
		field := -1
		switch {
		case m.Expression != "" && m.Field != "":
			return agg, fmt.Errorf("measure %s has a field and an expression", m.Name)
		case m.Expression == "" && op != Count:
			i, ok := index[m.Field]
			if !ok || p.Fields[i].Kind != Int64 {
				return agg, fmt.Errorf("measure %s: %q is not an INT64 field of the event", m.Name, m.Field)
			}
			field = p.use(i)
		}
		agg.Measures = append(agg.Measures, Measure{Name: m.Name, Op: op, Field: field, Expression: m.Expression})
	}
	if len(a.Rollups) > 0 {
		for i, set := range a.Sets() {
			if i > 0 && len(set) != len(a.Rollups[i-1]) {
				return agg, fmt.Errorf("rollup (%s) holds what is not a dimension", jobspecs.Rollup(a.Rollups[i-1]))
			}
			s := Set{Rollup: jobspecs.Rollup(set), Rows: tables.KeySpace(a, set)}
			for _, d := range set {
				s.Dims = append(s.Dims, slices.Index(a.Dimensions, d))
			}
			agg.Sets = append(agg.Sets, s)
		}
	}
	return agg, p.useFormulas(&agg)
}

// use returns the index in Used of the field i, adding it if need be.
func (p *Plan) use(i int) int {
	if at := slices.Index(p.Used, i); at >= 0 {
		return at
	}
	p.Used = append(p.Used, i)
	return len(p.Used) - 1
}

// usedKind is the kind of the i-th used field.
func (p *Plan) usedKind(i int) Kind { return p.Fields[p.Used[i]].Kind }

// Streams makes p read the subscriptions of the spec's job of that name.
func (p *Plan) Streams(spec *jobspecs.StreamJob, native bool) error {
	for i := range spec.Spec.Jobs {
		if spec.JobName(i) != p.Job {
			continue
		}
		for _, s := range spec.JobSubscriptions(i) {
			p.Subscriptions = append(p.Subscriptions, "projects/"+p.Project+"/subscriptions/"+s)
		}
		if len(p.Subscriptions) == 0 {
			return exit.Usagef("job %s has no subscription: there are %d jobs for %d subscriptions", p.Job, spec.Spec.Jobs, spec.Spec.Sources.Count)
		}
		if p.Native = native; native {
			p.Shards = dataflowShards
		}
		return nil
	}
	return exit.Usagef("stream job %s has no job %q: its jobs are %s to %s", spec.Metadata.Name, p.Job, spec.JobName(0), spec.JobName(spec.Spec.Jobs-1))
}

// noSubscription is the subscription of archived messages: it is not known.
const noSubscription = -1

// subscription is the short name of a subscription.
func (p *Plan) subscription(i int) string { return path.Base(p.Subscriptions[i]) }

// Writer names the writer: job and generation.
func (p *Plan) Writer() string { return fmt.Sprintf("%s@%d", p.Job, p.Generation) }

func kindOf(t string) (Kind, error) {
	switch t {
	case "STRING":
		return String, nil
	case "INT64":
		return Int64, nil
	case "TIMESTAMP":
		return Timestamp, nil
	}
	return 0, fmt.Errorf("type %q is not STRING, INT64 or TIMESTAMP", t)
}
