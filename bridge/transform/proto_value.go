package transform

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var (
	errProtoNodes    = errors.New("the Protobuf data holds more values than a record of its size may")
	errDurationRange = errors.New("a duration is longer than 292 years")
)

// protoReader decodes values. A message of a few bytes may have any number of
// fields with defaults, so what it may decode to is bounded.
type protoReader struct{ nodes int64 }

func newProtoReader(b []byte) protoReader { return protoReader{nodes: 1<<20 + 8*int64(len(b))} }

func (r *protoReader) count() error {
	if r.nodes--; r.nodes < 0 {
		return errProtoNodes
	}
	return nil
}

// resultKind is the kind of result that a value decodes to, after unwrap. Of
// an enum whose number has no name it is an int instead.
func (f *protoField) resultKind() kind {
	switch {
	case f.shape == protoList:
		return kindList
	case f.shape == protoMap:
		return kindMap
	case f.message != nil:
		switch f.message.special {
		case protoTimestamp:
			return kindTime
		case protoDuration:
			return kindDuration
		default:
			return kindMap
		}
	}
	switch f.kind {
	case protoreflect.BoolKind:
		return kindBool
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return kindUint
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return kindDouble
	case protoreflect.StringKind:
		return kindString
	case protoreflect.BytesKind:
		return kindBytes
	case protoreflect.EnumKind:
		if f.null {
			return kindNull
		}
		return kindString
	default:
		return kindInt
	}
}

// value decodes a value.
func (r *protoReader) value(f *protoField, b []byte, depth int, out *result) error {
	if err := r.count(); err != nil {
		return err
	}
	f, b, err := f.unwrap(b)
	if err != nil {
		return err
	}
	out.kind, out.num, out.text = f.resultKind(), 0, nil
	switch out.kind {
	case kindNull:
		return nil
	case kindString, kindBytes:
		if f.kind == protoreflect.EnumKind {
			return f.symbol(b, out)
		}
		out.text = b
		if out.kind == kindString && !utf8.Valid(b) {
			return errProtoUTF8
		}
		return nil
	case kindList, kindMap:
		out.tree, err = r.tree(f, b, depth)
		return err
	case kindTime:
		return f.message.time(b, out)
	case kindDuration:
		return f.message.duration(b, out)
	default:
		return f.number64(b, out)
	}
}

func (f *protoField) symbol(b []byte, out *result) error {
	v, err := varint(b)
	if err != nil {
		return err
	}
	if name := f.enum[int32(v)]; name != nil {
		out.text = name
		return nil
	}
	out.kind, out.num = kindInt, uint64(int64(int32(v)))
	return nil
}

// varint reads the payload of a number; an empty one is 0.
func varint(b []byte) (uint64, error) {
	if len(b) == 0 {
		return 0, nil
	}
	v, n := protowire.ConsumeVarint(b)
	if n != len(b) {
		return 0, errProtoWire
	}
	return v, nil
}

// number64 decodes a boolean or a number.
func (f *protoField) number64(b []byte, out *result) error {
	var v uint64
	var err error
	switch wire := f.wire(); {
	case len(b) == 0:
	case wire == protowire.Fixed32Type && len(b) == 4:
		v = uint64(binary.LittleEndian.Uint32(b))
	case wire == protowire.Fixed64Type && len(b) == 8:
		v = binary.LittleEndian.Uint64(b)
	case wire == protowire.VarintType:
		v, err = varint(b)
	default:
		err = errProtoWire
	}
	if err != nil {
		return err
	}
	switch f.kind {
	case protoreflect.BoolKind:
		if v != 0 {
			v = 1
		}
	case protoreflect.Int32Kind, protoreflect.Sfixed32Kind:
		v = uint64(int64(int32(v)))
	case protoreflect.Uint32Kind:
		v = uint64(uint32(v))
	case protoreflect.Sint32Kind:
		v = uint64(int64(int32(protowire.DecodeZigZag(v & math.MaxUint32))))
	case protoreflect.Sint64Kind:
		v = uint64(protowire.DecodeZigZag(v))
	case protoreflect.FloatKind:
		v = math.Float64bits(float64(math.Float32frombits(uint32(v))))
	}
	out.num = v
	return nil
}

// secondsAndNanos reads what a Timestamp and a Duration hold.
func (m *protoMessage) secondsAndNanos(b []byte) (seconds, nanos int64, err error) {
	for n, to := range []*int64{&seconds, &nanos} {
		at := m.place(protowire.Number(n + 1))
		if at < 0 {
			return 0, 0, errProtoWire
		}
		payload, err := m.fields[at].last(b)
		if err != nil {
			return 0, 0, err
		}
		v, err := varint(payload)
		if err != nil {
			return 0, 0, err
		}
		*to = int64(v)
	}
	nanos = int64(int32(nanos))
	return seconds, nanos, nil
}

func (m *protoMessage) time(b []byte, out *result) error {
	s, n, err := m.secondsAndNanos(b)
	if err != nil {
		return err
	}
	// The bounds keep time's own arithmetic from overflowing.
	if s < -62135596800 || s > 253402300799 || n < 0 || n > 999_999_999 {
		return errTimeRange
	}
	out.when = time.Unix(s, n).UTC()
	return nil
}

func (m *protoMessage) duration(b []byte, out *result) error {
	s, n, err := m.secondsAndNanos(b)
	if err != nil {
		return err
	}
	const most = math.MaxInt64 / int64(time.Second)
	if s <= -most || s >= most || n < -999_999_999 || n > 999_999_999 {
		return errDurationRange
	}
	out.num = uint64(s*int64(time.Second) + n)
	return nil
}

// tree decodes a list, a map or a message.
func (r *protoReader) tree(f *protoField, b []byte, depth int) (any, error) {
	if depth >= maxDepth {
		return nil, errTooDeep
	}
	var item result
	if f.shape == protoList {
		list := []any{}
		err := f.each(b, func(payload []byte) error {
			if err := r.value(f.item, payload, depth+1, &item); err != nil {
				return err
			}
			list = append(list, item.native())
			return nil
		})
		return list, err
	}
	fields, err := f.members(b)
	if err != nil {
		return nil, err
	}
	m := make(map[string]any, len(fields))
	for i := range fields {
		if err := r.value(fields[i].typ.(*protoField), fields[i].value, depth+1, &item); err != nil {
			return nil, err
		}
		m[string(fields[i].name)] = item.native()
	}
	return m, nil
}

// members returns the entries of a map or the fields of a message.
func (f *protoField) members(b []byte) ([]field, error) {
	if f.shape == protoMap {
		return f.entries(b, nil)
	}
	return f.message.split(b, nil)
}

// appendJSON appends a value as JSON text without building a tree.
func (r *protoReader) appendJSON(dst []byte, f *protoField, b []byte, depth int) ([]byte, error) {
	f, b, err := f.unwrap(b)
	if err != nil {
		return dst, err
	}
	if depth >= maxDepth {
		return dst, errTooDeep
	}
	switch f.resultKind() {
	case kindList:
		if err := r.count(); err != nil {
			return dst, err
		}
		dst = append(dst, '[')
		start := len(dst)
		err = f.each(b, func(payload []byte) (err error) {
			if len(dst) > start {
				dst = append(dst, ',')
			}
			dst, err = r.appendJSON(dst, f.item, payload, depth+1)
			return err
		})
		return append(dst, ']'), err
	case kindMap:
		if err := r.count(); err != nil {
			return dst, err
		}
		fields, err := f.members(b)
		if err != nil {
			return dst, err
		}
		if f.shape == protoMap {
			slices.SortFunc(fields, func(a, b field) int { return cmp.Compare(string(a.name), string(b.name)) })
		}
		dst = append(dst, '{')
		for i := range fields {
			m := &fields[i]
			if i > 0 {
				dst = append(dst, ',')
			}
			if m.quote != nil {
				dst = append(dst, m.quote...)
			} else {
				dst = appendQuoted(dst, m.name)
			}
			dst = append(dst, ':')
			if dst, err = r.appendJSON(dst, m.typ.(*protoField), m.value, depth+1); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	}
	var out result
	if err := r.value(f, b, depth, &out); err != nil {
		return dst, err
	}
	return out.appendJSON(dst)
}
