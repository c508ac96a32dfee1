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

// keyed makes one row of each key and window.
func (q queries) keyed(b *strings.Builder) {
	by := strings.Join(q.keyAliases(), ", ") + ", w"
	if q.stream.writers {
		by += ", ignored"
	}
	fmt.Fprintf(b, "keyed AS (\n  SELECT\n    %s,\n    COUNTIF(old) AS batch_rows, COUNTIF(NOT old) AS stream_rows", by)
	if q.stream.writers {
		b.WriteString(", SUM(copies) AS copies, COUNTIF(conflict) AS conflicts")
	}
	for i, m := range q.spec.Metrics {
		fmt.Fprintf(b, ",\n    %s(IF(old, m%d, NULL)) AS b%d, %s(IF(NOT old, m%d, NULL)) AS s%d", merge(m), i, i, merge(m), i, i)
	}
	fmt.Fprintf(b, "\n  FROM sides\n  GROUP BY %s\n),\n", by)
}

// apart subtracts the sides in a type that neither overflows nor rounds
// (invariant C2). What is absent counts as 0. FLOAT64 that is not finite has no
// part in any sum: it is counted instead.
func (q queries) apart(b *strings.Builder) {
	b.WriteString("apart AS (\n  SELECT *")
	for i, m := range q.spec.Metrics {
		bn, sn := q.summand(m, "b", i), q.summand(m, "s", i)
		d, v := fmt.Sprintf("ABS(%s - %s)", sn, bn), fmt.Sprintf("GREATEST(ABS(%s), ABS(%s))", bn, sn)
		if m.Value == "FLOAT64" {
			fmt.Fprintf(b, ",\n    %s AS d%d, %s AS v%d, IF(%s, 0, 1) AS skipped%d", d, i, v, i, finite(i), i)
			continue
		}
		// Of most keys both sides are equal, and what is short to compute.
		fmt.Fprintf(b, ",\n    IF(b%[1]d = s%[1]d, 0, %[2]s) AS d%[1]d, IF(b%[1]d = s%[1]d, ABS(%[3]s), %[4]s) AS v%[1]d", i, d, q.widened(m, "b", i), v)
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
	if q.stream.writers {
		fmt.Fprintf(b, "      WHEN ignored IS NOT NULL THEN '%s'\n", classIgnored)
	}
	if ways := q.nonunique(); len(ways) > 0 {
		fmt.Fprintf(b, "      WHEN %s THEN '%s'\n", strings.Join(ways, " OR "), ClassNonunique)
	}
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
	var ways []string
	if q.stream.writers {
		ways = append(ways, "conflicts > 0")
	}
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

// classesThatDiffer are those of keys that are neither exact nor tolerated.
var classesThatDiffer = []string{ClassMismatch, ClassMissing, ClassExtra, ClassNonunique}

// differs is true of their keys.
var differs = fmt.Sprintf("class IN ('%s')", strings.Join(classesThatDiffer, "', '"))
