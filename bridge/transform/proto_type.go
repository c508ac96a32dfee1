package transform

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// protoSpecial is a message that stands for something else.
type protoSpecial uint8

const (
	protoPlain     protoSpecial = iota
	protoTimestamp              // google.protobuf.Timestamp: a time
	protoDuration               // google.protobuf.Duration: a duration
	protoHolder                 // a message whose only field is the value: the wrappers, Struct, ListValue
	protoValue                  // google.protobuf.Value: whichever field is set, null if none is
)

var protoSpecials = map[protoreflect.FullName]protoSpecial{
	"google.protobuf.Timestamp":   protoTimestamp,
	"google.protobuf.Duration":    protoDuration,
	"google.protobuf.DoubleValue": protoHolder,
	"google.protobuf.FloatValue":  protoHolder,
	"google.protobuf.Int64Value":  protoHolder,
	"google.protobuf.UInt64Value": protoHolder,
	"google.protobuf.Int32Value":  protoHolder,
	"google.protobuf.UInt32Value": protoHolder,
	"google.protobuf.BoolValue":   protoHolder,
	"google.protobuf.StringValue": protoHolder,
	"google.protobuf.BytesValue":  protoHolder,
	"google.protobuf.Struct":      protoHolder,
	"google.protobuf.ListValue":   protoHolder,
	"google.protobuf.Value":       protoValue,
}

// protoMessage is a compiled message. It is immutable, and may hold itself.
type protoMessage struct {
	special protoSpecial
	fields  []protoField
	low     []int16 // place of a field by its number, from 0; -1: none
	high    map[protowire.Number]int16
	self    *protoField // a field that holds such a message
}

// place returns the place of the field with a number, -1 where there is none.
func (m *protoMessage) place(n protowire.Number) int {
	if int(n) < len(m.low) {
		return int(m.low[n])
	}
	if at, ok := m.high[n]; ok {
		return int(at)
	}
	return -1
}

type protoShape uint8

const (
	protoSingle protoShape = iota
	protoList
	protoMap
)

// protoField is a field, an item of a list, or a key or value of a map.
//
// The value of a single field is its payload: without tag, and, of what has a
// length, without that; nothing where the field has its default. The value of
// a list or a map is the part of the message from its first item to its last,
// tags and whatever lies between included: the items need not lie together.
type protoField struct {
	number   protowire.Number
	name     []byte
	quote    []byte // name as JSON text
	kind     protoreflect.Kind
	shape    protoShape
	presence bool  // the field is there only if it is set
	rivals   []int // places of the other fields of its oneof
	item     *protoField
	key      *protoField // of a map, with item as its value
	message  *protoMessage
	enum     map[int32][]byte // names by number
	null     bool             // the enum is google.protobuf.NullValue
}

// protoTypes compiles messages, each once.
type protoTypes map[protoreflect.FullName]*protoMessage

func (c protoTypes) message(md protoreflect.MessageDescriptor) *protoMessage {
	if m := c[md.FullName()]; m != nil {
		return m
	}
	m := &protoMessage{special: protoSpecials[md.FullName()], high: make(map[protowire.Number]int16)}
	m.self = &protoField{kind: protoreflect.MessageKind, message: m}
	c[md.FullName()] = m
	fds := md.Fields()
	m.fields = make([]protoField, fds.Len())
	for i := range m.fields {
		fd := fds.Get(i)
		c.field(fd, &m.fields[i])
		if n := fd.Number(); n < 256 {
			for len(m.low) <= int(n) {
				m.low = append(m.low, -1)
			}
			m.low[n] = int16(i)
		} else {
			m.high[n] = int16(i)
		}
		if o := fd.ContainingOneof(); o != nil {
			for j := range o.Fields().Len() {
				if rival := o.Fields().Get(j).Index(); rival != i {
					m.fields[i].rivals = append(m.fields[i].rivals, rival)
				}
			}
		}
	}
	if (m.special == protoTimestamp || m.special == protoDuration) && len(m.low) < 3 || m.special == protoHolder && len(m.fields) != 1 {
		m.special = protoPlain // a message of somebody's own
	}
	return m
}

func (c protoTypes) field(fd protoreflect.FieldDescriptor, f *protoField) {
	*f = protoField{
		number: fd.Number(), name: []byte(fd.Name()), quote: appendQuoted(nil, string(fd.Name())),
		kind: fd.Kind(), presence: fd.HasPresence(),
	}
	switch {
	case fd.IsMap():
		f.shape = protoMap
		f.key, f.item = new(protoField), new(protoField)
		c.field(fd.MapKey(), f.key)
		c.field(fd.MapValue(), f.item)
		return
	case fd.IsList():
		f.shape = protoList
		item := *f
		item.shape, item.presence = protoSingle, false
		f.item = &item
		f = f.item
	}
	if md := fd.Message(); md != nil {
		f.message = c.message(md)
	}
	if ed := fd.Enum(); ed != nil {
		f.null = ed.FullName() == "google.protobuf.NullValue"
		f.enum = make(map[int32][]byte)
		for i := range ed.Values().Len() {
			v := ed.Values().Get(i)
			if f.enum[int32(v.Number())] == nil { // the first of aliases
				f.enum[int32(v.Number())] = []byte(v.Name())
			}
		}
	}
}

// wire is how a single value of the field is written.
func (f *protoField) wire() protowire.Type {
	switch f.kind {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	default:
		return protowire.VarintType
	}
}
