package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
)

// Steps are all steps that are recorded before they are taken.
func Steps() []Step {
	return []Step{Creating, Ending, Recording, Draining, Replaying, Launching, Updating, Cancelling, Resizing, Completing, Voiding}
}

// recorder records the steps of one deployment in the journal and tells them to
// who listens. Without a deployment, because nothing is to be done, no step can be
// taken.
type recorder struct {
	lease    *journal.Lease
	dep      *journal.Deployment
	progress func(Event)
	seam     func(entry journal.Entry, appended bool) // nil but in tests
}

// before records a step before it is taken (invariant D2). An error says that it
// must not be taken: it is not on record, or somebody wants the deployment to be
// stopped, or goes on with it.
func (r *recorder) before(ctx context.Context, e Event) error {
	if err := context.Cause(ctx); err != nil { // the lease may be lost
		return err
	}
	if err := r.append(ctx, journal.KindStep, e); err != nil {
		return err
	}
	r.progress(e)
	return r.lease.Held() // invariant D2: this process may have stood still meanwhile
}

// after records what has happened.
func (r *recorder) after(ctx context.Context, e Event) error {
	r.progress(e)
	return r.append(ctx, journal.KindFact, e)
}

// note tells who listens, and is not recorded.
func (r *recorder) note(e Event) { r.progress(e) }

func (r *recorder) append(ctx context.Context, kind string, e Event) error {
	if r.dep == nil {
		if kind == journal.KindStep {
			return fmt.Errorf("deploy: %s of %s was not planned", e.Step, e.Job)
		}
		return nil
	}
	entry := journal.Entry{
		Kind: kind, Step: string(e.Step), Job: e.Job, Generation: e.Generation, DataflowID: e.DataflowID, Text: e.Text,
	}
	return r.seamed(entry, func() error { return r.dep.Append(ctx, entry) })
}

// seamed calls fn, which appends an entry, between the two sides of the seam.
func (r *recorder) seamed(e journal.Entry, fn func() error) error {
	if r.seam == nil {
		return fn()
	}
	r.seam(e, false)
	err := fn()
	if err == nil {
		r.seam(e, true)
	}
	return err
}

// recorded takes the lease and calls fn with a recorder of a deployment: of the
// one that was begun for the same spec by the same command and has not ended, else
// of a new one. Plan is called once the lease is held: nobody else changes
// anything then, and what it returns is what is recorded. Where nothing is to be
// done and nothing was left unfinished, nothing is recorded.
//
// What fn returns an error for has failed, and the same command begins a new
// deployment. One that the caller leaves (Ctrl-C), that is killed or that loses
// its lease stays unfinished, and the same command goes on with it.
func (d *Deployer) recorded(ctx context.Context, command string, plan func(context.Context) (planned any, pending bool, err error),
	fn func(context.Context, *recorder) (result any, err error), progress func(Event)) (err error) {
	if progress == nil {
		progress = func(Event) {}
	}
	lease, held, err := d.cfg.Journal.Acquire(ctx, command)
	if err != nil {
		return err
	}
	defer func() {
		if err := lease.Release(context.WithoutCancel(ctx)); err != nil {
			d.cfg.Log.Warn("cannot give back the lease", "error", err)
		}
	}()
	defer func() { err = lost(held, err) }() // before it is released
	planned, pending, err := plan(held)
	if err != nil {
		return err
	}
	r := &recorder{lease: lease, progress: progress, seam: d.seam}
	if d.cfg.Clients.BigQuery != nil {
		finish := lease.Mirror(ctx, journal.Rows(d.cfg.Clients.BigQuery, d.cfg.Job.Spec.Sinks.BigQuery.Dataset, d.cfg.Job.Metadata.Name), d.cfg.Log)
		defer func() { finish(r.dep != nil) }()
	}
	if r.dep, err = d.begin(held, lease, command, planned, pending); err != nil {
		return err
	}
	if r.dep == nil {
		_, err := fn(held, r)
		return err
	}
	watched, stop := d.watchAbort(held, r.dep.ID)
	result, err := fn(watched, r)
	stop()
	if cause := context.Cause(watched); err != nil && errors.Is(cause, journal.ErrAborted) && !errors.Is(err, journal.ErrAborted) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if errors.Is(err, journal.ErrAborted) {
		err = abortedError(err)
	}
	if lease.Held() != nil { // it is not ours to end any more
		return errors.Join(err, journal.ErrLeaseLost)
	}
	return errors.Join(err, d.end(ctx, r, result, err))
}

// lost is the error of a command that has lost its lease, whatever it failed of.
func lost(held context.Context, err error) error {
	if !errors.Is(context.Cause(held), journal.ErrLeaseLost) && !errors.Is(err, journal.ErrLeaseLost) {
		return err
	}
	if !errors.Is(err, journal.ErrLeaseLost) {
		err = errors.Join(journal.ErrLeaseLost, err)
	}
	return exit.With(exit.Failed, err).WithHint("look who deploys with `kappa deploy status`, then run the command again")
}

// begin goes on with the deployment that was left unfinished, or ends it, and
// begins another if anything is to be done; nil: nothing is.
func (d *Deployer) begin(ctx context.Context, lease *journal.Lease, command string, planned any, pending bool) (*journal.Deployment, error) {
	last, unfinished, err := d.cfg.Journal.Unfinished(ctx)
	if err != nil {
		return nil, err
	}
	first := last.Begin()
	if unfinished && last.Abort == nil && first.Spec == d.hash && first.Command == command && first.Subject == subject(planned) {
		return lease.Resume(ctx, last)
	}
	if unfinished {
		// Who was paused while it went on with it is refused from now on.
		old, err := lease.Resume(ctx, last)
		if err != nil {
			return nil, err
		}
		outcome := journal.OutcomeSuperseded
		if last.Abort != nil {
			outcome = journal.OutcomeAborted
		}
		if err := old.End(ctx, outcome, nil, nil); err != nil {
			return nil, err
		}
	}
	if !pending {
		return nil, nil
	}
	doc, err := json.Marshal(planned)
	if err != nil {
		return nil, err
	}
	bucket, object := d.specFile()
	return lease.Begin(ctx, journal.Entry{
		Command: command, Subject: subject(planned), Reason: d.cfg.Reason, Version: d.cfg.Version, Spec: d.hash,
		SpecFile: "gs://" + bucket + "/" + object, Template: d.cfg.Job.Spec.Template, Plan: doc,
	})
}

// subject is what a command that has one does it to, in words that stay the same
// until it is done.
func subject(planned any) string {
	switch p := planned.(type) {
	case Backfill:
		kind, name := p.source()
		return fmt.Sprintf("%s from %s to %s of %s %s", p.Job, stamp(p.From), stamp(p.To), kind, name)
	case *RepairPlan:
		return p.names()
	}
	return ""
}

// end records how a deployment ended. One that the caller left, or that somebody
// else goes on with, has not.
func (d *Deployer) end(ctx context.Context, r *recorder, result any, err error) error {
	outcome := journal.OutcomeFailed
	switch {
	case err == nil:
		outcome = journal.OutcomeDone
	case errors.Is(err, journal.ErrAborted):
		outcome = journal.OutcomeAborted
	case errors.Is(err, journal.ErrTaken), ctx.Err() != nil:
		return nil
	}
	return r.seamed(journal.Entry{Kind: journal.KindEnd, Outcome: outcome}, func() error { return r.dep.End(ctx, outcome, err, result) })
}
