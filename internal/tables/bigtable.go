package tables

import (
	"encoding/binary"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// Bigtable layout, version 1. One row per key and window, one cell per
// measure, writer and pane:
//
//	row key    AGGREGATION#DIM1#…#DIMn#WINDOW   dimensions path-escaped,
//	           window start as 20060102T150405Z; of a rollup
//	           AGGREGATION:DIMENSION1,…,DIMENSIONn#DIM1#…
//	family     m
//	qualifier  MEASURE/JOB/GENERATION/PANE
//	timestamp  the window's start, so that writing a pane again replaces the cell
//	value      int64, 8 bytes big-endian, two's complement
//
// A dimension that is null has %null in its place; an INT64 is written in
// decimal, a TIMESTAMP in UTC with six decimals. The names of aggregations and
// of dimensions have neither colon nor comma (KeySpace), so that no row of one
// set of dimensions is taken for one of another.
const (
	Family          = "m"
	rowWindowLayout = "20060102T150405Z"
	nullDimension   = "%null" // url.PathEscape never writes a % that two hex digits do not follow
	timestampLayout = "2006-01-02T15:04:05.000000Z"
)

// Dimension brings a value of a type of the specs, as people write it, to the
// text that stands in row keys.
func Dimension(typ, value string) (string, error) {
	switch typ {
	case "INT64":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return "", fmt.Errorf("%q is not an INT64", value)
		}
		return strconv.FormatInt(n, 10), nil
	case "TIMESTAMP":
		t, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return "", fmt.Errorf("%q is not a TIMESTAMP such as 2001-01-08T06:00:00Z", value)
		}
		return t.UTC().Format(timestampLayout), nil
	default:
		return value, nil
	}
}

// KeySpace is what the row keys of one set of dimensions begin with, in the place
// of the aggregation's name in RowKey, Rows and ParseRowKey. That of all
// dimensions is the name itself, so that rows stay where they are when an
// aggregation gets rollups.
func KeySpace(a jobspecs.Aggregation, set []string) string {
	if len(set) == len(a.Dimensions) {
		return a.Name
	}
	return a.Name + ":" + jobspecs.Rollup(set)
}

// Rows are the row keys of a key whose windows start in the span, as a range
// with an exclusive end; a zero bound is none.
func Rows(aggregation string, dims []*string, windows Span) (from, to string) {
	key := strings.TrimSuffix(RowKey(aggregation, dims, time.Time{}), time.Time{}.Format(rowWindowLayout))
	from, to = key, key+":" // comes after all digits
	if !windows.From.IsZero() {
		from = key + rowBound(windows.From)
	}
	if !windows.To.IsZero() {
		to = key + rowBound(windows.To)
	}
	return from, to
}

// rowBound is the first window in a row key that does not start before t:
// windows start at whole seconds, and years beyond four digits do not sort.
func rowBound(t time.Time) string {
	t = t.UTC()
	switch {
	case t.Year() < 0:
		return ""
	case t.Year() > 9999:
		return ":"
	case t.Nanosecond() > 0:
		t = t.Truncate(time.Second).Add(time.Second)
	}
	return t.Format(rowWindowLayout)
}

// RowKey is the row key of a key and window; a nil dimension is null.
func RowKey(aggregation string, dims []*string, window time.Time) string {
	var b strings.Builder
	b.WriteString(aggregation)
	for _, d := range dims {
		b.WriteByte('#')
		if d == nil {
			b.WriteString(nullDimension)
		} else {
			b.WriteString(url.PathEscape(*d))
		}
	}
	b.WriteByte('#')
	b.WriteString(window.UTC().Format(rowWindowLayout))
	return b.String()
}

// ParseRowKey reads a row key.
func ParseRowKey(key string) (aggregation string, dims []*string, window time.Time, err error) {
	parts := strings.Split(key, "#")
	if len(parts) < 2 {
		return "", nil, time.Time{}, fmt.Errorf("row key %q has no window", key)
	}
	window, err = time.Parse(rowWindowLayout, parts[len(parts)-1])
	if err != nil {
		return "", nil, time.Time{}, fmt.Errorf("row key %q: bad window", key)
	}
	for _, p := range parts[1 : len(parts)-1] {
		if p == nullDimension {
			dims = append(dims, nil)
			continue
		}
		d, err := url.PathUnescape(p)
		if err != nil {
			return "", nil, time.Time{}, fmt.Errorf("row key %q: bad dimension %q", key, p)
		}
		dims = append(dims, &d)
	}
	return parts[0], dims, window, nil
}

// Cell names a cell of a row.
type Cell struct {
	Measure    string
	Job        string
	Generation int64
	Pane       int64
}

// Qualifier is the column qualifier of c.
func (c Cell) Qualifier() string {
	return c.Measure + "/" + c.Job + "/" + strconv.FormatInt(c.Generation, 10) + "/" + strconv.FormatInt(c.Pane, 10)
}

// ParseQualifier reads a column qualifier.
func ParseQualifier(q string) (Cell, error) {
	p := strings.Split(q, "/")
	if len(p) != 4 {
		return Cell{}, fmt.Errorf("qualifier %q is not MEASURE/JOB/GENERATION/PANE", q)
	}
	g, err1 := strconv.ParseInt(p[2], 10, 64)
	n, err2 := strconv.ParseInt(p[3], 10, 64)
	if err1 != nil || err2 != nil {
		return Cell{}, fmt.Errorf("qualifier %q is not MEASURE/JOB/GENERATION/PANE", q)
	}
	return Cell{Measure: p[0], Job: p[1], Generation: g, Pane: n}, nil
}

// EncodeValue encodes a cell's value.
func EncodeValue(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) }

// DecodeValue reads a cell's value.
func DecodeValue(b []byte) (int64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("cell value of %d bytes, want 8", len(b))
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}
