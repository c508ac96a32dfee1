package transform

import (
	"bytes"
	"fmt"

	"github.com/google/cel-go/common/types"
	"github.com/twmb/avro"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// eventType returns the type of the events in records of type root.
func eventType(root *avroType, events string) (*avroType, error) {
	if events == "" {
		return root, nil
	}
	path, err := ParsePath(events)
	if err != nil {
		return nil, exit.Usagef("spec.transform.events: %q: %w", events, err)
	}
	f := root.lookup(path.names)
	if f == nil {
		return nil, exit.Usagef("spec.transform.events: the records' schema has no field %q", events)
	}
	list := f.typ.branch(avroArray)
	if list == nil {
		return nil, exit.Usagef("spec.transform.events: field %q is %s, not an array", events, f.typ.label())
	}
	item := list.elem.branch(avroRecord)
	if item == nil {
		return nil, exit.Usagef("spec.transform.events: the items of %q are %s, not records", events, list.elem.label())
	}
	return item, nil
}

// branch returns t, or its first branch, of a kind; nil where there is none.
func (t *avroType) branch(k avroKind) *avroType {
	if t.kind == k {
		return t
	}
	for _, b := range t.branches {
		if b.kind == k {
			return b
		}
	}
	return nil
}

// lookup returns the field at a path, nil where there is none.
func (t *avroType) lookup(names [][]byte) *avroField {
	branches := t.branches
	if t.kind == avroRecord {
		branches = []*avroType{t}
	}
	for _, b := range branches {
		for i := range b.fields {
			f := &b.fields[i]
			if !bytes.Equal(f.name, names[0]) {
				continue
			}
			if len(names) == 1 {
				return f
			}
			if in := f.typ.lookup(names[1:]); in != nil {
				return in
			}
		}
	}
	return nil
}

// covers checks that what records of type from become after the changes has
// every field that to needs.
func (c *changes) covers(from, to *avroType) error {
	edited, err := editAvro(from, c.fields)
	if err != nil {
		return err
	}
	for i := range to.fields {
		want := &to.fields[i]
		there := want.missing != nil
		for _, name := range append([][]byte{want.name}, want.aliases...) {
			there = there || edited.lookup([][]byte{name}) != nil
			for _, s := range c.sets {
				there = there || len(s.path.names) == 1 && bytes.Equal(s.path.names[0], name)
			}
		}
		if !there {
			return exit.Usagef("spec.transform.outputSchema: field %s is not in the records after the transform, and has no default", want.name).
				WithHint("set it, or give it a default")
		}
	}
	return nil
}

// derive returns the type of what records of type from become.
func (c *changes) derive(from *avroType) (*avroType, error) {
	edited, err := editAvro(from, c.fields)
	if err != nil {
		return nil, err
	}
	out := edited
	for i := range c.sets {
		s := &c.sets[i]
		typ, err := setType(s, edited)
		if err != nil {
			return nil, err
		}
		if out, err = setAvro(out, s.path.names, s, typ); err != nil {
			return nil, err
		}
	}
	if _, err := out.schema(); err != nil {
		return nil, exit.Usagef("spec.transform: the schema of the messages, made from that of the records, is not valid: %w", err).
			WithHint("give transform.outputSchema")
	}
	return out, nil // never measured: nothing is read by it
}

// editAvro returns t with fields renamed and dropped; t itself where nothing
// in it is. What cannot hold fields stays as it is: a record in which a field
// is missing is left alone, too.
func editAvro(t *avroType, edits map[string]*edit) (*avroType, error) {
	if len(edits) == 0 {
		return t, nil
	}
	switch t.kind {
	case avroUnion:
		out := *t
		out.branches = make([]*avroType, len(t.branches))
		changed := false
		for i, b := range t.branches {
			var err error
			if out.branches[i], err = editAvro(b, edits); err != nil {
				return nil, err
			}
			changed = changed || out.branches[i] != b
		}
		if changed {
			return &out, nil
		}
		return t, nil
	case avroRecord:
	default:
		return t, nil
	}
	out := *t
	out.fields = nil
	changed := false
	for i := range t.fields {
		f := t.fields[i]
		if e := edits[string(f.name)]; e != nil {
			if e.drop {
				changed = true
				continue
			}
			if e.name != nil {
				f.name, f.quote, f.aliases = e.name, e.quote, nil
				changed = true
			}
			typ, err := editAvro(f.typ, e.fields)
			if err != nil {
				return nil, err
			}
			changed = f.retype(typ) || changed
		}
		out.fields = append(out.fields, f)
	}
	if !changed {
		return t, nil
	}
	return &out, nil
}

// retype gives f another type, for which its default may not do.
func (f *avroField) retype(typ *avroType) (changed bool) {
	if f.typ == typ {
		return false
	}
	node := *f.node
	node.Default, node.HasDefault = nil, false
	f.typ, f.node = typ, &node
	return true
}

// setAvro returns t with the field at a path set to a type.
func setAvro(t *avroType, names [][]byte, s *setField, typ *avroType) (*avroType, error) {
	out := *t
	switch t.kind {
	case avroUnion:
		out.branches = append([]*avroType(nil), t.branches...)
		set := false
		for i, b := range t.branches {
			if b.kind != avroRecord {
				continue
			}
			var err error
			if out.branches[i], err = setAvro(b, names, s, typ); err != nil {
				return nil, err
			}
			set = true
		}
		if set {
			return &out, nil
		}
	case avroRecord:
		out.fields = append([]avroField(nil), t.fields...)
		for i := range out.fields {
			f := &out.fields[i]
			if !bytes.Equal(f.name, names[0]) {
				continue
			}
			if len(names) > 1 {
				var err error
				if typ, err = setAvro(f.typ, names[1:], s, typ); err != nil {
					return nil, err
				}
			}
			if typ != nil {
				f.retype(typ)
			}
			return &out, nil
		}
		if len(names) > 1 {
			break
		}
		if typ == nil {
			return nil, exit.Usagef("spec.transform.set.%s: the type of the new field cannot be told from its expression", s.path).
				WithHint("wrap the expression in string(), int(), double() or bool(), or give transform.outputSchema")
		}
		out.fields = append(out.fields, avroField{name: names[0], quote: s.quote, typ: typ, node: &avro.SchemaField{Name: string(names[0])}})
		return &out, nil
	}
	return nil, exit.Usagef("spec.transform.set.%s: the records' schema has no record %q to set it in", s.path, names[0])
}

// setType returns the type of what s sets: that of the field that it copies,
// else, for a field that is there already, nil (its own), else what the
// expression's own type says, nil where it says nothing.
func setType(s *setField, in *avroType) (*avroType, error) {
	if p := s.expr.copied; p != nil {
		f := in.lookup(p.names)
		if f == nil {
			return nil, exit.Usagef("spec.transform.set.%s: the records' schema has no field %q", s.path, p)
		}
		return f.typ, nil
	}
	if in.lookup(s.path.names) != nil {
		return nil, nil
	}
	t := &avroType{width: -1, other: -1, node: &avro.SchemaNode{}}
	switch s.expr.out.Kind() {
	case types.BoolKind:
		t.kind = avroBoolean
	case types.IntKind, types.UintKind:
		t.kind = avroLong
	case types.DoubleKind:
		t.kind = avroDouble
	case types.StringKind:
		t.kind = avroString
	case types.BytesKind:
		t.kind = avroBytes
	case types.TimestampKind:
		t.kind, t.logical = avroLong, avroTimestampMicros
		t.node.LogicalType = "timestamp-micros"
	default:
		return nil, nil
	}
	t.measure()
	return t, nil
}

// schema returns the Avro schema of t.
func (t *avroType) schema() (*avro.Schema, error) {
	w := schemaWriter{taken: make(map[string]*avroType), names: make(map[*avroType]string)}
	n := w.node(t)
	return n.Schema()
}

// schemaWriter writes types as a schema. A type that differs from one of the
// same name gets another name.
type schemaWriter struct {
	taken map[string]*avroType
	names map[*avroType]string
}

func (w *schemaWriter) node(t *avroType) avro.SchemaNode {
	n := avro.SchemaNode{Type: t.kind.String(), LogicalType: t.node.LogicalType, Doc: t.node.Doc}
	if t.logical == avroPlain {
		n.LogicalType = ""
	}
	if t.logical == avroDecimal {
		n.Precision, n.Scale = t.precision, t.scale
	}
	if t.name != "" {
		if name, ok := w.names[t]; ok {
			return avro.SchemaNode{Type: name}
		}
		n.Name = t.name
		for i := 2; w.taken[n.Name] != nil; i++ {
			n.Name = fmt.Sprintf("%s_%d", t.name, i)
		}
		w.taken[n.Name], w.names[t] = t, n.Name
	}
	switch t.kind {
	case avroFixed:
		n.Size = t.width
	case avroEnum:
		n.Symbols, n.EnumDefault, n.HasEnumDefault = t.node.Symbols, t.node.EnumDefault, t.node.HasEnumDefault
	case avroArray:
		item := w.node(t.elem)
		n.Items = &item
	case avroMap:
		item := w.node(t.elem)
		n.Values = &item
	case avroUnion:
		for _, b := range t.branches {
			n.Branches = append(n.Branches, w.node(b))
		}
	case avroRecord:
		n.Fields = make([]avro.SchemaField, len(t.fields))
		for i := range t.fields {
			f := &t.fields[i]
			n.Fields[i] = avro.SchemaField{Name: string(f.name), Doc: f.node.Doc, Type: w.node(f.typ),
				Default: f.node.Default, HasDefault: f.node.HasDefault}
			for _, a := range f.aliases {
				n.Fields[i].Aliases = append(n.Fields[i].Aliases, string(a))
			}
		}
	}
	return n
}

// OutputSchema returns the Avro schema of the messages, as JSON, where they
// are written in Avro: that of outputSchema, or the one that was derived. It
// is what a topic or a table that takes them must have. Empty: they are not
// written in Avro, or are the records as they are.
func (p *Program) OutputSchema() string {
	e, ok := p.encoder.(*avroEncoder)
	if !ok {
		return ""
	}
	s, err := e.root.schema()
	if err != nil {
		return "" // cannot be: a given schema has been parsed, a derived one checked
	}
	return s.String()
}
