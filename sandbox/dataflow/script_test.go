package dataflow_test

import (
	"context"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/sandbox/dataflow"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// A scripted service refuses a cancel, takes one and does nothing, and does the
// forced one; what is not scripted is as it always is.
func TestScriptedCancel(t *testing.T) {
	var calls []dataflow.CancelCall
	dataflowtest.Start(t, dataflowtest.Config{
		Behaviours: map[string]dataflowtest.Behaviour{"": {Hold: true}},
		Script: dataflow.OnCancel(func(_ context.Context, c dataflow.CancelCall) error {
			calls = append(calls, c)
			switch c.Number {
			case 1:
				return status.Error(codes.FailedPrecondition, "Job is not yet ready for canceling.")
			case 2:
				return nil
			}
			return c.Do()
		}),
	})
	api := dataflowtest.Clients(t)
	resp, err := api.Templates.LaunchFlexTemplate(t.Context(), launchRequest("flights-0"))
	if err != nil {
		t.Fatal(err)
	}
	id := resp.GetJob().GetId()
	state := func() pb.JobState {
		j, err := api.Jobs.GetJob(t.Context(), &pb.GetJobRequest{ProjectId: dataflowtest.Project, Location: dataflowtest.Region, JobId: id})
		if err != nil {
			t.Fatal(err)
		}
		return j.GetCurrentState()
	}
	request := func(s pb.JobState, labels map[string]string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := api.Jobs.UpdateJob(ctx, &pb.UpdateJobRequest{
			ProjectId: dataflowtest.Project, Location: dataflowtest.Region, JobId: id, Job: &pb.Job{RequestedState: s, Labels: labels},
		})
		return err
	}
	dataflowtest.Eventually(t, "the job runs", func(context.Context) bool { return state() == pb.JobState_JOB_STATE_RUNNING })
	if err := request(pb.JobState_JOB_STATE_DRAINED, nil); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		labels map[string]string
		code   codes.Code
		state  pb.JobState
	}{
		{nil, codes.FailedPrecondition, pb.JobState_JOB_STATE_DRAINING},
		{nil, codes.OK, pb.JobState_JOB_STATE_DRAINING},
		{map[string]string{"force_cancel_job": "true"}, codes.OK, pb.JobState_JOB_STATE_CANCELLED},
	} {
		err := request(pb.JobState_JOB_STATE_CANCELLED, c.labels)
		if status.Code(err) != c.code || state() != c.state {
			t.Errorf("cancel %d: %v, %v", i+1, err, state())
		}
	}
	if len(calls) != 3 || calls[1].Force || !calls[2].Force || calls[2].Number != 3 || calls[0].JobID != id {
		t.Errorf("calls %+v", calls)
	}
}
