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

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// fails is a drainer that fails for some jobs.
type fails struct {
	drainer
	jobs []string
}

func (d fails) Drain(ctx context.Context, job string, progress func(string)) error {
	if slices.Contains(d.jobs, job) {
		return errors.New(job + " does not drain")
	}
	return d.drainer.Drain(ctx, job, progress)
}

// So many jobs may be away at a time, and no more (D4); they are taken in the
// order of the spec. Once one has failed no other is taken, and those that were
// come back.
func TestParallel(t *testing.T) {
	f := start(t, true, nil)
	slow := func(_ string, b *dataflowtest.Behaviour) {
		b.DrainTakes, b.StartAfter = 100*time.Millisecond, 100*time.Millisecond
	}
	f.workers(5, slow)
	f.apply()
	f.rollout(jobspecs.Rollout{Parallel: 2, Order: []int{3}, Conditions: conditions(nil)}, slow)

	watching, stop := context.WithCancel(t.Context())
	most := make(chan int)
	go func() {
		away := 0
		for watching.Err() == nil {
			running := 0
			jobs, err := f.jobs.Active(watching)
			for _, j := range jobs {
				if j.GetCurrentState() == pb.JobState_JOB_STATE_RUNNING {
					running++
				}
			}
			if err == nil {
				away = max(away, 5-running)
			}
		}
		most <- away
	}()
	var all []string
	_, err := deploy.Apply(t.Context(), f.config(), steps(&all))
	stop()
	if away := <-most; err != nil || away != 2 {
		t.Errorf("%d jobs were away at a time; %v", away, err)
	}
	var drained []string
	for _, s := range all {
		if job, ok := strings.CutSuffix(s, " draining"); ok {
			drained = append(drained, job)
		}
	}
	first := slices.Sorted(slices.Values(drained[:2]))
	if diff := cmp.Diff([]string{"flights-0", "flights-3"}, first); diff != "" || len(drained) != 5 {
		t.Errorf("drained %v", drained)
	}

	f.rollout(jobspecs.Rollout{Parallel: 2, Conditions: conditions(nil)}, slow)
	cfg := f.config()
	cfg.Drainer = fails{drainer{f}, []string{"flights-0"}}
	res, err := deploy.Apply(t.Context(), cfg, nil)
	if err == nil || err.Error() != "flights-0 does not drain" {
		t.Errorf("got %v", err)
	}
	if len(res.Jobs) != 1 || res.Jobs[0].Job != "flights-1" || !res.Jobs[0].Launched || res.Jobs[0].Health == nil || !res.Jobs[0].Health.Healthy {
		t.Errorf("result %+v", res.Jobs)
	}
}

// A canary is watched before the rest is taken. One that fails leaves the rest
// alone, and so does one that was replaced by an Apply that was killed while it
// watched: the next one watches it anew.
func TestCanary(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	f.apply()
	r := jobspecs.Rollout{Parallel: 2, Order: []int{2}, Canary: 1, CanaryFor: 400 * ms, Conditions: conditions(nil)}
	f.rollout(r)

	// Killed while the canary is watched.
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	_, err := deploy.Apply(ctx, f.config(), func(e deploy.Event) {
		if e.Step == deploy.Baking {
			kill()
		}
	})
	want := []string{"flights-0@1 open", "flights-1@1 open", "flights-2@1 drained", "flights-2@2 open"}
	if diff := cmp.Diff(want, f.summary()); diff != "" || exit.Of(err) != exit.Interrupted {
		t.Fatalf("%v, history (-want +got):\n%s", err, diff)
	}

	// It is watched anew, and fails: the rest is left alone.
	cfg := f.config()
	held := *f.job
	held.Spec.Update.Rollout.Conditions.Comparison = "flights"
	cfg.Job, cfg.Gate = &held, &gate{verdicts: []string{"GO", "HOLD"}}
	res, err := deploy.Apply(t.Context(), cfg, nil)
	if diff := cmp.Diff(want, f.summary()); diff != "" || exit.Of(err) != exit.GateNotMet {
		t.Fatalf("%v, history (-want +got):\n%s", err, diff)
	}
	if j := res.Jobs[len(res.Jobs)-1]; j.Job != "flights-2" || !j.Health.Healthy || j.Canary == nil || j.Canary.Healthy {
		t.Errorf("result %+v", j)
	}

	// It is watched anew again, for as long as the spec wants, and then the rest is taken.
	var all []string
	res, err = deploy.Apply(t.Context(), f.config(), steps(&all))
	if err != nil {
		t.Fatal(err)
	}
	baked := slices.Index(all, "flights-2 baked")
	if baked < 0 || baked > slices.Index(all, "flights-0 draining") || baked > slices.Index(all, "flights-1 draining") {
		t.Errorf("steps %v", all)
	}
	if j := res.Jobs[2]; j.Launched || j.Canary == nil || !j.Canary.Healthy || j.Canary.HeldSeconds < 0.4 {
		t.Errorf("canary %+v: %+v", j, j.Canary)
	}
	want = []string{"flights-0@1 drained", "flights-0@2 open", "flights-1@1 drained", "flights-1@2 open", "flights-2@1 drained", "flights-2@2 open"}
	if diff := cmp.Diff(want, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// An Apply that was killed while it watched the last job left nothing to be done
// but that.
func TestHealthResumed(t *testing.T) {
	f := start(t, true, nil)
	f.workers(1)
	f.apply()
	f.rollout(jobspecs.Rollout{Parallel: 1, Conditions: conditions(nil)})
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	if _, err := deploy.Apply(ctx, f.config(), func(e deploy.Event) {
		if e.Step == deploy.Watching {
			kill()
		}
	}); exit.Of(err) != exit.Interrupted {
		t.Fatal(err)
	}
	for n, want := range []bool{true, false} {
		var all []string
		if _, err := deploy.Apply(t.Context(), f.config(), steps(&all)); err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(all, "flights-0 healthy"); got != want {
			t.Errorf("applied again, %d: watched %v; steps %v", n, got, all)
		}
	}
	all, err := f.journal.Deployments(t.Context(), 0)
	if err != nil || len(all) != 2 || all[0].Outcome() != journal.OutcomeDone {
		t.Errorf("%d deployments, the last %s; %v", len(all), all[0].Outcome(), err)
	}
}
