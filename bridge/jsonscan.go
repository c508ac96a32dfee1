package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// field is one field of a JSON object. The slices point into the record, so a
// value that is passed on keeps its exact text, above all that of a number.
type field struct {
	name  []byte // unescaped
	quote []byte // as written, with quotes
	value []byte // as written, without surrounding space
}

// maxDepth bounds nesting, and with it the scanner's stack.
const maxDepth = 512

var errNotObject = errors.New("not a JSON object")

// parseObject appends the fields of the JSON object in data to fields. It
// takes exactly what RFC 8259 allows, in UTF-8, and refuses an object in which
// a name comes twice: whoever reads it could mean either.
func parseObject(data []byte, fields []field) ([]field, error) {
	if !utf8.Valid(data) {
		return fields, errors.New("not UTF-8")
	}
	i := space(data, 0)
	if i == len(data) || data[i] != '{' {
		return fields, errNotObject
	}
	var seen names
	i = space(data, i+1)
	if i < len(data) && data[i] == '}' {
		return fields, trailing(data, i+1)
	}
	for {
		if i >= len(data) || data[i] != '"' {
			return fields, syntax(data, i)
		}
		end, escaped := str(data, i)
		if end < 0 {
			return fields, syntax(data, i)
		}
		f := field{quote: data[i:end], name: data[i+1 : end-1]}
		if escaped {
			f.name = unquote(f.quote)
		}
		i = space(data, end)
		if i >= len(data) || data[i] != ':' {
			return fields, syntax(data, i)
		}
		i = space(data, i+1)
		end = value(data, i, 1)
		if end < 0 {
			return fields, syntax(data, i)
		}
		f.value = data[i:end]
		if seen.add(f.name, fields) {
			return fields, fmt.Errorf("field %q comes twice", f.name)
		}
		fields = append(fields, f)
		i = space(data, end)
		if i >= len(data) {
			return fields, syntax(data, i)
		}
		switch data[i] {
		case ',':
			i = space(data, i+1)
		case '}':
			return fields, trailing(data, i+1)
		default:
			return fields, syntax(data, i)
		}
	}
}

// names finds repeated names without allocating for objects of ordinary size:
// a small filter says whether a look at the earlier fields is needed at all.
type names struct {
	filter [4]uint64
	large  map[string]bool
}

func (n *names) add(name []byte, earlier []field) (twice bool) {
	if len(earlier) >= 64 {
		if n.large == nil {
			n.large = make(map[string]bool, 2*len(earlier))
			for _, f := range earlier {
				n.large[string(f.name)] = true
			}
		}
		if n.large[string(name)] {
			return true
		}
		n.large[string(name)] = true
		return false
	}
	h := uint8(len(name))
	for _, c := range name {
		h = h*31 + c
	}
	bit := uint64(1) << (h & 63)
	if word := &n.filter[h>>6]; *word&bit == 0 {
		*word |= bit
		return false
	}
	for _, f := range earlier {
		if bytes.Equal(f.name, name) {
			return true
		}
	}
	return false
}

func trailing(data []byte, i int) error {
	if i = space(data, i); i != len(data) {
		return syntax(data, i)
	}
	return nil
}

// syntax says where the text stops being JSON. It does not show the text: it
// may be sensitive.
func syntax(data []byte, i int) error {
	if i >= len(data) {
		return errors.New("JSON ends too early")
	}
	return fmt.Errorf("not JSON at or after byte %d", i)
}

func space(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// value returns the index after the value that begins at i, -1 if it is not one.
func value(data []byte, i, depth int) int {
	if i >= len(data) || depth > maxDepth {
		return -1
	}
	switch c := data[i]; {
	case c == '"':
		end, _ := str(data, i)
		return end
	case c == '{':
		return object(data, i+1, depth)
	case c == '[':
		return array(data, i+1, depth)
	case c == 't':
		return literal(data, i, "true")
	case c == 'f':
		return literal(data, i, "false")
	case c == 'n':
		return literal(data, i, "null")
	default:
		return number(data, i)
	}
}

func object(data []byte, i, depth int) int {
	i = space(data, i)
	if i < len(data) && data[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(data) || data[i] != '"' {
			return -1
		}
		if i, _ = str(data, i); i < 0 {
			return -1
		}
		if i = space(data, i); i >= len(data) || data[i] != ':' {
			return -1
		}
		if i = value(data, space(data, i+1), depth+1); i < 0 {
			return -1
		}
		i = space(data, i)
		switch {
		case i < len(data) && data[i] == ',':
			i = space(data, i+1)
		case i < len(data) && data[i] == '}':
			return i + 1
		default:
			return -1
		}
	}
}

func array(data []byte, i, depth int) int {
	i = space(data, i)
	if i < len(data) && data[i] == ']' {
		return i + 1
	}
	for {
		if i = value(data, i, depth+1); i < 0 {
			return -1
		}
		i = space(data, i)
		switch {
		case i < len(data) && data[i] == ',':
			i = space(data, i+1)
		case i < len(data) && data[i] == ']':
			return i + 1
		default:
			return -1
		}
	}
}

func literal(data []byte, i int, word string) int {
	if len(data)-i < len(word) || string(data[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// str returns the index after the string that begins with the quote at i, and
// whether it has escapes.
func str(data []byte, i int) (end int, escaped bool) {
	for i++; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			return i + 1, escaped
		case c == '\\':
			escaped = true
			i++
			if i >= len(data) {
				return -1, false
			}
			switch data[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if i+4 >= len(data) {
					return -1, false
				}
				for _, h := range data[i+1 : i+5] {
					if !(h >= '0' && h <= '9' || h >= 'a' && h <= 'f' || h >= 'A' && h <= 'F') {
						return -1, false
					}
				}
				i += 4
			default:
				return -1, false
			}
		case c < 0x20:
			return -1, false
		}
	}
	return -1, false
}

func number(data []byte, i int) int {
	if i < len(data) && data[i] == '-' {
		i++
	}
	switch {
	case i >= len(data):
		return -1
	case data[i] == '0':
		i++
	case data[i] >= '1' && data[i] <= '9':
		i = digits(data, i)
	default:
		return -1
	}
	if i < len(data) && data[i] == '.' {
		if i++; i >= len(data) || data[i] < '0' || data[i] > '9' {
			return -1
		}
		i = digits(data, i)
	}
	if i < len(data) && (data[i] == 'e' || data[i] == 'E') {
		i++
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		if i >= len(data) || data[i] < '0' || data[i] > '9' {
			return -1
		}
		i = digits(data, i)
	}
	return i
}

func digits(data []byte, i int) int {
	for i < len(data) && data[i] >= '0' && data[i] <= '9' {
		i++
	}
	return i
}

// unquote returns the characters of a JSON string that was scanned before.
// Half of a surrogate pair becomes U+FFFD, as everywhere in Go.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return quoted[1 : len(quoted)-1] // cannot be: str has taken it
	}
	return []byte(s)
}

// quote appends s as a JSON string, escaped no more than RFC 8259 asks for:
// one text for one string.
func quote(dst []byte, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		case c == '\b':
			dst = append(dst, '\\', 'b')
		case c == '\f':
			dst = append(dst, '\\', 'f')
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(dst, '"')
}
