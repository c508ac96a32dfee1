package flights

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

func readParquet(r io.ReaderAt, size int64) (out []Flight, err error) {
	// The library panics on some files that are cut off or damaged.
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("damaged Parquet file: %v", p)
		}
	}()
	file, err := parquet.OpenFile(r, size)
	if err != nil {
		return nil, fmt.Errorf("damaged Parquet file: %w", err)
	}
	var header []string
	for _, c := range file.Schema().Columns() {
		if len(c) == 1 {
			header = append(header, c[0])
		} else {
			header = append(header, "") // nested: not one of ours
		}
	}
	at, err := locate(header)
	if err != nil {
		return nil, err
	}
	leaves := [columns]parquet.LeafColumn{}
	for c, i := range at {
		leaf, _ := file.Schema().Lookup(header[i])
		leaves[c] = leaf
		if err := checkType(c, leaf); err != nil {
			return nil, err
		}
	}
	unit, err := timeUnit(leaves[colScheduled])
	if err != nil {
		return nil, err
	}
	rd := parquetReader{unit: unit}
	for c := range leaves {
		rd.index[c] = leaves[c].ColumnIndex
	}
	for _, g := range file.RowGroups() {
		if err := rd.group(g); err != nil {
			return nil, err
		}
	}
	return rd.out, nil
}

type parquetReader struct {
	index [columns]int
	unit  time.Duration // of the time column
	codes interner
	out   []Flight
}

func (rd *parquetReader) group(g parquet.RowGroup) error {
	rows := g.Rows()
	defer rows.Close()
	buf := make([]parquet.Row, 512)
	for {
		n, err := rows.ReadRows(buf)
		for _, row := range buf[:n] {
			f, err := rd.flight(row)
			if err != nil {
				return fmt.Errorf("row %d: %w", len(rd.out)+1, err)
			}
			rd.out = append(rd.out, f)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after row %d: %w", len(rd.out), err)
		}
	}
}

func (rd *parquetReader) flight(row parquet.Row) (Flight, error) {
	var v [columns]parquet.Value
	for _, value := range row {
		for c, i := range rd.index {
			if value.Column() == i {
				v[c] = value
			}
		}
	}
	for c := range v {
		if v[c].IsNull() {
			return Flight{}, fmt.Errorf("column %s is null", columnNames[c])
		}
	}
	at := v[colScheduled].Int64()
	perSecond := int64(time.Second / rd.unit)
	seconds, rest := at/perSecond, at%perSecond
	t := time.Unix(seconds, rest*int64(rd.unit)).UTC()
	return build(t, integer(v[colDelay]), integer(v[colDistance]),
		rd.codes.get(string(v[colOrigin].ByteArray())), rd.codes.get(string(v[colDestination].ByteArray())))
}

func integer(v parquet.Value) int64 {
	if v.Kind() == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}

// checkType refuses columns of a type that could only be read by guessing.
func checkType(c int, leaf parquet.LeafColumn) error {
	if leaf.MaxRepetitionLevel > 0 || !leaf.Node.Leaf() {
		return fmt.Errorf("column %s is a list or a group", columnNames[c])
	}
	kind := leaf.Node.Type().Kind()
	ok := false
	switch c {
	case colScheduled:
		ok = kind == parquet.Int64
	case colDelay, colDistance:
		ok = kind == parquet.Int64 || kind == parquet.Int32
	default:
		ok = kind == parquet.ByteArray
	}
	if !ok {
		want := "an integer"
		if c == colScheduled {
			want = "a TIMESTAMP"
		} else if c >= colOrigin {
			want = "a string"
		}
		return fmt.Errorf("column %s is %s, not %s", columnNames[c], leaf.Node.Type(), want)
	}
	return nil
}

// timeUnit is the unit of the time column. A time without a zone is UTC.
func timeUnit(leaf parquet.LeafColumn) (time.Duration, error) {
	lt := leaf.Node.Type().LogicalType()
	if lt != nil {
		if ts, ok := lt.Value.(*format.TimestampType); ok {
			switch ts.Unit.Value.(type) {
			case *format.MilliSeconds:
				return time.Millisecond, nil
			case *format.MicroSeconds:
				return time.Microsecond, nil
			case *format.NanoSeconds:
				return time.Nanosecond, nil
			}
		}
	}
	return 0, fmt.Errorf("column %s is %s, not a TIMESTAMP", columnNames[colScheduled], leaf.Node.Type())
}
