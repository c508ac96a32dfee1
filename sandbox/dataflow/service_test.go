package dataflow_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

func TestMain(m *testing.M) { dataflowtest.Main(m) }

func TestDrain(t *testing.T) {
	dir := t.TempDir()
	sources := []string{"projects/kappa-test/subscriptions/flights-0", "projects/kappa-test/subscriptions/flights-3"}
	h := start(t, dataflowtest.Config{Dir: dir, Behaviours: map[string]dataflowtest.Behaviour{
		"flights-0": {Sources: []string{sources[1], sources[0]}, DrainTakes: 200 * time.Millisecond},
	}})
	j := h.launch("flights-0")
	if j.GetId() == "" || j.GetName() != "flights-0" || j.GetCreateTime() == nil {
		t.Errorf("launched job: %v", j)
	}
	h.waitFor(j.GetId(), pb.JobState_JOB_STATE_RUNNING)

	summary := h.get(j.GetId(), pb.JobView_JOB_VIEW_SUMMARY)
	var subs []string
	for _, d := range summary.GetJobMetadata().GetPubsubDetails() {
		subs = append(subs, d.GetSubscription())
	}
	if diff := cmp.Diff(sources, subs); diff != "" {
		t.Errorf("subscriptions (-want +got):\n%s", diff)
	}
	if summary.GetPipelineDescription() != nil || summary.GetLabels() != nil || summary.GetEnvironment() != nil {
		t.Error("the summary has more than a summary")
	}
	all := h.get(j.GetId(), pb.JobView_JOB_VIEW_ALL)
	if all.GetLabels()["team"] != "flights" || all.GetType() != pb.JobType_JOB_TYPE_STREAMING {
		t.Errorf("labels %v, type %v", all.GetLabels(), all.GetType())
	}
	if opts := all.GetEnvironment().GetSdkPipelineOptions().GetFields()["options"].GetStructValue().GetFields(); opts["job"].GetStringValue() != "flights-0" {
		t.Errorf("pipeline options %v", opts)
	}

	for source, metric := range h.watermarks(all) {
		if metric < 978912000e6 { // 2001-01-08, in microseconds
			t.Errorf("%s: watermark %v", source, metric)
		}
	}

	reply, err := h.request(j.GetId(), pb.JobState_JOB_STATE_DRAINED)
	if err != nil {
		t.Fatal(err)
	}
	if reply.GetCurrentState() != pb.JobState_JOB_STATE_UNKNOWN {
		t.Errorf("the reply is not sparse: %v", reply)
	}
	h.waitFor(j.GetId(), pb.JobState_JOB_STATE_DRAINING)
	dataflowtest.Eventually(t, "the sources are at the maximum", func(context.Context) bool {
		for _, v := range h.watermarks(all) {
			if v != -2 {
				return false
			}
		}
		return true
	})
	h.waitFor(j.GetId(), pb.JobState_JOB_STATE_DRAINED)
	for _, s := range []pb.JobState{pb.JobState_JOB_STATE_DRAINED, pb.JobState_JOB_STATE_CANCELLED} {
		if _, err := h.request(j.GetId(), s); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "Job has terminated") {
			t.Errorf("request of %v after the end: %v", s, err)
		}
	}
	if got := h.messages(j.GetId(), pb.JobMessageImportance_JOB_MESSAGE_WARNING); !slices.Equal(got, []string{"level=WARN msg=leaving"}) {
		t.Errorf("messages from warning up: %q", got)
	}
	if got := h.messages(j.GetId(), pb.JobMessageImportance_JOB_MESSAGE_IMPORTANCE_UNKNOWN); len(got) < 6 {
		t.Errorf("messages: %q", got)
	}
	files, err := filepath.Glob(filepath.Join(dir, "flights-0-*.log"))
	if err != nil || len(files) != 1 {
		t.Fatalf("job logs: %v, %v", files, err)
	}
	if data, err := os.ReadFile(files[0]); err != nil || !strings.Contains(string(data), "msg=started args=") {
		t.Errorf("job log %q, %v", data, err)
	}
}

// watermarks goes from source to metric as a client has to: read transform →
// component transform → stage → metric.
func (h harness) watermarks(j *pb.Job) map[string]float64 {
	h.Helper()
	m, err := h.api.Metrics.GetJobMetrics(h.Context(), &pb.GetJobMetricsRequest{ProjectId: j.GetProjectId(), Location: j.GetLocation(), JobId: j.GetId()})
	if err != nil {
		h.Fatal(err)
	}
	out := map[string]float64{}
	for _, read := range j.GetPipelineDescription().GetOriginalPipelineTransform() {
		if read.GetKind() != pb.KindType_READ_KIND {
			continue
		}
		for _, stage := range j.GetPipelineDescription().GetExecutionPipelineStage() {
			for _, c := range stage.GetComponentTransform() {
				for _, u := range m.GetMetrics() {
					if c.GetOriginalTransform() == read.GetName() && u.GetName().GetName() == stage.GetName()+"-windmill-data-watermark" &&
						u.GetName().GetContext()["tentative"] == "" {
						out[read.GetName()] = u.GetScalar().GetNumberValue()
					}
				}
			}
		}
	}
	if len(out) != 2 {
		h.Fatalf("watermarks of the sources: %v", out)
	}
	return out
}

func TestEndings(t *testing.T) {
	for _, c := range []struct {
		name      string
		behaviour dataflowtest.Behaviour
		act       func(h harness, id string)
		want      pb.JobState
		message   string
	}{
		{name: "crash", behaviour: dataflowtest.Behaviour{ExitAfter: 50 * time.Millisecond, Exit: 7},
			want: pb.JobState_JOB_STATE_FAILED, message: `exited with code 7. Its last log lines:`},
		{name: "crash has its last lines", behaviour: dataflowtest.Behaviour{ExitAfter: 50 * time.Millisecond, Exit: 7},
			want: pb.JobState_JOB_STATE_FAILED, message: `out of cheese`},
		{name: "batch job", behaviour: dataflowtest.Behaviour{ExitAfter: 50 * time.Millisecond, Batch: true},
			want: pb.JobState_JOB_STATE_DONE, message: "has finished"},
		{name: "SIGKILL", act: func(h harness, id string) {
			h.waitFor(id, pb.JobState_JOB_STATE_RUNNING)
			if err := syscall.Kill(h.pid(id), syscall.SIGKILL); err != nil {
				h.Fatal(err)
			}
		}, want: pb.JobState_JOB_STATE_FAILED, message: "killed by a signal"},
		{name: "drain without the report", behaviour: dataflowtest.Behaviour{NoDrained: true}, act: drainIt,
			want: pb.JobState_JOB_STATE_FAILED, message: "without reporting"},
		{name: "drain with a bad exit", behaviour: dataflowtest.Behaviour{NoDrained: true, DrainExit: 1}, act: drainIt,
			want: pb.JobState_JOB_STATE_FAILED, message: "exited with code 1"},
		{name: "bad exit once it had drained", behaviour: dataflowtest.Behaviour{DrainExit: 1}, act: drainIt,
			want: pb.JobState_JOB_STATE_DRAINED, message: "has drained"},
		{name: "cancel", act: func(h harness, id string) {
			if _, err := h.request(id, pb.JobState_JOB_STATE_CANCELLED); err != nil {
				h.Fatal(err)
			}
		}, want: pb.JobState_JOB_STATE_CANCELLED, message: "Cancelled"},
		{name: "cancel of a drain that never ends", behaviour: dataflowtest.Behaviour{Hold: true}, act: func(h harness, id string) {
			drainIt(h, id)
			h.waitFor(id, pb.JobState_JOB_STATE_DRAINING)
			if _, err := h.request(id, pb.JobState_JOB_STATE_DRAINED); err != nil {
				h.Errorf("a second drain request: %v", err)
			}
			if _, err := h.request(id, pb.JobState_JOB_STATE_CANCELLED); err != nil {
				h.Fatal(err)
			}
		}, want: pb.JobState_JOB_STATE_CANCELLED, message: "Cancelled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t, dataflowtest.Config{Behaviours: map[string]dataflowtest.Behaviour{"": c.behaviour}})
			id := h.launch("flights-0").GetId()
			if c.act != nil {
				c.act(h, id)
			}
			h.waitFor(id, c.want)
			all := strings.Join(h.messages(id, pb.JobMessageImportance_JOB_MESSAGE_BASIC), "\n")
			if !strings.Contains(all, c.message) {
				t.Errorf("no message has %q:\n%s", c.message, all)
			}
			if pid := h.pid(id); !gone(pid) {
				t.Errorf("process %d is still there", pid)
			}
			h.launch("flights-0") // the name is free again
		})
	}
}

func drainIt(h harness, id string) {
	h.Helper()
	h.waitFor(id, pb.JobState_JOB_STATE_RUNNING)
	if _, err := h.request(id, pb.JobState_JOB_STATE_DRAINED); err != nil {
		h.Fatal(err)
	}
}

func TestListing(t *testing.T) {
	h := start(t, dataflowtest.Config{})
	var ids []string
	for i := range 5 {
		ids = append(ids, h.launch(fmt.Sprintf("flights-%d", i)).GetId())
	}
	if _, err := h.request(ids[1], pb.JobState_JOB_STATE_CANCELLED); err != nil {
		t.Fatal(err)
	}
	h.waitFor(ids[1], pb.JobState_JOB_STATE_CANCELLED)
	name := "flights-3"
	for _, c := range []struct {
		name string
		req  *pb.ListJobsRequest
		want []string
	}{
		{"all, in pages", &pb.ListJobsRequest{PageSize: 2}, []string{"flights-4", "flights-3", "flights-2", "flights-1", "flights-0"}},
		{"active, in pages", &pb.ListJobsRequest{PageSize: 1, Filter: pb.ListJobsRequest_ACTIVE}, []string{"flights-4", "flights-3", "flights-2", "flights-0"}},
		{"terminated", &pb.ListJobsRequest{Filter: pb.ListJobsRequest_TERMINATED}, []string{"flights-1"}},
		{"by name", &pb.ListJobsRequest{Name: &name}, []string{"flights-3"}},
		{"another region", &pb.ListJobsRequest{Location: "europe-west1"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.req.ProjectId = dataflowtest.Project
			if c.req.Location == "" {
				c.req.Location = dataflowtest.Region
			}
			if diff := cmp.Diff(c.want, h.list(h.api.Jobs.ListJobs(t.Context(), c.req))); diff != "" {
				t.Errorf("jobs (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := h.api.Jobs.ListJobs(t.Context(), &pb.ListJobsRequest{ProjectId: dataflowtest.Project}).Next(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("list without a region: %v", err)
	}
	if _, err := h.api.Jobs.ListJobs(t.Context(), &pb.ListJobsRequest{ProjectId: dataflowtest.Project, Location: dataflowtest.Region, PageToken: "x"}).Next(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("bad page token: %v", err)
	}
}

func TestCloseLeavesNoChild(t *testing.T) {
	s := dataflowtest.Start(t, dataflowtest.Config{Behaviours: map[string]dataflowtest.Behaviour{"draining": {Hold: true}, "slow": {StartAfter: time.Hour}}})
	h := harness{T: t, api: dataflowtest.Clients(t)}
	var pids []int
	for _, name := range []string{"running", "draining", "slow"} {
		id := h.launch(name).GetId()
		if name != "slow" {
			h.waitFor(id, pb.JobState_JOB_STATE_RUNNING)
		}
		if name == "draining" {
			drainIt(h, id)
		}
		pids = append(pids, h.pid(id))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if !gone(pid) {
			t.Errorf("process %d outlived the service", pid)
		}
	}
	if _, err := h.api.Templates.LaunchFlexTemplate(t.Context(), launchRequest("more")); err == nil {
		t.Error("a closed service launched a job")
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}
