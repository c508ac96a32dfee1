package deploy_test

import (
	"slices"
	"strings"
	"testing"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// When subscriptions move between jobs, all are drained before any is
// launched; no two ever read one subscription.
func TestResharded(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	f.apply()

	resharded := func(jobs int, reason string) *deploy.Result {
		t.Helper()
		f.workers(jobs)
		p := f.plan()
		if !p.Reshard || p.ReshardReason != reason {
			t.Errorf("to %d: reshard %v, %q, want %q", jobs, p.Reshard, p.ReshardReason, reason)
		}
		launches := f.watchLaunches()
		drained := 0
		res, err := f.deployer().Apply(t.Context(), p, func(e deploy.Event) {
			if e.Step == deploy.Drained {
				drained++
			}
			if e.Step == deploy.Launching && drained != len(p.Jobs)-drainless(p) {
				t.Errorf("to %d: %s is launched after %d drains", jobs, e.Job, drained)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(*launches) != jobs {
			t.Errorf("to %d: launches %+v", jobs, *launches)
		}
		if p := f.plan(); p.Pending() || p.Reshard || len(p.Jobs) != jobs {
			t.Errorf("after %d: %+v", jobs, p)
		}
		return res
	}

	res := resharded(6, "flights-0 reads flights-3, which becomes flights-3's")
	for i, j := range res.Jobs {
		if j.Job != f.job.JobName(i) || !j.Launched || (j.Drained != nil) != (i < 3) || j.Retired {
			t.Errorf("to 6: %+v", j)
		}
	}
	want := []string{
		"flights-0@1 drained", "flights-0@2 open", "flights-1@1 drained", "flights-1@2 open", "flights-2@1 drained", "flights-2@2 open",
		"flights-3@1 open", "flights-4@1 open", "flights-5@1 open",
	}
	if diff := cmp.Diff(want, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}

	// And back: three of them retire.
	res = resharded(3, "flights-3 is no longer in the spec")
	for i, j := range res.Jobs {
		if j.Drained == nil || j.Launched != (i < 3) || j.Retired != (i >= 3) || j.Retired && j.State != "DRAINED" {
			t.Errorf("back to 3: %+v", j)
		}
	}
	want = []string{
		"flights-0@1 drained", "flights-0@2 drained", "flights-0@3 open", "flights-1@1 drained", "flights-1@2 drained", "flights-1@3 open",
		"flights-2@1 drained", "flights-2@2 drained", "flights-2@3 open", "flights-3@1 drained", "flights-4@1 drained", "flights-5@1 drained",
	}
	if diff := cmp.Diff(want, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// drainless is how many jobs of a plan are not drained.
func drainless(p *deploy.Plan) int {
	n := 0
	for _, a := range p.Jobs {
		if a.Drains == nil {
			n++
		}
	}
	return n
}

// A job that the spec has no more and that has died, or was never launched, is
// void before anything else happens (P5).
func TestRetireDead(t *testing.T) {
	f := start(t, true, nil)
	f.workers(2)
	res := f.apply()
	f.request(res.Jobs[1].DataflowID, pb.JobState_JOB_STATE_CANCELLED)
	f.waitFor(res.Jobs[1].DataflowID, pb.JobState_JOB_STATE_CANCELLED)
	f.workers(1)
	p := f.plan()
	if a := p.Jobs[1]; a.Job != "flights-1" || a.Kind != deploy.Retire || a.Drains != nil || a.Ended == nil || !p.Pending() {
		t.Errorf("plan %+v", p.Jobs)
	}
	var steps []string
	res, err := f.deployer().Apply(t.Context(), p, func(e deploy.Event) {
		if s := e.Job + " " + string(e.Step); e.Job != "" && !slices.Contains(steps, s) {
			steps = append(steps, s)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) == 0 || steps[0] != "flights-1 ending" || !res.Jobs[1].Retired || res.Jobs[1].State != "VOID" {
		t.Errorf("steps %q, result %+v", steps, res.Jobs)
	}
	if diff := cmp.Diff([]string{"flights-0@1 drained", "flights-0@2 open", "flights-1@1 void"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if p := f.plan(); p.Pending() || len(p.Jobs) != 1 {
		t.Errorf("afterwards %+v", p.Jobs)
	}
}

// The name of a job that has retired may be somebody else's.
func TestRetiredName(t *testing.T) {
	f := start(t, true, nil)
	f.workers(2)
	res := f.apply()
	f.request(res.Jobs[1].DataflowID, pb.JobState_JOB_STATE_DRAINED)
	f.waitFor(res.Jobs[1].DataflowID, pb.JobState_JOB_STATE_DRAINED)
	f.foreign("flights-1", "elsewhere")
	f.workers(1)
	f.apply()
	if diff := cmp.Diff([]string{"flights-0@1 drained", "flights-0@2 open", "flights-1@1 drained"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// foreign launches somebody else's job, which reads a subscription, and
// returns once that is known.
func (f *fixture) foreign(job, subscription string) string {
	f.Helper()
	dataflowtest.SetWorker(f, map[string]dataflowtest.Behaviour{
		job: {Sources: []string{"projects/" + f.job.Spec.Project + "/subscriptions/" + subscription}},
	})
	j, err := f.jobs.Client.Launch(f.Context(), &pb.LaunchFlexTemplateParameter{
		JobName:    job,
		Template:   &pb.LaunchFlexTemplateParameter_ContainerSpecGcsPath{ContainerSpecGcsPath: f.job.Spec.Template},
		Parameters: map[string]string{"jobspec": "gs://somewhere/else.yaml", "job": job},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.waitFor(j.GetId(), pb.JobState_JOB_STATE_RUNNING)
	return j.GetId()
}

// A job of somebody else that reads one of the subscriptions is in the way.
func TestForeignReader(t *testing.T) {
	f := start(t, true, nil)
	f.workers(2)
	f.foreign("other", "flights-4")
	_, err := deploy.Apply(t.Context(), f.config(), nil)
	if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "subscription flights-4: is read by job other") || f.jobs.launches != 0 {
		t.Errorf("got %v, %d launches", err, f.jobs.launches)
	}
}

// Whatever happens after the plan: a job is not launched while another one
// reads its subscriptions (P3).
func TestReaderAppears(t *testing.T) {
	f := start(t, true, nil)
	f.workers(1)
	f.apply()
	f.job.Spec.Horizon *= 2
	other := ""
	_, err := deploy.Apply(t.Context(), f.config(), func(e deploy.Event) {
		if e.Step == deploy.Drained {
			other = f.foreign("other", "flights-2")
		}
	})
	if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "flights-0 is not launched: its subscription flights-2 is still read by other") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"flights-0@1 drained"}, f.summary()); diff != "" || f.jobs.launches != 1 {
		t.Errorf("%d launches, history (-want +got):\n%s", f.jobs.launches, diff)
	}
	f.request(other, pb.JobState_JOB_STATE_CANCELLED)
	f.workers(1)
	f.apply()
	if diff := cmp.Diff([]string{"flights-0@1 drained", "flights-0@2 open"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}
