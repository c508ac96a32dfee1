package deploy_test

import (
	"context"
	"slices"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/dataflow"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

// latencies is how long after the end of a job its successor was launched, by the
// clock of the service: from when the job entered DRAINED to when the launch came.
type latencies struct {
	ids map[string]string // of the newest job, by name
	all []time.Duration
}

// watch stands before the service.
func (l *latencies) watch(ctx context.Context, req any, handle dataflow.Handler) (any, error) {
	launch, ok := req.(*pb.LaunchFlexTemplateRequest)
	if !ok {
		return handle(ctx, req)
	}
	came := time.Now()
	resp, err := handle(ctx, req)
	if r, ok := resp.(*pb.LaunchFlexTemplateResponse); ok && err == nil {
		l.came(ctx, launch, r.GetJob().GetId(), came, handle)
	}
	return resp, err
}

// came notes a launch. Jobs are known by the id that they were launched as.
func (l *latencies) came(ctx context.Context, launch *pb.LaunchFlexTemplateRequest, id string, at time.Time, handle dataflow.Handler) {
	name := launch.GetLaunchParameter().GetJobName()
	if before := l.ids[name]; before != "" {
		resp, err := handle(ctx, &pb.GetJobRequest{ProjectId: launch.GetProjectId(), Location: launch.GetLocation(), JobId: before})
		if j, ok := resp.(*pb.Job); ok && err == nil && j.GetCurrentState() == pb.JobState_JOB_STATE_DRAINED {
			l.all = append(l.all, at.Sub(j.GetCurrentStateTime().AsTime()))
		}
	}
	l.ids[name] = id
}

// BenchmarkDrainToLaunch measures how long it takes from DRAINED, as soon as it can
// be seen at the service, to the launch of the successor: one poll at most, until it
// is seen, and what deploy does in between. That is what ms/beyond-poll has: the
// most of all runs, less the poll.
func BenchmarkDrainToLaunch(b *testing.B) {
	for _, poll := range []time.Duration{50 * time.Millisecond, deploy.DefaultPoll} {
		b.Run("poll="+poll.String(), func(b *testing.B) {
			l := &latencies{ids: map[string]string{}}
			f := benchFixture(b, l)
			cfg := f.config()
			cfg.Poll = poll
			cfg.Drainer = drainFunc(func(ctx context.Context, job string) error {
				_, err := drain.Run(ctx, drain.Config{
					Log: cfg.Log, API: f.jobs.Client, Recorder: f.store, Group: f.job.Metadata.Name, Jobs: []string{job}, Poll: poll, Timeout: time.Minute,
				})
				return err
			})
			for b.Loop() {
				for range 2 { // the first of all launches has no predecessor
					f.job.Spec.Horizon++
					if _, err := deploy.Apply(b.Context(), cfg, nil); err != nil {
						b.Fatal(err)
					}
				}
			}
			if len(l.all) == 0 {
				b.Fatal("no job was replaced")
			}
			slices.Sort(l.all)
			ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
			b.ReportMetric(ms(l.all[len(l.all)/2]), "ms/median")
			b.ReportMetric(ms(l.all[len(l.all)-1]), "ms/max")
			b.ReportMetric(ms(max(l.all[len(l.all)-1]-poll, 0)), "ms/beyond-poll")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// benchFixture is a fixture with one job for a benchmark.
func benchFixture(b *testing.B, l *latencies) *fixture {
	b.Helper()
	job := dataflowtest.Load(b, "../jobspecs/examples/flights/stream.yaml")
	job.Spec.Jobs = 1
	job.Spec.Update.Rollout.Conditions.HealthyFor = 0
	binary := dataflowtest.SetWorker(b, dataflowtest.Reading(job))
	sandboxtest.Start(b, func(c *sandbox.Config) { c.PipelineBinary, c.DataflowScript = binary, l.watch })
	clients, err := deploy.Connect(b.Context(), job)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(clients.Close)
	j, err := journal.Open(b.TempDir(), nil, "bench")
	if err != nil {
		b.Fatal(err)
	}
	dataflowtest.PrepareFlights(b, job, clients.PubSub, clients.Storage)
	return &fixture{
		job: job, clients: clients, journal: j,
		jobs:  &faultyJobs{Client: dataflowapi.New(clients.Dataflow, job.Spec.Project, job.Spec.Region)},
		store: history.New(clients.BigQuery, job.Spec.Sinks.BigQuery.Dataset, job.Spec.Aggregations...),
	}
}
