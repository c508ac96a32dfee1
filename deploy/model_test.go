package deploy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"cloud.google.com/go/storage"
	"google.golang.org/api/option"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// model is a world, the spec that its operators want, and what they do.
type model struct {
	*world
	t       *rapid.T
	base    *jobspecs.StreamJob
	storage *storage.Client
	journal *journal.Journal

	jobs    int
	horizon int // of the spec: which version is wanted
	applies int
}

// spec is what is wanted now.
func (m *model) spec() *jobspecs.StreamJob {
	job := *m.base
	job.Spec.Jobs = m.jobs
	job.Spec.Horizon += jobspecs.Duration(time.Duration(m.horizon) * time.Hour)
	job.Spec.Sources.Replay = jobspecs.ReplayArchive
	job.Spec.Update.Rollout.Conditions.HealthyFor = 0 // there is no time in this world
	return &job
}

// apply is one run of apply. Preflight and the staging of the spec, which need the
// other services, are left out: what the jobs need is there.
func (m *model) apply() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	job := m.spec()
	m.world.cancel, m.dead, m.writes = cancel, false, 0
	m.world.reads = func(name string) (out []string) {
		for _, s := range job.JobSubscriptions(slices.Index(job.JobNames(), name)) {
			out = append(out, subscription(job.Spec.Project, s))
		}
		return out
	}
	d, err := New(Config{
		Log: slog.New(slog.DiscardHandler), Job: job, Clients: &Clients{Storage: m.storage}, Jobs: modelJobs{m.world}, History: modelHistory{m.world},
		Drainer: modelDrainer{m.world}, Journal: m.journal, Poll: time.Microsecond, StartTimeout: time.Minute,
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.applies++
	var p *Plan
	return d.recorded(ctx, journal.CommandApply, func(ctx context.Context) (any, bool, error) {
		p = d.emptyPlan()
		if err := d.planJobs(ctx, &findings{plan: p}); err != nil {
			return nil, false, err
		}
		return p, p.Pending(), p.refuse("deployed")
	}, func(ctx context.Context, r *recorder) (any, error) {
		return d.apply(ctx, p, d.course(p, false), r)
	}, nil)
}

// names are all names that jobs may have.
var modelNames = []string{"flights-0", "flights-1", "flights-2"}

// step is one thing that happens.
func (m *model) step() {
	name := rapid.SampledFrom(modelNames).Draw(m.t, "name")
	newest := m.newest(name)
	switch rapid.IntRange(0, 9).Draw(m.t, "step") {
	default: // apply, on a day with chances, and perhaps killed
		m.chances = map[string][]int{}
		for _, n := range modelNames {
			m.chances[n] = rapid.SliceOfN(rapid.IntRange(0, 47), 0, 30).Draw(m.t, "chances of "+n)
		}
		m.kill = 0
		if rapid.Bool().Draw(m.t, "killed") {
			m.kill = rapid.IntRange(1, 24).Draw(m.t, "at write")
		}
		_ = m.apply()
	case 1:
		m.horizon = rapid.IntRange(0, 3).Draw(m.t, "version")
	case 2:
		m.jobs = rapid.IntRange(1, 3).Draw(m.t, "jobs")
	case 3: // somebody does something about a job
		if len(newest) > 0 && newest[0].active() {
			newest[0].state = rapid.SampledFrom([]pb.JobState{
				pb.JobState_JOB_STATE_DRAINING, pb.JobState_JOB_STATE_DRAINED, pb.JobState_JOB_STATE_CANCELLING, pb.JobState_JOB_STATE_CANCELLED,
				pb.JobState_JOB_STATE_FAILED, pb.JobState_JOB_STATE_UPDATED,
			}).Draw(m.t, "state")
		}
	case 4: // somebody else's job takes the name
		if len(newest) == 0 || !newest[0].active() {
			m.world.jobs = append(m.world.jobs, &modelJob{
				id: fmt.Sprintf("id-%d", len(m.world.jobs)), name: name, state: pb.JobState_JOB_STATE_RUNNING, created: time.Now(),
			})
		}
	case 5: // and ends
		if len(newest) > 0 && newest[0].generation == 0 {
			newest[0].state = pb.JobState_JOB_STATE_CANCELLED
		}
	case 6: // 30 days go by: whoever deploys has looked at what was launched
		for _, j := range newest {
			j.gone = j.gone || !j.active() && m.onRecord(j)
		}
	}
}

// onRecord reports whether the history has a job, if it is one of ours.
func (m *model) onRecord(j *modelJob) bool {
	return j.generation == 0 || slices.ContainsFunc(m.rows, func(g tables.Generation) bool { return g.DataflowJobID.StringVal == j.id })
}

// mend does what plans ask operators to do: strangers go, and what became of a
// generation is recorded where nobody can find out.
func (m *model) mend() {
	log := history.Fold(m.rows)
	for _, j := range m.world.jobs {
		if j.active() && j.generation == 0 {
			j.state = pb.JobState_JOB_STATE_CANCELLED
		}
	}
	for _, name := range modelNames {
		g, ok := log.Latest(name)
		if !ok || g.State != tables.StateOpen {
			continue
		}
		for _, j := range m.world.jobs {
			if j.name == name && j.generation == g.Generation && (j.gone || j.state == pb.JobState_JOB_STATE_UPDATED) {
				g.State, g.DataflowJobID = tables.StateVoid, nullString(j.id)
				if j.state == pb.JobState_JOB_STATE_DRAINED || j.state == pb.JobState_JOB_STATE_DONE {
					g.State = tables.StateDrained
				}
				if err := m.record(g); err != nil {
					m.t.Fatal(err)
				}
			}
		}
	}
}

// settles checks that, on a calm day, applying brings everything in order.
func (m *model) settles() {
	m.chances, m.kill = nil, 0
	var err error
	for range 8 {
		m.mend()
		err = m.apply()
		m.check()
		if err == nil && m.writes == 0 { // and nothing was left to do
			break
		}
	}
	if err != nil {
		m.t.Fatalf("does not settle: %v\n%s", err, m)
	}
	wanted := m.spec().JobNames()
	for _, name := range modelNames {
		active := 0
		for _, j := range m.newest(name) {
			if j.active() {
				active++
			}
		}
		if want := slices.Contains(wanted, name); active > 1 || want != (active == 1) {
			m.t.Fatalf("%s: %d jobs are active, wanted: %v\n%s", name, active, want, m)
		}
	}
	for _, j := range m.world.jobs {
		if !m.onRecord(j) {
			m.t.Fatalf("%s@%d (%s) never came into the history\n%s", j.name, j.generation, j.id, m)
		}
	}
}

func (m *model) check() {
	if len(m.wrong) > 0 {
		m.t.Fatalf("%s\n%s", strings.Join(m.wrong, "\n"), m)
	}
}

func (m *model) String() string {
	var b strings.Builder
	for _, j := range m.world.jobs {
		fmt.Fprintf(&b, "%s %s@%d %s gone=%v\n", j.id, j.name, j.generation, j.state, j.gone)
	}
	for _, g := range m.rows {
		fmt.Fprintf(&b, "%s %s %s\n", g.Writer(), g.State, g.DataflowJobID.StringVal)
	}
	return b.String()
}

// TestModel applies specs to a service that does everything that it may do: every
// state that there is and some that are not yet, jobs that end, vanish, or have a
// name before we do, answers that are lost, runs that are killed. Whatever comes
// together, no generation is two jobs (D2), none is launched before the end of the
// one before it is on record, as what it was (D3, P5), no two jobs read one
// subscription (P3), and every job that was launched comes into the history.
func TestModel(t *testing.T) {
	set, err := jobspecs.Load([]string{"../jobspecs/examples/flights/stream.yaml"}, jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	// Nothing was staged: what the jobs run with is known by their labels alone.
	nothing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(nothing.Close)
	client, err := storage.NewClient(t.Context(), option.WithEndpoint(nothing.URL+"/storage/v1/"), option.WithHTTPClient(nothing.Client()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	var mu sync.Mutex
	runs, applies, launches := 0, 0, 0
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		mu.Lock()
		defer mu.Unlock()
		runs++
		j, err := journal.Open(filepath.Join(dir, fmt.Sprint(runs)), nil, "model")
		if err != nil {
			t.Fatal(err)
		}
		m := &model{world: &world{}, t: rt, base: set.StreamJobs[0], storage: client, journal: j, jobs: 2}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			m.step()
			m.check()
		}
		m.settles()
		applies, launches = applies+m.applies, launches+len(m.world.jobs)
	})
	t.Logf("%d runs, %d applies, %d jobs", runs, applies, launches)
	if launches < runs {
		t.Error(errors.New("next to nothing was launched"))
	}
}
