package compare

import (
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
)

// maxWhyRows bounds what is read of a key: deliveries, and rows of each side.
const maxWhyRows = 50_000

const purposeWhy = "why"

// wantedKeys are the keys as a table k0…, by arrays of parameters.
func (q queries) wantedKeys(keys [][]bigquery.Value) (string, []bigquery.QueryParameter) {
	var b strings.Builder
	b.WriteString("wanted AS (\n  SELECT g")
	numbers := make([]int64, len(keys))
	for i := range numbers {
		numbers[i] = int64(i)
	}
	params := []bigquery.QueryParameter{{Name: "groups", Value: numbers}}
	for k, f := range q.spec.Keys {
		values, nulls := keyArrays(f.Type, keys, k)
		fmt.Fprintf(&b, ", IF(@null%d[OFFSET(g)], NULL, @key%d[OFFSET(g)]) AS k%d", k, k, k)
		params = append(params, bigquery.QueryParameter{Name: fmt.Sprintf("key%d", k), Value: values}, bigquery.QueryParameter{Name: fmt.Sprintf("null%d", k), Value: nulls})
	}
	b.WriteString("\n  FROM UNNEST(@groups) AS g\n)")
	return b.String(), params
}

func (q queries) joinKeys() string {
	parts := make([]string, len(q.spec.Keys))
	for i := range parts {
		parts[i] = fmt.Sprintf("q.k%d IS NOT DISTINCT FROM d.k%d", i, i)
	}
	return strings.Join(parts, " AND ")
}

// deliveriesQuery lists the deliveries of some keys, a row for each that a table holds.
func (q queries) deliveriesQuery(keys [][]bigquery.Value, within Range) query {
	var b strings.Builder
	wanted, params := q.wantedKeys(keys)
	b.WriteString("WITH\n" + wanted + ",\ndeliveries AS (\n")
	const none = ", CAST(NULL AS STRING) AS reason"
	q.deliveries(&b, q.spec.Evidence.Raw, tableRaw, none, "")
	if q.spec.Evidence.Late != "" {
		b.WriteString("  UNION ALL\n")
		q.deliveries(&b, q.spec.Evidence.Late, tableLate, none, "")
	}
	if q.spec.Evidence.DeadLetters != "" {
		b.WriteString("  UNION ALL\n")
		q.deliveries(&b, q.spec.Evidence.DeadLetters, tableDead, ", `reason` AS reason", "")
	}
	b.WriteString(")\nSELECT d.event_id, d.message_id, d.position, d.event_time, d.arrived, d.writer, d.seen, d.reason")
	for i, m := range q.spec.Metrics {
		if m.Field != "" {
			fmt.Fprintf(&b, ", d.m%d", i)
		}
	}
	fmt.Fprintf(&b, "\nFROM deliveries AS d\nJOIN wanted AS q\nON %s\nORDER BY d.event_time, d.event_id, d.arrived, d.position, d.message_id, d.seen, d.writer\nLIMIT %d\n", q.joinKeys(), maxWhyRows)
	params = append(params, bigquery.QueryParameter{Name: "from", Value: within.From}, bigquery.QueryParameter{Name: "to", Value: within.To},
		bigquery.QueryParameter{Name: "origin", Value: within.From.UnixMicro()})
	return query{purpose: purposeWhy, sql: b.String(), params: params, maxBytes: int64(q.spec.Evidence.MaxBytesBilled)}
}

// storedQuery lists the rows of a side that some keys of a window are made from.
func (q queries) storedQuery(s side, keys [][]bigquery.Value, window Range) query {
	q.shifts = q.windowing.shifts(window)
	wanted, params := q.wantedKeys(keys)
	var b strings.Builder
	b.WriteString("WITH\n")
	q.rows(&b, s, 1)
	b.WriteString(wanted + "\nSELECT q.g")
	order := "q.g"
	if s.writers {
		b.WriteString(", d.job, d.generation, d.pane")
		order += ", d.job, d.generation, d.pane"
	}
	for i := range q.spec.Metrics {
		fmt.Fprintf(&b, ", d.m%d", i)
	}
	fmt.Fprintf(&b, "\nFROM %s_rows AS d\nJOIN wanted AS q\nON %s\nORDER BY %s\nLIMIT %d\n", s.role, q.joinKeys(), order, maxWhyRows)
	params = append(params, q.boundParams([]Range{window})...)
	if s.writers && q.rollup != nil {
		params = append(params, bigquery.QueryParameter{Name: "rollup", Value: *q.rollup})
	}
	return query{purpose: purposeWhy, sql: b.String(), params: params, maxBytes: int64(q.spec.Limits.MaxBytesBilled)}
}

// readDelivered reads a row of deliveriesQuery.
func (q queries) readDelivered(row row, origin time.Time) (d seenDelivery, err error) {
	for name, to := range map[string]*string{"event_id": &d.event, "message_id": &d.message, "position": &d.position, "writer": &d.writer, "reason": &d.reason} {
		text, err := row.text(name)
		if err != nil {
			return d, err
		}
		if text != nil {
			*to = *text
		}
	}
	at, err := get[time.Time](row, "event_time")
	if err != nil {
		return d, err
	}
	d.at = at.UTC()
	if v, err := row.value("arrived"); err != nil {
		return d, err
	} else if v != nil {
		us, err := get[int64](row, "arrived")
		if err != nil {
			return d, err
		}
		d.arrived = origin.Add(time.Duration(us) * time.Microsecond)
	}
	seen, err := get[int64](row, "seen")
	if err != nil {
		return d, err
	}
	d.table = int(seen)
	for i, m := range q.spec.Metrics {
		v := metricParts{}
		if m.Field != "" {
			if v.value, v.invalid, err = finiteNumber(row, fmt.Sprintf("m%d", i)); err != nil {
				return d, err
			}
		}
		d.values = append(d.values, v.value)
	}
	return d, nil
}
