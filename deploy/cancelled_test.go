package deploy_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// A job that does not drain in time, and was cancelled for it, is void; its
// successor supersedes it and reads its messages again (invariant P5). The rest
// of the group is replaced as ever.
func TestReplaceCancelled(t *testing.T) {
	f := start(t, true, nil)
	f.workers(2, func(job string, b *dataflowtest.Behaviour) { b.Hold = job == "flights-0" })
	f.apply()
	f.job.Spec.Horizon *= 2
	f.workers(2)
	cfg := f.config()
	cfg.Drainer = drainFunc(func(ctx context.Context, job string) error {
		_, err := drain.Run(ctx, drain.Config{
			Log: slog.New(slog.DiscardHandler), API: f.jobs.Client, Recorder: f.store, Group: "flights", Jobs: []string{job},
			Poll: 10 * time.Millisecond, Timeout: 200 * time.Millisecond, OnTimeout: drain.Cancel,
		})
		if err != nil && strings.Contains(err.Error(), "is recorded as void") {
			return nil
		}
		return err
	})
	replayed := 0
	res, err := deploy.Apply(t.Context(), cfg, func(e deploy.Event) {
		if e.Step == deploy.Replaying {
			replayed++
			if !strings.Contains(e.Text, "as flights-0@1 began to read it") {
				t.Errorf("replays %q", e.Text)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"flights-0@1 void", "flights-0@2 open", "flights-1@1 drained", "flights-1@2 open"}
	if diff := cmp.Diff(want, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if got := f.generations("flights-0")[1].Supersedes.StringVal; got != "flights-0@1" {
		t.Errorf("generation 2 supersedes %q", got)
	}
	if n := len(f.job.JobSubscriptions(0)); replayed != n {
		t.Errorf("%d subscriptions replayed, want %d", replayed, n)
	}
	if len(res.Jobs) != 2 || res.Jobs[0].Drained != nil || !res.Jobs[0].Launched || res.Jobs[1].Drained == nil {
		t.Errorf("result %+v", res.Jobs)
	}
}

// invariant P5: behind a cancelled job whose end is not on record nothing is
// launched: its rows would count beside those of its successor.
func TestReplaceCancelledNotRecorded(t *testing.T) {
	f := start(t, true, nil)
	f.workers(1, func(_ string, b *dataflowtest.Behaviour) { b.Hold = true })
	id := f.apply().Jobs[0].DataflowID
	f.job.Spec.Horizon *= 2
	cfg := f.config()
	cfg.Drainer = drainFunc(func(context.Context, string) error {
		f.request(id, pb.JobState_JOB_STATE_CANCELLED)
		f.waitFor(id, pb.JobState_JOB_STATE_CANCELLED)
		return nil
	})
	if _, err := deploy.Apply(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), "is CANCELLED after its drain instead of DRAINED") {
		t.Errorf("got %v", err)
	}
	if f.jobs.launches != 1 {
		t.Errorf("%d launches", f.jobs.launches)
	}
	// The next one records it first.
	f.workers(1)
	f.apply()
	if diff := cmp.Diff([]string{"flights-0@1 void", "flights-0@2 open"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}
