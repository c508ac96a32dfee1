package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// optionInPlace is the service option that asks for an update in place, whatever
// else the service would choose.
const optionInPlace = "update_strategy_in_place_update"

// inPlace makes the launch of a job an update of the one that runs.
func (d *Deployer) inPlace(p *pb.LaunchFlexTemplateParameter) {
	u := d.cfg.Job.Spec.Update
	p.Update, p.TransformNameMappings = true, maps.Clone(u.TransformNameMapping)
	if u.Strategy == jobspecs.StrategyManaged {
		p.Environment.AdditionalExperiments = append(p.Environment.AdditionalExperiments, optionInPlace)
	}
}

// update has the service replace a job in place, and waits until it has. The
// generation goes on, whatever comes of it: it is on record as the new job once the
// service says that the old one is UPDATED (invariant D3), and until then the new
// job's id stands in the journal.
func (t *take) update(ctx context.Context, i int, a Action) error {
	h := *a.Handover
	l := t.launching(t.plan, a.Job, h.Generation)
	w := l.row().Writer()
	if h.To == "" {
		row := l.row()
		if err := t.before(ctx, of(Completing, w, h.From, "its Dataflow job")); err != nil {
			return err
		}
		row.DataflowJobID = nullString(h.From) // which a launch whose answer was lost has not recorded
		if err := t.record(ctx, row); err != nil {
			return fmt.Errorf("%s runs as %s: %w", a.Job, h.From, err)
		}
		j, err := t.cfg.Jobs.Get(ctx, h.From)
		if err != nil {
			return err
		}
		if j.GetCurrentState() != pb.JobState_JOB_STATE_RUNNING { // none else can be updated
			if _, err := t.waitRunning(ctx, t.recorder, row, h.From); err != nil {
				return err
			}
		}
		if h.To, err = t.launchUpdate(ctx, l, h); err != nil {
			return err
		}
	}
	if err := t.waitUpdated(ctx, a.Job, h); err != nil {
		return err
	}
	if err := t.recordUpdated(ctx, a.Job, h); err != nil {
		return err
	}
	row := l.row()
	row.DataflowJobID = nullString(h.To)
	state, err := t.waitRunning(ctx, t.recorder, row, h.To)
	if err != nil {
		return err
	}
	t.results[i] = &JobResult{Job: a.Job, Generation: h.Generation, DataflowID: h.To, State: dataflowapi.StateName(state), Launched: true, Updated: h.From}
	return nil
}

// launchUpdate launches the job that is to take over.
func (t *take) launchUpdate(ctx context.Context, l launching, h Handover) (string, error) {
	w := l.row().Writer()
	// What there is already is no answer of this launch, even if it has failed
	// with the same label.
	jobs, err := t.cfg.Jobs.Named(ctx, l.job)
	if err != nil {
		return "", err
	}
	for _, j := range jobs {
		l.before = append(l.before, j.GetId())
	}
	l.update = true
	// invariant D2: on record before it is launched.
	if err := t.before(ctx, of(Updating, w, h.From, "in place, from "+t.plan.Template)); err != nil {
		return "", err
	}
	id, err := t.launch(ctx, l)
	if err != nil {
		return "", fmt.Errorf("%s (%s) is not updated and goes on as generation %d: %w", l.job, h.From, h.Generation, err)
	}
	return id, t.after(ctx, of(Starting, w, id, "to take over from "+h.From))
}

// waitUpdated waits until the service says that a job is UPDATED. If the new job
// ends before that, the old one goes on: it is not waited for any longer, and its
// generation is as good as before.
func (t *take) waitUpdated(ctx context.Context, job string, h Handover) error {
	w := tables.Writer{Job: job, Generation: h.Generation}
	deadline := time.Now().Add(t.cfg.StartTimeout)
	shown := pb.JobState(-1)
	for {
		// In this order: once the new job has failed, the old one does not become
		// UPDATED any more.
		to, err := t.cfg.Jobs.Get(ctx, h.To)
		if err != nil {
			return err
		}
		from, err := t.cfg.Jobs.Get(ctx, h.From)
		if err != nil {
			return err
		}
		state := to.GetCurrentState()
		switch {
		case from.GetCurrentState() == pb.JobState_JOB_STATE_UPDATED:
			return t.after(ctx, of(Updated, w, h.To, "has the state of "+h.From))
		case dataflowapi.Terminal(state):
			return t.notUpdated(ctx, job, h, state, from.GetCurrentState())
		case state != shown:
			t.note(of(Updating, w, h.To, "to "+h.To+", which is "+dataflowapi.StateName(state)))
			shown = state
		}
		if time.Now().After(deadline) {
			return exit.With(exit.Failed, fmt.Errorf("%s (%s) is still being updated after %s: it is %s, and job %s, which takes over, is %s; the update goes on",
				job, h.From, t.cfg.StartTimeout, dataflowapi.StateName(from.GetCurrentState()), h.To, dataflowapi.StateName(state))).
				WithHint("apply again to go on waiting; to give the update up, cancel job %s: %s then goes on", h.To, h.From)
		}
		if err := t.pause(ctx); err != nil {
			return fmt.Errorf("%s (%s) is being updated to job %s, which goes on: %w", job, h.From, h.To, err)
		}
	}
}

// notUpdated is the error of an update that has failed, in the service's words.
func (t *take) notUpdated(ctx context.Context, job string, h Handover, to, from pb.JobState) error {
	msgs, err := t.cfg.Jobs.Errors(ctx, h.To, errorMessages)
	if err != nil {
		msgs = []string{"its messages cannot be read: " + err.Error()}
	}
	text := fmt.Sprintf("%s (%s) was not updated: job %s, which was to take over, became %s", job, h.From, h.To, dataflowapi.StateName(to))
	if len(msgs) > 0 {
		text += ":\n" + strings.Join(msgs, "\n")
	}
	if !starting(from) {
		text += fmt.Sprintf("\n%s is %s", h.From, dataflowapi.StateName(from))
		return exit.With(exit.Failed, errors.New(text)).WithHint("look at the job, then apply again")
	}
	text += fmt.Sprintf("\n%s goes on, and generation %d with it", h.From, h.Generation)
	return exit.With(exit.Failed, errors.New(text)).
		WithHint("give the new names of steps in spec.update.transformNameMapping, or set spec.update.strategy: drain for this change, and apply again")
}

// recordUpdated records that a generation goes on as another Dataflow job.
func (t *take) recordUpdated(ctx context.Context, job string, h Handover) error {
	w := tables.Writer{Job: job, Generation: h.Generation}
	if err := t.before(ctx, of(Completing, w, h.To, "its Dataflow job, updated from "+h.From)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	if err := t.cfg.History.RecordUpdated(ctx, job, h.Generation, h.From, h.To); err != nil {
		return fmt.Errorf("%s was updated from job %s to %s: %w", job, h.From, h.To, err)
	}
	return nil
}

// observeUpdate adds the job that the open generation is on record as, where the
// one that runs is another: an update that goes on, or that is not on record yet. A
// job that was updated, and whose successor has ended since, is followed to that.
func (d *Deployer) observeUpdate(ctx context.Context, o *observed, jobs []*pb.Job) error {
	if o.latest == nil || o.latest.State != tables.StateOpen || !o.latest.DataflowJobID.Valid {
		return nil
	}
	id := o.latest.DataflowJobID.StringVal
	place := slices.IndexFunc(jobs, func(j *pb.Job) bool { return j.GetId() == id })
	switch {
	case place < 0:
		return nil
	case o.active != nil && o.active.id != id:
		full, err := d.cfg.Jobs.Get(ctx, id)
		if err != nil {
			return err
		}
		o.recorded = asKnown(full)
	case o.active == nil && o.last != nil && o.last.state == pb.JobState_JOB_STATE_UPDATED:
		o.recorded = o.last
		for _, j := range slices.Backward(jobs[:place]) { // jobs are the newest first
			full, err := d.cfg.Jobs.Get(ctx, j.GetId())
			if err != nil {
				return err
			}
			if k := asKnown(full); o.follows(k) {
				o.last = k
				return nil
			}
		}
		o.recorded = nil
	}
	return nil
}
