package serve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/bigtable"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Table is what is used of a Bigtable table; *bigtable.Table is one.
type Table interface {
	ReadRows(ctx context.Context, rows bigtable.RowSet, each func(bigtable.Row) bool, opts ...bigtable.ReadOption) error
}

// Reader reads one set of dimensions of an aggregation.
type Reader struct {
	table       Table
	aggregation jobspecs.Aggregation
	set         []string       // its dimensions
	space       string         // what its row keys begin with
	measures    map[string]int // index by name
	standings   map[tables.Writer]tables.Standing
}

// New returns a reader of a set of dimensions of an aggregation in a table: all
// of them, or a rollup's. Standings are those of all writers of the dataset
// (tables.Standings).
func New(table Table, standings []tables.Standing, aggregation jobspecs.Aggregation, dimensions []string) (*Reader, error) {
	if table == nil || aggregation.Name == "" || len(aggregation.Measures) == 0 {
		return nil, errors.New("serve: a table and an aggregation are needed")
	}
	set, ok := aggregation.Set(dimensions)
	if !ok {
		return nil, exit.Usagef("aggregation %s does not group by (%s)", aggregation.Name, jobspecs.Rollup(dimensions))
	}
	r := &Reader{table: table, aggregation: aggregation, set: set, space: tables.KeySpace(aggregation, set), measures: map[string]int{}, standings: map[tables.Writer]tables.Standing{}}
	for i, m := range aggregation.Measures {
		r.measures[m.Name] = i
	}
	for _, s := range standings {
		r.standings[s.Writer()] = s
	}
	return r, nil
}

// Query returns the windows of a key that start at from or later and before
// to, in order of time; a zero bound is none. The key has a text, as row keys
// have it (tables.Dimension), for each dimension of the set, in the order of the
// aggregation's; nil is null.
func (r *Reader) Query(ctx context.Context, key []*string, from, to time.Time) ([]Window, error) {
	if len(key) != len(r.set) {
		return nil, exit.Usagef("a key of aggregation %s has %d dimensions, not %d", r.space, len(r.set), len(key))
	}
	first, last := tables.Rows(r.space, key, tables.Span{From: from, To: to})
	if first >= last { // an empty range would be refused
		return nil, nil
	}
	var out []Window
	err := r.read(ctx, bigtable.NewRange(first, last), func(w Window) bool {
		out = append(out, w)
		return true
	})
	return out, err
}

// Scan calls each for the windows of all keys that start at from or later and
// before to, in the order of row keys, until it returns false. It reads the
// whole set: row keys begin with the key.
func (r *Reader) Scan(ctx context.Context, from, to time.Time, each func(Window) bool) error {
	return r.read(ctx, bigtable.PrefixRange(r.space+"#"), func(w Window) bool {
		if w.Start.Before(from) || !to.IsZero() && !w.Start.Before(to) {
			return true
		}
		return each(w)
	})
}

// reachWithin is how long Bigtable may take to answer at all: the client
// retries refused connections for ever.
const reachWithin = time.Minute

var errNoAnswer = fmt.Errorf("no answer within %s", reachWithin)

func (r *Reader) read(ctx context.Context, rows bigtable.RowSet, each func(Window) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(reachWithin, func() { cancel(errNoAnswer) })
	defer silent.Stop()
	var bad error
	err := r.table.ReadRows(ctx, rows, func(row bigtable.Row) bool {
		silent.Stop()
		w, ok, err := r.window(row)
		if err != nil {
			bad = err
			return false
		}
		return !ok || each(w)
	}, bigtable.RowFilter(bigtable.ChainFilters(bigtable.FamilyFilter(tables.Family), bigtable.LatestNFilter(1)))) // invariant P1
	switch {
	case bad != nil:
		return exit.With(exit.Failed, fmt.Errorf("read aggregation %s: %w", r.aggregation.Name, bad)).
			WithHint("the table holds what version 1 of the tables does not: see docs/contracts.md")
	case errors.Is(context.Cause(ctx), errNoAnswer):
		return exit.Environmentf("read aggregation %s: Bigtable gave %w", r.aggregation.Name, errNoAnswer).
			WithHint("check the connection to Bigtable")
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("read aggregation %s: %w", r.aggregation.Name, ctx.Err())
	}
	return classify(fmt.Errorf("read aggregation %s: %w", r.aggregation.Name, err))
}

// classify gives an error of the service its exit code.
func classify(err error) error {
	switch status.Code(errors.Unwrap(err)) {
	case codes.NotFound:
		return exit.With(exit.Environment, err).WithHint("create it with `kappa deploy apply`, or mend spec.sinks.bigtable")
	case codes.PermissionDenied, codes.Unauthenticated, codes.Unavailable, codes.DeadlineExceeded:
		return exit.With(exit.Environment, err)
	}
	return exit.With(exit.Failed, err)
}
