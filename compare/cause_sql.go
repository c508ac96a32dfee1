package compare

import (
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// This file writes SQL to copy: for a key, the rows of both sides, the raw events, and
// what else shows its cause. Values are literals here, for people; queries that we run
// take parameters. Sensitive values are found by their hashes.

// sampleSQL is SQL to copy for a key.
func (q queries) sampleSQL(d *difference) string {
	end := q.windowing.next(d.window)
	parts := []string{q.sideSQL(q.batch, d), q.sideSQL(q.stream, d)}
	if q.spec.Evidence.Raw == "" {
		return strings.Join(parts, "\n")
	}
	events := fmt.Sprintf("event_time >= %s AND event_time < %s AND %s", timestampLiteral(d.window), timestampLiteral(end), q.keyCondition(q.rawKeys(), d.keys))
	if has(d.cause, shiftedBatch) {
		parts = append(parts, fmt.Sprintf("SELECT TIMESTAMP_TRUNC(event_time, HOUR) AS hour, COUNT(DISTINCT event_id) AS events FROM %s WHERE event_time >= %s AND event_time < %s AND %s GROUP BY hour ORDER BY hour;",
			q.table(q.spec.Evidence.Raw), timestampLiteral(d.window.Add(-maxOffset)), timestampLiteral(end.Add(maxOffset)), q.keyCondition(q.rawKeys(), d.keys)))
	}
	columns := "*"
	if has(d.cause, lateBatch) {
		columns += fmt.Sprintf(", source_time > %s AS after_cutoff", timestampLiteral(end.Add(q.spec.Batch.Cutoff.D())))
	}
	if has(d.cause, duplicatesBatch|duplicatesStream) {
		columns += ", COUNT(*) OVER (PARTITION BY event_id) AS deliveries"
	}
	parts = append(parts, fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY event_time, event_id, source_time;", columns, q.table(q.spec.Evidence.Raw), events))
	if name := q.spec.Evidence.Late; name != "" && has(d.cause, lateStream) {
		parts = append(parts, fmt.Sprintf("SELECT * FROM %s WHERE %s ORDER BY event_time, event_id;", q.table(name), events))
	}
	if name := q.spec.Evidence.DeadLetters; name != "" && has(d.cause, droppedByBridge) {
		parts = append(parts, fmt.Sprintf("SELECT * FROM %s WHERE %s ORDER BY event_time, event_id;", q.table(name), events))
	}
	if has(d.cause, restatedBatch|unloadedBatch) {
		parts = append(parts, fmt.Sprintf("SELECT * FROM %s WHERE target = %s AND range_start <= %s AND range_end >= %s ORDER BY loaded_at;",
			q.table(tables.BatchLoads), stringLiteral(q.spec.Batch.Table), timestampLiteral(d.window), timestampLiteral(end)))
	}
	if has(d.cause, cutByDrain) {
		parts = append(parts, fmt.Sprintf("SELECT * FROM %s WHERE job_group = %s ORDER BY job, generation, recorded_at, seq;", q.table(tables.Generations), stringLiteral(q.spec.Stream.Job)))
	}
	return strings.Join(parts, "\n")
}

// has reports whether a cause names a flaw.
func has(cause string, f flaw) bool {
	for _, n := range flawNames {
		if f&n.flaw != 0 && strings.Contains(cause, n.name) {
			return true
		}
	}
	return false
}

// sideSQL is the rows of a side that a key is made from.
func (q queries) sideSQL(s side, d *difference) string {
	keys := q.keyCondition(s.keys, d.keys)
	if has(d.cause, keyForm) {
		keys = q.formCondition(s.keys, d.keys)
	}
	var bound string
	switch at := q.bound(d.window, s.timed).(type) {
	case civil.Date:
		bound = "DATE '" + at.String() + "'"
	case civil.DateTime:
		bound = "DATETIME '" + strings.Replace(at.String(), "T", " ", 1) + "'"
	default:
		bound = timestampLiteral(d.window)
	}
	sql := fmt.Sprintf("SELECT * FROM %s WHERE %s = %s AND %s", s.from, s.time, bound, keys)
	if s.where != "" {
		sql += " AND (" + s.where + ")"
	}
	if s.writers {
		if q.rollup != nil {
			sql += q.inRollup(stringLiteral(*q.rollup))
		}
		sql += " ORDER BY job, generation, pane"
	}
	if s.kind == SideQuery {
		sql = fmt.Sprintf("-- @from = %s, @to = %s\n%s", timestampLiteral(d.window), timestampLiteral(q.windowing.next(d.window)), sql)
	}
	return sql + ";"
}

// rawKeys are the keys in the raw events: what the stream side makes them from, for its
// columns are fields of the events; where it is a query, columns of the keys' names.
func (q queries) rawKeys() []expression {
	if q.stream.kind != SideQuery {
		return q.stream.keys
	}
	out := make([]expression, len(q.spec.Keys))
	for i, k := range q.spec.Keys {
		out[i] = expression{name: k.Name, text: k.Name, sql: column(k.Name), column: k.Name, reads: []string{k.Name}, want: k.Type}
	}
	return out
}

// keyCondition finds the rows of a key.
func (q queries) keyCondition(columns []expression, keys []bigquery.Value) string {
	parts := make([]string, len(keys))
	for i := range keys {
		parts[i] = q.oneKey(columns[i], i, keys[i])
	}
	return strings.Join(parts, " AND ")
}

func (q queries) oneKey(e expression, i int, v bigquery.Value) string {
	c := e.sql
	if e.column == "" {
		c = "(" + c + ")"
	}
	text := keyText(v)
	switch {
	case text == nil:
		return c + " IS NULL"
	case q.sensitive(q.spec.Keys[i].Name):
		return hashCondition(q.spec.Keys[i].Name, c, q.spec.Keys[i].Type, q.hashOf(i, *text))
	}
	return c + " = " + literal(v)
}

// hashOf is the hash of a value that may have been replaced by it already.
func (q queries) hashOf(key int, text string) string {
	if strings.HasPrefix(text, "#") && len(text) == 1+hashDigits {
		return text
	}
	return hashed(q.spec.Keys[key].Name, text)
}

// literal writes a key's value in SQL.
func literal(v bigquery.Value) string {
	switch v := v.(type) {
	case string:
		return stringLiteral(v)
	case time.Time:
		return timestampLiteral(v)
	case civil.Date:
		return "DATE '" + v.String() + "'"
	case bool:
		return strings.ToUpper(fmt.Sprint(v))
	}
	return fmt.Sprint(v)
}

// formCondition finds the rows of all forms of a key, as far as SQL knows them.
func (q queries) formCondition(columns []expression, keys []bigquery.Value) string {
	parts := make([]string, len(keys))
	for i, v := range keys {
		text, isText := v.(string)
		if v != nil && !isText || q.sensitive(q.spec.Keys[i].Name) || q.spec.Keys[i].Type != "STRING" {
			parts[i] = q.oneKey(columns[i], i, v)
			continue
		}
		form := func(of string) string {
			return "REGEXP_REPLACE(TRIM(NORMALIZE_AND_CASEFOLD(IFNULL(" + of + ", ''), NFKC)), r'\\s+', ' ')"
		}
		parts[i] = form(columns[i].sql) + " = " + form(stringLiteral(text))
	}
	return strings.Join(parts, " AND ")
}
