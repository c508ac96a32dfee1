package sqlexpr

import (
	"strings"
	"unicode/utf8"
)

// maxLength is the longest text, in bytes, that is looked at.
const maxLength = 100_000

type kind int

const (
	end    kind = iota
	word        // a name or a keyword
	quoted      // a name in backticks
	number
	text // a string or bytes literal
	parameter
	symbol
)

type token struct {
	kind   kind
	text   string // as written
	offset int
	spaced bool // white space stands before it
}

// name is the name that a word or a quoted name means.
func (t token) name() string { return strings.Trim(t.text, "`") }

// is reports whether the token is the symbol, or the keyword, which is written
// in capitals.
func (t token) is(s string) bool {
	return (t.kind == symbol || t.kind == word) && strings.EqualFold(t.text, s)
}

// symbols are the operators and punctuation, longer ones first.
var symbols = []string{"<=", ">=", "<>", "!=", "||", "<<", ">>", "(", ")", "[", "]", ",", ".", "+", "-", "*", "/", "=", "<", ">", "&", "|", "^", "~"}

// lex splits a text into tokens; the last is the end. Strings in three quotes
// are refused: no expression needs them.
func lex(s string) ([]token, error) {
	if len(s) > maxLength {
		return nil, errorAt(0, "", "it is longer than %d bytes", maxLength)
	}
	if !utf8.ValidString(s) {
		return nil, errorAt(0, "", "it is not UTF-8")
	}
	var out []token
	for i := 0; ; {
		from := i
		for i < len(s) && strings.IndexByte(" \t\r\n", s[i]) >= 0 {
			i++
		}
		t := token{offset: i, spaced: i > from}
		if i == len(s) {
			return append(out, t), nil
		}
		var err error
		if t.kind, i, err = next(s, i, out); err != nil {
			return nil, err
		}
		t.text = s[t.offset:i]
		if n := len(out); n > 0 && t.kind == text && out[n-1].kind == text {
			return nil, errorAt(t.offset, `a quote within a string is written \'`, "two strings stand side by side")
		}
		out = append(out, t)
	}
}

// next finds the kind and the end of the token at i. before are those in front.
func next(s string, i int, before []token) (kind, int, error) {
	c, rest := s[i], s[i:]
	switch {
	case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "/*"), c == '#':
		return 0, 0, errorAt(i, "remove it; two minus signs need a space between them", "a comment has no place here")
	case c == '"' || c == '\'':
		return literal(s, i, i, false)
	case c == '`':
		return backticked(s, i)
	case letter(c):
		j := i
		for j < len(s) && (letter(s[j]) || digit(s[j])) {
			j++
		}
		if prefix := strings.ToLower(s[i:j]); j < len(s) && (s[j] == '"' || s[j] == '\'') {
			switch prefix {
			case "r", "b", "rb", "br":
				return literal(s, i, j, strings.Contains(prefix, "r"))
			}
		}
		return word, j, nil
	case digit(c), c == '.' && len(rest) > 1 && digit(rest[1]) && !endsOperand(before):
		return numeral(s, i)
	case c == '@':
		j := i + 1
		for j < len(s) && (letter(s[j]) || digit(s[j])) {
			j++
		}
		return parameter, j, nil
	}
	for _, sym := range symbols {
		if strings.HasPrefix(rest, sym) {
			return symbol, i + len(sym), nil
		}
	}
	r, _ := utf8.DecodeRuneInString(rest)
	if r == ';' {
		return 0, 0, errorAt(i, "remove it", "a semicolon has no place here")
	}
	return 0, 0, errorAt(i, "", "the character %q has no place here", r)
}

// endsOperand reports whether the last token ends a value, so that a point after
// it is that of a field.
func endsOperand(before []token) bool {
	if len(before) == 0 {
		return false
	}
	t := before[len(before)-1]
	return t.kind != symbol || t.text == ")" || t.text == "]"
}

func letter(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

// backticked reads a name in backticks: of a column, so narrower than
// BigQuery's own names, or in a query of a table.
func backticked(s string, i int) (kind, int, error) {
	j := i + 1
	for j < len(s) && (letter(s[j]) || digit(s[j]) || strings.IndexByte("-.:", s[j]) >= 0) {
		j++
	}
	if j == i+1 || j == len(s) || s[j] != '`' {
		return 0, 0, errorAt(i, "use letters, digits and underscores", "what is in backticks is not a name that can be quoted safely")
	}
	return quoted, j + 1, nil
}

// literal reads the string whose prefix stands at i and whose quote at j.
func literal(s string, i, j int, raw bool) (kind, int, error) {
	q := s[j]
	if strings.HasPrefix(s[j:], strings.Repeat(string(q), 3)) {
		return 0, 0, errorAt(i, "use single ones", "strings in three quotes are not taken")
	}
	for j++; j < len(s); j++ {
		switch c := s[j]; {
		case c == q:
			return text, j + 1, nil
		case c < 0x20 || c == 0x7f:
			return 0, 0, errorAt(j, `write it as an escape, such as \n`, "a control character stands in a string")
		case c == '\\' && j+1 < len(s):
			if j++; !raw && strings.IndexByte("abfnrtv\\?\"'`01234567xXuU", s[j]) < 0 {
				return 0, 0, errorAt(j-1, `write a backslash as \\`, `there is no escape \%c`, s[j])
			}
			if s[j] < 0x20 || s[j] == 0x7f {
				return 0, 0, errorAt(j, "", "a control character stands in a string")
			}
		}
	}
	return 0, 0, errorAt(i, "", "the string does not end")
}

// numeral reads 12, 1.5, .5, 1e9, 0xFF.
func numeral(s string, i int) (kind, int, error) {
	j := i
	digits := func() {
		for j < len(s) && digit(s[j]) {
			j++
		}
	}
	if len(s) > i+2 && s[i] == '0' && s[i+1]|0x20 == 'x' {
		for j = i + 2; j < len(s) && (digit(s[j]) || s[j]|0x20 >= 'a' && s[j]|0x20 <= 'f'); {
			j++
		}
		if j == i+2 {
			return 0, 0, errorAt(i, "", "%q is not a number", s[i:j])
		}
	} else {
		digits()
		if j < len(s) && s[j] == '.' {
			j++
			digits()
		}
		if j < len(s) && s[j]|0x20 == 'e' {
			j++
			if j < len(s) && (s[j] == '+' || s[j] == '-') {
				j++
			}
			from := j
			if digits(); j == from {
				return 0, 0, errorAt(i, "", "%q is not a number", s[i:j])
			}
		}
	}
	if j < len(s) && (letter(s[j]) || s[j] == '.' || s[j] == '`' || s[j] == '"' || s[j] == '\'') {
		return 0, 0, errorAt(i, "", "%q is not a number", s[i:j+1])
	}
	return number, j, nil
}
