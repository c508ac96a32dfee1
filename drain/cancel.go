package drain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// CancelledError says that a job was cancelled, because it did not drain in time
// or in the place of a drain, and
// that its generation is on record as void: its rows do not count, and its
// successor reads its messages again. Whoever replaces the job can go on.
type CancelledError struct {
	Job        string
	ID         string
	Generation int64         // as labelled; 0: no label
	State      string        // CANCELLED, or FAILED if it died of the cancel
	Timeout    time.Duration // how long it was waited for; 0: it was not
	Now        bool          // in the place of a drain; if not, and without a timeout, it was cancelled before this run
}

func (e *CancelledError) Error() string {
	why := "had been cancelled before"
	switch {
	case e.Now:
		why = "was cancelled"
	case e.Timeout > 0:
		why = fmt.Sprintf("had not drained after %s and was cancelled", e.Timeout)
	}
	generation := "its generation"
	if e.Generation > 0 {
		generation = fmt.Sprintf("generation %d", e.Generation)
	}
	return fmt.Sprintf("%s (%s) %s (it is %s): %s is recorded as void, and its rows do not count", e.Job, e.ID, why, e.State, generation)
}

// toTheEnd watches the drain of a job to its end and returns the state that it
// ended in: DRAINED, or, only after a cancel, CANCELLED or FAILED.
func (d *one) toTheEnd(ctx context.Context, job *pb.Job) (pb.JobState, error) {
	if d.cfg.cancels() && job.GetCurrentState() == pb.JobState_JOB_STATE_CANCELLING {
		since := time.Now()
		if t := job.GetCurrentStateTime(); t.IsValid() {
			since = t.AsTime()
		}
		return d.cancel(ctx, job, since) // begun by a run that did not see its end
	}
	if d.cfg.CancelNow {
		d.cfg.Log.Warn("cancelling the job", "job", d.name, "job_id", d.id)
		d.now = true
		return d.cancel(ctx, job, time.Time{})
	}
	timed, stop := context.WithTimeoutCause(ctx, d.cfg.Timeout, errTimeout)
	defer stop()
	err := d.watch(timed, job)
	if err == nil {
		return pb.JobState_JOB_STATE_DRAINED, nil
	}
	if ctx.Err() != nil || !errors.Is(context.Cause(timed), errTimeout) {
		return 0, d.explain(timed, err)
	}
	switch afterTimeout(d.cfg.OnTimeout, d.asked) {
	case lateWait:
		d.cfg.Log.Warn("the drain takes longer than its timeout: going on to wait", "job", d.name, "job_id", d.id, "timeout", d.cfg.Timeout)
		if err := d.watch(ctx, job); err != nil {
			return 0, d.explain(ctx, err)
		}
		return pb.JobState_JOB_STATE_DRAINED, nil
	case lateCancel:
		d.cfg.Log.Warn("the drain takes longer than its timeout: cancelling the job", "job", d.name, "job_id", d.id, "timeout", d.cfg.Timeout)
		d.late = true
		return d.cancel(ctx, job, time.Time{})
	}
	return 0, d.explain(timed, err)
}

// cancel cancels the job and polls until the service says that it has ended.
// Since is when the service has taken the request; zero: it has not.
func (d *one) cancel(ctx context.Context, job *pb.Job, since time.Time) (pb.JobState, error) {
	c := cancelling{taken: !since.IsZero(), force: d.cfg.ForceAfter}
	tick := time.NewTicker(d.cfg.Poll)
	defer tick.Stop()
	for {
		note := ""
		state, err := d.poll(ctx, job)
		switch {
		case ctx.Err() != nil:
			return 0, d.leftCancelling(ctx, c.taken)
		case err != nil && !temporary(err):
			return 0, err
		case err != nil:
			note = err.Error()
			d.cfg.Log.Warn("cannot read the job", "job", d.name, "job_id", d.id, "error", err)
		default:
			if state == pb.JobState_JOB_STATE_CANCELLING && !c.taken {
				c.taken, since = true, time.Now() // a request whose answer was lost, or somebody else's
			}
			c.state, c.since = state, time.Since(since)
			switch c.next() {
			case cancelDrained, cancelVoid:
				return state, nil
			case cancelOther:
				return 0, d.failed(ctx, state)
			case cancelGiveUp:
				return 0, exit.With(exit.DrainTimeout, fmt.Errorf("%s (%s) is still %s %s after it was cancelled, a forced cancel included",
					d.name, d.id, dataflowapi.StateName(state), c.since.Round(time.Second))).
					WithHint("run the command again to go on waiting; ask Google's support about the job %s if it never ends", d.id)
			case cancelAsk:
				if c.taken, note, err = d.requestCancel(ctx, d.cfg.API.Request); err != nil {
					return 0, err
				}
				since = time.Now()
			case cancelForce:
				d.cfg.Log.Warn("the cancelled job has not ended: forcing it", "job", d.name, "job_id", d.id, "since", c.since)
				force := func(ctx context.Context, id string, _ pb.JobState) error { return d.cfg.API.ForceCancel(ctx, id) }
				if c.forced, note, err = d.requestCancel(ctx, force); err != nil {
					return 0, err
				}
			case cancelWait:
			}
		}
		d.report(Cancelling, note)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, d.leftCancelling(ctx, c.taken)
		}
	}
}

// requestCancel requests a cancel. What may be taken later, and a job that has
// ended meanwhile, are no errors: the next poll says what it is.
func (d *one) requestCancel(ctx context.Context, request func(context.Context, string, pb.JobState) error) (taken bool, note string, err error) {
	err = request(ctx, d.id, pb.JobState_JOB_STATE_CANCELLED)
	switch {
	case err == nil:
		d.cfg.Log.Info("cancel requested", "job", d.name, "job_id", d.id)
		return true, "", nil
	case strings.Contains(err.Error(), "has terminated"):
		return false, "", nil
	case temporary(err), strings.Contains(err.Error(), "not yet ready"), status.Code(err) == codes.FailedPrecondition:
		d.cfg.Log.Warn("the service does not take the cancel yet", "job", d.name, "job_id", d.id, "error", err)
		return false, "the service does not take the cancel yet", nil
	case ctx.Err() != nil:
		return false, "", nil // the caller has left: said at the end of the round
	}
	what := fmt.Sprintf("has not drained after %s and could not be cancelled; its drain goes on", d.cfg.Timeout)
	if d.now {
		what = "could not be cancelled, and goes on"
	}
	return false, "", exit.With(exit.Of(err), fmt.Errorf("%s (%s) %s: %w", d.name, d.id, what, err)).
		WithHint("the permission dataflow.jobs.cancel is needed")
}

// leftCancelling is the error of a caller who leaves before the cancelled job
// has ended.
func (d *one) leftCancelling(ctx context.Context, taken bool) error {
	what := "its cancel goes on"
	switch {
	case !taken && d.now:
		what = "its cancel was not taken yet"
	case !taken:
		what = "its drain goes on, its cancel was not taken yet"
	}
	return exit.With(exit.Interrupted, fmt.Errorf("stopped watching %s; %s: %w", d.name, what, ctx.Err())).
		WithHint("run the command again: until its generation is recorded as void, its rows count")
}

// void records that the job has ended without a drain (rule P5). It is no
// error if that was on record before: then nothing has happened here.
func (d *one) void(ctx context.Context, state pb.JobState, res JobResult) (JobResult, error) {
	// The job is gone; that has to be on record even if the caller leaves now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	res.State, res.Void = dataflowapi.StateName(state), true
	d.reading.State = res.State
	d.report(Recording, "")
	fresh, err := d.cfg.Recorder.RecordVoid(ctx, d.cfg.Group, d.name, d.id, res.Generation)
	if err != nil {
		return JobResult{}, fmt.Errorf("%s (%s) is %s, but its generation is not on record as void, and its rows count until it is: %w", d.name, d.id, res.State, err)
	}
	d.report(Voided, "")
	if !fresh && res.Before {
		return res, nil
	}
	e := &CancelledError{Job: d.name, ID: d.id, Generation: res.Generation, State: res.State, Now: d.now}
	if d.late {
		e.Timeout = d.cfg.Timeout
	}
	return res, exit.With(exit.DrainTimeout, e).
		WithHint("launch its successor with `kappa deploy apply`: it reads the messages of that generation again")
}
