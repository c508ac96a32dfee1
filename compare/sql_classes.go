package compare

import (
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// merge is the aggregate by which partial values of a metric merge (invariant P2).
func merge(m jobspecs.Metric) string {
	switch m.Merge() {
	case jobspecs.MergeLeast:
		return "MIN"
	case jobspecs.MergeGreatest:
		return "MAX"
	default:
		return "SUM"
	}
}

func (q queries) keyed(b *strings.Builder) {
	keys := strings.Join(q.keyAliases(), ", ")
	fmt.Fprintf(b, "keyed AS (\n  SELECT\n    %s, w, ignored,\n", keys)
	b.WriteString("    SUM(batch_rows) AS batch_rows, SUM(stream_rows) AS stream_rows, SUM(ignored_rows) AS ignored_rows,\n")
	b.WriteString("    SUM(copies) AS copies, SUM(conflicts) AS conflicts,\n")
	b.WriteString("    SUM(batch_bytes) AS batch_bytes, SUM(stream_bytes) AS stream_bytes")
	for i, m := range q.spec.Metrics {
		fmt.Fprintf(b, ",\n    %s(b%d) AS b%d, %s(s%d) AS s%d", merge(m), i, i, merge(m), i, i)
	}
	fmt.Fprintf(b, "\n  FROM sides\n  GROUP BY %s, w, ignored\n),\n", keys)
}

// apart subtracts the sides in a type that neither overflows nor rounds
// (invariant C2). What is absent counts as 0. FLOAT64 that is not finite has no
// part in any sum: it is counted instead.
func (q queries) apart(b *strings.Builder) {
	b.WriteString("apart AS (\n  SELECT *")
	for i, m := range q.spec.Metrics {
		bn, sn := q.summand(m, "b", i), q.summand(m, "s", i)
		fmt.Fprintf(b, ",\n    %s - %s AS d%d, GREATEST(ABS(%s), ABS(%s)) AS v%d", sn, bn, i, bn, sn, i)
		if m.Value == "FLOAT64" {
			fmt.Fprintf(b, ",\n    IF(%s, 0, 1) AS skipped%d", finite(i), i)
		}
	}
	b.WriteString("\n  FROM keyed\n),\n")
}

// summand is a side's value as it is summed.
func (q queries) summand(m jobspecs.Metric, side string, i int) string {
	if m.Value == "FLOAT64" {
		return fmt.Sprintf("IF(%s, COALESCE(%s%d, 0), 0)", finite(i), side, i)
	}
	return fmt.Sprintf("COALESCE(%s, 0)", q.widened(m, side, i))
}

func (q queries) widened(m jobspecs.Metric, side string, i int) string {
	if wideType(m.Value) == m.Value {
		return fmt.Sprintf("%s%d", side, i)
	}
	return fmt.Sprintf("CAST(%s%d AS %s)", side, i, wideType(m.Value))
}

// finite is true of a key of which neither value is NaN or infinite.
func finite(i int) string {
	return fmt.Sprintf("NOT IFNULL(IS_NAN(b%[1]d) OR IS_INF(b%[1]d), FALSE) AND NOT IFNULL(IS_NAN(s%[1]d) OR IS_INF(s%[1]d), FALSE)", i)
}

// classed gives every key its class.
func (q queries) classed(b *strings.Builder) {
	q.apart(b)
	b.WriteString("classed AS (\n  SELECT *,\n    CASE\n")
	fmt.Fprintf(b, "      WHEN ignored IS NOT NULL THEN '%s'\n", classIgnored)
	fmt.Fprintf(b, "      WHEN %s THEN '%s'\n", strings.Join(q.nonunique(), " OR "), ClassNonunique)
	fmt.Fprintf(b, "      WHEN batch_rows = 0 THEN '%s'\n", ClassExtra)
	fmt.Fprintf(b, "      WHEN stream_rows = 0 THEN '%s'\n", ClassMissing)
	var equal, near []string
	tolerant := false
	for i, m := range q.spec.Metrics {
		equal = append(equal, exactly(m, i))
		near = append(near, tolerably(m, i))
		tolerant = tolerant || m.Tolerance.Given()
	}
	fmt.Fprintf(b, "      WHEN %s THEN '%s'\n", strings.Join(equal, " AND "), ClassExact)
	if tolerant {
		fmt.Fprintf(b, "      WHEN %s THEN '%s'\n", strings.Join(near, "\n        AND "), ClassTolerated)
	}
	fmt.Fprintf(b, "      ELSE '%s'\n    END AS class\n  FROM apart\n),\n", ClassMismatch)
}

// nonunique are the ways in which a key is not what a side may hold.
func (q queries) nonunique() []string {
	ways := []string{"conflicts > 0"}
	if q.batch.unique {
		ways = append(ways, "batch_rows > 1")
	}
	if q.stream.unique && !q.stream.writers {
		ways = append(ways, "stream_rows > 1")
	}
	return ways
}

// exactly is true of two values of metric i that are equal. FLOAT64 never is: two
// of its values that are the same may have come from different ones (invariant
// C2). Only where neither side has a value there is nothing to tolerate.
func exactly(m jobspecs.Metric, i int) string {
	switch {
	case m.Value == "FLOAT64":
		return fmt.Sprintf("b%d IS NULL AND s%d IS NULL", i, i)
	case m.Nulls == "zero":
		return fmt.Sprintf("COALESCE(b%d, 0) = COALESCE(s%d, 0)", i, i)
	}
	return fmt.Sprintf("b%d IS NOT DISTINCT FROM s%d", i, i)
}

// tolerably is true of two values of metric i that are equal or within its
// tolerance. It is never NULL.
func tolerably(m jobspecs.Metric, i int) string {
	if !m.Tolerance.Given() {
		return exactly(m, i)
	}
	var when strings.Builder
	if m.Nulls != "zero" {
		fmt.Fprintf(&when, "WHEN b%d IS NULL OR s%d IS NULL THEN b%d IS NULL AND s%d IS NULL ", i, i, i, i)
	}
	if m.Value == "FLOAT64" {
		// NaN equals NaN, and an infinity itself; neither is near anything else.
		fmt.Fprintf(&when, "WHEN IFNULL(IS_NAN(b%[1]d), FALSE) OR IFNULL(IS_NAN(s%[1]d), FALSE) THEN IFNULL(IS_NAN(b%[1]d) AND IS_NAN(s%[1]d), FALSE) ", i)
		fmt.Fprintf(&when, "WHEN IFNULL(IS_INF(b%[1]d), FALSE) OR IFNULL(IS_INF(s%[1]d), FALSE) THEN IFNULL(b%[1]d = s%[1]d, FALSE) ", i)
	}
	if when.Len() == 0 {
		return "(" + nearEnough(m, i) + ")"
	}
	return fmt.Sprintf("CASE %sELSE %s END", when.String(), nearEnough(m, i))
}

// tolerances are the parameters of tolerated.
func (q queries) tolerances() []bigquery.QueryParameter {
	var params []bigquery.QueryParameter
	for i, m := range q.spec.Metrics {
		if m.Tolerance.Absolute != "" {
			params = append(params, bigquery.QueryParameter{Name: fmt.Sprintf("absolute%d", i), Value: absoluteBound(m)})
		}
		if m.Tolerance.Relative != "" {
			params = append(params, bigquery.QueryParameter{Name: fmt.Sprintf("relative%d", i), Value: relativeBound(m)})
		}
	}
	return params
}

// grouped makes totals, windows, segments, ignored writers and single keys from
// one pass over the classed keys. Keys that do not differ have no value in the
// columns x0… and xw, so that they are few groups instead of one each.
func (q queries) grouped(b *strings.Builder) {
	keys := q.keyAliases()
	differing := fmt.Sprintf("class IN ('%s')", strings.Join(classesThatDiffer, "', '"))
	b.WriteString("marked AS (\n  SELECT *")
	xs := make([]string, len(keys))
	for i, k := range keys {
		xs[i] = fmt.Sprintf("x%d", i)
		fmt.Fprintf(b, ",\n    IF(%s, %s, NULL) AS %s", differing, k, xs[i])
	}
	fmt.Fprintf(b, ",\n    IF(%s, w, NULL) AS xw\n  FROM classed\n),\n", differing)
	columns := strings.Join(keys, ", ") + ", w, ignored, " + strings.Join(xs, ", ") + ", xw"
	fmt.Fprintf(b, "tallied AS (\n  SELECT\n    CASE\n      WHEN GROUPING(xw) = 0 THEN '%s'\n      WHEN GROUPING(ignored) = 0 THEN '%s'\n      WHEN GROUPING(w) = 0 THEN '%s'\n",
		levelKey, levelWriter, levelWindow)
	sets := []string{"(class)", "(w, class)", "(ignored, class)", "(" + strings.Join(xs, ", ") + ", xw, class)"}
	for n, names := range q.segments() {
		in := map[string]bool{}
		for _, name := range names {
			in[keys[q.keyIndex(name)]] = true
		}
		var set, when []string
		for _, k := range keys {
			grouping := 1
			if in[k] {
				set, grouping = append(set, k), 0
			}
			when = append(when, fmt.Sprintf("GROUPING(%s) = %d", k, grouping))
		}
		sets = append(sets, "("+strings.Join(set, ", ")+", class)")
		fmt.Fprintf(b, "      WHEN %s THEN '%s%d'\n", strings.Join(when, " AND "), levelSegment, n)
	}
	fmt.Fprintf(b, "      ELSE '%s'\n    END AS level,\n    %s, class, COUNT(*) AS keys", levelTotal, columns)
	for _, c := range counters {
		fmt.Fprintf(b, ",\n    SUM(%s) AS %s", c, c)
	}
	for i, m := range q.spec.Metrics {
		fmt.Fprintf(b, ",\n    SUM(%s) AS batch%d, SUM(%s) AS stream%d, SUM(d%d) AS diff%d, SUM(ABS(d%d)) AS abs%d, SUM(v%d) AS weight%d",
			q.total(m, "b", i), i, q.total(m, "s", i), i, i, i, i, i, i, i)
		if m.Value == "FLOAT64" {
			// A single key's values, whatever they are, travel as text.
			fmt.Fprintf(b, ",\n    SUM(skipped%[1]d) AS skipped%[1]d, MAX(IF(%[2]s, CAST(b%[1]d AS STRING), NULL)) AS batch_text%[1]d, MAX(IF(%[2]s, CAST(s%[1]d AS STRING), NULL)) AS stream_text%[1]d", i, differing)
		}
	}
	fmt.Fprintf(b, "\n  FROM marked\n  GROUP BY GROUPING SETS (%s)\n),\n", strings.Join(sets, ", "))

	fmt.Fprintf(b, "leveled AS (\n  SELECT *, IF(level = '%s', class, NULL) AS of_class\n  FROM tallied\n),\n", levelKey)
	fmt.Fprintf(b, "grouped AS (\n  SELECT\n    level, %s, of_class,\n    SUM(IF(%s, keys, 0)) AS differing", columns, differing)
	for _, c := range Classes {
		fmt.Fprintf(b, ",\n    SUM(IF(class = '%s', keys, 0)) AS %s_keys", c, c)
	}
	for _, c := range counters {
		fmt.Fprintf(b, ",\n    SUM(%s) AS %s", c, c)
	}
	for i, m := range q.spec.Metrics {
		fmt.Fprintf(b, ",\n    SUM(batch%[1]d) AS batch%[1]d, SUM(stream%[1]d) AS stream%[1]d, SUM(diff%[1]d) AS diff%[1]d, SUM(abs%[1]d) AS abs%[1]d", i)
		for _, c := range Classes {
			fmt.Fprintf(b, ",\n    SUM(IF(class = '%s', weight%d, 0)) AS %s%d", c, i, c, i)
		}
		if m.Value == "FLOAT64" {
			fmt.Fprintf(b, ",\n    SUM(skipped%[1]d) AS skipped%[1]d, MAX(batch_text%[1]d) AS batch_text%[1]d, MAX(stream_text%[1]d) AS stream_text%[1]d", i)
		}
	}
	fmt.Fprintf(b, "\n  FROM leveled\n  GROUP BY level, %s, of_class\n)\n", columns)
}

// total is a side's value in the sums of a side. A FLOAT64 that is not finite
// leaves the key out on both sides, so that the totals are apart by the
// difference.
func (q queries) total(m jobspecs.Metric, side string, i int) string {
	if m.Value == "FLOAT64" {
		return fmt.Sprintf("IF(skipped%d = 0, %s%d, NULL)", i, side, i)
	}
	return q.widened(m, side, i)
}

// classesThatDiffer are those of keys that are neither exact nor tolerated.
var classesThatDiffer = []string{ClassMismatch, ClassMissing, ClassExtra, ClassNonunique}

// counters are the whole numbers that add up over keys.
var counters = []string{"batch_rows", "stream_rows", "ignored_rows", "copies", "conflicts", "batch_bytes", "stream_bytes"}
