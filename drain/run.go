package drain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
)

// API is what drain needs of the Dataflow API, for one project and region;
// dataflowapi.Client is one.
type API interface {
	// Named returns all jobs of a name, newest first, as summaries.
	Named(ctx context.Context, name string) ([]*pb.Job, error)
	// Get returns a job with labels and description.
	Get(ctx context.Context, id string) (*pb.Job, error)
	// Summary returns a job's state and sources.
	Summary(ctx context.Context, id string) (*pb.Job, error)
	// Metrics returns the newest metrics of a job.
	Metrics(ctx context.Context, id string) ([]*pb.MetricUpdate, error)
	// Errors returns the newest error messages of a job, at most n.
	Errors(ctx context.Context, id string, n int) ([]string, error)
	// Request asks for a state of a job.
	Request(ctx context.Context, id string, state pb.JobState) error
	// ForceCancel asks for a forced cancel. The service takes one only 30
	// minutes after a plain one.
	ForceCancel(ctx context.Context, id string) error
}

// Recorder records how a job's generation has ended; history.Store is one. It
// must be idempotent and safe for concurrent use. Generation is the one that
// the job is labelled with (0: none), watermark the last one of its sources
// before the maximum (zero: never known).
type Recorder interface {
	// RecordVoid records that a generation has ended without a drain: its rows
	// do not count. False if that was on record before.
	RecordVoid(ctx context.Context, group, job, dataflowJobID string, generation int64) (fresh bool, err error)
	// RecordDrained records that a generation has ended by a drain.
	RecordDrained(ctx context.Context, group, job, dataflowJobID string, generation int64, watermark time.Time) error
}

// Defaults of a Config.
const (
	DefaultTimeout  = 30 * time.Minute
	DefaultPoll     = 5 * time.Second
	DefaultParallel = 1 // rule D4
	// DefaultForceAfter is when the service takes a forced cancel.
	DefaultForceAfter = 30 * time.Minute
)

// recordWithin bounds the recording of a drain that is over.
const recordWithin = 5 * time.Minute

// Adopted returns the Dataflow id that a job has by the history, where no job of
// its name runs; empty: none.
type Adopted func(ctx context.Context, job string) (id string, err error)

// Config configures Run.
type Config struct {
	Log        *slog.Logger
	API        API
	Recorder   Recorder
	Group      string         // name of the StreamJob, for the record
	Jobs       []string       // names of the jobs, in the order in which they are drained
	Adopted    Adopted        // finds jobs that run under another name; nil: there are none
	Parallel   int            // how many drain at a time; 0: DefaultParallel
	Timeout    time.Duration  // longest wait for one job; 0: DefaultTimeout
	OnTimeout  OnTimeout      // what is done about a job that has not drained by then; empty: Fail
	CancelNow  bool           // jobs are cancelled at once, in the place of a drain; one that drains already too
	ForceAfter time.Duration  // how long a cancelled job has to end before it is forced, and then again; 0: DefaultForceAfter
	Poll       time.Duration  // pause between two readings; 0: DefaultPoll
	Progress   func(Progress) // called at every reading, never twice at a time; nil: nobody listens
}

func (c *Config) validate() error {
	switch {
	case c.Log == nil:
		return errors.New("drain: no logger")
	case c.API == nil:
		return errors.New("drain: no API client")
	case c.Recorder == nil:
		return errors.New("drain: no recorder")
	case c.Group == "":
		return errors.New("drain: no group")
	case len(c.Jobs) == 0:
		return errors.New("drain: no jobs")
	case c.Parallel < 0 || c.Timeout < 0 || c.Poll < 0 || c.ForceAfter < 0:
		return errors.New("drain: negative parallelism, timeout or poll interval")
	case c.OnTimeout != "" && !slices.Contains(OnTimeouts(), c.OnTimeout):
		return fmt.Errorf("drain: on timeout %q: want one of %q", c.OnTimeout, OnTimeouts())
	}
	if c.OnTimeout == "" {
		c.OnTimeout = Fail
	}
	if c.ForceAfter == 0 {
		c.ForceAfter = DefaultForceAfter
	}
	if c.Parallel == 0 {
		c.Parallel = DefaultParallel
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Poll == 0 {
		c.Poll = DefaultPoll
	}
	return nil
}

// cancels reports whether jobs may be cancelled.
func (c *Config) cancels() bool { return c.CancelNow || c.OnTimeout == Cancel }

func (c *Config) report(p Progress) {
	if c.Progress != nil {
		c.Progress(p)
	}
}

// Result is what Run has drained, in the order of Config.Jobs.
type Result struct {
	Group string      `json:"group"`
	Jobs  []JobResult `json:"jobs"`
}

// Run drains jobs and returns when all of them have drained and are on record.
// After the first failure no further drain is begun (rule D4); those that were
// begun are watched to their end. The result has what has ended, even with an
// error. A timeout carries exit code 12, and so does a job that was cancelled
// for it (CancelledError).
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	var mu sync.Mutex // one progress report at a time
	if listener := cfg.Progress; listener != nil {
		cfg.Progress = func(p Progress) {
			mu.Lock()
			defer mu.Unlock()
			listener(p)
		}
	}
	results := make([]*JobResult, len(cfg.Jobs))
	errs := make([]error, len(cfg.Jobs))
	slots := make(chan struct{}, cfg.Parallel)
	stop := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
start:
	for i, name := range cfg.Jobs {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			break start
		}
		select {
		case <-stop: // a job has failed while this one waited for its turn
			break start
		case <-ctx.Done():
			break start
		default:
		}
		wg.Go(func() {
			defer func() { <-slots }()
			d := one{cfg: cfg, name: name}
			res, err := d.run(ctx)
			if err == nil || res.Void {
				results[i] = &res
			}
			if err != nil {
				errs[i] = err
				once.Do(func() { close(stop) })
			}
		})
	}
	wg.Wait()
	out := &Result{Group: cfg.Group}
	var waiting []string
	for i, r := range results {
		switch {
		case r != nil:
			out.Jobs = append(out.Jobs, *r)
		case errs[i] == nil:
			waiting = append(waiting, cfg.Jobs[i])
		}
	}
	err := errors.Join(errs...)
	if len(waiting) > 0 {
		if err == nil {
			err = ctx.Err()
		}
		err = fmt.Errorf("%w\nnot begun: %v", err, waiting)
	}
	return out, err
}

// Observe reads the state, the sources and the watermarks of running jobs
// once: the readings of the jobs of those names that are active, in their
// order, under these names. Adopted may be nil.
func Observe(ctx context.Context, api API, names []string, adopted Adopted) ([]Reading, error) {
	var out []Reading
	for _, name := range names {
		jobs, err := api.Named(ctx, name)
		if err != nil {
			return nil, err
		}
		job, ok := active(jobs)
		id := job.GetId()
		if !ok {
			if id, err = adopted.of(ctx, name, jobs); err != nil {
				return nil, err
			}
		}
		if id == "" {
			continue
		}
		described, err := api.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if !ok && dataflowapi.Terminal(described.GetCurrentState()) {
			continue
		}
		metrics, err := api.Metrics(ctx, id)
		if err != nil {
			return nil, err
		}
		r := newReading(described, metrics, time.Now())
		r.Job = name
		out = append(out, r)
	}
	return out, nil
}

// of is the Dataflow id under which a job runs that has another name; empty: none
// that is not among the jobs of its own name.
func (a Adopted) of(ctx context.Context, name string, jobs []*pb.Job) (string, error) {
	if a == nil {
		return "", nil
	}
	id, err := a(ctx, name)
	if err != nil || slices.ContainsFunc(jobs, func(j *pb.Job) bool { return j.GetId() == id }) {
		return "", err
	}
	return id, nil
}
