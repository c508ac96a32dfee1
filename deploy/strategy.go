package deploy

import (
	"fmt"
	"slices"
	"strings"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file decides, without I/O, how a job that runs with another spec gives way
// to one with the wanted spec, and what the service says of a job that it has
// replaced in place. What is decided once, is in decide.go: the strategy is of no
// meaning for a job that does not run, or drains.

// Handover is a job that the service replaces in place: it hands its state over to
// another job of the same name, and its generation goes on as that one.
type Handover struct {
	Generation int64  `json:"generation"`
	From       string `json:"from"`         // Dataflow job
	To         string `json:"to,omitempty"` // Dataflow job; empty: it is still to be launched
}

// decideAll decides about the jobs of a group, and says why none may be launched
// before all that are to be drained have drained; empty: each can be replaced by
// itself.
func decideAll(wanted owners, jobs []observed) (actions []Action, resharded string) {
	actions = []Action{}
	active := map[string]known{}
	for i := range jobs {
		if a, ok := decide(jobs[i]); ok {
			actions = append(actions, a)
		}
		if jobs[i].active != nil {
			active[jobs[i].job] = *jobs[i].active
		}
	}
	resharded = reshard(wanted, actions, active)
	if resharded == "" || !slices.ContainsFunc(actions, func(a Action) bool { return a.Kind == Update }) {
		return actions, resharded
	}
	actions = actions[:0]
	for _, o := range jobs {
		o.moves = true
		if a, ok := decide(o); ok {
			actions = append(actions, a)
		}
	}
	return actions, resharded
}

// replace decides by the strategy what is done about the active job, whose spec
// does not fit, and says what that means.
func (o observed) replace(act *Action) (meaning string) {
	a := o.active
	switch {
	case o.moves && o.update.InPlace():
		act.drain(Replace, a)
		act.Generation = a.generation + 1
		return "; subscriptions move between jobs, which no update in place can do: it is drained"
	case o.update.InPlace():
		act.Kind, act.Handover = Update, &Handover{Generation: a.generation, From: a.id}
		return fmt.Sprintf("; the service is asked to replace it in place, and generation %d goes on with its state", a.generation)
	case o.update.Strategy == jobspecs.StrategyCancel:
		act.cancel(a)
		return fmt.Sprintf("; it is cancelled, and generation %d becomes void", a.generation)
	}
	act.drain(Replace, a)
	act.Generation = a.generation + 1
	return ""
}

// cancel makes an action of cancelling a job and beginning its next generation.
func (a *Action) cancel(j *known) {
	a.Kind, a.Generation, a.DataflowID = Cancel, j.generation+1, ""
	a.Cancels = &Drains{Generation: j.generation, DataflowID: j.id, State: dataflowapi.StateName(j.state)}
}

// refused are the changes, of those that are known, for which the service is known
// to refuse an update in place. It checks for itself, and for more than that: the
// steps of the pipeline and their state.
func refused(changes []Change) string {
	var paths []string
	for _, c := range changes {
		switch c.Path {
		case "spec.region", "spec.tuning.streamingEngine":
			paths = append(paths, c.Path)
		}
	}
	if len(paths) == 0 {
		return ""
	}
	return "; the service is known to refuse an update that changes " + strings.Join(paths, ", ") + ": take strategy drain for this one"
}

// sameSources reports whether changes are known and none is about who reads what.
func sameSources(changes []Change) bool {
	return len(changes) > 0 && !slices.ContainsFunc(changes, func(c Change) bool {
		return c.Path == "spec.jobs" || strings.HasPrefix(c.Path, "spec.sources.")
	})
}

// handedOver takes as on record what the service says: that it has replaced the
// job on record by another one, which has its state. What happened to that one is
// what happened to the generation.
func (o observed) handedOver() (observed, *Handover) {
	to := o.active
	if to == nil {
		to = o.last
	}
	if o.recorded == nil || o.recorded.state != pb.JobState_JOB_STATE_UPDATED || !o.follows(to) {
		return o, nil
	}
	row := *o.latest
	row.DataflowJobID = nullString(to.id)
	h := &Handover{Generation: row.Generation, From: o.recorded.id, To: to.id}
	o.latest, o.recorded = &row, nil
	return o, h
}

// updating reports whether the active job is still taking over from the one on
// record.
func (o observed) updating() bool {
	return o.recorded != nil && !dataflowapi.Terminal(o.recorded.state) && o.follows(o.active)
}

// follows reports whether a job may be the update of the job on record: it is of
// the same generation, and what the service says of both agrees. The service names
// neither before the hand-over has begun.
func (o observed) follows(j *known) bool {
	r := o.recorded
	return j != nil && o.latest != nil && o.latest.State == tables.StateOpen && j.id != r.id &&
		j.group == o.group && j.generation == o.latest.Generation &&
		(j.replaces == "" || j.replaces == r.id) && (r.replacedBy == "" || r.replacedBy == j.id)
}

// decideUpdating says what becomes of a job that takes over from another one.
func (o observed) decideUpdating(act *Action) {
	a := o.active
	if o.retired || a.spec != o.spec {
		act.Reason = fmt.Sprintf("job %s is being updated to job %s, which was launched with spec %s and is %s: wait until that has ended, then apply again",
			o.recorded.id, a.id, a.spec, dataflowapi.StateName(a.state))
		return
	}
	act.Kind, act.DataflowID, act.Handover = Update, o.recorded.id, &Handover{Generation: a.generation, From: o.recorded.id, To: a.id}
	act.Reason = fmt.Sprintf("is being updated to job %s, which is %s", a.id, dataflowapi.StateName(a.state))
}

// loses are the generations that applying the plan makes void, and those that it
// may: what it takes to say yes to.
func (p *Plan) loses() []string {
	var out []string
	for _, a := range p.Jobs {
		if a.Cancels != nil {
			out = append(out, history.FormatWriter(a.Job, a.Cancels.Generation))
		}
	}
	return out
}
