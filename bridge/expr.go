package bridge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// recordVar is the name by which expressions know the record's fields.
const recordVar = "record"

// expression is a compiled CEL expression over the record's fields.
type expression struct {
	program cel.Program
	// copied is the field that the expression does nothing but name: its text
	// is passed on as it is, so that a number keeps its digits.
	copied string
}

// compile compiles an expression; a condition must be a boolean.
func compile(source string, condition bool) (*expression, error) {
	env := jobspecs.Expressions()
	checked, issues := env.Compile(source)
	if err := issues.Err(); err != nil {
		return nil, fmt.Errorf("%q is not a CEL expression over record: %w", source, err)
	}
	if out := checked.OutputType(); condition && !out.IsExactType(cel.BoolType) && !out.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("%q is %s where a condition is due", source, out)
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", source, err)
	}
	return &expression{program: program, copied: namedField(checked.NativeRep().Expr())}, nil
}

// namedField returns the field that e does nothing but name, else "".
func namedField(e ast.Expr) string {
	isRecord := func(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == recordVar }
	switch e.Kind() {
	case ast.SelectKind:
		if s := e.AsSelect(); !s.IsTestOnly() && isRecord(s.Operand()) {
			return s.FieldName()
		}
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() == operators.Index && isRecord(c.Args()[0]) && c.Args()[1].Kind() == ast.LiteralKind {
			if name, ok := c.Args()[1].AsLiteral().(types.String); ok {
				return string(name)
			}
		}
	}
	return ""
}

func (e *expression) eval(o *jsonObject) (ref.Val, error) {
	out, _, err := e.program.Eval(map[string]any{recordVar: &recordValue{object: o}})
	return out, err
}

// matches evaluates a condition.
func (e *expression) matches(o *jsonObject) (bool, error) {
	out, err := e.eval(o)
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("the condition is %s, not a boolean", out.Type())
	}
	return bool(b), nil
}

// text evaluates to JSON text.
func (e *expression) text(o *jsonObject) ([]byte, error) {
	if e.copied != "" {
		if v := o.get(e.copied); v != nil {
			return v, nil
		}
		return nil, fmt.Errorf("field %q is not there", e.copied)
	}
	out, err := e.eval(o)
	if err != nil {
		return nil, err
	}
	return appendValue(nil, out)
}

// recordValue is the record as a CEL map. Fields are decoded when they are
// asked for.
type recordValue struct {
	object *jsonObject
	whole  traits.Mapper
}

// Find returns the value of a field, if it is there.
func (r *recordValue) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	text := r.object.get(string(name))
	if text == nil {
		return nil, false
	}
	v, err := decodeValue(text)
	if err != nil {
		return types.WrapErr(fmt.Errorf("field %q: %w", string(name), err)), true
	}
	return types.DefaultTypeAdapter.NativeToValue(v), true
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
	return types.Bool(ok && r.object.get(string(name)) != nil)
}

// Size returns the number of fields.
func (r *recordValue) Size() ref.Val { return types.Int(len(r.object.fields)) }

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
		m := make(map[string]any, len(r.object.fields))
		for _, f := range r.object.fields {
			v, err := decodeValue(f.value)
			if err != nil {
				m[string(f.name)] = types.WrapErr(fmt.Errorf("field %q: %w", f.name, err))
				continue
			}
			m[string(f.name)] = v
		}
		r.whole = types.NewStringInterfaceMap(types.DefaultTypeAdapter, m)
	}
	return r.whole
}

// decodeValue decodes JSON text for CEL: a whole number is an int or a uint,
// any other a double. A whole number of more than 64 bits has no exact value
// in CEL and is refused.
func decodeValue(text []byte) (any, error) {
	switch text[0] {
	case '"':
		return string(unquote(text)), nil
	case 't':
		return true, nil
	case 'f':
		return false, nil
	case 'n':
		return types.NullValue, nil
	case '{', '[':
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, errors.New("cannot be decoded")
		}
		return decodeNumbers(v)
	default:
		return decodeNumber(string(text))
	}
}

func decodeNumbers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		return decodeNumber(string(v))
	case nil:
		return types.NullValue, nil
	case []any:
		for i := range v {
			if v[i], err = decodeNumbers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = decodeNumbers(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func decodeNumber(s string) (any, error) {
	if !strings.ContainsAny(s, ".eE") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			return n, nil
		}
		return nil, errors.New("a whole number of more than 64 bits cannot be used in an expression")
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, errors.New("a number beyond a double cannot be used in an expression")
	}
	return f, nil
}

// appendValue appends a CEL value as JSON text.
func appendValue(dst []byte, v ref.Val) ([]byte, error) {
	switch v := v.(type) {
	case types.Null:
		return append(dst, "null"...), nil
	case types.Bool:
		return strconv.AppendBool(dst, bool(v)), nil
	case types.Int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case types.Uint:
		return strconv.AppendUint(dst, uint64(v), 10), nil
	case types.Double:
		f := float64(v)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, errors.New("the result is not a finite number")
		}
		text, err := json.Marshal(f)
		return append(dst, text...), err
	case types.String:
		return quote(dst, []byte(v)), nil
	case types.Bytes:
		return quote(dst, []byte(base64.StdEncoding.EncodeToString(v))), nil
	case types.Timestamp:
		return quote(dst, []byte(v.UTC().Format(time.RFC3339Nano))), nil
	case types.Duration:
		return quote(dst, []byte(v.Duration.String())), nil
	case traits.Lister:
		return appendList(dst, v)
	case traits.Mapper:
		return appendMap(dst, v)
	case *types.Err:
		return nil, v
	default:
		return nil, fmt.Errorf("a result of type %s has no JSON text", v.Type())
	}
}

func appendList(dst []byte, l traits.Lister) (_ []byte, err error) {
	dst = append(dst, '[')
	first := true
	for it := l.Iterator(); it.HasNext() == types.True; first = false {
		if !first {
			dst = append(dst, ',')
		}
		if dst, err = appendValue(dst, it.Next()); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

// appendMap writes the entries ordered by name: the map has no order, and the
// same record must give the same bytes.
func appendMap(dst []byte, m traits.Mapper) (_ []byte, err error) {
	var keys []string
	for it := m.Iterator(); it.HasNext() == types.True; {
		key, ok := it.Next().(types.String)
		if !ok {
			return nil, errors.New("a map with keys that are not strings has no JSON text")
		}
		keys = append(keys, string(key))
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(quote(dst, []byte(key)), ':')
		if dst, err = appendValue(dst, m.Get(types.String(key))); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}
