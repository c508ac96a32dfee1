package deploy

import (
	"context"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// clockSkew is how far the clocks of whoever launched and of the service may
// be apart.
const clockSkew = time.Hour

// observe gathers what the history and the API say of a job.
func (d *Deployer) observe(ctx context.Context, name string, historyMissing bool) (observed, error) {
	o := observed{group: d.cfg.Job.Metadata.Name, job: name, spec: d.hash}
	if !historyMissing {
		g, ok, err := d.cfg.History.Latest(ctx, name)
		if err != nil {
			return o, err
		}
		if ok {
			o.latest = &g
		}
	}
	jobs, err := d.cfg.Jobs.Named(ctx, name)
	if err != nil {
		return o, err
	}
	for _, j := range jobs {
		if dataflowapi.Terminal(j.GetCurrentState()) {
			continue
		}
		if j, err = d.cfg.Jobs.Get(ctx, j.GetId()); err != nil {
			return o, err
		}
		o.active = asKnown(j)
		return o, nil
	}
	if o.latest == nil || o.latest.State != tables.StateOpen {
		return o, nil
	}
	o.last, err = d.lastOf(ctx, jobs, *o.latest)
	return o, err
}

// lastOf finds the ended job that a generation was: by its Dataflow id, or,
// where that was never recorded, by the label of its launch.
func (d *Deployer) lastOf(ctx context.Context, jobs []*pb.Job, g tables.Generation) (*known, error) {
	for _, j := range jobs {
		if g.DataflowJobID.Valid {
			if j.GetId() == g.DataflowJobID.StringVal {
				return asKnown(j), nil
			}
			continue
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
	}
}
