package deploy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestRollback(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	if _, _, err := f.deployer().Back(t.Context(), ""); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "nothing to go back to") {
		t.Errorf("before anything: %v", err)
	}
	f.applyFor("the first")
	if _, _, err := f.deployer().Back(t.Context(), ""); exit.Of(err) != exit.Environment {
		t.Errorf("after one: %v", err)
	}
	good := f.job.Spec.Horizon
	f.job.Spec.Horizon = jobspecs.Duration(5 * 24 * time.Hour)
	f.applyFor("the second")
	launches := f.watchLaunches()
	back, to, err := f.deployerFor("errors").Back(t.Context(), "")
	if err != nil || to.Reason != "the first" {
		t.Fatalf("back: %+v, %v", to, err)
	}
	p, err := back.Plan(t.Context())
	if err != nil || len(p.Errors()) > 0 {
		t.Fatalf("plan: %+v, %v", p, err)
	}
	for _, j := range p.Jobs {
		if diff := cmp.Diff([]deploy.Change{{Path: "spec.horizon", From: `"5d"`, To: `"4d"`}}, j.Changes); j.Kind != deploy.Replace || diff != "" {
			t.Errorf("%s: %s, changes (-want +got):\n%s", j.Job, j.Kind, diff)
		}
	}
	if _, err := back.Apply(t.Context(), p, nil); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, l := range *launches {
		order = append(order, l.job)
	}
	if diff := cmp.Diff([]string{"flights-2", "flights-1", "flights-0"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	list, err := f.deployer().Deployments(t.Context(), 1, "")
	if err != nil || list[0].Command != "rollback" || list[0].Reason != "errors" || list[0].Spec != to.Spec || list[0].Outcome != "done" {
		t.Errorf("history: %+v, %v", list, err)
	}
	for _, j := range f.status().Jobs {
		if j.Generation != 3 || j.Wanted || j.Spec != to.Spec {
			t.Errorf("after the rollback: %+v", j)
		}
	}
	// There is nothing before that, and what was rolled back is not gone forward to;
	// but for who names it.
	if _, _, err := f.deployer().Back(t.Context(), ""); exit.Of(err) != exit.Environment {
		t.Errorf("a second time: %v", err)
	}
	back, _, err = f.deployer().Back(t.Context(), list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = back.Plan(t.Context()); err != nil || p.Pending() {
		t.Errorf("back to what runs: %+v, %v", p, err)
	}
	all, err := f.deployer().Deployments(t.Context(), 0, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, to, err = f.deployer().Back(t.Context(), all[1].ID); err != nil || to.Reason != "the second" {
		t.Errorf("forward by name: %+v, %v", to, err)
	}

	// What cannot be gone back to.
	if _, _, err := f.deployer().Back(t.Context(), "20010108t000000-abcdef"); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "has no deployment") {
		t.Errorf("unknown: %v", err)
	}
	lease, _, err := f.journal.Acquire(t.Context(), "backfill")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"backfill", "apply"} {
		dep, err := lease.Begin(t.Context(), journal.Entry{Command: command, Spec: "x"})
		if err == nil {
			err = dep.End(t.Context(), journal.OutcomeFailed, nil, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.deployer().Back(t.Context(), dep.ID); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), map[string]string{"backfill": "is a backfill", "apply": "is failed"}[command]) {
			t.Errorf("%s: %v", command, err)
		}
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	bucket, object, _ := strings.Cut(strings.TrimPrefix(all[1].SpecFile, "gs://"), "/")
	if err := f.clients.Storage.Bucket(bucket).Object(object).Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.deployer().Back(t.Context(), all[1].ID); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("its spec is gone: %v", err)
	}
	f.job.Spec.Horizon, f.job.Spec.Region = good, "europe-west1"
	if _, _, err := f.deployer().Back(t.Context(), all[2].ID); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), `is of region "us-central1"`) {
		t.Errorf("another region: %v", err)
	}
}
