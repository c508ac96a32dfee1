package journal

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
)

const (
	leaseFile = "lease.json"
	// LeaseTTL is how long after its last renewal a lease holds.
	LeaseTTL = time.Minute
	// skewShare of its time after it has expired, a lease is taken over: so far
	// the clocks of two machines may be apart.
	skewShare = 12
)

// ErrLeaseLost says that a lease could not be renewed in time: somebody else may
// deploy now, so take no further step.
var ErrLeaseLost = errors.New("the lease could not be renewed in time")

// Holder is who deploys.
type Holder struct {
	By         string    `json:"by"`
	Command    string    `json:"command"`
	Host       string    `json:"host"`
	Machine    string    `json:"machine,omitempty"` // whose process it is; empty: not known
	PID        int       `json:"pid"`
	AcquiredAt time.Time `json:"acquired_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	Token      string    `json:"token"` // no other holder has it
}

// gone reports whether a holder does not hold its lease any more: it has
// expired, or was a process of this machine that is dead.
func (h Holder) gone(now time.Time, skew time.Duration, machine string) bool {
	if now.After(h.ExpiresAt.Add(skew)) {
		return true
	}
	return machine != "" && h.Machine == machine && h.PID > 0 && errors.Is(syscall.Kill(h.PID, 0), syscall.ESRCH)
}

// thisMachine names what process ids are unique in, as long as it lives: a boot
// of a machine, and a container. Two machines may well have one host name. It
// is empty where neither is known: then only time tells that a holder is dead.
var thisMachine = sync.OnceValue(func() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	processes, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + "/" + processes
})

// HeldError says that somebody else deploys.
type HeldError struct {
	Journal string
	Holder  Holder
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s deploys since %s (kappa %s, process %d on %s); its lease in %s holds until %s if it is not renewed",
		e.Holder.By, e.Holder.AcquiredAt.Format(time.RFC3339), e.Holder.Command, e.Holder.PID, e.Holder.Host,
		e.Journal, e.Holder.ExpiresAt.Format(time.RFC3339))
}

// Lease is the right to deploy, of one process at a time. Release gives it back.
type Lease struct {
	journal *Journal
	mirror  *mirror // nil: none

	mu      sync.Mutex
	holder  Holder
	version string
	lost    bool

	stop context.CancelFunc // of the renewals
	done sync.WaitGroup
}

// Acquire takes the lease and renews it until it is released. The context that
// it returns ends, with ErrLeaseLost as its cause, when it could not be renewed
// in time. HeldError: somebody else has it.
func (j *Journal) Acquire(ctx context.Context, command string) (*Lease, context.Context, error) {
	l, err := j.take(ctx, command)
	if err != nil {
		return nil, nil, err
	}
	held, lose := context.WithCancelCause(ctx)
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = func() { stop(); lose(context.Canceled) }
	l.done.Go(func() { l.keep(renewing, lose) })
	return l, held, nil
}

// take takes the lease if nobody has it.
func (j *Journal) take(ctx context.Context, command string) (*Lease, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name of this machine: %w", err)
	}
	token := rand.Text()
	for {
		now := j.now().UTC()
		l := &Lease{journal: j, holder: Holder{
			By: j.by, Command: command, Host: host, Machine: thisMachine(), PID: os.Getpid(),
			AcquiredAt: now, ExpiresAt: now.Add(j.ttl), Token: token,
		}}
		data, err := json.Marshal(l.holder)
		if err != nil {
			return nil, err
		}
		h, version, err := j.readLease(ctx)
		switch {
		case errors.Is(err, errMissing):
			l.version, err = j.folder.create(ctx, leaseFile, data)
		case err != nil:
			return nil, err
		case !h.gone(now, j.ttl/skewShare, thisMachine()):
			return nil, exit.With(exit.Environment, &HeldError{Journal: j.String(), Holder: h}).
				WithHint("wait until it is done; or stop it with `kappa deploy abort`")
		default:
			l.version, err = j.folder.replace(ctx, leaseFile, data, version)
		}
		switch {
		case err == nil:
			return l, nil
		case !errors.Is(err, errExists) && !errors.Is(err, errChanged): // else somebody was faster: look who
			return nil, exit.Environmentf("take the lease in %s: %w", j, err)
		}
	}
}

// readLease reads who has the lease; errMissing.
func (j *Journal) readLease(ctx context.Context) (h Holder, version string, err error) {
	data, version, err := j.folder.read(ctx, leaseFile)
	if errors.Is(err, errMissing) {
		return h, "", errMissing
	}
	if err != nil {
		return h, "", exit.Environmentf("read the lease in %s: %w", j, err)
	}
	if err := json.Unmarshal(data, &h); err != nil || h.Token == "" {
		return h, "", exit.Environmentf("the lease %s/%s is damaged", j, leaseFile).
			WithHint("make sure that nobody deploys, then delete it")
	}
	return h, version, nil
}

// Held is nil while the lease holds, else ErrLeaseLost, for ever. It asks the
// clock and not the renewals, which have stood still as long as this process did.
func (l *Lease) Held() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = l.lost || l.journal.now().After(l.holder.ExpiresAt)
	if l.lost { // invariant D2
		return ErrLeaseLost
	}
	return nil
}

// keep renews the lease three times as often as it must, until it is lost.
func (l *Lease) keep(ctx context.Context, lose context.CancelCauseFunc) {
	tick := time.NewTicker(l.journal.ttl / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if l.Held() == nil {
			// A renewal that hangs must not outlive what it renews. One that fails
			// is tried again, while there is time.
			within, cancel := context.WithTimeout(ctx, l.left())
			_ = l.renew(within)
			cancel()
		}
		if ctx.Err() == nil && l.Held() != nil {
			lose(ErrLeaseLost)
			return
		}
	}
}

// left is how long the lease still holds.
func (l *Lease) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holder.ExpiresAt.Sub(l.journal.now())
}

// renew renews the lease. ErrLeaseLost: somebody else has it, or has removed
// it. Any other error says that it is not known whether it was renewed.
func (l *Lease) renew(ctx context.Context) error {
	l.mu.Lock()
	h, version := l.holder, l.version
	l.mu.Unlock()
	h.ExpiresAt = l.journal.now().UTC().Add(l.journal.ttl)
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	renewed, err := l.journal.folder.replace(ctx, leaseFile, data, version)
	if errors.Is(err, errChanged) {
		if version, err = l.ours(ctx); err == nil {
			renewed, err = l.journal.folder.replace(ctx, leaseFile, data, version)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.holder, l.version = h, renewed
	case errors.Is(err, errChanged), errors.Is(err, errMissing):
		l.lost = true
		return ErrLeaseLost
	}
	return err
}

// ours is the version of a lease that is still ours, though it is not the one
// that we know: a renewal whose answer was lost wrote it. errChanged, errMissing.
func (l *Lease) ours(ctx context.Context) (string, error) {
	h, version, err := l.journal.readLease(ctx)
	if err == nil && h.Token != l.holder.Token {
		return "", errChanged
	}
	return version, err
}

// Release gives the lease back.
func (l *Lease) Release(ctx context.Context) error {
	l.stop()
	l.done.Wait()
	err := l.journal.folder.remove(ctx, leaseFile, l.version)
	if errors.Is(err, errChanged) {
		var version string
		if version, err = l.ours(ctx); err == nil {
			err = l.journal.folder.remove(ctx, leaseFile, version)
		}
	}
	if err == nil || errors.Is(err, errChanged) || errors.Is(err, errMissing) { // it was lost before
		return nil
	}
	return exit.Environmentf("give back the lease in %s: %w", l.journal, err)
}

// Holder is who deploys now; false: nobody.
func (j *Journal) Holder(ctx context.Context) (Holder, bool, error) {
	h, _, err := j.readLease(ctx)
	if errors.Is(err, errMissing) {
		return h, false, nil
	}
	return h, err == nil && !h.gone(j.now(), j.ttl/skewShare, thisMachine()), err
}
