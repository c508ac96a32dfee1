package deploy_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// cancelling is a fixture whose jobs run and are to be cancelled.
func cancelling(t *testing.T, jobs int, change ...func(job string, b *dataflowtest.Behaviour)) *fixture {
	t.Helper()
	f := start(t, true, nil)
	f.workers(jobs, change...)
	f.job.Spec.Update.Strategy = jobspecs.StrategyCancel // of no meaning for a first launch
	f.apply()
	f.job.Spec.Horizon *= 2
	f.workers(jobs)
	f.jobs.launches = 0
	return f
}

// A job is cancelled only if whoever applies has said so; its generation is void, and
// its successor reads its messages again (invariant P5).
func TestCancelStrategy(t *testing.T) {
	f := cancelling(t, 2, func(_ string, b *dataflowtest.Behaviour) { b.Hold = true }) // none would drain
	p := f.plan()
	for _, a := range p.Jobs {
		if a.Kind != deploy.Cancel || a.Generation != 2 || a.Cancels == nil || a.Cancels.Generation != 1 || a.Drains != nil || !strings.Contains(a.Reason, "generation 1 becomes void") {
			t.Errorf("action %+v", a)
		}
	}
	_, err := f.deployer().Apply(t.Context(), p, nil)
	if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "cancels flights-0@1, flights-1@1") || !strings.Contains(err.Error(), "--accept-loss") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"flights-0@1 open", "flights-1@1 open"}, f.summary()); diff != "" || f.jobs.launches != 0 {
		t.Errorf("%d launches, history (-want +got):\n%s", f.jobs.launches, diff)
	}
	launches := f.watchLaunches()
	cfg := f.config()
	cfg.AcceptLoss = true
	var steps []string
	res, err := deploy.Apply(t.Context(), cfg, func(e deploy.Event) {
		switch e.Step {
		case deploy.Cancelling, deploy.Cancelled, deploy.Replaying, deploy.Launching, deploy.Running:
			if s := e.Job + " " + string(e.Step); !slices.Contains(steps, s) {
				steps = append(steps, s)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, j := range f.job.JobNames() {
		want = append(want, j+" cancelling", j+" cancelled", j+" replaying", j+" launching", j+" running")
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"flights-0@1 void", "flights-0@2 open", "flights-1@1 void", "flights-1@2 open"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]launched{{"flights-0", []string{"flights-1"}}, {"flights-1", []string{"flights-0"}}}, *launches, cmp.AllowUnexported(launched{})); diff != "" {
		t.Errorf("launches (-want +got):\n%s", diff)
	}
	for _, j := range res.Jobs {
		if gs := f.generations(j.Job); gs[1].Supersedes.StringVal != j.Job+"@1" || j.Drained != nil || !j.Launched || j.PauseSeconds == nil {
			t.Errorf("result %+v, history %+v", j, gs)
		}
		if got := f.snapshots()["kappa-"+j.Job]; got != j.Job+"@2" {
			t.Errorf("the snapshot of %s is of %s", j.Job, got)
		}
	}
	if p := f.plan(); p.Pending() {
		t.Errorf("afterwards: %+v", p.Jobs)
	}
}

// A cancel that was begun, by us or by somebody else, is watched to its end, and a
// job that has ended meanwhile is what it has ended as.
func TestCancelStrategyResumed(t *testing.T) {
	for _, c := range []struct {
		name string
		ask  pb.JobState
		want []string
	}{
		{"cancelled", pb.JobState_JOB_STATE_CANCELLED, []string{"flights-0@1 void", "flights-0@2 open"}},
		{"drained", pb.JobState_JOB_STATE_DRAINED, []string{"flights-0@1 drained", "flights-0@2 open"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := cancelling(t, 1)
			id := f.ids(1)[0]
			cfg := f.config()
			cfg.AcceptLoss = true
			k := &kill{at: 1}
			kcfg := k.config(f)
			kcfg.AcceptLoss = true
			if _, err := deploy.Apply(t.Context(), kcfg, nil); err == nil {
				t.Fatal("not killed")
			}
			f.jobs.launch = nil
			f.request(id, c.ask)
			f.waitFor(id, c.ask)
			if _, err := deploy.Apply(t.Context(), cfg, nil); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, f.summary()); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
		})
	}
}

// cancelFunc calls a function before it cancels.
type cancelFunc struct {
	deploy.Drainer
	before func()
}

func (c cancelFunc) Cancel(ctx context.Context, job string, progress func(string)) error {
	c.before()
	return c.Drainer.Cancel(ctx, job, progress)
}

// If a job drains before the cancel reaches it, that is a drain: its rows count, and
// nothing is superseded.
func TestCancelStrategyDrained(t *testing.T) {
	f := cancelling(t, 1)
	id := f.ids(1)[0]
	cfg := f.config()
	cfg.AcceptLoss = true
	cfg.Drainer = cancelFunc{drainer{f}, func() {
		f.request(id, pb.JobState_JOB_STATE_DRAINED)
		f.waitFor(id, pb.JobState_JOB_STATE_DRAINED)
	}}
	res, err := deploy.Apply(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if gs := f.generations("flights-0"); len(gs) != 2 || gs[1].Supersedes.Valid || res.Jobs[0].Drained == nil {
		t.Errorf("history %+v, result %+v", gs, res.Jobs)
	}
	if diff := cmp.Diff([]string{"flights-0@1 drained", "flights-0@2 open"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}
