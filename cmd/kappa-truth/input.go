package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// key is an origin and the start of a window, in seconds since the Unix epoch.
type key struct {
	origin string
	window int64
}

type sums struct {
	Flights  int64 `json:"flights"`
	Delay    int64 `json:"delay_sum"`
	Distance int64 `json:"distance_sum"`
}

func (s sums) plus(o sums) sums {
	return sums{s.Flights + o.Flights, s.Delay + o.Delay, s.Distance + o.Distance}
}

func (s sums) minus(o sums) sums {
	return sums{s.Flights - o.Flights, s.Delay - o.Delay, s.Distance - o.Distance}
}

// totals are sums by key.
type totals struct {
	byKey  map[key]sums
	window int64 // seconds
}

func newTotals(window time.Duration) totals {
	return totals{byKey: map[key]sums{}, window: int64(window / time.Second)}
}

// keyAt is the key of an event at a time, rounding towards the past.
func (t totals) keyAt(origin string, unix int64) key {
	rest := unix % t.window
	if rest < 0 {
		rest += t.window
	}
	return key{origin, unix - rest}
}

func (t totals) add(k key, s sums) { t.byKey[k] = t.byKey[k].plus(s) }

// readInput sums up the input file.
func readInput(path string, window time.Duration) (totals, error) {
	t := newTotals(window)
	f, err := os.Open(path)
	if err != nil {
		return t, err
	}
	defer f.Close()
	magic := make([]byte, 4)
	n, err := io.ReadFull(f, magic)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return t, fmt.Errorf("%s: %w", path, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return t, fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case n == 4 && string(magic) == "PAR1":
		err = t.parquet(f)
	case n >= 2 && magic[0] == 0x1f && magic[1] == 0x8b:
		var z *gzip.Reader
		if z, err = gzip.NewReader(bufio.NewReader(f)); err == nil {
			err = t.csv(z)
		}
	default:
		err = t.csv(bufio.NewReader(f))
	}
	if err != nil {
		return t, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

func (t totals) csv(r io.Reader) error {
	cr := csv.NewReader(r)
	header, err := cr.Read()
	if err != nil {
		return err
	}
	header[0] = string(bytes.TrimPrefix([]byte(header[0]), []byte("\xef\xbb\xbf")))
	when := slices.Index(header, "scheduled")
	if when < 0 {
		when = slices.Index(header, "date")
	}
	delay, distance, origin := slices.Index(header, "delay"), slices.Index(header, "distance"), slices.Index(header, "origin")
	if min(when, delay, distance, origin) < 0 {
		return fmt.Errorf("columns scheduled (or date), delay, distance, origin are needed, got %q", header)
	}
	for {
		rec, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line, _ := cr.FieldPos(0)
		at, err1 := time.Parse(time.RFC3339, rec[when])
		minutes, err2 := strconv.ParseInt(rec[delay], 10, 64)
		miles, err3 := strconv.ParseInt(rec[distance], 10, 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		t.add(t.keyAt(rec[origin], at.Unix()), sums{1, minutes, miles})
	}
}

func (t totals) parquet(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	file, err := parquet.OpenFile(f, st.Size())
	if err != nil {
		return err
	}
	schema := file.Schema()
	when, ok := schema.Lookup("scheduled")
	if !ok {
		when, ok = schema.Lookup("date")
	}
	delay, ok2 := schema.Lookup("delay")
	distance, ok3 := schema.Lookup("distance")
	origin, ok4 := schema.Lookup("origin")
	if !ok || !ok2 || !ok3 || !ok4 {
		return fmt.Errorf("columns scheduled (or date), delay, distance, origin are needed, got %v", schema.Columns())
	}
	perSecond, err := unitsPerSecond(when.Node.Type())
	if err != nil {
		return err
	}
	for _, group := range file.RowGroups() {
		rows := group.Rows()
		buf := make([]parquet.Row, 1000)
		for {
			n, err := rows.ReadRows(buf)
			for _, row := range buf[:n] {
				var at int64
				var o string
				s := sums{Flights: 1}
				for _, v := range row {
					switch v.Column() {
					case when.ColumnIndex:
						at = floorDiv(v.Int64(), perSecond)
					case delay.ColumnIndex:
						s.Delay = whole(v)
					case distance.ColumnIndex:
						s.Distance = whole(v)
					case origin.ColumnIndex:
						o = v.Clone().String()
					}
				}
				t.add(t.keyAt(o, at), s)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return errors.Join(err, rows.Close())
			}
		}
		if err := rows.Close(); err != nil {
			return err
		}
	}
	return nil
}

func whole(v parquet.Value) int64 {
	if v.Kind() == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func unitsPerSecond(t parquet.Type) (int64, error) {
	if lt := t.LogicalType(); lt != nil {
		if ts, ok := lt.Value.(*format.TimestampType); ok {
			switch ts.Unit.Value.(type) {
			case *format.MilliSeconds:
				return 1e3, nil
			case *format.MicroSeconds:
				return 1e6, nil
			case *format.NanoSeconds:
				return 1e9, nil
			}
		}
	}
	return 0, fmt.Errorf("the column of times is %s, not a TIMESTAMP", t)
}
