package transform

import (
	"errors"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var (
	errProtoWire = errors.New("not a Protobuf message")
	errProtoUTF8 = errors.New("the Protobuf data holds a string that is not UTF-8")
)

// next reads the tag and the value at i: payload is the value without its
// length or its end.
func next(b []byte, i int) (num protowire.Number, typ protowire.Type, payload []byte, end int, err error) {
	num, typ, n := protowire.ConsumeTag(b[i:])
	if n < 0 || num > protowire.MaxValidNumber {
		return 0, 0, nil, 0, errProtoWire
	}
	i += n
	switch typ {
	case protowire.BytesType:
		payload, n = protowire.ConsumeBytes(b[i:])
	case protowire.StartGroupType:
		payload, n = protowire.ConsumeGroup(num, b[i:])
	default:
		if n = protowire.ConsumeFieldValue(num, typ, b[i:]); n >= 0 {
			payload = b[i : i+n]
		}
	}
	if n < 0 {
		return 0, 0, nil, 0, errProtoWire
	}
	return num, typ, payload, i + n, nil
}

// split appends the fields of a message. A field may come more than once: the
// last value counts, messages are merged, and of a oneof the last member.
func (m *protoMessage) split(b []byte, dst []field) ([]field, error) {
	first := len(dst)
	dst = slices.Grow(dst, len(m.fields))[:first+len(m.fields)]
	out := dst[first:]
	clear(out)
	var merged map[int]bool
	for i := 0; i < len(b); {
		num, typ, payload, end, err := next(b, i)
		if err != nil {
			return dst[:first], err
		}
		if at := m.place(num); at >= 0 && m.fields[at].takes(typ) {
			f, o := &m.fields[at], &out[at]
			switch {
			case f.shape != protoSingle:
				start := i
				if o.typ != nil {
					start = cap(b) - cap(o.value) // where its first item begins
				}
				o.value = b[start:end]
			case f.message != nil && o.typ != nil:
				if merged == nil {
					merged = make(map[int]bool)
				}
				if !merged[at] { // else the bytes are its own, with room to grow
					merged[at], o.value = true, slices.Clone(o.value)
				}
				o.value = append(o.value, payload...)
			default:
				o.value = payload
			}
			o.typ = f
			for _, r := range f.rivals {
				out[r].typ = nil
				delete(merged, r)
			}
		}
		i = end
	}
	kept := first
	for i := range m.fields {
		f := &m.fields[i]
		o := dst[first+i]
		if o.typ == nil {
			if f.presence {
				continue
			}
			o.value = nil
		}
		dst[kept] = field{name: f.name, quote: f.quote, value: o.value, typ: f}
		kept++
	}
	clear(dst[kept:])
	return dst[:kept], nil
}

// takes reports whether a value of a wire type is one of the field, and not an
// unknown one of the same number.
func (f *protoField) takes(typ protowire.Type) bool {
	item := f
	switch f.shape {
	case protoMap:
		return typ == protowire.BytesType
	case protoList:
		item = f.item
	}
	want := item.wire()
	return typ == want || f.shape == protoList && typ == protowire.BytesType && packable(want)
}

func packable(t protowire.Type) bool {
	return t == protowire.VarintType || t == protowire.Fixed32Type || t == protowire.Fixed64Type
}

// each calls item with the payload of each item of a list, in order.
func (f *protoField) each(b []byte, item func(payload []byte) error) error {
	want := f.item.wire()
	for i := 0; i < len(b); {
		num, typ, payload, end, err := next(b, i)
		if err != nil {
			return err
		}
		i = end
		if num != f.number || !f.takes(typ) {
			continue
		}
		if typ == want {
			if err := item(payload); err != nil {
				return err
			}
			continue
		}
		for len(payload) > 0 {
			n := protowire.ConsumeFieldValue(num, want, payload)
			if n < 0 {
				return errProtoWire
			}
			if err := item(payload[:n]); err != nil {
				return err
			}
			payload = payload[n:]
		}
	}
	return nil
}

// entries appends the entries of a map; of those with one name the last.
func (f *protoField) entries(b []byte, dst []field) ([]field, error) {
	first := len(dst)
	for i := 0; i < len(b); {
		num, typ, payload, end, err := next(b, i)
		if err != nil {
			return dst, err
		}
		i = end
		if num != f.number || typ != protowire.BytesType {
			continue
		}
		key, err := f.key.last(payload)
		if err != nil {
			return dst, err
		}
		value, err := f.item.last(payload)
		if err != nil {
			return dst, err
		}
		name, err := f.key.keyText(key)
		if err != nil {
			return dst, err
		}
		dst = append(dst, field{name: name, value: value, typ: f.item})
	}
	if distinct(dst[first:]) == nil {
		return dst, nil
	}
	at := make(map[string]int)
	kept := dst[:first]
	for _, e := range dst[first:] {
		if n, twice := at[string(e.name)]; twice {
			kept[n].value = e.value
			continue
		}
		at[string(e.name)] = len(kept)
		kept = append(kept, e)
	}
	return kept, nil
}

// last returns the payload of a single field of the message b, nil where it is
// not there.
func (f *protoField) last(b []byte) (payload []byte, err error) {
	there, merged := false, false
	for i := 0; i < len(b); {
		num, typ, p, end, err := next(b, i)
		if err != nil {
			return nil, err
		}
		if i = end; num != f.number || typ != f.wire() {
			continue
		}
		if f.message == nil || !there {
			payload, there = p, true
			continue
		}
		if !merged {
			payload, merged = slices.Clone(payload), true
		}
		payload = append(payload, p...)
	}
	return payload, nil
}

// keyText is the key of a map as text.
func (f *protoField) keyText(key []byte) ([]byte, error) {
	var r result
	reader := newProtoReader(key)
	if err := reader.value(f, key, 0, &r); err != nil {
		return nil, err
	}
	switch r.kind {
	case kindString:
		return r.text, nil
	case kindBool:
		return strconv.AppendBool(nil, r.num != 0), nil
	case kindUint:
		return strconv.AppendUint(nil, r.num, 10), nil
	default:
		return strconv.AppendInt(nil, int64(r.num), 10), nil
	}
}

// unwrap follows messages that stand for one of their fields.
func (f *protoField) unwrap(value []byte) (*protoField, []byte, error) {
	for f.shape == protoSingle && f.message != nil {
		m := f.message
		switch m.special {
		case protoHolder:
			inner := &m.fields[0]
			if inner.shape != protoSingle {
				return inner, value, nil // the message holds nothing else
			}
			v, err := inner.last(value)
			if err != nil {
				return nil, nil, err
			}
			f, value = inner, v
		case protoValue:
			var fields [8]field
			set, err := m.split(value, fields[:0])
			if err != nil {
				return nil, nil, err
			}
			if len(set) == 0 {
				return protoNull, nil, nil
			}
			f, value = set[0].typ.(*protoField), set[0].value
		default:
			return f, value, nil
		}
	}
	return f, value, nil
}

// protoNull is the type of a google.protobuf.Value in which nothing is set.
var protoNull = &protoField{kind: protoreflect.EnumKind, null: true}
