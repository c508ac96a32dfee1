package deploy_test

import (
	"context"
	"errors"
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
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// updating is a fixture whose jobs run and are to be updated in place.
func updating(t *testing.T, jobs int, change ...func(job string, b *dataflowtest.Behaviour)) *fixture {
	t.Helper()
	f := start(t, true, nil)
	f.workers(jobs)
	f.apply()
	f.job.Spec.Update.Strategy = jobspecs.StrategyUpdate
	f.job.Spec.Update.TransformNameMapping = map[string]string{"Count": "CountPerKey"}
	f.job.Spec.Horizon *= 2
	f.workers(jobs, change...)
	f.jobs.launches = 0
	return f
}

// ids are the Dataflow ids that the jobs of a group are on record with.
func (f *fixture) ids(jobs int) []string {
	f.Helper()
	var out []string
	for i := range jobs {
		gs := f.generations(f.job.JobName(i))
		out = append(out, gs[len(gs)-1].DataflowJobID.StringVal)
	}
	return out
}

// state is the state of a Dataflow job.
func (f *fixture) state(id string) pb.JobState {
	f.Helper()
	j, err := f.jobs.Summary(f.Context(), id)
	if err != nil {
		f.Fatal(err)
	}
	return j.GetCurrentState()
}

// The generations go on as other Dataflow jobs, one after the other.
func TestUpdate(t *testing.T) {
	for _, strategy := range []string{jobspecs.StrategyUpdate, jobspecs.StrategyManaged} {
		t.Run(strategy, func(t *testing.T) {
			f := updating(t, 2)
			f.job.Spec.Update.Strategy = strategy
			old := f.ids(2)
			p := f.plan()
			for i, a := range p.Jobs {
				if diff := cmp.Diff(&deploy.Handover{Generation: 1, From: old[i]}, a.Handover); diff != "" || a.Kind != deploy.Update || a.Generation != 1 || a.Drains != nil ||
					!strings.Contains(a.Reason, "generation 1 goes on with its state") || len(a.Changes) != 1 {
					t.Errorf("action %+v\n%s", a, diff)
				}
			}
			var requests []*pb.LaunchFlexTemplateParameter
			f.jobs.requested = func(p *pb.LaunchFlexTemplateParameter) { requests = append(requests, p) }
			var steps []string
			res, err := f.deployer().Apply(t.Context(), p, func(e deploy.Event) {
				switch e.Step {
				case deploy.Updating, deploy.Updated, deploy.Running:
					if s := e.Job + " " + string(e.Step); len(steps) == 0 || steps[len(steps)-1] != s {
						steps = append(steps, s)
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, j := range f.job.JobNames() {
				want = append(want, j+" updating", j+" updated", j+" running")
			}
			if diff := cmp.Diff(want, steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"flights-0@1 open", "flights-1@1 open"}, f.summary()); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
			now := f.ids(2)
			for i, j := range res.Jobs {
				if j.DataflowID != now[i] || now[i] == old[i] || j.Updated != old[i] || j.Generation != 1 || !j.Launched || j.State != "RUNNING" {
					t.Errorf("result %+v, on record %s", j, now[i])
				}
				if f.state(old[i]) != pb.JobState_JOB_STATE_UPDATED || f.state(now[i]) != pb.JobState_JOB_STATE_RUNNING {
					t.Errorf("%s is %v, %s is %v", old[i], f.state(old[i]), now[i], f.state(now[i]))
				}
				options := strings.Join(requests[i].GetEnvironment().GetAdditionalExperiments(), " ")
				if !requests[i].GetUpdate() || requests[i].GetTransformNameMappings()["Count"] != "CountPerKey" ||
					strings.Contains(options, "update_strategy_in_place_update") != (strategy == jobspecs.StrategyManaged) {
					t.Errorf("request %+v", requests[i])
				}
			}
			if p := f.plan(); p.Pending() || len(p.Problems) > 0 {
				t.Errorf("afterwards: %+v", p)
			}
			// The generation ends as the job that it has become.
			f.request(now[0], pb.JobState_JOB_STATE_DRAINED)
			f.waitFor(now[0], pb.JobState_JOB_STATE_DRAINED)
			f.apply()
			if diff := cmp.Diff([]string{"flights-0@1 drained", "flights-0@2 open", "flights-1@1 open"}, f.summary()); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
		})
	}
}

// An update that the service refuses leaves the generation as it was, and stops the
// rollout with the service's words; nobody waits for the old job.
func TestUpdateFails(t *testing.T) {
	f := updating(t, 2, func(job string, b *dataflowtest.Behaviour) { b.NoTakeOver = job == "flights-0" })
	old := f.ids(2)
	began := time.Now()
	res, err := deploy.Apply(t.Context(), f.config(), nil)
	if exit.Of(err) != exit.Failed {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"flights-0 (" + old[0] + ") was not updated", "became FAILED", "the coder of step Count has changed", old[0] + " goes on, and generation 1 with it"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if took := time.Since(began); took > f.config().StartTimeout {
		t.Errorf("it took %s", took)
	}
	if len(res.Jobs) != 0 || f.jobs.launches != 1 {
		t.Errorf("%d launches, result %+v", f.jobs.launches, res)
	}
	if diff := cmp.Diff([]string{"flights-0@1 open", "flights-1@1 open"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(old, f.ids(2)); diff != "" || f.state(old[0]) != pb.JobState_JOB_STATE_RUNNING {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	// Mended, it goes through.
	f.workers(2)
	f.apply()
	if f.state(old[0]) != pb.JobState_JOB_STATE_UPDATED || f.state(old[1]) != pb.JobState_JOB_STATE_UPDATED {
		t.Errorf("%v, %v", f.state(old[0]), f.state(old[1]))
	}
}

// An update that takes longer than it may goes on, its id is told, and the next run
// waits for it and launches nothing.
func TestUpdateTakesLong(t *testing.T) {
	f := updating(t, 1, func(_ string, b *dataflowtest.Behaviour) { b.TakeOverAfter = 700 * time.Millisecond })
	old := f.ids(1)[0]
	cfg := f.config()
	cfg.StartTimeout = 200 * time.Millisecond
	_, err := deploy.Apply(t.Context(), cfg, nil)
	jobs, nerr := f.jobs.Named(t.Context(), "flights-0")
	if nerr != nil || len(jobs) != 2 {
		t.Fatalf("%d jobs, %v", len(jobs), nerr)
	}
	id := jobs[0].GetId()
	if exit.Of(err) != exit.Failed || !strings.Contains(err.Error(), "still being updated after 200ms") || !strings.Contains(err.Error(), id) {
		t.Errorf("got %v, want one with %s", err, id)
	}
	last, jerr := f.journal.Deployments(t.Context(), 1)
	if jerr != nil || len(last) != 1 {
		t.Fatal(jerr)
	}
	recorded := false
	for _, e := range last[0].Entries {
		recorded = recorded || e.DataflowID == id
	}
	if !recorded {
		t.Errorf("the journal lacks job %s: %+v", id, last[0].Entries)
	}
	p := f.plan()
	if diff := cmp.Diff(&deploy.Handover{Generation: 1, From: old, To: id}, p.Jobs[0].Handover); diff != "" || p.Jobs[0].Kind != deploy.Update {
		t.Errorf("plan %+v\n%s", p.Jobs[0], diff)
	}
	f.apply()
	if f.jobs.launches != 1 || f.ids(1)[0] != id || f.state(old) != pb.JobState_JOB_STATE_UPDATED {
		t.Errorf("%d launches, on record %v", f.jobs.launches, f.ids(1))
	}
}

// A launch whose answer was lost is found by its label, and is not repeated; one
// that has failed before is not taken for it.
func TestUpdateAnswerLost(t *testing.T) {
	f := updating(t, 1, func(_ string, b *dataflowtest.Behaviour) { b.NoTakeOver = true })
	if _, err := deploy.Apply(t.Context(), f.config(), nil); err == nil {
		t.Fatal("the update went through")
	}
	f.workers(1)
	old := f.ids(1)[0]
	f.jobs.launch = func(call func() (*pb.Job, error)) (*pb.Job, error) {
		if _, err := call(); err != nil {
			t.Error(err)
		}
		return nil, status.Error(codes.Unavailable, "the answer is lost")
	}
	res := f.apply()
	jobs, err := f.jobs.Named(t.Context(), "flights-0")
	if err != nil || len(jobs) != 3 || f.jobs.launches != 2 || res.Jobs[0].DataflowID != jobs[0].GetId() || res.Jobs[0].Updated != old {
		t.Errorf("%d jobs, %d launches, result %+v, %v", len(jobs), f.jobs.launches, res.Jobs, err)
	}
}

// Whatever happens to a job that was updated before that is on record, is what
// happened to its generation.
func TestUpdatedButNotRecorded(t *testing.T) {
	for _, c := range []struct {
		name string
		then func(f *fixture, id string)
		want []string
	}{
		{"it runs", func(*fixture, string) {}, []string{"flights-0@1 open"}},
		{"it drains", func(f *fixture, id string) { f.request(id, pb.JobState_JOB_STATE_DRAINED) }, []string{"flights-0@1 drained", "flights-0@2 open"}},
		{"it has drained", func(f *fixture, id string) {
			f.request(id, pb.JobState_JOB_STATE_DRAINED)
			f.waitFor(id, pb.JobState_JOB_STATE_DRAINED)
		}, []string{"flights-0@1 drained", "flights-0@2 open"}},
		{"it was cancelled", func(f *fixture, id string) {
			f.request(id, pb.JobState_JOB_STATE_CANCELLED)
			f.waitFor(id, pb.JobState_JOB_STATE_CANCELLED)
		}, []string{"flights-0@1 void", "flights-0@2 open"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := updating(t, 1)
			cfg := f.config()
			cfg.History = lossyHistory{cfg.History}
			if _, err := deploy.Apply(t.Context(), cfg, nil); !errors.Is(err, errKilled) {
				t.Fatalf("got %v", err)
			}
			jobs, err := f.jobs.Named(t.Context(), "flights-0")
			if err != nil || len(jobs) != 2 {
				t.Fatalf("%d jobs, %v", len(jobs), err)
			}
			id := jobs[0].GetId()
			f.waitFor(id, pb.JobState_JOB_STATE_RUNNING)
			c.then(f, id)
			f.apply()
			if diff := cmp.Diff(c.want, f.summary()); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
			if gs := f.generations("flights-0"); gs[0].DataflowJobID.StringVal != id {
				t.Errorf("generation 1 is on record as %s, want %s", gs[0].DataflowJobID.StringVal, id)
			}
			if p := f.plan(); p.Pending() {
				t.Errorf("afterwards: %+v", p.Jobs)
			}
		})
	}
}

// lossyHistory loses what is recorded of updates.
type lossyHistory struct{ deploy.History }

func (lossyHistory) RecordUpdated(context.Context, string, int64, string, string) error {
	return errKilled
}

// invariant D2: an update that is killed between any two of its operations is
// finished by the next run: no second one is launched.
func TestUpdateResumed(t *testing.T) {
	for at := 1; ; at++ {
		f := updating(t, 1)
		old := f.ids(1)[0]
		k := &kill{at: at}
		_, err := deploy.Apply(t.Context(), k.config(f), nil)
		if err == nil {
			if at <= 3 {
				t.Errorf("only %d operations", at-1)
			}
			return // it was not killed any more
		}
		if !strings.Contains(err.Error(), errKilled.Error()) {
			t.Fatalf("killed at %d: %v", at, err)
		}
		f.jobs.launch = nil
		f.apply()
		jobs, err := f.jobs.Named(t.Context(), "flights-0")
		if err != nil || len(jobs) != 2 {
			t.Errorf("killed at %d: %d jobs, %v", at, len(jobs), err)
		}
		if gs := f.generations("flights-0"); len(gs) != 1 || gs[0].State != tables.StateOpen || gs[0].DataflowJobID.StringVal != jobs[0].GetId() || gs[0].DataflowJobID.StringVal == old {
			t.Errorf("killed at %d: %+v", at, gs)
		}
		if p := f.plan(); p.Pending() {
			t.Errorf("killed at %d, resumed: %+v", at, p.Jobs)
		}
	}
}

// A job that drains cannot be updated: its drain is watched, and the next generation
// launched.
func TestUpdateOfDraining(t *testing.T) {
	f := updating(t, 1)
	id := f.ids(1)[0]
	f.request(id, pb.JobState_JOB_STATE_DRAINED)
	f.apply()
	if diff := cmp.Diff([]string{"flights-0@1 drained", "flights-0@2 open"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// Where subscriptions move, jobs are drained, whatever the strategy.
func TestUpdateReshards(t *testing.T) {
	f := start(t, true, nil)
	f.workers(1)
	f.apply()
	f.workers(2)
	f.job.Spec.Update.Strategy = jobspecs.StrategyUpdate
	f.watchLaunches()
	f.apply()
	if diff := cmp.Diff([]string{"flights-0@1 drained", "flights-0@2 open", "flights-1@1 open"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}
