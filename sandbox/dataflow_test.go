package sandbox_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dfpb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

func TestDataflow(t *testing.T) {
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "pid")
	t.Setenv(envWorker, pidFile)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := sandboxtest.Start(t, func(c *sandbox.Config) { c.PipelineBinary, c.JobLogs = self, dir })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	id := launch(t, ctx)

	api, err := platform(t).Dataflow(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	state := func() dfpb.JobState {
		j, err := api.Jobs.GetJob(ctx, &dfpb.GetJobRequest{ProjectId: project, Location: "us-central1", JobId: id})
		if err != nil {
			t.Fatal(err)
		}
		return j.CurrentState
	}
	poll(t, "the job runs", func() bool { return state() == dfpb.JobState_JOB_STATE_RUNNING })
	poll(t, "the job says which services it was given", func() bool {
		it := api.Messages.ListJobMessages(ctx, &dfpb.ListJobMessagesRequest{ProjectId: project, Location: "us-central1", JobId: id, MinimumImportance: dfpb.JobMessageImportance_JOB_MESSAGE_DEBUG})
		for {
			m, err := it.Next()
			if errors.Is(err, iterator.Done) {
				return false
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(m.MessageText, s.Environment()["PUBSUB_EMULATOR_HOST"]) && strings.Contains(m.MessageText, s.Environment()["BIGTABLE_EMULATOR_HOST"]) {
				return true
			}
		}
	})
	metrics, err := api.Metrics.GetJobMetrics(ctx, &dfpb.GetJobMetricsRequest{ProjectId: project, Location: "us-central1", JobId: id})
	if err != nil || len(metrics.Metrics) == 0 {
		t.Errorf("metrics: %v, %v", metrics, err)
	}
	it := api.Jobs.ListJobs(ctx, &dfpb.ListJobsRequest{ProjectId: project, Location: "us-central1"})
	if j, err := it.Next(); err != nil || j.Id != id {
		t.Errorf("listed %v, %v", j, err)
	}
	if _, err := api.Jobs.GetJob(ctx, &dfpb.GetJobRequest{ProjectId: project, Location: "us-central1", JobId: "nope"}); status.Code(err) != codes.NotFound {
		t.Errorf("a job that is not there: %v", err)
	}
	if _, err := api.Jobs.UpdateJob(ctx, &dfpb.UpdateJobRequest{
		ProjectId: project, Location: "us-central1", JobId: id, Job: &dfpb.Job{RequestedState: dfpb.JobState_JOB_STATE_CANCELLED},
	}); err != nil {
		t.Fatal(err)
	}
	poll(t, "the job is cancelled", func() bool { return state() == dfpb.JobState_JOB_STATE_CANCELLED })
	pid := readPid(t, pidFile)
	poll(t, "its process is gone", func() bool { return !alive(pid) })
}

// launch launches a job from a template that it writes to Cloud Storage.
func launch(t *testing.T, ctx context.Context) (id string) {
	t.Helper()
	st, err := platform(t).Storage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	bucket := st.Bucket("kappa-demo-templates")
	if err := bucket.Create(ctx, project, nil); err != nil {
		t.Fatal(err)
	}
	w := bucket.Object("kappa-pipeline.json").NewWriter(ctx)
	if _, err := io.WriteString(w, `{"image": "example.invalid/kappa-pipeline:dev", "sdkInfo": {"language": "GO"}, "metadata": {"name": "kappa-pipeline"}}`); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	api, err := platform(t).Dataflow(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	resp, err := api.Templates.LaunchFlexTemplate(ctx, &dfpb.LaunchFlexTemplateRequest{
		ProjectId: project, Location: "us-central1",
		LaunchParameter: &dfpb.LaunchFlexTemplateParameter{
			JobName:  "flights-0",
			Template: &dfpb.LaunchFlexTemplateParameter_ContainerSpecGcsPath{ContainerSpecGcsPath: "gs://kappa-demo-templates/kappa-pipeline.json"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetJob().GetId()
}
