package drain

import (
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
)

func TestAfterTimeout(t *testing.T) {
	for _, c := range []struct {
		on       OnTimeout
		draining bool
		want     lateStep
	}{
		{Fail, true, lateFail},
		{Fail, false, lateFail},
		{Wait, true, lateWait},
		{Wait, false, lateWait},
		{Cancel, true, lateCancel},
		{Cancel, false, lateFail}, // a job that was never asked to drain is not cancelled
		{"", true, lateFail},
	} {
		if got := afterTimeout(c.on, c.draining); got != c.want {
			t.Errorf("%q, draining %v: %v, want %v", c.on, c.draining, got, c.want)
		}
	}
}

func TestCancelling(t *testing.T) {
	const (
		draining     = pb.JobState_JOB_STATE_DRAINING
		isCancelling = pb.JobState_JOB_STATE_CANCELLING
		force        = 30 * time.Minute
	)
	for name, c := range map[string]struct {
		state  pb.JobState
		taken  bool
		since  time.Duration
		forced bool
		want   cancelStep
	}{
		"not asked yet":                   {state: draining, want: cancelAsk},
		"not asked yet, an unknown state": {state: pb.JobState(99), want: cancelAsk},
		"not asked yet, since long ago":   {state: draining, since: 1e6 * time.Hour, want: cancelAsk},
		"taken":                           {state: isCancelling, taken: true, since: time.Minute, want: cancelWait},
		"taken, still shown as draining":  {state: draining, taken: true, since: time.Minute, want: cancelWait},
		"taken, an unknown state":         {state: pb.JobState(99), taken: true, want: cancelWait},
		"just before a forced one":        {state: isCancelling, taken: true, since: force - 1, want: cancelWait},
		"time for a forced one":           {state: isCancelling, taken: true, since: force, want: cancelForce},
		"forced":                          {state: isCancelling, taken: true, since: force + time.Minute, forced: true, want: cancelWait},
		"forced in vain":                  {state: isCancelling, taken: true, since: 2 * force, forced: true, want: cancelGiveUp},
		"the forced one was never taken":  {state: isCancelling, taken: true, since: 2 * force, want: cancelGiveUp},
		"cancelled":                       {state: pb.JobState_JOB_STATE_CANCELLED, taken: true, want: cancelVoid},
		"cancelled by somebody else":      {state: pb.JobState_JOB_STATE_CANCELLED, want: cancelVoid},
		"failed of it":                    {state: pb.JobState_JOB_STATE_FAILED, taken: true, want: cancelVoid},
		"drained before it was asked":     {state: pb.JobState_JOB_STATE_DRAINED, want: cancelDrained},
		"drained though it was cancelled": {state: pb.JobState_JOB_STATE_DRAINED, taken: true, since: 3 * force, want: cancelDrained},
		"updated":                         {state: pb.JobState_JOB_STATE_UPDATED, taken: true, want: cancelOther},
		"done":                            {state: pb.JobState_JOB_STATE_DONE, want: cancelOther},
	} {
		m := cancelling{state: c.state, taken: c.taken, since: c.since, forced: c.forced, force: force}
		if got := m.next(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// invariants D3, P5: whatever else is known, a job is taken for drained or for
// void in the states that say so, and in no other.
func TestCancellingGoesByTheState(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := cancelling{
			state: pb.JobState(rapid.IntRange(0, 20).Draw(rt, "state")), taken: rapid.Bool().Draw(rt, "taken"),
			since: time.Duration(rapid.Int64Range(0, 1e14).Draw(rt, "since")), forced: rapid.Bool().Draw(rt, "forced"), force: DefaultForceAfter,
		}
		got := c.next()
		if (got == cancelDrained) != (c.state == pb.JobState_JOB_STATE_DRAINED) {
			rt.Fatalf("%v: %v", c.state, got)
		}
		if (got == cancelVoid) != (c.state == pb.JobState_JOB_STATE_CANCELLED || c.state == pb.JobState_JOB_STATE_FAILED) {
			rt.Fatalf("%v: %v", c.state, got)
		}
		if asks := got == cancelAsk || got == cancelForce; asks && dataflowapi.Terminal(c.state) {
			rt.Fatalf("asks to cancel a job that is %v", c.state)
		}
		if got == cancelForce && (!c.taken || c.since < c.force || c.forced) {
			rt.Fatalf("forces too early or again: %+v", c)
		}
	})
}
