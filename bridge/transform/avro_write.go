package transform

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/twmb/avro"
)

// appendAvroBlock appends an array or a map of n items.
func appendAvroBlock(dst []byte, n int, item func(dst []byte, i int) ([]byte, error)) (_ []byte, err error) {
	if n == 0 {
		return append(dst, 0), nil
	}
	dst = binary.AppendVarint(dst, int64(n))
	for i := range n {
		if dst, err = item(dst, i); err != nil {
			return dst, err
		}
	}
	return append(dst, 0), nil
}

// tryBranches writes a value of a kind as the branch of to that suits it best
// and takes it: first, where that is not negative, then by rank.
func tryBranches(dst []byte, to *avroType, k kind, first int, write func([]byte, *avroType) ([]byte, error)) ([]byte, error) {
	start := len(dst)
	var problem error
	try := func(i int) bool {
		out, err := write(binary.AppendVarint(dst[:start], int64(i)), to.branches[i])
		if err == nil {
			dst = out
			return true
		}
		if problem == nil {
			problem = err
		}
		return false
	}
	if first >= 0 && rank(to.branches[first], k) >= 0 && try(first) {
		return dst, nil
	}
	for r := range worstRank + 1 {
		for i, b := range to.branches {
			if i != first && rank(b, k) == r && try(i) {
				return dst, nil
			}
		}
	}
	if problem == nil {
		problem = errUnfit{k, to}
	}
	return dst[:start], problem
}

const worstRank = 4

// rank says how well a branch suits values of a kind: 0 best, negative not at
// all.
func rank(b *avroType, k kind) int {
	numeric := b.kind == avroInt || b.kind == avroLong
	switch k {
	case kindNull:
		return pick(b.kind == avroNull, 0)
	case kindBool:
		return pick(b.kind == avroBoolean, 0)
	case kindInt, kindUint:
		switch {
		case numeric && b.logical == avroPlain:
			return 0
		case b.kind == avroDouble:
			return 2
		case b.kind == avroFloat:
			return 3
		case b.logical == avroDecimal:
			return 1
		}
		return pick(numeric, 4)
	case kindDouble:
		switch {
		case b.kind == avroDouble:
			return 0
		case b.kind == avroFloat, b.logical == avroDecimal:
			return 1
		}
		return pick(numeric && b.logical == avroPlain, 2)
	case kindString:
		switch {
		case b.kind == avroString && b.logical == avroPlain:
			return 0
		case b.kind == avroString, b.kind == avroEnum, b.logical == avroUUID:
			return 1
		case b.logical == avroDecimal:
			return 3
		case b.logical != avroPlain:
			return 2
		}
		return pick(b.kind == avroBytes || b.kind == avroFixed, 4)
	case kindBytes:
		if b.kind == avroString {
			return 1
		}
		return pick(b.kind == avroBytes || b.kind == avroFixed, 0)
	case kindTime:
		if b.kind == avroString {
			return 1
		}
		return pick(b.logical == avroTimestampMillis || b.logical == avroTimestampMicros || b.logical == avroTimestampNanos, 0)
	case kindDuration:
		return pick(b.kind == avroString, 0)
	case kindList:
		return pick(b.kind == avroArray, 0)
	default:
		if b.kind == avroMap {
			return 1
		}
		return pick(b.kind == avroRecord, 0)
	}
}

func pick(suits bool, rank int) int {
	if suits {
		return rank
	}
	return -1
}

// appendAvroResult writes a value as type to.
func appendAvroResult(dst []byte, r *result, to *avroType, depth int) ([]byte, error) {
	if depth >= maxDepth {
		return dst, errTooDeep
	}
	switch to.kind {
	case avroNull:
		if r.kind == kindNull {
			return dst, nil
		}
	case avroBoolean:
		if r.kind == kindBool {
			return append(dst, byte(r.num)), nil
		}
	case avroInt, avroLong:
		return appendAvroNumber(dst, r, to)
	case avroFloat, avroDouble:
		return appendAvroDouble(dst, r, to)
	case avroString:
		switch r.kind {
		case kindString:
			return appendAvroBytes(dst, r.text), nil
		case kindBytes:
			if !utf8.Valid(r.text) {
				return dst, errAvroUTF8
			}
			return appendAvroBytes(dst, r.text), nil
		case kindTime, kindDuration:
			text, err := r.appendPlain(make([]byte, 0, 40))
			return appendAvroBytes(dst, text), err
		}
	case avroBytes, avroFixed:
		return appendAvroBinary(dst, r, to)
	case avroEnum:
		if r.kind == kindString {
			if n := to.symbol(r.text); n >= 0 {
				return binary.AppendVarint(dst, int64(n)), nil
			}
			return dst, errSymbolText
		}
	case avroUnion:
		return tryBranches(dst, to, r.kind, -1, func(dst []byte, branch *avroType) ([]byte, error) {
			return appendAvroResult(dst, r, branch, depth+1)
		})
	default:
		return appendAvroTree(dst, r, to, depth)
	}
	return dst, errUnfit{r.kind, to}
}

// appendAvroTree writes a list or a map.
func appendAvroTree(dst []byte, r *result, to *avroType, depth int) ([]byte, error) {
	item := func(dst []byte, v any, to *avroType) ([]byte, error) {
		inner, err := resultOf(v)
		if err != nil {
			return dst, err
		}
		return appendAvroResult(dst, &inner, to, depth+1)
	}
	list, isList := r.tree.([]any)
	m, isMap := r.tree.(map[string]any)
	switch {
	case r.kind == kindList && isList && to.kind == avroArray:
		return appendAvroBlock(dst, len(list), func(dst []byte, i int) ([]byte, error) {
			return item(dst, list[i], to.elem)
		})
	case r.kind == kindMap && isMap && to.kind == avroMap:
		names := slices.Sorted(maps.Keys(m)) // one value, the same bytes
		return appendAvroBlock(dst, len(names), func(dst []byte, i int) ([]byte, error) {
			return item(appendAvroBytes(dst, []byte(names[i])), m[names[i]], to.elem)
		})
	case r.kind == kindMap && isMap && to.kind == avroRecord:
		for i := range to.fields {
			f := &to.fields[i]
			v, ok := m[string(f.name)]
			if !ok {
				if f.missing == nil {
					return dst, fmt.Errorf("field %s is not there, and the schema has no default for it", f.name)
				}
				dst = append(dst, f.missing...)
				continue
			}
			var err error
			if dst, err = item(dst, v, f.typ); err != nil {
				return dst, fmt.Errorf("field %s: %w", f.name, err)
			}
		}
		return dst, nil
	default:
		return dst, errUnfit{r.kind, to}
	}
}

// resultOf returns a value of a tree as a result.
func resultOf(v any) (result, error) {
	switch v.(type) {
	case []any:
		return result{kind: kindList, tree: v}, nil
	case map[string]any:
		return result{kind: kindMap, tree: v}, nil
	default:
		return scalar(v)
	}
}

func appendAvroBytes(dst, text []byte) []byte {
	return append(binary.AppendVarint(dst, int64(len(text))), text...)
}

// symbol returns the index of a symbol, -1 if the enum does not have it.
func (t *avroType) symbol(text []byte) int {
	for i, s := range t.symbols {
		if string(s) == string(text) {
			return i
		}
	}
	return -1
}

// setDefaults finds the defaults of the fields of t and of what it holds.
func (t *avroType) setDefaults(seen map[*avroType]bool) error {
	if seen[t] {
		return nil
	}
	seen[t] = true
	if t.elem != nil {
		return t.elem.setDefaults(seen)
	}
	for _, b := range t.branches {
		if err := b.setDefaults(seen); err != nil {
			return err
		}
	}
	for i := range t.fields {
		f := &t.fields[i]
		if err := f.setDefault(); err != nil {
			return fmt.Errorf("field %s: default: %w", f.name, err)
		}
		if err := f.typ.setDefaults(seen); err != nil {
			return err
		}
	}
	return nil
}

// setDefault encodes the field's default. A field that may be null and has
// none is null where it is missing.
func (f *avroField) setDefault() error {
	if !f.node.HasDefault {
		for i, b := range f.typ.branches {
			if b.kind == avroNull {
				f.missing = binary.AppendVarint(nil, int64(i))
			}
		}
		return nil
	}
	holder := avro.SchemaNode{Type: "record", Name: "kappa_holder", Fields: []avro.SchemaField{*f.node}}
	s, err := holder.Schema()
	if err != nil {
		return err
	}
	text, err := s.Encode(map[string]any{})
	f.missing = append([]byte{}, text...)
	return err
}
