package deploy_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	dataflowtest.WorkIfChild()
	// The Storage client's opencensus starts this one in an init function.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// fixture is a sandbox with what the jobs of the flights need, whose workers
// behave as told.
type fixture struct {
	*testing.T
	job     *jobspecs.StreamJob
	clients *deploy.Clients
	jobs    *faultyJobs
	store   *history.Store
}

// faultyJobs passes calls on to the service and lets a test break them.
type faultyJobs struct {
	*dataflowapi.Client
	launches int
	launch   func(call func() (*pb.Job, error)) (*pb.Job, error) // nil: call
}

func (f *faultyJobs) Launch(ctx context.Context, p *pb.LaunchFlexTemplateParameter) (*pb.Job, error) {
	f.launches++
	call := func() (*pb.Job, error) { return f.Client.Launch(ctx, p) }
	if f.launch != nil {
		return f.launch(call)
	}
	return call()
}

// start starts the sandbox; prepared, with subscriptions, buckets and template.
func start(t *testing.T, prepared bool, behaviours map[string]dataflowtest.Behaviour) *fixture {
	t.Helper()
	binary := dataflowtest.SetWorker(t, behaviours)
	sandboxtest.Start(t, func(c *sandbox.Config) { c.PipelineBinary = binary })
	f := &fixture{T: t, job: dataflowtest.Load(t, "../jobspecs/examples/flights/stream.yaml")}
	clients, err := deploy.Connect(t.Context(), f.job)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clients.Close)
	f.clients = clients
	f.jobs = &faultyJobs{Client: dataflowapi.New(clients.Dataflow, f.job.Spec.Project, f.job.Spec.Region)}
	f.store = history.New(clients.BigQuery, f.job.Spec.Sinks.BigQuery.Dataset)
	if prepared {
		dataflowtest.PrepareFlights(t, f.job, clients.PubSub, clients.Storage)
	}
	return f
}

func (f *fixture) config() deploy.Config {
	return deploy.Config{
		Log: slog.New(slog.DiscardHandler), Job: f.job, Clients: f.clients, Jobs: f.jobs, History: f.store,
		Poll: 10 * time.Millisecond, StartTimeout: 30 * time.Second,
	}
}

func (f *fixture) deployer() *deploy.Deployer {
	f.Helper()
	d, err := deploy.New(f.config())
	if err != nil {
		f.Fatal(err)
	}
	return d
}

// plan is a plan without errors.
func (f *fixture) plan() *deploy.Plan {
	f.Helper()
	p, err := f.deployer().Plan(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	if errs := p.Errors(); len(errs) > 0 {
		f.Fatalf("the plan has errors: %+v", errs)
	}
	return p
}

func (f *fixture) apply() *deploy.Result {
	f.Helper()
	res, err := deploy.Apply(f.Context(), f.config(), nil)
	if err != nil {
		f.Fatal(err)
	}
	return res
}

// generations are the newest rows of a job, by generation.
func (f *fixture) generations(job string) []tables.Generation {
	f.Helper()
	log, err := f.store.Read(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	return log.Generations(job)
}

func (f *fixture) waitFor(id string, s pb.JobState) {
	f.Helper()
	dataflowtest.Eventually(f, id+" becomes "+s.String(), func(ctx context.Context) bool {
		j, err := f.jobs.Summary(ctx, id)
		if err != nil {
			f.Fatal(err)
		}
		return j.GetCurrentState() == s
	})
}

func (f *fixture) request(id string, s pb.JobState) {
	f.Helper()
	if err := f.jobs.Request(f.Context(), id, s); err != nil {
		f.Fatal(err)
	}
}
