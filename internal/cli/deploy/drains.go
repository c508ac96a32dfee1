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
	log := d.log
	if d.display != nil {
		log = d.display.Logger(log)
	}
	_, err := drain.Run(ctx, drain.Config{
		Log: log, API: d.api, Recorder: d.recorder, Group: d.group, Jobs: []string{job}, Timeout: d.timeout, OnTimeout: d.then, Poll: d.poll,
		Progress: func(u drain.Progress) {
			if d.display != nil {
				draincli.Gauges(d.display, u)
			}
			progress(draincli.Note(u))
		},
	})
	if cancelled := (*drain.CancelledError)(nil); errors.As(err, &cancelled) {
		log.Warn("the job did not drain in time and was cancelled", "job", job, "job_id", cancelled.ID, "generation", cancelled.Generation)
		return nil
	}
	return err
}

// Observe reads the jobs of those names that have not ended.
func (d *drains) Observe(ctx context.Context, jobs []string) ([]deploy.Observation, error) {
	readings, err := drain.Observe(ctx, d.api, jobs)
	if err != nil {
		return nil, err
	}
	out := make([]deploy.Observation, 0, len(readings))
	for _, r := range readings {
		at, _ := r.Watermark().Time()
		out = append(out, deploy.Observation{Job: r.Job, ID: r.ID, State: r.State, Watermark: at, Messages: r.Counters[worker.CounterMessages]})
	}
	return out, nil
}
