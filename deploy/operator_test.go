package deploy_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// deployerFor is a Deployer with a reason.
func (f *fixture) deployerFor(reason string) *deploy.Deployer {
	f.Helper()
	cfg := f.config()
	cfg.Reason, cfg.Version = reason, "v1"
	d, err := deploy.New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	return d
}

// applyFor applies with a reason.
func (f *fixture) applyFor(reason string) *deploy.Result {
	f.Helper()
	d := f.deployerFor(reason)
	p, err := d.Plan(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	res, err := d.Apply(f.Context(), p, nil)
	if err != nil {
		f.Fatal(err)
	}
	return res
}

func (f *fixture) status() *deploy.Status {
	f.Helper()
	s, err := f.deployer().Status(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// driftLines are what has drifted, in words.
func driftLines(list []deploy.Drift) []string {
	var out []string
	for _, d := range list {
		out = append(out, d.String())
	}
	return out
}

func TestStatusAndDrift(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	s := f.status()
	if len(s.Jobs) != 3 || s.Jobs[0].Generation != 0 || s.Jobs[0].State != "" || s.Jobs[0].Deployment != nil || len(s.Drift) > 0 || s.Deploying != nil || s.Unfinished != nil {
		t.Errorf("before anything was deployed: %+v", s)
	}
	ids := map[string]string{}
	for _, j := range f.applyFor("the first").Jobs {
		ids[j.Job] = j.DataflowID
	}
	s = f.status()
	for _, j := range s.Jobs {
		if j.Generation != 1 || j.Recorded != "open" || j.State != "RUNNING" || j.DataflowID != ids[j.Job] || !j.Wanted || j.Spec != s.Spec ||
			j.Since == nil || j.Errors == nil || j.Watermark == nil || *j.WatermarkAge <= 0 {
			t.Errorf("status of what runs: %+v", j)
		}
		if d := j.Deployment; d == nil || d.Reason != "the first" || d.By != "tester" || d.Command != "apply" || d.Outcome != "done" || d.Version != "v1" || len(d.Jobs) != 3 {
			t.Errorf("deployment of %s: %+v", j.Job, d)
		}
	}
	if len(s.Drift) > 0 || len(f.plan().Drift) > 0 {
		t.Errorf("drift of what runs as it was deployed: %v, %v", s.Drift, f.plan().Drift)
	}

	// By hand: other workers, a job that is cancelled, and one that nobody knows.
	if err := f.jobs.Client.Resize(t.Context(), ids["flights-0"], 1, 9); err != nil {
		t.Fatal(err)
	}
	f.request(ids["flights-1"], pb.JobState_JOB_STATE_CANCELLED)
	f.waitFor(ids["flights-1"], pb.JobState_JOB_STATE_CANCELLED)
	dataflowtest.SetWorker(t, map[string]dataflowtest.Behaviour{"": {Sources: []string{"projects/kappa-demo/subscriptions/other"}}})
	stray := f.launchByHand("flights-17", map[string]string{"job": "flights-17", "generation": "1"})
	f.waitFor(stray, pb.JobState_JOB_STATE_RUNNING)
	want := []string{
		"flights-0: workers is 1 to 9 workers instead of 1 to 1 workers",
		"flights-1: state is " + ids["flights-1"] + ", CANCELLED instead of generation 1 open",
		"flights-17: job is " + stray + ", RUNNING instead of nothing",
	}
	s = f.status()
	if diff := cmp.Diff(want, driftLines(s.Drift)); diff != "" {
		t.Errorf("drift (-want +got):\n%s", diff)
	}
	p := f.plan() // drift is no error
	if diff := cmp.Diff(s.Drift, p.Drift); diff != "" {
		t.Errorf("drift of status and plan:\n%s", diff)
	}
	if j := s.Jobs[1]; j.State != "CANCELLED" || j.Recorded != "open" || j.Wanted || j.Watermark != nil || j.Errors != nil {
		t.Errorf("a job that has ended: %+v", j)
	}
	f.request(stray, pb.JobState_JOB_STATE_CANCELLED)
	f.workers(3)
	f.applyFor("mended")
	if s = f.status(); len(s.Drift) > 0 || s.Jobs[1].Generation != 2 || s.Jobs[1].Deployment.Reason != "mended" || s.Jobs[2].Deployment.Reason != "the first" {
		t.Errorf("after it was mended: %v\n%+v", driftLines(s.Drift), s.Jobs)
	}

	// Somebody deploys, and has not ended.
	lease, _, err := f.journal.Acquire(t.Context(), "apply")
	if err != nil {
		t.Fatal(err)
	}
	dep, err := lease.Begin(t.Context(), journal.Entry{Command: "apply", Reason: "the third", Spec: "x"})
	if err == nil {
		err = dep.Append(t.Context(), journal.Entry{Kind: journal.KindStep, Step: "draining", Job: "flights-2", Generation: 1})
	}
	if err != nil {
		t.Fatal(err)
	}
	s = f.status()
	if s.Deploying == nil || s.Deploying.Command != "apply" || s.Deploying.By != "tester" || s.Deploying.Token != "" {
		t.Errorf("who deploys: %+v", s.Deploying)
	}
	if u := s.Unfinished; u == nil || u.ID != dep.ID || u.Doing != "draining flights-2, generation 1" || u.Reason != "the third" {
		t.Errorf("unfinished: %+v", u)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// launchByHand launches a job as somebody does who has no kappa.
func (f *fixture) launchByHand(name string, parameters map[string]string) string {
	f.Helper()
	parameters["jobspec"] = "gs://b/x.yaml"
	j, err := f.jobs.Client.Launch(f.Context(), &pb.LaunchFlexTemplateParameter{
		JobName: name, Parameters: parameters,
		Template: &pb.LaunchFlexTemplateParameter_ContainerSpecGcsPath{ContainerSpecGcsPath: f.job.Spec.Template},
	})
	if err != nil {
		f.Fatal(err)
	}
	return j.GetId()
}

func TestHistory(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	d := f.deployer()
	if list, err := d.Deployments(t.Context(), 0, ""); err != nil || list == nil || len(list) != 0 {
		t.Errorf("before anything: %#v, %v", list, err)
	}
	f.applyFor("the first")
	f.request(f.status().Jobs[1].DataflowID, pb.JobState_JOB_STATE_CANCELLED)
	f.waitFor(f.status().Jobs[1].DataflowID, pb.JobState_JOB_STATE_CANCELLED)
	f.applyFor("the second")
	list, err := d.Deployments(t.Context(), 0, "")
	if err != nil || len(list) != 2 {
		t.Fatalf("history: %+v, %v", list, err)
	}
	second := list[0]
	if second.Reason != "the second" || !slices.Equal(second.Jobs, []string{"flights-1"}) || second.Outcome != "done" || second.Ended == nil || *second.Seconds <= 0 || second.Spec == "" || second.Template == "" {
		t.Errorf("the second: %+v", second)
	}
	for job, want := range map[string]int{"flights-0": 1, "flights-1": 2, "flights-9": 0} {
		if list, err := d.Deployments(t.Context(), 0, job); err != nil || len(list) != want {
			t.Errorf("%s: %+v, %v", job, list, err)
		}
	}
	if list, err := d.Deployments(t.Context(), 1, "flights-0"); err != nil || len(list) != 1 || list[0].Reason != "the first" {
		t.Errorf("limited: %+v, %v", list, err)
	}
	tl, err := d.Timeline(t.Context(), second.ID)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i, e := range tl.Entries {
		if e.Seq != i+1 || e.Seconds < 0 {
			t.Errorf("entry %d: %+v", i, e)
		}
		line, _, _ := strings.Cut(e.Line, " (")
		lines = append(lines, e.Kind+" "+line)
	}
	for _, want := range []string{"begin apply begins", "step ending flights-1, generation 1", "step launching flights-1, generation 2: from " + f.job.Spec.Template, "end ends: done"} {
		if !slices.Contains(lines, want) {
			t.Errorf("the timeline lacks %q:\n%s", want, strings.Join(lines, "\n"))
		}
	}
	_, err = d.Timeline(t.Context(), second.ID[:len(second.ID)-1])
	var e *exit.Error
	if !errors.As(err, &e) || e.Code != exit.Usage || e.Hint != "did you mean "+second.ID+"?" {
		t.Errorf("an id that there is none of: %v", err)
	}
}

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

// observes waits until the service says what a job reads.
func (f *fixture) observes(id string) {
	f.Helper()
	dataflowtest.Eventually(f, id+" reads", func(ctx context.Context) bool {
		j, err := f.jobs.Summary(ctx, id)
		if err != nil {
			f.Fatal(err)
		}
		return j.GetCurrentState() == pb.JobState_JOB_STATE_RUNNING && len(j.GetJobMetadata().GetPubsubDetails()) > 0
	})
}

// What the service has forgotten is shown as the history has it; and without the
// journal the rest is shown too.
func TestStatusOfWhatIsForgotten(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	f.apply()
	if _, err := f.store.Append(t.Context(), tables.Generation{
		Job: "flights-7", Generation: 4, Kind: tables.WriterStream, State: tables.StateOpen, Group: "flights",
		DataflowJobID: bigquery.NullString{StringVal: "2001-gone", Valid: true},
	}); err != nil {
		t.Fatal(err)
	}
	s := f.status()
	j := s.Jobs[len(s.Jobs)-1]
	if j.Job != "flights-7" || !j.Retired || j.Generation != 4 || j.Recorded != "open" || j.State != "" || j.DataflowID != "2001-gone" || j.Since == nil || j.Deployment != nil {
		t.Errorf("status: %+v", j)
	}
	want := []string{"flights-7: state is a job that the service does not know any more instead of generation 4 open as 2001-gone"}
	if diff := cmp.Diff(want, driftLines(s.Drift)); diff != "" {
		t.Errorf("drift (-want +got):\n%s", diff)
	}

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken, err := journal.Open(file, nil, "tester")
	if err != nil {
		t.Fatal(err)
	}
	f.journal = broken
	if s = f.status(); s.Unread == "" || s.Jobs[0].State != "RUNNING" || s.Jobs[0].Deployment != nil {
		t.Errorf("without a journal: %+v", s)
	}
	p, err := f.deployer().Plan(t.Context())
	if err != nil || !slices.ContainsFunc(p.Problems, func(q deploy.Problem) bool {
		return q.Severity == deploy.Warning && strings.Contains(q.Text, "what was changed by hand may not be seen")
	}) {
		t.Errorf("plan without a journal: %+v, %v", p.Problems, err)
	}
}
