package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/compare"
	views "github.com/kappa-migrate/kappa/compare/report"
	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/term"
)

// pollJobs is how often jobs are looked at: the sandbox answers at once, and
// its jobs start and drain in seconds.
const pollJobs = 200 * time.Millisecond

func (r *run) dataflow() *dataflowapi.Client {
	s := r.specs.stream.Spec
	return dataflowapi.New(r.clients.Dataflow, s.Project, s.Region)
}

func (r *run) history() *history.Store {
	return history.New(r.clients.BigQuery, r.specs.stream.Spec.Sinks.BigQuery.Dataset, r.specs.stream.Spec.Aggregations...)
}

// deploy starts the bridge and launches the streaming jobs.
func (r *run) deploy(ctx context.Context) error {
	return r.phase("Deploy", "", 0, func(task *term.Task) (string, error) {
		if err := r.startBridge(); err != nil {
			return "", err
		}
		res, err := r.apply(ctx, firstVersion, task)
		if err != nil {
			return "", err
		}
		// Records wait for nobody once they are produced: their latency is that of a running bridge.
		if err := joined(ctx, r.clients.admin, r.specs.source().Group, nil); err != nil {
			return "", err
		}
		return fmt.Sprintf("bridge and %d streaming jobs run", len(res.Jobs)), nil
	})
}

// drain drains the streaming jobs, all at once: nothing follows that would
// need one of them to stay.
func (r *run) drain(ctx context.Context) error {
	err := r.phase("Drain", "", 0, func(task *term.Task) (string, error) {
		res, err := drain.Run(ctx, drain.Config{
			Log: r.log, API: r.dataflow(), Recorder: r.history(),
			Group: r.specs.stream.Metadata.Name, Jobs: r.specs.stream.JobNames(), Parallel: r.specs.stream.Spec.Jobs,
			Timeout: 5 * time.Minute, Poll: pollJobs,
			Progress: func(p drain.Progress) { r.showReading(p.Reading) },
		})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d jobs drained", len(res.Jobs)), nil
	})
	r.show.ClearGauges()
	return err
}

// watchJobs shows where the jobs are in event time. A job that has ended is an
// error: nobody has asked it to, and what it had not acknowledged never arrives.
func (r *run) watchJobs(ctx context.Context) error {
	names := r.specs.stream.JobNames()
	readings, err := drain.Observe(ctx, r.dataflow(), names, nil)
	if err != nil {
		return nil // shown at the next look
	}
	for _, reading := range readings {
		r.showReading(reading)
		names = slices.DeleteFunc(names, func(n string) bool { return n == reading.Job })
	}
	if len(names) > 0 && !r.away.Load() {
		return exit.With(exit.Failed, fmt.Errorf("streaming job %s has ended unexpectedly", strings.Join(names, ", "))).
			WithHint("look at the job's log below %s", filepath.Join(r.cfg.Out, logsFolder, "jobs"))
	}
	return nil
}

func (r *run) showReading(d drain.Reading) {
	w := "watermark " + d.Watermark().String()
	if at, ok := d.Watermark().Time(); ok {
		w = "watermark " + at.UTC().Format("2006-01-02 15:04")
	}
	r.show.Gauge(d.Job, strings.ToLower(d.State)+", "+w)
}

// writeReports writes the views of the comparison.
func (r *run) writeReports(res *compare.Result) error {
	for name, write := range map[string]func(*os.File) error{
		compareTextFile: func(f *os.File) error { return views.WriteText(f, res, 100, false) },
		compareJSONFile: func(f *os.File) error { return views.WriteJSON(f, res) },
		compareHTMLFile: func(f *os.File) error { return views.WriteHTML(f, res) },
	} {
		f, err := os.Create(r.out.path(name))
		if err != nil {
			return exit.Environmentf("write the comparison: %w", err)
		}
		err = write(f)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return exit.Environmentf("write the comparison to %s: %w", name, err)
		}
	}
	return nil
}
