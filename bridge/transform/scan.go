package transform

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
)

// maxDepth bounds nesting, and with it the scanner's stack.
const maxDepth = 512

var errNotObject = errors.New("not a JSON object")

// scanObject appends the fields of the JSON object in data to fields. It takes
// exactly what RFC 8259 allows, and refuses an object in which a name comes
// twice: whoever reads it could mean either. The caller checks UTF-8. known,
// if not nil, holds the names of an object like this one.
func scanObject(data []byte, fields []field, known *shape) ([]field, error) {
	known.begin()
	i := space(data, 0)
	if i == len(data) || data[i] != '{' {
		return fields, errNotObject
	}
	i = space(data, i+1)
	if i < len(data) && data[i] == '}' {
		return fields, trailing(data, i+1)
	}
	first, next, strange := len(fields), 0, false
	for {
		start, end := i, 0
		var name []byte
		if at := known.find(data[i:], next); at >= 0 {
			next = at + 1
			end = i + len(known.quotes[at])
			name = data[i+1 : end-1]
		} else {
			if i >= len(data) || data[i] != '"' {
				return fields, syntax(data, i)
			}
			var escaped bool
			if end, escaped = str(data, i); end < 0 {
				return fields, syntax(data, i)
			}
			name = data[i+1 : end-1]
			if escaped {
				name = unquote(data[i:end])
			}
			strange = true
		}
		quote := data[i:end]
		i = space(data, end)
		if i >= len(data) || data[i] != ':' {
			return fields, syntax(data, i)
		}
		i = space(data, i+1)
		tight := i == end+1
		begin := i
		if i < len(data) && data[i] == '"' {
			i, _ = str(data, i)
		} else {
			i = value(data, i, 1)
		}
		if i < 0 {
			return fields, syntax(data, begin)
		}
		if len(fields) < cap(fields) {
			fields = fields[:len(fields)+1]
		} else {
			fields = append(fields, field{})
		}
		f := &fields[len(fields)-1] // used before: all members are set
		f.name, f.quote, f.value = name, quote, data[begin:i]
		f.typ, f.sub, f.set = nil, nil, nil
		f.start, f.end = 0, uint32(i)
		if tight {
			f.start = uint32(start)
		}
		i = space(data, i)
		if i >= len(data) {
			return fields, syntax(data, i)
		}
		switch data[i] {
		case ',':
			i = space(data, i+1)
		case '}':
			if strange {
				if err := distinct(fields[first:]); err != nil {
					return fields, err
				}
				known.learn(fields[first:])
			} else {
				known.matched(len(fields) - first)
			}
			return fields, trailing(data, i+1)
		default:
			return fields, syntax(data, i)
		}
	}
}

// scanArray appends the items of the JSON array in data to items.
func scanArray(data []byte, items []field) ([]field, error) {
	i := space(data, 0)
	if i == len(data) || data[i] != '[' {
		return items, errNotList
	}
	i = space(data, i+1)
	if i < len(data) && data[i] == ']' {
		return items, trailing(data, i+1)
	}
	for {
		end := value(data, i, 1)
		if end < 0 {
			return items, syntax(data, i)
		}
		items = append(items, field{value: data[i:end:end]})
		i = space(data, end)
		if i >= len(data) {
			return items, syntax(data, i)
		}
		switch data[i] {
		case ',':
			i = space(data, i+1)
		case ']':
			return items, trailing(data, i+1)
		default:
			return items, syntax(data, i)
		}
	}
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
	for i < len(data) && data[i] <= ' ' && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// value returns the index after the value that begins at i, -1 if it is not one.
func value(data []byte, i, depth int) int {
	if i >= len(data) {
		return -1
	}
	switch c := data[i]; c {
	case '"':
		end, _ := str(data, i)
		return end
	case '{':
		return object(data, i+1, depth)
	case '[':
		return array(data, i+1, depth)
	case 't':
		return literal(data, i, "true")
	case 'f':
		return literal(data, i, "false")
	case 'n':
		return literal(data, i, "null")
	default:
		return number(data, i)
	}
}

func object(data []byte, i, depth int) int {
	if depth >= maxDepth {
		return -1
	}
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
	if depth >= maxDepth {
		return -1
	}
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

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks the bytes of w that are a quote, a backslash or a control
// character. The lowest mark is exact; those above it may not be. (A byte that
// is not ASCII is none of them, whatever is subtracted.)
func special(w uint64) uint64 {
	return ((w ^ ones*'"' - ones) | (w ^ ones*'\\' - ones) | (w - ones*0x20)) &^ w & highs
}

// str returns the index after the string that begins with the quote at i, and
// whether it has escapes.
func str(data []byte, i int) (end int, escaped bool) {
	i++
	for {
		for i+16 <= len(data) {
			b := data[i : i+16]
			if m := special(binary.LittleEndian.Uint64(b)); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				goto found
			}
			if m := special(binary.LittleEndian.Uint64(b[8:])); m != 0 {
				i += 8 + bits.TrailingZeros64(m)>>3
				goto found
			}
			i += 16
		}
		for i < len(data) && data[i] >= 0x20 && data[i] != '"' && data[i] != '\\' {
			i++
		}
		if i >= len(data) {
			return -1, false
		}
	found:
		switch data[i] {
		case '"':
			return i + 1, escaped
		case '\\':
			escaped = true
			if i = escape(data, i+1); i < 0 {
				return -1, false
			}
		default:
			return -1, false
		}
	}
}

// escape returns the index after what follows a backslash, -1 if it may not.
func escape(data []byte, i int) int {
	if i >= len(data) {
		return -1
	}
	switch data[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if i+5 > len(data) {
			return -1
		}
		for _, h := range data[i+1 : i+5] {
			if !(h >= '0' && h <= '9' || h >= 'a' && h <= 'f' || h >= 'A' && h <= 'F') {
				return -1
			}
		}
		return i + 5
	default:
		return -1
	}
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

// appendQuoted appends s as a JSON string, escaped no more than RFC 8259 asks
// for: one text for one string.
func appendQuoted[S string | []byte](dst []byte, s S) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
