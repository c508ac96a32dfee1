package compare

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// kappa's own names in the queries are short: keys k0…, metrics m0…, windows w.
// What a side calls its columns is seen in the innermost SELECT alone, so that
// its names never clash with ours.

// suffixes of the parameters that hold bounds as the time column's type has them.
var boundSuffix = map[bigquery.FieldType]string{bigquery.TimestampFieldType: "", bigquery.DateTimeFieldType: "_datetime", bigquery.DateFieldType: "_date"}

// inBounds compares the bare partition column with parameters of its own type: a
// function around it would defeat pruning.
func inBounds(column, suffix string, spans int) string {
	s := fmt.Sprintf("%s >= @from%s AND %s < @to%s", column, suffix, column, suffix)
	if spans < 2 {
		return s
	}
	parts := make([]string, spans)
	for i := range parts {
		parts[i] = fmt.Sprintf("%s >= @from%d%s AND %s < @to%d%s", column, i, suffix, column, i, suffix)
	}
	return s + "\n    AND (" + strings.Join(parts, " OR ") + ")"
}

// boundParams are the bounds of spans as parameters: as TIMESTAMP, and for a time
// column of another type as what it holds for the window that begins there.
func (q queries) boundParams(spans []Range) []bigquery.QueryParameter {
	whole := Range{spans[0].From, spans[len(spans)-1].To}
	named := []struct {
		number string
		span   Range
	}{{"", whole}}
	if len(spans) > 1 {
		for i, s := range spans {
			named = append(named, struct {
				number string
				span   Range
			}{fmt.Sprint(i), s})
		}
	}
	var params []bigquery.QueryParameter
	for _, t := range []bigquery.FieldType{bigquery.TimestampFieldType, bigquery.DateTimeFieldType, bigquery.DateFieldType} {
		if t != bigquery.TimestampFieldType && q.batch.timed != t && q.stream.timed != t {
			continue
		}
		for _, n := range named {
			params = append(params, bigquery.QueryParameter{Name: "from" + n.number + boundSuffix[t], Value: q.bound(n.span.From, t)},
				bigquery.QueryParameter{Name: "to" + n.number + boundSuffix[t], Value: q.bound(n.span.To, t)})
		}
	}
	if q.windowing.zone == nil {
		return params
	}
	for _, t := range []bigquery.FieldType{bigquery.DateTimeFieldType, bigquery.DateFieldType} {
		if q.batch.timed != t && q.stream.timed != t {
			continue
		}
		for i, s := range q.shifts {
			by := s.by
			if t == bigquery.DateFieldType {
				by += q.windowing.offset
			}
			params = append(params, bigquery.QueryParameter{Name: fmt.Sprintf("shift%d%s", i, boundSuffix[t]), Value: by.Microseconds()})
			if !s.until.IsZero() {
				until := any(civil.DateTimeOf(s.until))
				if t == bigquery.DateFieldType {
					until = civil.DateOf(s.until.Add(-q.windowing.offset))
				}
				params = append(params, bigquery.QueryParameter{Name: fmt.Sprintf("until%d%s", i, boundSuffix[t]), Value: until})
			}
		}
	}
	return params
}

// bound is the start of a window as a value of a time column.
func (q queries) bound(start time.Time, t bigquery.FieldType) any {
	switch t {
	case bigquery.DateTimeFieldType:
		return civil.DateTimeOf(q.windowing.clock(start))
	case bigquery.DateFieldType:
		return civil.DateOf(q.windowing.date(start))
	}
	return start.UTC()
}

// windowStart is the start of the window as a TIMESTAMP. BigQuery and Go may know
// different rules of a time zone, so where clocks change is a parameter.
func (q queries) windowStart(s side) string {
	switch {
	case s.timed == bigquery.TimestampFieldType:
		return s.time
	case q.windowing.zone == nil && (s.timed == bigquery.DateTimeFieldType || q.windowing.offset == 0):
		return "TIMESTAMP(" + s.time + ")"
	case q.windowing.zone == nil:
		return fmt.Sprintf("TIMESTAMP_ADD(TIMESTAMP(%s), INTERVAL %d MICROSECOND)", s.time, q.windowing.offset.Microseconds())
	}
	suffix, by := boundSuffix[s.timed], ""
	for i, shift := range q.shifts {
		if shift.until.IsZero() {
			by += fmt.Sprintf("@shift%d%s", i, suffix)
			break
		}
		by += fmt.Sprintf("IF(%s < @until%d%s, @shift%d%s, ", s.time, i, suffix, i, suffix)
	}
	by += strings.Repeat(")", len(q.shifts)-1)
	if s.timed == bigquery.DateTimeFieldType {
		// A clock time at which no window starts must not become the start of one where
		// clocks change: it is moved off it, and refused (invariant C4).
		by = fmt.Sprintf("(%s) + IF(MOD(UNIX_MICROS(TIMESTAMP(%s)) - %d, %d) = 0, 0, 1)", by, s.time, q.windowing.offset.Microseconds(), day.Microseconds())
	}
	return fmt.Sprintf("TIMESTAMP_ADD(TIMESTAMP(%s), INTERVAL %s MICROSECOND)", s.time, by)
}

// rows reads a side: its keys and metrics in the compared types, the window, and
// the writer where there is one. It is the one place that names the table
// (invariant C1), and the only one that holds texts of the spec.
func (q queries) rows(b *strings.Builder, s side, spans int) {
	fmt.Fprintf(b, "%s_rows AS (\n  SELECT\n", s.role)
	for i, k := range s.keys {
		fmt.Fprintf(b, "    %s AS k%d,\n", k.value(), i)
	}
	fmt.Fprintf(b, "    %s AS w,\n", q.windowStart(s))
	if s.writers {
		b.WriteString("    `job` AS job, `generation` AS generation, `pane` AS pane,\n")
	}
	values := make([]string, len(s.metrics))
	for i, m := range s.metrics {
		values[i] = fmt.Sprintf("    %s AS m%d", m.value(), i)
	}
	fmt.Fprintf(b, "%s\n  FROM %s\n  WHERE %s", strings.Join(values, ",\n"), s.from, inBounds(s.time, boundSuffix[s.timed], spans))
	if s.where != "" {
		fmt.Fprintf(b, "\n    AND (%s)", s.where)
	}
	if s.writers {
		b.WriteString(q.inRollup("@rollup"))
	}
	b.WriteString("\n),\n")
}

// inRollup keeps the rows of the compared set of dimensions: every event is in
// each set once. invariant P2
func (q queries) inRollup(value string) string {
	if q.rollup == nil {
		return ""
	}
	return " AND " + column(jobspecs.RollupColumn) + " = " + value
}

// streamRows keeps one row per key, window, writer and pane (invariant P1): the
// sink may write a row twice. Copies that differ are a conflict. A row that
// does not count has its writer in the column ignored (invariant P2).
func (q queries) streamRows(b *strings.Builder, spans int, counting rowsThatCount) {
	q.rows(b, q.stream, spans)
	if !q.stream.writers {
		return
	}
	keys := strings.Join(q.keyAliases(), ", ")
	fmt.Fprintf(b, "panes AS (\n  SELECT\n    %s, w, pane,\n", keys)
	fmt.Fprintf(b, "    IF(%s, NULL, %s) AS ignored,\n", counting.predicate(writerExpression, "w"), writerExpression)
	var conflicts []string
	for i := range q.spec.Metrics {
		fmt.Fprintf(b, "    MIN(m%d) AS m%d,\n", i, i)
		conflicts = append(conflicts, fmt.Sprintf("MIN(m%d) != MAX(m%d) OR COUNT(m%d) NOT IN (0, COUNT(*))", i, i, i))
	}
	fmt.Fprintf(b, "    %s AS conflict,\n", strings.Join(conflicts, " OR "))
	fmt.Fprintf(b, "    COUNT(*) - 1 AS copies\n  FROM stream_rows\n  GROUP BY %s, w, job, generation, pane\n),\n", keys)
}

// sides puts both sides under each other; old says of a row that it is the batch
// side's. Keys meet in a GROUP BY, which takes NULL for a value like any other and
// cannot multiply rows as a join does.
func (q queries) sides(b *strings.Builder, spans int, counting rowsThatCount) {
	q.rows(b, q.batch, spans)
	columns := strings.Join(q.keyAliases(), ", ") + ", w"
	var metrics strings.Builder
	for i := range q.spec.Metrics {
		fmt.Fprintf(&metrics, ", m%d", i)
	}
	batch, stream, from := "TRUE AS old", "FALSE", "stream_rows"
	if q.stream.writers {
		batch += ", CAST(NULL AS STRING) AS ignored, 0 AS copies, FALSE AS conflict"
		stream, from = stream+", ignored, copies, conflict", "panes"
	}
	fmt.Fprintf(b, "sides AS (\n  SELECT %s, %s%s\n  FROM %s\n  UNION ALL\n  SELECT %s, %s%s\n  FROM %s\n),\n",
		columns, batch, metrics.String(), q.batchRows(counting), columns, stream, metrics.String(), from)
}

// batchRows is what counts of the batch side: its rows, or, of a shadow, those of
// writers that count, each once (invariants P1 and P2). Two that differ stay two,
// and make their key nonunique.
func (q queries) batchRows(counting rowsThatCount) string {
	if !q.batch.writers {
		return "batch_rows"
	}
	columns := slices.Concat(q.keyAliases(), []string{"w", "job", "generation", "pane"})
	for i := range q.spec.Metrics {
		columns = append(columns, fmt.Sprintf("m%d", i))
	}
	return fmt.Sprintf("(\n    SELECT DISTINCT %s\n    FROM batch_rows\n    WHERE %s\n  )", strings.Join(columns, ", "), counting.predicate(writerExpression, "w"))
}
