package transform

import (
	"errors"
	"fmt"
	"math"
	"reflect"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// recordValue is a record, or a nested one, as a CEL map. Fields are decoded
// when they are asked for.
type recordValue struct {
	format format
	rec    *record
	whole  traits.Mapper
}

// Find returns the value of a field, if it is there.
func (r *recordValue) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	for i := range r.rec.fields {
		if f := &r.rec.fields[i]; string(f.name) == string(name) {
			return r.value(f), true
		}
	}
	return nil, false
}

// value decodes a field.
func (r *recordValue) value(f *field) ref.Val {
	if f.sub != nil {
		return &recordValue{format: r.format, rec: f.sub}
	}
	switch r.format.kindOf(f) {
	case kindMap:
		fields, err := r.format.fields(f.typ, f.value, nil)
		if err == nil {
			return &recordValue{format: r.format, rec: &record{body: f.value, typ: f.typ, fields: fields}}
		}
		return types.WrapErr(&valueError{err})
	default:
		var out result
		if err := r.format.decode(f, &out); err != nil {
			return types.WrapErr(&valueError{err})
		}
		return wrap(&out)
	}
}

// Get returns the value of a field.
func (r *recordValue) Get(key ref.Val) ref.Val {
	v, ok := r.Find(key)
	if !ok {
		return types.NewErr("no such key: %v", key)
	}
	return v
}

// Contains reports whether a field is there.
func (r *recordValue) Contains(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	return types.Bool(ok && r.rec.find([]byte(name)) != nil)
}

// Size returns the number of fields.
func (r *recordValue) Size() ref.Val { return types.Int(len(r.rec.fields)) }

// Type is that of a map.
func (r *recordValue) Type() ref.Type { return types.MapType }

// Iterator iterates over the names of the fields.
func (r *recordValue) Iterator() traits.Iterator { return r.all().Iterator() }

// Fold calls f with all fields.
func (r *recordValue) Fold(f traits.Folder) {
	if m, ok := r.all().(traits.Foldable); ok {
		m.Fold(f)
	}
}

// ConvertToNative converts the whole record.
func (r *recordValue) ConvertToNative(t reflect.Type) (any, error) { return r.all().ConvertToNative(t) }

// ConvertToType converts the whole record.
func (r *recordValue) ConvertToType(t ref.Type) ref.Val { return r.all().ConvertToType(t) }

// Equal compares the whole record.
func (r *recordValue) Equal(other ref.Val) ref.Val { return r.all().Equal(other) }

// Value returns the whole record.
func (r *recordValue) Value() any { return r.all().Value() }

func (r *recordValue) all() traits.Mapper {
	if r.whole == nil {
		m := make(map[string]any, len(r.rec.fields))
		for i := range r.rec.fields {
			f := &r.rec.fields[i]
			m[string(f.name)] = r.value(f)
		}
		r.whole = types.NewStringInterfaceMap(types.DefaultTypeAdapter, m)
	}
	return r.whole
}

// wrap returns a value as CEL has it.
func wrap(r *result) ref.Val {
	switch r.kind {
	case kindNull:
		return types.NullValue
	case kindBool:
		return types.Bool(r.num != 0)
	case kindInt:
		return types.Int(int64(r.num))
	case kindUint:
		return types.Uint(r.num)
	case kindDouble:
		return types.Double(r.double())
	default:
		return types.DefaultTypeAdapter.NativeToValue(r.native())
	}
}

// freeze takes a value out of CEL. What it leaves in out shares nothing with
// the record, which may change next.
func freeze(v ref.Val, out *result) error {
	switch v := v.(type) {
	case types.Null:
		out.kind = kindNull
	case types.Bool:
		out.kind, out.num = kindBool, 0
		if v {
			out.num = 1
		}
	case types.Int:
		out.kind, out.num = kindInt, uint64(v)
	case types.Uint:
		out.kind, out.num = kindUint, uint64(v)
	case types.Double:
		out.kind, out.num = kindDouble, math.Float64bits(float64(v))
	case types.String:
		out.kind, out.text = kindString, []byte(v)
	case types.Bytes:
		out.kind, out.text = kindBytes, v
	case types.Timestamp:
		out.kind, out.when = kindTime, v.UTC()
	case types.Duration:
		out.kind, out.num = kindDuration, uint64(v.Duration)
	case traits.Lister, traits.Mapper:
		out.kind = kindList
		if _, ok := v.(traits.Mapper); ok {
			out.kind = kindMap
		}
		var err error
		out.tree, err = freezeTree(v)
		return err
	case *types.Err:
		var own *valueError
		if errors.As(v, &own) {
			return own
		}
		return errors.New("it cannot be evaluated for this record")
	default:
		return fmt.Errorf("a result of type %s cannot be written", v.Type())
	}
	return nil
}

func freezeTree(v ref.Val) (any, error) {
	switch v := v.(type) {
	case traits.Mapper:
		out := make(map[string]any)
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			name, ok := key.(types.String)
			if !ok {
				return nil, errors.New("a map with keys that are not strings cannot be written")
			}
			item, err := freezeTree(v.Get(key))
			if err != nil {
				return nil, err
			}
			out[string(name)] = item
		}
		return out, nil
	case traits.Lister:
		out := []any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			item, err := freezeTree(it.Next())
			if err != nil {
				return nil, err
			}
			out = append(out, item)
		}
		return out, nil
	default:
		var r result
		err := freeze(v, &r)
		return r.native(), err
	}
}
