package drain_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/sandbox/dataflow"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

func TestMain(m *testing.M) { dataflowtest.Main(m) }

// record is what a recorder was told.
type record struct {
	Group, Job, ID string
	Generation     int64
	Watermarked    bool
}

type recorder struct {
	mu   sync.Mutex
	rows []record
	void []record
	err  error
}

func (r *recorder) RecordVoid(_ context.Context, group, job, id string, generation int64) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return false, r.err
	}
	row := record{group, job, id, generation, false}
	fresh := !slices.Contains(r.void, row)
	if fresh {
		r.void = append(r.void, row)
	}
	return fresh, nil
}

func (r *recorder) RecordDrained(_ context.Context, group, job, id string, generation int64, last time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, record{group, job, id, generation, !last.IsZero()})
	return r.err
}

func (r *recorder) jobs() []string {
	var names []string
	for _, row := range r.rows {
		names = append(names, row.Job)
	}
	return names
}

// faulty passes calls on to the service and lets a test break them.
type faulty struct {
	drain.API
	summary func(*pb.Job, error) (*pb.Job, error)
	metrics func([]*pb.MetricUpdate, error) ([]*pb.MetricUpdate, error)
	request func(error) error
	asked   atomic.Int64
}

func (f *faulty) Summary(ctx context.Context, id string) (*pb.Job, error) {
	j, err := f.API.Summary(ctx, id)
	if f.summary != nil {
		return f.summary(j, err)
	}
	return j, err
}

func (f *faulty) Metrics(ctx context.Context, id string) ([]*pb.MetricUpdate, error) {
	m, err := f.API.Metrics(ctx, id)
	if f.metrics != nil {
		return f.metrics(m, err)
	}
	return m, err
}

func (f *faulty) Request(ctx context.Context, id string, s pb.JobState) error {
	f.asked.Add(1)
	err := f.API.Request(ctx, id, s)
	if f.request != nil {
		return f.request(err)
	}
	return err
}

// fixture is a service with jobs that run.
type fixture struct {
	*testing.T
	api *faulty
	ids map[string]string
}

func start(t *testing.T, behaviours map[string]dataflowtest.Behaviour, jobs ...string) *fixture {
	t.Helper()
	return startScripted(t, behaviours, nil, jobs...)
}

// startScripted is start with a script between the service and its clients.
func startScripted(t *testing.T, behaviours map[string]dataflowtest.Behaviour, script dataflow.Script, jobs ...string) *fixture {
	t.Helper()
	dataflowtest.Start(t, dataflowtest.Config{Behaviours: behaviours, Script: script})
	client := dataflowapi.New(dataflowtest.Clients(t), dataflowtest.Project, dataflowtest.Region)
	f := &fixture{T: t, api: &faulty{API: client}, ids: map[string]string{}}
	for _, name := range jobs {
		j, err := client.Launch(t.Context(), &pb.LaunchFlexTemplateParameter{
			JobName:    name,
			Template:   &pb.LaunchFlexTemplateParameter_ContainerSpecGcsPath{ContainerSpecGcsPath: dataflowtest.Template},
			Parameters: map[string]string{"jobspec": "gs://staging/job.yaml", "job": name},
			Environment: &pb.FlexTemplateRuntimeEnvironment{
				AdditionalUserLabels: map[string]string{dataflowapi.LabelGeneration: "4"},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		f.ids[name] = j.GetId()
		if behaviours[name].StartAfter == 0 {
			f.waitFor(name, pb.JobState_JOB_STATE_RUNNING)
		}
	}
	return f
}

func (f *fixture) state(name string) pb.JobState {
	f.Helper()
	j, err := f.api.API.Summary(f.Context(), f.ids[name])
	if err != nil {
		f.Fatal(err)
	}
	return j.GetCurrentState()
}

func (f *fixture) waitFor(name string, s pb.JobState) {
	f.Helper()
	dataflowtest.Eventually(f, name+" becomes "+s.String(), func(context.Context) bool { return f.state(name) == s })
}

func (f *fixture) config(r *recorder, jobs ...string) drain.Config {
	return drain.Config{
		Log: slog.New(slog.DiscardHandler), API: f.api, Recorder: r, Group: "flights", Jobs: jobs,
		Poll: 10 * time.Millisecond, Timeout: 30 * time.Second,
	}
}

func TestRun(t *testing.T) {
	f := start(t, map[string]dataflowtest.Behaviour{"": {DrainTakes: 100 * time.Millisecond}}, "flights-0", "flights-1")
	rec := &recorder{}
	cfg := f.config(rec, "flights-0", "flights-1")
	var phases []string
	maximum := false
	cfg.Progress = func(p drain.Progress) {
		if n := p.Reading.Job + " " + string(p.Phase); !slices.Contains(phases, n) {
			phases = append(phases, n)
		}
		if p.Phase == drain.Draining && len(p.Sources) == 1 {
			maximum = maximum || p.Sources[0].Watermark.AtMaximum()
		}
	}
	res, err := drain.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	// One job is away at a time: the second begins when the first has drained.
	want := []string{
		"flights-0 draining", "flights-0 recording", "flights-0 drained",
		"flights-1 draining", "flights-1 recording", "flights-1 drained",
	}
	if diff := cmp.Diff(want, phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	if !maximum {
		t.Error("no progress showed the source at the maximum")
	}
	wantRows := []record{{"flights", "flights-0", f.ids["flights-0"], 4, true}, {"flights", "flights-1", f.ids["flights-1"], 4, true}}
	if diff := cmp.Diff(wantRows, rec.rows); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
	if len(res.Jobs) != 2 || res.Jobs[0].Before || res.Jobs[0].Seconds < 0.1 || res.Jobs[0].Watermark.AtMaximum() || !res.Jobs[0].Watermark.Known() {
		t.Errorf("result %+v", res)
	}

	// Again: nothing is requested, and it is recorded for whoever lost that.
	asked := f.api.asked.Load()
	res, err = drain.Run(t.Context(), f.config(rec, "flights-0"))
	if err != nil || !res.Jobs[0].Before || f.api.asked.Load() != asked || len(rec.rows) != 3 {
		t.Errorf("second run: %+v, %v, %d requests, %d records", res, err, f.api.asked.Load()-asked, len(rec.rows))
	}
}

func TestRunEndings(t *testing.T) {
	for _, c := range []struct {
		name      string
		behaviour dataflowtest.Behaviour
		prepare   func(*fixture, *drain.Config)
		during    func(*fixture) // called once while it drains
		recordErr error
		code      exit.Code
		text      string
		recorded  bool
	}{
		{name: "drains already", behaviour: dataflowtest.Behaviour{DrainTakes: 200 * time.Millisecond}, prepare: func(f *fixture, _ *drain.Config) {
			if err := f.api.API.Request(f.Context(), f.ids["flights-0"], pb.JobState_JOB_STATE_DRAINED); err != nil {
				f.Fatal(err)
			}
		}, code: exit.OK, recorded: true},
		{name: "is not ready at first", behaviour: dataflowtest.Behaviour{StartAfter: 200 * time.Millisecond}, code: exit.OK, recorded: true},
		{name: "publishes no watermark", behaviour: dataflowtest.Behaviour{Unknown: true}, code: exit.OK, recorded: true},
		{name: "unknown state on the way", prepare: func(f *fixture, _ *drain.Config) {
			n := 0
			f.api.summary = func(j *pb.Job, err error) (*pb.Job, error) {
				if n++; err == nil && n < 5 {
					j.CurrentState = pb.JobState(99)
				}
				return j, err
			}
		}, code: exit.OK, recorded: true},
		{name: "service away for a while", prepare: func(f *fixture, _ *drain.Config) {
			n := 0
			f.api.summary = func(j *pb.Job, err error) (*pb.Job, error) {
				if n++; n%2 == 1 && n < 8 {
					return nil, status.Error(codes.Unavailable, "away")
				}
				return j, err
			}
			f.api.metrics = func([]*pb.MetricUpdate, error) ([]*pb.MetricUpdate, error) {
				return nil, status.Error(codes.Unavailable, "away")
			}
		}, code: exit.OK, recorded: true},
		{name: "request whose answer is lost", prepare: func(f *fixture, _ *drain.Config) {
			f.api.request = func(error) error { return status.Error(codes.Unavailable, "connection reset") }
		}, code: exit.OK, recorded: true},
		{name: "no permission to drain", prepare: func(f *fixture, _ *drain.Config) {
			f.api.request = func(error) error { return exit.Environmentf("%w", status.Error(codes.PermissionDenied, "no")) }
		}, code: exit.Environment, text: "no"},
		{name: "watermark at the maximum is not drained", behaviour: dataflowtest.Behaviour{Hold: true}, prepare: func(_ *fixture, cfg *drain.Config) {
			cfg.Timeout = 300 * time.Millisecond
		}, code: exit.DrainTimeout, text: "flights-0 is DRAINING after 300ms; its drain goes on"},
		{name: "fails while draining", behaviour: dataflowtest.Behaviour{NoDrained: true, DrainExit: 7}, code: exit.Failed, text: "became FAILED instead of DRAINED"},
		{name: "failure in the job's own words", behaviour: dataflowtest.Behaviour{NoDrained: true, DrainExit: 7}, code: exit.Failed, text: "exited with code 7"},
		{name: "cancelled while draining", behaviour: dataflowtest.Behaviour{Hold: true}, during: func(f *fixture) {
			if err := f.api.API.Request(f.Context(), f.ids["flights-0"], pb.JobState_JOB_STATE_CANCELLED); err != nil {
				f.Error(err)
			}
		}, code: exit.Failed, text: "became CANCELLED instead of DRAINED"},
		{name: "not on record", recordErr: errors.New("table is gone"), code: exit.Failed, text: "has drained, but that is not on record: table is gone", recorded: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t, map[string]dataflowtest.Behaviour{"flights-0": c.behaviour}, "flights-0")
			rec := &recorder{err: c.recordErr}
			cfg := f.config(rec, "flights-0")
			if c.prepare != nil {
				c.prepare(f, &cfg)
			}
			var once sync.Once
			cfg.Progress = func(p drain.Progress) {
				if p.Phase == drain.Draining && c.during != nil {
					once.Do(func() { c.during(f) })
				}
			}
			_, err := drain.Run(t.Context(), cfg)
			if exit.Of(err) != c.code || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v (code %d), want %q (code %d)", err, exit.Of(err), c.text, c.code)
			}
			if got := len(rec.rows) > 0; got != c.recorded {
				t.Errorf("recorded: %v, want %v", got, c.recorded)
			}
			if s := f.state("flights-0"); c.recorded && s != pb.JobState_JOB_STATE_DRAINED {
				t.Errorf("recorded as drained, but the job is %v", s) // invariant D3
			}
		})
	}
}

// Whoever leaves is told that the drain goes on, and it does.
func TestRunInterrupted(t *testing.T) {
	f := start(t, map[string]dataflowtest.Behaviour{"": {DrainTakes: 300 * time.Millisecond}}, "flights-0", "flights-1")
	rec := &recorder{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg := f.config(rec, "flights-0", "flights-1")
	cfg.Progress = func(p drain.Progress) {
		if p.Phase == drain.Draining {
			cancel()
		}
	}
	_, err := drain.Run(ctx, cfg)
	if exit.Of(err) != exit.Interrupted || !strings.Contains(err.Error(), "stopped watching flights-0; its drain goes on") ||
		!strings.Contains(err.Error(), "not begun: [flights-1]") {
		t.Errorf("got %v (code %d)", err, exit.Of(err))
	}
	f.waitFor("flights-0", pb.JobState_JOB_STATE_DRAINED)
	if s := f.state("flights-1"); s != pb.JobState_JOB_STATE_RUNNING {
		t.Errorf("flights-1 is %v", s)
	}
}

// invariant D4: a failure stops what has not begun.
func TestRunStopsAfterFailure(t *testing.T) {
	f := start(t, map[string]dataflowtest.Behaviour{"flights-0": {NoDrained: true, DrainExit: 1}}, "flights-0", "flights-1")
	rec := &recorder{}
	_, err := drain.Run(t.Context(), f.config(rec, "flights-0", "flights-1"))
	if exit.Of(err) != exit.Failed || !strings.Contains(err.Error(), "not begun: [flights-1]") {
		t.Errorf("got %v", err)
	}
	if s := f.state("flights-1"); s != pb.JobState_JOB_STATE_RUNNING || len(rec.rows) != 0 {
		t.Errorf("flights-1 is %v, recorded %v", s, rec.rows)
	}
}

func TestRunParallel(t *testing.T) {
	// The first drains only when the second one does: together or never.
	f := start(t, map[string]dataflowtest.Behaviour{"": {DrainTakes: 300 * time.Millisecond}}, "flights-0", "flights-1", "flights-2")
	rec := &recorder{}
	cfg := f.config(rec, "flights-0", "flights-1", "flights-2")
	cfg.Parallel = 2
	now, most := map[string]bool{}, 0
	cfg.Progress = func(p drain.Progress) {
		now[p.Reading.Job] = p.Phase == drain.Draining
		n := 0
		for _, draining := range now {
			if draining {
				n++
			}
		}
		most = max(most, n)
	}
	if _, err := drain.Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if most != 2 {
		t.Errorf("%d jobs drained at a time, want 2", most)
	}
	got := rec.jobs()
	slices.Sort(got)
	if !slices.Equal(got, []string{"flights-0", "flights-1", "flights-2"}) {
		t.Errorf("recorded %v", got)
	}
}

func TestRunNoJob(t *testing.T) {
	f := start(t, nil, "flights-0")
	_, err := drain.Run(t.Context(), f.config(&recorder{}, "flights-7"))
	if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "there is no job named flights-7") {
		t.Errorf("got %v", err)
	}
	if err := f.api.API.Request(t.Context(), f.ids["flights-0"], pb.JobState_JOB_STATE_CANCELLED); err != nil {
		t.Fatal(err)
	}
	_, err = drain.Run(t.Context(), f.config(&recorder{}, "flights-0"))
	if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "is CANCELLED") {
		t.Errorf("got %v", err)
	}
}

func TestObserve(t *testing.T) {
	two := []string{"projects/kappa-test/subscriptions/flights-0", "projects/kappa-test/subscriptions/flights-3"}
	f := start(t, map[string]dataflowtest.Behaviour{"flights-0": {Sources: two}}, "flights-0", "flights-1")
	if err := f.api.API.Request(t.Context(), f.ids["flights-1"], pb.JobState_JOB_STATE_CANCELLED); err != nil {
		t.Fatal(err)
	}
	rs, err := drain.Observe(t.Context(), f.api, []string{"flights-0", "flights-1", "flights-2"}, nil)
	if err != nil || len(rs) != 1 {
		t.Fatalf("readings %+v, %v", rs, err)
	}
	r := rs[0]
	if r.Job != "flights-0" || r.ID != f.ids["flights-0"] || r.Generation != 4 || r.State != "RUNNING" || len(r.Sources) != 2 ||
		r.Sources[0].Subscription != two[0] || r.Sources[1].Subscription != two[1] || !r.Watermark().Known() || !r.Pipeline.Known() {
		t.Errorf("reading %+v", r)
	}
	if _, ok := r.Counters["messages_read"]; !ok {
		t.Errorf("counters %v", r.Counters)
	}
}

func TestRunValidates(t *testing.T) {
	f := start(t, nil)
	for name, spoil := range map[string]func(*drain.Config){
		"logger": func(c *drain.Config) { c.Log = nil }, "API client": func(c *drain.Config) { c.API = nil },
		"recorder": func(c *drain.Config) { c.Recorder = nil }, "no group": func(c *drain.Config) { c.Group = "" },
		"no jobs": func(c *drain.Config) { c.Jobs = nil }, "negative": func(c *drain.Config) { c.Timeout = -1 },
		"on timeout": func(c *drain.Config) { c.OnTimeout = "pray" },
	} {
		cfg := f.config(&recorder{}, "flights-0")
		spoil(&cfg)
		if _, err := drain.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
