package dataflow

import (
	"context"
	"maps"
	"slices"
	"sync"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
)

// Script stands between the clients and the service, for tests of what clients
// do about a service that is slow, refuses, or says one thing and does another.
// It is asked at every call, by several goroutines at a time: handle is what the
// service would do, about this request, or about another one to get, launch or
// change a job. A nil Script lets everything through.
//
// Rules makes one of rules, which is enough for most tests.
type Script func(ctx context.Context, req any, handle Handler) (any, error)

// Handler answers a request.
type Handler = func(ctx context.Context, req any) (any, error)

// Scripts is several scripts, of which each stands before the next. Those that are
// nil are left out.
func Scripts(scripts ...Script) Script {
	var all Script
	for _, s := range slices.Backward(scripts) {
		if s == nil {
			continue
		}
		after := all
		all = func(ctx context.Context, req any, handle Handler) (any, error) {
			return s(ctx, req, func(ctx context.Context, req any) (any, error) { return after.call(ctx, req, handle) })
		}
	}
	return all
}

// call makes a call by the script.
func (s Script) call(ctx context.Context, req any, handle Handler) (any, error) {
	if s == nil {
		return handle(ctx, req)
	}
	return s(ctx, req, handle)
}

// CancelCall is a client's request to cancel a job.
type CancelCall struct {
	JobID  string
	Number int  // of the requests to cancel this job, from 1
	Force  bool // a forced cancel

	// Do cancels the job at once. That it is forced makes no difference: the
	// sandbox takes no forced cancel by itself.
	Do func() error
}

// OnCancel scripts the requests to cancel a job: fn is called instead, and what
// it returns is the answer. A cancel whose answer is nil and that was not done is
// one that the service has taken and does not get round to.
func OnCancel(fn func(context.Context, CancelCall) error) Script {
	var mu sync.Mutex
	numbers := map[string]int{}
	return func(ctx context.Context, req any, handle Handler) (any, error) {
		u, ok := req.(*pb.UpdateJobRequest)
		if !ok || u.GetJob().GetRequestedState() != pb.JobState_JOB_STATE_CANCELLED {
			return handle(ctx, req)
		}
		mu.Lock()
		numbers[u.GetJobId()]++
		c := CancelCall{JobID: u.GetJobId(), Number: numbers[u.GetJobId()], Force: u.GetJob().GetLabels()[forceCancelLabel] == "true"}
		mu.Unlock()
		labels := maps.Clone(u.GetJob().GetLabels())
		delete(labels, forceCancelLabel)
		plain := &pb.UpdateJobRequest{
			ProjectId: u.GetProjectId(), Location: u.GetLocation(), JobId: u.GetJobId(),
			Job: &pb.Job{RequestedState: pb.JobState_JOB_STATE_CANCELLED, Labels: labels},
		}
		c.Do = func() error {
			_, err := handle(ctx, plain)
			return err
		}
		if err := fn(ctx, c); err != nil {
			return nil, err
		}
		return &pb.Job{Id: u.GetJobId(), RequestedState: pb.JobState_JOB_STATE_CANCELLED}, nil
	}
}

// OnMetrics scripts the answers to requests for metrics: fn may change them.
func OnMetrics(fn func(jobID string, m *pb.JobMetrics)) Script {
	return func(ctx context.Context, req any, handle Handler) (any, error) {
		resp, err := handle(ctx, req)
		if m, ok := resp.(*pb.JobMetrics); ok && err == nil {
			fn(req.(*pb.GetJobMetricsRequest).GetJobId(), m)
		}
		return resp, err
	}
}
