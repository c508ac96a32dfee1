package deploy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/dataflow"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// scripted is a fixture whose Dataflow service does as rules say, while they are
// on, and which looks at every launch that gets through to the service.
type scripted struct {
	*fixture
	on       atomic.Bool
	launches atomic.Int64
}

func startScripted(t *testing.T, rules string) *scripted {
	t.Helper()
	s := &scripted{}
	byRules := dataflowtest.Script(t, rules)
	gated := func(ctx context.Context, req any, handle dataflow.Handler) (any, error) {
		if s.on.Load() {
			return byRules(ctx, req, handle)
		}
		return handle(ctx, req)
	}
	s.fixture = start(t, true, nil, func(c *sandbox.Config) { c.DataflowScript = dataflow.Scripts(gated, s.guard) })
	return s
}

// guard stands before the service itself: whatever is launched there must have no
// predecessor that could still write, or whose end is not on record (D3, P5), and
// must be on record itself (D2).
func (s *scripted) guard(ctx context.Context, req any, handle dataflow.Handler) (any, error) {
	launch, ok := req.(*pb.LaunchFlexTemplateRequest)
	if !ok {
		return handle(ctx, req)
	}
	name := launch.GetLaunchParameter().GetJobName()
	generation := launch.GetLaunchParameter().GetEnvironment().GetAdditionalUserLabels()[dataflowapi.LabelGeneration]
	log, err := s.store.Read(ctx)
	if err != nil {
		s.Error(err)
	}
	if g, ok := log.Latest(name); !ok || fmt.Sprint(g.Generation) != generation || g.State != tables.StateOpen {
		s.Errorf("%s is launched as generation %s, and the history has %+v", name, generation, g)
	}
	for _, g := range log.Generations(name) {
		if fmt.Sprint(g.Generation) == generation {
			continue
		}
		resp, err := handle(ctx, &pb.GetJobRequest{ProjectId: launch.GetProjectId(), Location: launch.GetLocation(), JobId: g.DataflowJobID.StringVal})
		j, _ := resp.(*pb.Job)
		switch {
		case err != nil:
			s.Errorf("%s@%s is launched, and nobody knows of %s: %v", name, generation, g.Writer(), err)
		case g.State == tables.StateDrained && j.GetCurrentState() != pb.JobState_JOB_STATE_DRAINED:
			s.Errorf("%s@%s is launched, and %s, which is on record as drained, is %s", name, generation, g.Writer(), j.GetCurrentState())
		case g.State == tables.StateOpen:
			s.Errorf("%s@%s is launched, and %s is on record as open", name, generation, g.Writer())
		case !dataflowapi.Terminal(j.GetCurrentState()):
			s.Errorf("%s@%s is launched, and %s is %s", name, generation, g.Writer(), j.GetCurrentState())
		}
	}
	s.launches.Add(1)
	return handle(ctx, req)
}

// applyWithin applies with a limit that nothing here comes near.
func (s *scripted) applyWithin(change func(*scripted, *deploy.Config)) (*deploy.Result, error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	cfg := s.config()
	if change != nil {
		change(s, &cfg)
	}
	res, err := deploy.Apply(ctx, cfg, nil)
	if ctx.Err() != nil {
		s.Fatalf("hangs: %v", err)
	}
	return res, err
}

// settled checks that an apply without rules brings everything in order: every job
// that was ever launched is on record, one of each name runs, and nothing is left
// to do.
func (s *scripted) settled() {
	s.Helper()
	s.on.Store(false)
	s.apply()
	if p := s.plan(); p.Pending() {
		s.Errorf("something is left to do: %+v", p.Jobs)
	}
	for _, name := range s.job.JobNames() {
		jobs, err := s.jobs.Named(s.Context(), name)
		if err != nil {
			s.Fatal(err)
		}
		var onRecord []string
		for _, g := range s.generations(name) {
			onRecord = append(onRecord, g.DataflowJobID.StringVal)
		}
		active := 0
		for _, j := range jobs {
			if !dataflowapi.Terminal(j.GetCurrentState()) {
				active++
			}
			if !slices.Contains(onRecord, j.GetId()) {
				s.Errorf("%s (%s) is not on record: %v", name, j.GetId(), s.summary())
			}
		}
		if active != 1 || len(onRecord) != len(jobs) {
			s.Errorf("%s: %d jobs, %d active, on record %v", name, len(jobs), active, s.summary())
		}
	}
}

// A redeployment under everything that the service can do: it ends as it should, no
// job is launched twice or before its time, and the next apply finishes.
func TestScriptedRedeploy(t *testing.T) {
	soon := func(_ *scripted, c *deploy.Config) { c.StartTimeout = 200 * time.Millisecond }
	impatient := func(s *scripted, c *deploy.Config) {
		c.Drainer = drainFunc(func(ctx context.Context, job string) error {
			_, err := drain.Run(ctx, drain.Config{
				Log: c.Log, API: s.jobs.Client, Recorder: s.store, Group: s.job.Metadata.Name, Jobs: []string{job},
				Poll: 10 * time.Millisecond, Timeout: 200 * time.Millisecond,
			})
			return err
		})
	}
	for _, c := range []struct {
		name     string
		rules    string
		change   func(*scripted, *deploy.Config)
		code     exit.Code
		text     string
		launches int64 // that reached the service
		history  string
	}{
		{name: "409 to the launch", rules: `- {call: launch, times: 1, answer: 409}`, code: exit.Failed, text: "it was not launched as generation 2 of flights", history: "drained open"},
		{name: "429 to the launch", rules: `- {call: launch, times: 1, answer: 429, message: Quota exceeded.}`, code: exit.Failed, text: "Quota exceeded.", history: "drained open"},
		{name: "400 to the launch", rules: `- {call: launch, times: 1, answer: 400}`, code: exit.Failed, text: "launch job flights-0", history: "drained open"},
		{name: "503 to the launch, once", rules: `- {call: launch, times: 1, answer: 503}`, launches: 1, history: "drained open"},
		{name: "503 to the launch", rules: `- {call: launch, answer: 503}`, code: exit.Environment, text: "(3 attempts)", history: "drained open"},
		{name: "lost answer to the launch", rules: `- {call: launch, times: 1, answer: 503, lost: true}`, launches: 1, history: "drained open"},
		{name: "lost answer that says 409", rules: `- {call: launch, times: 1, answer: 409, lost: true}`, launches: 1, history: "drained open"},
		{name: "lost answer, and the list does not answer", rules: "- {call: launch, times: 1, answer: 503, lost: true}\n- {call: list, job: flights-0, from: 4, answer: 403}", code: exit.Environment, text: "whether the job was launched cannot be told", launches: 1, history: "drained open"},
		{name: "slow launch", rules: `- {call: launch, delay: 200ms}`, launches: 1, history: "drained open"},
		{name: "launch that fails late", rules: `- {call: launch, times: 1, fails: true, after: 200ms, message: "The launcher VM failed."}`, code: exit.Failed, text: "became FAILED instead of RUNNING:\nThe launcher VM failed.", launches: 1, history: "drained void"},
		{name: "launch that never starts", rules: `- {call: launch, times: 1, fails: true, after: 1h}`, change: soon, code: exit.Failed, text: "is still PENDING after 200ms", launches: 1, history: "drained open"},
		{name: "503 to everything at times", rules: `- {call: any, from: 4, times: 2, answer: 503}`, launches: 1, history: "drained open"},
		{name: "unknown state for a while", rules: `- {call: get, from: 3, times: 4, state: 99}`, launches: 1, history: "drained open"},
		{name: "unknown state in lists", rules: `- {call: list, state: 99}`, launches: 1, history: "drained open"},
		{name: "unknown state", rules: `- {call: get, state: 99}`, code: exit.Environment, text: "is 99: wait until it has ended", history: "open"},
		{name: "stuck drain", rules: `- {call: drain, stuck: true}`, change: impatient, code: exit.DrainTimeout, text: "flights-0 is DRAINING after 200ms; its drain goes on", history: "open"},
		{name: "stuck drain that ends", rules: `- {call: drain, stuck: true, for: 400ms}`, launches: 1, history: "drained open"},
		{name: "lost answer to the drain", rules: `- {call: drain, times: 1, answer: 503, lost: true}`, launches: 1, history: "drained open"},
		{name: "429 to the drain", rules: `- {call: drain, times: 3, answer: 429}`, launches: 1, history: "drained open"},
		{name: "drain that fails", rules: `- {call: drain, fails: true, after: 100ms}`, code: exit.Failed, text: "became FAILED instead of DRAINED", history: "open"},
		{name: "UPDATED instead of DRAINED", rules: `- {call: get, while: DRAINED, state: UPDATED}`, code: exit.Failed, text: "became UPDATED instead of DRAINED", history: "open"},
		{name: "vanishes while it drains", rules: "- {call: drain, stuck: true, for: 100ms}\n- {call: get, while: DRAINING, from: 3, vanishes: true}", code: exit.Environment, text: "could not be found", history: "open"},
		{name: "vanishes once it has drained", rules: `- {call: get, while: DRAINED, vanishes: true}`, code: exit.Environment, text: "could not be found", history: "open"},
		{name: "vanishes before the plan", rules: `- {call: list, vanishes: true}`, code: exit.Environment, text: "Dataflow no longer knows its job", history: "open"},
		{name: "no watermarks", rules: `- {call: metrics, watermarks: {none: true}}`, launches: 1, history: "drained open"},
		{name: "watermark at the maximum too early", rules: "- {call: drain, stuck: true, for: 300ms}\n- {call: metrics, watermarks: {readings: {'*': [maximum]}}}", launches: 1, history: "drained open"},
		{name: "403 to metrics", rules: `- {call: metrics, answer: 403}`, launches: 1, history: "drained open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startScripted(t, c.rules)
			s.workers(1)
			s.apply()
			s.job.Spec.Horizon *= 2
			s.launches.Store(0)
			s.on.Store(true)
			_, err := s.applyWithin(c.change)
			if exit.Of(err) != c.code || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v (code %d), want %q (code %d)", err, exit.Of(err), c.text, c.code)
			}
			if got := s.launches.Load(); got != c.launches {
				t.Errorf("%d launches, want %d", got, c.launches)
			}
			var states []string
			for _, g := range s.generations("flights-0") {
				states = append(states, g.State)
			}
			if got := strings.Join(states, " "); got != c.history {
				t.Errorf("history %s, want %s", got, c.history)
			}
			s.settled()
		})
	}
}
