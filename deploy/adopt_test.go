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

// Jobs that were started by hand, one of them under another name, become jobs of
// the group, and the next apply replaces them.
func TestAdopt(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	old := f.launchByHand("old-flights", map[string]string{"job": "flights-0", "generation": "3"})
	named := f.launchByHand("flights-1", map[string]string{"job": "flights-1"})
	f.observes(old)
	f.observes(named)
	if p, err := f.deployer().Plan(t.Context()); err != nil || len(p.Errors()) != 3 || !strings.Contains(p.Errors()[0].Mend, "kappa deploy adopt") {
		t.Errorf("before: %+v, %v", p, err) // one is not ours, the other reads two subscriptions that are
	}
	list := []deploy.Adoption{{Job: "flights-0", DataflowID: old}, {Job: "flights-1", DataflowID: named}}
	d := f.deployerFor("at 3 am")
	p, err := d.PlanAdopt(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	want := []deploy.Adopted{
		{Job: "flights-0", Kind: deploy.Adopt, Generation: 3, DataflowID: old, Name: "old-flights", State: "RUNNING", Reads: []string{"flights-0", "flights-3"},
			Unknown: []string{"which spec it runs with: the next apply replaces it"}},
		{Job: "flights-1", Kind: deploy.Adopt, Generation: 1, DataflowID: named, Name: "flights-1", State: "RUNNING", Reads: []string{"flights-1", "flights-4"},
			Unknown: []string{"which writer it is: its rows count only if its parameters say --job=flights-1 --generation=1", "which spec it runs with: the next apply replaces it"}},
	}
	if diff := cmp.Diff(want, p.Jobs); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	var steps []string
	if _, err := d.Adopt(t.Context(), p, func(e deploy.Event) { steps = append(steps, strings.TrimSpace(string(e.Step)+" "+e.Job)) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"creating", "recording flights-0", "running flights-0", "recording flights-1", "running flights-1"}, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"flights-0@3 open", "flights-1@1 open"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	deployments, err := d.Deployments(t.Context(), 0, "flights-0")
	if err != nil || len(deployments) != 1 || deployments[0].Command != "adopt" || deployments[0].Reason != "at 3 am" || deployments[0].Outcome != "done" {
		t.Errorf("journal: %+v, %v", deployments, err)
	}

	// A second time nothing is done.
	again, err := d.PlanAdopt(t.Context(), list)
	if err != nil || again.Jobs[0].Kind != deploy.Keep || again.Jobs[0].Generation != 3 {
		t.Fatalf("again: %+v, %v", again, err)
	}
	if _, err := d.Adopt(t.Context(), again, nil); err != nil {
		t.Fatal(err)
	}
	if deployments, err = d.Deployments(t.Context(), 0, ""); err != nil || len(deployments) != 1 {
		t.Errorf("journal: %+v, %v", deployments, err)
	}

	s := f.status()
	if j := s.Jobs[0]; !j.Adopted || j.Generation != 3 || j.State != "RUNNING" || j.DataflowID != old || j.Spec != "" || j.Watermark == nil || j.Deployment == nil || j.Deployment.Command != "adopt" {
		t.Errorf("status: %+v", j)
	}
	if len(s.Drift) > 0 {
		t.Errorf("drift: %v", driftLines(s.Drift))
	}
	plan := f.plan()
	for i, want := range []deploy.Action{
		{Job: "flights-0", Kind: deploy.Replace, Generation: 4, Drains: &deploy.Drains{Generation: 3, DataflowID: old, State: "RUNNING"}, Reason: "is RUNNING; adopted, and what it runs with is not known"},
		{Job: "flights-1", Kind: deploy.Replace, Generation: 2, Drains: &deploy.Drains{Generation: 1, DataflowID: named, State: "RUNNING"}, Reason: "is RUNNING; adopted, and what it runs with is not known"},
		{Job: "flights-2", Kind: deploy.Launch, Generation: 1, Reason: "was never launched"},
	} {
		if diff := cmp.Diff(want, plan.Jobs[i]); diff != "" {
			t.Errorf("plan (-want +got):\n%s", diff)
		}
	}
	launches := f.watchLaunches()
	f.applyFor("ours now")
	if len(*launches) != 3 {
		t.Errorf("launches %+v", *launches)
	}
	if diff := cmp.Diff([]string{"flights-0@3 drained", "flights-0@4 open", "flights-1@1 drained", "flights-1@2 open", "flights-2@1 open"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if s = f.status(); len(s.Drift) > 0 || s.Jobs[0].Adopted || s.Jobs[0].DataflowID == old {
		t.Errorf("status: %+v", s)
	}
}

// An adopted job of another name that has ended is found too.
func TestAdoptedHasEnded(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	old := f.launchByHand("old-flights", map[string]string{"job": "flights-0", "generation": "1"})
	f.observes(old)
	p, err := f.deployer().PlanAdopt(t.Context(), []deploy.Adoption{{Job: "flights-0", DataflowID: old}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.deployer().Adopt(t.Context(), p, nil); err != nil {
		t.Fatal(err)
	}
	f.request(old, pb.JobState_JOB_STATE_CANCELLED)
	f.waitFor(old, pb.JobState_JOB_STATE_CANCELLED)
	a := f.plan().Jobs[0]
	if a.Kind != deploy.Launch || a.Generation != 2 || a.Ended == nil || a.Ended.State != "void" || a.Ended.DataflowID != old {
		t.Errorf("plan: %+v", a)
	}
}

func TestAdoptRefuses(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	f.apply()
	ran := f.status().Jobs[0].DataflowID
	f.request(ran, pb.JobState_JOB_STATE_DRAINED)
	f.waitFor(ran, pb.JobState_JOB_STATE_DRAINED)
	byHand := func(name string, parameters map[string]string) string {
		id := f.launchByHand(name, parameters)
		f.observes(id)
		return id
	}
	other := byHand("other", map[string]string{"job": "flights-1", "generation": "2"})
	stranger := byHand("stranger", map[string]string{"job": "ships-0"})
	plan := func(list ...deploy.Adoption) error {
		_, err := f.deployer().PlanAdopt(t.Context(), list)
		return err
	}
	for _, c := range []struct {
		name string
		list []deploy.Adoption
		code exit.Code
		want []string
	}{
		{"none", nil, exit.Usage, []string{"no job is named"}},
		{"no such job", []deploy.Adoption{{Job: "flights-7", DataflowID: other}}, exit.Usage, []string{`flights has no job "flights-7"`}},
		{"twice", []deploy.Adoption{{Job: "flights-0", DataflowID: other}, {Job: "flights-1", DataflowID: other}}, exit.Usage, []string{"can be adopted once"}},
		{"no such id", []deploy.Adoption{{Job: "flights-0", DataflowID: "nope"}}, exit.Environment, []string{"nope as flights-0: there is no such job in kappa-demo, us-central1"}},
		{"has ended", []deploy.Adoption{{Job: "flights-0", DataflowID: ran}}, exit.Environment, []string{"it is DRAINED: only a job that runs can be adopted"}},
		{"another writer, and another job runs", []deploy.Adoption{{Job: "flights-1", DataflowID: stranger}}, exit.Environment, []string{
			"a job named flights-1 runs already", "it reads projects/test/subscriptions/ships-0, which is none of the subscriptions of flights",
			"it does not read flights-1", "the history has generation 1 of flights-1 as open", "it writes as ships-0",
		}},
		{"another job's", []deploy.Adoption{{Job: "flights-0", DataflowID: other}}, exit.Environment, []string{
			"it writes as flights-1: its rows would not count as those of flights-0", "it does not read flights-0", "the history has generation 1 of flights-0 as open",
		}},
	} {
		err := plan(c.list...)
		if exit.Of(err) != c.code {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", c.name, err, want)
			}
		}
	}
	if !slices.Equal(f.summary(), []string{"flights-0@1 open", "flights-1@1 open", "flights-2@1 open"}) {
		t.Errorf("history %v", f.summary())
	}
	dataflowtest.SetWorker(t, nil)
}
