package compare

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// The statement of a scheduled comparison: one MERGE into compare_runs that needs
// nothing but the time of its run. It reconciles by the expressions of a run
// (sql_sides.go, sql_classes.go); what it adds are the rows of a side that are in
// settled windows and count, and the sums of the history's rows.

// The bounds of a range that is not known yet, in the place of those that a run
// knows. bind puts expressions of the time of the run there. They are whole
// windows of no comparison: far off, and told apart from all other times.
var (
	boundFrom = time.Date(1700, 1, 1, 0, 0, 0, 0, time.UTC)
	boundTo   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// statement is the scheduled statement; target is the quoted table compare_runs.
func (s scheduled) statement(target table) (string, error) {
	found, err := s.found()
	if err != nil {
		return "", err
	}
	facts := []string{"windows", "keys"}
	facts = append(append(facts, Classes...), "batch_rows", "stream_rows", "metrics")
	identity := []string{"comparison", "spec_hash", "range_from", "range_to", "segment"}

	var b strings.Builder
	fmt.Fprintf(&b, "MERGE %s AS T\nUSING (\n", target)
	b.WriteString(with(slices.Concat(s.control(), s.frame(), []cte{{"kappa_found", found}})))
	b.WriteString(s.rowsOfHistory())
	b.WriteString(")\nAS S\nON ")
	b.WriteString(each(identity, " AND ", func(c string) string { return "T." + c + " = S." + c }))
	// Rows with the same facts keep what a run of the command line has concluded from
	// them; where facts have changed its conclusions no longer hold.
	fmt.Fprintf(&b, "\nWHEN MATCHED AND (%s) THEN\n  UPDATE SET %s", each(facts, " OR ", func(c string) string { return "T." + c + " IS DISTINCT FROM S." + c }),
		each(facts, ", ", func(c string) string { return c + " = S." + c }))
	var insert, values []string
	for _, f := range tables.CompareRunsTable().Schema {
		insert = append(insert, f.Name)
		switch {
		case slices.Contains(identity, f.Name), slices.Contains(facts, f.Name):
			values = append(values, "S."+f.Name)
		case f.Name == "source":
			values = append(values, stringLiteral(tables.SourceSchedule))
			fmt.Fprintf(&b, ", source = %s", stringLiteral(tables.SourceSchedule))
		default:
			values = append(values, "NULL")
			fmt.Fprintf(&b, ", %s = NULL", f.Name)
		}
	}
	fmt.Fprintf(&b, "\nWHEN NOT MATCHED THEN\n  INSERT (%s)\n  VALUES (%s)\n", strings.Join(insert, ", "), strings.Join(values, ", "))
	return b.String(), nil
}

func each(list []string, between string, f func(string) string) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = f(v)
	}
	return strings.Join(parts, between)
}

// found is the reconciliation, as sums by the row of the history that they belong
// to: of the range, and of each day. Each table is read once (invariant C1).
func (s scheduled) found() (string, error) {
	q := s.q
	q.batch, q.stream = s.chosen(q.batch), s.chosen(q.stream)
	var counting rowsThatCount // what is read are those alone
	qry := q.reconcileQuery([]Range{{boundFrom, boundTo}}, counting)
	var b strings.Builder
	b.WriteString("WITH\n")
	q.streamRows(&b, 1, counting)
	q.sides(&b, 1, counting)
	q.keyed(&b)
	q.classed(&b)
	q.levels(&b)
	fmt.Fprintf(&b, "\nSELECT IF(level = '%s', '%s', '%s') AS segment, IF(level = '%s', %s, %s) AS f, leveled.*\nFROM leveled\nWHERE level IN ('%s', '%s') AND class != '%s'",
		levelTotal, tables.SegmentRange, tables.SegmentDay, levelTotal, s.from(), s.dayOf("w"), levelTotal, levelWindow, classIgnored)
	return bind(b.String(), s.literals(qry.params))
}

// chosen is a side of which only rows in settled windows are read (invariant C4),
// and only those that count (invariant P2). Spans do not overlap, so that no row
// is taken twice.
func (s scheduled) chosen(of side) side {
	row := of
	row.time = "r." + of.time
	at := s.q.windowStart(row)
	var b strings.Builder
	fmt.Fprintf(&b, "(\n    SELECT r.*\n    FROM %s AS r\n      JOIN kappa_spans AS s ON %s >= s.f AND %s < s.t", of.from, at, at)
	if of.writers {
		fmt.Fprintf(&b, "\n      JOIN kappa_rows AS c ON c.writer = CONCAT(r.`job`, '@', CAST(r.`generation` AS STRING)) AND %s >= c.f AND %s < c.t", at, at)
	}
	fmt.Fprintf(&b, "\n    WHERE %s\n  )", inBounds(row.time, boundSuffix[of.timed], 1))
	of.from = b.String()
	return of
}

// literals are the values of a reconciliation's parameters as SQL.
func (s scheduled) literals(params []bigquery.QueryParameter) map[string]string {
	out := map[string]string{"run_time": "@run_time"}
	bound := func(of time.Time) (string, bool) {
		switch {
		case of.Equal(boundFrom):
			return s.from(), true
		case of.Equal(boundTo):
			return s.to(), true
		}
		return "", false
	}
	for _, p := range params {
		switch v := p.Value.(type) {
		case string:
			out[p.Name] = stringLiteral(v)
		case int64:
			out[p.Name] = fmt.Sprint(v)
		case time.Time:
			if t, ok := bound(v); ok {
				out[p.Name] = t
			}
		case civil.DateTime:
			if t, ok := bound(v.In(time.UTC)); ok {
				out[p.Name] = "DATETIME(" + t + ")"
			}
		case civil.Date:
			// A DATE names the window that begins the offset later.
			for _, of := range []time.Time{boundFrom, boundTo} {
				if t, _ := bound(of); v == civil.DateOf(s.q.windowing.date(of)) {
					out[p.Name] = "DATE(" + before(t, s.q.windowing.offset) + ")"
				}
			}
		}
	}
	return out
}

// dayOf is the day of the history that the window beginning at w belongs to
// (windowing.day).
func (s scheduled) dayOf(w string) string {
	if s.q.windowing.size >= day {
		return s.floorSQL(w)
	}
	return "TIMESTAMP_TRUNC(" + w + ", DAY)"
}

// frame are the rows of the history that are written: the range, and each settled
// day in it (settledDays).
func (s scheduled) frame() []cte {
	size := s.q.windowing.size
	step, first := day, "d.f" // days, by number
	begin, end := s.ceilSQL(first), s.ceilSQL("d.t")
	offset := time.Duration(0)
	if size >= day {
		step, offset = size, s.q.windowing.offset
		begin, end = "d.f", "d.t"
	}
	number := func(t string) string {
		return fmt.Sprintf("DIV(UNIX_MICROS(%s) - %s, %s)", t, micros(offset), micros(step))
	}
	at := func(n string) string {
		return fmt.Sprintf("TIMESTAMP_MICROS(%s * %s + %s)", n, micros(step), micros(offset))
	}
	return []cte{
		{"kappa_days", fmt.Sprintf("SELECT %s AS f, %s AS t\n  FROM UNNEST(GENERATE_ARRAY(%s, %s)) AS n", at("n"), at("(n + 1)"), number(s.from()), number(s.to()))},
		{"kappa_frame", fmt.Sprintf(`SELECT '%s' AS segment, f, t, (SELECT COALESCE(SUM(DIV(TIMESTAMP_DIFF(t, f, MICROSECOND), %s)), 0) FROM kappa_spans) AS windows
  FROM kappa_bounds
  UNION ALL
  SELECT '%s', d.f, d.t, DIV(TIMESTAMP_DIFF(%s, %s, MICROSECOND), %s)
  FROM kappa_days AS d JOIN kappa_spans AS s ON s.f <= %s AND %s <= s.t`,
			tables.SegmentRange, micros(size), tables.SegmentDay, end, begin, micros(size), begin, end)},
	}
}

// rowsOfHistory are the rows as compare_runs has them: identity and facts.
func (s scheduled) rowsOfHistory() string {
	var b strings.Builder
	sum := func(c string) string { return "COALESCE(SUM(r." + c + "), 0)" }
	sumOf := func(class, c string) string {
		return fmt.Sprintf("COALESCE(SUM(IF(r.class = '%s', r.%s, NULL)), 0)", class, c)
	}
	fmt.Fprintf(&b, "SELECT %s AS comparison, %s AS spec_hash, w.f AS range_from, w.t AS range_to, w.segment, w.windows,\n", stringLiteral(s.name), stringLiteral(s.hash))
	var keys []string
	for _, c := range Classes {
		keys = append(keys, sumOf(c, "keys"))
	}
	fmt.Fprintf(&b, "  %s AS keys", strings.Join(keys, " + "))
	for i, c := range Classes {
		fmt.Fprintf(&b, ",\n  %s AS %s", keys[i], c)
	}
	for _, c := range []string{"batch_rows", "stream_rows"} {
		fmt.Fprintf(&b, ",\n  IF(w.segment = '%s', %s, NULL) AS %s", tables.SegmentRange, sum(c), c)
	}
	var metrics []string
	text := func(v string) string { return "'\"', CAST(" + v + " AS STRING), '\"'" }
	for i, m := range s.q.spec.Metrics {
		of := func(c string) string { return sum(fmt.Sprintf("%s%d", c, i)) }
		total := func(side string) string {
			if m.Type != "count" && m.Type != "sum" {
				return "'null'"
			}
			return fmt.Sprintf("IF(w.segment = '%s', CONCAT(%s), 'null')", tables.SegmentRange, text(of(side)))
		}
		weight := fmt.Sprintf("weight%d", i)
		agree := sumOf(ClassExact, weight) + " + " + sumOf(ClassTolerated, weight)
		metrics = append(metrics, fmt.Sprintf(`'{"name":"%s","batch":', %s, ',"stream":', %s, ',"difference":', %s, ',"absolute":', %s, ',"weight":', %s, ',"agree":', %s, '}'`,
			m.Name, total("batch"), total("stream"), text(of("stream")+" - "+of("batch")), text(of("abs")), text(of("weight")), text(agree)))
	}
	// A run that compares nothing has no metrics.
	fmt.Fprintf(&b, ",\n  IF(w.windows = 0, '[]', CONCAT('[', %s, ']')) AS metrics\n", strings.Join(metrics, ", ',',\n    "))
	b.WriteString("FROM kappa_frame AS w LEFT JOIN kappa_found AS r ON r.segment = w.segment AND r.f = w.f\nGROUP BY w.segment, w.f, w.t, w.windows\n")
	return b.String()
}

// bind puts literals in the place of a query's parameters. Texts and quoted names
// stay as they are; comments there are none, for specs may hold none. A parameter
// without a literal is an error.
func bind(sql string, literals map[string]string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case c == '\'' || c == '"' || c == '`':
			n := quotedLength(sql[i:])
			b.WriteString(sql[i : i+n])
			i += n
		case c == '@':
			n := 1
			for i+n < len(sql) && (sql[i+n] == '_' || sql[i+n] >= '0' && sql[i+n] <= '9' || sql[i+n]|0x20 >= 'a' && sql[i+n]|0x20 <= 'z') {
				n++
			}
			name := strings.ToLower(sql[i+1 : i+n])
			literal, ok := literals[name]
			if !ok {
				return "", fmt.Errorf("the parameter @%s has no value that a scheduled query can have", name)
			}
			b.WriteString(literal)
			i += n
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), nil
}

// quotedLength is the length of the quoted text, in one or three quotes, that sql
// begins with. In one that is not closed it is all of it.
func quotedLength(sql string) int {
	quote := sql[:1]
	if triple := strings.Repeat(quote, 3); quote != "`" && strings.HasPrefix(sql, triple) {
		quote = triple
	}
	for i := len(quote); i < len(sql); i++ {
		switch {
		case sql[i] == '\\':
			i++ // in raw texts, too, a quote after a backslash does not end the text
		case strings.HasPrefix(sql[i:], quote):
			return i + len(quote)
		}
	}
	return len(sql)
}
