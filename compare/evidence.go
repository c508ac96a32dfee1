package compare

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// evidenceBatch is the most keys of one evidence query: some 1 MB of
// parameters, where a request may have 10.
const evidenceBatch = 10_000

// explain attributes a cause to every difference (rule C5), reading raw events
// for those keys alone, window by window, in bounded batches. Once the byte cap
// is reached the rest stays unexplained, and unexamined says how many those are.
func (r *runner) explain(ctx context.Context, q queries, standings []tables.Standing, diffs []difference, progress func(done, total int64)) (unexamined int64, bytes int64, err error) {
	var open []*difference
	for i := range diffs {
		d := &diffs[i]
		d.cause, d.status = Unexplained, Unexplained
		if d.class != ClassNonunique { // a key with several values has none to be reproduced
			open = append(open, d)
		}
	}
	total := int64(len(open))
	if total == 0 || q.spec.Evidence.Raw == "" {
		return total, 0, nil
	}
	limit := int64(q.spec.Evidence.MaxBytesBilled)
	for batch := range slices.Chunk(open, evidenceBatch) {
		progress(total-int64(len(open)), total)
		qry := q.evidenceQuery(batch, standings)
		estimated, _, err := r.estimate(ctx, qry)
		if err != nil {
			return 0, bytes, err
		}
		if limit > 0 {
			if qry.maxBytes = limit - bytes; estimated > qry.maxBytes || qry.maxBytes <= 0 {
				return int64(len(open)), bytes, nil
			}
		}
		found := make([]*evidence, len(batch))
		job, err := r.run(ctx, qry, func(row row) error {
			i, err := get[int64](row, "i")
			if err != nil {
				return err
			}
			if i < 0 || i >= int64(len(batch)) {
				return fmt.Errorf("evidence for key %d, which was not asked for", i)
			}
			found[i], err = q.readEvidence(row)
			return err
		})
		if overBudget(err) {
			return int64(len(open)), bytes, nil
		}
		if err != nil {
			return 0, bytes, err
		}
		bytes += max(job.Processed, job.Billed)
		for i, d := range batch {
			d.cause, d.status = attribute(d.batch, d.stream, found[i])
		}
		open = open[len(batch):]
	}
	progress(total, total)
	return 0, bytes, nil
}

// overBudget reports whether a query was refused for its byte cap: minimums
// per table can bring it over what its estimate said.
func overBudget(err error) bool {
	var e *exit.Error
	return errors.As(err, &e) && e.Code == exit.Usage
}

func (q queries) evidenceQuery(batch []*difference, standings []tables.Standing) query {
	starts := make([]time.Time, len(batch))
	for i, d := range batch {
		starts[i] = d.window
	}
	size := q.spec.Window.D()
	within := Range{slices.MinFunc(starts, time.Time.Compare), slices.MaxFunc(starts, time.Time.Compare).Add(size)}
	counting := countingRows(standings, within)
	params := []bigquery.QueryParameter{
		{Name: "from", Value: within.From},
		{Name: "to", Value: within.To},
		{Name: "size", Value: size.Microseconds()},
		{Name: "cutoff", Value: q.spec.Batch.Cutoff.D().Microseconds()},
		{Name: "windows", Value: starts},
	}
	for k, f := range q.spec.Keys {
		keys, nulls := keyArrays(f.Type, batch, k)
		params = append(params, bigquery.QueryParameter{Name: fmt.Sprintf("key%d", k), Value: keys},
			bigquery.QueryParameter{Name: fmt.Sprintf("null%d", k), Value: nulls})
	}
	params = append(params, counting.params()...)
	if q.spec.Evidence.Late != "" {
		params = append(params, bigquery.QueryParameter{Name: "late_writers", Value: anywhere(standings)})
	}
	return query{purpose: "evidence", sql: q.evidence(counting), params: params}
}

// keyArrays returns a key column of all keys as a typed array, and which of
// them are NULL.
func keyArrays(typ string, batch []*difference, k int) (keys any, nulls []bool) {
	nulls = make([]bool, len(batch))
	switch typ {
	case "INT64":
		keys = columnOf[int64](batch, k, nulls)
	case "TIMESTAMP":
		keys = columnOf[time.Time](batch, k, nulls)
	default:
		keys = columnOf[string](batch, k, nulls)
	}
	return keys, nulls
}

func columnOf[T any](batch []*difference, k int, nulls []bool) []T {
	out := make([]T, len(batch))
	for i, d := range batch {
		v, ok := d.keys[k].(T)
		out[i], nulls[i] = v, !ok
	}
	return out
}

func (q queries) readEvidence(row row) (*evidence, error) {
	inconsistent, err := row.counter("inconsistent")
	if err != nil {
		return nil, err
	}
	ev := &evidence{inconsistent: inconsistent > 0}
	for s := range eventSets {
		values := make([][countings]*big.Int, len(q.spec.Metrics))
		for m := range q.spec.Metrics {
			cols := q.evidenceColumns(s, m)
			for _, c := range cols {
				v, err := row.whole(c.name)
				if err != nil {
					return nil, err
				}
				values[m][c.counting] = v
				if len(cols) == 1 { // extremes: duplicates leave them alone
					values[m][countRecords], values[m][countDeliveries] = v, v
				}
			}
		}
		for c := range countings {
			n, err := row.counter(fmt.Sprintf("n_%s_%s", countingNames[c], setNames[s]))
			if err != nil {
				return nil, err
			}
			model := modelValues{events: n, values: make([]*big.Int, len(q.spec.Metrics))}
			for m, metric := range q.spec.Metrics {
				if model.values[m] = values[m][c]; metric.Type == "count" {
					model.values[m] = big.NewInt(n)
				}
			}
			ev.models[s][c] = model
		}
	}
	return ev, nil
}

// summarize counts differences by cause: what is unexplained first, then the
// most frequent. differing may be more than there are differences, where the
// reconciliation returned a bounded number of them.
func summarize(diffs []difference, differing, unexamined int64) Causes {
	type key struct{ cause, status string }
	counts := map[key]int64{}
	for _, d := range diffs {
		counts[key{d.cause, d.status}]++
	}
	if beyond := differing - int64(len(diffs)); beyond > 0 {
		counts[key{Unexplained, Unexplained}] += beyond
		unexamined += beyond
	}
	c := Causes{Differing: differing, Unexamined: unexamined, Explained: NewRatio(1, 1), Entries: []Cause{}}
	for k, n := range counts {
		if k.status == Unexplained {
			c.Unexplained = n
		}
		c.Entries = append(c.Entries, Cause{Cause: k.cause, Status: k.status, Keys: n, Share: NewRatio(n, differing)})
	}
	if differing > 0 {
		c.Explained = NewRatio(differing-c.Unexplained, differing)
	}
	slices.SortFunc(c.Entries, func(a, b Cause) int {
		switch {
		case (a.Status == Unexplained) != (b.Status == Unexplained):
			if a.Status == Unexplained {
				return -1
			}
			return 1
		case a.Keys != b.Keys:
			return int(b.Keys - a.Keys)
		}
		return strings.Compare(a.Cause+a.Status, b.Cause+b.Status)
	})
	return c
}
