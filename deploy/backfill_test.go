package deploy_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

const archive = "gs://" + dataflowtest.FlightsStaging + "/archive/*.avro"

var fill = deploy.Backfill{
	From: time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC), To: time.Date(2001, 1, 9, 0, 0, 0, 0, time.UTC), Archive: archive,
}

// batch is a backfill's worker, which ends by itself.
func batch(after time.Duration, exit int) dataflowtest.Behaviour {
	return dataflowtest.Behaviour{Batch: true, ExitAfter: after, Exit: exit}
}

// startFill starts a sandbox with an archive, and the jobs of the group as
// watched by an observer that says where they are.
func startFill(t *testing.T, b dataflowtest.Behaviour) *fixture {
	f := start(t, true, map[string]dataflowtest.Behaviour{"flights-backfill": b})
	dataflowtest.Write(t, f.clients.Storage, dataflowtest.FlightsStaging, "archive/1.avro", "not read by the fake worker")
	return f
}

// at is an observer of group jobs that have all reached a time.
type at time.Time

func (w at) Observe(_ context.Context, jobs []string) ([]deploy.Observation, error) {
	var out []deploy.Observation
	for _, j := range jobs {
		out = append(out, deploy.Observation{Job: j, State: "RUNNING", Watermark: time.Time(w), Messages: 7})
	}
	return out, nil
}

// past is after the horizon of fill.
func (f *fixture) past() at { return at(fill.To.Add(f.job.Spec.Horizon.D())) }

func (f *fixture) fillWith(o deploy.Observer, progress func(deploy.Event), change ...func(*deploy.Config)) (*deploy.BackfillResult, error) {
	f.Helper()
	cfg := f.config()
	cfg.Observer = o
	for _, fn := range change {
		fn(&cfg)
	}
	d, err := deploy.New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	return d.Backfill(f.Context(), fill, progress)
}

func TestBackfill(t *testing.T) {
	f := startFill(t, batch(200*time.Millisecond, 0))
	var steps []string
	messages := int64(0)
	res, err := f.fillWith(f.past(), func(e deploy.Event) {
		if s := string(e.Step); e.Job != "" && !slices.Contains(steps, s) && e.Step != deploy.Starting {
			steps = append(steps, s)
		}
		messages = max(messages, e.Messages)
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"recording", "launching", "completing", "running", "done"}, steps); diff != "" || messages != 7 {
		t.Errorf("%d messages, steps (-want +got):\n%s", messages, diff)
	}
	if res.Group != "flights" || res.Job != "flights-backfill" || res.Generation != 1 || !res.Launched || !res.WindowFrom.Equal(fill.From) || res.Seconds <= 0 {
		t.Errorf("result %+v", res)
	}
	gs := f.generations("flights-backfill")
	if len(gs) != 1 || gs[0].Kind != tables.WriterBackfill || gs[0].State != tables.StateDrained || gs[0].Group != "flights" ||
		!gs[0].WindowFrom.Timestamp.Equal(fill.From) || !gs[0].WindowTo.Timestamp.Equal(fill.To) || gs[0].DataflowJobID.StringVal != res.DataflowID {
		t.Errorf("history %+v", gs)
	}
	job, err := f.jobs.Get(t.Context(), res.DataflowID)
	if err != nil {
		t.Fatal(err)
	}
	options := job.GetEnvironment().GetSdkPipelineOptions().GetFields()["options"].GetStructValue().GetFields()
	for name, want := range map[string]string{
		"archive": archive, "from": "2001-01-08T00:00:00Z", "to": "2001-01-09T00:00:00Z", "job": "flights-backfill", "generation": "1",
	} {
		if got := options[name].GetStringValue(); got != want {
			t.Errorf("parameter %s is %q, want %q", name, got, want)
		}
	}
	if !strings.HasSuffix(options["jobspec"].GetStringValue(), ".yaml") {
		t.Errorf("parameters %v", options)
	}
	// From here on it replaces the windows, and the group's jobs know it.
	log, err := f.store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]tables.Span{{From: fill.From, To: fill.To}}, log.Replaced("flights")); diff != "" {
		t.Errorf("replaced (-want +got):\n%s", diff)
	}
	// It is no job of the group: nothing retires it.
	f.workers(1)
	f.apply()
	if p := f.plan(); p.Pending() || len(p.Jobs) != 1 {
		t.Errorf("plan %+v", p.Jobs)
	}
	// Said again, it is computed again.
	dataflowtest.SetWorker(t, map[string]dataflowtest.Behaviour{"flights-backfill": batch(10*time.Millisecond, 0)})
	if res, err := f.fillWith(f.past(), nil); err != nil || res.Generation != 2 {
		t.Errorf("again: %+v, %v", res, err)
	}
}

// A backfill that fails changes nothing that readers see, and the next one is
// another generation.
func TestBackfillFails(t *testing.T) {
	f := startFill(t, batch(50*time.Millisecond, 9))
	_, err := f.fillWith(f.past(), nil)
	if exit.Of(err) != exit.Failed || !strings.Contains(err.Error(), "became FAILED instead of DONE") || !strings.Contains(err.Error(), "out of cheese") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"flights-backfill@1 void"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	dataflowtest.SetWorker(t, map[string]dataflowtest.Behaviour{"flights-backfill": batch(10*time.Millisecond, 0)})
	if _, err := f.fillWith(f.past(), nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"flights-backfill@1 void", "flights-backfill@2 drained"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func TestBackfillRefused(t *testing.T) {
	f := startFill(t, batch(10*time.Millisecond, 0))
	f.workers(2, func(_ string, b *dataflowtest.Behaviour) { b.Unknown = true })
	f.apply()
	launches := f.jobs.launches
	for _, c := range []struct {
		name     string
		observer deploy.Observer
		want     string
	}{
		{"as the service says", drainer{f}, "the watermark of flights-0 is not known; the watermark of flights-1 is not known"},
		{"too early", at(fill.To.Add(f.job.Spec.Horizon.D() - time.Second)), "the watermark of flights-0 is 2001-01-12T23:59:59Z"},
	} {
		if _, err := f.fillWith(c.observer, nil); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := f.fillWith(nil, nil); err == nil || !strings.Contains(err.Error(), "needs an observer") {
		t.Errorf("without an observer: %v", err)
	}
	missing := fill
	missing.Archive = "gs://" + dataflowtest.FlightsStaging + "/archive/x*.avro"
	d := f.deployer()
	if _, err := d.Backfill(t.Context(), missing, nil); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "names no file") {
		t.Errorf("without a file: %v", err)
	}
	missing.Archive = "gs://nowhere/*.avro"
	if _, err := d.Backfill(t.Context(), missing, nil); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "the bucket nowhere does not exist") {
		t.Errorf("without a bucket: %v", err)
	}
	// Another one is open on some of the windows.
	if _, err := f.store.Append(t.Context(), f.open("other", fill.From.Add(time.Hour), fill.To.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.fillWith(f.past(), nil); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "other@1 is an open backfill") {
		t.Errorf("overlapping: %v", err)
	}
	if f.jobs.launches != launches || len(f.generations("flights-backfill")) != 0 {
		t.Errorf("%d launches, history %v", f.jobs.launches-launches, f.summary())
	}
}

// open is the row of a backfill that was begun.
func (f *fixture) open(job string, from, to time.Time) tables.Generation {
	g := tables.Generation{Job: job, Generation: 1, Kind: tables.WriterBackfill, State: tables.StateOpen, Group: "flights"}
	g.WindowFrom.Timestamp, g.WindowFrom.Valid = from, true
	g.WindowTo.Timestamp, g.WindowTo.Valid = to, true
	return g
}

// invariant D2: a backfill that is killed before any of its steps is finished
// by the same command, with one job.
func TestBackfillResumed(t *testing.T) {
	for at := 1; ; at++ {
		f := startFill(t, batch(100*time.Millisecond, 0))
		k := &kill{at: at}
		_, err := f.fillWith(f.past(), nil, func(cfg *deploy.Config) { *cfg = withObserver(k.config(f), f.past()) })
		if err == nil {
			if at < 5 {
				t.Errorf("only %d operations", at-1)
			}
			return
		}
		if !strings.Contains(err.Error(), errKilled.Error()) {
			t.Fatalf("killed at %d: %v", at, err)
		}
		f.jobs.launch = nil
		res, err := f.fillWith(f.past(), nil)
		if err != nil {
			t.Fatalf("killed at %d: resumed: %v", at, err)
		}
		if launched := at <= 2; res.Launched != launched || res.Generation != 1 {
			t.Errorf("killed at %d: %+v", at, res)
		}
		jobs, err := f.jobs.Named(t.Context(), "flights-backfill")
		if err != nil || len(jobs) != 1 {
			t.Errorf("killed at %d: %d jobs, %v", at, len(jobs), err)
		}
		if diff := cmp.Diff([]string{"flights-backfill@1 drained"}, f.summary()); diff != "" {
			t.Errorf("killed at %d: history (-want +got):\n%s", at, diff)
		}
	}
}

func withObserver(cfg deploy.Config, o deploy.Observer) deploy.Config {
	cfg.Observer = o
	return cfg
}

// One that was stopped while its job ran is waited for, or recorded once it is
// done; one whose job has failed meanwhile is launched again.
func TestBackfillStopped(t *testing.T) {
	for _, c := range []struct {
		name  string
		after func(f *fixture, id string)
		exit  int
		want  []string
	}{
		{"it runs", func(*fixture, string) {}, 0, []string{"flights-backfill@1 drained"}},
		{"it is done", func(f *fixture, id string) { f.waitFor(id, pb.JobState_JOB_STATE_DONE) }, 0, []string{"flights-backfill@1 drained"}},
		{"it was cancelled", func(f *fixture, id string) {
			f.request(id, pb.JobState_JOB_STATE_CANCELLED)
			f.waitFor(id, pb.JobState_JOB_STATE_CANCELLED)
		}, 0, []string{"flights-backfill@1 void", "flights-backfill@2 drained"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := startFill(t, batch(300*time.Millisecond, c.exit))
			cfg := f.config()
			cfg.Observer = f.past()
			d, err := deploy.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			id := ""
			_, err = d.Backfill(ctx, fill, func(e deploy.Event) {
				if e.Step == deploy.Running {
					id = e.DataflowID
					cancel()
				}
			})
			if exit.Of(err) != exit.Interrupted || !strings.Contains(err.Error(), "goes on") {
				t.Fatalf("got %v", err)
			}
			c.after(f, id)
			if _, err := f.fillWith(f.past(), nil); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, f.summary()); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
		})
	}
}

// A job that was launched while the backfill ran did not learn of it: the
// backfill is not complete before that job has passed the windows.
func TestBackfillOvertaken(t *testing.T) {
	f := startFill(t, batch(10*time.Millisecond, 0))
	f.workers(1)
	f.apply()
	dataflowtest.SetWorker(t, map[string]dataflowtest.Behaviour{"flights-backfill": batch(10*time.Millisecond, 0)})
	o := &moving{at: f.past()}
	_, err := f.fillWith(o, func(e deploy.Event) {
		if e.Step == deploy.Launching {
			o.at = at(fill.From) // as after a restart
		}
	})
	if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "does not replace the windows yet") || !strings.Contains(err.Error(), "the watermark of flights-0 is 2001-01-08T00:00:00Z") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"flights-0@1 open", "flights-backfill@1 open"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	o.at = f.past()
	if _, err := f.fillWith(o, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"flights-0@1 open", "flights-backfill@1 drained"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// moving is an observer whose jobs move.
type moving struct{ at at }

func (m *moving) Observe(ctx context.Context, jobs []string) ([]deploy.Observation, error) {
	return m.at.Observe(ctx, jobs)
}

// The answer to a launch is lost, and the job is done before it is looked for.
func TestBackfillLostAnswer(t *testing.T) {
	f := startFill(t, batch(time.Millisecond, 0))
	f.jobs.launch = func(call func() (*pb.Job, error)) (*pb.Job, error) {
		j, err := call()
		if err != nil {
			return nil, err
		}
		f.waitFor(j.GetId(), pb.JobState_JOB_STATE_DONE)
		return nil, status.Error(codes.Unavailable, "connection reset")
	}
	if _, err := f.fillWith(f.past(), nil); err != nil || f.jobs.launches != 1 {
		t.Errorf("%d launches, %v", f.jobs.launches, err)
	}
}
