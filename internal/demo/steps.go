package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/term"
	"github.com/kappa-migrate/kappa/load"
)

// sandboxGrace is how long the sandbox may take to stop its jobs and services.
const sandboxGrace = 15 * time.Second

// startPlatform starts the sandbox and sets up what the specs need.
func (r *run) startPlatform(ctx context.Context) error {
	return r.phase("Start the sandbox", "", 0, func(task *term.Task) (string, error) {
		var err error
		if r.sandbox, r.endpoints, err = startSandbox(ctx, r.out.path(logsFolder), r.out.path(tempFolder), r.logLevel()); err != nil {
			return "", err
		}
		r.sandbox.watch(r.fail)
		if err := export(r.endpoints); err != nil {
			return "", err
		}
		if err := writeSpecs(r.out.path(specsFolder)); err != nil {
			return "", err
		}
		if r.specs, err = loadSpecs(r.out.path(specsFolder), map[string]string{"BATCH_CUTOFF": r.cfg.BatchCutoff.String()}); err != nil {
			return "", err
		}
		if r.clients, err = connect(ctx, r.specs); err != nil {
			return "", err
		}
		r.topic = r.specs.source().Topics[0]
		r.meter = meter{client: r.clients.BigQuery, history: r.history(), spec: r.specs.stream.Spec}
		return "Kafka, Pub/Sub, Bigtable, BigQuery, Dataflow, Cloud Storage", setUp(ctx, r.clients, r.specs)
	})
}

// oldBatch plays the old batch layer over the records in Kafka.
func (r *run) oldBatch(ctx context.Context) error {
	return r.phase("Old batch layer", "batches", 0, func(task *term.Task) (string, error) {
		ends, err := r.clients.admin.ListEndOffsets(ctx, r.topic)
		if err != nil {
			return "", exit.Environmentf("read the end of %s: %w", r.topic, err)
		}
		last := map[int32]int64{}
		for p, o := range ends[r.topic] {
			last[p] = o.Offset
		}
		l := r.specs.load.Spec
		b := newBatchLayer(r.specs.compare.Spec.Window.D(), r.specs.compare.Spec.Batch.Cutoff.D(), l.Source.Batch.D())
		if err := runBatchLayer(ctx, b, r.specs.source().Brokers, r.topic, last); err != nil {
			return "", err
		}
		r.summary.BatchDropped = b.dropped
		bucket, prefix := splitURI(l.Source.URI)
		err = b.write(ctx, r.clients.Storage, bucket, prefix, func(done, _ int) { task.Set(int64(done)) })
		return fmt.Sprintf("in Avro, %s late flights dropped", term.Count(b.dropped)), err
	})
}

// load brings the old batch layer's files into BigQuery.
func (r *run) load(ctx context.Context) error {
	return r.phase("Load", "batches", 0, func(task *term.Task) (string, error) {
		res, err := load.Run(ctx, load.Config{
			Spec: r.specs.load, BigQuery: r.clients.BigQuery, Storage: r.clients.Storage, Log: r.log,
			Progress: func(done, _ int, _ load.Batch) { task.Set(int64(done)) },
		})
		if err != nil {
			return "", err
		}
		r.summary.BatchRows, r.summary.BatchesLoaded = res.Rows, len(res.Batches)
		return fmt.Sprintf("%s rows in %s", term.Count(res.Rows), res.Target), nil
	})
}

// compare reconciles both sides and writes the reports.
func (r *run) compare(ctx context.Context) error {
	return r.phase("Compare", "", 0, func(task *term.Task) (string, error) {
		res, err := compare.Run(ctx, compare.Config{
			Spec: r.specs.compare, Client: r.clients.BigQuery, Log: r.log,
			Progress: func(p compare.Progress) { task.Note(p.Message) },
		})
		if err != nil {
			return "", err
		}
		r.summary.takeComparison(res)
		if err := r.writeReports(res); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s of %s windows exact", term.Count(res.Counts.Exact), term.Count(res.Counts.Total)), nil
	})
}

// check has kappa-truth compute the truth.
func (r *run) check(ctx context.Context) error {
	return r.phase("Check with kappa-truth", "", 0, func(task *term.Task) (string, error) {
		input, err := r.truthInput()
		if err != nil {
			return "", err
		}
		t, err := checkTruth(ctx, input, r.out.path(logsFolder), r.out.path(truthFile), r.specs)
		if err != nil {
			return "", err
		}
		r.summary.takeTruth(t)
		if !t.Agrees {
			return "the truth DISAGREES", nil
		}
		return fmt.Sprintf("%s events in %s windows agree", term.Count(t.Events), term.Count(t.Windows)), nil
	})
}

// measure reads from BigQuery what the summary says of the stream side.
func (r *run) measure(ctx context.Context) error {
	return r.phase("Measure", "", 0, func(task *term.Task) (string, error) {
		s := &r.summary
		d, err := r.meter.deliveries(ctx)
		if err != nil {
			return "", err
		}
		s.MessagesPublished, s.DuplicatePctRaw = d.Messages, d.duplicatePercent()
		c, err := r.meter.counted(ctx)
		if err != nil {
			return "", err
		}
		s.EventsCounted, s.LateAccepted = c.Counted, c.Late
		if s.WindowsCut, err = r.meter.windowsCut(ctx); err != nil {
			return "", err
		}
		if s.DuplicatesAcrossGenerations, err = r.meter.acrossGenerations(ctx); err != nil {
			return "", err
		}
		recovery, err := r.meter.recovery(ctx, r.crashed, r.sent)
		if err != nil {
			return "", err
		}
		s.RecoverySeconds = seconds(recovery)
		l, err := r.meter.latencies(ctx, r.sent)
		if err != nil {
			return "", err
		}
		s.LatencyP50, s.LatencyP99, s.LatencyMax = seconds(l.percentile(50)), seconds(l.percentile(99)), seconds(l.percentile(100))
		return fmt.Sprintf("p99 %s from record to BigQuery", term.Span(l.percentile(99))), nil
	})
}
