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

// take takes the steps of a plan.
type take struct {
	*Deployer
	*recorder
	plan    *Plan
	results []*JobResult // by place in the plan; nil: nothing done yet
	pauses  *pauses
}

// step takes a step.
func (t *take) step(ctx context.Context, s step) error {
	a := t.plan.Jobs[s.i]
	switch s.do {
	case takeEnd:
		return t.end(ctx, s.i, a)
	case takeSettle:
		return t.settle(ctx, s.i, a)
	case takeResize:
		return t.resize(ctx, s.i, a)
	case takeDrain:
		return t.drain(ctx, s.i, a)
	case takeCancel:
		return t.cancel(ctx, s.i, a)
	case takeUpdate:
		return t.update(ctx, s.i, a)
	case takeUpdated:
		return t.recordUpdated(ctx, a.Job, *a.Updated)
	case takeHealth:
		return t.healthy(ctx, s.i)
	case takeCanary:
		return t.canary(ctx, s.i)
	default:
		return t.begin(ctx, s.i, a)
	}
}

// of is a step of a generation of a job.
func of(s Step, w tables.Writer, id, text string) Event {
	return Event{Step: s, Job: w.Job, Generation: w.Generation, DataflowID: id, Text: text}
}

// end records how a generation ended.
func (t *take) end(ctx context.Context, i int, a Action) error {
	e := *a.Ended
	w := tables.Writer{Job: a.Job, Generation: e.Generation}
	if err := t.before(ctx, of(Ending, w, e.DataflowID, fmt.Sprintf("generation %d as %s: %s", e.Generation, e.State, e.Why))); err != nil {
		return err
	}
	if err := t.recordEnd(ctx, a.Job, e); err != nil {
		return err
	}
	if a.Kind == Retire {
		t.results[i] = &JobResult{Job: a.Job, Generation: e.Generation, DataflowID: e.DataflowID, State: strings.ToUpper(e.State), Retired: true}
	}
	return nil
}

// settle adopts a job, or takes one as it is, and waits until it runs.
func (t *take) settle(ctx context.Context, i int, a Action) error {
	row := t.launching(t.plan, a.Job, a.Generation).row()
	if a.Kind == Adopt {
		if err := t.before(ctx, of(Completing, row.Writer(), a.DataflowID, "its Dataflow job")); err != nil {
			return err
		}
		row.DataflowJobID = nullString(a.DataflowID)
		if err := t.record(ctx, row); err != nil {
			return fmt.Errorf("%s was launched as %s: %w", a.Job, a.DataflowID, err)
		}
	}
	state, err := t.waitRunning(ctx, t.recorder, row, a.DataflowID)
	if err != nil {
		return err
	}
	t.results[i] = &JobResult{Job: a.Job, Generation: a.Generation, DataflowID: a.DataflowID, State: dataflowapi.StateName(state)}
	return nil
}

// resize changes the bounds of a job that runs, and waits until the service
// says that they are in force. Asking for the same again changes nothing, so
// that a killed Apply begins it anew.
func (t *take) resize(ctx context.Context, i int, a Action) error {
	row := t.launching(t.plan, a.Job, a.Generation).row()
	if err := t.before(ctx, of(Completing, row.Writer(), a.DataflowID, "its Dataflow job")); err != nil {
		return err
	}
	row.DataflowJobID = nullString(a.DataflowID) // which a launch whose answer was lost has not recorded
	if err := t.record(ctx, row); err != nil {
		return fmt.Errorf("%s runs as %s: %w", a.Job, a.DataflowID, err)
	}
	state, err := t.waitRunning(ctx, t.recorder, row, a.DataflowID)
	if err != nil {
		return err
	}
	if err := t.before(ctx, of(Resizing, row.Writer(), a.DataflowID, a.Resize.String())); err != nil {
		return err
	}
	if err := t.cfg.Jobs.Resize(ctx, a.DataflowID, a.Resize.Min, a.Resize.Max); err != nil {
		return err
	}
	if state, err = t.waitResized(ctx, row, a, state); err != nil {
		return err
	}
	t.results[i] = &JobResult{Job: a.Job, Generation: a.Generation, DataflowID: a.DataflowID, State: dataflowapi.StateName(state), Resized: a.Resize}
	return t.after(ctx, of(Resized, row.Writer(), a.DataflowID, a.Resize.String()))
}

// waitResized waits until the service reports the bounds that it was asked
// for: its reply to the request says little (invariant D3).
func (t *take) waitResized(ctx context.Context, row tables.Generation, a Action, state pb.JobState) (pb.JobState, error) {
	deadline := time.Now().Add(t.cfg.StartTimeout)
	for {
		j, err := t.cfg.Jobs.Get(ctx, a.DataflowID)
		if err != nil {
			return state, err
		}
		state = j.GetCurrentState()
		switch {
		case reported(j) == *a.Resize:
			return state, nil
		case dataflowapi.Terminal(state):
			return state, t.failed(ctx, row, a.DataflowID, state, pb.JobState_JOB_STATE_RUNNING)
		case time.Now().After(deadline):
			return state, exit.With(exit.Failed, fmt.Errorf("%s (%s) was asked for %s, and the service does not report them after %s", a.Job, a.DataflowID, a.Resize, t.cfg.StartTimeout)).
				WithHint("look at the job, then apply again")
		}
		if err := t.pause(ctx); err != nil {
			return state, fmt.Errorf("%s (%s) was asked for %s: %w", a.Job, a.DataflowID, a.Resize, err)
		}
	}
}

// drain drains the generation that runs.
func (t *take) drain(ctx context.Context, i int, a Action) error {
	g := *a.Drains
	w := tables.Writer{Job: a.Job, Generation: g.Generation}
	if err := t.before(ctx, of(Draining, w, g.DataflowID, "")); err != nil {
		return err
	}
	began := time.Now()
	t.pauses.ask(i)
	if err := t.cfg.Drainer.Drain(ctx, a.Job, func(text string) {
		t.stopping(ctx, i, g)
		t.note(of(Draining, w, g.DataflowID, text))
	}); err != nil {
		return err
	}
	// invariant D3: nobody's word is taken for it. While the job still writes,
	// or its end is not on record, no successor may begin.
	j, log, err := t.ended(ctx, g)
	if err != nil {
		return err
	}
	if done, err := t.voided(ctx, i, a, g, j, log, Drained, "not drained in time and cancelled"); done || err != nil {
		return err
	}
	return t.drained(ctx, i, a, g, j, log, began)
}

// ended reads what the service and the history say of a generation, at once: nobody
// reads its messages meanwhile.
func (t *take) ended(ctx context.Context, g Drains) (job *pb.Job, log history.Log, err error) {
	err = each(ctx, 2, func(ctx context.Context, n int) (err error) {
		if n == 0 {
			job, err = t.cfg.Jobs.Get(ctx, g.DataflowID)
		} else {
			log, err = t.cfg.History.Read(ctx)
		}
		return err
	})
	return job, log, err
}

// drained sees to it that a job has drained, and that this is on record.
func (t *take) drained(ctx context.Context, i int, a Action, g Drains, j *pb.Job, log history.Log, began time.Time) error {
	if s := j.GetCurrentState(); s != pb.JobState_JOB_STATE_DRAINED {
		return exit.With(exit.Failed, fmt.Errorf("%s (%s) is %s after its drain instead of DRAINED", a.Job, g.DataflowID, dataflowapi.StateName(s))).
			WithHint("apply again once it has ended")
	}
	row, ok := log.Writer(a.Job, g.Generation)
	if !ok || row.State != tables.StateDrained {
		return exit.With(exit.Failed, fmt.Errorf("%s (%s) has drained, but the history has its generation %d as %q", a.Job, g.DataflowID, g.Generation, row.State)).
			WithHint("apply again: that records it")
	}
	d := &DrainedResult{Generation: g.Generation, DataflowID: g.DataflowID, Seconds: time.Since(began).Seconds()}
	if row.Watermark.Valid {
		d.Watermark = &row.Watermark.Timestamp
	}
	if row.WindowsCut.Valid {
		d.WindowsCut = &row.WindowsCut.Int64
	}
	t.results[i] = &JobResult{
		Job: a.Job, Generation: g.Generation, DataflowID: g.DataflowID, State: dataflowapi.StateName(pb.JobState_JOB_STATE_DRAINED),
		Retired: a.Kind == Retire, Drained: d,
	}
	return t.after(ctx, of(Drained, row.Writer(), g.DataflowID, d.cut()))
}

// cut says how many windows a drain has cut.
func (d *DrainedResult) cut() string {
	switch {
	case d.WindowsCut == nil:
		return "how many windows were cut is not known"
	case *d.WindowsCut == 1:
		return "1 window cut"
	}
	return fmt.Sprintf("%d windows cut", *d.WindowsCut)
}

// begin launches a generation and waits until it runs.
func (t *take) begin(ctx context.Context, i int, a Action) error {
	l := t.launching(t.plan, a.Job, a.Generation)
	w := tables.Writer{Job: a.Job, Generation: a.Generation}
	if err := t.unread(ctx, a.Job); err != nil {
		return err
	}
	// invariant D2: on record before it is launched.
	if err := t.before(ctx, of(Recording, w, "", fmt.Sprintf("generation %d as open", a.Generation))); err != nil {
		return err
	}
	row := l.row()
	row.Supersedes = nullString(a.Supersedes)
	if _, err := t.cfg.History.Append(ctx, row); err != nil {
		return err
	}
	if err := t.replay(ctx, a); err != nil {
		return err
	}
	if err := t.before(ctx, of(Launching, w, "", "from "+t.plan.Template)); err != nil {
		return err
	}
	id, err := t.launch(ctx, l)
	if err != nil {
		return err
	}
	if err := t.before(ctx, of(Completing, w, id, "its Dataflow job")); err != nil {
		return err
	}
	row.DataflowJobID = nullString(id)
	if err := t.record(ctx, row); err != nil {
		return fmt.Errorf("%s was launched as %s: %w", a.Job, id, err)
	}
	state, err := t.waitRunning(ctx, t.recorder, row, id)
	if err != nil {
		return err
	}
	res := JobResult{Job: a.Job, Generation: a.Generation, DataflowID: id, State: dataflowapi.StateName(state), Launched: true, PauseSeconds: t.pauses.end(i)}
	if before := t.results[i]; before != nil {
		res.Drained = before.Drained
	}
	t.results[i] = &res
	return nil
}
