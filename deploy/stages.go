package deploy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kappa-migrate/kappa/internal/journal"
)

// course is how the spec wants the jobs of a plan to be taken.
func (d *Deployer) course(p *Plan, recheck bool) course {
	r := d.cfg.Job.Spec.Update.Rollout
	return course{order: inOrder(r.Order, len(p.Jobs)), canary: r.Canary, parallel: max(r.Parallel, 1), recheck: recheck}
}

// recheck reports whether the newest deployment of this spec has not come to its
// end: it was killed, or stopped because a job was not healthy. Then the jobs that
// it has launched are looked at again, even if they all run with this spec.
func (d *Deployer) recheck(ctx context.Context) (bool, error) {
	last, err := d.cfg.Journal.Deployments(ctx, 1)
	if err != nil || len(last) == 0 {
		return false, err
	}
	if b := last[0].Begin(); b.Command != d.command || b.Spec != d.hash {
		return false, nil
	}
	switch last[0].Outcome() {
	case journal.OutcomeDone:
		return false, nil
	case "":
		return true, nil
	}
	return !conditionsOf(d.cfg.Job.Spec.Update.Rollout).none(), nil
}

// sideBySide is the recorder for several jobs at a time: who listens is told one
// thing after the other.
func (r *recorder) sideBySide() *recorder {
	var mu sync.Mutex
	one := *r
	one.progress = func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		r.progress(e)
	}
	return &one
}

// stages takes the stages of a rollout, one after the other. The first that fails
// is the last (invariant D4).
func (t *take) stages(ctx context.Context, stages []stage) error {
	for _, s := range stages {
		if err := t.stage(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// stage takes the chains of a stage, so many at a time. Once one has failed none is
// begun any more; those that were are taken to their end: a job that has drained
// must come back.
func (t *take) stage(ctx context.Context, s stage) error {
	errs := make([]error, len(s.chains))
	slots := make(chan struct{}, s.atOnce)
	var failed atomic.Bool
	var wg sync.WaitGroup
	for n, chain := range s.chains {
		slots <- struct{}{}
		if failed.Load() { // invariant D4: the rest is left alone
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			for _, st := range chain {
				if errs[n] = t.step(ctx, st); errs[n] != nil {
					failed.Store(true)
					return
				}
			}
		})
	}
	wg.Wait()
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
