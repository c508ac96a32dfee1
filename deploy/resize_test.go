package deploy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// kinds are what a plan does about its jobs.
func kinds(p *deploy.Plan) []deploy.Kind {
	var out []deploy.Kind
	for _, a := range p.Jobs {
		out = append(out, a.Kind)
	}
	return out
}

var (
	keepAll   = []deploy.Kind{deploy.Keep, deploy.Keep, deploy.Keep}
	resizeAll = []deploy.Kind{deploy.Resize, deploy.Resize, deploy.Resize}
)

// Only the bounds on the workers change: the jobs go on, and the next plan says
// so, whatever spec their labels have. Back again is a change too.
func TestResize(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	first := f.apply()
	before := f.summary()

	f.job.Spec.Tuning.MinWorkers, f.job.Spec.Tuning.Workers, f.job.Spec.Tuning.MaxWorkers = 2, 3, 6
	p := f.plan()
	want := []deploy.Change{{Path: "spec.tuning.maxWorkers", From: "1", To: "6"}, {Path: "spec.tuning.minWorkers", From: "1", To: "2"}}
	if diff := cmp.Diff(resizeAll, kinds(p)); diff != "" || p.Reshard {
		t.Fatalf("plan (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, p.Jobs[0].Changes); diff != "" || *p.Jobs[0].Resize != (deploy.Bounds{Min: 2, Max: 6}) {
		t.Errorf("changes (-want +got):\n%s, %+v", diff, p.Jobs[0].Resize)
	}
	var steps []deploy.Step
	res, err := f.deployer().Apply(t.Context(), p, func(e deploy.Event) {
		if e.Job == "flights-1" {
			steps = append(steps, e.Step)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, j := range res.Jobs {
		if j.DataflowID != first.Jobs[i].DataflowID || j.Launched || j.Drained != nil || j.Resized == nil || *j.Resized != (deploy.Bounds{Min: 2, Max: 6}) || j.State != "RUNNING" {
			t.Errorf("%+v", j)
		}
		full, err := f.jobs.Get(t.Context(), j.DataflowID)
		if err != nil || full.GetRuntimeUpdatableParams().GetMinNumWorkers() != 2 || full.GetRuntimeUpdatableParams().GetMaxNumWorkers() != 6 {
			t.Errorf("%v: %v, %v", j.Job, full.GetRuntimeUpdatableParams(), err)
		}
	}
	if diff := cmp.Diff([]deploy.Step{deploy.Completing, deploy.Running, deploy.Resizing, deploy.Resized}, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if p := f.plan(); p.Pending() || !strings.Contains(p.Jobs[0].Reason, "was launched with spec "+first.Spec) {
		t.Errorf("plan of what runs: %+v", p.Jobs)
	}
	if res := f.apply(); res.Jobs[0].Resized != nil || f.jobs.launches != 3 {
		t.Errorf("a second apply: %+v, %d launches", res.Jobs, f.jobs.launches)
	}

	// Back to the spec that is on the labels: what they say is not what runs.
	f.job.Spec.Tuning.MinWorkers, f.job.Spec.Tuning.Workers, f.job.Spec.Tuning.MaxWorkers = 0, 1, 1
	if p := f.plan(); p.Spec != first.Spec || cmp.Diff(resizeAll, kinds(p)) != "" {
		t.Errorf("plan of the first spec: %+v", p.Jobs)
	}
	f.apply()
	if p := f.plan(); p.Pending() || cmp.Diff(keepAll, kinds(p)) != "" {
		t.Errorf("plan of what runs: %+v", p.Jobs)
	}
	if diff := cmp.Diff(before, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// A job that starts is waited for before its workers are changed, and the
// record of a launch whose answer was lost is made up for.
func TestResizeOfWhatStarts(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	lost := errors.New("gone")
	f.jobs.launch = func(call func() (*pb.Job, error)) (*pb.Job, error) {
		if _, err := call(); err != nil {
			return nil, err
		}
		return nil, lost
	}
	f.jobs.named = func() error { return lost }
	if _, err := deploy.Apply(t.Context(), f.config(), nil); err == nil {
		t.Fatal("no error")
	}
	f.jobs.launch, f.jobs.named = nil, nil
	if g := f.generations("flights-0"); len(g) != 1 || g[0].DataflowJobID.Valid {
		t.Fatalf("history: %+v", g)
	}
	f.job.Spec.Tuning.MaxWorkers = 4
	if p := f.plan(); p.Jobs[0].Kind != deploy.Resize || p.Jobs[1].Kind != deploy.Launch {
		t.Fatalf("plan: %+v", p.Jobs)
	}
	res := f.apply()
	if g := f.generations("flights-0"); len(g) != 1 || g[0].DataflowJobID.StringVal != res.Jobs[0].DataflowID || res.Jobs[0].Resized == nil {
		t.Errorf("history: %+v, result %+v", g, res.Jobs)
	}
	if p := f.plan(); p.Pending() {
		t.Errorf("plan: %+v", p.Jobs)
	}
}

// A request that fails stops the rollout, and is made again by the next apply;
// bounds that the service does not report are not taken for granted.
func TestResizeFails(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	f.apply()
	f.job.Spec.Tuning.MaxWorkers = 4

	calls := 0
	f.jobs.resize = func(func() error) error { calls++; return errors.New("quota") }
	if _, err := deploy.Apply(t.Context(), f.config(), nil); err == nil || !strings.Contains(err.Error(), "quota") || calls != 1 {
		t.Errorf("apply: %v after %d calls", err, calls)
	}
	f.jobs.resize = func(func() error) error { return nil }
	cfg := f.config()
	cfg.StartTimeout = 50 * time.Millisecond
	if _, err := deploy.Apply(t.Context(), cfg, nil); exit.Of(err) != exit.Failed || !strings.Contains(err.Error(), "asked for 1 to 4 workers, and the service does not report them") {
		t.Errorf("apply: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.jobs.resize = func(call func() error) error { err := call(); cancel(); return err } // the command is killed
	if _, err := deploy.Apply(ctx, f.config(), nil); err == nil {
		t.Error("apply without an error")
	}
	f.jobs.resize = nil
	if got := kinds(f.plan()); got[0] != deploy.Keep || got[1] != deploy.Resize {
		t.Errorf("plan: %v", got)
	}
	f.apply()
	if p := f.plan(); p.Pending() || f.jobs.launches != 3 {
		t.Errorf("plan: %+v", p.Jobs)
	}
}

// What differs is in the plan, does not make it stale, and is missed only by
// those who look.
func TestPlanShowsChanges(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	first := f.apply()
	f.job.Spec.Horizon *= 2
	f.job.Spec.Tuning.MaxWorkers = 4
	p := f.plan()
	want := []deploy.Change{
		{Path: "spec.horizon", From: `"4d"`, To: `"8d"`},
		{Path: "spec.tuning.maxWorkers", From: "1", To: "4"},
	}
	for _, a := range p.Jobs {
		if diff := cmp.Diff(want, a.Changes); diff != "" || a.Kind != deploy.Replace {
			t.Errorf("%s is to %s, changes (-want +got):\n%s", a.Job, a.Kind, diff)
		}
	}
	// Its staged spec is gone: the plan says so, and goes on.
	bucket, object, _ := strings.Cut(strings.TrimPrefix(first.SpecFile, "gs://"), "/")
	if err := f.clients.Storage.Bucket(bucket).Object(object).Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := f.plan()
	if a := q.Jobs[0]; a.Kind != deploy.Replace || a.Changes != nil || !strings.Contains(a.Reason, first.SpecFile+" cannot be read") {
		t.Errorf("without the staged spec: %+v", a)
	}
	if _, err := f.deployer().Apply(t.Context(), p, nil); err != nil {
		t.Errorf("the plan that was looked at: %v", err)
	}
	if p := f.plan(); p.Pending() {
		t.Errorf("plan of what runs: %+v", p.Jobs)
	}
}

// How long a drain may take does not make a job another one.
func TestUpdateMakesNoOtherJob(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	f.apply()
	f.job.Spec.Update.DrainTimeout *= 3
	f.job.Ignore = []string{"window-longer-than-drain"}
	if p := f.plan(); p.Pending() {
		t.Errorf("plan: %+v", p.Jobs)
	}
}
