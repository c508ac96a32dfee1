package drain_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/sandbox/dataflow"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

const late = 150 * time.Millisecond // a timeout that is over before the tests' drains are

func (f *fixture) lateConfig(r *recorder, on drain.OnTimeout, jobs ...string) drain.Config {
	cfg := f.config(r, jobs...)
	cfg.Timeout, cfg.OnTimeout, cfg.ForceAfter = late, on, time.Minute
	return cfg
}

// The job drains on, the run says so once, and waits.
func TestRunWaits(t *testing.T) {
	f := start(t, map[string]dataflowtest.Behaviour{"": {DrainTakes: 3 * late}}, "flights-0")
	rec := &recorder{}
	cfg := f.lateConfig(rec, drain.Wait, "flights-0")
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	res, err := drain.Run(t.Context(), cfg)
	if err != nil || len(res.Jobs) != 1 || res.Jobs[0].State != "DRAINED" || res.Jobs[0].Void || len(rec.rows) != 1 {
		t.Errorf("got %+v, %v, recorded %v", res, err, rec.rows)
	}
	if n := strings.Count(log.String(), "longer than its timeout"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log.String())
	}
}

// Whoever leaves while the run waits is told that the drain goes on.
func TestRunWaitInterrupted(t *testing.T) {
	f := start(t, map[string]dataflowtest.Behaviour{"": {Hold: true}}, "flights-0")
	ctx, cancel := context.WithTimeout(t.Context(), 3*late)
	defer cancel()
	_, err := drain.Run(ctx, f.lateConfig(&recorder{}, drain.Wait, "flights-0"))
	if exit.Of(err) != exit.Interrupted || !strings.Contains(err.Error(), "its drain goes on") {
		t.Errorf("got %v (code %d)", err, exit.Of(err))
	}
}

func TestRunCancels(t *testing.T) {
	for _, c := range []struct {
		name   string
		drain  dataflowtest.Behaviour
		cancel func(f *fixture) func(context.Context, dataflow.CancelCall) error
		change func(*drain.Config)
		state  pb.JobState // that the job ends in
		code   exit.Code
		text   string
		void   bool // on record as void; if it drained, as drained
		calls  int  // cancels requested; 0: any number
		forced bool // the last of them
	}{
		{name: "at once", drain: dataflowtest.Behaviour{Hold: true},
			state: pb.JobState_JOB_STATE_CANCELLED, code: exit.DrainTimeout, text: "had not drained after 150ms and was cancelled (it is CANCELLED): generation 4 is recorded as void", void: true, calls: 1},
		{name: "not yet ready", drain: dataflowtest.Behaviour{Hold: true}, cancel: func(*fixture) func(context.Context, dataflow.CancelCall) error {
			return func(_ context.Context, c dataflow.CancelCall) error {
				if c.Number < 3 {
					return status.Error(codes.FailedPrecondition, "Job is not yet ready for canceling. Please retry in a few minutes.")
				}
				return c.Do()
			}
		}, state: pb.JobState_JOB_STATE_CANCELLED, code: exit.DrainTimeout, text: "was cancelled", void: true, calls: 3},
		{name: "done, but the answer was lost", drain: dataflowtest.Behaviour{Hold: true}, cancel: func(*fixture) func(context.Context, dataflow.CancelCall) error {
			return func(_ context.Context, c dataflow.CancelCall) error {
				if err := c.Do(); err != nil {
					return err
				}
				return status.Error(codes.DeadlineExceeded, "no answer")
			}
		}, state: pb.JobState_JOB_STATE_CANCELLED, code: exit.DrainTimeout, text: "was cancelled", void: true, calls: 1},
		{name: "slow", drain: dataflowtest.Behaviour{Hold: true}, cancel: func(f *fixture) func(context.Context, dataflow.CancelCall) error {
			return func(_ context.Context, c dataflow.CancelCall) error {
				time.AfterFunc(late, func() { _ = f.api.API.Request(context.Background(), c.JobID, pb.JobState_JOB_STATE_CANCELLED) })
				if c.Number > 1 {
					return c.Do()
				}
				return nil
			}
		}, state: pb.JobState_JOB_STATE_CANCELLED, code: exit.DrainTimeout, text: "was cancelled", void: true},
		{name: "only when it is forced", drain: dataflowtest.Behaviour{Hold: true}, cancel: func(*fixture) func(context.Context, dataflow.CancelCall) error {
			return func(_ context.Context, c dataflow.CancelCall) error {
				switch {
				case !c.Force:
					return nil
				case c.Number < 4:
					return status.Error(codes.FailedPrecondition, "A job can be force-cancelled 30 minutes after a regular cancel was requested.")
				}
				return c.Do()
			}
		}, change: func(c *drain.Config) { c.ForceAfter = 2 * time.Second / 10 },
			state: pb.JobState_JOB_STATE_CANCELLED, code: exit.DrainTimeout, text: "was cancelled", void: true, calls: 4, forced: true},
		{name: "never", drain: dataflowtest.Behaviour{Hold: true}, cancel: func(*fixture) func(context.Context, dataflow.CancelCall) error {
			return func(context.Context, dataflow.CancelCall) error { return nil }
		}, change: func(c *drain.Config) { c.ForceAfter = 100 * time.Millisecond },
			state: pb.JobState_JOB_STATE_DRAINING, code: exit.DrainTimeout, text: "a forced cancel included", calls: 2, forced: true},
		{name: "refused", drain: dataflowtest.Behaviour{Hold: true}, cancel: func(*fixture) func(context.Context, dataflow.CancelCall) error {
			return func(context.Context, dataflow.CancelCall) error { return status.Error(codes.PermissionDenied, "no") }
		}, state: pb.JobState_JOB_STATE_DRAINING, code: exit.Environment, text: "could not be cancelled; its drain goes on", calls: 1},
		{name: "drained first: has terminated", drain: dataflowtest.Behaviour{DrainTakes: 2 * late}, cancel: func(f *fixture) func(context.Context, dataflow.CancelCall) error {
			return func(_ context.Context, c dataflow.CancelCall) error {
				f.waitFor("flights-0", pb.JobState_JOB_STATE_DRAINED)
				return c.Do()
			}
		}, state: pb.JobState_JOB_STATE_DRAINED, code: exit.OK, calls: 1},
		{name: "drained though the cancel was taken", drain: dataflowtest.Behaviour{DrainTakes: 3 * late}, cancel: func(*fixture) func(context.Context, dataflow.CancelCall) error {
			return func(context.Context, dataflow.CancelCall) error { return nil }
		}, state: pb.JobState_JOB_STATE_DRAINED, code: exit.OK, calls: 1},
		{name: "in time", change: func(c *drain.Config) { c.Timeout = time.Minute }, state: pb.JobState_JOB_STATE_DRAINED, code: exit.OK},
		{name: "its drain was never taken", drain: dataflowtest.Behaviour{StartAfter: time.Minute},
			state: pb.JobState_JOB_STATE_PENDING, code: exit.DrainTimeout, text: "its drain was not requested"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f *fixture
			var mu sync.Mutex
			var calls []dataflow.CancelCall
			script := dataflow.OnCancel(func(ctx context.Context, call dataflow.CancelCall) error {
				mu.Lock()
				calls = append(calls, call)
				mu.Unlock()
				if c.cancel == nil {
					return call.Do()
				}
				return c.cancel(f)(ctx, call)
			})
			f = startScripted(t, map[string]dataflowtest.Behaviour{"flights-0": c.drain}, script, "flights-0")
			rec := &recorder{}
			cfg := f.lateConfig(rec, drain.Cancel, "flights-0")
			if c.change != nil {
				c.change(&cfg)
			}
			res, err := drain.Run(t.Context(), cfg)
			if exit.Of(err) != c.code || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v (code %d), want %q (code %d)", err, exit.Of(err), c.text, c.code)
			}
			var cancelled *drain.CancelledError
			if errors.As(err, &cancelled) != c.void {
				t.Errorf("error %#v, want one that says void: %v", err, c.void)
			}
			row := []record{{"flights", "flights-0", f.ids["flights-0"], 4, false}}
			if c.void {
				if diff := cmp.Diff(row, rec.void); diff != "" || len(rec.rows) > 0 {
					t.Errorf("recorded as drained %v, as void (-want +got):\n%s", rec.rows, diff)
				}
				if len(res.Jobs) != 1 || !res.Jobs[0].Void || res.Jobs[0].State != "CANCELLED" || res.Jobs[0].Before {
					t.Errorf("result %+v", res)
				}
			} else if len(rec.void) > 0 {
				t.Errorf("recorded as void: %v", rec.void)
			}
			if drained := c.state == pb.JobState_JOB_STATE_DRAINED; drained != (len(rec.rows) == 1) {
				t.Errorf("recorded as drained: %v", rec.rows)
			}
			if s := f.state("flights-0"); s != c.state {
				t.Errorf("the job is %v, want %v", s, c.state)
			}
			mu.Lock()
			defer mu.Unlock()
			if c.calls > 0 && len(calls) != c.calls || c.code == exit.OK && c.calls == 0 && len(calls) > 0 {
				t.Errorf("%d requests to cancel it, want %d", len(calls), c.calls)
			}
			if len(calls) > 0 && calls[len(calls)-1].Force != c.forced {
				t.Errorf("the last request was forced: %v", !c.forced)
			}
		})
	}
}

// A run that is killed after the cancel and before the record is resumed by
// running it again; until then the rows would count (rule P5). One more run
// finds it on record, and goes on to the next job.
func TestRunCancelResumes(t *testing.T) {
	for name, while := range map[string]func(*fixture){
		"cancelled": func(f *fixture) {
			f.request("flights-0", pb.JobState_JOB_STATE_CANCELLED)
			f.waitFor("flights-0", pb.JobState_JOB_STATE_CANCELLED)
		},
		"draining": func(*fixture) {},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, map[string]dataflowtest.Behaviour{"flights-0": {Hold: true}}, "flights-0", "flights-1")
			f.request("flights-0", pb.JobState_JOB_STATE_DRAINED)
			while(f)
			rec := &recorder{}
			cfg := f.lateConfig(rec, drain.Cancel, "flights-0", "flights-1")
			_, err := drain.Run(t.Context(), cfg)
			if exit.Of(err) != exit.DrainTimeout || !strings.Contains(err.Error(), "is recorded as void") || !strings.Contains(err.Error(), "not begun: [flights-1]") || len(rec.void) != 1 {
				t.Fatalf("got %v (code %d), recorded %v", err, exit.Of(err), rec.void)
			}
			cfg.Timeout = time.Minute
			res, err := drain.Run(t.Context(), cfg)
			if err != nil || len(res.Jobs) != 2 || !res.Jobs[0].Void || !res.Jobs[0].Before || res.Jobs[1].Void || len(rec.void) != 1 || len(rec.rows) != 1 {
				t.Errorf("third run: %+v, %v, recorded %v", res, err, rec.void)
			}
			// Without leave to cancel, a cancelled job is nobody's to record.
			cfg.OnTimeout = drain.Fail
			if _, err := drain.Run(t.Context(), cfg); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "is CANCELLED") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A cancel that a killed run has requested is watched to its end.
func TestRunCancelJoins(t *testing.T) {
	asked := make(chan struct{})
	var once sync.Once
	script := func(ctx context.Context, req any, handle func(context.Context, any) (any, error)) (any, error) {
		resp, err := handle(ctx, req)
		// The service shows the job as being cancelled for a while.
		if j, ok := resp.(*pb.Job); ok && j.GetCurrentState() == pb.JobState_JOB_STATE_DRAINING {
			once.Do(func() { close(asked) })
			j.CurrentState = pb.JobState_JOB_STATE_CANCELLING
		}
		if l, ok := resp.(*pb.ListJobsResponse); ok {
			for _, j := range l.GetJobs() {
				if j.GetCurrentState() == pb.JobState_JOB_STATE_DRAINING {
					j.CurrentState = pb.JobState_JOB_STATE_CANCELLING
				}
			}
		}
		return resp, err
	}
	f := startScripted(t, map[string]dataflowtest.Behaviour{"": {Hold: true}}, script, "flights-0")
	f.request("flights-0", pb.JobState_JOB_STATE_DRAINED)
	rec := &recorder{}
	cfg := f.lateConfig(rec, drain.Cancel, "flights-0")
	cfg.Timeout = time.Minute // is not waited for
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-asked
		_ = f.api.API.Request(context.Background(), f.ids["flights-0"], pb.JobState_JOB_STATE_CANCELLED)
	}()
	_, err := drain.Run(t.Context(), cfg)
	<-ended
	if exit.Of(err) != exit.DrainTimeout || !strings.Contains(err.Error(), "had been cancelled before") || len(rec.void) != 1 || f.api.asked.Load() != 0 {
		t.Errorf("got %v, recorded %v, %d requests", err, rec.void, f.api.asked.Load())
	}
}

// What could not be recorded is an error that says that the rows count still.
func TestRunCancelNotRecorded(t *testing.T) {
	f := start(t, map[string]dataflowtest.Behaviour{"": {Hold: true}}, "flights-0")
	_, err := drain.Run(t.Context(), f.lateConfig(&recorder{err: errors.New("table is gone")}, drain.Cancel, "flights-0"))
	if err == nil || !strings.Contains(err.Error(), "is not on record as void, and its rows count until it is: table is gone") {
		t.Errorf("got %v", err)
	}
}

// Whoever leaves before the cancelled job has ended is told what goes on.
func TestRunCancelInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := startScripted(t, map[string]dataflowtest.Behaviour{"": {Hold: true}}, dataflow.OnCancel(func(context.Context, dataflow.CancelCall) error {
		time.AfterFunc(50*time.Millisecond, cancel)
		return nil
	}), "flights-0")
	_, err := drain.Run(ctx, f.lateConfig(&recorder{}, drain.Cancel, "flights-0"))
	if exit.Of(err) != exit.Interrupted || !strings.Contains(err.Error(), "its cancel goes on") {
		t.Errorf("got %v (code %d)", err, exit.Of(err))
	}
}

func TestRunBacklog(t *testing.T) {
	size := 1000.0
	f := startScripted(t, map[string]dataflowtest.Behaviour{"": {DrainTakes: late}}, dataflow.OnMetrics(func(_ string, m *pb.JobMetrics) {
		size = max(0, size-50)
		m.Metrics = append(m.Metrics, &pb.MetricUpdate{
			Name: &pb.MetricStructuredName{Origin: "dataflow/v1b3", Name: "backlog_elements", Context: map[string]string{"stage": "F39"}}, Scalar: structpb.NewNumberValue(size),
		})
	}), "flights-0")
	cfg := f.config(&recorder{}, "flights-0")
	var seen, etas int
	cfg.Progress = func(p drain.Progress) {
		for _, s := range p.Sources {
			if s.Backlog.Known() {
				seen++
			}
			if s.ETA > 0 {
				etas++
			}
		}
	}
	res, err := drain.Run(t.Context(), cfg)
	if err != nil || seen == 0 || etas == 0 {
		t.Fatalf("%v; a backlog in %d readings, an ETA in %d", err, seen, etas)
	}
	if len(res.Jobs[0].Sources) != 1 || !res.Jobs[0].Sources[0].Backlog.Known() {
		t.Errorf("result %+v", res.Jobs[0])
	}
}

func (f *fixture) request(name string, s pb.JobState) {
	f.Helper()
	if err := f.api.API.Request(f.Context(), f.ids[name], s); err != nil {
		f.Fatal(err)
	}
}
