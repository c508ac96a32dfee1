package compare

import (
	"fmt"
	"strings"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Bounds on what the reconciliation query returns, so that memory does not
// grow with the tables.
const (
	maxDifferingKeys = 100_000 // keys that evidence is looked for
	maxWindows       = 100_000
	maxWriters       = 1_000
	maxSegments      = 20 // values per key column
)

// Levels of the rows that the reconciliation query returns.
const (
	levelTotal   = "total"
	levelWindow  = "window"
	levelWriter  = "writer" // rows of a writer that do not count
	levelKey     = "key"    // a key that is not exact
	levelSegment = "segment"
)

const classIgnored = "ignored" // rows that do not count, by their writer's standing; never in a result

// queries builds the SQL of one comparison. Key columns are aliased k0…,
// metrics m0…, so that names of the user never clash with ours.
type queries struct {
	spec *jobspecs.ComparisonSpec
	// rollup is the set of dimensions whose rows are compared, where the stream's
	// table holds several; nil: it does not.
	rollup *string
}

// newQueries checks every identifier.
func newQueries(spec *jobspecs.ComparisonSpec) (queries, error) {
	q := queries{spec: spec}
	type ident struct {
		what, name string
		check      func(what, name string) error
	}
	dataset := func(what, name string) error { return checkIdentifier(what, name, datasetPattern) }
	tableName := func(what, name string) error { return checkIdentifier(what, name, tablePattern) }
	columnName := func(what, name string) error { return checkIdentifier(what, name, columnPattern) }
	all := []ident{
		{"project", spec.Project, func(what, name string) error { return checkIdentifier(what, name, projectPattern) }},
		{"dataset", spec.Dataset, dataset},
		{"batch.table", spec.Batch.Table, tableName},
		{"stream.table", spec.Stream.Table, tableName},
	}
	if spec.Evidence.Raw != "" {
		all = append(all, ident{"evidence.raw", spec.Evidence.Raw, tableName})
	}
	if spec.Evidence.Late != "" {
		all = append(all, ident{"evidence.late", spec.Evidence.Late, tableName})
	}
	for _, k := range spec.Keys {
		all = append(all, ident{"key column", k.Name, columnName})
	}
	for _, m := range spec.Metrics {
		all = append(all, ident{"metric column", m.Name, columnName})
		if m.Field != "" {
			all = append(all, ident{"metric field", m.Field, columnName})
		}
	}
	for _, i := range all {
		if err := i.check(i.what, i.name); err != nil {
			return queries{}, err
		}
	}
	return q, nil
}

func (q queries) table(name string) table {
	return quoteTable(q.spec.Project, q.spec.Dataset, name)
}

// generations returns the newest row of every writer.
func (q queries) generations() string {
	return fmt.Sprintf(`SELECT job, generation, kind, state, supersedes, recorded_at, seq, job_group, window_from, window_to
FROM %s
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY job, generation ORDER BY recorded_at DESC, seq DESC) = 1
ORDER BY job, generation`, q.table(tables.Generations))
}

// watermarks returns the newest row of every job and generation of @group.
func (q queries) watermarks() string {
	return fmt.Sprintf(`SELECT job_group, job, generation, watermark, at_maximum, observed_at
FROM %s
WHERE job_group = @group
QUALIFY ROW_NUMBER() OVER (PARTITION BY job, generation ORDER BY observed_at DESC) = 1
ORDER BY job, generation`, q.table(tables.Watermarks))
}

// batchLoads returns the newest load of every range of @target, and how often
// the range was loaded.
func (q queries) batchLoads() string {
	return fmt.Sprintf("SELECT `load`, target, range_start, range_end, row_count, source, job_id, loaded_at,"+`
  COUNT(*) OVER (PARTITION BY range_start, range_end) AS loads
FROM %s
WHERE target = @target
QUALIFY ROW_NUMBER() OVER (PARTITION BY range_start, range_end ORDER BY loaded_at DESC) = 1
ORDER BY range_start, range_end`, q.table(tables.BatchLoads))
}

// reconcile is the one query that reads both sides (invariant C1): each table
// is named once, and each CTE is used once, for a CTE that is used twice is
// read twice.
//
// Parameters: @from, @to TIMESTAMP; with several settled spans also @from0,
// @to0…; those of rowsThatCount.
func (q queries) reconcile(spans int, counting rowsThatCount) string {
	var b strings.Builder
	b.WriteString("WITH\n")
	q.streamRows(&b, spans, counting)
	q.sides(&b, spans, counting)
	q.keyed(&b)
	q.classed(&b)
	q.grouped(&b)
	keys := strings.Join(q.keyAliases(), ", ")
	fmt.Fprintf(&b, `SELECT *
FROM grouped
WHERE (level != '%s' OR class NOT IN ('%s', '%s'))
  AND (level != '%s' OR ignored IS NOT NULL)
QUALIFY ROW_NUMBER() OVER (PARTITION BY level ORDER BY differing DESC, w, %s, ignored) <=
  CASE level WHEN '%s' THEN %d WHEN '%s' THEN %d WHEN '%s' THEN %d ELSE %d END
`, levelKey, ClassExact, classIgnored, levelWriter, keys,
		levelKey, maxDifferingKeys, levelWindow, maxWindows, levelWriter, maxWriters, maxSegments+1)
	return b.String()
}

func (q queries) keyAliases() []string {
	aliases := make([]string, len(q.spec.Keys))
	for i := range aliases {
		aliases[i] = fmt.Sprintf("k%d", i)
	}
	return aliases
}

// inScope compares the bare partition column with parameters: a function
// around it would defeat pruning.
func inScope(column string, spans int) string {
	s := fmt.Sprintf("%s >= @from AND %s < @to", column, column)
	if spans < 2 {
		return s
	}
	parts := make([]string, spans)
	for i := range parts {
		parts[i] = fmt.Sprintf("%s >= @from%d AND %s < @to%d", column, i, column, i)
	}
	return s + "\n    AND (" + strings.Join(parts, " OR ") + ")"
}

// size is the bytes that BigQuery charges for a value.
func size(column, typ string) string {
	if typ == "STRING" {
		return fmt.Sprintf("IF(%s IS NULL, 0, 2 + BYTE_LENGTH(%s))", column, column)
	}
	return fmt.Sprintf("IF(%s IS NULL, 0, 8)", column)
}

// rowSize is the bytes of the columns that are read of one row of a side.
func (q queries) rowSize(writer bool) string {
	parts := []string{"8"} // window_start
	for _, k := range q.spec.Keys {
		parts = append(parts, size(column(k.Name), k.Type))
	}
	for _, m := range q.spec.Metrics {
		parts = append(parts, size(column(m.Name), "INT64"))
	}
	if writer {
		parts = append(parts, "2 + BYTE_LENGTH(job)", "8", "8") // job, generation, pane
		if q.rollup != nil {
			parts = append(parts, size(column(jobspecs.RollupColumn), "STRING"))
		}
	}
	return strings.Join(parts, " + ")
}

// streamRows keeps one row per key, window, writer and pane (invariant P1): the
// sink may write a row twice. Copies that differ are a conflict. A row that
// does not count has its writer in the column ignored (invariant P2).
func (q queries) streamRows(b *strings.Builder, spans int, counting rowsThatCount) {
	b.WriteString("panes AS (\n  SELECT\n")
	for i, k := range q.spec.Keys {
		fmt.Fprintf(b, "    %s AS k%d,\n", column(k.Name), i)
	}
	b.WriteString("    window_start AS w, pane,\n")
	fmt.Fprintf(b, "    IF(%s, NULL, %s) AS ignored,\n", counting.predicate(writerExpression, "window_start"), writerExpression)
	var conflicts []string
	for i, m := range q.spec.Metrics {
		c := column(m.Name)
		fmt.Fprintf(b, "    MIN(%s) AS m%d,\n", c, i)
		conflicts = append(conflicts, fmt.Sprintf("MIN(%s) != MAX(%s) OR COUNT(%s) NOT IN (0, COUNT(*))", c, c, c))
	}
	fmt.Fprintf(b, "    IF(%s, 1, 0) AS conflict,\n", strings.Join(conflicts, " OR "))
	fmt.Fprintf(b, "    COUNT(*) - 1 AS copies,\n    SUM(%s) AS bytes\n", q.rowSize(true))
	fmt.Fprintf(b, "  FROM %s\n  WHERE %s%s\n  GROUP BY ", q.table(q.spec.Stream.Table), inScope("window_start", spans), q.inRollup("@rollup"))
	for _, k := range q.spec.Keys {
		b.WriteString(column(k.Name) + ", ")
	}
	b.WriteString("window_start, job, generation, pane\n),\n")
}

// inRollup keeps the rows of the compared set of dimensions: every event is in
// each set once. invariant P2
func (q queries) inRollup(value string) string {
	if q.rollup == nil {
		return ""
	}
	return " AND " + column(jobspecs.RollupColumn) + " = " + value
}

// sides puts both sides under each other with counters of presence: keys meet
// in a GROUP BY, which takes NULL for a value like any other and cannot
// multiply rows as a join does.
func (q queries) sides(b *strings.Builder, spans int, counting rowsThatCount) {
	b.WriteString("sides AS (\n  SELECT\n")
	for i, k := range q.spec.Keys {
		fmt.Fprintf(b, "    %s AS k%d,\n", column(k.Name), i)
	}
	b.WriteString("    window_start AS w, CAST(NULL AS STRING) AS ignored,\n")
	b.WriteString("    1 AS batch_rows, 0 AS stream_rows, 0 AS ignored_rows, 0 AS copies, 0 AS conflicts,\n")
	fmt.Fprintf(b, "    %s AS batch_bytes, 0 AS stream_bytes", q.rowSize(false))
	for i, m := range q.spec.Metrics {
		fmt.Fprintf(b, ",\n    %s AS b%d, CAST(NULL AS INT64) AS s%d", column(m.Name), i, i)
	}
	fmt.Fprintf(b, "\n  FROM %s\n  UNION ALL\n  SELECT\n    ", q.batchRows(spans, counting))
	for _, k := range q.keyAliases() {
		b.WriteString(k + ", ")
	}
	b.WriteString("w, ignored,\n")
	b.WriteString("    0, IF(ignored IS NULL, 1, 0), IF(ignored IS NULL, 0, 1), copies, conflict,\n    0, bytes")
	for i := range q.spec.Metrics {
		fmt.Fprintf(b, ",\n    CAST(NULL AS INT64), IF(ignored IS NULL, m%d, NULL)", i)
	}
	b.WriteString("\n  FROM panes\n),\n")
}

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

// classed gives every key its class. NUMERIC keeps differences and weights
// exact where INT64 would overflow (invariant C2).
func (q queries) classed(b *strings.Builder) {
	b.WriteString("classed AS (\n  SELECT *,\n    CASE\n")
	fmt.Fprintf(b, "      WHEN ignored IS NOT NULL THEN '%s'\n", classIgnored)
	fmt.Fprintf(b, "      WHEN batch_rows > 1 OR conflicts > 0 THEN '%s'\n", ClassNonunique)
	fmt.Fprintf(b, "      WHEN batch_rows = 0 THEN '%s'\n", ClassExtra)
	fmt.Fprintf(b, "      WHEN stream_rows = 0 THEN '%s'\n", ClassMissing)
	equal := make([]string, len(q.spec.Metrics))
	for i := range equal {
		equal[i] = fmt.Sprintf("b%d IS NOT DISTINCT FROM s%d", i, i)
	}
	fmt.Fprintf(b, "      WHEN %s THEN '%s'\n      ELSE '%s'\n    END AS class", strings.Join(equal, " AND "), ClassExact, ClassMismatch)
	for i := range q.spec.Metrics {
		bn := fmt.Sprintf("CAST(COALESCE(b%d, 0) AS NUMERIC)", i)
		sn := fmt.Sprintf("CAST(COALESCE(s%d, 0) AS NUMERIC)", i)
		fmt.Fprintf(b, ",\n    %s - %s AS d%d, GREATEST(ABS(%s), ABS(%s)) AS v%d", sn, bn, i, bn, sn, i)
	}
	b.WriteString("\n  FROM keyed\n),\n")
}

// grouped makes totals, windows, segments, ignored writers and single keys
// from one pass over the classed keys.
func (q queries) grouped(b *strings.Builder) {
	keys := strings.Join(q.keyAliases(), ", ")
	fmt.Fprintf(b, "grouped AS (\n  SELECT\n    CASE\n      WHEN GROUPING(class) = 0 THEN '%s'\n", levelKey)
	fmt.Fprintf(b, "      WHEN GROUPING(ignored) = 0 THEN '%s'\n      WHEN GROUPING(w) = 0 THEN '%s'\n", levelWriter, levelWindow)
	for i := range q.spec.Keys {
		fmt.Fprintf(b, "      WHEN GROUPING(k%d) = 0 THEN '%s%d'\n", i, levelSegment, i)
	}
	fmt.Fprintf(b, "      ELSE '%s'\n    END AS level,\n    %s, w, ignored, class,\n", levelTotal, keys)
	fmt.Fprintf(b, "    COUNTIF(class NOT IN ('%s', '%s')) AS differing,\n", ClassExact, classIgnored)
	for _, c := range Classes {
		fmt.Fprintf(b, "    COUNTIF(class = '%s') AS %s_keys,\n", c, c)
	}
	b.WriteString("    SUM(batch_rows) AS batch_rows, SUM(stream_rows) AS stream_rows, SUM(ignored_rows) AS ignored_rows,\n")
	b.WriteString("    SUM(copies) AS copies, SUM(conflicts) AS conflicts,\n")
	b.WriteString("    SUM(batch_bytes) AS batch_bytes, SUM(stream_bytes) AS stream_bytes")
	for i := range q.spec.Metrics {
		fmt.Fprintf(b, ",\n    SUM(CAST(b%d AS NUMERIC)) AS batch%d, SUM(CAST(s%d AS NUMERIC)) AS stream%d", i, i, i, i)
		fmt.Fprintf(b, ",\n    SUM(IF(class = '%s', 0, d%d)) AS diff%d, SUM(IF(class = '%s', 0, ABS(d%d))) AS abs%d", classIgnored, i, i, classIgnored, i, i)
		for _, c := range Classes {
			fmt.Fprintf(b, ",\n    SUM(IF(class = '%s', v%d, 0)) AS %s%d", c, i, c, i)
		}
	}
	fmt.Fprintf(b, "\n  FROM classed\n  GROUP BY GROUPING SETS ((), (w), (ignored), (%s, w, class)", keys)
	for _, k := range q.keyAliases() {
		fmt.Fprintf(b, ", (%s)", k)
	}
	b.WriteString(")\n)\n")
}
