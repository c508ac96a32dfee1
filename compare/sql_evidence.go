package compare

import (
	"fmt"
	"strings"
)

// column suffixes of the evidence query: values rounded as each side has them
var roundedNames = [2]string{"rb", "rs"}

// evidenceSQL reads the raw events of a bounded batch of keys and returns them in
// groups: events of one key that happened in one slot of time and whose deliveries
// fared alike, with their number and the metrics' values. What a side would have under
// any hypothesis is then arithmetic (models.go), and each table is read once.
//
// Parameters: @from, @to TIMESTAMP, the partitions; @origin INT64, @from in
// microseconds; @slot, @cell INT64, microseconds: events are grouped by slot, and found
// by cell; @most INT64, the greatest number of slots that makes a difference; @cutoff
// INT64, the batch cut-off in microseconds; @groups, @cells ARRAY<INT64>, zipped: the
// cells of each key; @keyI ARRAY<type>, @nullI ARRAY<BOOL> for each key column I, by
// key (an array parameter cannot hold NULL); @load1…, when batch loads ended, in
// microseconds; those of rowsThatCount; @late_writers, @lost_writers,
// @listed_writers ARRAY<STRING>.
//
// A delivery is evidence by the reader's rule: raw rows of writers that count in the
// event's window. What a replaced stream read there has no more weight than its
// aggregates have; only what it dropped as too late is known from it alone, if it came
// after the backfill, and what a writer read that ended without a successor.
func (q queries) evidenceSQL(e evidenceBatch) string {
	var b strings.Builder
	b.WriteString("WITH\nwanted AS (\n  SELECT g, @cells[OFFSET(i)] AS cell")
	for k := range q.spec.Keys {
		fmt.Fprintf(&b, ", IF(@null%d[OFFSET(g)], NULL, @key%d[OFFSET(g)]) AS k%d", k, k, k)
	}
	b.WriteString("\n  FROM UNNEST(@groups) AS g WITH OFFSET AS i\n),\ndeliveries AS (\n")
	q.deliveries(&b, q.spec.Evidence.Raw, tableRaw, "", "")
	if q.spec.Evidence.Late != "" {
		b.WriteString("  UNION ALL\n")
		further := ""
		if q.hasWriters() {
			further = fmt.Sprintf("\n    AND (%s IN UNNEST(@late_writers) OR %s)", writerExpression, isLost(writerExpression))
		}
		q.deliveries(&b, q.spec.Evidence.Late, tableLate, "", further)
	}
	if q.spec.Evidence.DeadLetters != "" {
		b.WriteString("  UNION ALL\n")
		q.deliveries(&b, q.spec.Evidence.DeadLetters, tableDead, "", "")
	}
	b.WriteString("),\n")
	q.byWriter(&b, e.counting)
	q.onceDelivered(&b)
	q.records(&b, e)
	q.events(&b)
	b.WriteString("SELECT g, slot, sign, COUNT(*) AS n, COUNTIF(inconsistent) AS inconsistent")
	for m, rule := range e.rules {
		switch rule.merge {
		case mergeSum:
			fmt.Fprintf(&b, ",\n  SUM(m%d) AS m%d", m, m)
			for s, places := range rule.places {
				if places >= 0 {
					fmt.Fprintf(&b, ", SUM(ROUND(m%d, %d)) AS %s%d", m, places, roundedNames[s], m)
				}
			}
		case mergeMin:
			fmt.Fprintf(&b, ",\n  MIN(m%d) AS m%d", m, m)
		case mergeMax:
			fmt.Fprintf(&b, ",\n  MAX(m%d) AS m%d", m, m)
		}
	}
	b.WriteString("\nFROM events\nGROUP BY g, slot, sign\nORDER BY g, slot, sign\n")
	return b.String()
}

// Tables that evidence comes from.
const (
	tableRaw = iota
	tableLate
	tableDead
)

// hasWriters reports whether the stream side, and with it the raw events, says who
// wrote a row.
func (q queries) hasWriters() bool { return q.spec.Stream.Job != "" }

// deliveries reads one of the tables; more is further columns, further a condition.
func (q queries) deliveries(b *strings.Builder, name string, from int, more, further string) {
	writer := "''"
	if q.hasWriters() && from != tableDead {
		writer = writerExpression
	}
	fmt.Fprintf(b, "  SELECT event_id, message_id, position, event_time, UNIX_MICROS(event_time) - @origin AS t, UNIX_MICROS(source_time) - @origin AS arrived, %s AS writer, %d AS seen%s", writer, from, more)
	for i, k := range q.rawKeys() {
		fmt.Fprintf(b, ", %s AS k%d", k.sql, i)
	}
	for i, m := range q.spec.Metrics {
		if m.Field != "" {
			fmt.Fprintf(b, ", %s AS m%d", rawField(m.Field, m.Value), i)
		}
	}
	fmt.Fprintf(b, "\n  FROM %s\n  WHERE event_time >= @from AND event_time < @to%s\n", q.table(name), further)
}

// rawField is a field of the raw events in a type in which sums do not overflow.
func rawField(field, value string) string {
	if value == "INT64" || value == "" {
		return "CAST(" + column(field) + " AS NUMERIC)"
	}
	return "CAST(" + column(field) + " AS " + value + ")"
}

// isLost is true of a writer whose events nobody reads again: it ended without a
// successor, or is missing from the generations.
func isLost(writer string) string {
	return "(" + writer + " IN UNNEST(@lost_writers) OR " + writer + " NOT IN UNNEST(@listed_writers))"
}

// byWriter keeps one row per delivery and writer that read it: sinks may write one
// twice, and a late delivery is in both tables.
func (q queries) byWriter(b *strings.Builder, counting rowsThatCount) {
	fate := fmt.Sprint(int(counted))
	where, having := "", ""
	if q.hasWriters() {
		counts := counting.predicate("d.writer", "d.event_time")
		fate = fmt.Sprintf("MIN(IF(%s, %d, %d))", counts, counted, lost)
		where = fmt.Sprintf("\n  WHERE d.seen != %d OR (%s) OR %s", tableRaw, counts, isLost("d.writer"))
		// What a writer that does not count took for late, another one reads again.
		having = fmt.Sprintf("\n  HAVING MAX(d.seen) != %d OR d.writer IN UNNEST(@late_writers)", tableLate)
	}
	b.WriteString("byWriter AS (\n  SELECT q.g, DIV(d.t, @slot) AS slot, d.event_id, d.message_id, d.writer, MIN(d.position) AS position, MIN(d.arrived) AS arrived,\n")
	fmt.Fprintf(b, "    CASE MAX(d.seen) WHEN %d THEN %d WHEN %d THEN %d ELSE %s END AS fate", tableDead, undelivered, tableLate, tooLate, fate)
	for i, m := range q.spec.Metrics {
		if m.Field != "" {
			fmt.Fprintf(b, ", MIN(d.m%d) AS m%d, MAX(d.m%d) AS x%d", i, i, i, i)
		}
	}
	b.WriteString("\n  FROM deliveries AS d\n  JOIN wanted AS q\n  ON q.cell = DIV(d.t, @cell)")
	for i := range q.spec.Keys {
		fmt.Fprintf(b, " AND q.k%d IS NOT DISTINCT FROM d.k%d", i, i)
	}
	b.WriteString(where + "\n  GROUP BY q.g, slot, d.event_id, d.message_id, d.writer" + having + "\n),\n")
}

// onceDelivered keeps one row per delivery: what was in flight when a job ended is read
// by the next generation too. It was dropped as late only if all of those that read it
// did so.
func (q queries) onceDelivered(b *strings.Builder) {
	b.WriteString("once AS (\n  SELECT g, slot, event_id, message_id, MIN(position) AS position, MIN(arrived) AS arrived, MIN(fate) AS fate")
	q.carryValues(b)
	b.WriteString("\n  FROM byWriter\n  GROUP BY g, slot, event_id, message_id\n),\n")
}

func (q queries) carryValues(b *strings.Builder) {
	for i, m := range q.spec.Metrics {
		if m.Field != "" {
			fmt.Fprintf(b, ", MIN(m%d) AS m%d, MAX(x%d) AS x%d", i, i, i, i)
		}
	}
}

// records keeps one row per record of an event, with the sign by which parseSign
// reads how its deliveries fared.
func (q queries) records(b *strings.Builder, e evidenceBatch) {
	arrival := "LEAST(GREATEST(DIV(GREATEST(MIN(arrived) - @cutoff, 0) + @slot - 1, @slot) - slot, 1), @most)"
	fmt.Fprintf(b, "records AS (\n  SELECT g, slot, event_id,\n    CONCAT(CAST(IFNULL(%s, @most) AS STRING), '.', %s", arrival, e.loadsBefore("MIN(arrived)"))
	for f := range fates {
		fmt.Fprintf(b, ", '.', CAST(COUNTIF(fate = %d) AS STRING)", f)
	}
	b.WriteString(") AS sign")
	var gaps []string
	for i, m := range q.spec.Metrics {
		if m.Field != "" {
			fmt.Fprintf(b, ", MIN(m%d) AS m%d, MAX(x%d) AS x%d", i, i, i, i)
			gaps = append(gaps, fmt.Sprintf("COUNT(m%d) NOT IN (0, COUNT(*))", i))
		}
	}
	if gaps == nil {
		gaps = []string{"FALSE"}
	}
	fmt.Fprintf(b, ", %s AS gap\n  FROM once\n  GROUP BY g, slot, event_id, position\n),\n", strings.Join(gaps, " OR "))
}

// loadsBefore is how many of the batch loads had ended at a time, as text.
func (e evidenceBatch) loadsBefore(at string) string {
	if len(e.loads) == 0 {
		return "'0'"
	}
	var b strings.Builder
	b.WriteString("CASE")
	for i := range e.loads {
		fmt.Fprintf(&b, " WHEN %s <= @load%d THEN '%d'", at, i+1, i)
	}
	fmt.Fprintf(&b, " ELSE '%d' END", len(e.loads))
	return b.String()
}

// events keeps one row per event. One whose deliveries carry different values is
// inconsistent: no model of its key proves anything.
func (q queries) events(b *strings.Builder) {
	b.WriteString("events AS (\n  SELECT g, slot, event_id, STRING_AGG(sign, '|' ORDER BY sign) AS sign")
	differs := []string{"LOGICAL_OR(gap)"}
	for i, m := range q.spec.Metrics {
		if m.Field != "" {
			fmt.Fprintf(b, ", MIN(m%d) AS m%d", i, i)
			differs = append(differs, fmt.Sprintf("IFNULL(MIN(m%d) != MAX(x%d), FALSE) OR COUNT(m%d) NOT IN (0, COUNT(*))", i, i, i))
		}
	}
	fmt.Fprintf(b, ",\n    %s AS inconsistent\n  FROM records\n  GROUP BY g, slot, event_id\n)\n", strings.Join(differs, " OR "))
}
