package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/worker"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// runtime is what the functions of one run share within a process: the clients
// of the sinks, the sources, the counters and the reason of a failure. On
// Prism the run puts it in place before it starts; a worker process of another
// runner makes it when the first function is set up.
type runtime struct {
	log     *slog.Logger
	rows    RowWriter
	cells   CellWriter
	ids     IDStore
	sources map[string]*source // by full subscription name

	drained  atomic.Bool // everything that was read is durable
	counters [numCounters]atomic.Int64
	failure  atomic.Pointer[error]
	panes    paneGuard
	badLog   limiter
	retryLog limiter
	clients  func() // closes what openRuntime opened
}

// counter numbers the counters.
type counter int

const (
	counterMessages counter = iota
	counterEvents
	counterDuplicates
	counterLate
	counterPanes
	counterBad
	counterUndeduplicated
	numCounters
)

// counterNames are the names in reports; they are Beam metrics as well, so
// that Dataflow shows them.
var counterNames = [numCounters]string{
	worker.CounterMessages, worker.CounterEvents, worker.CounterDuplicates,
	worker.CounterLate, worker.CounterPanes, worker.CounterBad, worker.CounterUndeduplicated,
}

var beamCounters = func() (c [numCounters]beam.Counter) {
	for i, name := range counterNames {
		c[i] = beam.NewCounter("kappa", name)
	}
	return c
}()

var (
	runtimesMu sync.Mutex
	runtimes   = map[string]*runtime{}
)

// openRuntime returns the run's runtime.
func openRuntime(ctx context.Context, p *Plan) (*runtime, error) {
	runtimesMu.Lock()
	defer runtimesMu.Unlock()
	if rt, ok := runtimes[p.Run]; ok {
		if rt == nil {
			return nil, errRunEnded
		}
		return rt, nil
	}
	rt := &runtime{log: slog.Default()}
	if err := rt.openClients(ctx, p); err != nil {
		return nil, err
	}
	runtimes[p.Run] = rt
	return rt, nil
}

var errRunEnded = errors.New("the run has ended")

// install puts rt in place for the plan's run; the returned function takes it
// away and closes its clients. What a runner still executes of the run then
// fails, rather than write with clients of its own.
func install(p *Plan, rt *runtime) (remove func()) {
	runtimesMu.Lock()
	defer runtimesMu.Unlock()
	runtimes[p.Run] = rt
	return func() {
		runtimesMu.Lock()
		defer runtimesMu.Unlock()
		runtimes[p.Run] = nil
		if rt.clients != nil {
			rt.clients()
		}
	}
}

// platform is the plan's platform, guarded by rule A4.
func (p *Plan) platform() (gcp.Platform, error) {
	return gcp.Open(jobspecs.Platform{Environment: p.Environment, Project: p.Project})
}

// openClients opens the clients that rt does not have yet. They outlive the
// call, so they do not take its deadline.
func (rt *runtime) openClients(ctx context.Context, p *Plan) error {
	ctx = context.WithoutCancel(ctx)
	platform, err := p.platform()
	if err != nil {
		return err
	}
	var closers []func() error
	if rt.rows == nil {
		c, err := platform.BigQuery(ctx)
		if err != nil {
			return err
		}
		closers = append(closers, c.Close)
		rt.rows = &bigQueryRows{dataset: c.Dataset(p.Dataset)}
	}
	if rt.cells == nil || rt.ids == nil {
		c, err := platform.Bigtable(ctx, p.Instance)
		if err != nil {
			return err
		}
		closers = append(closers, c.Close)
		if rt.cells == nil {
			rt.cells = bigtableCells{table: c.Open(p.Table)}
		}
		if rt.ids == nil {
			rt.ids = bigtableIDs{table: c.Open(p.IDs)}
		}
	}
	rt.clients = func() {
		for _, c := range closers {
			if err := c(); err != nil {
				rt.log.Debug("client_close_failed", "error", err)
			}
		}
	}
	return nil
}

// add counts.
func (rt *runtime) add(ctx context.Context, c counter, n int64) {
	if n == 0 {
		return
	}
	rt.counters[c].Add(n)
	beamCounters[c].Inc(ctx, n)
}

// fail records why the run fails and returns the error: a runner hands on only
// its text, and not always that.
func (rt *runtime) fail(err error) error {
	rt.failure.CompareAndSwap(nil, &err)
	return err
}

// failed returns the recorded failure, else err.
func (rt *runtime) failed(err error) error {
	if f := rt.failure.Load(); f != nil {
		return *f
	}
	return err
}

func (rt *runtime) snapshot() map[string]int64 {
	m := make(map[string]int64, numCounters)
	for i, name := range counterNames {
		m[name] = rt.counters[i].Load()
	}
	return m
}

var errNoSource = errors.New("the run reads no such subscription")

func (rt *runtime) source(subscription string) (*source, error) {
	s, ok := rt.sources[subscription]
	if !ok {
		return nil, fmt.Errorf("%s: %w", subscription, errNoSource)
	}
	return s, nil
}
