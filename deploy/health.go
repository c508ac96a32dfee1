package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// Observer says where jobs are; internal/cli/deploy makes one of package drain.
type Observer interface {
	// Observe reads the jobs of those names that have not ended, in their order.
	Observe(ctx context.Context, jobs []string) ([]Observation, error)
}

// gateEvery is after how many polls a comparison that could not be judged is
// asked again: it reads tables, which costs.
const gateEvery = 15

// healthy waits until a job that was taken is healthy, as the spec has it. A job
// that was found healthy by an Apply that was killed is looked at anew: that
// takes longer, and trusts nobody.
func (t *take) healthy(ctx context.Context, i int) error {
	c := conditionsOf(t.cfg.Job.Spec.Update.Rollout)
	if c.none() {
		return nil
	}
	h, err := t.watch(ctx, i, c, Watching, Healthy, "")
	t.results[i].Health = h
	return err
}

// canary waits until a canary has been healthy for as long as the spec wants.
func (t *take) canary(ctx context.Context, i int) error {
	r := t.cfg.Job.Spec.Update.Rollout
	h, err := t.watch(ctx, i, conditionsOf(r).ofCanary(r), Baking, Baked, "as a canary ")
	t.results[i].Canary = h
	return err
}

// watch looks at a job until it is healthy. Nothing is changed, so that the steps
// are not recorded before they are taken; that it was healthy is a fact.
func (t *take) watch(ctx context.Context, i int, c conditions, watching, good Step, as string) (*Health, error) {
	res := t.results[i]
	row := t.launching(t.plan, res.Job, res.Generation).row()
	w := newWatch(c, gateEvery*t.cfg.Poll, time.Now())
	tell := func(s Step, text string) Event { return of(s, row.Writer(), res.DataflowID, text) }
	for {
		r := t.look(ctx, res, w)
		if err := context.Cause(ctx); err != nil {
			return w.health(notYet), fmt.Errorf("stopped watching %s (%s), which runs: %w", res.Job, res.DataflowID, err)
		}
		o := w.add(r)
		if r.unread == "" {
			res.State = dataflowapi.StateName(r.state)
			if dataflowapi.Terminal(r.state) {
				// The next Apply finds it void, whether or not anybody applies soon.
				return w.health(unhealthy), t.failed(ctx, row, res.DataflowID, r.state, pbRunning)
			}
		}
		if o == askGate {
			t.note(tell(watching, "asking comparison "+c.comparison))
			v, err := t.check(ctx, c.comparison)
			if err != nil {
				return w.health(notYet), err
			}
			if o = w.judge(time.Now(), v); v.Verdict == VerdictGo {
				continue // if the rest holds now, too, that is all
			}
		}
		switch o {
		case isHealthy:
			h := w.health(o)
			return h, t.after(ctx, tell(good, "healthy "+as+h.summary()))
		case unhealthy:
			return w.health(o), w.error(res)
		}
		t.note(tell(watching, w.progress()))
		if err := t.pause(ctx); err != nil {
			return w.health(notYet), fmt.Errorf("stopped watching %s (%s), which runs: %w", res.Job, res.DataflowID, err)
		}
	}
}

// error is that of a job that is not healthy.
func (w *watch) error(res *JobResult) error {
	code := exit.Failed
	if w.hold || w.gated() && w.verdict != nil {
		code = exit.GateNotMet
	}
	return exit.With(code, fmt.Errorf("%s (%s) runs as generation %d: %s", res.Job, res.DataflowID, res.Generation, w.failure())).
		WithHint("the jobs after it are left as they are; look at the job, then apply again to go on, or go back with `kappa deploy rollback`")
}

// look reads what the conditions are about. What cannot be read is said, and does
// not hold (invariant D3).
func (t *take) look(ctx context.Context, res *JobResult, w *watch) reading {
	r := reading{}
	switch j, err := t.cfg.Jobs.Get(ctx, res.DataflowID); {
	case err != nil:
		r.unread = err.Error()
	default:
		r.state = j.GetCurrentState()
	}
	if w.watermarks() {
		var err error
		if r.sources, err = t.sources(ctx, res); err != nil {
			r.unseen = err.Error()
		}
	}
	if w.maxErrors >= 0 {
		from := time.Now().Add(-errorsSpan)
		if from.Before(w.began) {
			from = w.began // what it said before is the business of its launch
		}
		var err error
		if r.errors, r.newest, err = t.cfg.Jobs.ErrorsSince(ctx, res.DataflowID, from); err != nil {
			r.unheard = err.Error()
		}
	}
	r.at = time.Now()
	return r
}

// sources are the watermarks of a job.
func (t *take) sources(ctx context.Context, res *JobResult) ([]SourceWatermark, error) {
	seen, err := t.cfg.Observer.Observe(ctx, []string{res.Job})
	switch {
	case err != nil:
		return nil, err
	case len(seen) != 1:
		return nil, errors.New("no job of that name runs")
	case seen[0].ID != res.DataflowID:
		return nil, fmt.Errorf("job %s of that name runs instead", seen[0].ID)
	}
	return seen[0].Sources, nil
}
