package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
)

// AbortResult is what Abort has done.
type AbortResult struct {
	Deployment Deployment      `json:"deployment"` // that was to be stopped
	Doing      string          `json:"doing"`      // the last that it has recorded
	Asked      bool            `json:"asked"`      // by this call; false: somebody had asked before
	Running    *journal.Holder `json:"running"`    // who goes on with it and was asked to stop; null: nobody, and it has ended
}

// Abort asks who goes on with the unfinished deployment to stop before the next
// step, on whatever machine. One that nobody goes on with is ended as aborted. A
// drain that was begun goes on, and nothing is taken back.
func (d *Deployer) Abort(ctx context.Context, reason string) (*AbortResult, error) {
	last, unfinished, err := d.cfg.Journal.Unfinished(ctx)
	if err != nil {
		return nil, err
	}
	if !unfinished {
		return nil, exit.Environmentf("no deployment of %s goes on, by the journal %s", d.cfg.Job.Metadata.Name, d.cfg.Journal).
			WithHint("look at what has ended with `kappa deploy history`")
	}
	res := &AbortResult{Deployment: deploymentOf(last), Doing: doing(last)}
	if res.Asked, err = d.cfg.Journal.Abort(ctx, last.ID, reason); err != nil {
		return nil, err
	}
	lease, held, err := d.cfg.Journal.Acquire(ctx, "abort")
	if h := (*journal.HeldError)(nil); errors.As(err, &h) {
		h.Holder.Token = ""
		res.Running = &h.Holder
		return res, nil
	}
	if err != nil {
		return nil, err
	}
	// Who died cannot end it: from here on nobody can go on with it either.
	err = d.endAborted(held, lease, last.ID)
	return res, errors.Join(err, lease.Release(context.WithoutCancel(ctx)))
}

func (d *Deployer) endAborted(ctx context.Context, lease *journal.Lease, id string) error {
	r, err := d.cfg.Journal.Read(ctx, id)
	if err != nil || r.Outcome() != "" { // it has ended since
		return err
	}
	dep, err := lease.Resume(ctx, r)
	if err != nil {
		return err
	}
	return dep.End(ctx, journal.OutcomeAborted, nil, nil)
}

// abortedError is the error of a deployment that was stopped.
func abortedError(err error) error {
	return exit.With(exit.Aborted, err).WithHint("look at where it stands with `kappa deploy status`; apply again to go on")
}

// watchAbort returns a context that ends, with ErrAborted as its cause, soon
// after somebody has asked for the deployment to be stopped: a step may wait for
// hours, and what is checked before each step would come too late.
func (d *Deployer) watchAbort(ctx context.Context, id string) (context.Context, func()) {
	watched, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(d.cfg.Poll)
		defer tick.Stop()
		for {
			select {
			case <-watched.Done():
				return
			case <-tick.C:
			}
			switch a, err := d.cfg.Journal.Aborted(watched, id); {
			case err != nil && watched.Err() == nil:
				// The next step asks again, and is not taken without an answer.
				d.cfg.Log.Warn("cannot look whether the deployment was aborted", "deployment", id, "error", err)
			case a != nil && err == nil:
				text := "by " + a.By
				if a.Reason != "" {
					text += ": " + a.Reason
				}
				cancel(fmt.Errorf("%w %s", journal.ErrAborted, text))
				return
			}
		}
	}()
	return watched, func() { cancel(context.Canceled); <-done }
}
