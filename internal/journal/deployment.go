package journal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// idLayout is what ids begin with, in UTC, so that they sort by time.
const idLayout = "20060102t150405"

// Deployment is a deployment that this process appends to. It is safe for
// concurrent use.
type Deployment struct {
	ID string

	lease *Lease
	mu    sync.Mutex
	next  int
	ended bool
}

// Begin begins a deployment: e has command, reason, version and spec.
func (l *Lease) Begin(ctx context.Context, e Entry) (*Deployment, error) {
	last, err := l.journal.ids(ctx, 1)
	if err != nil {
		return nil, err
	}
	random := make([]byte, 3)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	at := l.journal.now().UTC()
	if len(last) > 0 {
		at = after(at, last[0])
	}
	d := &Deployment{ID: at.Format(idLayout) + "-" + hex.EncodeToString(random), lease: l, next: 1}
	e.Kind = KindBegin
	if err := d.append(ctx, e); err != nil {
		return nil, err
	}
	return d, nil
}

// after is now, or a moment after the deployment with an id: whose clock is
// behind must not begin one that seems older than what has ended.
func after(now time.Time, id string) time.Time {
	if len(id) < len(idLayout) {
		return now
	}
	at, err := time.Parse(idLayout, id[:len(idLayout)])
	if err != nil || now.Truncate(time.Second).After(at) {
		return now
	}
	return at.Add(time.Second)
}

// Resume goes on with a deployment that has not ended.
func (l *Lease) Resume(ctx context.Context, r Record) (*Deployment, error) {
	d := &Deployment{ID: r.ID, lease: l, next: len(r.Entries) + 1}
	if err := d.append(ctx, Entry{Kind: KindResume}); err != nil {
		return nil, err
	}
	return d, nil
}

// Append appends an entry: a step before it is taken, or a fact. Once it
// returns, the entry is there whatever happens to this process. ErrAborted,
// ErrTaken and ErrLeaseLost say that no step may be taken any more.
func (d *Deployment) Append(ctx context.Context, e Entry) error {
	if e.Kind == KindStep {
		switch a, err := d.lease.journal.Aborted(ctx, d.ID); {
		case err != nil:
			return err
		case a != nil:
			return fmt.Errorf("%w by %s", ErrAborted, a.By)
		}
		if err := d.lease.Held(); err != nil { // invariant D2
			return err
		}
	}
	return d.append(ctx, e)
}

// End appends the last entry. It does nothing the second time.
func (d *Deployment) End(ctx context.Context, outcome string, cause error, result any) error {
	e := Entry{Kind: KindEnd, Outcome: outcome}
	if cause != nil {
		e.Error = cause.Error()
	}
	if result != nil {
		data, err := json.Marshal(result)
		if err != nil {
			return err
		}
		e.Result = data
	}
	return d.append(ctx, e)
}

func (d *Deployment) append(ctx context.Context, e Entry) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return nil
	}
	j := d.lease.journal
	e.Deployment, e.Seq, e.At, e.By = d.ID, d.next, j.now().UTC(), j.by
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("record %s: %w", d.ID, err)
	}
	// An entry that was begun is finished: what is not known to be there would
	// have to be looked for.
	_, err = j.folder.create(context.WithoutCancel(ctx), entryName(d.ID, e.Seq), data)
	switch {
	case errors.Is(err, errExists): // invariant D2
		return exit.With(exit.Failed, fmt.Errorf("deployment %s: %w", d.ID, ErrTaken)).
			WithHint("look who deploys with `kappa deploy status`")
	case err != nil:
		return exit.Environmentf("record a step in %s: %w", j, err)
	}
	d.next++
	d.ended = e.Kind == KindEnd
	d.lease.mirror.add(e)
	return nil
}
