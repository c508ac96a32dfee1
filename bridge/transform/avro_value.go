package transform

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"time"
	"unicode/utf8"
)

var (
	errTwice       = errors.New("a name of a map comes twice")
	errAvroNodes   = errors.New("the Avro data holds more values than a record of its size may")
	errAvroUTF8    = errors.New("the Avro data holds a string that is not UTF-8")
	errTimeRange   = errors.New("a time is outside of the years 1 to 9999")
	errAvroTimeDay = errors.New("a time of day is outside of the day")
)

// maxNodes bounds the values that a text may decode to: some take no bytes at
// all (null, a record without fields), so a few bytes could claim any number.
func maxNodes(b []byte) int64 { return int64(len(b)) + 1024 }

// avroReader decodes values one after the other.
type avroReader struct {
	b     []byte
	i     int
	nodes int64 // values that may still come
}

func (r *avroReader) done() error {
	if r.i != len(r.b) {
		return errAvroTrailing
	}
	return nil
}

// resultKind is the kind of result that a value decodes to.
func (t *avroType) resultKind() kind {
	switch t.logical {
	case avroTimestampMillis, avroTimestampMicros, avroTimestampNanos:
		return kindTime
	case avroPlain:
	default:
		return kindString
	}
	switch t.kind {
	case avroNull:
		return kindNull
	case avroBoolean:
		return kindBool
	case avroInt, avroLong:
		return kindInt
	case avroFloat, avroDouble:
		return kindDouble
	case avroBytes, avroFixed:
		return kindBytes
	case avroArray:
		return kindList
	case avroMap, avroRecord:
		return kindMap
	default:
		return kindString
	}
}

// value decodes a value of type t. Of the logical types, a timestamp becomes a
// time; date (2006-01-02), a time of day (15:04:05.999), a local timestamp
// (2006-01-02T15:04:05.999), decimal (12.50: as many decimals as its scale)
// and uuid become a string, for each of which text is allocated.
func (r *avroReader) value(t *avroType, depth int, out *result) (err error) {
	if r.nodes--; r.nodes < 0 {
		return errAvroNodes
	}
	if t.kind == avroUnion {
		if t, r.i, err = t.unwrap(r.b, r.i); err != nil {
			return err
		}
	}
	out.kind, out.num, out.text = t.resultKind(), 0, nil
	switch t.kind {
	case avroNull:
		return nil
	case avroBoolean:
		if r.i >= len(r.b) {
			return errAvroShort
		}
		if out.num = uint64(r.b[r.i]); out.num > 1 {
			return errAvroBoolean
		}
		r.i++
		return nil
	case avroInt, avroLong:
		read := readAvroLong
		if t.kind == avroInt {
			read = readAvroInt
		}
		var v int64
		if v, r.i, err = read(r.b, r.i); err != nil {
			return err
		}
		return t.number(v, out)
	case avroFloat:
		text, err := r.take(4)
		if err != nil {
			return err
		}
		out.num = math.Float64bits(float64(math.Float32frombits(binary.LittleEndian.Uint32(text))))
		return nil
	case avroDouble:
		text, err := r.take(8)
		if err != nil {
			return err
		}
		out.num = binary.LittleEndian.Uint64(text)
		return nil
	case avroString:
		if out.text, r.i, err = readAvroBytes(r.b, r.i); err == nil && !utf8.Valid(out.text) {
			err = errAvroUTF8
		}
		return err
	case avroBytes:
		if out.text, r.i, err = readAvroBytes(r.b, r.i); err != nil {
			return err
		}
		return t.binary(out)
	case avroFixed:
		if out.text, err = r.take(t.width); err != nil {
			return err
		}
		return t.binary(out)
	case avroEnum:
		n, next, err := readAvroIndex(r.b, r.i, len(t.symbols), errAvroSymbol)
		if err != nil {
			return err
		}
		out.text, r.i = t.symbols[n], next
		return nil
	default:
		out.tree, err = r.tree(t, depth)
		return err
	}
}

func (r *avroReader) take(n int) ([]byte, error) {
	if n > len(r.b)-r.i {
		return nil, errAvroShort
	}
	r.i += n
	return r.b[r.i-n : r.i], nil
}

// number sets out to what an int or a long stands for.
func (t *avroType) number(v int64, out *result) error {
	const milli, micro = int64(time.Millisecond), int64(time.Microsecond)
	switch t.logical {
	case avroTimestampMillis:
		out.when = time.UnixMilli(v).UTC()
		return checkTime(out.when)
	case avroTimestampMicros:
		out.when = time.UnixMicro(v).UTC()
		return checkTime(out.when)
	case avroTimestampNanos:
		out.when = time.Unix(0, v).UTC()
		return nil
	case avroDate:
		return dateText(time.Unix(v*86400, 0), time.DateOnly, out)
	case avroLocalMillis:
		return dateText(time.UnixMilli(v), localLayout, out)
	case avroLocalMicros:
		return dateText(time.UnixMicro(v), localLayout, out)
	case avroLocalNanos:
		return dateText(time.Unix(0, v), localLayout, out)
	case avroTimeMillis:
		return clockText(v, milli, out)
	case avroTimeMicros:
		return clockText(v, micro, out)
	default:
		out.num = uint64(v)
		return nil
	}
}

const (
	localLayout = "2006-01-02T15:04:05.999999999"
	clockLayout = "15:04:05.999999999"
)

// checkTime refuses what neither RFC 3339 nor CEL can express.
func checkTime(t time.Time) error {
	if y := t.Year(); y < 1 || y > 9999 {
		return errTimeRange
	}
	return nil
}

func dateText(t time.Time, layout string, out *result) error {
	t = t.UTC()
	out.text = t.AppendFormat(nil, layout)
	return checkTime(t)
}

func clockText(v, unit int64, out *result) error {
	if v < 0 || v >= int64(24*time.Hour)/unit {
		return errAvroTimeDay
	}
	out.text = time.Unix(0, v*unit).UTC().AppendFormat(nil, clockLayout)
	return nil
}

// binary sets out to what bytes or a fixed stand for.
func (t *avroType) binary(out *result) (err error) {
	switch t.logical {
	case avroDecimal:
		out.text, err = appendDecimal(nil, out.text, t.scale)
	case avroUUID:
		out.text = appendUUID(nil, out.text)
	}
	return err
}

func appendUUID(dst, id []byte) []byte {
	for i, cut := range [][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, cut)
	}
	return dst
}

// tree decodes a list, a map or a record.
func (r *avroReader) tree(t *avroType, depth int) (any, error) {
	if depth >= maxDepth {
		return nil, errTooDeep
	}
	var item result
	if t.kind == avroRecord {
		m := make(map[string]any, len(t.fields))
		for i := range t.fields {
			f := &t.fields[i]
			if err := r.value(f.typ, depth+1, &item); err != nil {
				return nil, err
			}
			m[string(f.name)] = item.native()
		}
		return m, nil
	}
	list, m := []any{}, map[string]any{}
	err := r.blocks(t, func(name []byte) error {
		if err := r.value(t.elem, depth+1, &item); err != nil {
			return err
		}
		if t.kind == avroArray {
			list = append(list, item.native())
			return nil
		}
		if _, twice := m[string(name)]; twice {
			return errTwice
		}
		m[string(name)] = item.native()
		return nil
	})
	if t.kind == avroArray {
		return list, err
	}
	return m, err
}

// blocks calls item at each item of an array or entry of a map, for it to read
// the value.
func (r *avroReader) blocks(t *avroType, item func(name []byte) error) error {
	for {
		count, next, end, err := readAvroBlock(r.b, r.i, t.itemLeast())
		if err != nil {
			return err
		}
		if r.i = next; count == 0 {
			return nil
		}
		for range count {
			var name []byte
			if t.kind == avroMap {
				if name, r.i, err = readAvroBytes(r.b, r.i); err != nil {
					return err
				}
				if !utf8.Valid(name) {
					return errAvroUTF8
				}
			}
			if err := item(name); err != nil {
				return err
			}
		}
		if end >= 0 && r.i != end {
			return errAvroBlock
		}
	}
}

// appendJSON appends a value as JSON text without building a tree.
func (r *avroReader) appendJSON(dst []byte, t *avroType, depth int) (_ []byte, err error) {
	if t.kind == avroUnion {
		if t, r.i, err = t.unwrap(r.b, r.i); err != nil {
			return dst, err
		}
	}
	if depth >= maxDepth {
		return dst, errTooDeep
	}
	switch t.kind {
	case avroRecord:
		if r.nodes--; r.nodes < 0 {
			return dst, errAvroNodes
		}
		dst = append(dst, '{')
		for i := range t.fields {
			f := &t.fields[i]
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(append(dst, f.quote...), ':')
			if dst, err = r.appendJSON(dst, f.typ, depth+1); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	case avroArray:
		dst = append(dst, '[')
		start := len(dst)
		err = r.blocks(t, func([]byte) (err error) {
			if len(dst) > start {
				dst = append(dst, ',')
			}
			dst, err = r.appendJSON(dst, t.elem, depth+1)
			return err
		})
		return append(dst, ']'), err
	case avroMap:
		return r.appendMap(dst, t, depth)
	}
	var out result
	if err := r.value(t, depth, &out); err != nil {
		return dst, err
	}
	return out.appendJSON(dst)
}

// appendMap appends a map, its entries by name.
func (r *avroReader) appendMap(dst []byte, t *avroType, depth int) ([]byte, error) {
	type entry struct {
		name []byte
		at   int
	}
	var entries []entry
	err := r.blocks(t, func(name []byte) (err error) {
		if r.nodes--; r.nodes < 0 {
			return errAvroNodes
		}
		entries = append(entries, entry{name, r.i})
		r.i, err = t.elem.skip(r.b, r.i, depth+1)
		return err
	})
	if err != nil {
		return dst, err
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(string(a.name), string(b.name)) })
	end := r.i
	dst = append(dst, '{')
	for i, e := range entries {
		if i > 0 {
			if string(entries[i-1].name) == string(e.name) {
				return dst, errTwice
			}
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, e.name), ':')
		r.i = e.at
		if dst, err = r.appendJSON(dst, t.elem, depth+1); err != nil {
			return dst, err
		}
	}
	r.i = end
	return append(dst, '}'), nil
}
