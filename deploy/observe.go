package deploy

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// clockSkew is how far the clocks of whoever launched and of the service may
// be apart.
const clockSkew = time.Hour

// observe gathers what the history and the API say of a job.
func (d *Deployer) observe(ctx context.Context, log history.Log, name string, retired bool) (observed, error) {
	o := observed{
		group: d.cfg.Job.Metadata.Name, job: name, spec: d.hash, retired: retired,
		bounds: boundsOf(d.cfg.Job), resizable: resizable(d.cfg.Job),
	}
	if g, ok := log.Latest(name); ok {
		o.latest = &g
	}
	jobs, err := d.cfg.Jobs.Named(ctx, name)
	if err != nil {
		return o, err
	}
	if o.active, err = d.activeOf(ctx, jobs); err != nil {
		return o, err
	}
	if o.active != nil && retired && o.active.group != o.group {
		o.active = nil // the name is somebody else's now, so ours has ended
	}
	if o.active != nil || o.latest == nil || o.latest.State != tables.StateOpen {
		return o, nil
	}
	o.last, err = d.lastOf(ctx, jobs, *o.latest)
	return o, err
}

// compare adds what the job was launched with, if it is not what is wanted. A
// spec that cannot be read any more is no reason not to plan. Specs are kept by
// their hash: the jobs of a group share them.
func (d *Deployer) compare(ctx context.Context, o *observed, specs map[string]launched) error {
	if o.active == nil || o.retired || o.active.spec == "" || o.active.spec == o.spec || o.active.group != o.group {
		return nil
	}
	l, ok := specs[o.active.spec]
	if !ok {
		l = d.launchedWith(ctx, o.active.spec)
		if ctx.Err() != nil {
			return fmt.Errorf("plan %s: %w", o.group, ctx.Err())
		}
		specs[o.active.spec] = l
	}
	o.launched = &l
	return nil
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
	l := launched{bounds: boundsOf(from)}
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
func (d *Deployer) activeOf(ctx context.Context, jobs []*pb.Job) (*known, error) {
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
		return asKnown(full), nil
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
		if k := asKnown(full); k.group == d.cfg.Job.Metadata.Name && k.generation == g.Generation {
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
		bounds: reported(j),
	}
}

// checkReaders checks that no job outside of the group reads what its jobs are
// to read: each would get a part of the messages.
func (d *Deployer) checkReaders(ctx context.Context, f *findings, group []string) error {
	active, err := d.cfg.Jobs.Active(ctx)
	if err != nil {
		return err
	}
	for _, r := range d.owners().readers(active) {
		if !slices.Contains(group, r.job.GetName()) {
			f.error("subscription "+short(r.subscription), fmt.Sprintf("is read by job %s (%s), which is not one of %s: each would get a part of the messages",
				r.job.GetName(), r.job.GetId(), f.plan.Group), "drain or cancel that job, or give it a subscription of its own")
		}
	}
	return nil
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
