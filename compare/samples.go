package compare

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// sample picks a bounded number of differences per class: those without an
// explanation first, then the greatest differences, so that what is shown is
// what is worth looking at.
func (q queries) sample(diffs []difference) []Sample {
	limit := q.spec.Limits.Samples
	out := []Sample{}
	for _, class := range Classes {
		var of []*difference
		for i := range diffs {
			if diffs[i].class == class {
				of = append(of, &diffs[i])
			}
		}
		rank := map[string]int{Unexplained: 0, Likely: 1, Proven: 2}
		slices.SortStableFunc(of, func(a, b *difference) int {
			if c := rank[a.status] - rank[b.status]; c != 0 {
				return c
			}
			return b.size().Cmp(a.size())
		})
		for _, d := range of[:min(limit, len(of))] {
			out = append(out, q.sampleOf(d))
		}
	}
	return out
}

// size is the sum of the absolute differences of all metrics.
func (d *difference) size() *big.Int {
	sum := new(big.Int)
	for i := range d.batch.values {
		sum.Add(sum, new(big.Int).Abs(d.delta(i)))
	}
	return sum
}

func (d *difference) delta(i int) *big.Int {
	return new(big.Int).Sub(orZero(d.stream.values[i]), orZero(d.batch.values[i]))
}

func (q queries) sampleOf(d *difference) Sample {
	s := Sample{Class: d.class, Window: d.window, BatchRows: d.batchRows, StreamRows: d.streamRows, Cause: d.cause, Status: d.status, SQL: q.sampleSQL(d)}
	for i, k := range q.spec.Keys {
		s.Key = append(s.Key, KeyValue{k.Name, keyText(d.keys[i])})
	}
	for i, m := range q.spec.Metrics {
		s.Metrics = append(s.Metrics, SampleMetric{m.Name, wholeText(d.batch.values[i]), wholeText(d.stream.values[i]), d.delta(i).String()})
	}
	return s
}

func wholeText(n *big.Int) *string {
	if n == nil {
		return nil
	}
	s := n.String()
	return &s
}

// sampleSQL is SQL to copy: the rows of both sides, and the raw events.
func (q queries) sampleSQL(d *difference) string {
	var key []string
	for i, k := range q.spec.Keys {
		c := column(k.Name)
		switch v := d.keys[i].(type) {
		case nil:
			key = append(key, c+" IS NULL")
		case string:
			key = append(key, c+" = "+stringLiteral(v))
		case time.Time:
			key = append(key, c+" = "+timestampLiteral(v))
		default:
			key = append(key, fmt.Sprintf("%s = %v", c, v))
		}
	}
	where := strings.Join(key, " AND ")
	sides := fmt.Sprintf("window_start = %s AND %s", timestampLiteral(d.window), where)
	rollup := ""
	if q.rollup != nil {
		rollup = q.inRollup(stringLiteral(*q.rollup))
	}
	sql := fmt.Sprintf("SELECT * FROM %s WHERE %s;\nSELECT * FROM %s WHERE %s ORDER BY job, generation, pane;",
		q.table(q.spec.Batch.Table), sides, q.table(q.spec.Stream.Table), sides+rollup)
	if q.spec.Evidence.Raw != "" {
		sql += fmt.Sprintf("\nSELECT * FROM %s WHERE event_time >= %s AND event_time < %s AND %s ORDER BY source_time;",
			q.table(q.spec.Evidence.Raw), timestampLiteral(d.window), timestampLiteral(d.window.Add(q.spec.Window.D())), where)
	}
	return sql
}
