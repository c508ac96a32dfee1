package journal_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
)

// deadPID is the id of a process that has ended.
func deadPID(t testing.TB) int {
	t.Helper()
	c := exec.Command("true")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	return c.Process.Pid
}

// Who holds a lease, and whether another one gets it.
func TestLeaseIsTaken(t *testing.T) {
	everywhere(t, func(w world) {
		ctx := w.Context()
		valid, expired := noon.Add(time.Second), noon.Add(-6*time.Second)
		for _, c := range []struct {
			name   string
			holder journal.Holder
			taken  bool
		}{
			{"somebody else, elsewhere", journal.Holder{Machine: "other", PID: 1, ExpiresAt: valid}, false},
			{"somebody else, on a machine without a name", journal.Holder{PID: deadPID(w), ExpiresAt: valid}, false},
			{"a process of this machine", journal.Holder{Machine: journal.ThisMachine(), PID: os.Getppid(), ExpiresAt: valid}, false},
			{"this process", journal.Holder{Machine: journal.ThisMachine(), PID: os.Getpid(), ExpiresAt: valid}, false},
			{"a dead process of this machine", journal.Holder{Machine: journal.ThisMachine(), PID: deadPID(w), ExpiresAt: valid}, true},
			{"a dead process of another machine", journal.Holder{Machine: "other", PID: deadPID(w), ExpiresAt: valid}, false},
			{"expired, but clocks differ", journal.Holder{Machine: "other", ExpiresAt: noon.Add(-4 * time.Second)}, false},
			{"expired", journal.Holder{Machine: "other", ExpiresAt: expired}, true},
			{"expired, and the process lives", journal.Holder{Machine: journal.ThisMachine(), PID: os.Getppid(), ExpiresAt: expired}, true},
		} {
			c.holder.By, c.holder.Command, c.holder.Host, c.holder.Token = "ann@desk", journal.CommandRollback, "desk", "theirs"
			j := w.open("bob").At("bob", at(noon))
			if err := j.PutLease(ctx, c.holder); err != nil {
				w.Fatal(err)
			}
			h, held, err := j.Holder(ctx)
			if err != nil || held == c.taken || h.By != "ann@desk" {
				w.Errorf("%s: holder %+v, %v, %v", c.name, h, held, err)
			}
			l, err := j.Take(ctx, journal.CommandApply)
			if (err == nil) != c.taken {
				w.Errorf("%s: got %v", c.name, err)
			}
			if err == nil {
				if err := l.Release(ctx); err != nil {
					w.Error(err)
				}
				continue
			}
			var heldBy *journal.HeldError
			if !errors.As(err, &heldBy) || heldBy.Holder.Token != "theirs" || exit.Of(err) != exit.Environment ||
				!strings.Contains(err.Error(), "ann@desk deploys since") || !strings.Contains(err.Error(), "kappa rollback") {
				w.Errorf("%s: got %v", c.name, err)
			}
		}
	})
}

// A lease is renewed as long as its holder lives, and gone when it gives it back.
func TestLeaseIsRenewed(t *testing.T) {
	everywhere(t, func(w world) {
		ctx, j := w.Context(), w.open("ann").LeaseFor(600*time.Millisecond)
		l, held, err := j.Acquire(ctx, journal.CommandApply)
		if err != nil {
			w.Fatal(err)
		}
		first, _, err := j.Holder(ctx)
		if err != nil {
			w.Fatal(err)
		}
		eventually(w, "the lease is renewed beyond its first time", func() bool {
			h, holds, err := j.Holder(ctx)
			if err != nil || !holds {
				w.Fatalf("held: %v, %v", holds, err)
			}
			return h.ExpiresAt.Sub(first.ExpiresAt) > 700*time.Millisecond
		})
		if err := errors.Join(context.Cause(held), l.Held()); err != nil {
			w.Errorf("lost: %v", err)
		}
		if _, _, err := w.open("bob").Acquire(ctx, journal.CommandApply); err == nil {
			w.Error("two hold it")
		}
		if err := l.Release(ctx); err != nil {
			w.Error(err)
		}
		if _, holds, err := j.Holder(ctx); holds || err != nil {
			w.Errorf("held after the release: %v", err)
		}
		if context.Cause(held) == nil {
			w.Error("the context goes on")
		}
	})
}

// invariant D2: the context of a lease that is lost, in whatever way, ends.
func TestLeaseIsLost(t *testing.T) {
	everywhere(t, func(w world) {
		for _, c := range []struct {
			name string
			lose func(j *journal.Journal, f *journal.Faults) error
		}{
			{"somebody else has it", func(j *journal.Journal, _ *journal.Faults) error {
				return j.PutLease(w.Context(), journal.Holder{Token: "theirs", ExpiresAt: time.Now().Add(time.Hour)})
			}},
			{"somebody has removed it", func(j *journal.Journal, _ *journal.Faults) error { return j.Remove(w.Context(), "lease.json") }},
			{"no answer", func(_ *journal.Journal, f *journal.Faults) error { f.Set(true, 0, 0); return nil }},
		} {
			j, faults := w.open("ann").LeaseFor(300 * time.Millisecond).Faulty()
			l, held, err := j.Acquire(w.Context(), journal.CommandApply)
			if err != nil {
				w.Fatal(err)
			}
			if err := c.lose(j, faults); err != nil {
				w.Fatal(err)
			}
			select {
			case <-held.Done():
			case <-time.After(20 * time.Second):
				w.Fatalf("%s: the context goes on", c.name)
			}
			if err := context.Cause(held); !errors.Is(err, journal.ErrLeaseLost) || !errors.Is(l.Held(), journal.ErrLeaseLost) {
				w.Errorf("%s: cause %v, held %v", c.name, err, l.Held())
			}
			if err := l.Release(w.Context()); err != nil {
				w.Errorf("%s: release: %v", c.name, err)
			}
			if h, holds, _ := j.Holder(w.Context()); holds && h.Token != "theirs" {
				w.Errorf("%s: still held by %+v", c.name, h)
			}
			_ = j.Remove(w.Context(), "lease.json")
		}
	})
}

// A renewal whose answer was lost has renewed it all the same.
func TestRenewalWithoutAnswer(t *testing.T) {
	everywhere(t, func(w world) {
		ctx, clock := w.Context(), noon
		j, faults := w.open("ann").At("ann", func() time.Time { return clock }).Faulty()
		l := must(j.Take(ctx, journal.CommandApply))(w)
		faults.Set(false, 1, 0)
		clock = clock.Add(20 * time.Second)
		if err := l.Renew(ctx); err == nil || errors.Is(err, journal.ErrLeaseLost) {
			w.Errorf("without an answer: %v", err)
		}
		clock = clock.Add(20 * time.Second)
		if err := l.Renew(ctx); err != nil {
			w.Errorf("with one: %v", err)
		}
		clock = clock.Add(50 * time.Second)
		if err := l.Held(); err != nil {
			w.Error(err)
		}
		faults.Set(false, 1, 0)
		_ = l.Renew(ctx)
		if err := l.Release(ctx); err != nil {
			w.Error(err)
		}
		if _, holds, err := j.Holder(ctx); holds || err != nil {
			w.Errorf("held after the release: %v", err)
		}
		clock = clock.Add(time.Hour)
		if err := l.Held(); !errors.Is(err, journal.ErrLeaseLost) {
			w.Errorf("long after: %v", err)
		}
	})
}

// However operators come and go, die and pause, and however their clocks differ
// (by less than is allowed for), no two believe at one time that they hold it.
func TestAcquirersProperty(t *testing.T) {
	w := local(t)
	rapid.Check(t, func(t *rapid.T) {
		ctx, clock := w.Context(), noon
		const operators = 4
		leases := make([]*journal.Lease, operators)
		journals := make([]*journal.Journal, operators)
		for i := range operators {
			skew := time.Duration(rapid.IntRange(-2000, 2000).Draw(t, "skew")) * time.Millisecond
			journals[i] = w.open("operator").At("operator", func() time.Time { return clock.Add(skew) })
		}
		_ = journals[0].Remove(ctx, "lease.json")
		holding := func() (n int) {
			for _, l := range leases {
				if l != nil && l.Held() == nil {
					n++
				}
			}
			return n
		}
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			i := rapid.IntRange(0, operators-1).Draw(t, "operator")
			switch l := leases[i]; rapid.SampledFrom([]string{"acquire", "renew", "release", "die", "wait"}).Draw(t, "event") {
			case "acquire":
				before := holding()
				fresh, err := journals[i].Take(ctx, journal.CommandApply)
				var held *journal.HeldError
				switch {
				case err != nil && !errors.As(err, &held):
					t.Fatal(err)
				case err == nil && before > 0:
					t.Fatal("acquired while somebody holds it")
				case err == nil:
					leases[i] = fresh
				}
			case "renew":
				if l != nil && l.Held() == nil {
					if err := l.Renew(ctx); err != nil && !errors.Is(err, journal.ErrLeaseLost) {
						t.Fatal(err)
					}
				}
			case "release":
				if l != nil {
					if err := l.Release(ctx); err != nil {
						t.Fatal(err)
					}
					leases[i] = nil
				}
			case "die": // and whoever comes next has to wait
				leases[i] = nil
			case "wait":
				clock = clock.Add(time.Duration(rapid.IntRange(0, 40_000).Draw(t, "milliseconds")) * time.Millisecond)
			}
			if n := holding(); n > 1 {
				t.Fatalf("%d hold it", n)
			}
		}
	})
}

// A process that was stopped while it held the lock of a folder makes the others
// fail, and not hang.
func TestLockedFolder(t *testing.T) {
	w := local(t)
	j := w.open("ann")
	l := must(j.Take(t.Context(), journal.CommandApply))(t)
	lock, err := os.OpenFile(filepath.Join(j.String(), ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Renew(ctx); err == nil || !strings.Contains(err.Error(), ".lock is locked by another process") {
		t.Errorf("got %v", err)
	}
	d := must(l.Begin(t.Context(), journal.Entry{}))(t) // which needs no lock
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Renew(t.Context()), d.End(t.Context(), journal.OutcomeDone, nil, nil), l.Release(t.Context())); err != nil {
		t.Error(err)
	}
}

// eventually polls until ok says so.
func eventually(w world, what string, ok func() bool) {
	w.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			w.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}
