package transform

import (
	"context"
	"os"
	"slices"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// avroFormat reads binary Avro. With a schema file the value of a record is
// the plain binary encoding, without any header; with a registry it begins
// with the id of its schema (registry.go).
type avroFormat struct {
	root     *avroType
	registry *registry[*avroType] // nil with a schema file
}

func newAvroFormat(spec jobspecs.Schemas, opts Options) (format, error) {
	if spec.Registry.URL != "" {
		client, err := newRegistryClient(spec.Registry, opts)
		if err != nil {
			return nil, err
		}
		return &avroFormat{registry: newRegistry(client, "AVRO", compileRegistered)}, nil
	}
	root, err := readAvroFile("spec.transform.schema.file", spec.File)
	if err != nil {
		return nil, err
	}
	return &avroFormat{root: root}, nil
}

// readAvroFile compiles the schema in a file, whose name stands at path in the
// spec. It must be that of a record.
func readAvroFile(path, name string) (*avroType, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, exit.Environmentf("%s: %w", path, err)
	}
	t, err := compileAvro(string(text))
	if err != nil {
		return nil, exit.Usagef("%s: %s is not an Avro schema: %w", path, name, err)
	}
	if t.kind != avroRecord {
		return nil, exit.Usagef("%s: the schema in %s is of %s, not of a record", path, name, t.label())
	}
	return t, nil
}

// compileRegistered compiles a schema of the registry after those that it
// refers to.
func compileRegistered(s *registered) (*avroType, error) {
	var c avroCompiler
	for _, r := range s.references {
		if _, err := c.compile(r.text); err != nil {
			return nil, err
		}
	}
	return c.compile(s.text)
}

func (a *avroFormat) open(ctx context.Context, value []byte, blocked func(string)) ([]byte, any, error) {
	if a.registry == nil {
		return value, a.root, nil
	}
	t, body, err := a.registry.open(ctx, value, blocked)
	if err != nil {
		return nil, nil, err
	}
	return body, t, nil
}

func (a *avroFormat) fields(typ any, value []byte, dst []field) ([]field, error) {
	t, i, err := typ.(*avroType).unwrap(value, 0)
	if err != nil {
		return dst, err
	}
	switch t.kind {
	case avroRecord:
		if dst, i, err = t.split(value, i, dst); err != nil {
			return dst, err
		}
	case avroMap:
		return t.entries(value, i, dst)
	default:
		return dst, errNotRecord
	}
	if i != len(value) {
		return dst, errAvroTrailing
	}
	return dst, nil
}

// split appends the fields of the record at i, and returns the index after it.
// Filling the slots in place, one member after the other, costs half of what
// appending whole fields does.
func (t *avroType) split(b []byte, i int, dst []field) (_ []field, end int, err error) {
	first := len(dst)
	dst = slices.Grow(dst, len(t.fields))[:first+len(t.fields)]
	out := dst[first:]
	for n := range t.fields {
		f := &t.fields[n]
		switch {
		case f.typ.width >= 0:
			if end = i + f.typ.width; end > len(b) {
				return dst[:first], 0, errAvroShort
			}
		case (f.typ.kind == avroString || f.typ.kind == avroBytes) && i < len(b) && b[i] < 0x80 && b[i]&1 == 0:
			if end = i + 1 + int(b[i]>>1); end > len(b) {
				return dst[:first], 0, errAvroShort
			}
		default:
			if end, err = f.typ.skip(b, i, 1); err != nil {
				return dst[:first], 0, err
			}
		}
		o := &out[n]
		o.name, o.quote, o.value, o.typ, o.start, o.end, o.sub, o.set = f.name, f.quote, b[i:end], f.typ, 0, 0, nil, nil
		i = end
	}
	return dst, i, nil
}

// entries appends the entries of a map.
func (t *avroType) entries(b []byte, i int, dst []field) ([]field, error) {
	first := len(dst)
	for {
		count, next, end, err := readAvroBlock(b, i, t.itemLeast())
		if err != nil {
			return dst, err
		}
		if i = next; count == 0 {
			break
		}
		for range count {
			var name []byte
			if name, i, err = readAvroBytes(b, i); err != nil {
				return dst, err
			}
			start := i
			if i, err = t.elem.skip(b, i, 1); err != nil {
				return dst, err
			}
			dst = append(dst, field{name: name, value: b[start:i], typ: t.elem})
		}
		if end >= 0 && i != end {
			return dst, errAvroBlock
		}
	}
	if i != len(b) {
		return dst, errAvroTrailing
	}
	return dst, distinct(dst[first:])
}

func (a *avroFormat) items(typ any, value []byte, dst []field) ([]field, error) {
	t, i, err := typ.(*avroType).unwrap(value, 0)
	if err != nil {
		return dst, err
	}
	if t.kind != avroArray {
		return dst, errNotList
	}
	budget := maxNodes(value)
	for {
		count, next, end, err := readAvroBlock(value, i, t.elem.least())
		if err != nil {
			return dst, err
		}
		if i = next; count == 0 {
			break
		}
		if budget -= count; budget < 0 {
			return dst, errAvroNodes
		}
		for range count {
			start := i
			if i, err = t.elem.skip(value, i, 1); err != nil {
				return dst, err
			}
			dst = append(dst, field{value: value[start:i], typ: t.elem})
		}
		if end >= 0 && i != end {
			return dst, errAvroBlock
		}
	}
	if i != len(value) {
		return dst, errAvroTrailing
	}
	return dst, nil
}

func (a *avroFormat) kindOf(f *field) kind {
	t, _, err := f.typ.(*avroType).unwrap(f.value, 0)
	if err != nil {
		return kindNull // decode says what is wrong
	}
	return t.resultKind()
}

func (a *avroFormat) decode(f *field, out *result) error {
	r := avroReader{b: f.value, nodes: maxNodes(f.value)}
	if err := r.value(f.typ.(*avroType), 0, out); err != nil {
		return err
	}
	return r.done()
}

func (a *avroFormat) appendPlain(dst []byte, f *field) ([]byte, error) {
	t, _, err := f.typ.(*avroType).unwrap(f.value, 0)
	if err != nil {
		return dst, err
	}
	if k := t.resultKind(); k == kindList || k == kindMap {
		return a.appendJSON(dst, f)
	}
	var out result
	if err := a.decode(f, &out); err != nil {
		return dst, err
	}
	return out.appendPlain(dst)
}

// appendJSON appends the value of f as JSON text. The fields of a nested
// record come in the order of their schema, the entries of a map by name.
func (a *avroFormat) appendJSON(dst []byte, f *field) ([]byte, error) {
	r := avroReader{b: f.value, nodes: maxNodes(f.value)}
	dst, err := r.appendJSON(dst, f.typ.(*avroType), 0)
	if err != nil {
		return dst, err
	}
	return dst, r.done()
}
