package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// BackfillResult is a complete backfill.
type BackfillResult struct {
	Group      string    `json:"group"` // that its writer is of
	Job        string    `json:"job"`
	Generation int64     `json:"generation"`
	DataflowID string    `json:"dataflow_id"`
	WindowFrom time.Time `json:"window_from"`
	WindowTo   time.Time `json:"window_to"`
	Archive    string    `json:"archive,omitempty"`
	Files      string    `json:"files,omitempty"`
	Table      string    `json:"table,omitempty"`
	Shadow     *Shadow   `json:"shadow,omitempty"` // nil: it replaces the windows
	Launched   bool      `json:"launched"`         // by this run; else it was resumed
	Seconds    float64   `json:"seconds"`          // of this run
}

// Backfill recomputes the windows of a span, and replaces them: once it is on
// record as complete, readers take its rows in the place of all others of the
// group in that span. As a shadow it writes tables of its own, and replaces what
// the same shadow has written. It is resumed by the same call. Progress may be nil.
func (d *Deployer) Backfill(ctx context.Context, b Backfill, progress func(Event)) (*BackfillResult, error) {
	if d.cfg.Observer == nil {
		return nil, errors.New("deploy: a backfill needs an observer")
	}
	if err := b.check(d.cfg.Job); err != nil {
		return nil, err
	}
	began := time.Now()
	r := &fill{Deployer: d, b: b, group: b.group(d.cfg.Job)}
	var shadow *Shadow
	if b.Shadow != "" {
		var err error
		if r.Deployer, shadow, err = d.shadow(b.Shadow); err != nil {
			return nil, err
		}
		d = r.Deployer
	}
	err := d.recorded(ctx, journal.CommandBackfill, func(ctx context.Context) (any, bool, error) {
		return b, true, r.plan(ctx)
	}, func(ctx context.Context, rec *recorder) (any, error) {
		r.recorder = rec
		return nil, r.run(ctx)
	}, progress)
	if err != nil {
		return nil, err
	}
	span := b.span()
	return &BackfillResult{
		Group: r.group, Job: b.Job, Generation: r.f.generation, DataflowID: r.f.id, WindowFrom: span.From, WindowTo: span.To,
		Archive: b.Archive, Files: b.Files, Table: b.Table, Shadow: shadow, Launched: r.f.kind == Launch, Seconds: time.Since(began).Seconds(),
	}, nil
}

// fill is a backfill that is under way.
type fill struct {
	*Deployer
	*recorder
	b     Backfill
	group string // that its writer is of
	p     *Plan
	f     filling
}

// step is a step of the backfill.
func (r *fill) step(s Step, text string) Event {
	return of(s, tables.Writer{Job: r.b.Job, Generation: r.f.generation}, r.f.id, text)
}

// plan looks at everything that the backfill needs and decides what to do.
// Nothing is changed.
func (r *fill) plan(ctx context.Context) error {
	r.p = r.emptyPlan()
	f := &findings{plan: r.p}
	r.checkLabels(f)
	r.checkBigQuery(ctx, f)
	if r.b.Shadow == "" {
		r.checkBigtable(ctx, f)
	}
	r.checkStorage(ctx, f)
	r.checkSource(ctx, f, r.b)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := r.p.refuse("backfilled"); err != nil {
		return err
	}
	var log history.Log
	if !f.historyMissing {
		var err error
		if log, err = r.cfg.History.Read(ctx); err != nil {
			return err
		}
	}
	if err := overlapping(log, r.group, r.b); err != nil {
		return err
	}
	o, err := r.observe(ctx, log, r.b.Job, false)
	if err != nil {
		return err
	}
	o.group = r.group
	if r.f, err = decideBackfill(r.b, o, r.label); err != nil {
		return err
	}
	if r.f.kind == Launch {
		return r.settled(ctx, log)
	}
	return nil
}

// label is the deployment label of a generation.
func (r *fill) label(generation int64) string {
	s := r.b.span()
	kind, name := r.b.source()
	return digest(fmt.Appendf(nil, "%s\x1f%s\x1f%s\x1f%s\x1f%s", r.deployment(r.b.Job, generation), kind, name, stamp(s.From), stamp(s.To)))
}

// settled fails unless no streaming job takes events of the windows any more. A
// shadow takes no job's place.
func (r *fill) settled(ctx context.Context, log history.Log) error {
	if r.b.Shadow != "" {
		return nil
	}
	return r.settledFor(ctx, r.b, log)
}

// run does what was decided, and records the backfill as complete.
func (r *fill) run(ctx context.Context) error {
	if err := r.prepare(ctx, r.p, &Result{}, r.recorder); err != nil {
		return err
	}
	l := r.launching(r.p, r.b.Job, r.f.generation)
	l.group, l.kind, l.deployment, l.parameters = r.group, tables.WriterBackfill, r.label(r.f.generation), r.b.parameters()
	row, span := l.row(), r.b.span()
	row.WindowFrom = bigquery.NullTimestamp{Timestamp: span.From, Valid: true}
	row.WindowTo = bigquery.NullTimestamp{Timestamp: span.To, Valid: true}
	if r.f.kind == Launch {
		if err := r.launchFill(ctx, l, row); err != nil {
			return err
		}
	}
	if err := r.before(ctx, r.step(Completing, "its Dataflow job")); err != nil {
		return err
	}
	row.DataflowJobID = nullString(r.f.id)
	if err := r.record(ctx, row); err != nil { // known to who comes after a kill
		return fmt.Errorf("%s was launched as %s: %w", r.b.Job, r.f.id, err)
	}
	if err := r.waitDone(ctx, row); err != nil {
		return err
	}
	// Once more: a job that was launched meanwhile did not learn of a backfill
	// that was not complete, and may have begun before the windows.
	log, err := r.cfg.History.Read(ctx)
	if err != nil {
		return err
	}
	if err := r.settled(ctx, log); err != nil {
		return fmt.Errorf("%s (%s) is done, but does not replace the windows yet: %w", row.Writer(), r.f.id, err)
	}
	if err := r.before(ctx, r.step(Completing, "that it replaces the windows")); err != nil {
		return err
	}
	row.State = tables.StateDrained
	if err := r.record(ctx, row); err != nil {
		return fmt.Errorf("%s (%s) is done, but that is not on record: %w", row.Writer(), r.f.id, err)
	}
	return r.after(ctx, r.step(Done, ""))
}

// launchFill launches the generation, once it is on record.
func (r *fill) launchFill(ctx context.Context, l launching, row tables.Generation) error {
	if e := r.f.ended; e != nil {
		if err := r.before(ctx, r.step(Ending, fmt.Sprintf("generation %d as %s: %s", e.Generation, e.State, e.Why))); err != nil {
			return err
		}
		if err := r.record(ctx, tables.Generation{
			Job: r.b.Job, Generation: e.Generation, Kind: l.kind, State: e.State, Group: l.group, DataflowJobID: nullString(e.DataflowID),
		}); err != nil {
			return err
		}
	}
	if err := r.before(ctx, r.step(Recording, fmt.Sprintf("generation %d as open", l.generation))); err != nil { // invariant D2
		return err
	}
	if _, err := r.cfg.History.Append(ctx, row); err != nil {
		return err
	}
	if err := r.before(ctx, r.step(Launching, "from "+l.template)); err != nil {
		return err
	}
	id, err := r.launch(ctx, l)
	r.f.id = id
	return err
}

// waitDone waits until the job is done. A batch of the size of an archive may
// take any time, so only the caller ends the wait.
func (r *fill) waitDone(ctx context.Context, row tables.Generation) error {
	for {
		j, err := r.cfg.Jobs.Get(ctx, r.f.id)
		if err != nil {
			return err
		}
		state := j.GetCurrentState()
		switch {
		case state == pb.JobState_JOB_STATE_DONE:
			return nil
		case dataflowapi.Terminal(state):
			return r.failed(ctx, row, r.f.id, state, pb.JobState_JOB_STATE_DONE)
		}
		e := Event{Step: Starting, Job: r.b.Job, Generation: r.f.generation, DataflowID: r.f.id, Text: dataflowapi.StateName(state)}
		if state == pb.JobState_JOB_STATE_RUNNING {
			e.Step = Running
			// What cannot be read costs progress only.
			if seen, err := r.cfg.Observer.Observe(ctx, []string{r.b.Job}); err == nil && len(seen) == 1 {
				e.Messages = seen[0].Messages
			}
		}
		r.note(e)
		if err := r.pause(ctx); err != nil {
			return exit.With(exit.Interrupted, fmt.Errorf("stopped waiting for %s (%s), which is %s and goes on: %w", row.Writer(), r.f.id, dataflowapi.StateName(state), err)).
				WithHint("run the same command again to go on waiting")
		}
	}
}
