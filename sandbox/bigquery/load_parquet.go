package bigquery

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"

	"github.com/duckdb/duckdb-go/v2"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

const formatParquet = "PARQUET"

// parquetBatch is how many rows are decoded at a time.
const parquetBatch = 512

// parquetSource reads a Parquet file without nested or repeated columns.
type parquetSource struct {
	spool  *spool // nil: the file could be read in any order as it was
	cols   []googlesql.Column
	decode []func(parquet.Value) (driver.Value, error)
	into   []googlesql.Column
	to     []int // as of matchColumns

	groups []parquet.RowGroup
	rows   parquet.Rows
	buf    []parquet.Row
	at, n  int // in buf
	end    bool
}

// newParquetSource reads body in any order, which Parquet needs: what cannot be
// goes to disk first.
func newParquetSource(body *counter) (_ *parquetSource, err error) {
	s := &parquetSource{buf: make([]parquet.Row, parquetBatch)}
	defer func() {
		err = damaged(err, recover())
		if err != nil {
			s.close()
		}
	}()
	file, ok := body.Reader.(*io.SectionReader)
	if ok {
		body.n = file.Size()
	} else {
		if s.spool, err = newSpool(); err != nil {
			return nil, err
		}
		if err = s.spool.writeAt(body, 0); err != nil {
			return nil, err
		}
		file = s.spool.reader()
	}
	f, err := parquet.OpenFile(file, file.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, errInvalid("the Parquet library failed to read the file: %s", err)
	}
	for _, n := range f.Schema().Fields() {
		if !n.Leaf() || n.Repeated() {
			return nil, errNotImplemented("a nested or repeated Parquet column (field %s)", n.Name())
		}
		typ, decode, err := parquetType(n)
		if err != nil {
			return nil, err
		}
		s.cols = append(s.cols, googlesql.Column{Name: n.Name(), Type: typ, Required: n.Required()})
		s.decode = append(s.decode, decode)
	}
	s.groups = f.RowGroups()
	return s, nil
}

// damaged turns what the library panics with on a broken file into an error.
func damaged(err error, p any) error {
	if p != nil {
		return errInvalid("the Parquet library failed to read the file: %v", p)
	}
	return err
}

func (s *parquetSource) close() {
	if s.rows != nil {
		s.rows.Close()
		s.rows = nil
	}
	s.spool.close()
}

func (s *parquetSource) columns() []googlesql.Column { return slices.Clone(s.cols) }

func (s *parquetSource) bind(cols []googlesql.Column) (err error) {
	s.into = cols
	s.to, err = matchColumns(s.cols, cols)
	return err
}

func (s *parquetSource) next(row []driver.Value) (ok bool, err error) {
	defer func() {
		if err = damaged(err, recover()); err != nil {
			ok = false
		}
	}()
	for s.at == s.n {
		if s.rows == nil {
			if len(s.groups) == 0 {
				return false, nil
			}
			s.rows, s.groups, s.end = s.groups[0].Rows(), s.groups[1:], false
		}
		if s.end {
			s.rows.Close()
			s.rows = nil
			continue
		}
		s.at = 0
		s.n, err = s.rows.ReadRows(s.buf)
		s.end = errors.Is(err, io.EOF)
		if err != nil && !s.end {
			return false, errInvalid("the Parquet library failed to read the file: %s", err)
		}
	}
	values := s.buf[s.at] // without repeated columns there is one for each
	s.at++
	for i, c := range s.into {
		row[i] = nil
		if s.to[i] < 0 {
			continue
		}
		v := values[s.to[i]]
		if v.IsNull() {
			continue
		}
		if row[i], err = s.decode[s.to[i]](v); err == nil {
			row[i], err = widen(row[i], c.Type)
		}
		if err != nil {
			return false, fieldError(c.Name, "Field "+c.Name+": "+err.Error())
		}
	}
	return true, nil
}

// widen makes v a value of a type that widens allows.
func widen(v driver.Value, t *googlesql.Type) (driver.Value, error) {
	n, ok := v.(int64)
	switch {
	case ok && t.Kind == googlesql.Float64:
		return float64(n), nil
	case ok && t.Kind == googlesql.Numeric:
		return parseDecimal(fmt.Sprint(n))
	}
	return v, nil
}

// parquetType is the column type of a Parquet type, as BigQuery maps them, and
// how its values are read.
func parquetType(n parquet.Field) (*googlesql.Type, func(parquet.Value) (driver.Value, error), error) {
	kind := n.Type().Kind()
	var logical any
	if lt := n.Type().LogicalType(); lt != nil {
		logical = lt.Value
	}
	integer := func(v parquet.Value) int64 {
		if kind == parquet.Int32 {
			return int64(v.Int32())
		}
		return v.Int64()
	}
	switch l := logical.(type) {
	case *format.TimestampType:
		unit := time.Microsecond
		switch l.Unit.Value.(type) {
		case *format.MilliSeconds:
			unit = time.Millisecond
		case *format.NanoSeconds:
			unit = time.Nanosecond
		}
		return googlesql.TTimestamp, func(v parquet.Value) (driver.Value, error) { return instant(v.Int64(), unit), nil }, nil
	case *format.DateType:
		return googlesql.TDate, func(v parquet.Value) (driver.Value, error) {
			return time.Unix(integer(v)*24*60*60, 0).UTC(), nil
		}, nil
	case *format.DecimalType:
		if l.Scale > 9 || l.Precision-l.Scale > 29 {
			return nil, nil, errNotImplemented("a Parquet decimal of precision %d and scale %d (field %s)", l.Precision, l.Scale, n.Name())
		}
		factor := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(9-l.Scale)), nil)
		return googlesql.TNumeric, func(v parquet.Value) (driver.Value, error) {
			var units *big.Int
			if kind == parquet.ByteArray || kind == parquet.FixedLenByteArray {
				units = signed(v.ByteArray())
			} else {
				units = big.NewInt(integer(v))
			}
			return duckdb.Decimal{Width: 38, Scale: 9, Value: units.Mul(units, factor)}, nil
		}, nil
	case *format.TimeType:
		return nil, nil, errNotImplemented("type TIME (field %s)", n.Name())
	}
	switch kind {
	case parquet.Boolean:
		return googlesql.TBool, func(v parquet.Value) (driver.Value, error) { return v.Boolean(), nil }, nil
	case parquet.Int32, parquet.Int64:
		if l, ok := logical.(*format.IntType); ok && !l.IsSigned {
			return googlesql.TInt64, func(v parquet.Value) (driver.Value, error) {
				if kind == parquet.Int32 {
					return int64(v.Uint32()), nil
				}
				if v.Int64() < 0 {
					return nil, fmt.Errorf("%d is too large for INT64", v.Uint64())
				}
				return v.Int64(), nil
			}, nil
		}
		return googlesql.TInt64, func(v parquet.Value) (driver.Value, error) { return integer(v), nil }, nil
	case parquet.Int96: // the timestamp of old writers
		return googlesql.TTimestamp, func(v parquet.Value) (driver.Value, error) { return oldInstant(v.Int96()), nil }, nil
	case parquet.Float:
		return googlesql.TFloat64, func(v parquet.Value) (driver.Value, error) { return float64(v.Float()), nil }, nil
	case parquet.Double:
		return googlesql.TFloat64, func(v parquet.Value) (driver.Value, error) { return v.Double(), nil }, nil
	}
	switch logical.(type) {
	case *format.StringType, *format.EnumType, *format.JsonType:
		return googlesql.TString, func(v parquet.Value) (driver.Value, error) {
			text := string(v.ByteArray())
			return text, checkText(text)
		}, nil
	}
	return googlesql.TBytes, func(v parquet.Value) (driver.Value, error) { return slices.Clone(v.ByteArray()), nil }, nil
}

// instant is the time so many units after the epoch. Parts of a microsecond are
// dropped, towards the past.
func instant(n int64, unit time.Duration) time.Time {
	switch unit {
	case time.Millisecond:
		return time.UnixMilli(n).UTC()
	case time.Nanosecond:
		us := n / 1000
		if n%1000 < 0 {
			us--
		}
		return time.UnixMicro(us).UTC()
	}
	return time.UnixMicro(n).UTC()
}

// oldInstant reads nanoseconds of a day and the day's Julian number.
func oldInstant(v deprecated.Int96) time.Time {
	const epoch = 2440588
	nanos := int64(v[1])<<32 | int64(v[0])
	return time.Unix((int64(v[2])-epoch)*24*60*60, 0).Add(time.Duration(nanos).Truncate(time.Microsecond)).UTC()
}

// signed reads a big-endian number in two's complement.
func signed(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}
