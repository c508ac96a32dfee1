package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/racetest"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// site is a sandbox in which many groups are deployed, none of which sees the
// others: each has a name, subscriptions and a journal of its own.
type site struct {
	*fixture
	mu         sync.Mutex
	behaviours map[string]dataflowtest.Behaviour
	groups     int
}

func newSite(t *testing.T) *site {
	s := &site{fixture: start(t, true, nil), behaviours: map[string]dataflowtest.Behaviour{}}
	s.job.Spec.Jobs, s.job.Spec.Sources.Count = 1, 1
	s.apply() // creates the tables
	dataflowtest.Write(t, s.clients.Storage, dataflowtest.FlightsStaging, "archive/1.avro", "not read")
	return s
}

// group is one of them, with two subscriptions.
type group struct {
	*fixture
	site *site
	dir  string // of its journal
}

func (s *site) group() *group {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups++
	job := dataflowtest.Load(s, "../jobspecs/examples/flights/stream.yaml")
	job.Metadata.Name = fmt.Sprintf("g%d", s.groups)
	job.Spec.Sources.SubscriptionPrefix, job.Spec.Sources.Count = job.Metadata.Name+"-", 2
	for _, name := range job.Spec.Sources.Names() {
		dataflowtest.Subscribe(s, job, s.clients.PubSub, name, name)
	}
	g := &group{site: s, dir: s.TempDir(), fixture: &fixture{T: s.T, job: job, clients: s.clients, store: s.store}}
	g.jobs = &faultyJobs{Client: dataflowapi.New(s.clients.Dataflow, job.Spec.Project, job.Spec.Region)}
	j, err := journal.Open(g.dir, nil, "before")
	if err != nil {
		s.Fatal(err)
	}
	g.journal = j
	return g
}

// sized makes what is launched from now on read what is read by one of so many jobs.
func (g *group) sized(jobs int) {
	g.Helper()
	g.job.Spec.Jobs = jobs
	g.site.mu.Lock()
	defer g.site.mu.Unlock()
	maps.Copy(g.site.behaviours, dataflowtest.Reading(g.job))
	dataflowtest.SetWorker(g.T, g.site.behaviours)
}

// runs has the group run, as so many jobs.
func (g *group) runs(jobs int) *deploy.Result {
	g.Helper()
	g.sized(jobs)
	return g.apply()
}

// order is an order to deploy what the group's spec is now.
func (g *group) order(by string) order {
	g.Helper()
	doc, err := jobspecs.Marshal(g.job)
	if err != nil {
		g.Fatal(err)
	}
	file := filepath.Join(g.dir, "spec.yaml")
	if err := os.WriteFile(file, doc, 0o644); err != nil {
		g.Fatal(err)
	}
	return order{Spec: file, Journal: g.dir, By: by}
}

// outcome is what a group is after a deployment, without names, ids and times.
type outcome struct {
	Generations []string // JOB@GENERATION STATE, and what it supersedes
	Jobs        []string // of Dataflow: JOB STATE GENERATION WORKERS, the newest of a name first
	Snapshots   []string
	Deployments []string // of the journal, the newest first: COMMAND OUTCOME
	Steps       []string // of the newest: all that are recorded, each once
}

func (g *group) outcome() outcome {
	g.Helper()
	var o outcome
	prefix := g.job.Metadata.Name + "-"
	log, err := g.store.Read(g.Context())
	if err != nil {
		g.Fatal(err)
	}
	for i := range 3 {
		name := g.job.JobName(i)
		ids := map[string]bool{}
		for _, r := range log.Generations(name) {
			o.Generations = append(o.Generations, strings.ReplaceAll(fmt.Sprintf("%s %s %s", r.Writer(), r.State, r.Supersedes.StringVal), prefix, "job-"))
			ids[r.DataflowJobID.StringVal] = true
		}
		jobs, err := g.jobs.Client.Named(g.Context(), name)
		if err != nil {
			g.Fatal(err)
		}
		for _, j := range jobs {
			full, err := g.jobs.Get(g.Context(), j.GetId())
			if err != nil {
				g.Fatal(err)
			}
			w := full.GetRuntimeUpdatableParams()
			o.Jobs = append(o.Jobs, fmt.Sprintf("job-%d %s %d [%d %d]", i, dataflowapi.StateName(full.GetCurrentState()), dataflowapi.Generation(full), w.GetMinNumWorkers(), w.GetMaxNumWorkers()))
			if !ids[j.GetId()] && full.GetCurrentState() != pb.JobState_JOB_STATE_UPDATED {
				g.Errorf("%s: its job %s (%s) is not on record", name, j.GetId(), j.GetCurrentState())
			}
		}
	}
	for name, of := range g.snapshots() {
		if strings.HasPrefix(name, "kappa-"+prefix) {
			o.Snapshots = append(o.Snapshots, strings.ReplaceAll(name+" of "+of, prefix, "job-"))
		}
	}
	slices.Sort(o.Snapshots)
	records, err := g.journal.Deployments(g.Context(), 0)
	if err != nil {
		g.Fatal(err)
	}
	for i, r := range records {
		o.Deployments = append(o.Deployments, r.Begin().Command+" "+r.Outcome())
		for _, e := range r.Entries {
			if i == 0 && e.Kind == journal.KindStep {
				name := strings.ReplaceAll(stepName(e), prefix, "job-")
				if e.Job == "" {
					name = e.Step
				}
				o.Steps = append(o.Steps, name)
			}
		}
	}
	slices.Sort(o.Steps)
	o.Steps = slices.Compact(o.Steps)
	return o
}

// killedScenario is a deployment that is killed at every step.
type killedScenario struct {
	name    string
	prepare func(g *group) // until the deployment is to begin
	void    bool           // repair the first generation instead of applying
}

var killedScenarios = []killedScenario{
	{name: "first launch", prepare: func(g *group) { g.sized(1) }},
	{name: "rolling replacement", prepare: func(g *group) {
		g.runs(2)
		g.job.Spec.Horizon *= 2
	}},
	{name: "reshard", prepare: func(g *group) {
		g.runs(1)
		g.sized(2)
	}},
	{name: "fewer jobs", prepare: func(g *group) {
		g.runs(2)
		g.sized(1)
	}},
	{name: "resize", prepare: func(g *group) {
		g.runs(1)
		g.job.Spec.Tuning.MaxWorkers = 5
	}},
	{name: "dead generation", prepare: func(g *group) {
		id := g.runs(1).Jobs[0].DataflowID
		g.request(id, pb.JobState_JOB_STATE_CANCELLED)
		g.waitFor(id, pb.JobState_JOB_STATE_CANCELLED)
	}},
	{name: "lost answer", prepare: func(g *group) {
		g.sized(1)
		lost := errors.New("gone")
		g.jobs.launch = func(call func() (*pb.Job, error)) (*pb.Job, error) {
			if _, err := call(); err != nil {
				return nil, err
			}
			return nil, lost
		}
		g.jobs.named = func() error { return lost }
		if _, err := deploy.Apply(g.Context(), g.config(), nil); err == nil {
			g.Error("the answer was not lost")
		}
		g.jobs.launch, g.jobs.named = nil, nil
	}},
	{name: "update in place", prepare: func(g *group) {
		g.runs(1)
		g.job.Spec.Update.Strategy = jobspecs.StrategyUpdate
		g.job.Spec.Horizon *= 2
	}},
	{name: "cancel", prepare: func(g *group) {
		g.runs(1)
		g.job.Spec.Update.Strategy = jobspecs.StrategyCancel
		g.job.Spec.Horizon *= 2
	}},
	{name: "repair", void: true, prepare: func(g *group) {
		g.runs(1)
		g.job.Spec.Horizon *= 2
		g.apply()
	}},
}

// deployed carries out a scenario in a group of its own: killed at a step and
// then once more, or at once.
func (s *site) deployed(c killedScenario, step int, taken bool) (outcome, answer) {
	s.Helper()
	g := s.group()
	c.prepare(g)
	o := g.order("first")
	if c.void {
		o.Void = g.job.JobName(0) + "@1"
	}
	if step > 0 {
		dying := o
		dying.Step, dying.Taken = step, taken
		dying.start(s).killed(s, fmt.Sprintf("%s, step %d", c.name, step))
		if r, unfinished, err := g.journal.Unfinished(s.Context()); err != nil || !unfinished {
			s.Errorf("%s, step %d: the journal after the kill: %+v, %v", c.name, step, r, err)
		}
		o.By = "second"
	}
	o.Twice = true
	a := o.start(s).end(s)
	if a.Error != "" || a.Pending || a.Launches != 0 {
		s.Errorf("%s, step %d, taken %v: %+v", c.name, step, taken, a)
	}
	got := g.outcome()
	g.end()
	return got, a
}

// invariant D2: wherever a deployment is killed, the same command goes on with it
// from there: no step is lost and none is taken twice. The steps are enumerated
// from the deployment itself, and all that there are must be among them.
func TestKilledAtEveryStep(t *testing.T) {
	if racetest.Enabled() {
		t.Skip("its hundreds of processes start slowly under the race detector, which sees nothing in them that TestTwoApplies does not show it")
	}
	s := newSite(t)
	var mu sync.Mutex
	var seen []deploy.Step
	var all errgroup.Group
	all.SetLimit(4)
	for _, c := range killedScenarios {
		all.Go(func() error {
			t.Run(c.name, func(t *testing.T) {
				want, whole := s.deployed(c, 0, false)
				for i, name := range whole.Steps {
					for _, taken := range []bool{false, true} {
						got, _ := s.deployed(c, i+1, taken)
						if diff := cmp.Diff(want, got); diff != "" {
							t.Errorf("killed at %q (%d), taken %v (-whole +resumed):\n%s", name, i+1, taken, diff)
						}
					}
				}
				mu.Lock()
				defer mu.Unlock()
				for _, name := range whole.Steps {
					step, _, _ := strings.Cut(name, " ")
					seen = append(seen, deploy.Step(step))
				}
			})
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Run("every step", func(t *testing.T) {
		want := slices.Sorted(slices.Values(deploy.Steps()))
		slices.Sort(seen)
		if diff := cmp.Diff(want, slices.Compact(seen)); diff != "" {
			t.Errorf("recorded before they are taken, as Steps says (-) and as these scenarios do (+); add a scenario, or the step to Steps:\n%s", diff)
		}
	})
}

// Of two who apply at once one is told who does, and nothing is done twice.
func TestTwoApplies(t *testing.T) {
	s := newSite(t)
	g := s.group()
	g.sized(1)
	first := g.order("ann")
	first.Step, first.Stop = 2, true
	p := first.start(t)
	p.stopped(t)
	a := g.order("bob").start(t).end(t)
	if !a.Held || a.Code != 3 || !strings.Contains(a.Error, "ann deploys since") || !strings.Contains(a.Error, fmt.Sprintf("process %d", p.Process.Pid)) {
		t.Errorf("the second: %+v", a)
	}
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if a := p.end(t); a.Error != "" {
		t.Errorf("the first: %+v", a)
	}
	want, _ := s.deployed(killedScenarios[0], 0, false)
	if diff := cmp.Diff(want, g.outcome()); diff != "" {
		t.Errorf("outcome (-of one +of two):\n%s", diff)
	}

	// However they overlap: each has applied, was refused or has had nothing to do.
	g = s.group()
	g.sized(1)
	together := []*process{g.order("ann").start(t), g.order("bob").start(t)}
	applied := 0
	for _, p := range together {
		switch a := p.end(t); {
		case a.Error == "" && len(a.Steps) > 0:
			applied++
		case a.Error != "" && a.Code != 3 && a.Code != 11:
			t.Errorf("%+v", a)
		}
	}
	if applied != 1 {
		t.Errorf("%d have applied", applied)
	}
	if diff := cmp.Diff(want, g.outcome()); diff != "" {
		t.Errorf("outcome (-of one +of two):\n%s", diff)
	}
}

// invariant D2: who was stopped for longer than its lease, while somebody else
// went on, takes no further step when it wakes up, not even the one that it has
// recorded.
func TestStopped(t *testing.T) {
	s := newSite(t)
	want, whole := s.deployed(killedScenarios[0], 0, false)
	launching := 1 + slices.IndexFunc(whole.Steps, func(name string) bool { return strings.HasPrefix(name, string(deploy.Launching)) })
	var both errgroup.Group
	for _, taken := range []bool{false, true} {
		both.Go(func() error {
			g := s.group()
			g.sized(1)
			first := g.order("ann")
			first.TTL, first.Step, first.Taken, first.Stop = 3*time.Second, launching, taken, true
			p := first.start(t)
			p.stopped(t)
			second := g.order("bob")
			second.TTL = first.TTL
			dataflowtest.Eventually(t, "the lease expires", func(context.Context) bool {
				a := second.start(t).end(t)
				if a.Error != "" && !a.Held {
					t.Errorf("the second: %+v", a)
				}
				return !a.Held
			})
			if err := p.Process.Signal(syscall.SIGCONT); err != nil {
				t.Error(err)
			}
			launches := 0
			if taken {
				launches = 1
			}
			if a := p.end(t); !a.Lost || a.Code != 1 || len(a.Steps) != launching || a.Launches != launches {
				t.Errorf("taken %v: the first: %+v", taken, a)
			}
			if diff := cmp.Diff(want, g.outcome()); diff != "" {
				t.Errorf("taken %v (-whole +stopped):\n%s", taken, diff)
			}
			return nil
		})
	}
	if err := both.Wait(); err != nil {
		t.Fatal(err)
	}
}
