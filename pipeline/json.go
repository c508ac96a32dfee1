package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// fieldReader reads the fields of a plan from JSON objects. It looks at the
// top level only and builds no tree: it runs once an event.
type fieldReader struct {
	fields []Field
	index  map[string]int
}

func newFieldReader(fields []Field) *fieldReader {
	r := &fieldReader{fields: fields, index: map[string]int{}}
	for i, f := range fields {
		r.index[f.Name] = i
	}
	return r
}

// read sets out, which has one value for each field, from data. A field that
// is absent or null is null. On an error all of out is null.
func (r *fieldReader) read(data []byte, out []Value) error {
	clear(out)
	if !json.Valid(data) {
		return fmt.Errorf("the data is not JSON")
	}
	// From here on data is known to be well-formed, so the scan need not check.
	i := skipSpace(data, 0)
	if data[i] != '{' {
		return fmt.Errorf("the data is not a JSON object")
	}
	for i = skipSpace(data, i+1); data[i] != '}'; {
		end := skipValue(data, i)
		at, wanted := r.lookup(data[i:end])
		i = skipSpace(data, skipSpace(data, end)+1) // past the colon
		end = skipValue(data, i)
		if wanted {
			v, err := readValue(data[i:end], r.fields[at].Kind)
			if err != nil {
				clear(out)
				return fmt.Errorf("field %s: %w", r.fields[at].Name, err)
			}
			out[at] = v
		}
		if i = skipSpace(data, end); data[i] == ',' {
			i = skipSpace(data, i+1)
		}
	}
	return nil
}

func (r *fieldReader) lookup(quoted []byte) (int, bool) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		at, ok := r.index[string(quoted[1:len(quoted)-1])] // allocates nothing
		return at, ok
	}
	at, ok := r.index[unquote(quoted)]
	return at, ok
}

func readValue(v []byte, kind Kind) (Value, error) {
	if v[0] == 'n' { // null
		return Value{}, nil
	}
	quoted := v[0] == '"'
	switch kind {
	case Int64:
		text := string(v)
		if quoted { // BigQuery, too, takes integers in quotes
			text = unquote(v)
		}
		n, err := parseInt(text)
		if err != nil {
			return Value{}, fmt.Errorf("%s is not an INT64", abbreviate(v))
		}
		return Value{Valid: true, Int: n}, nil
	case Timestamp:
		if quoted {
			if t, err := time.Parse(time.RFC3339Nano, unquote(v)); err == nil {
				return Value{Valid: true, Int: t.UnixMicro()}, nil
			}
		}
		return Value{}, fmt.Errorf("%s is not an RFC 3339 time in quotes", abbreviate(v))
	default:
		if !quoted {
			return Value{}, fmt.Errorf("%s is not a STRING", abbreviate(v))
		}
		return Value{Valid: true, Str: unquote(v)}, nil
	}
}

// parseInt reads an integer; one with a fraction of zero or an exponent, as
// some encoders write whole floats, is taken as long as a float holds it exactly.
func parseInt(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil || !strings.ContainsAny(s, ".eE") {
		return n, err
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, strconv.ErrSyntax
	}
	return int64(f), nil
}

// unquote returns the text of a JSON string; what is not UTF-8 becomes U+FFFD,
// for BigQuery takes nothing else.
func unquote(v []byte) string {
	if bytes.IndexByte(v, '\\') < 0 && utf8.Valid(v) {
		return string(v[1 : len(v)-1])
	}
	var s string
	_ = json.Unmarshal(v, &s) // well-formed: checked by read
	return s
}

func abbreviate(v []byte) string {
	const most = 40
	if len(v) > most {
		return strings.ToValidUTF8(string(v[:most]), "") + "…"
	}
	return string(v)
}

func skipSpace(d []byte, i int) int {
	for i < len(d) && (d[i] == ' ' || d[i] == '\n' || d[i] == '\t' || d[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the end of the value that starts at i.
func skipValue(d []byte, i int) int {
	switch d[i] {
	case '"':
		return skipString(d, i)
	case '{', '[':
		depth := 0
		for {
			switch d[i] {
			case '"':
				i = skipString(d, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	for i < len(d) && d[i] != ',' && d[i] != '}' && d[i] != ']' && d[i] > ' ' {
		i++
	}
	return i
}

func skipString(d []byte, i int) int {
	for i++; d[i] != '"'; i++ {
		if d[i] == '\\' {
			i++
		}
	}
	return i + 1
}
