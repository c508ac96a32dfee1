package compare

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// windowOf is the start of the window of an event, in SQL.
func (m *monitor) windowOf() string {
	size := m.spec.Counts.Window.D().Microseconds()
	// MOD has the sign of its first operand: events before 1970 would be a window late.
	return fmt.Sprintf("TIMESTAMP_MICROS(UNIX_MICROS(event_time) - MOD(MOD(UNIX_MICROS(event_time), %d) + %d, %d))", size, size, size)
}

// eventsWhere are the conditions on a table of raw events in a range.
func (m *monitor) eventsWhere() string {
	return fmt.Sprintf("event_time >= @from AND event_time < @to AND (%s)", m.counting.predicate(writerExpression, m.windowOf()))
}

// countSQL counts rows per window: deliveries, those that were too late, and what
// the aggregation has counted, each pane once (invariants P1 and P2). Every table
// is read once, and no column with an id.
func (m *monitor) countSQL() string {
	var b strings.Builder
	var panes []string
	for _, d := range m.dimensions {
		panes = append(panes, column(d))
	}
	panes = append(panes, "window_start", "job", "generation", "pane")
	measure, counts := column(m.spec.Counts.Measure), m.queries.table(m.spec.Counts.Table)
	rollup := ""
	if m.rollup != nil {
		rollup = " AND " + column(jobspecs.RollupColumn) + " = @rollup"
	}
	fmt.Fprintf(&b, "WITH\npanes AS (\n  SELECT %s, MAX(%s) AS n\n  FROM %s\n  WHERE window_start >= @from AND window_start < @to AND (%s)%s\n  GROUP BY %s\n),\n",
		strings.Join(panes, ", "), measure, counts, m.counting.predicate(writerExpression, "window_start"), rollup, strings.Join(panes, ", "))
	b.WriteString("numbers AS (\n")
	fmt.Fprintf(&b, "  SELECT %s AS w, 1 AS deliveries, 0 AS late, 0 AS counted\n  FROM %s\n  WHERE %s\n", m.windowOf(), m.queries.table(m.spec.Raw), m.eventsWhere())
	if m.spec.Late != "" {
		fmt.Fprintf(&b, "  UNION ALL\n  SELECT %s AS w, 0 AS deliveries, 1 AS late, 0 AS counted\n  FROM %s\n  WHERE %s\n", m.windowOf(), m.queries.table(m.spec.Late), m.eventsWhere())
	}
	b.WriteString("  UNION ALL\n  SELECT window_start AS w, 0 AS deliveries, 0 AS late, n AS counted\n  FROM panes\n)\n")
	b.WriteString("SELECT w, SUM(deliveries) AS deliveries, SUM(late) AS late, SUM(counted) AS counted\nFROM numbers\nGROUP BY w\nORDER BY w\n")
	return b.String()
}

// Levels of the rows of the second query.
const (
	levelPlace = "position"
)

// distinctSQL counts distinct events and why they were delivered more than once,
// in all, per window, per partition of the source and per value of the keys.
func (m *monitor) distinctSQL() string {
	var b strings.Builder
	var own, first, keys, sets []string
	for i, k := range m.spec.Keys {
		own = append(own, fmt.Sprintf(", %s AS k%d", column(k), i))
		first = append(first, fmt.Sprintf("    MIN(k%d) AS k%d,\n", i, i))
		keys = append(keys, fmt.Sprintf("k%d", i))
	}
	columns := "event_id, message_id, position, event_time" + strings.Join(own, "")
	fmt.Fprintf(&b, "WITH\ndeliveries AS (\n  SELECT %s, FALSE AS late\n  FROM %s\n  WHERE %s\n", columns, m.queries.table(m.spec.Raw), m.eventsWhere())
	if m.spec.Late != "" {
		fmt.Fprintf(&b, "  UNION ALL\n  SELECT %s, TRUE AS late\n  FROM %s\n  WHERE %s\n", columns, m.queries.table(m.spec.Late), m.eventsWhere())
	}
	b.WriteString("),\n")
	// An event was too late if all of its deliveries were: one that comes again after
	// the horizon has been counted before.
	fmt.Fprintf(&b, `events AS (
  SELECT event_id, %s AS w,
    REGEXP_EXTRACT(MIN(position), r'^(.*)/[^/]*$') AS place,
%s    COUNTIF(NOT late) AS n,
    COUNTIF(late) AS late,
    COUNT(DISTINCT IF(late, NULL, message_id)) AS messages,
    COUNT(DISTINCT IF(late, NULL, position)) AS positions
  FROM deliveries
  GROUP BY event_id, w
),
`, m.windowOf(), strings.Join(first, ""))
	sets = []string{"()", "(w)", "(place)"}
	level := "WHEN GROUPING(w) = 0 THEN '" + levelWindow + "' WHEN GROUPING(place) = 0 THEN '" + levelPlace + "'"
	if len(keys) > 0 {
		sets = append(sets, "("+strings.Join(keys, ", ")+")")
		level += " WHEN GROUPING(k0) = 0 THEN '" + levelKey + "'"
	}
	selected := strings.Join(append([]string{"w", "place"}, keys...), ", ")
	fmt.Fprintf(&b, `grouped AS (
  SELECT CASE %s ELSE '%s' END AS level, %s,
    SUM(n) AS deliveries,
    COUNT(*) AS events,
    COUNTIF(late >= n) AS too_late,
    SUM(n - messages) AS redelivered,
    SUM(messages - positions) AS republished,
    SUM(positions - 1) AS recorded
  FROM events
  WHERE n > 0
  GROUP BY GROUPING SETS (%s)
)
`, level, levelTotal, selected, strings.Join(sets, ", "))
	fmt.Fprintf(&b, `SELECT *
FROM grouped
QUALIFY ROW_NUMBER() OVER (PARTITION BY level ORDER BY deliveries - events DESC, %s) <= CASE level WHEN '%s' THEN %d ELSE @top END
`, selected, levelWindow, maxWindows)
	return b.String()
}

func (m *monitor) query(purpose, sql string, r Range, most jobspecs.Bytes, further ...bigquery.QueryParameter) query {
	params := append([]bigquery.QueryParameter{{Name: "from", Value: r.From}, {Name: "to", Value: r.To}}, m.counting.params()...)
	return query{purpose: purpose, sql: sql, maxBytes: int64(most), params: append(params, further...)}
}

// within refuses a query that would read more than its cap.
func (m *monitor) within(ctx context.Context, q query, field string) error {
	bytes, _, err := m.runner.estimate(ctx, q)
	if err != nil {
		return err
	}
	m.result.Estimated += bytes
	if bytes > q.maxBytes {
		return exit.Usagef("the %s query would read %s, the spec allows %s (%s)", q.purpose, bytesText(bytes), bytesText(q.maxBytes), field).
			WithHint("look at a smaller range with --from and --to, or raise %s", field)
	}
	return nil
}

// count runs the first query.
func (m *monitor) count(ctx context.Context) ([]countedWindow, error) {
	m.step("count", "counting deliveries and events")
	var further []bigquery.QueryParameter
	if m.rollup != nil {
		further = append(further, bigquery.QueryParameter{Name: "rollup", Value: *m.rollup})
	}
	q := m.query("duplicates", m.countSQL(), m.all, m.spec.Limits.MaxBytesBilled, further...)
	if err := m.within(ctx, q, "limits.maxBytesBilled"); err != nil {
		return nil, err
	}
	var found []countedWindow
	_, err := m.runner.run(ctx, q, func(row row) (err error) {
		var w countedWindow
		if w.start, err = get[time.Time](row, "w"); err != nil {
			return err
		}
		w.start = w.start.UTC()
		for name, n := range map[string]*int64{"deliveries": &w.deliveries, "late": &w.late, "counted": &w.counted} {
			if *n, err = row.counter(name); err != nil {
				return err
			}
		}
		found = append(found, w)
		return nil
	})
	return found, err
}

// distinct runs the second query, over the range alone.
func (m *monitor) distinct(ctx context.Context) (distinctEvents, error) {
	m.step("exact", "counting distinct events: "+m.result.Why)
	out := distinctEvents{windows: map[time.Time]DuplicateWindow{}}
	q := m.query("duplicates_exact", m.distinctSQL(), *m.result.Range, m.spec.Limits.MaxBytesExact, bigquery.QueryParameter{Name: "top", Value: m.spec.Top})
	if err := m.within(ctx, q, "limits.maxBytesExact"); err != nil {
		return out, err
	}
	_, err := m.runner.run(ctx, q, func(row row) error { return m.readDistinct(row, &out) })
	return out, err
}

func (m *monitor) readDistinct(row row, out *distinctEvents) error {
	level, err := get[string](row, "level")
	if err != nil {
		return err
	}
	var c DistinctCounts
	var deliveries int64
	for name, n := range map[string]*int64{"deliveries": &deliveries, "events": &c.Events, "too_late": &c.TooLate,
		"redelivered": &c.Redelivered, "republished": &c.Republished, "recorded": &c.Recorded} {
		if *n, err = row.counter(name); err != nil {
			return err
		}
	}
	group := DuplicateGroup{Deliveries: deliveries, Events: c.Events, Duplicates: deliveries - c.Events}
	switch level {
	case levelTotal:
		out.total = c
	case levelWindow:
		start, err := get[time.Time](row, "w")
		if err != nil {
			return err
		}
		out.windows[start.UTC()] = DuplicateWindow{Events: &c.Events, TooLate: &c.TooLate}
	case levelPlace:
		place, err := row.text("place")
		if err != nil {
			return err
		}
		group.Values = []*string{place}
		out.positions = append(out.positions, group)
	case levelKey:
		for i, name := range m.spec.Keys {
			v, err := row.value(fmt.Sprintf("k%d", i))
			if err != nil {
				return err
			}
			text := keyText(v)
			if text != nil {
				shown := m.queries.masked(name, *text) // invariant A4
				text = &shown
			}
			group.Values = append(group.Values, text)
		}
		out.keys = append(out.keys, group)
	}
	return nil
}
