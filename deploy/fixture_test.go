package deploy_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	if o := os.Getenv(orderEnv); o != "" {
		os.Exit(obey(o))
	}
	dataflowtest.Main(m)
}

// fixture is a sandbox with what the jobs of the flights need, whose workers
// behave as told.
type fixture struct {
	*testing.T
	job     *jobspecs.StreamJob
	clients *deploy.Clients
	jobs    *faultyJobs
	store   *history.Store
	journal *journal.Journal
}

// faultyJobs passes calls on to the service and lets a test break them.
type faultyJobs struct {
	*dataflowapi.Client
	mu       sync.Mutex // of launches: several jobs may be taken at a time
	launches int

	requested func(*pb.LaunchFlexTemplateParameter)               // told of every launch; nil: nobody is
	launch    func(call func() (*pb.Job, error)) (*pb.Job, error) // nil: call
	named     func() error                                        // asked before every Named once something was launched; nil: none
	resize    func(call func() error) error                       // nil: call
}

func (f *faultyJobs) Named(ctx context.Context, name string) ([]*pb.Job, error) {
	if f.named != nil && f.launches > 0 {
		if err := f.named(); err != nil {
			return nil, err
		}
	}
	return f.Client.Named(ctx, name)
}

func (f *faultyJobs) Resize(ctx context.Context, id string, least, most int) error {
	call := func() error { return f.Client.Resize(ctx, id, least, most) }
	if f.resize != nil {
		return f.resize(call)
	}
	return call()
}

func (f *faultyJobs) Launch(ctx context.Context, p *pb.LaunchFlexTemplateParameter) (*pb.Job, error) {
	f.mu.Lock()
	f.launches++
	f.mu.Unlock()
	if f.requested != nil {
		f.requested(p)
	}
	call := func() (*pb.Job, error) { return f.Client.Launch(ctx, p) }
	if f.launch != nil {
		return f.launch(call)
	}
	return call()
}

// start starts the sandbox; prepared, with subscriptions, buckets and template.
// A change may alter the sandbox first.
func start(t *testing.T, prepared bool, behaviours map[string]dataflowtest.Behaviour, change ...func(*sandbox.Config)) *fixture {
	t.Helper()
	binary := dataflowtest.SetWorker(t, behaviours)
	sandboxtest.Start(t, append(change, func(c *sandbox.Config) { c.PipelineBinary = binary })...)
	f := &fixture{T: t, job: dataflowtest.Load(t, "../jobspecs/examples/flights/stream.yaml")}
	clients, err := deploy.Connect(t.Context(), f.job)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clients.Close)
	f.clients = clients
	f.jobs = &faultyJobs{Client: dataflowapi.New(clients.Dataflow, f.job.Spec.Project, f.job.Spec.Region)}
	f.store = history.New(clients.BigQuery, f.job.Spec.Sinks.BigQuery.Dataset, f.job.Spec.Aggregations...)
	if f.journal, err = journal.Open(t.TempDir(), nil, "tester"); err != nil {
		t.Fatal(err)
	}
	if prepared {
		dataflowtest.PrepareFlights(t, f.job, clients.PubSub, clients.Storage)
	}
	return f
}

// drainer drains by package drain, as the CLI does.
type drainer struct{ f *fixture }

func (d drainer) Cancel(ctx context.Context, job string, progress func(string)) error {
	_, err := drain.Run(ctx, drain.Config{
		Log: slog.New(slog.DiscardHandler), API: d.f.jobs.Client, Recorder: d.f.store, Group: d.f.job.Metadata.Name,
		Jobs: []string{job}, Poll: 10 * time.Millisecond, CancelNow: true,
		Progress: func(p drain.Progress) { progress(string(p.Phase)) },
	})
	if cancelled := (*drain.CancelledError)(nil); errors.As(err, &cancelled) {
		return nil
	}
	return err
}

func (d drainer) Drain(ctx context.Context, job string, progress func(string)) error {
	_, err := drain.Run(ctx, drain.Config{
		Log: slog.New(slog.DiscardHandler), API: d.f.jobs.Client, Recorder: d.f.store, Group: d.f.job.Metadata.Name,
		Jobs: []string{job}, Adopted: d.f.store.OpenJob, Poll: 10 * time.Millisecond, Timeout: 30 * time.Second,
		Progress: func(p drain.Progress) { progress(string(p.Phase)) },
	})
	return err
}

func (d drainer) Observe(ctx context.Context, jobs []string) ([]deploy.Observation, error) {
	readings, err := drain.Observe(ctx, d.f.jobs.Client, jobs, d.f.store.OpenJob)
	var out []deploy.Observation
	for _, r := range readings {
		at, _ := r.Watermark().Time()
		o := deploy.Observation{Job: r.Job, ID: r.ID, State: r.State, Watermark: at}
		for _, s := range r.Sources {
			at, _ := s.Watermark.Time()
			o.Sources = append(o.Sources, deploy.SourceWatermark{Source: s.Name(), Watermark: at, Maximum: s.Watermark.AtMaximum()})
		}
		out = append(out, o)
	}
	return out, err
}

func (f *fixture) config() deploy.Config {
	return deploy.Config{
		Log: slog.New(slog.DiscardHandler), Job: f.job, Clients: f.clients, Jobs: f.jobs, History: f.store,
		Drainer: drainer{f}, Observer: drainer{f}, Journal: f.journal, Poll: 10 * time.Millisecond, StartTimeout: 30 * time.Second,
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

// workers makes the jobs that are launched from now on read what the spec gives
// to a group of so many jobs, and behave as told beside that.
func (f *fixture) workers(jobs int, change ...func(job string, b *dataflowtest.Behaviour)) {
	f.Helper()
	f.job.Spec.Jobs = jobs
	behaviours := dataflowtest.Reading(f.job)
	for name, b := range behaviours {
		for _, fn := range change {
			fn(name, &b)
		}
		behaviours[name] = b
	}
	dataflowtest.SetWorker(f, behaviours)
}

// launched is what ran when a job was launched: state and sources by name.
type launched struct {
	job     string
	running []string
}

// watchLaunches keeps what runs at each launch, and fails the test if two jobs
// then read one subscription, or if a job is not on record.
func (f *fixture) watchLaunches() *[]launched {
	var all []launched
	f.jobs.launch = func(call func() (*pb.Job, error)) (*pb.Job, error) {
		j, err := call()
		active, aerr := f.jobs.Active(f.Context())
		if aerr != nil {
			f.Error(aerr)
		}
		l := launched{}
		readers := map[string]string{}
		for _, a := range active {
			if a.GetId() == j.GetId() {
				l.job = a.GetName()
			} else {
				l.running = append(l.running, a.GetName())
			}
			for _, s := range a.GetJobMetadata().GetPubsubDetails() {
				if other := readers[s.GetSubscription()]; other != "" {
					f.Errorf("%s and %s read %s", other, a.GetName(), s.GetSubscription())
				}
				readers[s.GetSubscription()] = a.GetName()
			}
		}
		slices.Sort(l.running)
		all = append(all, l)
		return j, err
	}
	return &all
}

// summary is the history of the jobs of a group, as JOB@GENERATION STATE.
func (f *fixture) summary() []string {
	f.Helper()
	log, err := f.store.Read(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	var out []string
	for _, s := range log.Standings() {
		out = append(out, s.Writer().String()+" "+s.State)
	}
	return out
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
