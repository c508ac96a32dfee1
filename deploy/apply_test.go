package deploy_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

func TestApplyOnce(t *testing.T) {
	f := start(t, true, nil)
	p := f.plan()
	if !p.Pending() || len(p.Jobs) != 3 {
		t.Errorf("plan %+v", p)
	}
	var steps []string
	res, err := f.deployer().Apply(t.Context(), p, func(e deploy.Event) {
		if s := e.Job + " " + string(e.Step); !slices.Contains(steps, s) && e.Step != deploy.Starting {
			steps = append(steps, s)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{" creating"}
	for _, j := range []string{"flights-0", "flights-1", "flights-2"} {
		want = append(want, j+" recording", j+" launching", j+" completing", j+" running")
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	for i, j := range res.Jobs {
		if j.Job != f.job.JobName(i) || j.Generation != 1 || j.State != "RUNNING" || !j.Launched || j.Drained != nil || j.DataflowID == "" {
			t.Errorf("job %+v", j)
		}
		gs := f.generations(j.Job)
		if len(gs) != 1 || gs[0].State != tables.StateOpen || gs[0].DataflowJobID.StringVal != j.DataflowID || gs[0].Kind != tables.WriterStream {
			t.Errorf("history of %s: %+v", j.Job, gs)
		}
		job, err := f.jobs.Get(t.Context(), j.DataflowID)
		if err != nil {
			t.Fatal(err)
		}
		labels := job.GetLabels()
		if labels["kappa-group"] != "flights" || labels["kappa-generation"] != "1" || labels["kappa-spec"] != p.Spec || labels["kappa-deployment"] == "" {
			t.Errorf("labels %v", labels)
		}
		options := job.GetEnvironment().GetSdkPipelineOptions().GetFields()["options"].GetStructValue().GetFields()
		if options["jobspec"].GetStringValue() != p.SpecFile || options["job"].GetStringValue() != j.Job || options["generation"].GetStringValue() != "1" {
			t.Errorf("parameters %v", options)
		}
	}
	// What the jobs read is the spec.
	object := strings.TrimPrefix(p.SpecFile, "gs://kappa-demo-staging/")
	set, err := jobspecs.Parse("staged.yaml", dataflowtest.Read(t, f.clients.Storage, dataflowtest.FlightsStaging, object), jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.job.Spec, set.StreamJobs[0].Spec); diff != "" {
		t.Errorf("staged spec (-want +got):\n%s", diff)
	}

	// The second time there is nothing to do, and nothing is done.
	p = f.plan()
	if p.Pending() || len(p.Create) > 0 || len(p.Problems) > 0 {
		t.Errorf("second plan %+v", p)
	}
	again := f.apply()
	if f.jobs.launches != 3 {
		t.Errorf("%d launches", f.jobs.launches)
	}
	for i, j := range again.Jobs {
		if j.Launched || j.DataflowID != res.Jobs[i].DataflowID || j.State != "RUNNING" {
			t.Errorf("second apply: %+v", j)
		}
		if gs := f.generations(j.Job); len(gs) != 1 || gs[0].Seq != 2 {
			t.Errorf("history of %s after the second apply: %+v", j.Job, gs)
		}
	}
}

// A launch whose answer is lost, at whatever moment, is one launch.
func TestLostAnswers(t *testing.T) {
	lost := status.Error(codes.Unavailable, "connection reset")
	for _, c := range []struct {
		name   string
		launch func(n int, call func() (*pb.Job, error)) (*pb.Job, error)
		first  string // error of the first apply
		second bool   // a second apply mends it
	}{
		{name: "the answer", launch: func(_ int, call func() (*pb.Job, error)) (*pb.Job, error) {
			if _, err := call(); err != nil {
				return nil, err
			}
			return nil, lost
		}},
		{name: "the request, once", launch: func(n int, call func() (*pb.Job, error)) (*pb.Job, error) {
			if n == 1 {
				return nil, lost
			}
			return call()
		}},
		{name: "an answer without a job", launch: func(_ int, call func() (*pb.Job, error)) (*pb.Job, error) {
			if _, err := call(); err != nil {
				return nil, err
			}
			return &pb.Job{}, nil
		}},
		{name: "all requests", launch: func(n int, call func() (*pb.Job, error)) (*pb.Job, error) {
			if n <= 3 {
				return nil, lost
			}
			return call()
		}, first: "connection reset (3 attempts)", second: true},
		{name: "refused", launch: func(n int, call func() (*pb.Job, error)) (*pb.Job, error) {
			if n == 1 {
				return nil, status.Error(codes.ResourceExhausted, "quota")
			}
			return call()
		}, first: "quota", second: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t, true, nil)
			f.job.Spec.Jobs = 1
			f.jobs.launch = func(call func() (*pb.Job, error)) (*pb.Job, error) { return c.launch(f.jobs.launches, call) }
			_, err := deploy.Apply(t.Context(), f.config(), nil)
			if c.first == "" && err != nil || c.first != "" && (err == nil || !strings.Contains(err.Error(), c.first)) {
				t.Fatalf("got %v, want %q", err, c.first)
			}
			if c.second {
				f.apply()
			}
			jobs, err := f.jobs.Named(t.Context(), "flights-0")
			if err != nil || len(jobs) != 1 {
				t.Fatalf("%d jobs, %v", len(jobs), err)
			}
			if gs := f.generations("flights-0"); len(gs) != 1 || gs[0].State != tables.StateOpen || gs[0].DataflowJobID.StringVal != jobs[0].GetId() {
				t.Errorf("history %+v", gs)
			}
		})
	}
}

// killer fails, as a killed process does, at its nth append.
type killer struct {
	deploy.History
	at, n int
}

func (k *killer) Append(ctx context.Context, g tables.Generation) (tables.Generation, error) {
	if k.n++; k.n == k.at {
		return g, errors.New("killed")
	}
	return k.History.Append(ctx, g)
}

// invariant D2: an apply that was killed between any two steps is resumed.
func TestResume(t *testing.T) {
	for at := 1; at <= 4; at++ {
		f := start(t, true, nil)
		f.job.Spec.Jobs = 2
		cfg := f.config()
		cfg.History = &killer{History: f.store, at: at}
		if _, err := deploy.Apply(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("killed at append %d: %v", at, err)
		}
		res := f.apply()
		for _, j := range res.Jobs {
			jobs, err := f.jobs.Named(t.Context(), j.Job)
			if err != nil || len(jobs) != 1 || jobs[0].GetId() != j.DataflowID {
				t.Errorf("killed at append %d: jobs named %s: %v, %v", at, j.Job, jobs, err)
			}
			if gs := f.generations(j.Job); len(gs) != 1 || gs[0].Generation != 1 || gs[0].DataflowJobID.StringVal != j.DataflowID {
				t.Errorf("killed at append %d: history of %s: %+v", at, j.Job, gs)
			}
		}
	}
}

// On record, but never launched: the generation is not lost.
func TestRecordedNotLaunched(t *testing.T) {
	f := start(t, true, nil)
	f.job.Spec.Jobs = 1
	f.jobs.launch = func(func() (*pb.Job, error)) (*pb.Job, error) { return nil, errors.New("killed before the launch") }
	if _, err := deploy.Apply(t.Context(), f.config(), nil); err == nil {
		t.Fatal("no error")
	}
	f.jobs.launch = nil
	if p := f.plan(); p.Jobs[0].Kind != deploy.Launch || p.Jobs[0].Generation != 1 {
		t.Errorf("plan %+v", p.Jobs)
	}
	if res := f.apply(); res.Jobs[0].Generation != 1 || !res.Jobs[0].Launched {
		t.Errorf("result %+v", res.Jobs)
	}
}

// Each way in which a generation can end, and what its successor is.
func TestNextGeneration(t *testing.T) {
	for _, c := range []struct {
		name       string
		end        func(f *fixture, id string)
		state      string
		supersedes string
	}{
		{"drained by kappa", func(f *fixture, id string) {
			_, err := drain.Run(f.Context(), drain.Config{
				Log: slog.New(slog.DiscardHandler), API: f.jobs.Client, Recorder: f.store, Group: "flights", Jobs: []string{"flights-0"}, Poll: 10 * time.Millisecond,
			})
			if err != nil {
				f.Fatal(err)
			}
		}, tables.StateDrained, ""},
		{"drained by somebody else", func(f *fixture, id string) {
			f.request(id, pb.JobState_JOB_STATE_DRAINED)
			f.waitFor(id, pb.JobState_JOB_STATE_DRAINED)
		}, tables.StateDrained, ""},
		{"cancelled", func(f *fixture, id string) {
			f.request(id, pb.JobState_JOB_STATE_CANCELLED)
			f.waitFor(id, pb.JobState_JOB_STATE_CANCELLED)
		}, tables.StateVoid, "flights-0@1"},
		{"recorded as void by hand", func(f *fixture, id string) {
			f.request(id, pb.JobState_JOB_STATE_CANCELLED)
			f.waitFor(id, pb.JobState_JOB_STATE_CANCELLED)
			if _, err := f.store.Append(f.Context(), tables.Generation{Job: "flights-0", Generation: 1, Kind: tables.WriterStream, State: tables.StateVoid, Group: "flights"}); err != nil {
				f.Fatal(err)
			}
		}, tables.StateVoid, "flights-0@1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t, true, nil)
			f.job.Spec.Jobs = 1
			id := f.apply().Jobs[0].DataflowID
			c.end(f, id)
			res := f.apply()
			if res.Jobs[0].Generation != 2 || !res.Jobs[0].Launched {
				t.Errorf("result %+v", res.Jobs)
			}
			gs := f.generations("flights-0")
			if len(gs) != 2 || gs[0].State != c.state || gs[0].DataflowJobID.StringVal != id || gs[1].State != tables.StateOpen || gs[1].Supersedes.StringVal != c.supersedes {
				t.Errorf("history %+v", gs)
			}
			if gs[1].RecordedAt.Before(gs[0].RecordedAt) {
				t.Error("the end was recorded after its successor began (P5)")
			}
		})
	}
}

// A job that dies at the start is void at once, and stops the rollout.
func TestStartFails(t *testing.T) {
	f := start(t, true, map[string]dataflowtest.Behaviour{"flights-1": {StartAfter: time.Hour, ExitAfter: 100 * time.Millisecond, Exit: 9}})
	res, err := deploy.Apply(t.Context(), f.config(), nil)
	if exit.Of(err) != exit.Failed || !strings.Contains(err.Error(), "became FAILED instead of RUNNING") || !strings.Contains(err.Error(), "out of cheese") {
		t.Errorf("got %v", err)
	}
	if len(res.Jobs) != 1 || res.Jobs[0].Job != "flights-0" {
		t.Errorf("result %+v", res)
	}
	if gs := f.generations("flights-1"); len(gs) != 1 || gs[0].State != tables.StateVoid {
		t.Errorf("history %+v", gs)
	}
	if gs := f.generations("flights-2"); len(gs) != 0 || f.jobs.launches != 2 {
		t.Errorf("the rollout went on: %+v, %d launches", gs, f.jobs.launches)
	}
	dataflowtest.SetWorker(t, nil) // mended
	if res := f.apply(); res.Jobs[0].Launched || res.Jobs[1].Generation != 2 || res.Jobs[2].Generation != 1 {
		t.Errorf("after mending: %+v", res.Jobs)
	}
}

// invariant D1
func TestStalePlan(t *testing.T) {
	f := start(t, true, nil)
	f.job.Spec.Jobs = 1
	d := f.deployer()
	p, err := d.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.apply() // somebody else is faster
	_, err = d.Apply(t.Context(), p, nil)
	if exit.Of(err) != exit.Pending || !strings.Contains(err.Error(), "stale") {
		t.Errorf("got %v", err)
	}
	if f.jobs.launches != 1 {
		t.Errorf("%d launches", f.jobs.launches)
	}
}

// invariant D3: what the history and the API say does not fit together.
func TestBlocked(t *testing.T) {
	f := start(t, true, nil)
	f.job.Spec.Jobs = 1
	if _, err := f.jobs.Client.Launch(t.Context(), &pb.LaunchFlexTemplateParameter{
		JobName:    "flights-0",
		Template:   &pb.LaunchFlexTemplateParameter_ContainerSpecGcsPath{ContainerSpecGcsPath: f.job.Spec.Template},
		Parameters: map[string]string{"jobspec": "gs://somewhere/else.yaml", "job": "flights-0"},
	}); err != nil {
		t.Fatal(err)
	}
	_, err := deploy.Apply(t.Context(), f.config(), nil)
	if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "was not launched for flights") {
		t.Errorf("got %v", err)
	}

	g := start(t, true, nil)
	g.job.Spec.Jobs = 1
	g.apply()
	if _, err := g.store.Append(t.Context(), tables.Generation{
		Job: "flights-0", Generation: 2, Kind: tables.WriterStream, State: tables.StateOpen, Group: "flights",
		DataflowJobID: bigquery.NullString{StringVal: "2001-01-01_00_00_00-1", Valid: true},
	}); err != nil {
		t.Fatal(err)
	}
	_, err = deploy.Apply(t.Context(), g.config(), nil)
	if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "history is at 2") {
		t.Errorf("got %v", err)
	}
}
