package compare

import (
	"fmt"
	"strings"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// An event set is a subset of the deliveries of a key's events.
type eventSet int

const (
	setAll    eventSet = iota // every delivery
	setCutoff                 // those whose report arrived at or before the batch cut-off
	setOnTime                 // those that are not in the late table
	eventSets
)

// A counting is what counts as one event.
type counting int

const (
	countIDs        counting = iota // distinct event ids
	countRecords                    // distinct positions: an event that its producer sent twice counts twice
	countDeliveries                 // distinct deliveries: one that was published twice counts twice as well
	countings
)

// column suffixes of the evidence query
var (
	setNames      = [eventSets]string{"all", "cut", "ontime"}
	countingNames = [countings]string{"ids", "records", "deliveries"}
)

// evidence reads the raw events of a bounded batch of keys and returns, per
// key, the number of events and the metrics' values under every model: what
// counts as one event × which deliveries are seen.
//
// Parameters: @from, @to TIMESTAMP, the partitions; @size INT64, the window in
// microseconds; @cutoff INT64, the batch cut-off in microseconds; @windows
// ARRAY<TIMESTAMP>; @keyI ARRAY<type>, @nullI ARRAY<BOOL> for each key column
// I, zipped by offset (an array parameter cannot hold NULL); those of
// rowsThatCount; @late_writers ARRAY<STRING> if there is a late table: the
// writers of which some rows count.
//
// A delivery is evidence by the reader's rule: raw rows of writers that count
// in the event's window. What a replaced stream read there has no more weight
// than its aggregates have; only what it dropped as too late is known from it
// alone, if it came after the backfill.
func (q queries) evidence(counting rowsThatCount) string {
	var b strings.Builder
	b.WriteString("WITH\nwanted AS (\n  SELECT i, w")
	for k := range q.spec.Keys {
		fmt.Fprintf(&b, ", IF(@null%d[OFFSET(i)], NULL, @key%d[OFFSET(i)]) AS k%d", k, k, k)
	}
	b.WriteString("\n  FROM UNNEST(@windows) AS w WITH OFFSET AS i\n),\ndeliveries AS (\n")
	q.deliveries(&b, q.spec.Evidence.Raw, "0", "")
	if q.spec.Evidence.Late != "" {
		b.WriteString("  UNION ALL\n")
		// What a writer that does not count took for late, another one reads again.
		q.deliveries(&b, q.spec.Evidence.Late, "1", "\n    AND "+writerExpression+" IN UNNEST(@late_writers)")
	}
	b.WriteString("),\n")
	q.byWriter(&b, counting)
	q.onceDelivered(&b)
	q.events(&b)
	b.WriteString("SELECT i, COUNTIF(inconsistent) AS inconsistent")
	for s := range eventSets {
		d := "d_" + setNames[s]
		fmt.Fprintf(&b, ",\n  COUNTIF(%s > 0) AS n_ids_%s, SUM(r_%s) AS n_records_%s, SUM(%s) AS n_deliveries_%s",
			d, setNames[s], setNames[s], setNames[s], d, setNames[s])
		for m, metric := range q.spec.Metrics {
			for _, c := range q.evidenceColumns(s, m) {
				b.WriteString(",\n  " + modelValue(metric, m, s, c.counting) + " AS " + c.name)
			}
		}
	}
	b.WriteString("\nFROM events\nGROUP BY i\nORDER BY i\n")
	return b.String()
}

// evidenceColumn is a column of the evidence query that holds a metric's value.
type evidenceColumn struct {
	name     string
	counting counting
}

// evidenceColumns lists the columns of metric m for a set: none for a count,
// which is the number of events; one for extremes, which duplicates leave alone.
func (q queries) evidenceColumns(s eventSet, m int) []evidenceColumn {
	var cols []evidenceColumn
	last := countings
	switch q.spec.Metrics[m].Type {
	case "count":
		return nil
	case "min", "max":
		last = countIDs + 1
	}
	for c := countIDs; c < last; c++ {
		cols = append(cols, evidenceColumn{fmt.Sprintf("m%d_%s_%s", m, countingNames[c], setNames[s]), c})
	}
	return cols
}

func modelValue(metric jobspecs.Metric, m int, s eventSet, c counting) string {
	seen := fmt.Sprintf("d_%s > 0", setNames[s])
	switch {
	case metric.Merge() != jobspecs.MergeAdd:
		return fmt.Sprintf("%s(IF(%s, m%d, NULL))", merge(metric), seen, m)
	case c == countRecords:
		return fmt.Sprintf("SUM(IF(%s, m%d * r_%s, NULL))", seen, m, setNames[s])
	case c == countDeliveries:
		return fmt.Sprintf("SUM(IF(%s, m%d * d_%s, NULL))", seen, m, setNames[s])
	default:
		return fmt.Sprintf("SUM(IF(%s, m%d, NULL))", seen, m)
	}
}

// windowOf is the start of the window that a time is in, aligned to the epoch;
// twice MOD because its sign is the dividend's.
const windowOf = "TIMESTAMP_MICROS(UNIX_MICROS(event_time) - MOD(MOD(UNIX_MICROS(event_time), @size) + @size, @size))"

func (q queries) deliveries(b *strings.Builder, name, late, further string) {
	b.WriteString("  SELECT event_id, message_id, position, source_time, " + writerExpression + " AS writer, " + windowOf + " AS w, " + late + " AS late")
	for i, k := range q.spec.Keys {
		fmt.Fprintf(b, ", %s AS k%d", column(k.Name), i)
	}
	for i, m := range q.spec.Metrics {
		if m.Field != "" {
			fmt.Fprintf(b, ", %s AS m%d", column(m.Field), i)
		}
	}
	fmt.Fprintf(b, "\n  FROM %s\n  WHERE event_time >= @from AND event_time < @to%s\n", q.table(name), further)
}

// byWriter keeps one row per delivery and writer that read it: sinks may write
// one twice, and a late delivery is in both tables.
func (q queries) byWriter(b *strings.Builder, counting rowsThatCount) {
	b.WriteString("byWriter AS (\n  SELECT q.i, q.w, d.event_id, d.message_id, d.writer, MIN(d.position) AS position, MAX(d.late) AS late, MIN(d.source_time) AS source_time")
	for i, m := range q.spec.Metrics {
		if m.Field != "" {
			fmt.Fprintf(b, ", MIN(d.m%d) AS m%d, MAX(d.m%d) AS x%d", i, i, i, i)
		}
	}
	b.WriteString("\n  FROM deliveries AS d\n  JOIN wanted AS q\n  ON q.w = d.w")
	for i := range q.spec.Keys {
		fmt.Fprintf(b, " AND q.k%d IS NOT DISTINCT FROM d.k%d", i, i)
	}
	fmt.Fprintf(b, "\n  WHERE d.late = 1 OR %s", counting.predicate("d.writer", "d.w"))
	b.WriteString("\n  GROUP BY q.i, q.w, d.event_id, d.message_id, d.writer\n),\n")
}

// onceDelivered keeps one row per delivery: what was in flight when a job ended
// is read by the next generation too. It was dropped as late only if all of
// those that read it did so.
func (q queries) onceDelivered(b *strings.Builder) {
	b.WriteString("once AS (\n  SELECT i, event_id, message_id, MIN(position) AS position, MIN(late) AS late,\n")
	b.WriteString("    UNIX_MICROS(MIN(source_time)) <= UNIX_MICROS(w) + @size + @cutoff AS in_time")
	for i, m := range q.spec.Metrics {
		if m.Field != "" {
			fmt.Fprintf(b, ", MIN(m%d) AS m%d, MAX(x%d) AS x%d", i, i, i, i)
		}
	}
	b.WriteString("\n  FROM byWriter\n  GROUP BY i, w, event_id, message_id\n),\n")
}

// events counts, per event, its deliveries and records in every set. An event
// whose deliveries carry different values is inconsistent: no model of its key
// proves anything.
func (q queries) events(b *strings.Builder) {
	b.WriteString("events AS (\n  SELECT i, event_id,\n")
	b.WriteString("    COUNT(*) AS d_all, COUNT(DISTINCT position) AS r_all,\n")
	b.WriteString("    COUNTIF(in_time) AS d_cut, COUNT(DISTINCT IF(in_time, position, NULL)) AS r_cut,\n")
	b.WriteString("    COUNTIF(late = 0) AS d_ontime, COUNT(DISTINCT IF(late = 0, position, NULL)) AS r_ontime")
	var differs []string
	for i, m := range q.spec.Metrics {
		if m.Field != "" {
			fmt.Fprintf(b, ",\n    MIN(m%d) AS m%d", i, i)
			differs = append(differs, fmt.Sprintf("MIN(m%d) != MAX(x%d) OR COUNT(m%d) NOT IN (0, COUNT(*))", i, i, i))
		}
	}
	if differs == nil {
		b.WriteString(",\n    FALSE AS inconsistent")
	} else {
		fmt.Fprintf(b, ",\n    IFNULL(%s, FALSE) AS inconsistent", strings.Join(differs, " OR "))
	}
	b.WriteString("\n  FROM once\n  GROUP BY i, event_id\n)\n")
}
