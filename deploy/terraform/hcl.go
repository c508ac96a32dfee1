package terraform

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The part of HCL that is written here, printed as `terraform fmt` would have it.

// expr is an expression: its lines, the first of which follows the equals sign.
type expr []string

// raw is an expression as it is: a reference, or a call of a function.
func raw(s string) expr { return expr{s} }

func str(s string) expr   { return raw(quote(s)) }
func number(n int64) expr { return raw(strconv.FormatInt(n, 10)) }
func boolean(b bool) expr { return raw(strconv.FormatBool(b)) }

// list is a list on lines of its own for each item; an empty one is [].
func list(items ...expr) expr {
	if len(items) == 0 {
		return raw("[]")
	}
	e := expr{"["}
	for _, it := range items {
		lines := indent(it)
		lines[len(lines)-1] += ","
		e = append(e, lines...)
	}
	return append(e, "]")
}

func strs(items []string) expr {
	var es []expr
	for _, s := range items {
		es = append(es, str(s))
	}
	return list(es...)
}

// object is an object, or a map; an empty one is {}.
func object(members ...item) expr {
	if len(members) == 0 {
		return raw("{}")
	}
	return append(append(expr{"{"}, indent(lines(members))...), "}")
}

// call is a call of a function with one argument.
func call(name string, arg expr) expr {
	e := append(expr{}, arg...)
	e[0] = name + "(" + e[0]
	e[len(e)-1] += ")"
	return e
}

// item is what stands in a body: an attribute, a block, a comment or a blank line.
type item struct {
	key   string
	value expr     // of an attribute
	lines []string // of anything else
}

func attr(name string, value expr) item { return item{key: name, value: value} }

// member is an entry of a map whose key is any text.
func member(key string, value expr) item { return item{key: quote(key), value: value} }

func blank() item { return item{lines: []string{""}} }

// comment is a comment; long ones are broken into lines.
func comment(text string) item {
	var out []string
	line := "#"
	for _, w := range strings.Fields(clean(text)) {
		if len(line)+1+len(w) > 80 && line != "#" {
			out = append(out, line)
			line = "#"
		}
		line += " " + w
	}
	return item{lines: append(out, line)}
}

// clean replaces what would end a comment.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r != ' ' && (unicode.IsControl(r) || unicode.IsSpace(r)) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}

func block(typ string, labels []string, body ...item) item {
	head := typ
	for _, l := range labels {
		head += " " + quote(l)
	}
	if len(body) == 0 {
		return item{lines: []string{head + " {}"}}
	}
	return item{lines: append(append([]string{head + " {"}, indent(lines(body))...), "}")}
}

// lines prints a body. The equals signs of attributes of one line each, that
// follow one another, stand in one column.
func lines(body []item) []string {
	var out []string
	for i := 0; i < len(body); {
		if body[i].key == "" {
			out = append(out, body[i].lines...)
			i++
			continue
		}
		end, width := i, 0
		for end < len(body) && body[end].key != "" && len(body[end].value) == 1 {
			width = max(width, utf8.RuneCountInString(body[end].key))
			end++
		}
		for ; i < end; i++ {
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(body[i].key))
			out = append(out, body[i].key+pad+" = "+body[i].value[0])
		}
		if i < len(body) && body[i].key != "" {
			v := body[i].value
			out = append(append(out, body[i].key+" = "+v[0]), v[1:]...)
			i++
		}
	}
	return out
}

func indent(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		if l != "" {
			l = "  " + l
		}
		out[i] = l
	}
	return out
}

// quote writes a text as a string of HCL, in which nothing is interpolated.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	signs, last := 0, rune(0) // how many $ or % stand right before
	for _, r := range strings.ToValidUTF8(s, "�") {
		switch {
		case r == '{' && signs == 1:
			b.WriteRune(last)
			b.WriteByte('{')
		case r == '{' && signs > 1:
			// A run of signs before a brace can be read in two ways.
			b.WriteString(`\u007b`)
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r != ' ' && !unicode.IsPrint(r) && r > 0xFFFF:
			fmt.Fprintf(&b, `\U%08x`, r)
		case r != ' ' && !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		switch {
		case r != '$' && r != '%':
			signs = 0
		case r == last:
			signs++
		default:
			signs = 1
		}
		last = r
	}
	b.WriteByte('"')
	return b.String()
}

// within is a text as it stands within a string.
func within(s string) string {
	q := quote(s)
	return q[1 : len(q)-1]
}
