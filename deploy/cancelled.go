package deploy

import (
	"context"
	"fmt"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// cancel cancels the generation that runs: it is void, and its successor follows as
// that of any dead generation does. A cancel that was begun is watched to its end.
func (t *take) cancel(ctx context.Context, i int, a Action) error {
	g := *a.Cancels
	w := tables.Writer{Job: a.Job, Generation: g.Generation}
	if err := t.before(ctx, of(Cancelling, w, g.DataflowID, "")); err != nil {
		return err
	}
	began := time.Now()
	t.pauses.ask(i)
	if err := t.cfg.Drainer.Cancel(ctx, a.Job, func(text string) { t.note(of(Cancelling, w, g.DataflowID, text)) }); err != nil {
		return err
	}
	// invariant D3: nobody's word is taken for it.
	j, log, err := t.ended(ctx, g)
	if err != nil {
		return err
	}
	switch s := j.GetCurrentState(); {
	case void(s):
		if done, err := t.voided(ctx, i, a, g, j, log, Cancelled, "cancelled"); done || err != nil {
			return err
		}
		return exit.With(exit.Failed, fmt.Errorf("%s (%s) is %s, but its generation %d is not on record as void", a.Job, g.DataflowID, dataflowapi.StateName(s), g.Generation)).
			WithHint("apply again: that records it")
	case s != pb.JobState_JOB_STATE_DRAINED:
		return exit.With(exit.Failed, fmt.Errorf("%s (%s) is %s after its cancel instead of CANCELLED", a.Job, g.DataflowID, dataflowapi.StateName(s))).
			WithHint("apply again once it has ended")
	}
	t.note(of(Cancelled, w, g.DataflowID, "it had drained before"))
	return t.drained(ctx, i, a, g, j, log, began)
}

// voided goes on behind a job that was cancelled: its successor is launched as that
// of any dead generation is, and reads its messages again (invariant P5). False if
// the job was not cancelled, or if that is not on record as void: then nothing may
// follow it.
func (t *take) voided(ctx context.Context, i int, a Action, g Drains, j *pb.Job, log history.Log, told Step, why string) (bool, error) {
	state := j.GetCurrentState()
	if !void(state) {
		return false, nil
	}
	if row, ok := log.Writer(a.Job, g.Generation); !ok || row.State != tables.StateVoid {
		return false, nil
	}
	t.plan.Jobs[i].Supersedes = history.FormatWriter(a.Job, g.Generation)
	t.results[i] = &JobResult{
		Job: a.Job, Generation: g.Generation, DataflowID: g.DataflowID, State: dataflowapi.StateName(state), Retired: a.Kind == Retire,
	}
	return true, t.after(ctx, of(told, tables.Writer{Job: a.Job, Generation: g.Generation}, g.DataflowID,
		fmt.Sprintf("%s: generation %d is void", why, g.Generation)))
}

// MayLose refuses a plan that cancels jobs, unless whoever applies it has said that
// it may: a spec is written long before anybody knows what would be lost.
func (d *Deployer) MayLose(p *Plan) error {
	lost := p.loses()
	if len(lost) == 0 || d.cfg.AcceptLoss {
		return nil
	}
	return exit.Usagef("the plan cancels %s (spec.update.strategy: %s): a job that is cancelled loses its state, open windows included, "+
		"and no row of its generation counts until its successor has read all of it again: refused without --accept-loss",
		strings.Join(lost, ", "), d.cfg.Job.Spec.Update.Strategy).
		WithHint("add --accept-loss, or set spec.update.strategy: drain")
}
