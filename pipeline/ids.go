package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/bigtable"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// IDStore keeps what generations knew of event ids when they forgot them, for
// the generations after them (rule P3).
type IDStore interface {
	// Read calls each with the ids, 16 bytes apiece, that a writer has left in
	// slices that overlap s.
	Read(ctx context.Context, s tables.IDSlice, each func(w tables.Writer, ids []byte)) error
	// Write leaves ids of a writer in s. It returns nil only if all are durable;
	// writing them again must be harmless.
	Write(ctx context.Context, s tables.IDSlice, w tables.Writer, ids []byte) error
}

// bigtableIDs is the table of event ids (see package tables).
type bigtableIDs struct{ table *bigtable.Table }

const idCell = 1 << 20 // bytes of ids in a cell

// Read implements IDStore.
func (b bigtableIDs) Read(ctx context.Context, s tables.IDSlice, each func(tables.Writer, []byte)) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	var rows bigtable.RowRangeList
	for _, r := range s.Overlapping() {
		rows = append(rows, bigtable.NewRange(r[0], r[1]))
	}
	var bad error
	err := b.table.ReadRows(ctx, rows, func(r bigtable.Row) bool {
		for _, item := range r[tables.IDFamily] {
			w, _, err := tables.ParseIDQualifier(strings.TrimPrefix(item.Column, tables.IDFamily+":"))
			if err == nil && len(item.Value)%16 != 0 {
				err = fmt.Errorf("a value of %d bytes holds no whole ids", len(item.Value))
			}
			if err != nil {
				bad = fmt.Errorf("row %s of the event ids: %w", r.Key(), err)
				return false
			}
			each(w, item.Value)
		}
		return true
	}, bigtable.RowFilter(bigtable.LatestNFilter(1)))
	return errors.Join(err, bad)
}

// Write implements IDStore. The cells carry the time of writing, by which the
// table's garbage collection goes, not event time, which may be years ago.
func (b bigtableIDs) Write(ctx context.Context, s tables.IDSlice, w tables.Writer, ids []byte) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	at := bigtable.Time(time.Now().Truncate(time.Millisecond))
	for chunk := 0; len(ids) > 0; chunk++ {
		n := min(len(ids), idCell)
		m := bigtable.NewMutation()
		m.Set(tables.IDFamily, tables.IDQualifier(w, chunk), at, ids[:n])
		if err := b.table.Apply(ctx, s.RowKey(), m); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// inherit returns the ids that this writer must know of a slice when it meets
// it: what its predecessors have counted, and what it has forgotten itself.
// Void writers are no predecessors: what they counted does not count.
func (rt *runtime) inherit(ctx context.Context, p *Plan, s tables.IDSlice) (ids []byte, err error) {
	err = rt.retry(ctx, "read the event ids of "+s.RowKey(), func() error {
		ids = nil
		return rt.ids.Read(ctx, s, func(w tables.Writer, of []byte) {
			if p.inherits(w) { // invariant P3
				ids = append(ids, of...)
			}
		})
	})
	return ids, err
}

// leave keeps the ids of a slice for the generations after this one.
func (rt *runtime) leave(ctx context.Context, p *Plan, s tables.IDSlice, ids []byte) error {
	return rt.retry(ctx, "write the event ids of "+s.RowKey(), func() error {
		return rt.ids.Write(ctx, s, tables.Writer{Job: p.Job, Generation: p.Generation}, ids)
	})
}
