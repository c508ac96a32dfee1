package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// This file is the model's world: a Dataflow service, a history and a drainer in
// memory, which do whatever the real ones may do, and hold against what may be. It
// knows nothing of how package deploy decides.

// modelJob is a job of the service.
type modelJob struct {
	id, name   string
	labels     map[string]string
	generation int64 // as labelled; 0: somebody else's
	state      pb.JobState
	gone       bool // the service has forgotten it
	created    time.Time
	reads      []string
}

func (j *modelJob) active() bool { return !ended(j.state) }

// ended are the states that nothing follows, as the service's documentation has them.
func ended(s pb.JobState) bool {
	return slices.Contains([]pb.JobState{
		pb.JobState_JOB_STATE_DONE, pb.JobState_JOB_STATE_FAILED, pb.JobState_JOB_STATE_CANCELLED,
		pb.JobState_JOB_STATE_UPDATED, pb.JobState_JOB_STATE_DRAINED,
	}, s)
}

// world is a Dataflow service and a history. What they do beyond what they are asked
// for is told by chances, a list of numbers for each name of a job: 0 is what a calm
// day brings, and so is the end of the list.
type world struct {
	mu      sync.Mutex
	jobs    []*modelJob // in order of creation
	rows    []tables.Generation
	chances map[string][]int
	reads   func(job string) []string // subscriptions, by the spec that is applied

	writes int
	kill   int // the run is killed at this write; 0: never
	dead   bool
	cancel func()

	wrong []string // what may not be
}

func (w *world) fail(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// chance is what happens next to a job of that name: 0 to n-1.
func (w *world) chance(name string, n int) int {
	list := w.chances[name]
	if len(list) == 0 {
		return 0
	}
	w.chances[name] = list[1:]
	return list[0] % n
}

var (
	errDead = errors.New("killed")
	errAway = status.Error(codes.Unavailable, "away")
)

// write counts an operation that changes something, and kills the run at its turn:
// before it on odd ones, right after it on even ones.
func (w *world) write(fn func() error) error {
	if w.dead {
		return errDead
	}
	w.writes++
	now := w.writes == w.kill
	if now && w.kill%2 == 1 {
		w.dead = true
		w.cancel()
		return errDead
	}
	err := fn()
	if now {
		w.dead = true
		w.cancel()
		return errDead
	}
	return err
}

// newest are the jobs of a name that the service still knows, newest first.
func (w *world) newest(name string) []*modelJob {
	var out []*modelJob
	for _, j := range slices.Backward(w.jobs) {
		if j.name == name && !j.gone {
			out = append(out, j)
		}
	}
	return out
}

// evolve lets time go by for the jobs of a name, and returns the state that a
// reading shows for active ones instead of their own; -1: their own.
func (w *world) evolve(name string) pb.JobState {
	for _, j := range w.newest(name) {
		if !j.active() {
			continue
		}
		switch c := w.chance(name, 24); {
		case c == 1: // nothing yet
		case c == 2:
			return pb.JobState(13 + len(w.chances[name])) // which nobody knows yet
		case c == 3:
			return []pb.JobState{pb.JobState_JOB_STATE_UNKNOWN, pb.JobState_JOB_STATE_STOPPED, pb.JobState_JOB_STATE_RESOURCE_CLEANING_UP, pb.JobState_JOB_STATE_PENDING}[len(w.chances[name])%4]
		case c == 4:
			j.state = pb.JobState_JOB_STATE_FAILED
		case c == 5:
			j.state = pb.JobState_JOB_STATE_CANCELLED
		case c == 6:
			j.state = pb.JobState_JOB_STATE_CANCELLING
		case c == 7:
			j.state = pb.JobState_JOB_STATE_UPDATED
		case c == 8:
			j.state = pb.JobState_JOB_STATE_DONE
		case c == 9 && j.state == pb.JobState_JOB_STATE_RUNNING:
			j.state = pb.JobState_JOB_STATE_DRAINING
		case j.state == pb.JobState_JOB_STATE_QUEUED:
			j.state = pb.JobState_JOB_STATE_PENDING
		case j.state == pb.JobState_JOB_STATE_PENDING:
			j.state = pb.JobState_JOB_STATE_RUNNING
		case j.state == pb.JobState_JOB_STATE_DRAINING:
			j.state = pb.JobState_JOB_STATE_DRAINED
		case j.state == pb.JobState_JOB_STATE_CANCELLING:
			j.state = pb.JobState_JOB_STATE_CANCELLED
		}
	}
	return -1
}

// view is a job as the service shows it.
func (j *modelJob) view(shown pb.JobState, full bool) *pb.Job {
	out := &pb.Job{Id: j.id, Name: j.name, CurrentState: j.state, CreateTime: timestamppb.New(j.created), JobMetadata: &pb.JobMetadata{}}
	if shown >= 0 && j.active() {
		out.CurrentState = shown
	}
	for _, s := range j.reads {
		out.JobMetadata.PubsubDetails = append(out.JobMetadata.PubsubDetails, &pb.PubSubIODetails{Subscription: s})
	}
	if full {
		out.Labels = maps.Clone(j.labels)
	}
	return out
}

// modelJobs is the service as deploy calls it.
type modelJobs struct{ *world }

func (w modelJobs) Named(_ context.Context, name string) ([]*pb.Job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return nil, errDead
	}
	shown := w.evolve(name)
	var out []*pb.Job
	for _, j := range w.newest(name) {
		out = append(out, j.view(shown, false))
	}
	return out, nil
}

func (w modelJobs) Get(_ context.Context, id string) (*pb.Job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return nil, errDead
	}
	for _, j := range w.jobs {
		if j.id != id || j.gone {
			continue
		}
		shown := w.evolve(j.name)
		if w.chance(j.name, 24) == 23 {
			return nil, errAway
		}
		return j.view(shown, true), nil
	}
	return nil, status.Error(codes.NotFound, "no such job")
}

func (w modelJobs) Active(context.Context) ([]*pb.Job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return nil, errDead
	}
	var out []*pb.Job
	for _, j := range w.jobs {
		if j.active() && !j.gone {
			out = append(out, j.view(-1, false))
		}
	}
	return out, nil
}

func (w modelJobs) Errors(context.Context, string, int) ([]string, error) { return nil, nil }

func (w modelJobs) ErrorsSince(context.Context, string, time.Time) (int, string, error) {
	return 0, "", nil
}

func (w modelJobs) Resize(context.Context, string, int, int) error {
	return errors.New("nothing is resized here")
}

func (w modelJobs) Launch(_ context.Context, p *pb.LaunchFlexTemplateParameter) (*pb.Job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var job *pb.Job
	err := w.write(func() error {
		fate := w.chance(p.GetJobName(), 8)
		switch fate {
		case 1:
			return errAway
		case 2:
			return status.Error(codes.ResourceExhausted, "quota")
		}
		for _, j := range w.newest(p.GetJobName()) {
			if j.active() {
				return status.Error(codes.AlreadyExists, "the name is taken")
			}
		}
		j := &modelJob{
			id: fmt.Sprintf("id-%d", len(w.jobs)), name: p.GetJobName(), labels: p.GetEnvironment().GetAdditionalUserLabels(),
			state: pb.JobState_JOB_STATE_QUEUED, created: time.Now(), reads: w.reads(p.GetJobName()),
		}
		fmt.Sscan(j.labels[dataflowapi.LabelGeneration], &j.generation)
		w.mayBegin(j)
		w.jobs = append(w.jobs, j)
		job = j.view(-1, false)
		if fate == 3 || fate == 4 {
			return errAway // the answer is lost
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return job, nil
}

// mayBegin holds a launch against what may be.
func (w *world) mayBegin(j *modelJob) {
	row, ok := history.Fold(w.rows).Writer(j.name, j.generation)
	switch {
	case !ok || row.State != tables.StateOpen:
		w.fail("%s@%d is launched, and is on record as %q", j.name, j.generation, row.State)
	case row.DataflowJobID.Valid:
		w.fail("%s@%d is launched, and is on record as job %s", j.name, j.generation, row.DataflowJobID.StringVal)
	}
	for _, g := range history.Fold(w.rows).Generations(j.name) {
		if g.Generation != j.generation && g.State == tables.StateOpen {
			w.fail("%s@%d is launched, and %d is on record as open", j.name, j.generation, g.Generation)
		}
	}
	for _, o := range w.jobs {
		switch {
		case o.name == j.name && o.generation == j.generation:
			w.fail("%s@%d is launched again: it was job %s, which is %s", j.name, j.generation, o.id, o.state)
		case o.active() && o.generation > 0 && slices.ContainsFunc(o.reads, func(s string) bool { return slices.Contains(j.reads, s) }):
			w.fail("%s@%d is launched, and %s@%d, which reads the same, is %s", j.name, j.generation, o.name, o.generation, o.state)
		}
	}
}
