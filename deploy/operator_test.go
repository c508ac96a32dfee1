package deploy_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/tables"
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
