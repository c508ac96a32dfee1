package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/term"
)

// stream produces, disturbs the platform meanwhile, and waits until everything
// that was produced has arrived in BigQuery's raw table.
func (r *run) stream(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	watched, stopWatching := context.WithCancel(gctx)
	defer stopWatching()
	g.Go(func() error { return r.watchFlow(watched) })
	disturbed := make(chan struct{})
	g.Go(func() error {
		defer close(disturbed)
		return r.disturb(gctx)
	})
	g.Go(func() error {
		defer stopWatching()
		if err := r.produce(gctx); err != nil {
			return err
		}
		<-disturbed // what a job had read that is killed has yet to arrive
		if gctx.Err() != nil {
			return context.Cause(gctx)
		}
		return r.arrive(gctx)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	r.show.ClearGauges()
	return r.stopBridge()
}

func (r *run) produce(ctx context.Context) error {
	return r.phase("Produce", "records", int64(len(r.order)), func(task *term.Task) (string, error) {
		client, err := kgo.NewClient(
			kgo.SeedBrokers(r.specs.source().Brokers...),
			kgo.ProducerLinger(5*time.Millisecond),
			kgo.MaxBufferedRecords(20_000),
		)
		if err != nil {
			return "", exit.Environmentf("connect to Kafka: %w", err)
		}
		defer client.Close()
		p := &producer{client: client, topic: r.topic, flights: r.flights, order: r.order, rate: r.summary.RecordsPerSec}
		stop := r.every(200*time.Millisecond, func() { task.Set(p.acked.Load()) })
		err = p.run(ctx)
		stop()
		task.Set(p.acked.Load())
		r.sent = &p.sent
		r.summary.RecordsProduced = p.acked.Load()
		return fmt.Sprintf("%s flights, %s sent twice", term.Count(int64(len(r.flights))), term.Count(int64(len(r.order)-len(r.flights)))), err
	})
}

// watchFlow shows how far the records and the jobs' watermarks are. What it
// cannot read it does not show; only a job that has ended ends the run.
func (r *run) watchFlow(ctx context.Context) error {
	err := poll(ctx, time.Second, func() (bool, error) {
		if n, err := committed(ctx, r.clients.admin, r.specs.source().Group, r.topic); err == nil {
			r.show.Gauge("bridge", term.Count(n)+" records acknowledged and committed")
		}
		if n, err := r.meter.arrived(ctx); err == nil {
			r.show.Gauge("BigQuery", term.Count(n)+" records in the raw table")
		}
		return false, r.watchJobs(ctx)
	})
	if ctx.Err() != nil {
		return nil // all has arrived, or the others say what is wrong
	}
	return err
}

// every calls fn at an interval until the returned function is called.
func (r *run) every(interval time.Duration, fn func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				fn()
			}
		}
	}()
	return func() { close(done); <-ended }
}

// stalled is how long nothing at all may arrive before the run gives up. It
// covers a bridge that must wait for its dead predecessor's session to end.
const stalled = 90 * time.Second

// arrive waits until every record produced is in the raw table.
func (r *run) arrive(ctx context.Context) error {
	want := r.summary.RecordsProduced
	return r.phase("Arrive", "records", want, func(task *term.Task) (string, error) {
		var last int64
		since := time.Now()
		err := poll(ctx, 250*time.Millisecond, func() (bool, error) {
			n, err := r.meter.arrived(ctx)
			if err != nil {
				return false, err
			}
			task.Set(n)
			if n > last {
				last, since = n, time.Now()
			}
			if n < want && time.Since(since) > stalled {
				return false, r.stuck(ctx, want-n)
			}
			return n >= want, nil
		})
		return "all in BigQuery's raw table", err
	})
}

// stuck says what has not arrived.
func (r *run) stuck(ctx context.Context, left int64) error {
	examples, err := r.meter.missing(ctx, r.topic, r.sent, 5)
	if err != nil {
		return err
	}
	done, err := committed(ctx, r.clients.admin, r.specs.source().Group, r.topic)
	if err != nil {
		return err
	}
	tail := ""
	if b := r.bridge.Load(); b != nil {
		tail = b.tail.text()
	}
	return exit.With(exit.Failed, fmt.Errorf("%d records have not arrived in %s, and none has for %s (the bridge has committed %d of %d); for example %v%s",
		left, r.specs.stream.Spec.Sinks.BigQuery.Raw, stalled, done, len(r.order), examples, tail)).
		WithHint("look at the logs of the bridge and of the jobs")
}
