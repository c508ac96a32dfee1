package deploy

import (
	"context"
	"fmt"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// cancelled goes on behind a job that did not drain in time and was cancelled
// for it: its successor is launched as that of any dead generation is, and
// reads its messages again (invariant P5). False if the job was not cancelled,
// or if that is not on record as void: then nothing may follow it.
func (t *take) cancelled(ctx context.Context, i int, a Action, state pb.JobState) (bool, error) {
	g := a.Drains
	if !void(state) {
		return false, nil
	}
	log, err := t.cfg.History.Read(ctx)
	if err != nil {
		return false, err
	}
	if row, ok := log.Writer(a.Job, g.Generation); !ok || row.State != tables.StateVoid {
		return false, nil
	}
	t.plan.Jobs[i].Supersedes = history.FormatWriter(a.Job, g.Generation)
	t.results[i] = &JobResult{
		Job: a.Job, Generation: g.Generation, DataflowID: g.DataflowID, State: dataflowapi.StateName(state), Retired: a.Kind == Retire,
	}
	t.teller(a.Job, g.Generation)(Drained, g.DataflowID, fmt.Sprintf("not drained in time and cancelled: generation %d is void", g.Generation))
	return true, nil
}
