package deploy_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// One job is replaced after the other, and the rest goes on (D4).
func TestReplace(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	f.apply()
	f.job.Metadata.Description = "other words make no other spec"
	if p := f.plan(); p.Pending() {
		t.Errorf("plan %+v", p)
	}
	f.job.Spec.Horizon *= 2
	p := f.plan()
	for _, a := range p.Jobs {
		if a.Kind != deploy.Replace || a.Generation != 2 || a.Drains == nil || a.Drains.Generation != 1 {
			t.Errorf("action %+v", a)
		}
	}
	if !p.Pending() || p.Reshard {
		t.Errorf("plan %+v", p)
	}
	launches := f.watchLaunches()
	var steps []string
	res, err := f.deployer().Apply(t.Context(), p, func(e deploy.Event) {
		if s := e.Job + " " + string(e.Step); !slices.Contains(steps, s) && e.Job != "" && e.Step != deploy.Starting {
			steps = append(steps, s)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, j := range f.job.JobNames() {
		want = append(want, j+" draining", j+" drained", j+" recording", j+" launching", j+" completing", j+" running")
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	wantLaunches := []launched{{"flights-0", []string{"flights-1", "flights-2"}}, {"flights-1", []string{"flights-0", "flights-2"}}, {"flights-2", []string{"flights-0", "flights-1"}}}
	if diff := cmp.Diff(wantLaunches, *launches, cmp.AllowUnexported(launched{})); diff != "" {
		t.Errorf("launches (-want +got):\n%s", diff)
	}
	for _, j := range res.Jobs {
		d := j.Drained
		if !j.Launched || j.Generation != 2 || d == nil || d.Generation != 1 || d.Seconds <= 0 || d.Watermark == nil || d.WindowsCut == nil || *d.WindowsCut != 0 {
			t.Errorf("result %+v, drained %+v", j, d)
		}
		gs := f.generations(j.Job)
		if len(gs) != 2 || gs[0].State != tables.StateDrained || gs[1].State != tables.StateOpen || gs[1].Supersedes.Valid || gs[1].Group != "flights" ||
			gs[0].RecordedAt.After(gs[1].RecordedAt) {
			t.Errorf("history of %s: %+v", j.Job, gs)
		}
	}
	if p := f.plan(); p.Pending() || len(p.Problems) > 0 {
		t.Errorf("afterwards: %+v", p)
	}
}

// A drain that fails stops everything: the jobs after it are left alone, and
// nothing more is launched (D4).
func TestReplaceStops(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3, func(job string, b *dataflowtest.Behaviour) {
		if job == "flights-1" {
			b.DrainExit, b.NoDrained = 9, true
		}
	})
	f.apply()
	f.workers(3)
	f.job.Spec.Horizon *= 2
	f.jobs.launches = 0
	res, err := deploy.Apply(t.Context(), f.config(), nil)
	if err == nil || !strings.Contains(err.Error(), "became FAILED instead of DRAINED") {
		t.Fatalf("got %v", err)
	}
	if len(res.Jobs) != 1 || res.Jobs[0].Job != "flights-0" || f.jobs.launches != 1 {
		t.Errorf("%d launches, result %+v", f.jobs.launches, res)
	}
	want := []string{"flights-0@1 drained", "flights-0@2 open", "flights-1@1 open", "flights-2@1 open"}
	if diff := cmp.Diff(want, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	// The next one goes on: what died is void, and comes back first (P5).
	launches := f.watchLaunches()
	f.apply()
	want = []string{"flights-0@1 drained", "flights-0@2 open", "flights-1@1 void", "flights-1@2 open", "flights-2@1 drained", "flights-2@2 open"}
	if diff := cmp.Diff(want, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if gs := f.generations("flights-1"); gs[1].Supersedes.StringVal != "flights-1@1" {
		t.Errorf("flights-1: %+v", gs)
	}
	wantLaunches := []launched{{"flights-1", []string{"flights-0", "flights-2"}}, {"flights-2", []string{"flights-0", "flights-1"}}}
	if diff := cmp.Diff(wantLaunches, *launches, cmp.AllowUnexported(launched{})); diff != "" {
		t.Errorf("launches (-want +got):\n%s", diff)
	}
}

// drainFunc drains as a function does.
type drainFunc func(ctx context.Context, job string) error

func (fn drainFunc) Drain(ctx context.Context, job string, _ func(string)) error { return fn(ctx, job) }

func (fn drainFunc) Cancel(ctx context.Context, job string, _ func(string)) error {
	return fn(ctx, job)
}

// invariant D3: a drain is over when the service says DRAINED and that is on
// record, whatever the watermarks and the drainer say.
func TestReplaceWaitsForDrained(t *testing.T) {
	for _, c := range []struct {
		name  string
		hold  bool
		drain func(f *fixture, id string)
		want  string
	}{
		{"its sources are at the maximum", true, func(f *fixture, id string) {
			f.request(id, pb.JobState_JOB_STATE_DRAINED)
			dataflowtest.Eventually(f, "the watermark is at its maximum", func(ctx context.Context) bool {
				o, err := drainer{f}.Observe(ctx, []string{"flights-0"})
				return err == nil && o[0].Watermark.IsZero() && o[0].State == "DRAINING"
			})
		}, "is DRAINING after its drain instead of DRAINED"},
		{"it has drained, but is not on record", false, func(f *fixture, id string) {
			f.request(id, pb.JobState_JOB_STATE_DRAINED)
			f.waitFor(id, pb.JobState_JOB_STATE_DRAINED)
		}, `the history has its generation 1 as "open"`},
		{"it is on record, but runs", true, func(f *fixture, id string) {
			if err := f.store.RecordDrained(f.Context(), "flights", "flights-0", id, 1, time.Time{}); err != nil {
				f.Fatal(err)
			}
		}, "is RUNNING after its drain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t, true, nil)
			f.workers(1, func(_ string, b *dataflowtest.Behaviour) { b.Hold = c.hold })
			id := f.apply().Jobs[0].DataflowID
			f.job.Spec.Horizon *= 2
			cfg := f.config()
			cfg.Drainer = drainFunc(func(context.Context, string) error { c.drain(f, id); return nil })
			_, err := deploy.Apply(t.Context(), cfg, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if f.jobs.launches != 1 || len(f.generations("flights-0")) != 1 {
				t.Errorf("%d launches, history %v", f.jobs.launches, f.summary())
			}
		})
	}
}

func TestReplaceNeedsDrainer(t *testing.T) {
	f := start(t, true, nil)
	f.workers(1)
	cfg := f.config()
	cfg.Drainer = nil
	if _, err := deploy.Apply(t.Context(), cfg, nil); err != nil { // drains nothing
		t.Fatal(err)
	}
	f.job.Spec.Horizon *= 2
	cfg.Job = f.job
	if _, err := deploy.Apply(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), "no drainer") {
		t.Errorf("got %v", err)
	}
}

// kill ends a run before its nth operation that others can see, as SIGKILL
// would: that is after the one before, too.
type kill struct{ at, n int }

var errKilled = errors.New("killed")

// before calls fn, unless the run is over.
func (k *kill) before(fn func() error) error {
	if k.n++; k.n >= k.at {
		return errKilled
	}
	return fn()
}

// config is a config whose run is killed.
func (k *kill) config(f *fixture) deploy.Config {
	cfg := f.config()
	cfg.History = killedHistory{cfg.History, k}
	cfg.Drainer = drainFunc(func(ctx context.Context, job string) error {
		// Killed before the request, and while the drain goes on.
		err := k.before(func() error {
			jobs, err := f.jobs.Named(ctx, job)
			if err != nil || jobs[0].GetCurrentState() != pb.JobState_JOB_STATE_RUNNING {
				return err
			}
			f.request(jobs[0].GetId(), pb.JobState_JOB_STATE_DRAINED)
			return nil
		})
		if err != nil {
			return err
		}
		return k.before(func() error { return drainer{f}.Drain(ctx, job, func(string) {}) })
	})
	f.jobs.launch = func(call func() (*pb.Job, error)) (j *pb.Job, err error) {
		err = k.before(func() (err error) { j, err = call(); return err })
		if err != nil {
			return nil, status.Error(codes.PermissionDenied, err.Error()) // not taken for a lost answer
		}
		return j, nil
	}
	return cfg
}

type killedHistory struct {
	deploy.History
	k *kill
}

func (h killedHistory) Append(ctx context.Context, g tables.Generation) (row tables.Generation, err error) {
	err = h.k.before(func() (err error) { row, err = h.History.Append(ctx, g); return err })
	return row, err
}

func (h killedHistory) RecordUpdated(ctx context.Context, job string, generation int64, from, to string) error {
	return h.k.before(func() error { return h.History.RecordUpdated(ctx, job, generation, from, to) })
}

func (h killedHistory) RecordDrained(ctx context.Context, group, job, id string, generation int64, watermark time.Time) error {
	return h.k.before(func() error { return h.History.RecordDrained(ctx, group, job, id, generation, watermark) })
}

// A job that drains is watched to its end and then replaced, whoever asked for
// the drain.
func TestReplaceDraining(t *testing.T) {
	f := start(t, true, nil)
	f.workers(1, func(_ string, b *dataflowtest.Behaviour) { b.DrainTakes = 300 * time.Millisecond })
	id := f.apply().Jobs[0].DataflowID
	f.request(id, pb.JobState_JOB_STATE_DRAINED)
	p := f.plan()
	if a := p.Jobs[0]; a.Kind != deploy.Replace || a.Drains.State != "DRAINING" {
		t.Fatalf("plan %+v", p.Jobs)
	}
	f.waitFor(id, pb.JobState_JOB_STATE_DRAINED) // the plan is as good as before
	res, err := f.deployer().Apply(t.Context(), p, nil)
	if err != nil || res.Jobs[0].Generation != 2 || !res.Jobs[0].Launched {
		t.Errorf("%+v, %v", res, err)
	}
}

// A job that does not drain in time is left to it, and the rollout stops.
func TestReplaceTimeout(t *testing.T) {
	f := start(t, true, nil)
	f.workers(2, func(_ string, b *dataflowtest.Behaviour) { b.Hold = true })
	f.apply()
	f.job.Spec.Horizon *= 2
	cfg := f.config()
	cfg.Drainer = drainFunc(func(ctx context.Context, _ string) error {
		return exit.With(exit.DrainTimeout, errors.New("takes too long"))
	})
	res, err := deploy.Apply(t.Context(), cfg, nil)
	if exit.Of(err) != exit.DrainTimeout || len(res.Jobs) != 0 || f.jobs.launches != 2 {
		t.Errorf("%+v, %v, %d launches", res, err, f.jobs.launches)
	}
}
