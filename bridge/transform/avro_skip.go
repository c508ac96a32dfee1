package transform

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
)

var (
	errAvroShort    = errors.New("the Avro data ends too early")
	errAvroVarint   = errors.New("the Avro data holds a number of more bits than its type has")
	errAvroBranch   = errors.New("the Avro data holds a union branch that the schema does not have")
	errAvroSymbol   = errors.New("the Avro data holds an enum symbol that the schema does not have")
	errAvroBoolean  = errors.New("the Avro data holds a boolean that is neither 0 nor 1")
	errAvroBlock    = errors.New("the Avro data holds a block of another size than it says")
	errAvroTrailing = errors.New("the Avro data goes on after the record: is it written with this schema?")
)

// avroLong reads a zigzag number at i and returns the index after it.
func readAvroLong(b []byte, i int) (int64, int, error) {
	if i < len(b) && b[i] < 0x80 {
		u := uint64(b[i])
		return int64(u>>1) ^ -int64(u&1), i + 1, nil
	}
	return readAvroLongSlow(b, i)
}

func readAvroLongSlow(b []byte, i int) (int64, int, error) {
	if i > len(b) {
		return 0, 0, errAvroShort
	}
	u, n := binary.Uvarint(b[i:])
	switch {
	case n > 0:
		return int64(u>>1) ^ -int64(u&1), i + n, nil
	case n == 0:
		return 0, 0, errAvroShort
	default:
		return 0, 0, errAvroVarint
	}
}

// skipAvroLong finds the end of a number, eight bytes at a time.
func skipAvroLong(b []byte, i int) (int, error) {
	if len(b)-i >= 8 {
		if ends := ^binary.LittleEndian.Uint64(b[i:]) & highs; ends != 0 {
			return i + 1 + bits.TrailingZeros64(ends)>>3, nil
		}
	}
	_, end, err := readAvroLong(b, i)
	return end, err
}

func readAvroInt(b []byte, i int) (int64, int, error) {
	v, i, err := readAvroLong(b, i)
	if err == nil && (v < math.MinInt32 || v > math.MaxInt32) {
		return 0, 0, errAvroVarint
	}
	return v, i, err
}

// readAvroBytes reads a string or bytes at i.
func readAvroBytes(b []byte, i int) (text []byte, end int, err error) {
	n, i, err := readAvroLong(b, i)
	if err != nil {
		return nil, 0, err
	}
	if n < 0 || n > int64(len(b)-i) {
		return nil, 0, errAvroShort
	}
	end = i + int(n)
	return b[i:end], end, nil
}

// readAvroIndex reads the index of a branch or a symbol.
func readAvroIndex(b []byte, i, count int, unknown error) (index, end int, err error) {
	n, i, err := readAvroLong(b, i)
	if err != nil {
		return 0, 0, err
	}
	if n < 0 || n >= int64(count) {
		return 0, 0, unknown
	}
	return int(n), i, nil
}

// readAvroBlock reads the head of a block of items, each of at least least
// bytes: their number (0: the list is over), and the index after the block,
// -1 where the block does not say.
func readAvroBlock(b []byte, i, least int) (count int64, next, end int, err error) {
	count, i, err = readAvroLong(b, i)
	if err != nil {
		return 0, 0, 0, err
	}
	end = -1
	if count < 0 {
		if count == math.MinInt64 {
			return 0, 0, 0, errAvroShort
		}
		count = -count
		var size int64
		if size, i, err = readAvroLong(b, i); err != nil {
			return 0, 0, 0, err
		}
		if size < 0 || size > int64(len(b)-i) {
			return 0, 0, 0, errAvroShort
		}
		end = i + int(size)
	}
	if least > 0 && count > int64((len(b)-i)/least) {
		return 0, 0, 0, errAvroShort
	}
	return count, i, end, nil
}

// least is the smallest number of bytes that a value takes.
func (t *avroType) least() int {
	if t.width < 0 {
		return 1
	}
	return t.width
}

// skip returns the index after the value of type t at i.
func (t *avroType) skip(b []byte, i, depth int) (end int, err error) {
	if t.width >= 0 {
		if t.width > len(b)-i {
			return 0, errAvroShort
		}
		return i + t.width, nil
	}
	switch t.kind {
	case avroString, avroBytes:
		_, end, err = readAvroBytes(b, i)
		return end, err
	case avroLong:
		return skipAvroLong(b, i)
	case avroInt:
		_, end, err = readAvroInt(b, i)
		return end, err
	case avroEnum:
		_, end, err = readAvroIndex(b, i, len(t.symbols), errAvroSymbol)
		return end, err
	}
	if depth >= maxDepth {
		return 0, errTooDeep
	}
	switch t.kind {
	case avroUnion:
		var n int
		if n, i, err = readAvroIndex(b, i, len(t.branches), errAvroBranch); err != nil {
			return 0, err
		}
		return t.branches[n].skip(b, i, depth+1)
	case avroRecord:
		for f := range t.fields {
			if i, err = t.fields[f].typ.skip(b, i, depth+1); err != nil {
				return 0, err
			}
		}
		return i, nil
	default:
		return t.skipBlocks(b, i, depth)
	}
}

// skipBlocks skips an array or a map.
func (t *avroType) skipBlocks(b []byte, i, depth int) (int, error) {
	least := t.itemLeast()
	for {
		count, next, end, err := readAvroBlock(b, i, least)
		if err != nil || count == 0 {
			return next, err
		}
		i = next
		if t.kind == avroArray && t.elem.width >= 0 {
			i += int(count) * t.elem.width // no more than what is left: readAvroBlock has seen to it
		} else {
			for range count {
				if t.kind == avroMap {
					if _, i, err = readAvroBytes(b, i); err != nil {
						return 0, err
					}
				}
				if i, err = t.elem.skip(b, i, depth+1); err != nil {
					return 0, err
				}
			}
		}
		if end >= 0 && i != end {
			return 0, errAvroBlock
		}
	}
}

// itemLeast is the smallest number of bytes of an item of t.
func (t *avroType) itemLeast() int {
	if t.kind == avroMap {
		return 1 + t.elem.least() // the length of the name
	}
	return t.elem.least()
}

// unwrap follows the branches of unions: it returns the type that the value at
// i has, and the index at which it begins.
func (t *avroType) unwrap(b []byte, i int) (*avroType, int, error) {
	for t.kind == avroUnion { // a union holds none itself
		n, next, err := readAvroIndex(b, i, len(t.branches), errAvroBranch)
		if err != nil {
			return nil, 0, err
		}
		t, i = t.branches[n], next
	}
	return t, i, nil
}
