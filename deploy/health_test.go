package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

const ms = jobspecs.Duration(time.Millisecond)

// rollout makes the spec roll out in a way, and asks for a new generation of all
// jobs, which behave as told.
func (f *fixture) rollout(r jobspecs.Rollout, change ...func(job string, b *dataflowtest.Behaviour)) {
	f.Helper()
	f.workers(f.job.Spec.Jobs, change...)
	f.job.Spec.Horizon *= 2
	f.job.Spec.Update.Rollout = r
}

// conditions are those of a test, which has little time: a change may make them
// others.
func conditions(change func(*jobspecs.Conditions)) jobspecs.Conditions {
	c := jobspecs.Conditions{HealthyFor: 100 * ms, Within: 20_000 * ms, MaxErrorsPerMinute: -1}
	if change != nil {
		change(&c)
	}
	return c
}

// steps are the steps that an Apply tells, each once for a job.
func steps(all *[]string) func(deploy.Event) {
	return func(e deploy.Event) {
		if s := e.Job + " " + string(e.Step); e.Job != "" && !slices.Contains(*all, s) {
			*all = append(*all, s)
		}
	}
}

// A job is followed by the next once it is healthy; for how long nobody read what
// it reads is in the result.
func TestHealthy(t *testing.T) {
	f := start(t, true, nil)
	f.workers(2)
	f.apply()
	f.rollout(jobspecs.Rollout{Parallel: 1, Conditions: conditions(func(c *jobspecs.Conditions) { c.MaxErrorsPerMinute, c.MaxWatermarkAge = 0, 60_000*ms })},
		func(_ string, b *dataflowtest.Behaviour) { b.Live, b.StartAfter = true, 50*time.Millisecond })
	var all []string
	res, err := deploy.Apply(t.Context(), f.config(), steps(&all))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, j := range f.job.JobNames() {
		want = append(want, j+" drained", j+" running", j+" watching", j+" healthy")
	}
	all = slices.DeleteFunc(all, func(s string) bool { return !slices.Contains(want, s) })
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	sum, longest := 0.0, 0.0
	for _, j := range res.Jobs {
		h := j.Health
		if h == nil || !h.Healthy || h.HeldSeconds < 0.1 || h.Seconds < h.HeldSeconds || j.Canary != nil {
			t.Fatalf("%s: %+v", j.Job, h)
		}
		var names []string
		for _, c := range h.Checks {
			if names = append(names, c.Condition); !c.Holds || c.Text == "" {
				t.Errorf("%s: %+v", j.Job, c)
			}
		}
		if diff := cmp.Diff([]string{"running", "watermark moving", "watermark age", "errors"}, names); diff != "" {
			t.Errorf("checks of %s (-want +got):\n%s", j.Job, diff)
		}
		if j.PauseSeconds == nil || *j.PauseSeconds < 0.05 || *j.PauseSeconds > j.Drained.Seconds+20 {
			t.Errorf("pause of %s: %v", j.Job, j.PauseSeconds)
			continue
		}
		sum, longest = sum+*j.PauseSeconds, max(longest, *j.PauseSeconds)
	}
	if p := res.Pause; p == nil || p.Jobs != 2 || p.SumSeconds != sum || p.MaxSeconds != longest {
		t.Errorf("pause %+v, want %v, %v", p, sum, longest)
	}
	last, err := f.journal.Deployments(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	facts := 0
	for _, e := range last[0].Entries {
		if e.Kind == journal.KindFact && e.Step == string(deploy.Healthy) && strings.Contains(e.Text, "watermark age: ") {
			facts++
		}
	}
	if facts != 2 {
		t.Errorf("%d healthy jobs in the journal", facts)
	}
	// Nothing is to be done, so nothing is looked at.
	all = nil
	if _, err := deploy.Apply(t.Context(), f.config(), steps(&all)); err != nil || slices.Contains(all, "flights-0 watching") {
		t.Errorf("the second time: %v, %v", all, err)
	}
}

// gate is a deploy.Gate with its verdicts, one for each time it is asked; the last
// is given again.
type gate struct {
	mu       sync.Mutex
	asked    int
	verdicts []string // empty: it cannot be asked
}

func (g *gate) Check(_ context.Context, comparison string) (deploy.Verdict, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.verdicts[min(g.asked, len(g.verdicts)-1)]
	g.asked++
	if v == "" {
		return deploy.Verdict{}, errors.New("no answer")
	}
	return deploy.Verdict{Verdict: v, Rule: "97 of 100 in " + comparison}, nil
}

// A job that is not healthy stops the rollout: those after it are left alone (D4).
func TestUnhealthy(t *testing.T) {
	for _, c := range []struct {
		name      string
		condition func(*jobspecs.Conditions)
		behaviour func(*dataflowtest.Behaviour)
		verdicts  []string
		code      exit.Code
		want      string // part of the error
		state     string // of the history of the first job's new generation; empty: open
	}{
		{name: "the watermark stands", behaviour: func(b *dataflowtest.Behaviour) { b.Still = true }, code: exit.Failed,
			want: "runs as generation 2: not healthy within 1s:\n  watermark moving: flights-0 is at 2001-01-08T00:00:00Z and has not moved yet"},
		{name: "the watermark is old", condition: func(c *jobspecs.Conditions) { c.MaxWatermarkAge = 60_000 * ms }, code: exit.Failed,
			want: "watermark age: flights-0 is "},
		{name: "there is no watermark (D3)", condition: func(c *jobspecs.Conditions) { c.MaxWatermarkAge = 60_000 * ms },
			behaviour: func(b *dataflowtest.Behaviour) { b.Unknown = true }, code: exit.Failed, want: "watermark age: the service shows no watermark of flights-0"},
		{name: "errors", condition: func(c *jobspecs.Conditions) { c.MaxErrorsPerMinute = 1 },
			behaviour: func(b *dataflowtest.Behaviour) { b.ErrorEvery = 30 * time.Millisecond }, code: exit.Failed, want: "in the last minute, at most 1: level=ERROR msg=\"no more crackers\""},
		{name: "it dies (P5)", condition: func(c *jobspecs.Conditions) { c.HealthyFor, c.Within = 10_000*ms, 20_000*ms },
			behaviour: func(b *dataflowtest.Behaviour) { b.ExitAfter, b.Exit = 500*time.Millisecond, 7 }, code: exit.Failed, state: "void",
			want: "became FAILED instead of RUNNING"},
		{name: "the comparison says HOLD", condition: func(c *jobspecs.Conditions) { c.Comparison = "flights" }, verdicts: []string{"HOLD"},
			code: exit.GateNotMet, want: "comparison flights says HOLD: 97 of 100 in flights"},
		{name: "the comparison has NO DATA (D3)", condition: func(c *jobspecs.Conditions) { c.Comparison = "flights" }, verdicts: []string{"NO DATA"},
			code: exit.GateNotMet, want: "not healthy within 1s:\n  comparison flights: NO DATA: 97 of 100 in flights"},
		{name: "the comparison cannot be asked (D3)", condition: func(c *jobspecs.Conditions) { c.Comparison = "flights" }, verdicts: []string{""},
			code: exit.GateNotMet, want: "NO DATA: it could not be run: no answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t, true, nil)
			f.workers(2)
			f.apply()
			f.rollout(jobspecs.Rollout{Parallel: 1, Conditions: conditions(func(cs *jobspecs.Conditions) {
				cs.Within = 1000 * ms
				if c.condition != nil {
					c.condition(cs)
				}
			})}, func(_ string, b *dataflowtest.Behaviour) {
				if c.behaviour != nil {
					c.behaviour(b)
				}
			})
			cfg := f.config()
			cfg.Gate = &gate{verdicts: c.verdicts}
			res, err := deploy.Apply(t.Context(), cfg, nil)
			if exit.Of(err) != c.code || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("code %d, want %d: %v", exit.Of(err), c.code, err)
			}
			if len(res.Jobs) != 1 || res.Jobs[0].Health == nil || res.Jobs[0].Health.Healthy {
				t.Errorf("result %+v", res.Jobs)
			}
			state := c.state
			if state == "" {
				state = "open"
			}
			want := []string{"flights-0@1 drained", "flights-0@2 " + state, "flights-1@1 open"}
			if diff := cmp.Diff(want, f.summary()); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
			if state == "void" {
				return
			}
			// Applying again trusts nobody: the rest is left alone until it is healthy.
			f.jobs.launches = 0
			if _, err := deploy.Apply(t.Context(), cfg, nil); exit.Of(err) != c.code || f.jobs.launches != 0 {
				t.Errorf("applied again: %d launches, %v", f.jobs.launches, err)
			}
			// Once the conditions hold it goes on.
			f.job.Spec.Update.Rollout.Conditions = conditions(func(c *jobspecs.Conditions) { c.HealthyFor = 0 })
			f.apply()
			want = []string{"flights-0@1 drained", "flights-0@2 open", "flights-1@1 drained", "flights-1@2 open"}
			if diff := cmp.Diff(want, f.summary()); diff != "" {
				t.Errorf("history in the end (-want +got):\n%s", diff)
			}
		})
	}
}

// A service that shows no watermark is put up with, and that is said; a comparison
// that has no data yet is asked again.
func TestHealthyInTheEnd(t *testing.T) {
	f := start(t, true, nil)
	f.workers(1)
	f.apply()
	f.rollout(jobspecs.Rollout{Parallel: 1, Conditions: conditions(func(c *jobspecs.Conditions) { c.Comparison = "flights" })},
		func(_ string, b *dataflowtest.Behaviour) { b.Unknown = true })
	cfg := f.config()
	g := &gate{verdicts: []string{"NO DATA", "", "GO"}}
	cfg.Gate = g
	var texts []string
	res, err := deploy.Apply(t.Context(), cfg, func(e deploy.Event) { texts = append(texts, e.Text) })
	if err != nil {
		t.Fatal(err)
	}
	h := res.Jobs[0].Health
	want := []deploy.Check{
		{Condition: "running", Holds: true, Text: "is RUNNING"},
		{Condition: "watermark moving", Holds: true, Text: "the service shows no watermark"},
		{Condition: "comparison flights", Holds: true, Text: "GO: 97 of 100 in flights"},
	}
	if diff := cmp.Diff(want, h.Checks); diff != "" || g.asked != 3 {
		t.Errorf("asked %d times, checks (-want +got):\n%s", g.asked, diff)
	}
	for _, want := range []string{"asking comparison flights", "waiting: comparison flights: NO DATA: 97 of 100 in flights", "the service shows no watermark"} {
		if !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("the progress does not say %q: %q", want, texts)
		}
	}
}

// The comparison of a spec has to be there before anything is done.
func TestGateIsMissing(t *testing.T) {
	f := start(t, true, nil)
	f.workers(1)
	f.job.Spec.Update.Rollout.Conditions.Comparison = "flights"
	_, err := deploy.Apply(t.Context(), f.config(), nil)
	if err == nil || !strings.Contains(err.Error(), "Comparison flights: is not loaded") || f.jobs.launches != 0 {
		t.Errorf("%d launches, %v", f.jobs.launches, err)
	}
}
