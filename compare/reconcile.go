package compare

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"golang.org/x/sync/errgroup"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// maxSpans bounds the settled spans that one query can name.
const maxSpans = 200

// difference is a key that is not exact.
type difference struct {
	class      string
	keys       []bigquery.Value // string, int64, time.Time or nil
	window     time.Time
	batchRows  int64
	streamRows int64
	batch      sideValue
	stream     sideValue
	cause      string
	status     string
	evidence   string // what shows the cause, as a sentence
	known      string // name of the known difference that it is

	// A FLOAT64 that is not finite has no value; it is in these, by metric, as NaN,
	// Inf or -Inf.
	batchTexts, streamTexts []string
}

// billingMinimum is what BigQuery bills at least per table that a query reads.
const billingMinimum = 10 << 20

// reconcileQuery compares the windows in spans, by one query.
func (q queries) reconcileQuery(spans []Range, counting rowsThatCount) query {
	q.shifts = q.windowing.shifts(Range{spans[0].From, spans[len(spans)-1].To})
	var writers []bigquery.QueryParameter
	if q.batch.writers || q.stream.writers {
		writers = counting.params()
	}
	params := slices.Concat(q.boundParams(spans), writers, q.tolerances())
	if q.rollup != nil {
		params = append(params, bigquery.QueryParameter{Name: "rollup", Value: *q.rollup})
	}
	return query{purpose: purposeReconcile, sql: q.reconcile(len(spans), counting), params: params,
		maxBytes: int64(q.spec.Limits.MaxBytesBilled), spans: spans, unordered: true}
}

// checkEstimate refuses a query that would cost more than the spec allows.
func (q queries) checkEstimate(estimated int64) error {
	limit := int64(q.spec.Limits.MaxBytesBilled)
	if limit > 0 && estimated > limit {
		return exit.Usagef("the reconciliation would read %s, the spec allows %s (limits.maxBytesBilled)", bytesText(estimated), bytesText(limit)).
			WithHint("compare a smaller range with --from and --to, or raise limits.maxBytesBilled")
	}
	return nil
}

const purposeReconcile = "reconcile"

// reconcile runs the one query over both sides of a partition.
func (r *runner) reconcile(ctx context.Context, q queries, qry query) (*part, error) {
	found := q.newReader()
	var job QueryJob
	var least int64
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		job, err = r.run(ctx, qry, found.read)
		return err
	})
	both.Go(func() (err error) {
		_, least, err = r.leastBytes(ctx, q, qry.spans)
		return err
	})
	if err := both.Wait(); err != nil {
		return nil, err
	}
	p, err := found.part()
	if err != nil {
		return nil, err
	}
	p.jobs, p.lowerBound = []QueryJob{job}, least
	return p, nil
}

// newPart is a part in which there are no keys.
func (q queries) newPart() *part {
	return &part{ignored: map[string]int64{}, segments: make([]partSegment, len(q.segments())), metrics: q.newMetrics()}
}

// newMetrics are the metrics over no keys.
func (q queries) newMetrics() []partMetric {
	var all []partMetric
	for _, m := range q.spec.Metrics {
		v := partMetric{difference: new(big.Rat), absolute: new(big.Rat), weight: map[string]*big.Rat{}}
		if addsUp(m) {
			v.batch, v.stream = new(big.Rat), new(big.Rat)
		}
		all = append(all, v)
	}
	return all
}

// addsUp reports whether a metric's values have a total.
func addsUp(m jobspecs.Metric) bool { return m.Type == "count" || m.Type == "sum" }

// keyIndex is the place of a key in the spec.
func (q queries) keyIndex(name string) int {
	return slices.IndexFunc(q.spec.Keys, func(k jobspecs.CompareKey) bool { return k.Name == name })
}

// keyText is a key column's value as text; nil for NULL.
func keyText(v bigquery.Value) *string {
	var s string
	switch v := v.(type) {
	case nil:
		return nil
	case time.Time:
		s = stamp(v)
	default:
		s = fmt.Sprint(v)
	}
	return &s
}

func compareText(a, b *string) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return strings.Compare(*a, *b)
}

// compareDifferences orders by window, then by key, so that batches of
// evidence are narrow in time and reports are the same every time.
func compareDifferences(a, b difference) int {
	if c := a.window.Compare(b.window); c != 0 {
		return c
	}
	for i := range a.keys {
		if c := compareText(keyText(a.keys[i]), keyText(b.keys[i])); c != 0 {
			return c
		}
	}
	return strings.Compare(a.class, b.class)
}
