package pipeline

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/racetest"
	"pgregory.net/rapid"
)

const (
	defaultSchedules = 200
	fewSchedules     = 40 // with -short, and under the race detector
	// From so many on, a schedule of each kind has certainly been among them.
	enoughSchedules = 150
)

// kinds are what must have happened at least once: a test in which it never
// does says nothing about it.
var happenings = []string{
	"drain", "crash", "cancel", "reshard", "change of the horizon", "killed in a drain",
	"killed between the report and the acknowledgements", "lapse of a job that runs",
	"backfill", "backfill beside jobs that run", "backfill that dies", "backfill that stays open",
	"failed in good order", "duplicate across generations", "late", "too late", "window cut and continued",
	"zombie write of a void writer", "zombie write of a drained writer",
}

// Jobs that are drained, killed, cancelled, resharded, given another horizon
// and replaced by backfills, at random moments, with sinks that are unreliable
// and writes that land late: whatever happens, readers see each event once, and
// what they do not see is accounted for. (P1, P2, P3, P4, P5)
//
// KAPPA_SOAK=N runs N schedules and prints how it goes. A failure prints what
// has happened and a seed: -rapid.seed=SEED runs that schedule first. A job
// dies at an operation of its own that the schedule names, so it dies there
// again; but what it has read by then may differ.
func TestRedeploys(t *testing.T) {
	if s := os.Getenv("KAPPA_SOAK"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("KAPPA_SOAK=%s is not a number of schedules", s)
		}
		soak(t, n)
		return
	}
	if racetest.Enabled() && os.Getenv(raceChild) == "" {
		raceFree(t)
		return
	}
	c := &chances{t: t, total: defaultSchedules, did: map[string]int{}, began: time.Now()}
	if testing.Short() || racetest.Enabled() {
		c.total = fewSchedules
	}
	c.dir = t.TempDir()
	t.Setenv("TMPDIR", c.dir) // Prism leaves an empty file for each job
	// Prism spins while a worker answers: with no more threads than cores it
	// keeps the worker from doing so.
	defer goruntime.GOMAXPROCS(goruntime.GOMAXPROCS(max(16, goruntime.NumCPU())))
	// What Beam and Prism say of jobs that are killed is of no use.
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.DiscardHandler))
	c.warmUp()
	c.run()
	if c.failed.Load() > 0 {
		return
	}
	t.Log(allRight)
	if c.reproduces() {
		return
	}
	for _, k := range happenings {
		if c.did[k] == 0 && c.total >= enoughSchedules {
			t.Errorf("%s: never, in %d schedules", k, c.total)
		}
	}
}

// chances runs schedules on several workers.
type chances struct {
	t     *testing.T
	total int
	dir   string
	began time.Time

	mu      sync.Mutex
	did     map[string]int
	worlds  atomic.Int64
	failed  atomic.Int64 // the number of the first schedule that has failed
	seeding sync.Mutex
}

// reproduces: a seed was given.
func (c *chances) reproduces() bool { return flag.Lookup("rapid.seed").Value.String() != "0" }

func (c *chances) run() {
	workers := min(12, c.total)
	if c.reproduces() {
		workers = 1
	}
	checks := (c.total + workers - 1) / workers
	if testing.Short() {
		checks *= 5 // of which rapid does a fifth
	}
	defer setFlag(c.t, "rapid.checks", strconv.Itoa(checks))()
	defer setFlag(c.t, "rapid.nofailfile", "true")()
	given := flag.Lookup("rapid.seed").Value.String()
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("KAPPA_SEED"), 10, 64); err == nil {
		seed = s
	}
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { c.work(i, seed+uint64(i)<<40) })
	}
	wg.Wait()
	setFlag(c.t, "rapid.seed", given)
	c.t.Logf("%d schedules from KAPPA_SEED=%d, %.1f a second", c.worlds.Load(), seed, float64(c.worlds.Load())/time.Since(c.began).Seconds())
	for _, k := range slices.Sorted(maps.Keys(c.did)) {
		c.t.Logf("%7d %s", c.did[k], k)
	}
}

// work checks schedules one after the other.
func (c *chances) work(i int, seed uint64) {
	tb := &reporter{T: c.t, name: c.t.Name()}
	// Rapid takes the seed of a check from a flag, as it begins.
	c.seeding.Lock()
	seeded := sync.OnceFunc(c.seeding.Unlock)
	defer seeded()
	if !c.reproduces() || i > 0 {
		setFlag(c.t, "rapid.seed", strconv.FormatUint(max(seed, 1), 10))
	}
	var smallest string // of the schedules that failed, in the end
	defer func() {
		if smallest != "" {
			c.t.Errorf("schedule %d was the first that failed; what has happened:\n%s", c.failed.Load(), smallest)
		}
	}()
	rapid.Check(tb, func(t *rapid.T) {
		seeded()
		if c.failed.Load() > 0 && smallest == "" {
			return // another worker's
		}
		s := drawSchedule.Draw(t, "schedule")
		if trace, err := c.try(s); err != nil {
			c.failed.CompareAndSwap(0, c.worlds.Load())
			if text := trace + "\n" + err.Error(); smallest == "" || len(text) < len(smallest) {
				smallest = text
			}
			t.Fatalf("the numbers are wrong, or do not come")
		}
	})
}

// try runs a schedule.
func (c *chances) try(s schedule) (trace string, err error) {
	dir := filepath.Join(c.dir, fmt.Sprint(c.worlds.Add(1)))
	w, err := newWorld(c.t, dir, s)
	if err != nil {
		return "", err
	}
	err = w.play(s)
	w.close()
	if err == nil {
		err = w.check()
	}
	if rm := os.RemoveAll(dir); rm != nil {
		err = errors.Join(err, rm)
	}
	c.mu.Lock()
	for k, n := range w.did {
		c.did[k] += n
	}
	c.did["generations"] += len(w.all)
	c.did["events"] += len(w.flights)
	c.did["messages"] += len(w.messages)
	c.mu.Unlock()
	return strings.Join(w.trace, "\n"), err
}

// warmUp runs an empty batch: Prism and Beam set variables of the process when
// the first job starts, which several at once must not.
func (c *chances) warmUp() {
	w, err := newWorld(c.t, filepath.Join(c.dir, "first"), schedule{Jobs: 1, Horizon: time.Hour, Partitions: 1, Shards: 1, Files: 1})
	if err == nil {
		err = w.play(schedule{})
		w.close()
	}
	if err != nil {
		c.t.Fatal(err)
	}
}
