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
		maxBytes: int64(q.spec.Limits.MaxBytesBilled), spans: spans}
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
	p := q.newPart()
	job, err := r.run(ctx, qry, func(row row) error {
		level, err := get[string](row, "level")
		if err != nil {
			return err
		}
		switch level {
		case levelTotal:
			return q.readTotal(row, p)
		case levelWindow:
			return q.readWindow(row, p)
		case levelKey:
			d, err := q.readDifference(row)
			p.differences = append(p.differences, d)
			return err
		case levelWriter:
			name, err := get[string](row, "ignored")
			if err != nil {
				return err
			}
			p.ignored[name], err = row.counter("ignored_rows")
			return err
		}
		n, err := strconv.Atoi(strings.TrimPrefix(level, levelSegment))
		if err != nil || n < 0 || n >= len(p.segments) {
			return fmt.Errorf("level %q is unknown", level)
		}
		return q.readSegment(row, n, &p.segments[n])
	})
	if err != nil {
		return nil, err
	}
	p.jobs = []QueryJob{job}
	for _, s := range []struct {
		of    side
		bytes int64
	}{{q.batch, p.batch.bytes}, {q.stream, p.stream.bytes}} {
		bytes, err := r.leastBytes(ctx, q, s.of, qry.spans, s.bytes)
		if err != nil {
			return nil, err
		}
		p.lowerBound += bytes
	}
	p.finish()
	return p, nil
}

// newPart is a part in which there are no keys.
func (q queries) newPart() *part {
	p := &part{ignored: map[string]int64{}, segments: make([]partSegment, len(q.segments()))}
	for _, m := range q.spec.Metrics {
		v := partMetric{difference: new(big.Rat), absolute: new(big.Rat), weight: map[string]*big.Rat{}}
		if addsUp(m) {
			v.batch, v.stream = new(big.Rat), new(big.Rat)
		}
		p.metrics = append(p.metrics, v)
	}
	return p
}

// addsUp reports whether a metric's values have a total.
func addsUp(m jobspecs.Metric) bool { return m.Type == "count" || m.Type == "sum" }

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
		diff, err := row.decimal(fmt.Sprintf("diff%d", i))
		if err != nil {
			return nil, err
		}
		abs, err := row.decimal(fmt.Sprintf("abs%d", i))
		if err != nil {
			return nil, err
		}
		deltas[i] = MetricDelta{m.Name, decimalText(orZero(diff)), decimalText(orZero(abs))}
	}
	return deltas, nil
}

func (q queries) readTotal(row row, p *part) (err error) {
	if p.counts, err = q.readCounts(row); err != nil {
		return err
	}
	for name, n := range map[string]*int64{"batch_rows": &p.batch.rows, "stream_rows": &p.stream.rows, "copies": &p.copies,
		"conflicts": &p.conflicts, "batch_bytes": &p.batch.bytes, "stream_bytes": &p.stream.bytes} {
		if *n, err = row.counter(name); err != nil {
			return err
		}
	}
	for i, m := range q.spec.Metrics {
		v := partMetric{}
		read := map[string]**big.Rat{fmt.Sprintf("diff%d", i): &v.difference, fmt.Sprintf("abs%d", i): &v.absolute}
		if addsUp(m) {
			read[fmt.Sprintf("batch%d", i)], read[fmt.Sprintf("stream%d", i)] = &v.batch, &v.stream
		}
		for name, to := range read {
			n, err := row.decimal(name)
			if err != nil {
				return err
			}
			*to = orZero(n)
		}
		if m.Value == "FLOAT64" {
			if v.skipped, err = row.counter(fmt.Sprintf("skipped%d", i)); err != nil {
				return err
			}
		}
		p.metrics[i] = v
	}
	weights, err := q.readWeights(row)
	for i, w := range weights {
		p.metrics[i].weight = w
	}
	return err
}

// readWeights reads, of each metric, the weight of the keys by class.
func (q queries) readWeights(row row) ([]map[string]*big.Rat, error) {
	weights := make([]map[string]*big.Rat, len(q.spec.Metrics))
	for i := range weights {
		weights[i] = map[string]*big.Rat{}
		for _, c := range Classes {
			w, err := row.decimal(fmt.Sprintf("%s%d", c, i))
			if err != nil {
				return nil, err
			}
			weights[i][c] = orZero(w)
		}
	}
	return weights, nil
}

func (q queries) readWindow(row row, p *part) error {
	w := partWindow{}
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
	// What starts elsewhere may be settled later than this program believes
	// (invariant C4).
	if !q.windowing.floor(w.Start).Equal(w.Start) {
		return exit.Usagef("a row's window starts at %s, where no window of %s does", stamp(w.Start), shortDuration(q.windowing.size)).
			WithHint("say in spec.window and spec.alignment how long windows are and where they begin, or leave such rows out by where")
	}
	if w.Metrics, err = q.readDeltas(row); err != nil {
		return err
	}
	weights, err := q.readWeights(row)
	if err != nil {
		return err
	}
	for _, of := range weights {
		agree := new(big.Rat).Add(of[ClassExact], of[ClassTolerated])
		all := new(big.Rat).Set(agree)
		for _, c := range []string{ClassMismatch, ClassMissing, ClassExtra, ClassNonunique} {
			all.Add(all, of[c])
		}
		w.weight = append(w.weight, windowWeight{all, agree})
	}
	p.windows = append(p.windows, w)
	return nil
}

func (q queries) readSegment(row row, n int, s *partSegment) error {
	counts, err := q.readCounts(row)
	if err != nil || counts.Total == 0 {
		return err
	}
	var values []*string
	for _, name := range q.segments()[n] {
		v, err := row.value(fmt.Sprintf("k%d", q.keyIndex(name)))
		if err != nil {
			return err
		}
		values = append(values, keyText(v))
	}
	deltas, err := q.readDeltas(row)
	s.worst = append(s.worst, SegmentValue{Values: values, Counts: counts, Metrics: deltas})
	return err
}

// keyIndex is the place of a key in the spec.
func (q queries) keyIndex(name string) int {
	return slices.IndexFunc(q.spec.Keys, func(k jobspecs.CompareKey) bool { return k.Name == name })
}

func (q queries) readDifference(row row) (d difference, err error) {
	if d.class, err = get[string](row, "of_class"); err != nil {
		return d, err
	}
	start, err := get[time.Time](row, "xw")
	if err != nil {
		return d, err
	}
	d.window = start.UTC()
	for i := range q.spec.Keys {
		v, err := row.value(fmt.Sprintf("x%d", i))
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
	for i, m := range q.spec.Metrics {
		b, text, err := readValue(row, m, "batch", i)
		if err != nil {
			return d, err
		}
		d.batch.values, d.batchTexts = append(d.batch.values, b), append(d.batchTexts, text)
		if b, text, err = readValue(row, m, "stream", i); err != nil {
			return d, err
		}
		d.stream.values, d.streamTexts = append(d.stream.values, b), append(d.streamTexts, text)
	}
	return d, nil
}

// readValue reads a key's value of metric i on a side; if it is NaN or infinite,
// as a text.
func readValue(row row, m jobspecs.Metric, side string, i int) (*big.Rat, string, error) {
	if m.Value != "FLOAT64" {
		n, err := row.decimal(fmt.Sprintf("%s%d", side, i))
		return n, "", err
	}
	text, err := row.text(fmt.Sprintf("%s_text%d", side, i))
	if err != nil || text == nil {
		return nil, "", err
	}
	switch strings.ToLower(*text) {
	case "nan":
		return nil, "NaN", nil
	case "inf", "+inf":
		return nil, "Inf", nil
	case "-inf":
		return nil, "-Inf", nil
	}
	n, ok := new(big.Rat).SetString(*text)
	if !ok {
		return nil, "", fmt.Errorf("%q is not a FLOAT64", *text)
	}
	return n, "", nil
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
