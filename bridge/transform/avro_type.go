package transform

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// avroKind is the kind of an Avro type.
type avroKind uint8

const (
	avroNull avroKind = iota
	avroBoolean
	avroInt
	avroLong
	avroFloat
	avroDouble
	avroBytes
	avroString
	avroEnum
	avroFixed
	avroArray
	avroMap
	avroRecord
	avroUnion
)

var avroKinds = map[string]avroKind{
	"null": avroNull, "boolean": avroBoolean, "int": avroInt, "long": avroLong, "float": avroFloat,
	"double": avroDouble, "bytes": avroBytes, "string": avroString, "enum": avroEnum, "fixed": avroFixed,
	"array": avroArray, "map": avroMap, "record": avroRecord, "error": avroRecord, "union": avroUnion,
}

func (k avroKind) String() string {
	for name, kind := range avroKinds {
		if kind == k && name != "error" {
			return name
		}
	}
	return "unknown"
}

// avroLogical is what a type stands for, where it says so in a way that the
// Avro specification knows. Anything else is read as the type beneath it.
type avroLogical uint8

const (
	avroPlain avroLogical = iota
	avroDate
	avroTimeMillis
	avroTimeMicros
	avroTimestampMillis
	avroTimestampMicros
	avroTimestampNanos
	avroLocalMillis
	avroLocalMicros
	avroLocalNanos
	avroDecimal
	avroUUID
)

var avroLogicals = map[string]struct {
	kinds   []avroKind
	logical avroLogical
}{
	"date":                   {[]avroKind{avroInt}, avroDate},
	"time-millis":            {[]avroKind{avroInt}, avroTimeMillis},
	"time-micros":            {[]avroKind{avroLong}, avroTimeMicros},
	"timestamp-millis":       {[]avroKind{avroLong}, avroTimestampMillis},
	"timestamp-micros":       {[]avroKind{avroLong}, avroTimestampMicros},
	"timestamp-nanos":        {[]avroKind{avroLong}, avroTimestampNanos},
	"local-timestamp-millis": {[]avroKind{avroLong}, avroLocalMillis},
	"local-timestamp-micros": {[]avroKind{avroLong}, avroLocalMicros},
	"local-timestamp-nanos":  {[]avroKind{avroLong}, avroLocalNanos},
	"decimal":                {[]avroKind{avroBytes, avroFixed}, avroDecimal},
	"uuid":                   {[]avroKind{avroString, avroFixed}, avroUUID},
}

// avroType is a compiled type of an Avro schema. It is immutable once its
// schema is compiled, and may refer to itself.
type avroType struct {
	kind    avroKind
	logical avroLogical
	// width is the number of bytes of every value, -1 where it varies. A type
	// whose width varies has no value without bytes.
	width     int
	precision int              // of a decimal
	scale     int              // of a decimal
	name      string           // full name of a record, an enum or a fixed
	fields    []avroField      // of a record
	elem      *avroType        // item of an array, value of a map
	branches  []*avroType      // of a union
	symbols   [][]byte         // of an enum
	other     int              // index of an enum's default symbol, -1 without
	node      *avro.SchemaNode // documentation and aliases
	measuring bool
}

// avroField is a field of a record.
type avroField struct {
	name    []byte
	quote   []byte // the name as JSON text
	aliases [][]byte
	typ     *avroType
	node    *avro.SchemaField
	// missing is the binary default, nil where the field must be there. It is
	// known for schemas that records are written in.
	missing []byte
}

// avroCompiler compiles schemas that may refer to each other's types.
type avroCompiler struct {
	cache avro.SchemaCache
	named map[string]*avroType
	later []avroRef
}

// avroRef is a use of a type before its definition.
type avroRef struct {
	to    **avroType
	names []string
}

// compileAvro compiles a schema that refers to no other.
func compileAvro(schema string) (*avroType, error) {
	return (&avroCompiler{}).compile(schema)
}

// compile compiles a schema, which may refer to types of those compiled before.
func (c *avroCompiler) compile(schema string) (*avroType, error) {
	s, err := c.cache.Parse(schema)
	if err != nil {
		return nil, err
	}
	if c.named == nil {
		c.named = make(map[string]*avroType)
	}
	var t *avroType
	if err := c.node(s.Root(), "", &t); err != nil {
		return nil, err
	}
	for _, r := range c.later {
		found := false
		for _, name := range r.names {
			if def := c.named[name]; def != nil {
				*r.to, found = def, true
				break
			}
		}
		if !found {
			return nil, fmt.Errorf("type %s is not defined", r.names[0])
		}
	}
	c.later = nil
	t.measure()
	return t, nil
}

// node compiles one node into *to; space is the namespace around it.
func (c *avroCompiler) node(n *avro.SchemaNode, space string, to **avroType) error {
	kind, ok := avroKinds[n.Type]
	if !ok {
		c.reference(n.Type, space, to)
		return nil
	}
	t := &avroType{kind: kind, width: -1, other: -1, node: n}
	*to = t
	switch kind {
	case avroRecord, avroEnum, avroFixed:
		t.name = fullName(n)
		space = ""
		if dot := strings.LastIndexByte(t.name, '.'); dot >= 0 {
			space = t.name[:dot]
		}
		c.named[t.name] = t
	}
	if l, ok := avroLogicals[n.LogicalType]; ok && slices.Contains(l.kinds, kind) {
		t.logical, t.precision, t.scale = l.logical, n.Precision, n.Scale
		switch {
		case l.logical == avroDecimal && n.Precision <= 0,
			l.logical == avroUUID && kind == avroFixed && n.Size != 16:
			t.logical = avroPlain
		}
	}
	switch kind {
	case avroFixed:
		t.width = n.Size
	case avroEnum:
		for _, s := range n.Symbols {
			t.symbols = append(t.symbols, []byte(s))
		}
		if n.HasEnumDefault {
			t.other = slices.Index(n.Symbols, n.EnumDefault)
		}
	case avroArray:
		return c.node(n.Items, space, &t.elem)
	case avroMap:
		return c.node(n.Values, space, &t.elem)
	case avroUnion:
		t.branches = make([]*avroType, len(n.Branches))
		for i := range n.Branches {
			if err := c.node(&n.Branches[i], space, &t.branches[i]); err != nil {
				return err
			}
		}
	case avroRecord:
		t.fields = make([]avroField, len(n.Fields))
		for i := range n.Fields {
			f, node := &t.fields[i], &n.Fields[i]
			f.name, f.quote, f.node = []byte(node.Name), appendQuoted(nil, node.Name), node
			for _, a := range node.Aliases {
				f.aliases = append(f.aliases, []byte(a))
			}
			if err := c.node(&node.Type, space, &f.typ); err != nil {
				return err
			}
		}
	}
	return nil
}

// reference looks a name up: in the namespace around it first, as everywhere
// in Avro.
func (c *avroCompiler) reference(name, space string, to **avroType) {
	names := []string{name}
	switch {
	case strings.HasPrefix(name, "."):
		names = []string{name[1:]}
	case space != "" && !strings.Contains(name, "."):
		names = []string{space + "." + name, name}
	}
	c.later = append(c.later, avroRef{to: to, names: names})
	if def := c.named[names[0]]; def != nil {
		*to = def // what is defined before wins over what comes later
		c.later = c.later[:len(c.later)-1]
	}
}

func fullName(n *avro.SchemaNode) string {
	if n.Namespace == "" || strings.Contains(n.Name, ".") {
		return strings.TrimPrefix(n.Name, ".")
	}
	return n.Namespace + "." + n.Name
}

// measure fills in the widths of t and of what it holds.
func (t *avroType) measure() {
	if t.measuring {
		return
	}
	t.measuring = true
	switch t.kind {
	case avroNull:
		t.width = 0
	case avroBoolean:
		t.width = 1
	case avroFloat:
		t.width = 4
	case avroDouble:
		t.width = 8
	case avroArray, avroMap:
		t.elem.measure()
	case avroUnion:
		for _, b := range t.branches {
			b.measure()
		}
	case avroRecord:
		// A record within itself is still -1 here, and stays so.
		width := 0
		for i := range t.fields {
			f := t.fields[i].typ
			f.measure()
			if f.width < 0 || width < 0 || width > math.MaxInt32-f.width {
				width = -1
			} else {
				width += f.width
			}
		}
		t.width = width
	}
}

// label names a type in an error.
func (t *avroType) label() string {
	if t.name != "" {
		return t.kind.String() + " " + t.name
	}
	if t.logical != avroPlain {
		return t.node.LogicalType
	}
	if t.kind == avroUnion {
		names := make([]string, len(t.branches))
		for i, b := range t.branches {
			names[i] = b.label()
		}
		return "union of " + strings.Join(names, ", ")
	}
	return t.kind.String()
}
