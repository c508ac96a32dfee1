package deploy

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// clockSkew is how far the clocks of whoever launched and of the service may
// be apart.
const clockSkew = time.Hour

// atOnce is how many calls are made at a time: enough to look at hundreds of jobs
// in a second or two, and far from the quotas of the services, which are of
// thousands of calls a minute.
const atOnce = 16

// each calls fn for 0 to n-1, a few at a time, until one fails.
func each(ctx context.Context, n int, fn func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range n {
		g.Go(func() error { return fn(ctx, i) })
	}
	return g.Wait()
}

// seen is all that was looked at of a group.
type seen struct {
	log    history.Log
	jobs   []observed          // of the spec, then those that it has no more
	specs  map[string]launched // that jobs run with and that are not the wanted one, by hash
	active []*pb.Job           // all jobs of the project and region that have not ended
}

// mend says what may be done about a job that is in the way; empty: its reason
// says that.
func (s *seen) mend(a Action) string {
	if slices.ContainsFunc(s.jobs, func(o observed) bool { return o.job == a.Job && o.active != nil && o.active.generation == 0 }) {
		return "if somebody has started it by hand for this, take it over with `kappa deploy adopt`"
	}
	return ""
}

// look looks at the jobs of the spec and at those that it has no more: with at
// most two calls of the Dataflow API for each, but for launches whose answers were
// lost, and one for all.
func (d *Deployer) look(ctx context.Context, log history.Log) (*seen, error) {
	wanted := len(d.cfg.Job.JobNames())
	all := names(d.cfg.Job, log)
	s := &seen{log: log, jobs: make([]observed, len(all)), specs: map[string]launched{}}
	err := each(ctx, len(all)+1, func(ctx context.Context, i int) (err error) {
		if i == len(all) {
			s.active, err = d.cfg.Jobs.Active(ctx)
			return err
		}
		s.jobs[i], err = d.observe(ctx, log, all[i], i >= wanted)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range s.jobs {
		if err := d.compare(ctx, &s.jobs[i], s.specs); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// observe gathers what the history and the API say of a job.
func (d *Deployer) observe(ctx context.Context, log history.Log, name string, retired bool) (observed, error) {
	o := observed{
		group: d.cfg.Job.Metadata.Name, job: name, spec: d.hash, retired: retired, update: d.cfg.Job.Spec.Update,
		bounds: boundsOf(d.cfg.Job), resizable: resizable(d.cfg.Job),
	}
	if g, ok := log.Latest(name); ok {
		o.latest = &g
	}
	jobs, err := d.cfg.Jobs.Named(ctx, name)
	if err != nil {
		return o, err
	}
	if o.live, err = d.activeOf(ctx, jobs); err != nil {
		return o, err
	}
	other, err := d.otherName(ctx, o, jobs)
	if err != nil {
		return o, err
	}
	if other != nil && !dataflowapi.Terminal(other.GetCurrentState()) {
		o.live = other
	}
	if o.live != nil {
		o.active = asKnown(o.live)
		o.recognise()
	}
	if o.active != nil && retired && o.active.group != o.group {
		o.active, o.live = nil, nil // the name is somebody else's now, so ours has ended
	}
	switch {
	case o.active != nil || o.latest == nil || o.latest.State != tables.StateOpen:
	case other != nil:
		o.last = asKnown(other)
	default:
		if o.last, err = d.lastOf(ctx, jobs, *o.latest); err != nil {
			return o, err
		}
	}
	return o, d.observeUpdate(ctx, &o, jobs)
}

// otherName is the job that the open generation is by its Dataflow id, where no
// job of its name runs and none of those that have ended is it: it was adopted
// under another name. Nil: there is none, or the service has forgotten it.
func (d *Deployer) otherName(ctx context.Context, o observed, jobs []*pb.Job) (*pb.Job, error) {
	if o.live != nil || o.latest == nil || o.latest.State != tables.StateOpen || !o.latest.DataflowJobID.Valid {
		return nil, nil
	}
	id := o.latest.DataflowJobID.StringVal
	if slices.ContainsFunc(jobs, func(j *pb.Job) bool { return j.GetId() == id }) {
		return nil, nil
	}
	j, err := d.cfg.Jobs.Get(ctx, id)
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	return j, err
}

// recognise takes a job without our labels for the generation that the history
// has it as: it was adopted.
func (o *observed) recognise() {
	a, g := o.active, o.latest
	if a.generation == 0 && a.group == "" && g != nil && g.State == tables.StateOpen && g.DataflowJobID.StringVal == a.id {
		o.adopted, a.generation, a.group = true, g.Generation, o.group
	}
}

// compare adds what the job was launched with, if it is not what is wanted. A
// spec that cannot be read any more is no reason not to plan. Specs are kept by
// their hash: the jobs of a group share them.
func (d *Deployer) compare(ctx context.Context, o *observed, specs map[string]launched) error {
	if o.active == nil || o.active.spec == "" || o.active.spec == o.spec || o.active.group != o.group {
		return nil
	}
	l, err := d.launchedOnce(ctx, o.active.spec, specs)
	if err == nil && !o.retired {
		o.launched = &l
	}
	return err
}

// launchedOnce is launchedWith, once for each spec.
func (d *Deployer) launchedOnce(ctx context.Context, hash string, specs map[string]launched) (launched, error) {
	if l, ok := specs[hash]; ok {
		return l, nil
	}
	l := d.launchedWith(ctx, hash)
	if ctx.Err() != nil {
		return l, fmt.Errorf("plan %s: %w", d.cfg.Job.Metadata.Name, ctx.Err())
	}
	specs[hash] = l
	return l, nil
}

// launchedWith reads a spec that jobs were launched with.
func (d *Deployer) launchedWith(ctx context.Context, hash string) launched {
	bucket, object := d.stagedAs(hash)
	file := "gs://" + bucket + "/" + object
	doc, err := d.readSpec(ctx, bucket, object)
	if err != nil {
		return launched{unread: fmt.Sprintf("%s cannot be read: %v", file, err)}
	}
	from, err := resolved(file, doc)
	if err != nil {
		return launched{unread: fmt.Sprintf("%s cannot be read by this version of kappa", file)}
	}
	l := launched{bounds: boundsOf(from), job: from}
	if l.changes, err = changes(from, d.cfg.Job); err != nil {
		return launched{unread: fmt.Sprintf("%s cannot be compared: %v", file, err)}
	}
	return l
}

const (
	// readSpecWithin bounds the reading of a spec.
	readSpecWithin = time.Minute
	// maxSpecBytes is far more than a spec has.
	maxSpecBytes = 16 << 20
)

func (d *Deployer) readSpec(ctx context.Context, bucket, object string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, readSpecWithin)
	defer cancel()
	r, err := d.cfg.Clients.Storage.Bucket(bucket).Object(object).NewReader(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	doc, err := io.ReadAll(io.LimitReader(r, maxSpecBytes))
	if err != nil {
		return nil, err
	}
	return doc, r.Close()
}

// activeOf is the job, of those of a name, that has not ended; nil: none.
func (d *Deployer) activeOf(ctx context.Context, jobs []*pb.Job) (*pb.Job, error) {
	for _, j := range jobs {
		if dataflowapi.Terminal(j.GetCurrentState()) {
			continue
		}
		full, err := d.cfg.Jobs.Get(ctx, j.GetId())
		if err != nil {
			return nil, err
		}
		if dataflowapi.Terminal(full.GetCurrentState()) {
			continue // it has ended since
		}
		return full, nil
	}
	return nil, nil
}

// lastOf finds the ended job that a generation was: by its Dataflow id, or,
// where that was never recorded, by the label of its launch.
func (d *Deployer) lastOf(ctx context.Context, jobs []*pb.Job, g tables.Generation) (*known, error) {
	for _, j := range jobs {
		if g.DataflowJobID.Valid {
			if j.GetId() != g.DataflowJobID.StringVal {
				continue
			}
			full, err := d.cfg.Jobs.Get(ctx, j.GetId())
			if err != nil {
				return nil, err
			}
			return asKnown(full), nil
		}
		if j.GetCreateTime().AsTime().Before(g.RecordedAt.Add(-clockSkew)) {
			continue // older than the record, so not its launch
		}
		full, err := d.cfg.Jobs.Get(ctx, j.GetId())
		if err != nil {
			return nil, err
		}
		if k := asKnown(full); k.group == g.Group && k.generation == g.Generation {
			return k, nil
		}
	}
	return nil, nil
}

func asKnown(j *pb.Job) *known {
	return &known{
		id: j.GetId(), state: j.GetCurrentState(), generation: dataflowapi.Generation(j),
		group: j.GetLabels()[dataflowapi.LabelGroup], spec: j.GetLabels()[dataflowapi.LabelSpec],
		deployment: j.GetLabels()[dataflowapi.LabelDeployment], reads: reads(j),
		bounds: reported(j), replaces: j.GetReplaceJobId(), replacedBy: j.GetReplacedByJobId(),
	}
}

// checkReaders checks that no job outside of the group reads what its jobs are
// to read: each would get a part of the messages.
func (d *Deployer) checkReaders(f *findings, s *seen) {
	for _, r := range d.owners().readers(s.active) {
		if !slices.ContainsFunc(s.jobs, func(o observed) bool {
			return o.job == r.job.GetName() || o.active != nil && o.active.id == r.job.GetId()
		}) {
			f.error("subscription "+short(r.subscription), fmt.Sprintf("is read by job %s (%s), which is not one of %s: each would get a part of the messages",
				r.job.GetName(), r.job.GetId(), f.plan.Group), "drain or cancel that job, or give it a subscription of its own")
		}
	}
}

// unread fails if another job still reads what a job is to read. What was
// planned is looked at again right before the launch: whatever happened
// meanwhile, two jobs must not share a subscription (invariant P3).
func (d *Deployer) unread(ctx context.Context, job string) error {
	active, err := d.cfg.Jobs.Active(ctx)
	if err != nil {
		return err
	}
	for _, r := range d.owners().readers(active) {
		if r.owner != job {
			continue
		}
		// The list may be behind.
		j, err := d.cfg.Jobs.Get(ctx, r.job.GetId())
		if err != nil {
			return err
		}
		if !dataflowapi.Terminal(j.GetCurrentState()) {
			return exit.Environmentf("%s is not launched: its subscription %s is still read by %s (%s), which is %s",
				job, short(r.subscription), j.GetName(), j.GetId(), dataflowapi.StateName(j.GetCurrentState())).
				WithHint("drain %s, then apply again", j.GetName())
		}
	}
	return nil
}
