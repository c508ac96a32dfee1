package compare

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// reader makes a part of the rows of a reconciliation, which are by level and class
// and in no order.
type reader struct {
	q        queries
	p        *part
	total    *sums
	windows  map[time.Time]*sums
	segments []map[string]*sums // by the texts of the values
}

// sums are what the rows of a group, one for each class, say together.
type sums struct {
	values  []*string // of a segment
	counts  Counts
	metrics []partMetric
}

func (q queries) newReader() *reader {
	r := &reader{q: q, p: q.newPart(), total: &sums{metrics: q.newMetrics()}, windows: map[time.Time]*sums{}}
	for range r.p.segments {
		r.segments = append(r.segments, map[string]*sums{})
	}
	return r
}

// read takes one row.
func (r *reader) read(row row) error {
	level, err := get[string](row, "level")
	if err != nil {
		return err
	}
	switch level {
	case levelTotal:
		return r.readTotal(row)
	case levelWindow:
		return r.readWindow(row)
	case levelKey:
		d, err := r.q.readDifference(row)
		r.p.differences = append(r.p.differences, d)
		return err
	case levelWriter:
		name, err := get[string](row, "ignored")
		if err != nil {
			return err
		}
		r.p.ignored[name], err = row.counter("stream_rows")
		return err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(level, levelSegment))
	if err != nil || n < 0 || n >= len(r.segments) {
		return fmt.Errorf("level %q is unknown", level)
	}
	return r.readSegment(row, n)
}

// part is what all rows say.
func (r *reader) part() (*part, error) {
	p := r.p
	p.counts, p.metrics = r.total.counts, r.total.metrics
	for start, s := range r.windows {
		// What starts elsewhere may be settled later than this program believes
		// (invariant C4).
		if !r.q.windowing.floor(start).Equal(start) {
			return nil, exit.Usagef("a row's window starts at %s, where no window of %s does", stamp(start), shortDuration(r.q.windowing.size)).
				WithHint("say in spec.window and spec.alignment how long windows are and where they begin, or leave such rows out by where")
		}
		w := partWindow{WindowResult: WindowResult{Start: start, Counts: s.counts, Metrics: r.q.deltas(s)}}
		for _, m := range s.metrics {
			all := new(big.Rat)
			for _, weight := range m.weight {
				all.Add(all, weight)
			}
			w.weight = append(w.weight, windowWeight{all, new(big.Rat).Add(orZero(m.weight[ClassExact]), orZero(m.weight[ClassTolerated]))})
		}
		p.windows = append(p.windows, w)
	}
	for n, values := range r.segments {
		for _, s := range values {
			p.segments[n].worst = append(p.segments[n].worst, SegmentValue{Values: s.values, Counts: s.counts, Metrics: r.q.deltas(s)})
		}
	}
	p.finish()
	return p, nil
}

func (q queries) deltas(s *sums) []MetricDelta {
	deltas := make([]MetricDelta, len(s.metrics))
	for i, m := range s.metrics {
		deltas[i] = MetricDelta{q.spec.Metrics[i].Name, decimalText(m.difference), decimalText(m.absolute)}
	}
	return deltas
}

func (r *reader) readTotal(row row) error {
	counters := map[string]*int64{"batch_rows": &r.p.batchRows, "stream_rows": &r.p.streamRows}
	if r.q.stream.writers {
		counters["copies"], counters["conflicts"] = &r.p.copies, &r.p.conflicts
	}
	for name, to := range counters {
		n, err := row.counter(name)
		if err != nil {
			return err
		}
		*to += n
	}
	return r.q.addClass(row, r.total)
}

func (r *reader) readWindow(row row) error {
	start, err := get[time.Time](row, "w")
	if err != nil {
		return err
	}
	start = start.UTC()
	s := r.windows[start]
	if s == nil {
		s = &sums{metrics: r.q.newMetrics()}
		r.windows[start] = s
	}
	return r.q.addClass(row, s)
}

func (r *reader) readSegment(row row, n int) error {
	var values []*string
	var id strings.Builder
	for _, name := range r.q.segments()[n] {
		v, err := row.value(fmt.Sprintf("k%d", r.q.keyIndex(name)))
		if err != nil {
			return err
		}
		text := keyText(v)
		values = append(values, text)
		if text != nil {
			id.WriteString(strconv.Quote(*text))
		}
		id.WriteByte(',')
	}
	s := r.segments[n][id.String()]
	if s == nil {
		s = &sums{values: values, metrics: r.q.newMetrics()}
		r.segments[n][id.String()] = s
	}
	return r.q.addClass(row, s)
}

// addClass adds to a group what a row says of one of its classes.
func (q queries) addClass(row row, to *sums) error {
	class, err := get[string](row, "class")
	if err != nil {
		return err
	}
	n, err := row.counter("keys")
	if err != nil {
		return err
	}
	if err := to.counts.count(class, n); err != nil {
		return err
	}
	for i, m := range q.spec.Metrics {
		v := &to.metrics[i]
		var batch, stream, absolute, weight *big.Rat
		for name, to := range map[string]**big.Rat{"batch": &batch, "stream": &stream, "abs": &absolute, "weight": &weight} {
			if *to, err = row.decimal(fmt.Sprintf("%s%d", name, i)); err != nil {
				return err
			}
			*to = orZero(*to)
		}
		if addsUp(m) {
			v.batch.Add(v.batch, batch)
			v.stream.Add(v.stream, stream)
		}
		v.difference.Add(v.difference, stream).Sub(v.difference, batch)
		v.absolute.Add(v.absolute, absolute)
		v.weight[class] = weight
		if m.Value == "FLOAT64" {
			skipped, err := row.counter(fmt.Sprintf("skipped%d", i))
			if err != nil {
				return err
			}
			v.skipped += skipped
		}
	}
	return nil
}

// count counts keys of a class.
func (c *Counts) count(class string, n int64) error {
	switch class {
	case ClassExact:
		c.Exact += n
	case ClassTolerated:
		c.Tolerated += n
	case ClassMismatch:
		c.Mismatch += n
	case ClassMissing:
		c.Missing += n
	case ClassExtra:
		c.Extra += n
	case ClassNonunique:
		c.Nonunique += n
	default:
		return fmt.Errorf("class %q is unknown", class)
	}
	c.Total += n
	return nil
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
	for _, of := range []struct {
		side  string
		to    *sideValue
		texts *[]string
	}{{"batch", &d.batch, &d.batchTexts}, {"stream", &d.stream, &d.streamTexts}} {
		of.to.values = make([]*big.Rat, len(q.spec.Metrics))
		for i, m := range q.spec.Metrics {
			var text string
			if of.to.values[i], text, err = readValue(row, m, of.side, i); err != nil {
				return d, err
			}
			if text != "" {
				if *of.texts == nil {
					*of.texts = make([]string, len(q.spec.Metrics))
				}
				(*of.texts)[i] = text
			}
		}
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
