package compare

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// Levels of the rows that the reconciliation query returns. A row is of one class:
// what there is of a total, a window or a value of a segment is in as many rows as
// it has classes.
const (
	levelTotal   = "total"
	levelWindow  = "window"
	levelWriter  = "writer"  // rows of a writer that do not count
	levelKey     = "key"     // a key that is not exact
	levelSegment = "segment" // and its number
)

// levelFine is of the rows from which totals, windows, writers and keys are made.
const levelFine = "fine"

const classIgnored = "ignored" // rows that do not count, by their writer's standing; never in a result

// counters are the whole numbers that add up over keys.
func (q queries) counters() []string {
	all := []string{"batch_rows", "stream_rows"}
	if q.stream.writers {
		all = append(all, "copies", "conflicts")
	}
	return all
}

// levels makes totals, windows, segments, ignored writers and single keys from one
// pass over the classed keys. The first CTE sums the many keys: by window, and by
// the values of each segment. Keys that do not differ have no value in the columns
// x0…, so that they are few groups there instead of one each. The second makes all
// other levels from those few.
func (q queries) levels(b *strings.Builder) {
	keys := q.keyAliases()
	columns := "w"
	if q.stream.writers {
		columns += ", ignored"
	}
	b.WriteString("marked AS (\n  SELECT *")
	xs, ys := make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		xs[i], ys[i] = fmt.Sprintf("x%d", i), fmt.Sprintf("y%d", i)
		fmt.Fprintf(b, ",\n    IF(%s, %s, NULL) AS %s", differs, k, xs[i])
	}
	b.WriteString("\n  FROM classed\n),\n")

	fmt.Fprintf(b, "tallied AS (\n  SELECT\n    CASE\n      WHEN GROUPING(w) = 0 THEN '%s'\n", levelFine)
	sets := []string{fmt.Sprintf("(%s, %s, class)", columns, strings.Join(xs, ", "))}
	for n, names := range q.segments() {
		var set, when []string
		for i, k := range keys {
			grouping := 1
			if slices.Contains(names, q.spec.Keys[i].Name) {
				set, grouping = append(set, k), 0
			}
			when = append(when, fmt.Sprintf("GROUPING(%s) = %d", k, grouping))
		}
		sets = append(sets, "("+strings.Join(set, ", ")+", class)")
		fmt.Fprintf(b, "      WHEN %s THEN '%s%d'\n", strings.Join(when, " AND "), levelSegment, n)
	}
	fmt.Fprintf(b, "    END AS part,\n    %s", columns)
	for i, k := range keys {
		fmt.Fprintf(b, ", IF(GROUPING(w) = 0, %s, %s) AS %s", xs[i], k, ys[i])
	}
	b.WriteString(", class, COUNT(*) AS keys")
	for _, c := range q.counters() {
		fmt.Fprintf(b, ", SUM(%s) AS %s", c, c)
	}
	for i, m := range q.spec.Metrics {
		fmt.Fprintf(b, ",\n    SUM(%s) AS batch%d, SUM(%s) AS stream%d, SUM(d%d) AS abs%d, SUM(v%d) AS weight%d", q.total(m, "b", i), i, q.total(m, "s", i), i, i, i, i, i)
		if m.Value == "FLOAT64" {
			// A single key's values, whatever they are, travel as text.
			fmt.Fprintf(b, ",\n    SUM(skipped%[1]d) AS skipped%[1]d, MAX(IF(%[2]s, CAST(b%[1]d AS STRING), NULL)) AS batch_text%[1]d, MAX(IF(%[2]s, CAST(s%[1]d AS STRING), NULL)) AS stream_text%[1]d", i, differs)
		}
	}
	fmt.Fprintf(b, "\n  FROM marked\n  GROUP BY GROUPING SETS (%s)\n),\n", strings.Join(sets, ", "))

	sets = []string{"(part, class)", "(part, w, class)", "(part, w, " + strings.Join(ys, ", ") + ", class)"}
	fmt.Fprintf(b, "leveled AS (\n  SELECT\n    CASE\n      WHEN GROUPING(%s) = 0 THEN IF(part = '%s', '%s', part)\n      WHEN part != '%s' THEN NULL\n", ys[0], levelFine, levelKey, levelFine)
	if q.stream.writers {
		sets = append(sets, "(part, ignored, class)")
		fmt.Fprintf(b, "      WHEN GROUPING(ignored) = 0 THEN '%s'\n", levelWriter)
	}
	fmt.Fprintf(b, "      WHEN GROUPING(w) = 0 THEN '%s'\n      ELSE '%s'\n    END AS level,\n    %s", levelWindow, levelTotal, columns)
	for i, k := range keys {
		fmt.Fprintf(b, ", %s AS %s", ys[i], k)
	}
	b.WriteString(", class, SUM(keys) AS keys")
	for _, c := range q.counters() {
		fmt.Fprintf(b, ", SUM(%s) AS %s", c, c)
	}
	for i, m := range q.spec.Metrics {
		fmt.Fprintf(b, ",\n    SUM(batch%[1]d) AS batch%[1]d, SUM(stream%[1]d) AS stream%[1]d, SUM(abs%[1]d) AS abs%[1]d, SUM(weight%[1]d) AS weight%[1]d", i)
		if m.Value == "FLOAT64" {
			fmt.Fprintf(b, ",\n    SUM(skipped%[1]d) AS skipped%[1]d, MAX(batch_text%[1]d) AS batch_text%[1]d, MAX(stream_text%[1]d) AS stream_text%[1]d", i)
		}
	}
	fmt.Fprintf(b, "\n  FROM tallied\n  GROUP BY GROUPING SETS (%s)\n)", strings.Join(sets, ", "))
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

// bounded takes of each level as many totals, windows, writers, keys and values as a
// run keeps, the worst first.
func (q queries) bounded(b *strings.Builder) {
	order := append([]string{"w"}, q.keyAliases()...)
	group := strings.Join(append([]string{"level"}, order...), ", ")
	of := fmt.Sprintf("level IS NOT NULL AND class != '%s'", classIgnored)
	if q.stream.writers {
		order = append(order, "ignored")
		of = fmt.Sprintf("level IS NOT NULL AND (class = '%s') = (level = '%s')", classIgnored, levelWriter)
	}
	fmt.Fprintf(b, ",\nfound AS (\n  SELECT *, SUM(IF(%s, keys, 0)) OVER (PARTITION BY %s) AS differing\n  FROM leveled\n  WHERE %s\n    AND (level != '%s' OR %s)\n)\n", differs, group, of, levelKey, differs)
	fmt.Fprintf(b, `SELECT * EXCEPT (differing)
FROM found
WHERE TRUE
QUALIFY DENSE_RANK() OVER (PARTITION BY level ORDER BY differing DESC, %s) <=
  CASE level WHEN '%s' THEN %d WHEN '%s' THEN %d WHEN '%s' THEN %d ELSE %d END
`, strings.Join(order, ", "), levelKey, maxDifferingKeys, levelWindow, maxWindows, levelWriter, maxWriters, maxPartSegments+1)
}
