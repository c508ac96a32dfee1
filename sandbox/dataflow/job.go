package dataflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kappa-migrate/kappa/internal/child"
	"github.com/kappa-migrate/kappa/internal/worker"
)

// job is one job and the child that runs it.
type job struct {
	cfg         Config
	log         *slog.Logger
	id          string
	project     string
	location    string
	name        string
	labels      map[string]string
	parameters  map[string]string
	environment *pb.FlexTemplateRuntimeEnvironment
	sdk         *pb.SDKInfo
	created     time.Time
	replaces    *job              // that it is an update of; nil: of none
	mappings    map[string]string // of transforms' names, of an update

	ended chan struct{} // closed once the job is in a terminal state and its child is gone

	mu        sync.Mutex
	state     pb.JobState
	stateTime time.Time
	requested pb.JobState
	resized   *pb.RuntimeUpdatableParams // what was changed since the launch; nil: nothing
	proc      *child.Process             // nil until started
	report    worker.Report              // the newest
	reported  time.Time                  // when it came; zero: never
	rest      time.Time                  // watermark of what follows the sources: held once all of them are at the maximum
	messages  messageLog
	file      *os.File // nil: no file

	takingOver bool   // an update whose worker has the state: the old job is being ended
	tookOver   bool   // the old job has ended for it
	replacedBy string // id of the job that has this one's state; empty: none
	failure    string // why the service has killed the worker; empty: it has not
}

func newJob(cfg Config, id string, req *pb.LaunchFlexTemplateRequest, spec *pb.ContainerSpec, now time.Time, replaces *job) (*job, error) {
	p := req.GetLaunchParameter()
	j := &job{
		cfg: cfg, id: id, project: req.GetProjectId(), location: req.GetLocation(), name: p.GetJobName(),
		log:         cfg.Log.With("job", p.GetJobName(), "job_id", id),
		labels:      maps.Clone(p.GetEnvironment().GetAdditionalUserLabels()),
		parameters:  maps.Clone(p.GetParameters()),
		environment: p.GetEnvironment(), sdk: spec.GetSdkInfo(), created: now,
		state: pb.JobState_JOB_STATE_QUEUED, stateTime: now,
		replaces: replaces, mappings: maps.Clone(p.GetTransformNameMappings()),
		ended: make(chan struct{}),
	}
	if cfg.Dir != "" {
		// The folder may have been moved or cleaned away since the start, which
		// is no reason to refuse a job.
		if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
			return nil, status.Errorf(codes.Internal, "create the folder of job logs: %v", err)
		}
		f, err := os.Create(filepath.Join(cfg.Dir, j.name+"-"+id+".log"))
		if err != nil {
			return nil, status.Errorf(codes.Internal, "create the job's log: %v", err)
		}
		j.file = f
	}
	j.message(pb.JobMessageImportance_JOB_MESSAGE_BASIC, "The job was queued.")
	return j, nil
}

// args are the child's arguments: the parameters, then what the protocol asks for.
func (j *job) args() []string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(j.parameters)) {
		args = append(args, "--"+name+"="+j.parameters[name])
	}
	return append(append(args, j.updateArgs()...), "--runner=prism", "--control=stdio")
}

// start starts the child. A child that cannot be started is a failed job, as
// a launcher that fails is on the real service.
func (j *job) start() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if terminal(j.state) { // stopped before it could start
		return
	}
	proc, err := child.Start(child.Config{
		Path: j.cfg.PipelineBinary, Args: j.args(), Env: j.cfg.ChildEnv,
		Stdout: j.onReport, Stderr: j.onLog,
	})
	if err != nil {
		j.message(pb.JobMessageImportance_JOB_MESSAGE_ERROR, "Workflow failed. "+err.Error())
		j.end(pb.JobState_JOB_STATE_FAILED)
		return
	}
	j.proc = proc
	j.set(pb.JobState_JOB_STATE_PENDING)
	j.message(pb.JobMessageImportance_JOB_MESSAGE_BASIC, fmt.Sprintf("Worker started, process %d.", proc.Pid()))
	go j.watch(proc)
}

// watch records the end of the child.
func (j *job) watch(proc *child.Process) {
	<-proc.Done()
	j.mu.Lock()
	defer j.mu.Unlock()
	state, why := final(j.state, ending{
		code: proc.ExitCode(), drained: j.report.Drained, replacedBy: j.replacedBy, failure: j.failure, refused: j.replaces != nil && !j.tookOver,
	})
	if state == pb.JobState_JOB_STATE_FAILED {
		why += j.messages.lastLines()
		j.message(pb.JobMessageImportance_JOB_MESSAGE_ERROR, why)
	} else {
		j.message(pb.JobMessageImportance_JOB_MESSAGE_BASIC, why)
	}
	j.end(state)
}

// end enters a terminal state. The caller holds the lock and the child is gone.
func (j *job) end(s pb.JobState) {
	j.set(s)
	if j.file != nil {
		j.file.Close()
		j.file = nil
	}
	close(j.ended)
}

// set enters a state. The caller holds the lock.
func (j *job) set(s pb.JobState) {
	j.state, j.stateTime = s, time.Now()
	j.log.Info("job state", "state", stateName(s))
}

func (j *job) currentState() pb.JobState {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state
}

// onReport takes a line of the child's stdout. What is no report is kept as a
// log line: a library that prints must not break the job.
func (j *job) onReport(line []byte) {
	var r worker.Report
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		j.onLog(line)
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	// The order of the sources gives the stages their names, so it must not change.
	slices.SortFunc(r.Sources, func(a, b worker.Source) int { return strings.Compare(a.Subscription, b.Subscription) })
	j.report, j.reported = r, time.Now()
	if t := least(r.Sources); t.After(j.rest) {
		j.rest = t
	}
	if j.replaces != nil && !j.tookOver {
		j.onUpdate(r)
		return
	}
	j.runs()
}

// runs notes that the worker reads its sources, once it does. The caller holds
// the lock.
func (j *job) runs() {
	if j.report.Running && (j.state == pb.JobState_JOB_STATE_PENDING || j.state == pb.JobState_JOB_STATE_QUEUED) {
		j.set(pb.JobState_JOB_STATE_RUNNING)
		j.message(pb.JobMessageImportance_JOB_MESSAGE_BASIC, "The worker reads its sources.")
	}
}

// onLog takes a line of the child's logs.
func (j *job) onLog(line []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := string(bytes.ToValidUTF8(line, []byte("\uFFFD")))
	if j.file != nil {
		fmt.Fprintln(j.file, text)
	}
	j.messages.addLine(time.Now(), text)
}

// message adds a message of the service. The caller holds the lock, or is
// alone with the job.
func (j *job) message(importance pb.JobMessageImportance, text string) {
	now := time.Now()
	if j.file != nil {
		fmt.Fprintf(j.file, "time=%s level=SERVICE msg=%q\n", now.UTC().Format(time.RFC3339Nano), text)
	}
	j.messages.add(now, importance, text)
}

// request brings the job on its way to the state that a client asked for.
func (j *job) request(s pb.JobState, labels map[string]string) error {
	j.mu.Lock()
	if j.replacedBy != "" && !terminal(j.state) {
		j.mu.Unlock()
		return status.Errorf(codes.FailedPrecondition, "Workflow modification failed. Causes: The job %s is being updated by job %s.", j.id, j.replacedBy)
	}
	to, err := next(j.id, j.state, s, labels, len(j.report.Sources) > 0)
	if err != nil || to == j.state {
		j.mu.Unlock()
		return err
	}
	j.requested = s
	j.set(to)
	proc := j.proc
	j.message(pb.JobMessageImportance_JOB_MESSAGE_BASIC, "State "+stateName(to)+" by request.")
	if proc == nil { // not started yet: nothing to wait for
		j.message(pb.JobMessageImportance_JOB_MESSAGE_BASIC, "Cancelled before the worker was started.")
		j.end(pb.JobState_JOB_STATE_CANCELLED)
		j.mu.Unlock()
		return nil
	}
	j.mu.Unlock()
	// Outside of the lock: both may wait for the child, whose output takes it.
	if to == pb.JobState_JOB_STATE_CANCELLING {
		proc.Kill()
		<-j.ended
		return nil
	}
	line, err := json.Marshal(worker.Command{Do: worker.Drain})
	if err != nil {
		return status.Errorf(codes.Internal, "encode command: %v", err)
	}
	if _, err := proc.Stdin().Write(append(line, '\n')); err != nil {
		// The child is dying; watch records it as failed.
		j.log.Warn("drain command not delivered", "error", err)
	}
	return nil
}

// stop ends the job because the service ends, and waits for its child.
func (j *job) stop() {
	j.mu.Lock()
	if terminal(j.state) {
		j.mu.Unlock()
		<-j.ended
		return
	}
	if j.state != pb.JobState_JOB_STATE_CANCELLING {
		j.set(pb.JobState_JOB_STATE_CANCELLING)
		j.message(pb.JobMessageImportance_JOB_MESSAGE_BASIC, "The service is shutting down.")
	}
	proc := j.proc
	if proc == nil {
		j.end(pb.JobState_JOB_STATE_CANCELLED)
		j.mu.Unlock()
		return
	}
	j.mu.Unlock()
	proc.Kill()
	<-j.ended
}

// launched is the job as LaunchFlexTemplate answers it.
func (j *job) launched() *pb.Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &pb.Job{
		Id: j.id, ProjectId: j.project, Name: j.name, Location: j.location,
		CurrentStateTime: timestamppb.New(j.stateTime),
		CreateTime:       timestamppb.New(j.created), StartTime: timestamppb.New(j.created),
	}
}
