package dataflow

import (
	"encoding/json"
	"fmt"
	"strings"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/worker"
)

// This file holds updates in place: a launch with update starts a second job of
// the same name beside the one that runs. Its worker takes the state over, or
// refuses; then one of the two ends: the old one as UPDATED, or the new one as
// FAILED. Nobody else's lock is taken while a job's own is held.

// optionInPlace asks for what a launch with update does in any case.
const optionInPlace = "update_strategy_in_place_update"

// replacingOptions begin the names of the service options that replace jobs in
// other ways.
var replacingOptions = []string{"update_strategy_", "parallel_replace_job_", "create_or_update_job"}

// checkUpdate checks what a launch says of updates.
func checkUpdate(p *pb.LaunchFlexTemplateParameter) error {
	if len(p.GetTransformNameMappings()) > 0 && !p.GetUpdate() {
		return status.Error(codes.InvalidArgument, "Transform name mappings are for a launch with update.")
	}
	for _, option := range p.GetEnvironment().GetAdditionalExperiments() {
		for _, prefix := range replacingOptions {
			switch {
			case !strings.HasPrefix(option, prefix):
			case option != optionInPlace:
				return status.Errorf(codes.Unimplemented, "the sandbox's Dataflow service does not emulate the service option %s", option)
			case !p.GetUpdate():
				return status.Errorf(codes.InvalidArgument, "The service option %s is for a launch with update.", option)
			}
		}
	}
	return nil
}

// updatable is the job that a launch with update is to replace, of those of its
// name that have not ended.
func updatable(name string, active []*job) (*job, error) {
	if len(active) == 0 {
		return nil, status.Errorf(codes.NotFound, "There is no active job named %s that could be updated.", name)
	}
	old := active[0]
	if len(active) > 1 {
		return nil, status.Errorf(codes.FailedPrecondition, "The job %s is being updated by job %s.", old.id, active[1].id)
	}
	if s := old.currentState(); s != pb.JobState_JOB_STATE_RUNNING {
		return nil, status.Errorf(codes.FailedPrecondition, "The job %s is %s: only a running job can be updated.", old.id, stateName(s))
	}
	return old, nil
}

// updateArgs are the child's arguments for an update, as Beam's SDKs take them.
func (j *job) updateArgs() []string {
	if j.replaces == nil {
		return nil
	}
	args := []string{"--update=true"}
	if len(j.mappings) > 0 {
		list, err := json.Marshal(j.mappings)
		if err != nil {
			panic(fmt.Sprintf("dataflow: encode strings: %v", err))
		}
		args = append(args, "--transform_name_mapping="+string(list))
	}
	return args
}

// onUpdate takes the report of a worker that is to take over. The caller holds
// the lock.
func (j *job) onUpdate(r worker.Report) {
	switch {
	case r.TookOver && !j.takingOver:
		j.takingOver = true
		j.message(pb.JobMessageImportance_JOB_MESSAGE_BASIC, "The worker has the state of job "+j.replaces.id+".")
		go j.takeOver()
	case r.Running && !j.takingOver:
		// Two jobs would read one subscription, and it has none of the state.
		j.fail("the worker reads its sources, but has not taken over the state of job " + j.replaces.id + ".")
	}
}

// fail ends the job because of what its worker did. The caller holds the lock.
func (j *job) fail(why string) {
	if j.failure == "" {
		j.failure = why
		go j.proc.Kill() // which waits for output, which takes the lock
	}
}

// takeOver ends the old job, and then lets this one run.
func (j *job) takeOver() {
	handed := j.replaces.handOver(j.id)
	j.mu.Lock()
	defer j.mu.Unlock()
	if terminal(j.state) {
		return
	}
	if !handed {
		j.fail("the job " + j.replaces.id + " that it was to update does not run any more.")
		return
	}
	j.tookOver = true
	j.runs()
}

// handOver ends a job whose state another one has, and waits for its end. False
// if it does not run.
func (j *job) handOver(to string) bool {
	j.mu.Lock()
	if j.state != pb.JobState_JOB_STATE_RUNNING {
		j.mu.Unlock()
		return false
	}
	j.replacedBy = to
	proc := j.proc
	j.mu.Unlock()
	proc.Kill()
	<-j.ended
	return true
}
