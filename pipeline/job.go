package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	vkit "cloud.google.com/go/pubsub/v2/apiv1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"

	"github.com/kappa-migrate/kappa/internal/worker"
)

// Prism is the runner for one machine. Stages that it splits give wrong
// results, so it is always told not to.
const (
	Prism          = "prism"
	prismNoSplit   = "prism_disable_sdf_split"
	reportInterval = 500 * time.Millisecond
)

// Dataflow says whether a runner is Dataflow, under any of Beam's names.
func Dataflow(runner string) bool { return strings.HasPrefix(strings.ToLower(runner), "dataflow") }

// Config is what a run needs.
type Config struct {
	Plan   *Plan
	Runner string // a registered Beam runner
	Log    *slog.Logger

	// Rows and Cells are the sinks, IDs is where event ids outlive a
	// generation; nil opens BigQuery and Bigtable.
	Rows  RowWriter
	Cells CellWriter
	IDs   IDStore
	// Subscriber is the Pub/Sub client of the sources off Dataflow; nil opens one.
	Subscriber *vkit.SubscriptionAdminClient

	// Drain, once closed, asks for a drain. Nil: the run cannot be drained.
	Drain <-chan struct{}
	// Report is told the state of the run about twice a second and once at its
	// end. It may be nil.
	Report func(worker.Report)
}

// Validate says what is missing.
func (c Config) Validate() error {
	switch {
	case c.Plan == nil:
		return errors.New("pipeline: no plan")
	case len(c.Plan.Subscriptions) == 0 && !c.Plan.Batch.Given():
		return errors.New("pipeline: nothing to read")
	case c.Runner == "":
		return errors.New("pipeline: no runner")
	case c.Log == nil:
		return errors.New("pipeline: no logger")
	}
	return nil
}

// Run runs the topology until it has ended: a batch by itself, a stream by a
// drain. When it returns nil, all that was read is durable in the sinks and,
// off Dataflow, acknowledged. When it returns an error, or the process dies,
// nothing was acknowledged (rule P5) unless a report said Drained before: then
// everything is durable, and what was not acknowledged is delivered again to
// the next generation, which recognises it.
func Run(ctx context.Context, c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	plan := *c.Plan
	plan.Run = digest(plan.Job, time.Now().String())
	rt := &runtime{log: c.Log, rows: c.Rows, cells: c.Cells, ids: c.IDs, sources: map[string]*source{}}
	if !Dataflow(c.Runner) { // on Dataflow the workers open what they need
		if err := rt.openClients(ctx, &plan); err != nil {
			return err
		}
	}
	defer install(&plan, rt)()

	stop, err := startSources(ctx, c, &plan, rt)
	if err != nil {
		return err
	}
	defer stop()

	reporting, endReports := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { rt.reports(reporting, c.Report) })
	wg.Go(func() { rt.awaitDrain(reporting, c.Drain) })
	err = rt.execute(ctx, c.Runner, &plan)
	endReports()
	wg.Wait()
	if err != nil {
		return err
	}
	// The sinks are flushed, so what this job wrote counts. Whoever decides that
	// must know before the first message is acknowledged: a job that dies in
	// between must not be taken for one whose messages all come again.
	rt.drained.Store(len(plan.Subscriptions) > 0)
	if c.Report != nil {
		c.Report(rt.report())
	}
	if err := rt.acknowledgeAll(ctx); err != nil { // only now. invariant P5
		return err
	}
	if c.Report != nil {
		c.Report(rt.report())
	}
	return nil
}

// execute runs the topology on the runner.
func (rt *runtime) execute(ctx context.Context, runner string, plan *Plan) error {
	if experiments := jobopts.GetExperiments(); runner == Prism && !slices.Contains(experiments, prismNoSplit) {
		*jobopts.Experiments = strings.Join(append(experiments, prismNoSplit), ",")
	}
	p, s := beam.NewPipelineWithRoot()
	Build(s, plan)
	rt.log.Info("pipeline_starting", "job", plan.Job, "generation", plan.Generation, "runner", runner,
		"subscriptions", len(plan.Subscriptions), "files", len(plan.Batch.Archive)+len(plan.Batch.Files))
	if _, err := beam.Run(ctx, runner, p); err != nil {
		return rt.failed(fmt.Errorf("run job %s: %w", plan.Writer(), err))
	}
	return nil
}

// startSources starts to receive, where the runner does not read by itself.
// The returned function ends it.
func startSources(ctx context.Context, c Config, p *Plan, rt *runtime) (stop func(), err error) {
	if p.Native || len(p.Subscriptions) == 0 {
		return func() {}, nil
	}
	client, closeClient := c.Subscriber, func() error { return nil }
	if client == nil {
		platform, err := p.platform()
		if err != nil {
			return nil, err
		}
		ps, err := platform.PubSub(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		client, closeClient = ps.SubscriptionAdminClient, ps.Close
	}
	// However the run ends, its sources are ended in good order.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	for _, name := range p.Subscriptions {
		s := newSource(name, client, p, c.Log)
		rt.sources[name] = s
		wg.Go(func() { s.run(ctx) })
	}
	return func() {
		rt.drainSources()
		cancel()
		wg.Wait()
		if err := closeClient(); err != nil {
			c.Log.Debug("client_close_failed", "error", err)
		}
	}, nil
}

// awaitDrain drains the sources when asked to.
func (rt *runtime) awaitDrain(ctx context.Context, drain <-chan struct{}) {
	select {
	case <-ctx.Done():
		return
	case <-drain: // a nil channel never is ready
	}
	rt.log.Info("drain_requested")
	rt.drainSources()
	rt.log.Info("sources_drained")
}

func (rt *runtime) drainSources() {
	var wg sync.WaitGroup
	for _, s := range rt.sources {
		wg.Go(s.drain)
	}
	wg.Wait()
}

// reports tells report the state of the run until ctx is done.
func (rt *runtime) reports(ctx context.Context, report func(worker.Report)) {
	if report == nil {
		return
	}
	tick := time.NewTicker(reportInterval)
	defer tick.Stop()
	for {
		report(rt.report())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// report is the state of the run. It is running once all sources are read.
func (rt *runtime) report() worker.Report {
	r := worker.Report{Counters: rt.snapshot(), Running: true, Drained: rt.drained.Load(), Sources: []worker.Source{}}
	for _, s := range rt.sources {
		state, running := s.report()
		r.Sources = append(r.Sources, state)
		r.Running = r.Running && running
	}
	slices.SortFunc(r.Sources, func(a, b worker.Source) int { return strings.Compare(a.Subscription, b.Subscription) })
	return r
}
