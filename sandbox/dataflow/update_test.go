package dataflow_test

import (
	"context"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

func updateRequest(name string) *pb.LaunchFlexTemplateRequest {
	req := launchRequest(name)
	req.LaunchParameter.Update = true
	return req
}

func (h harness) update(name string) *pb.Job {
	h.Helper()
	req := updateRequest(name)
	req.LaunchParameter.TransformNameMappings = map[string]string{"Count": "CountPerKey"}
	req.LaunchParameter.Environment.AdditionalExperiments = []string{"update_strategy_in_place_update"}
	resp, err := h.api.Templates.LaunchFlexTemplate(h.Context(), req)
	if err != nil {
		h.Fatal(err)
	}
	return resp.GetJob()
}

// A job that is updated ends as UPDATED, its process too, and the new one of the
// same name runs; a second update takes the second.
func TestUpdate(t *testing.T) {
	h := start(t, dataflowtest.Config{})
	before := h.launch("flights-0").GetId()
	h.waitFor(before, pb.JobState_JOB_STATE_RUNNING)
	for range 2 {
		pid := h.pid(before)
		after := h.update("flights-0").GetId()
		h.waitFor(after, pb.JobState_JOB_STATE_RUNNING)
		old, now := h.get(before, pb.JobView_JOB_VIEW_SUMMARY), h.get(after, pb.JobView_JOB_VIEW_SUMMARY)
		if old.GetCurrentState() != pb.JobState_JOB_STATE_UPDATED || old.GetReplacedByJobId() != after || now.GetReplaceJobId() != before || after == before {
			t.Errorf("old %+v, new %+v", old, now)
		}
		if !gone(pid) {
			t.Error("the worker of the old job runs on")
		}
		if log := strings.Join(h.messages(after, pb.JobMessageImportance_JOB_MESSAGE_DETAILED), "\n"); !strings.Contains(log, `--transform_name_mapping={\"Count\":\"CountPerKey\"}`) {
			t.Errorf("the worker was not told of the mapping:\n%s", log)
		}
		before = after
	}
	if _, err := h.request(before, pb.JobState_JOB_STATE_DRAINED); err != nil {
		t.Fatal(err)
	}
	h.waitFor(before, pb.JobState_JOB_STATE_DRAINED)
}

// An update that is refused fails the new job, and the old one goes on.
func TestUpdateRefused(t *testing.T) {
	for _, c := range []struct {
		name      string
		behaviour dataflowtest.Behaviour
		want      []string
	}{
		{"by the worker", dataflowtest.Behaviour{NoTakeOver: true}, []string{"not compatible with the one that it was to update, which goes on", "the coder of step Count has changed", "use strategy drain"}},
		{"the worker knows nothing of updates", dataflowtest.Behaviour{IgnoreUpdate: true}, []string{"has not taken over the state"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t, dataflowtest.Config{})
			old := h.launch("flights-0").GetId()
			h.waitFor(old, pb.JobState_JOB_STATE_RUNNING)
			dataflowtest.SetWorker(t, map[string]dataflowtest.Behaviour{"": c.behaviour})
			id := h.update("flights-0").GetId()
			h.waitFor(id, pb.JobState_JOB_STATE_FAILED)
			msgs := strings.Join(h.messages(id, pb.JobMessageImportance_JOB_MESSAGE_ERROR), "\n")
			for _, want := range c.want {
				if !strings.Contains(msgs, want) {
					t.Errorf("no %q in\n%s", want, msgs)
				}
			}
			if j := h.get(old, pb.JobView_JOB_VIEW_SUMMARY); j.GetCurrentState() != pb.JobState_JOB_STATE_RUNNING || j.GetReplacedByJobId() != "" {
				t.Errorf("the old job: %+v", j)
			}
		})
	}
}

// Only a job that runs can be updated, and once at a time. An old job that ends
// while it is updated leaves nothing to take over.
func TestUpdateOfWhatDoesNotRun(t *testing.T) {
	h := start(t, dataflowtest.Config{Behaviours: map[string]dataflowtest.Behaviour{"slow-0": {StartAfter: time.Hour}, "": {TakeOverAfter: time.Hour, Hold: true}}})
	refused := func(name, want string) {
		t.Helper()
		_, err := h.api.Templates.LaunchFlexTemplate(t.Context(), updateRequest(name))
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	h.launch("slow-0")
	refused("slow-0", "only a running job")
	old := h.launch("flights-0").GetId()
	h.waitFor(old, pb.JobState_JOB_STATE_RUNNING)
	id := h.update("flights-0").GetId()
	refused("flights-0", "is being updated by job "+id)
	if _, err := h.request(old, pb.JobState_JOB_STATE_CANCELLED); err != nil {
		t.Fatal(err)
	}
	h.waitFor(old, pb.JobState_JOB_STATE_CANCELLED)
	if _, err := h.request(id, pb.JobState_JOB_STATE_CANCELLED); err != nil {
		t.Fatal(err)
	}
	h.waitFor(id, pb.JobState_JOB_STATE_CANCELLED)

	dataflowtest.SetWorker(t, map[string]dataflowtest.Behaviour{"": {TakeOverAfter: 300 * time.Millisecond}})
	old = h.launch("flights-0").GetId()
	h.waitFor(old, pb.JobState_JOB_STATE_RUNNING)
	id = h.update("flights-0").GetId()
	if _, err := h.request(old, pb.JobState_JOB_STATE_DRAINED); err != nil {
		t.Fatal(err)
	}
	h.waitFor(old, pb.JobState_JOB_STATE_DRAINED)
	h.waitFor(id, pb.JobState_JOB_STATE_FAILED)
	dataflowtest.Eventually(t, "the reason is given", func(context.Context) bool {
		return strings.Contains(strings.Join(h.messages(id, pb.JobMessageImportance_JOB_MESSAGE_ERROR), "\n"), old+" that it was to update does not run any more")
	})
}
