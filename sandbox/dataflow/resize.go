package dataflow

import (
	"fmt"
	"strings"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// maxWorkers is the most workers that a job can have, as the API's
// documentation says.
const maxWorkers = 1000

const (
	paramsPath = "runtime_updatable_params"
	minPath    = paramsPath + ".min_num_workers"
	maxPath    = paramsPath + ".max_num_workers"
)

// resize changes the bounds on the workers of a job that runs, as far as a mask
// names them. They are reported and nothing else: a job here is one process.
func (j *job) resize(paths []string, params *pb.RuntimeUpdatableParams) error {
	for _, p := range paths {
		switch {
		case p == minPath || p == maxPath:
		case p == paramsPath || strings.HasPrefix(p, paramsPath+"."):
			return status.Errorf(codes.Unimplemented, "the sandbox's Dataflow service does not emulate updates of %s, only of %s and %s", p, minPath, maxPath)
		default:
			return status.Errorf(codes.InvalidArgument, "The field %s of a job cannot be updated.", p)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state != pb.JobState_JOB_STATE_RUNNING {
		return status.Errorf(codes.FailedPrecondition, "The job %s is %s: only a running job can be updated.", j.id, stateName(j.state))
	}
	if !j.environment.GetEnableStreamingEngine() {
		return status.Errorf(codes.InvalidArgument, "The job %s has no Streaming Engine: its workers cannot be updated.", j.id)
	}
	if params == nil {
		params = &pb.RuntimeUpdatableParams{}
	}
	next := &pb.RuntimeUpdatableParams{}
	if j.resized != nil {
		next = proto.CloneOf(j.resized)
	}
	for _, p := range paths {
		var n *int32
		if p == minPath {
			n = params.MinNumWorkers
			next.MinNumWorkers = n
		} else {
			n = params.MaxNumWorkers
			next.MaxNumWorkers = n
		}
		if n == nil || *n < 1 || *n > maxWorkers {
			return status.Errorf(codes.InvalidArgument, "The value of %s must be from 1 to %d.", p, maxWorkers)
		}
	}
	most := j.environment.GetMaxWorkers()
	if next.MaxNumWorkers != nil {
		most = next.GetMaxNumWorkers()
	}
	if least := next.GetMinNumWorkers(); most > 0 && least > most {
		return status.Errorf(codes.InvalidArgument, "The least number of workers, %d, is greater than the most, %d.", least, most)
	}
	j.resized = next
	j.message(pb.JobMessageImportance_JOB_MESSAGE_BASIC, fmt.Sprintf("The workers were changed by request: %s.", strings.Join(paths, ", ")))
	return nil
}
