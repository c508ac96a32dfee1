package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/child"
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// orderEnv holds an order, as JSON. Its presence makes the test binary a process
// that deploys.
const orderEnv = "KAPPA_TEST_DEPLOY"

// order is what a process of its own is to deploy, and where it is to die.
type order struct {
	Spec    string // file
	Journal string // folder
	By      string
	TTL     time.Duration // of its lease; 0: as ever
	Void    string        // writer to repair; empty: apply

	Step  int  // the recorded step to die at, from 1; 0: it lives
	Taken bool // not before it is taken, but before anything else is recorded
	Stop  bool // it does not die, but stops
	Twice bool // it does the same once more
}

// answer is what came of it.
type answer struct {
	Steps []string // recorded, in order: STEP JOB@GENERATION
	Error string
	Code  exit.Code
	Lost  bool // its lease
	Held  bool // somebody else has the lease

	Pending  bool // the second time something was to be done
	Launches int  // the second time; the first, if that is the only one
}

// obey carries out the order in the environment.
func obey(text string) int {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	go child.EndWithoutParent(os.Getppid())
	a, err := o.run(context.Background())
	var held *journal.HeldError
	if a.Held = errors.As(err, &held); err != nil {
		a.Error, a.Code, a.Lost = err.Error(), exit.Of(err), errors.Is(err, journal.ErrLeaseLost)
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		return 2
	}
	return int(a.Code)
}

func (o order) run(ctx context.Context) (a answer, err error) {
	set, err := jobspecs.Load([]string{o.Spec}, jobspecs.Vars{})
	if err != nil {
		return a, err
	}
	f := &fixture{job: set.StreamJobs[0]}
	if f.clients, err = deploy.Connect(ctx, f.job); err != nil {
		return a, err
	}
	defer f.clients.Close()
	f.jobs = &faultyJobs{Client: dataflowapi.New(f.clients.Dataflow, f.job.Spec.Project, f.job.Spec.Region)}
	f.store = history.New(f.clients.BigQuery, f.job.Spec.Sinks.BigQuery.Dataset, f.job.Spec.Aggregations...)
	if f.journal, err = journal.Open(o.Journal, nil, o.By); err != nil {
		return a, err
	}
	if o.TTL > 0 {
		f.journal = f.journal.LeaseFor(o.TTL)
	}
	cfg := f.config()
	cfg.AcceptLoss = true
	d, err := deploy.New(cfg)
	if err != nil {
		return a, err
	}
	d.SetSeam(o.seam(&a))
	if _, err := o.once(ctx, d); err != nil || !o.Twice {
		a.Launches = f.jobs.launches
		return a, err
	}
	f.jobs.launches = 0
	a.Pending, err = o.once(ctx, d)
	a.Launches = f.jobs.launches
	return a, err
}

// once plans and applies.
func (o order) once(ctx context.Context, d *deploy.Deployer) (pending bool, err error) {
	if o.Void == "" {
		p, err := d.Plan(ctx)
		if err != nil {
			return false, err
		}
		_, err = d.Apply(ctx, p, nil)
		return p.Pending(), err
	}
	w, err := tables.ParseWriter(o.Void)
	if err != nil {
		return false, err
	}
	r := deploy.Repair{Void: []tables.Writer{w}, Archive: archive}
	p, err := d.PlanRepair(ctx, r)
	if err != nil {
		return false, err
	}
	_, err = d.Repair(ctx, r, p, nil)
	return p.Pending(), err
}

// seam dies where it is told to.
func (o order) seam(a *answer) func(journal.Entry, bool) {
	var mu sync.Mutex
	var once sync.Once
	return func(e journal.Entry, appended bool) {
		mu.Lock()
		defer mu.Unlock()
		if appended && e.Kind == journal.KindStep {
			a.Steps = append(a.Steps, stepName(e))
		}
		if o.Step == 0 || len(a.Steps) != o.Step || appended == o.Taken || appended && e.Kind != journal.KindStep {
			return
		}
		once.Do(func() {
			if o.Stop {
				continued := make(chan os.Signal, 1)
				signal.Notify(continued, syscall.SIGCONT)
				_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
				<-continued // the call may return before this thread stands still
				return
			}
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it arrives
		})
	}
}

// stepName is a recorded step as STEP JOB@GENERATION.
func stepName(e journal.Entry) string {
	if e.Job == "" {
		return e.Step + " " + e.Text
	}
	return fmt.Sprintf("%s %s@%d", e.Step, e.Job, e.Generation)
}

// process is a process that carries out an order.
type process struct {
	*exec.Cmd
	out, err bytes.Buffer
}

func (o order) start(t testing.TB) *process {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.CommandContext(t.Context(), binary)}
	p.Env = append(os.Environ(), orderEnv+"="+string(text))
	p.Stdout, p.Stderr = &p.out, &p.err
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// end waits until a process ends by itself.
func (p *process) end(t testing.TB) answer {
	t.Helper()
	err := p.Wait()
	var a answer
	if jerr := json.Unmarshal(p.out.Bytes(), &a); jerr != nil {
		t.Fatalf("no answer: %v, %v, %s", err, jerr, p.err.Bytes())
	}
	return a
}

// killed waits until a process has killed itself.
func (p *process) killed(t testing.TB, where string) {
	t.Helper()
	_ = p.Wait()
	if s, ok := p.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
		t.Errorf("%s: was not killed but is %s: %s %s", where, p.ProcessState, p.out.Bytes(), p.err.Bytes())
	}
}

// stopped waits until a process has stopped itself.
func (p *process) stopped(t testing.TB) {
	t.Helper()
	var s syscall.WaitStatus
	if _, err := syscall.Wait4(p.Process.Pid, &s, syscall.WUNTRACED, nil); err != nil || !s.Stopped() {
		t.Fatalf("was not stopped: %v, %v, %s", s, err, p.out.Bytes())
	}
}

// end has no job of the group run any more: of hundreds of groups there would be as
// many processes, each of which reports all the time.
func (g *group) end() {
	g.Helper()
	for i := range 3 {
		jobs, err := g.jobs.Client.Named(g.Context(), g.job.JobName(i))
		if err != nil {
			g.Fatal(err)
		}
		for _, j := range jobs {
			if !dataflowapi.Terminal(j.GetCurrentState()) {
				g.request(j.GetId(), pb.JobState_JOB_STATE_CANCELLED)
			}
		}
	}
}
