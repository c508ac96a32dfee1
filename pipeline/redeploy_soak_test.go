package pipeline

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// again runs the test in a process of its own.
func again(t *testing.T, env ...string) (out []byte, err error) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRedeploys$", "-test.v", "-test.timeout=0")
	cmd.Env = append(os.Environ(), env...)
	return cmd.CombinedOutput()
}

// soak runs schedules in processes of their own, one after the other, because
// Prism keeps every job that it ever ran.
func soak(t *testing.T, n int) {
	began := time.Now()
	for done := 0; done < n; done += defaultSchedules {
		seed := strconv.FormatUint(rand.Uint64(), 10)
		out, err := again(t, "KAPPA_SOAK=", "KAPPA_SEED="+seed)
		if err != nil {
			t.Fatalf("KAPPA_SEED=%s: %v\n%s", seed, err, out)
		}
		fmt.Printf("%d of %d schedules are right, %.1f a second; the last ones from KAPPA_SEED=%s\n",
			done+defaultSchedules, n, float64(done+defaultSchedules)/time.Since(began).Seconds(), seed)
	}
}

const (
	raceChild = "KAPPA_RACE_CHILD"
	allRight  = "every schedule came out right"
)

// raceFree runs schedules in a process of its own, and looks for data races
// among what the detector finds there. It cannot be told to overlook those of
// others, and when a job fails Beam closes a channel that it may just send to.
func raceFree(t *testing.T) {
	out, err := again(t, raceChild+"=1")
	for _, report := range strings.Split(string(out), "==================") {
		accesses, _, _ := strings.Cut(report, "\n\nGoroutine ") // and who started them
		if strings.Contains(accesses, "WARNING: DATA RACE") && strings.Contains(accesses, "kappa-migrate/kappa/") {
			t.Errorf("%s", report)
		}
	}
	if !strings.Contains(string(out), allRight) {
		t.Errorf("%v\n%s", err, out)
	}
}

// setFlag sets a flag of the test binary; the returned function sets it back.
func setFlag(t *testing.T, name, value string) func() {
	f := flag.Lookup(name)
	if f == nil {
		t.Fatalf("no flag %s", name)
	}
	old := f.Value.String()
	if err := f.Value.Set(value); err != nil {
		t.Fatal(err)
	}
	return func() { _ = f.Value.Set(old) }
}

// reporter is the test as one worker's rapid sees it: that another worker has
// failed is not its affair.
type reporter struct {
	*testing.T
	name   string
	failed atomic.Bool
}

func (r *reporter) Failed() bool { return r.failed.Load() }
func (r *reporter) Fail()        { r.failed.Store(true); r.T.Fail() }
func (r *reporter) FailNow()     { r.Fail(); goruntime.Goexit() }
func (r *reporter) Errorf(format string, args ...any) {
	r.failed.Store(true)
	r.T.Errorf(format, args...)
}
func (r *reporter) Error(args ...any) { r.failed.Store(true); r.T.Error(args...) }
func (r *reporter) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.FailNow()
}
func (r *reporter) Fatal(args ...any) { r.Error(args...); r.FailNow() }
