package dataflow

import (
	"fmt"
	"strings"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// This file holds the state machine of a job, without I/O.
//
//	QUEUED → PENDING → RUNNING → DRAINING → DRAINED
//	   └────────┴──────────┴─────────┴────→ CANCELLING → CANCELLED (or DRAINED, if it had)
//	   └────────┴──────────┴─────────┴────→ FAILED | DONE
//	                       └─────────────→ UPDATED

// terminal reports whether no state follows s.
func terminal(s pb.JobState) bool {
	switch s {
	case pb.JobState_JOB_STATE_DONE, pb.JobState_JOB_STATE_FAILED, pb.JobState_JOB_STATE_CANCELLED,
		pb.JobState_JOB_STATE_UPDATED, pb.JobState_JOB_STATE_DRAINED:
		return true
	}
	return false
}

// stateName is the state as the service writes it in its messages.
func stateName(s pb.JobState) string { return strings.TrimPrefix(s.String(), "JOB_STATE_") }

// forceCancelLabel asks for a forced cancel.
const forceCancelLabel = "force_cancel_job"

// next is the state that follows when a client requests one. A next equal to
// the current state changes nothing: the request was made before.
func next(id string, current, requested pb.JobState, labels map[string]string, streaming bool) (pb.JobState, error) {
	refuse := func(operation, why string) (pb.JobState, error) {
		return current, status.Errorf(codes.FailedPrecondition,
			"Workflow modification failed. Causes: Operation %s not allowed for job %s. %s", operation, id, why)
	}
	switch requested {
	case pb.JobState_JOB_STATE_DRAINED:
		switch {
		case terminal(current):
			return refuse("drain", "Job has terminated in state "+stateName(current)+".")
		case current == pb.JobState_JOB_STATE_DRAINING:
			return current, nil
		case current == pb.JobState_JOB_STATE_CANCELLING:
			return refuse("drain", "Job is being cancelled.")
		case current != pb.JobState_JOB_STATE_RUNNING:
			return refuse("drain", "Job is not yet ready for draining. Please retry in a few minutes.")
		case !streaming:
			return refuse("drain", "Only streaming jobs can be drained.")
		}
		return pb.JobState_JOB_STATE_DRAINING, nil
	case pb.JobState_JOB_STATE_CANCELLED:
		switch {
		case terminal(current):
			return refuse("cancel", "Job has terminated in state "+stateName(current)+".")
		case labels[forceCancelLabel] == "true":
			// A cancel here takes milliseconds, so the 30 minutes after which
			// the service would take a forced one are never over.
			return refuse("force cancel", "A job can be force-cancelled 30 minutes after a regular cancel was requested.")
		}
		return pb.JobState_JOB_STATE_CANCELLING, nil
	}
	return current, status.Errorf(codes.InvalidArgument,
		"The requested state %s is not one that a client can ask for: use JOB_STATE_DRAINED or JOB_STATE_CANCELLED.", requested)
}

// ending is how a child ended.
type ending struct {
	code    int  // exit code; -1: ended by a signal
	drained bool // the child had reported Drained

	replacedBy string // job that had its state; empty: none
	failure    string // why the service has killed it; empty: it has not
	refused    bool   // it is an update, and had not taken over
}

// final is the terminal state of a job whose child has ended, and why.
func final(current pb.JobState, e ending) (pb.JobState, string) {
	switch {
	case e.replacedBy != "":
		return pb.JobState_JOB_STATE_UPDATED, "Updated. The job " + e.replacedBy + " goes on with its state."
	case e.drained:
		// Said before the first message is acknowledged: from then on the job has
		// drained, however its process ends and whatever was asked of it.
		return pb.JobState_JOB_STATE_DRAINED, "The job has drained."
	case current == pb.JobState_JOB_STATE_CANCELLING:
		return pb.JobState_JOB_STATE_CANCELLED, "Cancelled."
	case e.failure != "":
		return pb.JobState_JOB_STATE_FAILED, "Workflow failed. Causes: " + e.failure
	case e.refused:
		return pb.JobState_JOB_STATE_FAILED, "Workflow failed. Causes: The new job is not compatible with the one that it was to update, which goes on: its worker did not take over. " +
			"In the sandbox " + pipelineImage + " keeps its state in memory and cannot update in place: use strategy drain."
	case e.code != 0 && e.code != -1:
		return pb.JobState_JOB_STATE_FAILED, fmt.Sprintf("Workflow failed. The worker exited with code %d.", e.code)
	case e.code == -1:
		return pb.JobState_JOB_STATE_FAILED, "Workflow failed. The worker was killed by a signal."
	case current != pb.JobState_JOB_STATE_DRAINING:
		return pb.JobState_JOB_STATE_DONE, "The worker has finished."
	}
	return pb.JobState_JOB_STATE_FAILED, "Workflow failed. The worker exited without reporting that it had drained."
}
