package deploy_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

// quietWorker reports once and then waits, so that hundreds of them cost nothing.
const quietWorker = `#!/bin/sh
for a in "$@"; do case "$a" in --job=*) job="${a#--job=}";; esac; done
printf '{"running":true,"sources":[{"subscription":"projects/PROJECT/subscriptions/%s","watermark":"2001-01-08T00:00:00Z"}]}\n' "$job"
exec cat >/dev/null
`

// manyJobs is a sandbox in which a group of n jobs, with a subscription each, runs
// and is on record; and what plans it.
func manyJobs(tb testing.TB, n int) deploy.Config {
	tb.Helper()
	job := dataflowtest.Load(tb, "../jobspecs/examples/flights/stream.yaml")
	job.Spec.Jobs, job.Spec.Sources.Count = n, n
	worker := filepath.Join(tb.TempDir(), "kappa-pipeline")
	if err := os.WriteFile(worker, []byte(strings.ReplaceAll(quietWorker, "PROJECT", job.Spec.Project)), 0o755); err != nil {
		tb.Fatal(err)
	}
	sandboxtest.Start(tb, func(c *sandbox.Config) { c.PipelineBinary = worker })
	clients, err := deploy.Connect(tb.Context(), job)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(clients.Close)
	dataflowtest.PrepareFlights(tb, job, clients.PubSub, clients.Storage)
	entries, err := journal.Open(tb.TempDir(), nil, "tester")
	if err != nil {
		tb.Fatal(err)
	}
	api := &countingJobs{Client: dataflowapi.New(clients.Dataflow, job.Spec.Project, job.Spec.Region), refuse: true}
	cfg := deploy.Config{
		Log: slog.New(slog.DiscardHandler), Job: job, Clients: clients, Jobs: api,
		History: history.New(clients.BigQuery, job.Spec.Sinks.BigQuery.Dataset, job.Spec.Aggregations...), Journal: entries, Poll: 10 * time.Millisecond,
	}
	if _, err := deploy.Apply(tb.Context(), cfg, nil); !errors.Is(err, errRefused) { // everything is created, nothing launched
		tb.Fatal(err)
	}
	d, err := deploy.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := d.Plan(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	var rows []*bigquery.StructSaver
	var ids []string
	for _, name := range job.JobNames() {
		labels := maps.Clone(job.Metadata.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		maps.Copy(labels, map[string]string{
			dataflowapi.LabelGroup: p.Group, dataflowapi.LabelGeneration: "1", dataflowapi.LabelSpec: p.Spec,
			dataflowapi.LabelDeployment: deploy.LaunchLabel(name, 1, p.Spec),
		})
		j, err := api.Client.Launch(tb.Context(), &pb.LaunchFlexTemplateParameter{
			JobName: name, Template: &pb.LaunchFlexTemplateParameter_ContainerSpecGcsPath{ContainerSpecGcsPath: p.Template},
			Parameters:  map[string]string{"jobspec": p.SpecFile, "job": name, "generation": strconv.Itoa(1)},
			Environment: &pb.FlexTemplateRuntimeEnvironment{AdditionalUserLabels: labels},
		})
		if err != nil {
			tb.Fatal(err)
		}
		ids = append(ids, j.GetId())
		rows = append(rows, &bigquery.StructSaver{InsertID: name, Struct: tables.Generation{
			Job: name, Generation: 1, Kind: tables.WriterStream, State: tables.StateOpen, Group: p.Group, Seq: 2, RecordedAt: time.Now().UTC().Truncate(time.Microsecond),
			DataflowJobID: bigquery.NullString{StringVal: j.GetId(), Valid: true},
		}})
	}
	if err := clients.BigQuery.Dataset(job.Spec.Sinks.BigQuery.Dataset).Table(tables.Generations).Inserter().Put(tb.Context(), rows); err != nil {
		tb.Fatal(err)
	}
	for _, id := range ids {
		dataflowtest.Eventually(tb, id+" runs", func(ctx context.Context) bool {
			j, err := api.Client.Summary(ctx, id)
			if err != nil {
				tb.Fatal(err)
			}
			return j.GetCurrentState() == pb.JobState_JOB_STATE_RUNNING && len(j.GetJobMetadata().GetPubsubDetails()) > 0
		})
	}
	return cfg
}

var errRefused = errors.New("refused")

// countingJobs counts the calls, and how many are made at a time.
type countingJobs struct {
	*dataflowapi.Client
	refuse bool // to launch

	mu          sync.Mutex
	calls       int
	now, atOnce int
}

func (c *countingJobs) count() func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	c.now++
	c.atOnce = max(c.atOnce, c.now)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now--
	}
}

func (c *countingJobs) Named(ctx context.Context, name string) ([]*pb.Job, error) {
	defer c.count()()
	return c.Client.Named(ctx, name)
}

func (c *countingJobs) Get(ctx context.Context, id string) (*pb.Job, error) {
	defer c.count()()
	return c.Client.Get(ctx, id)
}

func (c *countingJobs) Active(ctx context.Context) ([]*pb.Job, error) {
	defer c.count()()
	return c.Client.Active(ctx)
}

func (c *countingJobs) Errors(ctx context.Context, id string, n int) ([]string, error) {
	defer c.count()()
	return c.Client.Errors(ctx, id, n)
}

func (c *countingJobs) Launch(ctx context.Context, p *pb.LaunchFlexTemplateParameter) (*pb.Job, error) {
	if c.refuse {
		return nil, errRefused
	}
	return c.Client.Launch(ctx, p)
}

// A plan of many jobs makes few calls, several at a time, and not too many.
func TestPlanCalls(t *testing.T) {
	const jobs = 40
	cfg := manyJobs(t, jobs)
	api := cfg.Jobs.(*countingJobs)
	api.calls, api.atOnce = 0, 0
	d, err := deploy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p.Pending() || len(p.Errors()) > 0 || len(p.Drift) > 0 || len(p.Jobs) != jobs {
		t.Errorf("plan: %d jobs, pending %v, errors %v, drift %v", len(p.Jobs), p.Pending(), p.Errors(), p.Drift)
	}
	if !slices.EqualFunc(p.Jobs, cfg.Job.JobNames(), func(a deploy.Action, name string) bool { return a.Job == name }) {
		t.Error("the jobs are in another order")
	}
	if api.calls > 2*jobs+1 {
		t.Errorf("%d calls for %d jobs", api.calls, jobs)
	}
	if api.atOnce < 2 || api.atOnce > 16 {
		t.Errorf("%d calls at a time", api.atOnce)
	}
}

// BenchmarkPlan200 plans 200 jobs that run.
func BenchmarkPlan200(b *testing.B) {
	cfg := manyJobs(b, 200)
	d, err := deploy.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	var took time.Duration
	for b.Loop() {
		began := time.Now()
		p, err := d.Plan(b.Context())
		took += time.Since(began)
		if err != nil || len(p.Jobs) != 200 || p.Pending() || len(p.Errors()) > 0 {
			b.Fatal(err, p)
		}
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "s/plan")
}
