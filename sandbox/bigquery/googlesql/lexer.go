package googlesql

import (
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"
)

type tokenKind int

const (
	tokEOF tokenKind = iota
	tokIdent
	tokQuoted // `identifier`
	tokString
	tokBytes
	tokInt
	tokFloat
	tokParam // @name
	tokPunct
)

// token is a lexical element. text is the identifier as written, the decoded
// content of a string, the digits of a number, or the punctuation.
type token struct {
	kind tokenKind
	text string
	up   string // upper case of an unquoted identifier
	at   pos
}

// lexer splits a query into tokens.
type lexer struct {
	src       string
	i         int
	line, col int
}

// maxQueryBytes is BigQuery's limit of a query's text.
const maxQueryBytes = 1 << 20

// lex returns the tokens of src, ending with tokEOF.
func lex(src string) ([]token, error) {
	if len(src) > maxQueryBytes {
		return nil, invalid(pos{}, "The query is too large. The maximum standard SQL query length is 1024.00K characters, including comments and white space characters.")
	}
	if !utf8.ValidString(src) || strings.ContainsRune(src, 0) {
		// A zero byte would end the text inside DuckDB.
		return nil, invalid(pos{}, "Syntax error: Illegal input character: the query is not valid UTF-8 without zero bytes")
	}
	l := &lexer{src: src, line: 1, col: 1}
	var toks []token
	for {
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		toks = append(toks, t)
		if t.kind == tokEOF {
			return toks, nil
		}
	}
}

func (l *lexer) peek(n int) byte {
	if l.i+n < len(l.src) {
		return l.src[l.i+n]
	}
	return 0
}

// advance moves over n bytes, counting lines and columns (in characters).
func (l *lexer) advance(n int) {
	for end := l.i + n; l.i < end; {
		r, size := utf8.DecodeRuneInString(l.src[l.i:])
		if r == '\n' {
			l.line, l.col = l.line+1, 1
		} else {
			l.col++
		}
		l.i += size
	}
}

func (l *lexer) skipSpace() error {
	for l.i < len(l.src) {
		c := l.src[l.i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
			l.advance(1)
		case c == '#' || c == '-' && l.peek(1) == '-':
			for l.i < len(l.src) && l.src[l.i] != '\n' {
				_, size := utf8.DecodeRuneInString(l.src[l.i:])
				l.advance(size)
			}
		case c == '/' && l.peek(1) == '*':
			at := pos{l.line, l.col}
			n := strings.Index(l.src[l.i+2:], "*/")
			if n < 0 {
				return invalid(at, "Syntax error: Unclosed comment")
			}
			l.advance(n + 4)
		default:
			return nil
		}
	}
	return nil
}

func isIdentStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// punctuation of more than one character, longest first.
var longPunct = []string{"<=", ">=", "<>", "!=", "||", "<<", ">>", "=>", "@@"}

func (l *lexer) next() (token, error) {
	if err := l.skipSpace(); err != nil {
		return token{}, err
	}
	at := pos{l.line, l.col}
	if l.i >= len(l.src) {
		return token{kind: tokEOF, at: at}, nil
	}
	c := l.src[l.i]
	switch {
	case isIdentStart(c):
		if t, ok, err := l.prefixedString(at); ok || err != nil {
			return t, err
		}
		return l.ident(at), nil
	case c == '\'' || c == '"':
		return l.str(at, false, false)
	case c == '`':
		return l.quoted(at)
	case isDigit(c) || c == '.' && isDigit(l.peek(1)):
		return l.number(at)
	case c == '@' && isIdentStart(l.peek(1)):
		l.advance(1)
		t := l.ident(at)
		t.kind = tokParam
		return t, nil
	}
	for _, p := range longPunct {
		if strings.HasPrefix(l.src[l.i:], p) {
			l.advance(len(p))
			return token{kind: tokPunct, text: p, at: at}, nil
		}
	}
	if strings.IndexByte("()[]{},.;*+-/<>=|&^~?@:%", c) >= 0 {
		l.advance(1)
		return token{kind: tokPunct, text: string(c), at: at}, nil
	}
	r, _ := utf8.DecodeRuneInString(l.src[l.i:])
	return token{}, invalid(at, "Syntax error: Illegal input character %q", r)
}

func (l *lexer) ident(at pos) token {
	n := 0
	for l.i+n < len(l.src) && (isIdentStart(l.src[l.i+n]) || isDigit(l.src[l.i+n])) {
		n++
	}
	text := l.src[l.i : l.i+n]
	l.advance(n)
	return token{kind: tokIdent, text: text, up: strings.ToUpper(text), at: at}
}

// quoted reads `identifier`. Escapes are not taken: no name of a table or
// column has one.
func (l *lexer) quoted(at pos) (token, error) {
	n := strings.IndexAny(l.src[l.i+1:], "`\n\\")
	if n < 0 || l.src[l.i+1+n] != '`' {
		return token{}, invalid(at, "Syntax error: Unclosed identifier literal")
	}
	if n == 0 {
		return token{}, invalid(at, "Syntax error: Invalid empty identifier")
	}
	text := l.src[l.i+1 : l.i+1+n]
	l.advance(n + 2)
	return token{kind: tokQuoted, text: text, at: at}, nil
}

func (l *lexer) number(at pos) (token, error) {
	n, kind := 0, tokInt
	if l.src[l.i] == '0' && (l.peek(1)|0x20) == 'x' {
		n = 2
		for isHex(l.peek(n)) {
			n++
		}
		v, err := strconv.ParseUint(l.src[l.i+2:l.i+n], 16, 64)
		if err != nil {
			return token{}, invalid(at, "Invalid hex integer literal: %s", l.src[l.i:l.i+n])
		}
		l.advance(n)
		return token{kind: tokInt, text: strconv.FormatInt(int64(v), 10), at: at}, nil
	}
	for isDigit(l.peek(n)) {
		n++
	}
	if l.peek(n) == '.' {
		kind = tokFloat
		for n++; isDigit(l.peek(n)); n++ {
		}
	}
	if c := l.peek(n) | 0x20; c == 'e' {
		m := n + 1
		if s := l.peek(m); s == '+' || s == '-' {
			m++
		}
		if isDigit(l.peek(m)) {
			kind = tokFloat
			for n = m; isDigit(l.peek(n)); n++ {
			}
		}
	}
	text := l.src[l.i : l.i+n]
	l.advance(n)
	if isIdentStart(l.peek(0)) {
		return token{}, invalid(at, "Syntax error: Missing whitespace between literal and alias")
	}
	return token{kind: kind, text: text, at: at}, nil
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// prefixedString reads r'…', b'…', rb'…' and br'…'.
func (l *lexer) prefixedString(at pos) (token, bool, error) {
	raw, bytes := false, false
	n := 0
	for ; n < 2; n++ {
		switch l.peek(n) | 0x20 {
		case 'r':
			if raw {
				return token{}, false, nil
			}
			raw = true
			continue
		case 'b':
			if bytes {
				return token{}, false, nil
			}
			bytes = true
			continue
		}
		break
	}
	if q := l.peek(n); n == 0 || q != '\'' && q != '"' {
		return token{}, false, nil
	}
	l.advance(n)
	t, err := l.str(at, raw, bytes)
	return t, true, err
}

func (l *lexer) str(at pos, raw, bytes bool) (token, error) {
	q := l.src[l.i : l.i+1]
	if strings.HasPrefix(l.src[l.i:], q+q+q) {
		q = q + q + q
	}
	l.advance(len(q))
	kind := tokString
	if bytes {
		kind = tokBytes
	}
	var b strings.Builder
	for {
		if l.i >= len(l.src) || len(q) == 1 && l.src[l.i] == '\n' {
			return token{}, invalid(at, "Syntax error: Unclosed string literal")
		}
		if strings.HasPrefix(l.src[l.i:], q) {
			l.advance(len(q))
			break
		}
		if l.src[l.i] == '\\' {
			if l.i+1 >= len(l.src) {
				return token{}, invalid(at, "Syntax error: Unclosed string literal")
			}
			if raw {
				_, size := utf8.DecodeRuneInString(l.src[l.i+1:])
				b.WriteString(l.src[l.i : l.i+1+size])
				l.advance(1 + size)
				continue
			}
			if err := l.escape(&b, bytes); err != nil {
				return token{}, err
			}
			continue
		}
		_, size := utf8.DecodeRuneInString(l.src[l.i:])
		b.WriteString(l.src[l.i : l.i+size])
		l.advance(size)
	}
	text := b.String()
	if !bytes && (strings.ContainsRune(text, 0) || !utf8.ValidString(text)) {
		return token{}, unsupported(at, "a string literal with a zero byte")
	}
	return token{kind: kind, text: text, at: at}, nil
}

var simpleEscapes = map[byte]byte{
	'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v',
	'\\': '\\', '?': '?', '"': '"', '\'': '\'', '`': '`',
}

// escape decodes one backslash sequence.
func (l *lexer) escape(b *strings.Builder, bytes bool) error {
	at := pos{l.line, l.col}
	c := l.peek(1)
	if v, ok := simpleEscapes[c]; ok {
		b.WriteByte(v)
		l.advance(2)
		return nil
	}
	digits, base, first := 0, 16, 2
	switch {
	case c == 'x' || c == 'X':
		digits = 2
	case c == 'u' && !bytes:
		digits = 4
	case c == 'U' && !bytes:
		digits = 8
	case c >= '0' && c <= '3':
		digits, base, first = 3, 8, 1
	}
	if digits > 0 && l.i+first+digits <= len(l.src) {
		v, err := strconv.ParseUint(l.src[l.i+first:l.i+first+digits], base, 32)
		if err == nil && v <= utf8.MaxRune {
			if bytes {
				b.WriteByte(byte(v))
			} else {
				b.WriteRune(rune(v))
			}
			l.advance(first + digits)
			return nil
		}
	}
	return invalid(at, "Syntax error: Illegal escape sequence: \\%s", string(rune(c)))
}

// hexOf is the text of a DuckDB BLOB literal.
func hexOf(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }

// reserved words of GoogleSQL, which are never identifiers unless quoted.
var reserved = func() map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(`ALL AND ANY ARRAY AS ASC ASSERT_ROWS_MODIFIED AT BETWEEN BY CASE CAST
		COLLATE CONTAINS CREATE CROSS CUBE CURRENT DEFAULT DEFINE DESC DISTINCT ELSE END ENUM ESCAPE
		EXCEPT EXCLUDE EXISTS EXTRACT FALSE FETCH FOLLOWING FOR FROM FULL GROUP GROUPING GROUPS HASH
		HAVING IF IGNORE IN INNER INTERSECT INTERVAL INTO IS JOIN LATERAL LEFT LIKE LIMIT LOOKUP MERGE
		NATURAL NEW NO NOT NULL NULLS OF ON OR ORDER OUTER OVER PARTITION PRECEDING PROTO QUALIFY RANGE
		RECURSIVE RESPECT RIGHT ROLLUP ROWS SELECT SET SOME STRUCT TABLESAMPLE THEN TO TREAT TRUE UNION
		UNNEST USING WHEN WHERE WINDOW WITH WITHIN`) {
		m[w] = true
	}
	return m
}()
