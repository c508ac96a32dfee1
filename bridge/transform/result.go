package transform

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

var errNotFinite = errors.New("the result is not a finite number")

func (r *result) double() float64 { return math.Float64frombits(r.num) }

// native returns the value as one of the types of a tree. It shares no memory
// with the record.
func (r *result) native() any {
	switch r.kind {
	case kindBool:
		return r.num != 0
	case kindInt:
		return int64(r.num)
	case kindUint:
		return r.num
	case kindDouble:
		return r.double()
	case kindString:
		return string(r.text)
	case kindBytes:
		return slices.Clone(r.text)
	case kindTime:
		return r.when
	case kindDuration:
		return time.Duration(r.num)
	case kindList, kindMap:
		return r.tree
	default:
		return nil
	}
}

// appendPlain appends the value as plain text, see format.appendPlain.
func (r *result) appendPlain(dst []byte) ([]byte, error) {
	switch r.kind {
	case kindString:
		return append(dst, r.text...), nil
	case kindBytes:
		return base64.StdEncoding.AppendEncode(dst, r.text), nil
	case kindTime:
		return r.when.UTC().AppendFormat(dst, time.RFC3339Nano), nil
	case kindDuration:
		return append(dst, time.Duration(r.num).String()...), nil
	default:
		return r.appendJSON(dst)
	}
}

// appendJSON appends the value as JSON text: bytes in base64, a time as RFC
// 3339 in UTC, a duration as 1m30s, the entries of a map ordered by name (the
// map has no order, and the same record must give the same bytes).
func (r *result) appendJSON(dst []byte) ([]byte, error) {
	switch r.kind {
	case kindNull:
		return append(dst, "null"...), nil
	case kindBool:
		return strconv.AppendBool(dst, r.num != 0), nil
	case kindInt:
		return strconv.AppendInt(dst, int64(r.num), 10), nil
	case kindUint:
		return strconv.AppendUint(dst, r.num, 10), nil
	case kindDouble:
		return appendDouble(dst, r.double())
	case kindString:
		return appendQuoted(dst, r.text), nil
	case kindBytes, kindTime, kindDuration:
		dst = append(dst, '"')
		dst, err := r.appendPlain(dst)
		return append(dst, '"'), err
	default:
		return appendTree(dst, r.tree)
	}
}

// appendDouble appends a double in the shortest form that reads back the same,
// like ECMAScript and encoding/json.
func appendDouble(dst []byte, d float64) ([]byte, error) {
	if math.IsNaN(d) || math.IsInf(d, 0) {
		return dst, errNotFinite
	}
	layout := byte('f')
	if abs := math.Abs(d); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		layout = 'e'
	}
	dst = strconv.AppendFloat(dst, d, layout, -1, 64)
	if n := len(dst); layout == 'e' && n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-09 is written e-9
		dst = dst[:n-1]
	}
	return dst, nil
}

// appendTree appends a value of a tree as JSON text, see result.appendJSON.
func appendTree(dst []byte, v any) (_ []byte, err error) {
	switch v := v.(type) {
	case []any:
		dst = append(dst, '[')
		for i := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendTree(dst, v[i]); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case map[string]any:
		dst = append(dst, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendQuoted(dst, name), ':')
			if dst, err = appendTree(dst, v[name]); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	}
	r, err := scalar(v)
	if err != nil {
		return dst, err
	}
	return r.appendJSON(dst)
}

// scalar returns a value of a tree that is neither a list nor a map as a
// result.
func scalar(v any) (r result, err error) {
	switch v := v.(type) {
	case nil:
	case bool:
		r.kind = kindBool
		if v {
			r.num = 1
		}
	case int64:
		r.kind, r.num = kindInt, uint64(v)
	case uint64:
		r.kind, r.num = kindUint, v
	case float64:
		r.kind, r.num = kindDouble, math.Float64bits(v)
	case string:
		r.kind, r.text = kindString, []byte(v)
	case []byte:
		r.kind, r.text = kindBytes, v
	case time.Time:
		r.kind, r.when = kindTime, v
	case time.Duration:
		r.kind, r.num = kindDuration, uint64(v)
	default:
		return r, fmt.Errorf("a value of type %T has no text", v)
	}
	return r, nil
}

// fields returns the entries of a map, ordered by name.
func (r *result) fields() ([]field, error) {
	entries, ok := r.tree.(map[string]any)
	if r.kind != kindMap || !ok {
		return nil, errNotRecord
	}
	out := make([]field, 0, len(entries))
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		v, err := of(entries[name])
		if err != nil {
			return nil, err
		}
		out = append(out, field{name: []byte(name), set: &v})
	}
	return out, nil
}

// of returns a value of a tree as a result.
func of(v any) (result, error) {
	switch v := v.(type) {
	case []any:
		return result{kind: kindList, tree: v}, nil
	case map[string]any:
		return result{kind: kindMap, tree: v}, nil
	}
	return scalar(v)
}
