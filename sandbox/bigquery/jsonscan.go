package bigquery

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// scanner reads JSON in one pass without building trees: insertAll is the hot
// path of the sandbox.
type scanner struct {
	b     []byte
	i     int
	depth int
	buf   []byte // of decoded strings
}

var errJSON = errors.New("invalid JSON")

func (s *scanner) fail(what string) error {
	return fmt.Errorf("%w at offset %d: %s", errJSON, s.i, what)
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek returns the first byte of the next token, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() == c {
		s.i++
		return true
	}
	return false
}

// object calls f for every member; f must read the value. key is valid until
// the next read.
func (s *scanner) object(f func(key []byte) error) error {
	if !s.take('{') {
		return s.fail("expected an object")
	}
	if s.depth++; s.depth > 100 {
		return s.fail("nested too deeply")
	}
	defer func() { s.depth-- }()
	if s.take('}') {
		return nil
	}
	for {
		key, err := s.str()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return s.fail("expected ':'")
		}
		if err := f(key); err != nil {
			return err
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return s.fail("expected ',' or '}'")
		}
	}
}

// array calls f for every element; f must read it.
func (s *scanner) array(f func(i int) error) error {
	if !s.take('[') {
		return s.fail("expected an array")
	}
	if s.depth++; s.depth > 100 {
		return s.fail("nested too deeply")
	}
	defer func() { s.depth-- }()
	if s.take(']') {
		return nil
	}
	for n := 0; ; n++ {
		if err := f(n); err != nil {
			return err
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return s.fail("expected ',' or ']'")
		}
	}
}

// str reads a string; the result is valid until the next read.
func (s *scanner) str() ([]byte, error) {
	if !s.take('"') {
		return nil, s.fail("expected a string")
	}
	start := s.i
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			out := s.b[start:s.i]
			s.i++
			if !utf8.Valid(out) {
				return nil, s.fail("a string that is not UTF-8")
			}
			return out, nil
		case c == '\\':
			return s.escaped(start - 1)
		case c < 0x20:
			return nil, s.fail("a control character in a string")
		default:
			s.i++
		}
	}
	return nil, s.fail("an unclosed string")
}

// escaped reads a string with escapes, which begins at start, the slow way.
func (s *scanner) escaped(start int) ([]byte, error) {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case '\\':
			s.i += 2
		case '"':
			s.i++
			var out string
			if err := json.Unmarshal(s.b[start:s.i], &out); err != nil {
				return nil, s.fail("a malformed string")
			}
			s.buf = append(s.buf[:0], out...)
			return s.buf, nil
		default:
			s.i++
		}
	}
	return nil, s.fail("an unclosed string")
}

// word reads a number, true, false or null and returns its text.
func (s *scanner) word() ([]byte, error) {
	s.space()
	start := s.i
	for s.i < len(s.b) {
		c := s.b[s.i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == '-' || c == '+' || c == '.' || c == 'E' {
			s.i++
			continue
		}
		break
	}
	w := s.b[start:s.i]
	if !json.Valid(w) {
		return nil, s.fail("expected a value")
	}
	return w, nil
}

// skip reads any value.
func (s *scanner) skip() error {
	switch s.peek() {
	case '{':
		return s.object(func([]byte) error { return s.skip() })
	case '[':
		return s.array(func(int) error { return s.skip() })
	case '"':
		_, err := s.str()
		return err
	}
	_, err := s.word()
	return err
}

// raw reads any value and returns its text.
func (s *scanner) raw() ([]byte, error) {
	s.space()
	start := s.i
	if err := s.skip(); err != nil {
		return nil, err
	}
	return s.b[start:s.i], nil
}

// end reports an error unless nothing but space is left.
func (s *scanner) end() error {
	if s.space(); s.i < len(s.b) {
		return s.fail("something after the value")
	}
	return nil
}
