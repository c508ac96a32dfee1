package analyser

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// day is the size of partitions.
const day = 24 * time.Hour

// timeOf reads a point in time as rows and parameters hold it.
func timeOf(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999-07:00", "2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999", "2006-01-02 15:04:05.999999-07", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time", text)
}

// times are the parameters that are points in time.
func times(params []parameter) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	for _, p := range params {
		switch p.Type.Type {
		case "TIMESTAMP", "DATETIME", "DATE":
			if p.Value.Value == nil {
				continue
			}
			t, err := timeOf(*p.Value.Value)
			if err != nil {
				return nil, fmt.Errorf("parameter %s: %w", p.Name, err)
			}
			out[strings.ToLower(p.Name)] = t
		}
	}
	return out, nil
}

// bytesOf is the size of columns over the rows of a table whose partition is in.
func bytesOf(t *table, columns []string, in func(lo, hi time.Time) (bool, error)) (int64, error) {
	var sum int64
	for _, row := range t.Rows {
		if t.Partition != "" {
			text, ok := row[t.Partition].(string)
			if !ok {
				return 0, fmt.Errorf("table %s: a row without %s", t.id(), t.Partition)
			}
			at, err := timeOf(text)
			if err != nil {
				return 0, err
			}
			lo := at.Truncate(day)
			if ok, err := in(lo, lo.Add(day)); err != nil || !ok {
				if err != nil {
					return 0, err
				}
				continue
			}
		}
		for _, c := range t.Columns {
			if !slices.Contains(columns, c.Name) {
				continue
			}
			n, err := sizeOf(c, row[c.Name])
			if err != nil {
				return 0, fmt.Errorf("table %s: %w", t.id(), err)
			}
			sum += n
		}
	}
	return sum, nil
}

// processed is the bytes that the reads of a statement cost, by table.
func processed(reads []read, params map[string]time.Time) (map[string]int64, error) {
	out := map[string]int64{}
	for _, r := range reads {
		n, err := bytesOf(r.table, r.columns, func(lo, hi time.Time) (bool, error) { return r.in(params, lo, hi) })
		if err != nil {
			return nil, err
		}
		out[r.table.id()] += n
	}
	return out, nil
}

// lowerBound is the bytes that a statement cannot do without, by table.
func (a *analyser) lowerBound(s statement, project string) (map[string]int64, error) {
	out := map[string]int64{}
	for _, need := range s.Needs {
		t := a.tables[project+"."+s.Dataset+"."+need.Table]
		if t == nil {
			return nil, fmt.Errorf("no table %s was recorded", need.Table)
		}
		n, err := bytesOf(t, need.Columns, func(lo, hi time.Time) (bool, error) {
			if need.From == "" {
				return true, nil
			}
			from, err := timeOf(need.From)
			if err != nil {
				return false, err
			}
			to, err := timeOf(need.To)
			return lo.Before(to) && hi.After(from), err
		})
		if err != nil {
			return nil, err
		}
		out[t.id()] = n
	}
	return out, nil
}

func total(perTable map[string]int64) (sum int64) {
	for _, n := range perTable {
		sum += n
	}
	return sum
}
