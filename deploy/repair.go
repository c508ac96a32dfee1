package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// RepairResult is what a repair has done.
type RepairResult struct {
	Group    string          `json:"group"`
	Void     []string        `json:"void"`               // the generations, JOB@GENERATION
	From     *time.Time      `json:"window_from"`        // of the windows that were recomputed; null: there were none
	To       *time.Time      `json:"window_to"`          //
	Repaired string          `json:"repaired,omitempty"` // the backfill that has replaced them, JOB@GENERATION
	Backfill *BackfillResult `json:"backfill,omitempty"` // null: a run before this one has completed it
}

// PlanRepair looks at what a repair would do. Nothing is changed.
func (d *Deployer) PlanRepair(ctx context.Context, r Repair) (*RepairPlan, error) {
	if d.cfg.Observer == nil {
		return nil, errors.New("deploy: a repair needs an observer")
	}
	job := d.cfg.Job
	if err := r.check(job); err != nil {
		return nil, err
	}
	log, err := d.cfg.History.Read(ctx)
	if err != nil {
		return nil, err
	}
	p := &RepairPlan{Group: job.Metadata.Name}
	records, err := d.cfg.Journal.Ends(ctx, recentDeployments)
	if err != nil {
		return nil, err
	}
	for _, w := range r.Void {
		jobs, err := d.cfg.Jobs.Named(ctx, w.Job)
		if err != nil {
			return nil, err
		}
		active, err := d.activeOf(ctx, jobs)
		if err != nil {
			return nil, err
		}
		state, voids, err := decideVoid(p.Group, w, log, active.GetId())
		if err != nil {
			return nil, err
		}
		p.Writers = append(p.Writers, RepairWriter{Job: w.Job, Generation: w.Generation, State: state, Voids: voids,
			Deployed: deployedBy(records, w.Job, w.Generation), Tables: []TouchedRows{}})
	}
	if err := d.touched(ctx, p.Writers); err != nil {
		return nil, err
	}
	span, any := windowsOf(job, p.Writers)
	if !any {
		return p, nil
	}
	p.From, p.To = &span.From, &span.To
	if p.Repaired = repairedBy(log, job, p.Writers, span); p.Repaired != "" {
		return p, nil
	}
	f := &findings{plan: d.emptyPlan()} // before anything is voided for it
	b := r.backfill(job, span)
	d.checkSource(ctx, f, b)
	if err := f.plan.refuse("repaired"); err != nil {
		return nil, err
	}
	var unsettled *UnsettledError
	if err := d.settledFor(ctx, b, log); errors.As(err, &unsettled) {
		p.UnsettledUntil = &unsettled.Until
	} else if err != nil {
		return nil, err
	}
	return p, nil
}

// Repair records generations as void and recomputes the windows that they have
// touched: once the watermarks of the jobs that run have passed these, with Wait;
// without it, it fails until they have (UnsettledError). The plan is one that was
// looked at. It is resumed by the same call. Progress may be nil.
func (d *Deployer) Repair(ctx context.Context, r Repair, p *RepairPlan, progress func(Event)) (*RepairResult, error) {
	if progress == nil {
		progress = func(Event) {}
	}
	fresh, err := d.void(ctx, r, p, progress)
	if err != nil {
		return nil, err
	}
	res := &RepairResult{Group: fresh.Group, From: fresh.From, To: fresh.To, Repaired: fresh.Repaired}
	for _, w := range fresh.Writers {
		res.Void = append(res.Void, w.Writer().String())
	}
	if fresh.From == nil || fresh.Repaired != "" {
		return res, nil
	}
	b := r.backfill(d.cfg.Job, tables.Span{From: *fresh.From, To: *fresh.To})
	if r.Wait {
		if err := d.waitSettled(ctx, b, progress); err != nil {
			return res, exit.With(exit.Of(err), fmt.Errorf("%s: void, and %s is missing until the windows are recomputed: %w", fresh.names(), fresh.missing(), err)).
				WithHint("run the same command again to go on waiting")
		}
	}
	res.Backfill, err = d.Backfill(ctx, b, progress)
	var unsettled *UnsettledError
	if errors.As(err, &unsettled) {
		return res, exit.With(exit.Environment, fmt.Errorf("%s: void, and %s is missing until the windows are recomputed: %w", fresh.names(), fresh.missing(), err)).
			WithHint("run the same command again %s, or now with --wait", unsettled.when(time.Now()))
	}
	if err != nil {
		return res, fmt.Errorf("recompute the windows of %s: %w", fresh.names(), err)
	}
	res.Repaired = tables.Writer{Job: res.Backfill.Job, Generation: res.Backfill.Generation}.String()
	return res, nil
}

// when says when the windows can be replaced, if watermarks move as the clock does.
func (e *UnsettledError) when(now time.Time) string {
	least, ok := e.Least()
	if !ok {
		return "once the watermarks have reached " + stamp(e.Until)
	}
	at, _ := new(pace).next(now, least, e.Until)
	return "at about " + at.UTC().Format(time.RFC3339)
}

// void records the generations as void. It returns the plan as it is then.
func (d *Deployer) void(ctx context.Context, r Repair, p *RepairPlan, progress func(Event)) (*RepairPlan, error) {
	fresh := p
	return fresh, d.recorded(ctx, journal.CommandRepair, func(ctx context.Context) (any, bool, error) {
		var err error
		if fresh, err = d.PlanRepair(ctx, r); err != nil {
			return nil, false, err
		}
		if !p.same(fresh) { // invariant D1
			return nil, false, exit.With(exit.Pending, errors.New("the plan is stale: something has changed since it was made")).
				WithHint("look at the new plan")
		}
		// One that was killed behind its last step has yet to be ended.
		last, unfinished, err := d.cfg.Journal.Unfinished(ctx)
		if err != nil {
			return nil, false, err
		}
		return fresh, fresh.voids() || unfinished && last.Begin().Command == journal.CommandRepair, nil
	}, func(ctx context.Context, rec *recorder) (any, error) {
		for i := range fresh.Writers {
			w := &fresh.Writers[i]
			if !w.Voids {
				continue
			}
			if err := rec.before(ctx, of(Voiding, w.Writer(), "", fmt.Sprintf("generation %d, which is %s", w.Generation, w.State))); err != nil { // invariant D2
				return nil, err
			}
			if err := d.recordVoid(ctx, w.Writer()); err != nil {
				return nil, err
			}
			w.Voids, w.State = false, tables.StateVoid
		}
		return nil, nil
	}, progress)
}

// recordVoid records a generation as void, whatever it was.
func (d *Deployer) recordVoid(ctx context.Context, w tables.Writer) error {
	log, err := d.cfg.History.Read(ctx)
	if err != nil {
		return err
	}
	g, ok := log.Writer(w.Job, w.Generation)
	if !ok {
		return fmt.Errorf("record %s as void: the history has it no more", w)
	}
	return d.record(ctx, tables.Generation{Job: g.Job, Generation: g.Generation, Kind: g.Kind, State: tables.StateVoid, Group: g.Group})
}

// settledFor fails unless no streaming job takes events of the windows any more.
func (d *Deployer) settledFor(ctx context.Context, b Backfill, log history.Log) error {
	running, err := d.cfg.Observer.Observe(ctx, names(d.cfg.Job, log))
	if err != nil {
		return err
	}
	return settled(b, d.cfg.Job.Spec.Horizon.D(), running)
}

// waitSettled waits until the windows can be replaced. Nobody is kept from
// deploying meanwhile. Only the caller ends the wait.
func (d *Deployer) waitSettled(ctx context.Context, b Backfill, progress func(Event)) error {
	var moves pace
	for {
		log, err := d.cfg.History.Read(ctx)
		if err != nil {
			return err
		}
		var unsettled *UnsettledError
		switch err := d.settledFor(ctx, b, log); {
		case err == nil:
			return nil
		case !errors.As(err, &unsettled):
			return err
		}
		text := fmt.Sprintf("for the watermarks to reach %s", stamp(unsettled.Until))
		if least, ok := unsettled.Least(); ok {
			text += fmt.Sprintf("; the least is %s", stamp(least))
			if at, ok := moves.next(time.Now(), least, unsettled.Until); ok {
				text += ", which takes until about " + at.UTC().Format(time.RFC3339)
			}
		}
		progress(Event{Step: Waiting, Job: b.Job, Text: text})
		if err := d.pause(ctx); err != nil {
			return exit.With(exit.Interrupted, fmt.Errorf("stopped waiting: %w", err))
		}
	}
}

// touched adds what the writers have written, and what they have read.
func (d *Deployer) touched(ctx context.Context, writers []RepairWriter) error {
	spec := d.cfg.Job.Spec
	for _, a := range spec.Aggregations {
		keys := []string{"window_start"}
		for _, dim := range a.Dimensions {
			keys = append(keys, "`"+dim+"`")
		}
		if len(a.Rollups) > 0 {
			keys = append(keys, jobspecs.RollupColumn)
		}
		inner := fmt.Sprintf("SELECT job, generation, window_start, COUNT(*) AS n FROM `%s.%s.%s`\n  WHERE %s IN UNNEST(@writers)\n  GROUP BY job, generation, %s",
			spec.Project, spec.Sinks.BigQuery.Dataset, a.Table, writerName, strings.Join(keys, ", "))
		sql := "SELECT job, generation, SUM(n) AS row_count, COUNT(*) AS windows, MIN(window_start) AS first, MAX(window_start) AS last\nFROM (" + inner + ")\nGROUP BY job, generation"
		if err := d.readTouched(ctx, writers, a.Table, sql, a.Window.D()); err != nil {
			return err
		}
	}
	raw := spec.Sinks.BigQuery.Raw
	sql := fmt.Sprintf("SELECT job, generation, COUNT(*) AS row_count, 0 AS windows, MIN(event_time) AS first, MAX(event_time) AS last\nFROM `%s.%s.%s`\n"+
		"WHERE %s IN UNNEST(@writers)\nGROUP BY job, generation", spec.Project, spec.Sinks.BigQuery.Dataset, raw, writerName)
	// An event is in the window that begins with it.
	return d.readTouched(ctx, writers, raw, sql, time.Microsecond)
}

// writerName is a row's writer.
const writerName = "CONCAT(job, '@', CAST(generation AS STRING))"

// readTouched reads one row for each writer that has any in a table; size is from
// the start of its last window, or event, to its end.
func (d *Deployer) readTouched(ctx context.Context, writers []RepairWriter, table, sql string, size time.Duration) error {
	var names []string
	for _, w := range writers {
		names = append(names, w.Writer().String())
	}
	q := d.cfg.Clients.BigQuery.Query(sql)
	q.Parameters = []bigquery.QueryParameter{{Name: "writers", Value: names}}
	it, err := q.Read(ctx)
	for err == nil {
		var row struct {
			Job         string
			Generation  int64
			Rows        int64 `bigquery:"row_count"`
			Windows     int64
			First, Last time.Time
		}
		if err = it.Next(&row); err != nil {
			break
		}
		for i := range writers {
			if w := &writers[i]; w.Job == row.Job && w.Generation == row.Generation {
				w.Tables = append(w.Tables, TouchedRows{Table: table, Rows: row.Rows, Windows: row.Windows, From: row.First.UTC(), To: row.Last.UTC().Add(size)})
			}
		}
	}
	if errors.Is(err, iterator.Done) {
		return nil
	}
	return exit.Environmentf("look for the rows of %s in %s: %w", strings.Join(names, ", "), table, err)
}
