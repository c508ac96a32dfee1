package compare

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/exit"
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
}

// reconciled is what the reconciliation query returned, beside what went into
// the result.
type reconciled struct {
	differences []difference
	ignored     map[string]int64 // rows that do not count, by writer
	bytes       int64            // of the columns and rows that were needed, per table at least the billing minimum
	conflicts   int64
}

// billingMinimum is what BigQuery bills at least per table that a query reads.
const billingMinimum = 10 << 20

func (q queries) reconcileQuery(spans []Range, counting rowsThatCount) query {
	params := []bigquery.QueryParameter{
		{Name: "from", Value: spans[0].From},
		{Name: "to", Value: spans[len(spans)-1].To},
	}
	params = append(params, counting.params()...)
	if q.rollup != nil {
		params = append(params, bigquery.QueryParameter{Name: "rollup", Value: *q.rollup})
	}
	if len(spans) > 1 {
		for i, s := range spans {
			params = append(params, bigquery.QueryParameter{Name: fmt.Sprintf("from%d", i), Value: s.From},
				bigquery.QueryParameter{Name: fmt.Sprintf("to%d", i), Value: s.To})
		}
	}
	return query{purpose: "reconcile", sql: q.reconcile(len(spans), counting), params: params,
		maxBytes: int64(q.spec.Limits.MaxBytesBilled)}
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

// reconcile runs the one query over both sides and fills the result with it.
func (r *runner) reconcile(ctx context.Context, q queries, qry query, res *Result) (reconciled, error) {
	got := reconciled{ignored: map[string]int64{}}
	res.Segments = make([]SegmentResult, len(q.spec.Keys))
	for i, k := range q.spec.Keys {
		res.Segments[i] = SegmentResult{Column: k.Name, Worst: []SegmentValue{}}
	}
	job, err := r.run(ctx, qry, func(row row) error {
		level, err := get[string](row, "level")
		if err != nil {
			return err
		}
		switch level {
		case levelTotal:
			return q.readTotal(row, res, &got)
		case levelWindow:
			return q.readWindow(row, res)
		case levelKey:
			d, err := q.readDifference(row)
			got.differences = append(got.differences, d)
			return err
		case levelWriter:
			name, err := get[string](row, "ignored")
			if err != nil {
				return err
			}
			got.ignored[name], err = row.counter("ignored_rows")
			return err
		}
		n, err := strconv.Atoi(strings.TrimPrefix(level, levelSegment))
		if err != nil || n < 0 || n >= len(res.Segments) {
			return fmt.Errorf("level %q is unknown", level)
		}
		return q.readSegment(row, n, &res.Segments[n])
	})
	if err != nil {
		return got, err
	}
	res.Cost.Processed, res.Cost.Billed = job.Processed, job.Billed
	res.Cost.LowerBound = got.bytes
	slices.SortFunc(res.Windows, func(a, b WindowResult) int { return a.Start.Compare(b.Start) })
	for i := range res.Segments {
		finishSegment(&res.Segments[i])
	}
	slices.SortFunc(got.differences, compareDifferences)
	return got, nil
}

func finishSegment(s *SegmentResult) {
	slices.SortFunc(s.Worst, func(a, b SegmentValue) int {
		if c := b.Counts.Differing() - a.Counts.Differing(); c != 0 {
			return int(c)
		}
		return compareText(a.Value, b.Value)
	})
	if len(s.Worst) > maxSegments {
		s.Worst, s.Truncated = s.Worst[:maxSegments], true
	}
}

func (q queries) readCounts(row row) (c Counts, err error) {
	for class, n := range map[string]*int64{ClassExact: &c.Exact, ClassTolerated: &c.Tolerated, ClassMismatch: &c.Mismatch,
		ClassMissing: &c.Missing, ClassExtra: &c.Extra, ClassNonunique: &c.Nonunique} {
		if *n, err = row.counter(class + "_keys"); err != nil {
			return c, err
		}
		c.Total += *n
	}
	return c, nil
}

func (q queries) readDeltas(row row) ([]MetricDelta, error) {
	deltas := make([]MetricDelta, len(q.spec.Metrics))
	for i, m := range q.spec.Metrics {
		diff, err := row.whole(fmt.Sprintf("diff%d", i))
		if err != nil {
			return nil, err
		}
		abs, err := row.whole(fmt.Sprintf("abs%d", i))
		if err != nil {
			return nil, err
		}
		deltas[i] = MetricDelta{m.Name, orZero(diff).String(), orZero(abs).String()}
	}
	return deltas, nil
}

func orZero(n *big.Int) *big.Int {
	if n == nil {
		return new(big.Int)
	}
	return n
}

func (q queries) readTotal(row row, res *Result, got *reconciled) (err error) {
	if res.Counts, err = q.readCounts(row); err != nil {
		return err
	}
	res.Exact = NewRatio(res.Counts.Exact, res.Counts.Total)
	var batchBytes, streamBytes int64
	for name, n := range map[string]*int64{"batch_rows": &res.Batch.Rows, "stream_rows": &res.Stream.Rows, "copies": &res.Stream.Copies,
		"conflicts": &got.conflicts, "batch_bytes": &batchBytes, "stream_bytes": &streamBytes} {
		if *n, err = row.counter(name); err != nil {
			return err
		}
	}
	got.bytes = max(batchBytes, billingMinimum) + max(streamBytes, billingMinimum)
	deltas, err := q.readDeltas(row)
	if err != nil {
		return err
	}
	for i, m := range q.spec.Metrics {
		v := Metric{Name: m.Name, Type: m.Type, Difference: deltas[i].Difference, Absolute: deltas[i].Absolute, Weight: map[string]string{}}
		all := new(big.Int)
		for _, c := range Classes {
			w, err := row.whole(fmt.Sprintf("%s%d", c, i))
			if err != nil {
				return err
			}
			v.Weight[c] = orZero(w).String()
			all.Add(all, orZero(w))
		}
		v.Exact = Ratio{v.Weight[ClassExact], all.String()}
		if m.Type == "count" || m.Type == "sum" {
			batch, err := row.whole(fmt.Sprintf("batch%d", i))
			if err != nil {
				return err
			}
			stream, err := row.whole(fmt.Sprintf("stream%d", i))
			if err != nil {
				return err
			}
			v.BatchTotal, v.StreamTotal = orZero(batch).String(), orZero(stream).String()
		}
		res.Metrics = append(res.Metrics, v)
	}
	return nil
}

func (q queries) readWindow(row row, res *Result) error {
	w := WindowResult{}
	start, err := get[time.Time](row, "w")
	if err != nil {
		return err
	}
	w.Start = start.UTC()
	if w.Counts, err = q.readCounts(row); err != nil {
		return err
	}
	if w.Counts.Total == 0 {
		return nil // rows of writers that do not count
	}
	if w.Metrics, err = q.readDeltas(row); err != nil {
		return err
	}
	res.Windows = append(res.Windows, w)
	return nil
}

func (q queries) readSegment(row row, n int, s *SegmentResult) error {
	counts, err := q.readCounts(row)
	if err != nil || counts.Differing() == 0 {
		return err
	}
	v, err := row.value(fmt.Sprintf("k%d", n))
	if err != nil {
		return err
	}
	deltas, err := q.readDeltas(row)
	s.Worst = append(s.Worst, SegmentValue{Value: keyText(v), Counts: counts, Metrics: deltas})
	return err
}

func (q queries) readDifference(row row) (d difference, err error) {
	if d.class, err = get[string](row, "class"); err != nil {
		return d, err
	}
	start, err := get[time.Time](row, "w")
	if err != nil {
		return d, err
	}
	d.window = start.UTC()
	for i := range q.spec.Keys {
		v, err := row.value(fmt.Sprintf("k%d", i))
		if err != nil {
			return d, err
		}
		d.keys = append(d.keys, v)
	}
	if d.batchRows, err = row.counter("batch_rows"); err != nil {
		return d, err
	}
	if d.streamRows, err = row.counter("stream_rows"); err != nil {
		return d, err
	}
	d.batch.present, d.stream.present = d.batchRows > 0, d.streamRows > 0
	for i := range q.spec.Metrics {
		b, err := row.whole(fmt.Sprintf("batch%d", i))
		if err != nil {
			return d, err
		}
		s, err := row.whole(fmt.Sprintf("stream%d", i))
		if err != nil {
			return d, err
		}
		d.batch.values, d.stream.values = append(d.batch.values, b), append(d.stream.values, s)
	}
	return d, nil
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

// bytesText formats a number of bytes for people.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	f, u := float64(n), 0
	for f >= 1024 && u < len(units)-1 {
		f, u = f/1024, u+1
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}
