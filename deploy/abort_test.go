package deploy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// An apply that waits for a drain notices an abort within a poll or two.
func TestAbortWhileDraining(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3, func(job string, b *dataflowtest.Behaviour) { b.Hold = job == "flights-0" })
	if _, err := f.deployer().Abort(t.Context(), "x"); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "no deployment of flights goes on") {
		t.Errorf("nothing to abort: %v", err)
	}
	f.applyFor("the first")
	f.job.Spec.Horizon = jobspecs.Duration(5 * 24 * time.Hour)
	d := f.deployer()
	p, err := d.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	draining, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		_, err := d.Apply(t.Context(), p, func(e deploy.Event) {
			if e.Step == deploy.Draining && e.Text == "draining" {
				select {
				case draining <- struct{}{}:
				default:
				}
			}
		})
		ended <- err
	}()
	wait := func(what string, ch <-chan struct{}) {
		t.Helper()
		select {
		case <-ch:
		case err := <-ended:
			t.Fatalf("%s: it has ended: %v", what, err)
		case <-time.After(30 * time.Second):
			t.Fatal("waited in vain: " + what)
		}
	}
	wait("the drain", draining)
	res, err := f.deployer().Abort(t.Context(), "wrong template")
	if err != nil || !res.Asked || res.Running == nil || res.Running.Command != "apply" || res.Running.Token != "" || !strings.HasPrefix(res.Doing, "draining flights-0, generation 1") {
		t.Errorf("abort: %+v, %v", res, err)
	}
	select {
	case err = <-ended:
	case <-time.After(20 * time.Second): // the drain never ends by itself
		t.Fatal("the apply goes on")
	}
	if exit.Of(err) != exit.Aborted || !errors.Is(err, journal.ErrAborted) || !strings.Contains(err.Error(), "by tester: wrong template") || !strings.Contains(err.Error(), "its drain goes on") {
		t.Errorf("the apply that was aborted: %v", err)
	}
	list, err := f.deployer().Deployments(t.Context(), 1, "")
	if err != nil || list[0].Outcome != "aborted" || list[0].Abort == nil || list[0].Abort.Reason != "wrong template" {
		t.Errorf("history: %+v, %v", list, err)
	}
	if f.jobs.launches != 3 {
		t.Errorf("%d launches", f.jobs.launches)
	}
	s := f.status()
	if s.Jobs[0].State != "DRAINING" || s.Unfinished != nil || s.Deploying != nil {
		t.Errorf("status: %+v", s)
	}
}

// A deployment whose command is dead is ended at once, and the next apply begins
// another.
func TestAbortOfADeadOne(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	f.applyFor("the first")
	lease, _, err := f.journal.Acquire(t.Context(), "apply")
	if err != nil {
		t.Fatal(err)
	}
	dep, err := lease.Begin(t.Context(), journal.Entry{Command: "apply", Spec: f.plan().Spec})
	if err == nil {
		err = lease.Release(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	res, err := f.deployer().Abort(t.Context(), "it was killed")
	if err != nil || !res.Asked || res.Running != nil || res.Deployment.ID != dep.ID || res.Doing != "nothing yet" {
		t.Fatalf("abort: %+v, %v", res, err)
	}
	list, err := f.deployer().Deployments(t.Context(), 1, "")
	if err != nil || list[0].ID != dep.ID || list[0].Outcome != "aborted" {
		t.Errorf("history: %+v, %v", list, err)
	}
	if _, err := f.deployer().Abort(t.Context(), "again"); exit.Of(err) != exit.Environment {
		t.Errorf("a second time: %v", err)
	}
	f.job.Spec.Horizon = jobspecs.Duration(5 * 24 * time.Hour)
	f.applyFor("afresh")
	if list, err = f.deployer().Deployments(t.Context(), 1, ""); err != nil || list[0].ID == dep.ID || list[0].Outcome != "done" || list[0].Reason != "afresh" {
		t.Errorf("history: %+v, %v", list, err)
	}
}
