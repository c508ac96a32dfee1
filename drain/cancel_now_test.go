package drain_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/sandbox/dataflow"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// A job that is cancelled in the place of a drain is void; what has drained before
// the cancel is not, and a cancel that was begun or has ended is gone on with.
func TestRunCancelsNow(t *testing.T) {
	for _, c := range []struct {
		name   string
		before pb.JobState // that the job is brought into; 0: it runs
		text   string      // of the error; empty: none
		void   bool
	}{
		{"it runs", 0, "was cancelled (it is CANCELLED): generation 4 is recorded as void", true},
		{"it drains", pb.JobState_JOB_STATE_DRAINING, "was cancelled (it is CANCELLED)", true},
		{"it was cancelled", pb.JobState_JOB_STATE_CANCELLED, "had been cancelled before", true},
		{"it has drained", pb.JobState_JOB_STATE_DRAINED, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t, map[string]dataflowtest.Behaviour{"": {Hold: c.before == pb.JobState_JOB_STATE_DRAINING}}, "flights-0")
			switch c.before {
			case pb.JobState_JOB_STATE_DRAINING:
				f.request("flights-0", pb.JobState_JOB_STATE_DRAINED)
				f.waitFor("flights-0", c.before)
			case pb.JobState_JOB_STATE_DRAINED, pb.JobState_JOB_STATE_CANCELLED:
				f.request("flights-0", c.before)
				f.waitFor("flights-0", c.before)
			}
			rec := &recorder{}
			cfg := f.config(rec, "flights-0")
			cfg.CancelNow = true
			res, err := drain.Run(t.Context(), cfg)
			var cancelled *drain.CancelledError
			if errors.As(err, &cancelled) != c.void || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q", err, c.text)
			}
			if len(rec.void) == 1 != c.void || len(rec.rows) == 1 == c.void || len(res.Jobs) != 1 || res.Jobs[0].Void != c.void {
				t.Errorf("recorded as drained %v, as void %v, result %+v", rec.rows, rec.void, res)
			}
		})
	}
}

// A job that may not be cancelled goes on, and that is said.
func TestRunCancelNowRefused(t *testing.T) {
	script := dataflow.OnCancel(func(context.Context, dataflow.CancelCall) error {
		return status.Error(codes.PermissionDenied, "no permission dataflow.jobs.cancel")
	})
	f := startScripted(t, nil, script, "flights-0")
	rec := &recorder{}
	cfg := f.config(rec, "flights-0")
	cfg.CancelNow = true
	_, err := drain.Run(t.Context(), cfg)
	if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "could not be cancelled, and goes on") {
		t.Errorf("got %v (code %d)", err, exit.Of(err))
	}
	if s := f.state("flights-0"); s != pb.JobState_JOB_STATE_RUNNING || len(rec.void)+len(rec.rows) > 0 {
		t.Errorf("the job is %v, recorded %v %v", s, rec.void, rec.rows)
	}
}
