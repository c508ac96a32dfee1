package compare

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// This file turns a result into rows of the history and back, without I/O.

// runID names a run: the time when it began, and digits that tell it from others
// that began then. Ids sort by time.
func runID(r *Result) string {
	at := r.Started.UTC()
	sum := sha256.Sum256([]byte(strings.Join([]string{r.Comparison, r.SpecHash, stamp(r.Scope.Range.From), stamp(r.Scope.Range.To), stamp(at)}, "\n")))
	return at.Format("20060102t150405") + "-" + hex.EncodeToString(sum[:3])
}

// historyRows are the rows of a run: of its range, then of each of its own days.
func historyRows(r *Result, id string) ([]tables.CompareRun, error) {
	var rows []tables.CompareRun
	whole := r.whole()
	whole.Start, whole.End = r.Scope.Range.From, r.Scope.Range.To
	for i, m := range r.Metrics {
		whole.Metrics[i].Difference, whole.Metrics[i].Absolute = m.Difference, m.Absolute
	}
	row, err := historyRow(r, id, tables.SegmentRange, whole)
	if err != nil {
		return nil, err
	}
	metrics := make([]tables.CompareRunMetric, len(r.Metrics))
	for i, m := range whole.Metrics {
		metrics[i] = runMetric(m)
		if of := r.Metrics[i]; of.BatchTotal != "" {
			metrics[i].Batch, metrics[i].Stream = &of.BatchTotal, &of.StreamTotal
		}
	}
	var left []Range
	for _, l := range r.Scope.LeftOut {
		left = append(left, l.Ranges...)
	}
	var jobs []string
	for _, j := range r.Cost.Jobs {
		if j.Purpose == purposeReconcile {
			jobs = append(jobs, j.ID)
		}
	}
	row.Windows = r.Scope.Windows
	row.BatchRows, row.StreamRows, row.BytesBilled = intCell(r.Batch.Rows), intCell(r.Stream.Rows), intCell(r.Cost.Billed)
	row.Verdict, row.Rule, row.JobID = stringCell(r.Verdict.Verdict), stringCell(r.Verdict.Rule), stringCell(strings.Join(jobs, " "))
	for _, v := range []struct {
		to *string
		of any
	}{{&row.Metrics, metrics}, {&row.Settled.StringVal, orEmpty(r.Scope.Settled)}, {&row.LeftOut.StringVal, orEmpty(union(left))}, {&row.Warnings.StringVal, orEmpty(r.Warnings)}} {
		if *v.to, err = jsonOf(v.of); err != nil {
			return nil, err
		}
	}
	row.Settled.Valid, row.LeftOut.Valid, row.Warnings.Valid = true, true, true
	rows = append(rows, row)
	for _, d := range r.Days {
		if d.Run != "" { // of an earlier run
			continue
		}
		row, err := historyRow(r, id, tables.SegmentDay, d)
		if err != nil {
			return nil, err
		}
		row.Rule = stringCell(d.Why)
		rows = append(rows, row)
	}
	return rows, nil
}

// historyRow is what the rows of a range and of a day have in common.
func historyRow(r *Result, id, segment string, d Day) (row tables.CompareRun, err error) {
	metrics, open := []tables.CompareRunMetric{}, map[string]string{}
	for _, m := range d.Metrics {
		metrics, open[m.Name] = append(metrics, runMetric(m)), m.Unexplained
	}
	c := d.Counts
	row = tables.CompareRun{Comparison: r.Comparison, SpecHash: r.SpecHash, RangeFrom: d.Start.UTC(), RangeTo: d.End.UTC(), Segment: segment, Windows: d.Windows,
		Keys: c.Total, Exact: c.Exact, Tolerated: c.Tolerated, Mismatch: c.Mismatch, Missing: c.Missing, Extra: c.Extra, Nonunique: c.Nonunique,
		RunID: stringCell(id), Unexplained: intCell(d.Unexplained), Explained: intCell(c.Differing() - d.Unexplained), Source: tables.SourceCLI,
		StartedAt: bigquery.NullTimestamp{Timestamp: r.Started.UTC(), Valid: true}}
	if row.Metrics, err = jsonOf(metrics); err != nil {
		return row, err
	}
	row.UnexplainedWeights.Valid = true
	row.UnexplainedWeights.StringVal, err = jsonOf(open)
	return row, err
}

func runMetric(m DayMetric) tables.CompareRunMetric {
	return tables.CompareRunMetric{Name: m.Name, Difference: m.Difference, Absolute: m.Absolute, Weight: m.Weight, Agree: m.Agree}
}

func intCell(n int64) bigquery.NullInt64      { return bigquery.NullInt64{Int64: n, Valid: true} }
func stringCell(s string) bigquery.NullString { return bigquery.NullString{StringVal: s, Valid: true} }
func jsonOf(v any) (string, error)            { data, err := json.Marshal(v); return string(data), err }
func orEmpty[T any](list []T) []T             { return append([]T{}, list...) }
func countsOf(r tables.CompareRun) Counts {
	return Counts{Total: r.Keys, Exact: r.Exact, Tolerated: r.Tolerated, Mismatch: r.Mismatch, Missing: r.Missing, Extra: r.Extra, Nonunique: r.Nonunique}
}

// historyDay is the day of a row. A row of which nobody knows what is explained, as
// a schedule writes it, has nothing explained.
func historyDay(row tables.CompareRun) (Day, error) {
	d := Day{Start: row.RangeFrom.UTC(), End: row.RangeTo.UTC(), Windows: row.Windows, Counts: countsOf(row), Run: row.RunID.StringVal, Metrics: []DayMetric{}}
	if !row.RunID.Valid {
		d.Run = row.Source
	}
	var metrics []tables.CompareRunMetric
	if err := json.Unmarshal([]byte(row.Metrics), &metrics); err != nil {
		return d, fmt.Errorf("the row of %s has damaged metrics: %w", date(d.Start), err)
	}
	open := map[string]string{}
	if row.Unexplained.Valid && row.UnexplainedWeights.Valid {
		if err := json.Unmarshal([]byte(row.UnexplainedWeights.StringVal), &open); err != nil {
			return d, fmt.Errorf("the row of %s has damaged weights: %w", date(d.Start), err)
		}
		d.Unexplained = row.Unexplained.Int64
	} else {
		d.Unexplained = d.Counts.Differing()
	}
	for _, m := range metrics {
		w, known := open[m.Name]
		if !known {
			w = decimalText(number(m.Weight).Sub(number(m.Weight), number(m.Agree)))
		}
		d.Metrics = append(d.Metrics, DayMetric{m.Name, m.Weight, m.Agree, w, m.Difference, m.Absolute})
	}
	return d, nil
}

// trendPoint is the point of a row of a whole range.
func trendPoint(row tables.CompareRun) TrendPoint {
	c := countsOf(row)
	p := TrendPoint{ID: row.RunID.StringVal, Started: row.RangeTo.UTC(), Verdict: row.Verdict.StringVal, Exact: NewRatio(c.Exact, c.Total),
		Agree: NewRatio(c.Exact+c.Tolerated, c.Total), Keys: c.Total, Unexplained: row.Unexplained.Int64, SpecHash: row.SpecHash}
	if row.StartedAt.Valid {
		p.Started = row.StartedAt.Timestamp.UTC()
	}
	if !row.Unexplained.Valid {
		p.Unexplained = c.Differing()
	}
	return p
}

// keyRows are the rows of compare_keys of a run.
func keyRows(r *Result, id string) []tables.CompareKey {
	rows := make([]tables.CompareKey, len(r.DifferingKeys))
	for i, k := range r.DifferingKeys {
		rows[i] = tables.CompareKey{Comparison: r.Comparison, RunID: id, WindowStart: k.Window, Key: k.Key, Class: k.Class, Cause: k.Cause, Status: k.Status}
	}
	return rows
}

// readRun reads a row of compare_runs.
func readRun(row row) (r tables.CompareRun, err error) {
	texts := map[string]*string{"comparison": &r.Comparison, "spec_hash": &r.SpecHash, "segment": &r.Segment, "metrics": &r.Metrics, "source": &r.Source}
	for name, to := range texts {
		if *to, err = get[string](row, name); err != nil {
			return r, err
		}
	}
	times := map[string]*time.Time{"range_from": &r.RangeFrom, "range_to": &r.RangeTo}
	for name, to := range times {
		if *to, err = get[time.Time](row, name); err != nil {
			return r, err
		}
	}
	numbers := map[string]*int64{"windows": &r.Windows, "keys": &r.Keys, "exact": &r.Exact, "tolerated": &r.Tolerated, "mismatch": &r.Mismatch,
		"missing": &r.Missing, "extra": &r.Extra, "nonunique": &r.Nonunique}
	for name, to := range numbers {
		if *to, err = row.counter(name); err != nil {
			return r, err
		}
	}
	integers := map[string]*bigquery.NullInt64{"batch_rows": &r.BatchRows, "stream_rows": &r.StreamRows, "unexplained": &r.Unexplained, "explained": &r.Explained, "bytes_billed": &r.BytesBilled}
	for name, to := range integers {
		v, err := row.value(name)
		if err != nil {
			return r, err
		}
		if v != nil {
			if to.Int64, err = strconv.ParseInt(fmt.Sprint(v), 10, 64); err != nil {
				return r, err
			}
			to.Valid = true
		}
	}
	nullable := map[string]*bigquery.NullString{"run_id": &r.RunID, "verdict": &r.Verdict, "rule": &r.Rule, "unexplained_weights": &r.UnexplainedWeights,
		"settled": &r.Settled, "left_out": &r.LeftOut, "warnings": &r.Warnings, "job_id": &r.JobID}
	for name, to := range nullable {
		v, err := row.text(name)
		if err != nil {
			return r, err
		}
		if v != nil {
			*to = stringCell(*v)
		}
	}
	r.StartedAt, err = row.time("started_at")
	return r, err
}
