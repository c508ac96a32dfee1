package journal

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// queued is how many entries wait for the mirror; what does not fit is found
	// missing at the end.
	queued = 1024
	// mirrorWithin bounds what is waited for at the end of a deployment.
	mirrorWithin = 30 * time.Second
	// mirrorRows is how many entries are sent at once.
	mirrorRows = 500
)

// Table is where entries are mirrored to, so that they can be queried.
type Table interface {
	// Put adds entries. Those that it has already may be added once more.
	Put(ctx context.Context, entries []Entry) error
	// Whole are the deployments of which it has every entry, the last included.
	Whole(ctx context.Context) (map[string]bool, error)
}

// mirror sends what is appended to a table, in order, in the background. What
// fails is no reason to stop a deployment: it is sent at the end of this or of
// another one.
type mirror struct {
	journal *Journal
	table   Table
	log     *slog.Logger

	entries chan Entry
	done    sync.WaitGroup
}

// Mirror sends every entry that is appended from now on to a table too. Call
// what it returns after the deployment has ended: it waits until all are there,
// and, if anything was done, sends what was not mirrored of this and of earlier
// deployments.
func (l *Lease) Mirror(ctx context.Context, table Table, log *slog.Logger) (finish func(done bool)) {
	ctx = context.WithoutCancel(ctx)
	m := &mirror{journal: l.journal, table: table, log: log, entries: make(chan Entry, queued)}
	m.done.Go(func() { m.send(ctx) })
	l.mirror = m
	return func(done bool) {
		l.mirror = nil
		close(m.entries)
		m.done.Wait()
		if !done {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, mirrorWithin)
		defer cancel()
		if err := l.journal.complete(ctx, table); err != nil {
			log.Warn("the history of deployments is not mirrored in full: the next deployment does it", "journal", l.journal.String(), "error", err)
		}
	}
}

// add takes an entry that was appended.
func (m *mirror) add(e Entry) {
	if m == nil {
		return
	}
	select {
	case m.entries <- e:
	default:
	}
}

// send sends entries until one is refused: what comes after it must not
// overtake it.
func (m *mirror) send(ctx context.Context) {
	failed := false
	for e := range m.entries {
		if failed {
			continue
		}
		within, cancel := context.WithTimeout(ctx, mirrorWithin)
		if err := m.table.Put(within, []Entry{e}); err != nil {
			failed = true
			m.log.Debug("entry of a deployment is not mirrored yet", "deployment", e.Deployment, "seq", e.Seq, "error", err)
		}
		cancel()
	}
}

// complete sends all entries of those deployments that a table has not whole.
func (j *Journal) complete(ctx context.Context, table Table) error {
	whole, err := table.Whole(ctx)
	if err != nil {
		return err
	}
	ids, err := j.ids(ctx, 0)
	if err != nil {
		return err
	}
	for _, id := range slices.Backward(ids) { // the oldest first
		if whole[id] {
			continue
		}
		r, err := j.Read(ctx, id)
		if err != nil {
			return err
		}
		for rows := range slices.Chunk(r.Entries, mirrorRows) {
			if err := table.Put(ctx, rows); err != nil {
				return err
			}
		}
	}
	return nil
}
