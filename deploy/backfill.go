package deploy

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// Observer says where jobs are; internal/cli/deploy makes one of package drain.
type Observer interface {
	// Observe reads the jobs of those names that have not ended, in their order.
	Observe(ctx context.Context, jobs []string) ([]Observation, error)
}

// BackfillResult is a complete backfill.
type BackfillResult struct {
	Group      string    `json:"group"`
	Job        string    `json:"job"`
	Generation int64     `json:"generation"`
	DataflowID string    `json:"dataflow_id"`
	WindowFrom time.Time `json:"window_from"`
	WindowTo   time.Time `json:"window_to"`
	Archive    string    `json:"archive"`
	Launched   bool      `json:"launched"` // by this run; else it was resumed
	Seconds    float64   `json:"seconds"`  // of this run
}

// Backfill recomputes the windows of a span from the archive, and replaces
// them: once it is on record as complete, readers take its rows in the place
// of all others of the group in that span. It is resumed by the same call.
// Progress may be nil.
func (d *Deployer) Backfill(ctx context.Context, b Backfill, progress func(Event)) (*BackfillResult, error) {
	if d.cfg.Observer == nil {
		return nil, errors.New("deploy: a backfill needs an observer")
	}
	if progress == nil {
		progress = func(Event) {}
	}
	if err := b.check(d.cfg.Job); err != nil {
		return nil, err
	}
	began := time.Now()
	r := &fill{Deployer: d, b: b, progress: progress}
	if err := r.plan(ctx); err != nil {
		return nil, err
	}
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	span := b.span()
	return &BackfillResult{
		Group: d.cfg.Job.Metadata.Name, Job: b.Job, Generation: r.f.generation, DataflowID: r.f.id, WindowFrom: span.From, WindowTo: span.To,
		Archive: b.Archive, Launched: r.f.kind == Launch, Seconds: time.Since(began).Seconds(),
	}, nil
}

// fill is a backfill that is under way.
type fill struct {
	*Deployer
	b        Backfill
	progress func(Event)
	p        *Plan
	f        filling
}

// say tells the progress.
func (r *fill) say(s Step, text string) {
	r.progress(Event{Step: s, Job: r.b.Job, Generation: r.f.generation, DataflowID: r.f.id, Text: text})
}

// plan looks at everything that the backfill needs and decides what to do.
// Nothing is changed.
func (r *fill) plan(ctx context.Context) error {
	r.p = r.emptyPlan()
	f := &findings{plan: r.p}
	r.checkLabels(f)
	r.checkBigQuery(ctx, f)
	r.checkBigtable(ctx, f)
	r.checkStorage(ctx, f)
	r.checkArchive(ctx, f, r.b.Archive)
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
	if err := overlapping(log, r.p.Group, r.b); err != nil {
		return err
	}
	o, err := r.observe(ctx, log, r.b.Job, false)
	if err != nil {
		return err
	}
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
	return digest(fmt.Appendf(nil, "%s\x1f%s\x1f%s\x1f%s", r.deployment(r.b.Job, generation), r.b.Archive, stamp(s.From), stamp(s.To)))
}

// settled fails unless no streaming job takes events of the windows any more.
func (r *fill) settled(ctx context.Context, log history.Log) error {
	running, err := r.cfg.Observer.Observe(ctx, names(r.cfg.Job, log))
	if err != nil {
		return err
	}
	return settled(r.b, r.cfg.Job.Spec.Horizon.D(), running)
}

// run does what was decided, and records the backfill as complete.
func (r *fill) run(ctx context.Context) error {
	if err := r.prepare(ctx, r.p, &Result{}, r.progress); err != nil {
		return err
	}
	l := r.launching(r.p, r.b.Job, r.f.generation)
	l.kind, l.deployment, l.parameters = tables.WriterBackfill, r.label(r.f.generation), map[string]string{"archive": r.b.Archive}
	row, span := l.row(), r.b.span()
	row.WindowFrom = bigquery.NullTimestamp{Timestamp: span.From, Valid: true}
	row.WindowTo = bigquery.NullTimestamp{Timestamp: span.To, Valid: true}
	if r.f.kind == Launch {
		if err := r.launchFill(ctx, l, row); err != nil {
			return err
		}
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
	r.say(Recording, "as complete")
	row.State = tables.StateDrained
	if err := r.record(ctx, row); err != nil {
		return fmt.Errorf("%s (%s) is done, but that is not on record: %w", row.Writer(), r.f.id, err)
	}
	r.say(Done, "")
	return nil
}

// launchFill launches the generation, once it is on record.
func (r *fill) launchFill(ctx context.Context, l launching, row tables.Generation) error {
	if e := r.f.ended; e != nil {
		r.say(Ending, fmt.Sprintf("generation %d as %s: %s", e.Generation, e.State, e.Why))
		if err := r.record(ctx, tables.Generation{
			Job: r.b.Job, Generation: e.Generation, Kind: l.kind, State: e.State, Group: l.group, DataflowJobID: nullString(e.DataflowID),
		}); err != nil {
			return err
		}
	}
	r.say(Recording, fmt.Sprintf("generation %d as open", l.generation)) // invariant D2
	if _, err := r.cfg.History.Append(ctx, row); err != nil {
		return err
	}
	r.say(Launching, "from "+l.template)
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
		r.progress(e)
		if err := r.pause(ctx); err != nil {
			return exit.With(exit.Interrupted, fmt.Errorf("stopped waiting for %s (%s), which is %s and goes on: %w", row.Writer(), r.f.id, dataflowapi.StateName(state), err)).
				WithHint("run the same command again to go on waiting")
		}
	}
}

// checkArchive checks that a pattern, as path.Match has it, names a file.
func (d *Deployer) checkArchive(ctx context.Context, f *findings, archive string) {
	what := "archive " + archive
	bucket, glob, _ := strings.Cut(strings.TrimPrefix(archive, "gs://"), "/")
	prefix := glob
	if i := strings.IndexAny(glob, `*?[\`); i >= 0 {
		prefix = glob[:i]
	}
	it := d.cfg.Clients.Storage.Bucket(bucket).Objects(ctx, &storage.Query{Prefix: prefix})
	for {
		o, err := it.Next()
		switch {
		case errors.Is(err, iterator.Done):
			f.error(what, "names no file", "name the Avro files that the archive's Cloud Storage subscription wrote")
			return
		case errors.Is(err, storage.ErrBucketNotExist):
			f.error(what, "the bucket "+bucket+" does not exist", "")
			return
		case err != nil:
			f.error(what, "cannot be listed: "+err.Error(), "")
			return
		}
		if match, _ := path.Match(glob, o.Name); match {
			return
		}
	}
}
