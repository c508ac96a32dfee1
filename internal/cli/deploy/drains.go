package deploy

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/drain"
	draincli "github.com/kappa-migrate/kappa/internal/cli/drain"
	"github.com/kappa-migrate/kappa/internal/term"
	"github.com/kappa-migrate/kappa/internal/worker"
)

// drains hands package drain to deploy: it is a deploy.Drainer and a
// deploy.Observer.
type drains struct {
	api      drain.API
	log      *slog.Logger
	recorder drain.Recorder
	adopted  drain.Adopted
	group    string
	timeout  time.Duration
	then     drain.OnTimeout
	poll     time.Duration
	display  *term.Display // nil: sources are not shown
}

// shownOn makes the drains show their sources on a display.
func (d *drains) shownOn(display *term.Display) *term.Display {
	d.display = display
	return display
}

// Drain drains one job and records that it has drained; or that it is void, if
// it was cancelled because it did not drain in time: then its successor follows
// as that of any dead generation does.
func (d *drains) Drain(ctx context.Context, job string, progress func(string)) error {
	return d.run(ctx, drain.Config{Jobs: []string{job}, Timeout: d.timeout, OnTimeout: d.then}, progress)
}

// Cancel cancels one job without draining it, and records that it is void.
func (d *drains) Cancel(ctx context.Context, job string, progress func(string)) error {
	return d.run(ctx, drain.Config{Jobs: []string{job}, CancelNow: true}, progress)
}

// run ends a job as cfg says. That it was cancelled, and is on record as void, is no
// error: whoever asked for it looks for himself.
func (d *drains) run(ctx context.Context, cfg drain.Config, progress func(string)) error {
	log := d.log
	if d.display != nil {
		log = d.display.Logger(log)
	}
	cfg.Log, cfg.API, cfg.Recorder, cfg.Group, cfg.Adopted, cfg.Poll = log, d.api, d.recorder, d.group, d.adopted, d.poll
	cfg.Progress = func(u drain.Progress) {
		if d.display != nil {
			draincli.Gauges(d.display, u)
		}
		progress(draincli.Note(u))
	}
	_, err := drain.Run(ctx, cfg)
	if cancelled := (*drain.CancelledError)(nil); errors.As(err, &cancelled) {
		log.Warn("the job was cancelled", "job", cancelled.Job, "job_id", cancelled.ID, "generation", cancelled.Generation)
		return nil
	}
	return err
}

// Observe reads the jobs of those names that have not ended.
func (d *drains) Observe(ctx context.Context, jobs []string) ([]deploy.Observation, error) {
	readings, err := drain.Observe(ctx, d.api, jobs, d.adopted)
	if err != nil {
		return nil, err
	}
	out := make([]deploy.Observation, 0, len(readings))
	for _, r := range readings {
		at, _ := r.Watermark().Time()
		o := deploy.Observation{
			Job: r.Job, ID: r.ID, State: r.State, Watermark: at, Messages: r.Counters[worker.CounterMessages],
			AtMaximum: r.Watermark().AtMaximum(), Sources: sourcesOf(r),
		}
		o.BacklogBytes = sum(r.Sources, func(b drain.Backlog) *int64 { return b.Bytes })
		o.BacklogElements = sum(r.Sources, func(b drain.Backlog) *int64 { return b.Elements })
		out = append(out, o)
	}
	return out, nil
}

// sourcesOf are the watermarks of a job's sources; of a job whose sources are not
// known, what has gone through it.
func sourcesOf(r drain.Reading) []deploy.SourceWatermark {
	var out []deploy.SourceWatermark
	add := func(name string, w drain.Watermark, backlog string) {
		at, _ := w.Time()
		out = append(out, deploy.SourceWatermark{Source: name, Watermark: at, Maximum: w.AtMaximum(), Backlog: backlog})
	}
	for _, s := range r.Sources {
		backlog := ""
		if s.Backlog.Known() {
			backlog = s.Backlog.String()
		}
		add(s.Name(), s.Watermark, backlog)
	}
	if len(out) == 0 && r.Pipeline.Known() {
		add(r.Job, r.Pipeline, "")
	}
	return out
}

// sum adds up a figure of all sources; nil: one of them is not known.
func sum(sources []drain.Source, of func(drain.Backlog) *int64) *int64 {
	if len(sources) == 0 {
		return nil
	}
	var n int64
	for _, s := range sources {
		v := of(s.Backlog)
		if v == nil {
			return nil
		}
		n += *v
	}
	return &n
}
