package journal

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"
)

// At is the journal with another clock, and another name of who appends.
func (j *Journal) At(by string, now func() time.Time) *Journal {
	other := *j
	other.by, other.now = by, now
	return &other
}

// Take takes the lease and does not renew it.
func (j *Journal) Take(ctx context.Context, command string) (*Lease, error) {
	l, err := j.take(ctx, command)
	if err == nil {
		l.stop = func() {}
	}
	return l, err
}

// Renew renews the lease, once.
func (l *Lease) Renew(ctx context.Context) error { return l.renew(ctx) }

// Token tells two holders apart.
func (l *Lease) Token() string { return l.holder.Token }

// Put writes a file of the journal, over what there is.
func (j *Journal) Put(ctx context.Context, name, data string) error {
	if _, version, err := j.folder.read(ctx, name); err == nil {
		if err := j.folder.remove(ctx, name, version); err != nil {
			return err
		}
	}
	_, err := j.folder.create(ctx, name, []byte(data))
	return err
}

// Remove removes a file of the journal.
func (j *Journal) Remove(ctx context.Context, name string) error {
	_, version, err := j.folder.read(ctx, name)
	if err != nil {
		return err
	}
	return j.folder.remove(ctx, name, version)
}

// PutLease writes who holds the lease.
func (j *Journal) PutLease(ctx context.Context, h Holder) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return j.Put(ctx, leaseFile, string(data))
}

// ThisMachine is what a holder on this machine says.
func ThisMachine() string { return thisMachine() }

// Faulty is the journal in a folder that a test can break.
func (j *Journal) Faulty() (*Journal, *Faults) {
	f := &Faults{folder: j.folder}
	other := *j
	other.folder = f
	return &other, f
}

// Faults is a folder that a test breaks.
type Faults struct {
	folder
	reads, MaxReads atomic.Int64

	mu      sync.Mutex
	hang    bool
	lost    int           // that many answers to replace are lost
	latency time.Duration // of reads
}

// Set says what is broken from now on.
func (f *Faults) Set(hang bool, lost int, latency time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hang, f.lost, f.latency = hang, lost, latency
}

func (f *Faults) read(ctx context.Context, name string) ([]byte, string, error) {
	n := f.reads.Add(1)
	defer f.reads.Add(-1)
	for m := f.MaxReads.Load(); n > m && !f.MaxReads.CompareAndSwap(m, n); m = f.MaxReads.Load() {
	}
	f.mu.Lock()
	latency := f.latency
	f.mu.Unlock()
	if latency > 0 {
		sleep(ctx, latency)
	}
	return f.folder.read(ctx, name)
}

func (f *Faults) replace(ctx context.Context, name string, data []byte, version string) (string, error) {
	f.mu.Lock()
	hang, lost := f.hang, f.lost > 0
	if lost {
		f.lost--
	}
	f.mu.Unlock()
	if hang {
		<-ctx.Done()
		return "", ctx.Err()
	}
	version, err := f.folder.replace(ctx, name, data, version)
	if lost && err == nil {
		return "", context.DeadlineExceeded
	}
	return version, err
}
