package dataflow_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/sandbox/dataflow"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

func startRules(t *testing.T, rules string) harness {
	t.Helper()
	return start(t, dataflowtest.Config{Script: dataflowtest.Script(t, rules)})
}

// view is the state of a job, or the code of the error that says it instead.
func (h harness) view(id string) string {
	j, err := h.api.Jobs.GetJob(h.Context(), &pb.GetJobRequest{ProjectId: dataflowtest.Project, Location: dataflowtest.Region, JobId: id})
	if err != nil {
		return status.Code(err).String()
	}
	return strings.TrimPrefix(j.GetCurrentState().String(), "JOB_STATE_")
}

func (h harness) running(name string) string {
	h.Helper()
	id := h.launch(name).GetId()
	h.waitFor(id, pb.JobState_JOB_STATE_RUNNING)
	return id
}

func (h harness) names(f pb.ListJobsRequest_Filter) []string {
	h.Helper()
	return h.list(h.api.Jobs.ListJobs(h.Context(), &pb.ListJobsRequest{ProjectId: dataflowtest.Project, Location: dataflowtest.Region, Filter: f}))
}

func (h harness) wantView(what, id, want string) {
	h.Helper()
	if got := h.view(id); got != want {
		h.Errorf("%s: %s, want %s", what, got, want)
	}
}

// Answers are given to the calls that they are for, in their order, and nothing is
// done but where an answer is lost.
func TestRulesAnswer(t *testing.T) {
	h := startRules(t, `
  - {call: launch, job: flights-1, times: 1, answer: 409}
  - {call: launch, job: flights-1, times: 1, answer: 429, message: Quota exceeded.}
  - {call: launch, job: flights-1, times: 1, answer: 503, lost: true}
  - {call: drain, from: 2, answer: 503}
  - {call: list, answer: 503, times: 1}
  - {call: messages, answer: 403}
`)
	for _, want := range []codes.Code{codes.AlreadyExists, codes.ResourceExhausted, codes.Unavailable, codes.AlreadyExists} {
		_, err := h.api.Templates.LaunchFlexTemplate(t.Context(), launchRequest("flights-1"))
		if status.Code(err) != want {
			t.Errorf("launch: %v, want %v", err, want)
		}
		if want == codes.ResourceExhausted && !strings.Contains(err.Error(), "Quota exceeded.") {
			t.Errorf("launch: %v", err)
		}
	}
	it := h.api.Jobs.ListJobs(t.Context(), &pb.ListJobsRequest{ProjectId: dataflowtest.Project, Location: dataflowtest.Region})
	if _, err := it.Next(); status.Code(err) != codes.Unavailable {
		t.Errorf("list: %v", err)
	}
	if got := h.names(pb.ListJobsRequest_ALL); !slices.Equal(got, []string{"flights-1"}) {
		t.Errorf("the launches made %v, want the one whose answer was lost", got)
	}
	id := h.running("flights-2")
	if _, err := h.request(id, pb.JobState_JOB_STATE_DRAINED); err != nil {
		t.Errorf("first drain: %v", err)
	}
	if _, err := h.request(id, pb.JobState_JOB_STATE_DRAINED); status.Code(err) != codes.Unavailable {
		t.Errorf("second drain: %v", err)
	}
	_, err := h.api.Messages.ListJobMessages(t.Context(), &pb.ListJobMessagesRequest{
		ProjectId: dataflowtest.Project, Location: dataflowtest.Region, JobId: id,
	}).Next()
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("messages: %v", err)
	}
	// A job that there is not has no rules.
	h.wantView("no such job", "2001-01-08_00_00_00-1", "NotFound")
}

// A slow answer comes late, and what was asked for is done at once, even for a
// client that does not wait.
func TestRulesDelay(t *testing.T) {
	h := startRules(t, `
  - {call: get, delay: 200ms, times: 1}
  - {call: launch, delay: 1h}
`)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := h.api.Templates.LaunchFlexTemplate(ctx, launchRequest("flights-1")); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("launch: %v", err)
	}
	jobs := h.api.Jobs.ListJobs(t.Context(), &pb.ListJobsRequest{ProjectId: dataflowtest.Project, Location: dataflowtest.Region})
	j, err := jobs.Next()
	if err != nil {
		t.Fatalf("the launch was not done: %v", err)
	}
	began := time.Now()
	if h.view(j.GetId()); time.Since(began) < 200*time.Millisecond {
		t.Errorf("answered after %s", time.Since(began))
	}
}

func TestRulesStuck(t *testing.T) {
	h := startRules(t, `
  - {call: drain, job: flights-1, stuck: true}
  - {call: drain, job: flights-2, stuck: true, for: 300ms}
  - {call: cancel, job: flights-1, times: 1, stuck: true}
`)
	stuck, slow := h.running("flights-1"), h.running("flights-2")
	for _, id := range []string{stuck, slow, stuck} { // the third changes nothing
		if _, err := h.request(id, pb.JobState_JOB_STATE_DRAINED); err != nil {
			t.Fatal(err)
		}
		h.wantView("drained", id, "DRAINING")
	}
	h.waitFor(slow, pb.JobState_JOB_STATE_DRAINED)
	h.wantView("the other", stuck, "DRAINING")
	if got := h.get(stuck, pb.JobView_JOB_VIEW_SUMMARY).GetRequestedState(); got != pb.JobState_JOB_STATE_DRAINED {
		t.Errorf("requested state %v", got)
	}
	if got := h.names(pb.ListJobsRequest_ACTIVE); !slices.Equal(got, []string{"flights-1"}) {
		t.Errorf("active: %v", got)
	}
	for range 2 {
		if _, err := h.request(stuck, pb.JobState_JOB_STATE_CANCELLED); err != nil {
			t.Fatal(err)
		}
		h.wantView("cancelled", stuck, "CANCELLING")
	}
	if _, err := h.request(stuck, pb.JobState_JOB_STATE_DRAINED); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a drain of a cancelled job: %v", err)
	}
	_, err := h.api.Jobs.UpdateJob(t.Context(), &pb.UpdateJobRequest{
		ProjectId: dataflowtest.Project, Location: dataflowtest.Region, JobId: stuck,
		Job: &pb.Job{RequestedState: pb.JobState_JOB_STATE_CANCELLED, Labels: map[string]string{"force_cancel_job": "true"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.wantView("forced", stuck, "CANCELLED")
}

// A job that drains for ever can be cancelled as any other.
func TestRulesStuckDrainIsCancelled(t *testing.T) {
	h := startRules(t, "  - {call: drain, stuck: true}\n")
	id := h.running("flights-1")
	for _, s := range []pb.JobState{pb.JobState_JOB_STATE_DRAINED, pb.JobState_JOB_STATE_CANCELLED} {
		if _, err := h.request(id, s); err != nil {
			t.Fatal(err)
		}
	}
	h.wantView("cancelled", id, "CANCELLED")
}

func TestRulesFail(t *testing.T) {
	h := startRules(t, `
  - {call: launch, job: flights-1, times: 1, fails: true, after: 300ms, message: "The launcher VM failed."}
  - {call: drain, job: flights-2, fails: true, after: 300ms}
`)
	id := h.launch("flights-1").GetId()
	h.wantView("launched", id, "PENDING")
	if _, err := h.request(id, pb.JobState_JOB_STATE_DRAINED); !strings.Contains(status.Convert(err).Message(), "not yet ready for draining") {
		t.Errorf("drain: %v", err)
	}
	h.waitFor(id, pb.JobState_JOB_STATE_FAILED)
	if got := h.messages(id, pb.JobMessageImportance_JOB_MESSAGE_ERROR); !slices.Contains(got, "The launcher VM failed.") {
		t.Errorf("messages %q", got)
	}
	// The name is free again, and the rule is used up.
	h.running("flights-1")

	id = h.running("flights-2")
	if _, err := h.request(id, pb.JobState_JOB_STATE_DRAINED); err != nil {
		t.Fatal(err)
	}
	h.wantView("drained", id, "DRAINING")
	h.waitFor(id, pb.JobState_JOB_STATE_FAILED)
}

func TestRulesState(t *testing.T) {
	h := startRules(t, `
  - {call: get, while: RUNNING, times: 2, state: 99}
  - {call: list, job: flights-1, state: JOB_STATE_RESOURCE_CLEANING_UP}
`)
	id := h.launch("flights-1").GetId()
	var seen []string
	dataflowtest.Eventually(t, "the job is RUNNING", func(context.Context) bool {
		seen = append(seen, h.view(id))
		return seen[len(seen)-1] == "RUNNING"
	})
	if n := len(seen); n < 3 || seen[n-2] != "99" || seen[n-3] != "99" {
		t.Errorf("seen %v", seen)
	}
	j, err := h.api.Jobs.ListJobs(t.Context(), &pb.ListJobsRequest{ProjectId: dataflowtest.Project, Location: dataflowtest.Region}).Next()
	if err != nil || j.GetCurrentState() != pb.JobState_JOB_STATE_RESOURCE_CLEANING_UP {
		t.Errorf("listed as %v, %v", j.GetCurrentState(), err)
	}
}

func TestRulesVanish(t *testing.T) {
	h := startRules(t, `
  - {call: get, job: flights-1, while: DRAINED, from: 3, vanishes: true}
  - {call: list, job: flights-2, vanishes: true}
`)
	id, other := h.running("flights-1"), h.running("flights-2")
	if _, err := h.request(id, pb.JobState_JOB_STATE_DRAINED); err != nil {
		t.Fatal(err)
	}
	drained := 0
	dataflowtest.Eventually(t, "the job vanishes", func(context.Context) bool {
		v := h.view(id)
		if v == "DRAINED" {
			drained++
		}
		return v == "NotFound"
	})
	if drained != 2 {
		t.Errorf("seen as DRAINED %d times", drained)
	}
	h.wantView("before the list", other, "RUNNING")
	if got := h.names(pb.ListJobsRequest_ALL); len(got) != 0 {
		t.Errorf("listed %v", got)
	}
	h.wantView("after the list", other, "NotFound")
	if _, err := h.request(other, pb.JobState_JOB_STATE_DRAINED); status.Code(err) != codes.NotFound {
		t.Errorf("drain: %v", err)
	}
	_, err := h.api.Metrics.GetJobMetrics(t.Context(), &pb.GetJobMetricsRequest{ProjectId: dataflowtest.Project, Location: dataflowtest.Region, JobId: other})
	if status.Code(err) != codes.NotFound {
		t.Errorf("metrics: %v", err)
	}
	// It runs on, and has its name.
	if _, err := h.api.Templates.LaunchFlexTemplate(t.Context(), launchRequest("flights-2")); status.Code(err) != codes.AlreadyExists {
		t.Errorf("launch: %v", err)
	}
}

func TestRulesWatermarks(t *testing.T) {
	h := startRules(t, `
  - call: metrics
    from: 2
    times: 3
    watermarks:
      name: context
      unit: milliseconds
      value: text
      readings:
        flights-1: [unknown, 2001-01-08T00:00:00Z, maximum]
  - {call: metrics, from: 2, watermarks: {none: true}}
`)
	id := h.running("flights-1")
	watermark := func() string {
		m, err := h.api.Metrics.GetJobMetrics(t.Context(), &pb.GetJobMetricsRequest{ProjectId: dataflowtest.Project, Location: dataflowtest.Region, JobId: id})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range m.GetMetrics() {
			if n := u.GetName(); strings.Contains(n.GetName(), "data-watermark") && (n.GetContext()["stage"] == "F39" || strings.HasPrefix(n.GetName(), "F39")) {
				return n.GetName() + "=" + u.GetScalar().GetStringValue()
			}
		}
		return "none"
	}
	var got []string
	for range 5 {
		got = append(got, watermark())
	}
	want := []string{
		"F39-windmill-data-watermark=", // by the service itself, as a number
		"windmill-data-watermark=-1", "windmill-data-watermark=978912000000", "windmill-data-watermark=-2", "none",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// Scripts stand one before the other.
func TestScripts(t *testing.T) {
	var asked []string
	note := func(name string) dataflow.Script {
		return func(ctx context.Context, req any, handle dataflow.Handler) (any, error) {
			if _, ok := req.(*pb.LaunchFlexTemplateRequest); ok {
				asked = append(asked, name)
			}
			return handle(ctx, req)
		}
	}
	h := start(t, dataflowtest.Config{Script: dataflow.Scripts(note("first"), nil, dataflowtest.Script(t, "  - {call: launch, answer: 503, times: 1}\n"), note("last"))})
	if _, err := h.api.Templates.LaunchFlexTemplate(t.Context(), launchRequest("flights-1")); status.Code(err) != codes.Unavailable {
		t.Errorf("launch: %v", err)
	}
	h.launch("flights-1")
	if !slices.Equal(asked, []string{"first", "first", "last"}) {
		t.Errorf("asked %v", asked)
	}
	if dataflow.Scripts() != nil || dataflow.Scripts(nil) != nil {
		t.Error("no scripts are a script")
	}
}
