package transform

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonFormat reads JSON. Values have no type, but for a whole record, whose
// text nobody has looked at yet.
type jsonFormat struct{}

// unread is the type of a JSON text that is not known to be UTF-8.
type unread struct{}

func (jsonFormat) open(_ context.Context, value []byte, _ func(string)) ([]byte, any, error) {
	return value, unread{}, nil
}

func (jsonFormat) fields(typ any, value []byte, dst []field) ([]field, error) {
	return jsonFields(typ, value, dst, nil)
}

// jsonFields is jsonFormat.fields for records that are mostly of one shape.
func jsonFields(typ any, value []byte, dst []field, known *shape) ([]field, error) {
	if typ != nil {
		if !utf8.Valid(value) {
			return dst, errors.New("not UTF-8")
		}
	} else if value[0] != '{' {
		return dst, errNotRecord
	}
	return scanObject(value, dst, known)
}

func (jsonFormat) items(_ any, value []byte, dst []field) ([]field, error) {
	return scanArray(value, dst)
}

func (jsonFormat) kindOf(f *field) kind {
	switch f.value[0] {
	case '"':
		return kindString
	case 't', 'f':
		return kindBool
	case 'n':
		return kindNull
	case '{':
		return kindMap
	case '[':
		return kindList
	default:
		return kindDouble
	}
}

// decode decodes JSON text: a whole number is an int or a uint, any other a
// double. A whole number of more than 64 bits has no exact value in an
// expression and is refused.
func (jsonFormat) decode(f *field, out *result) error {
	switch text := f.value; text[0] {
	case '"':
		out.kind, out.text = kindString, unquote(text)
	case 't':
		out.kind, out.num = kindBool, 1
	case 'f':
		out.kind, out.num = kindBool, 0
	case 'n':
		out.kind = kindNull
	case '{', '[':
		out.kind = kindMap
		if text[0] == '[' {
			out.kind = kindList
		}
		var err error
		out.tree, _, err = tree(text, 0)
		return err
	default:
		return decodeNumber(text, out)
	}
	return nil
}

func decodeNumber(text []byte, out *result) error {
	if shortNumber(text, out) {
		return nil
	}
	s := string(text)
	if !strings.ContainsAny(s, ".eE") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			out.kind, out.num = kindInt, uint64(n)
			return nil
		}
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return errors.New("a whole number of more than 64 bits cannot be used in an expression")
		}
		out.kind, out.num = kindUint, n
		return nil
	}
	d, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return errors.New("a number beyond a double cannot be used in an expression")
	}
	out.kind, out.num = kindDouble, math.Float64bits(d)
	return nil
}

var powersOf10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// shortNumber decodes a number of at most 15 digits without an exponent. Both
// its digits and the power of ten that divides them are exact doubles, so the
// quotient is the nearest double.
func shortNumber(text []byte, out *result) bool {
	digits := text
	if text[0] == '-' {
		digits = text[1:]
	}
	if len(digits) > 16 {
		return false
	}
	var n int64
	point := -1
	for i, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			n = n*10 + int64(c-'0')
		case c == '.':
			point = i
		default:
			return false
		}
	}
	negative := len(digits) < len(text)
	if point >= 0 {
		d := float64(n) / powersOf10[len(digits)-point-1]
		if negative {
			d = -d // also of zero
		}
		out.kind, out.num = kindDouble, math.Float64bits(d)
		return true
	}
	if negative {
		n = -n
	}
	out.kind, out.num = kindInt, uint64(n)
	return true
}

// tree decodes the value at i of a text that was scanned before, and returns
// the index after it.
func tree(text []byte, i int) (any, int, error) {
	switch text[i] {
	case '{':
		return treeMap(text, i)
	case '[':
		list := []any{}
		if i = space(text, i+1); text[i] == ']' {
			return list, i + 1, nil
		}
		for {
			v, end, err := tree(text, i)
			if err != nil {
				return nil, 0, err
			}
			list = append(list, v)
			if i = space(text, end); text[i] == ']' {
				return list, i + 1, nil
			}
			i = space(text, i+1)
		}
	default:
		var r result
		end := value(text, i, 1)
		f := field{value: text[i:end]}
		if err := (jsonFormat{}).decode(&f, &r); err != nil {
			return nil, 0, err
		}
		return r.native(), end, nil
	}
}

func treeMap(text []byte, i int) (any, int, error) {
	m := map[string]any{}
	if i = space(text, i+1); text[i] == '}' {
		return m, i + 1, nil
	}
	for {
		end, _ := str(text, i)
		name := string(unquote(text[i:end]))
		if _, twice := m[name]; twice {
			return nil, 0, errors.New("a field of an object comes twice")
		}
		i = space(text, space(text, end)+1)
		v, end, err := tree(text, i)
		if err != nil {
			return nil, 0, err
		}
		m[name] = v
		if i = space(text, end); text[i] == '}' {
			return m, i + 1, nil
		}
		i = space(text, i+1)
	}
}

func (jsonFormat) appendPlain(dst []byte, f *field) ([]byte, error) {
	if f.value[0] == '"' {
		return append(dst, unquote(f.value)...), nil
	}
	return append(dst, f.value...), nil
}

func (jsonFormat) appendJSON(dst []byte, f *field) ([]byte, error) {
	if f.value[0] == '"' {
		return appendQuoted(dst, unquote(f.value)), nil
	}
	return append(dst, f.value...), nil
}

// jsonEncoder writes records as JSON. JSON values keep their text.
type jsonEncoder struct {
	in   format
	text bool // in is JSON
}

func (e *jsonEncoder) encode(dst []byte, rec *record) (_ []byte, err error) {
	dst = append(dst, '{')
	for i := 0; i < len(rec.fields); {
		if i > 0 {
			dst = append(dst, ',')
		}
		f := &rec.fields[i]
		if f.start > 0 && e.text {
			// What stands together, and did so before, is copied together.
			end := f.end
			for i++; i < len(rec.fields) && rec.fields[i].start == end+1; i++ {
				end = rec.fields[i].end
			}
			dst = append(dst, rec.body[f.start:end]...)
			continue
		}
		i++
		if f.quote != nil {
			dst = append(dst, f.quote...)
		} else {
			dst = appendQuoted(dst, f.name)
		}
		dst = append(dst, ':')
		switch {
		case f.sub != nil:
			dst, err = e.encode(dst, f.sub)
		case f.set != nil:
			dst, err = f.set.appendJSON(dst)
		case e.text:
			dst = append(dst, f.value...)
		default:
			dst, err = e.in.appendJSON(dst, f)
		}
		if err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}
