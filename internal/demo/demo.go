package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	weekfile "github.com/kappa-migrate/kappa/examples/flights"
	"github.com/kappa-migrate/kappa/internal/demo/flights"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
	"github.com/kappa-migrate/kappa/internal/term"
)

// run is one run of the demo.
type run struct {
	cfg  Config
	out  *output
	log  *slog.Logger
	show *term.Display
	fail func(error) // ends the run

	flights []flights.Flight
	order   []int32

	sandbox   *service
	endpoints sandboxchild.Endpoints
	bridge    atomic.Pointer[service] // nil while none runs
	restarts  atomic.Int64
	away      atomic.Bool // streaming jobs may be: they are replaced, or one was killed
	crashed   time.Time   // when a streaming job was killed
	clients   *clients
	specs     *specs
	topic     string
	meter     meter
	sent      *ledger

	mu       sync.Mutex // over phases
	phases   []PhaseLength
	summary  Summary
	finished bool // the results are published
}

// Run plays the migration. It returns an error if the run could not be
// finished, or if its outcome is wrong (Summary.Err).
func Run(parent context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	r := &run{cfg: cfg}
	if err := r.readInput(); err != nil {
		return err
	}
	var err error
	if r.out, err = openOutput(cfg.Out); err != nil {
		return err
	}
	defer r.out.remove()

	ctx, fail := context.WithCancelCause(parent)
	defer fail(nil)
	r.fail = fail
	logFile, err := os.Create(filepath.Join(r.out.path(logsFolder), "demo.log"))
	if err != nil {
		return exit.Environmentf("open the log: %w", err)
	}
	defer logFile.Close()
	r.log = slog.New(slog.NewTextHandler(logFile, &slog.HandlerOptions{Level: cfg.LogLevel}))
	r.show = term.New(cfg.Progress)

	err = r.play(ctx)
	r.show.Close()
	if err != nil && parent.Err() == nil && !r.finished {
		err = cause(ctx, err)
	}
	r.cleanUp()
	if parent.Err() != nil && !r.finished {
		return errStopped
	}
	return r.explain(err)
}

// causeGrace is how long the end of a child may take to be noticed.
const causeGrace = 500 * time.Millisecond

// cause returns the end of a child in place of what followed from it, such as
// a connection that was refused.
func cause(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(causeGrace):
		return err
	}
}

// play takes all steps, and reports.
func (r *run) play(ctx context.Context) error {
	start := time.Now()
	watch, stopWatch := context.WithCancel(ctx)
	defer stopWatch()
	memory := watchMemory(watch)
	for _, step := range []func(context.Context) error{
		r.startPlatform, r.deploy, r.stream, r.drain, r.oldBatch, r.load, r.compare, r.serve, r.check, r.measure,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	stopWatch()
	<-memory.done
	s := &r.summary
	s.PeakMemoryBytes = memory.peak.Load()
	s.BridgeRestarts = r.restarts.Load()
	s.Phases = r.phases
	s.Seconds = seconds(time.Since(start))
	if err := s.write(r.out.path(summaryFile)); err != nil {
		return err
	}
	paths, err := r.out.publish()
	if err != nil {
		return err
	}
	r.finished = true
	r.show.Close()
	if err := r.cfg.Finished(s, paths); err != nil {
		return err
	}
	if r.cfg.Keep {
		env, err := r.out.writeEnvironment(r.endpoints)
		if err != nil {
			return err
		}
		defer os.Remove(env) // what it names is gone with the sandbox
		r.cfg.Serving(r.endpoints.Variables(), env)
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
			return cause
		}
	}
	return s.Err()
}

// logLevel is the flag of child processes for the level of their logs.
func (r *run) logLevel() string { return "--log-level=" + strings.ToLower(r.cfg.LogLevel.String()) }

// phase shows, times and runs one step. The note that fn returns is shown when
// it has ended well.
func (r *run) phase(name, unit string, total int64, fn func(*term.Task) (note string, err error)) error {
	start := time.Now()
	task := r.show.Start(name, unit, total)
	note, err := fn(task)
	took := time.Since(start)
	r.mu.Lock()
	r.phases = append(r.phases, PhaseLength{name, seconds(took)})
	r.mu.Unlock()
	if err != nil {
		task.Fail("")
		return fmt.Errorf("%s: %w", name, err)
	}
	task.Done(note)
	r.log.Info("phase ended", "phase", name, "seconds", seconds(took), "note", note)
	return nil
}

// readInput reads and checks the input, and decides the order of sending.
func (r *run) readInput() error {
	var err error
	if r.cfg.Input == "" {
		r.summary.Input = weekfile.WeekName + " (built in)"
		r.flights, err = flights.ReadBytes(weekfile.WeekName, weekfile.Week)
	} else {
		r.summary.Input = r.cfg.Input
		r.flights, err = flights.ReadFile(r.cfg.Input)
	}
	if err != nil {
		return err
	}
	r.order = sendOrder(r.flights, r.cfg.Duplicates)
	s := &r.summary
	s.Events = int64(len(r.flights))
	s.BatchCutoff, s.Duplicates = r.cfg.BatchCutoff.String(), r.cfg.Duplicates
	s.RecordsPerSec = r.cfg.pace(len(r.order))
	return nil
}

// truthInput is the file that kappa-truth reads: the user's, or the one that
// is built in, written out.
func (r *run) truthInput() (string, error) {
	if r.cfg.Input != "" {
		return r.cfg.Input, nil
	}
	file := r.out.path(weekfile.WeekName)
	if err := os.WriteFile(file, weekfile.Week, 0o644); err != nil {
		return "", exit.Environmentf("write the input for kappa-truth: %w", err)
	}
	return file, nil
}

// cleanUp ends the children and closes what is open.
func (r *run) cleanUp() {
	if b := r.bridge.Swap(nil); b != nil {
		b.kill()
	}
	if r.clients != nil {
		r.clients.close()
	}
	if r.sandbox != nil {
		if err := r.sandbox.stop(sandboxGrace); err != nil {
			r.log.Warn("the sandbox did not stop cleanly", "error", err)
		}
	}
}

// explain publishes the logs of a run that failed and says where they are.
func (r *run) explain(err error) error {
	if err == nil || r.finished {
		return err
	}
	paths, perr := r.out.publish()
	if perr != nil {
		return errors.Join(err, perr)
	}
	var e *exit.Error
	if errors.As(err, &e) && e.Hint != "" {
		return err
	}
	return exit.With(exit.Of(err), err).WithHint("the logs are in %s", paths.Logs)
}
