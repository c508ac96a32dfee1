package deploy

import (
	"fmt"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file decides, without I/O, what becomes of one job. What becomes of the
// group is in rollout.go and reshard.go.

// Kind is what is done about a job.
type Kind string

// The kinds.
const (
	Keep    Kind = "keep"    // it runs: nothing is done
	Launch  Kind = "launch"  // a generation is begun
	Adopt   Kind = "adopt"   // it runs, but the history lacks its Dataflow id
	Resize  Kind = "resize"  // it runs, and gets other bounds on its number of workers
	Replace Kind = "replace" // it is drained, and the next generation is begun
	Update  Kind = "update"  // the service replaces it in place: its generation goes on as another Dataflow job
	Cancel  Kind = "cancel"  // it is cancelled, which makes its generation void, and the next is begun
	Retire  Kind = "retire"  // the spec has it no more: it is drained, or how it ended is recorded
	Blocked Kind = "blocked" // nothing can be done before someone looks
)

// Ended is how a generation ended that the history still has as open.
type Ended struct {
	Generation int64  `json:"generation"`
	State      string `json:"state"` // drained or void
	DataflowID string `json:"dataflow_id"`
	Why        string `json:"why"`
}

// Drains is a generation that runs, or drains already, and is to be drained.
type Drains struct {
	Generation int64  `json:"generation"`
	DataflowID string `json:"dataflow_id"`
	State      string `json:"state"` // of the Dataflow job: RUNNING, DRAINING, …
}

// Action is what is done about one job.
type Action struct {
	Job        string  `json:"job"`
	Kind       Kind    `json:"kind"`
	Generation int64   `json:"generation,omitempty"`  // that runs, or is launched; of a retired job, its last
	DataflowID string  `json:"dataflow_id,omitempty"` // of the job that runs and goes on
	Ended      *Ended  `json:"ended,omitempty"`       // recorded before anything is launched
	Drains     *Drains `json:"drains,omitempty"`      // drained before anything else is done about the job
	Cancels    *Drains `json:"cancels,omitempty"`     // cancelled before anything else is done about the job
	Supersedes string  `json:"supersedes,omitempty"`  // writer JOB@GENERATION whose rows do not count any more
	Resize     *Bounds `json:"resize,omitempty"`      // what the bounds become
	Reason     string  `json:"reason"`

	Handover *Handover `json:"handover,omitempty"` // of an update: done by the service, and waited for
	Updated  *Handover `json:"updated,omitempty"`  // an update that the service has done: recorded before anything else

	// Changes are the fields in which the spec that is wanted differs from what
	// the job runs with; none if they are not known.
	Changes []Change `json:"changes,omitempty"`
}

// known is a job of the Dataflow API.
type known struct {
	id         string
	state      pb.JobState
	generation int64    // as labelled; 0: no label, or not read
	group      string   // as labelled
	spec       string   // as labelled
	deployment string   // as labelled
	reads      []string // subscriptions, full names; nil: not known
	bounds     Bounds   // as changed while it runs; a 0 is as launched
	replaces   string   // id of the job that it is an update of, once the service says so
	replacedBy string   // id of the job that it was updated to
}

// observed is all that is known of a job.
type observed struct {
	group   string
	job     string
	spec    string             // hash of the spec that is wanted
	retired bool               // the spec has no job of that name any more
	latest  *tables.Generation // newest row of the highest generation; nil: none
	active  *known             // the job of that name, or that was adopted under it, that has not ended; nil: none
	last    *known             // the ended job that the latest generation was; nil: not found

	recorded *known // the job that the latest generation is on record as, where active, or last, is another one; nil: not found

	update    jobspecs.Update // how the spec has jobs replaced
	moves     bool            // subscriptions move between the jobs of the group
	bounds    Bounds          // that are wanted
	resizable bool            // the service can change them while a job runs
	launched  *launched       // what the active job was launched with; nil: with what is wanted

	adopted bool    // the active job was not launched by kappa, and the history has it as the latest generation
	live    *pb.Job // the active job, with labels and environment; nil: none
}

// decide says what becomes of a job; false if there is nothing to say, of a
// job that the spec has no more and that has ended.
func decide(o observed) (act Action, ok bool) {
	o, updated := o.handedOver()
	switch {
	case o.active != nil:
		act, ok = decideActive(o), true
	case o.retired:
		act, ok = decideGone(o)
	default:
		act, ok = decideEnded(o), true
	}
	if act.Updated = updated; updated != nil {
		act.Reason += fmt.Sprintf("; the service has updated job %s to %s", updated.From, updated.To)
		if act.Kind == Keep {
			act.Kind = Adopt
		}
	}
	return act, ok
}

func decideActive(o observed) Action {
	a := o.active
	act := Action{Job: o.job, Kind: Blocked, Generation: a.generation, DataflowID: a.id}
	state := dataflowapi.StateName(a.state)
	switch {
	case a.generation == 0 || a.group != o.group:
		// invariant D3: whatever runs there, its rows are not ours to count.
		act.Reason = fmt.Sprintf("job %s of that name runs, which was not launched for %s: drain or cancel it, or rename the StreamJob", a.id, o.group)
	case o.latest == nil || o.latest.Generation < a.generation:
		act.Reason = fmt.Sprintf("job %s runs as generation %d, which the history does not know", a.id, a.generation)
	case o.latest.Generation > a.generation:
		act.Reason = fmt.Sprintf("job %s runs as generation %d, but the history is at %d", a.id, a.generation, o.latest.Generation)
	case o.latest.State != tables.StateOpen:
		act.Reason = fmt.Sprintf("job %s runs as generation %d, which the history has as %s", a.id, a.generation, o.latest.State)
	case o.updating():
		o.decideUpdating(&act)
	case o.latest.DataflowJobID.Valid && o.latest.DataflowJobID.StringVal != a.id:
		act.Reason = fmt.Sprintf("job %s runs as generation %d, which the history has as job %s", a.id, a.generation, o.latest.DataflowJobID.StringVal)
	case a.state == pb.JobState_JOB_STATE_CANCELLING && o.update.Strategy == jobspecs.StrategyCancel && !o.retired:
		act.cancel(a)
		act.Reason = fmt.Sprintf("is %s already, which makes generation %d void", state, a.generation)
	case !starting(a.state) && a.state != pb.JobState_JOB_STATE_DRAINING:
		act.Reason = fmt.Sprintf("job %s is %s: wait until it has ended, then apply again", a.id, state)
	case o.retired:
		act.drain(Retire, a)
		act.Reason = "is " + state + ", and the spec has no such job any more"
	case a.state == pb.JobState_JOB_STATE_DRAINING:
		act.drain(Replace, a)
		act.Generation, act.Reason = a.generation+1, "is "+state+" already"
	case o.adopted:
		act.drain(Replace, a)
		act.Generation, act.Reason = a.generation+1, "is "+state+"; adopted, and what it runs with is not known"
	case !o.fits():
		meaning := o.replace(&act)
		act.Reason = fmt.Sprintf("is %s with spec %s instead of %s", state, a.spec, o.spec)
		if l := o.launched; l != nil {
			act.Changes = l.changes
			if l.unread != "" {
				act.Reason += "; what differs is not known: " + l.unread
			}
		}
		if act.Reason += meaning; act.Kind == Update {
			act.Reason += refused(act.Changes)
		}
	case o.resizable && o.has() != o.bounds:
		act.Kind, act.Resize, act.Changes = Resize, &o.bounds, o.has().changes(o.bounds)
		act.Reason = fmt.Sprintf("is %s with %s instead of %s", state, o.has(), o.bounds)
	case !o.latest.DataflowJobID.Valid:
		act.Kind, act.Reason = Adopt, "is "+state+"; a launch whose answer was lost"
	default:
		act.Kind, act.Reason = Keep, "is "+state
	}
	if a.spec != o.spec && (act.Kind == Keep || act.Kind == Adopt) {
		act.Reason += fmt.Sprintf("; was launched with spec %s, which asks for nothing else of a job that runs", a.spec)
	}
	return act
}

func (a *Action) drain(k Kind, j *known) {
	a.Kind, a.DataflowID = k, ""
	a.Drains = &Drains{Generation: j.generation, DataflowID: j.id, State: dataflowapi.StateName(j.state)}
}

// starting reports whether a job in the state runs, or will without anyone's help.
func starting(s pb.JobState) bool {
	return s == pb.JobState_JOB_STATE_QUEUED || s == pb.JobState_JOB_STATE_PENDING || s == pb.JobState_JOB_STATE_RUNNING
}

func decideEnded(o observed) Action {
	act := Action{Job: o.job, Kind: Launch}
	if o.latest == nil {
		act.Generation, act.Reason = 1, "was never launched"
		return act
	}
	last := o.latest
	act.Generation = last.Generation + 1
	writer := fmt.Sprintf("%s@%d", o.job, last.Generation)
	switch last.State {
	case tables.StateDrained:
		act.Reason = fmt.Sprintf("generation %d has drained", last.Generation)
		return act
	case tables.StateVoid, tables.StateCancelled:
		act.Supersedes = writer
		act.Reason = fmt.Sprintf("generation %d is %s", last.Generation, last.State)
		return act
	}
	// The history has it as open, and it does not run.
	if o.last == nil {
		if last.DataflowJobID.Valid {
			// invariant D3: it may have drained, or died; its rows count or not.
			act.Kind, act.Generation, act.DataflowID = Blocked, last.Generation, last.DataflowJobID.StringVal
			act.Reason = fmt.Sprintf("generation %d is open in the history, but Dataflow no longer knows its job %s: "+
				"append a row to the generations table that says whether it is drained or void", last.Generation, act.DataflowID)
			return act
		}
		act.Generation, act.Supersedes = last.Generation, last.Supersedes.StringVal
		act.Reason = fmt.Sprintf("generation %d is on record, but was not launched", last.Generation)
		return act
	}
	state := dataflowapi.StateName(o.last.state)
	ended := &Ended{Generation: last.Generation, DataflowID: o.last.id, Why: "its job is " + state}
	switch o.last.state {
	case pb.JobState_JOB_STATE_DRAINED, pb.JobState_JOB_STATE_DONE:
		ended.State = tables.StateDrained
	case pb.JobState_JOB_STATE_FAILED, pb.JobState_JOB_STATE_CANCELLED:
		ended.State = tables.StateVoid // invariant P5
		act.Supersedes = writer
	default:
		act.Kind, act.Generation, act.DataflowID = Blocked, last.Generation, o.last.id
		act.Reason = fmt.Sprintf("the job %s of generation %d is %s, and its successor does not run", o.last.id, last.Generation, state)
		return act
	}
	act.Ended = ended
	act.Reason = fmt.Sprintf("job %s of generation %d is %s", o.last.id, last.Generation, state)
	return act
}

// decideGone says what becomes of a job that the spec has no more and that
// does not run: the history still has to learn how it ended.
func decideGone(o observed) (Action, bool) {
	if o.latest == nil || o.latest.State != tables.StateOpen {
		return Action{}, false
	}
	act := decideEnded(o)
	if act.Kind == Blocked {
		return act, true
	}
	if act.Ended == nil {
		act.Ended = &Ended{Generation: o.latest.Generation, State: tables.StateVoid, Why: "it was not launched"}
	}
	act.Kind, act.Generation, act.Supersedes = Retire, o.latest.Generation, ""
	act.Reason += ", and the spec has no such job any more"
	return act, true
}
