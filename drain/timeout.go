package drain

import (
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
)

// This file decides, without I/O, what becomes of a job that has not drained in
// time. The service has no limit to a drain, and no way back from one.

// OnTimeout is what is done about a job that has not drained in time.
type OnTimeout string

// What is done. The values are those of a StreamJob's update.onTimeout.
const (
	Fail   OnTimeout = "fail"   // the run ends with an error, the drain goes on
	Wait   OnTimeout = "wait"   // the run says so once, and goes on waiting
	Cancel OnTimeout = "cancel" // the job is cancelled: its generation is void
)

// OnTimeouts are the values of OnTimeout.
func OnTimeouts() []OnTimeout { return []OnTimeout{Fail, Wait, Cancel} }

// lateStep is what follows when a job's time is over.
type lateStep int

const (
	lateFail lateStep = iota
	lateWait
	lateCancel
)

// afterTimeout decides when a job's time is over. Only a job that drains is
// cancelled: one whose drain the service has not taken still reads and writes as
// it should, and its rows count.
func afterTimeout(o OnTimeout, draining bool) lateStep {
	switch {
	case o == Wait:
		return lateWait
	case o == Cancel && draining:
		return lateCancel
	}
	return lateFail
}

// cancelling is how far the cancel of a job is.
type cancelling struct {
	state  pb.JobState   // as the service has it now
	taken  bool          // the service has taken the request
	since  time.Duration // for how long it has
	forced bool          // it has taken a forced cancel
	force  time.Duration // how long after a cancel the service takes a forced one
}

// cancelStep is what follows in a cancel.
type cancelStep int

const (
	cancelWait    cancelStep = iota // nothing but to look again
	cancelAsk                       // request it
	cancelForce                     // the service has not ended the job: request a forced one
	cancelGiveUp                    // a forced one does not end it either
	cancelDrained                   // it drained before the cancel reached it: a drain like any other
	cancelVoid                      // it has ended without a drain (rule P5)
	cancelOther                     // it has ended in a way that says nothing of its rows
)

// next decides from what the service says, and from nothing else (rule D3).
func (c cancelling) next() cancelStep {
	switch {
	case c.state == pb.JobState_JOB_STATE_DRAINED:
		return cancelDrained
	case c.state == pb.JobState_JOB_STATE_CANCELLED, c.state == pb.JobState_JOB_STATE_FAILED:
		return cancelVoid
	case dataflowapi.Terminal(c.state):
		return cancelOther
	case !c.taken:
		return cancelAsk
	case c.since >= 2*c.force:
		return cancelGiveUp
	case c.since >= c.force && !c.forced:
		return cancelForce
	}
	return cancelWait
}
