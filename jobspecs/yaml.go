package jobspecs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxDepth bounds the nesting of a document; the deepest field of any kind
// stands at level 6. maxTokens bounds its length: the parser's time grows with
// its square.
const (
	maxDepth  = 64
	maxTokens = 20_000
)

// parseYAML reads one document. It returns nil for one without content, and
// for one with errors, which it adds to c.
func parseYAML(src *source, ch chunk, c *collector) (root *node) {
	r := &reader{src: src, shift: ch.first - 1, c: c}
	defer func() {
		// The YAML library must never take the program down with it.
		if p := recover(); p != nil {
			r.fail(r.last, "", "the YAML parser cannot read this document")
			root = nil
		}
	}()
	before := len(c.errs)
	tokens := lexer.Tokenize(ch.text)
	if !r.allowed(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // duplicates: see reader.mapping
	if err != nil {
		var se *yaml.SyntaxError
		if errors.As(err, &se) && se.GetToken() != nil {
			r.fail(se.GetToken(), mend(se.GetMessage()), "%s", se.GetMessage())
		} else {
			r.fail(r.last, "", "%s", firstLine(err.Error()))
		}
		return nil
	}
	for _, d := range file.Docs {
		if d.Body == nil {
			continue
		}
		if root != nil {
			r.fail(d.Body.GetToken(), "separate documents by a line ---", "more than one document")
			return nil
		}
		root = r.node(d.Body, 0)
	}
	if len(c.errs) > before {
		return nil
	}
	return root
}

// mend returns how to mend the commonest slips, by the parser's message.
func mend(message string) string {
	switch {
	case strings.Contains(message, `'	' that cannot start`), strings.Contains(message, "tab character"):
		return "indent with spaces, not with tabs"
	case strings.Contains(message, "',' or '}'"):
		return "quote values that hold braces, such as \"${NAME}\""
	case strings.Contains(message, "mapping value is not allowed"):
		return "check the indentation, and quote values that hold a colon and a space"
	case strings.Contains(message, "reserved character"):
		return "quote the value"
	}
	return ""
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// reader turns the library's tree into nodes.
type reader struct {
	src   *source
	shift int // lines of the file before the document
	c     *collector
	last  *token.Token // looked at last, in case that the library gives up
}

func (r *reader) fail(t *token.Token, hint, format string, args ...any) {
	r.c.at(r.place(t), CodeSyntax, "", hint, format, args...)
}

// place is a node without a value, where t stands.
func (r *reader) place(t *token.Token) *node {
	n := &node{src: r.src, line: r.shift + 1, col: 1, width: 1}
	if t == nil || t.Position == nil {
		return n
	}
	n.line, n.col = t.Position.Line+r.shift, max(t.Position.Column, 1)
	first := []rune(firstLine(strings.TrimSpace(t.Origin)))
	line := []rune(r.src.text(n.line))
	n.col = nearest(line, first, n.col-1) + 1
	n.width = max(1, min(len(first), len(line)-n.col+1))
	return n
}

// nearest returns where text stands in line, as near to at as possible: the
// library counts blanks after a scalar as if they stood before it.
func nearest(line, text []rune, at int) int {
	for shift := range len(line) + 1 {
		for _, i := range []int{at - shift, at + shift} {
			if i >= 0 && i+len(text) <= len(line) && slices.Equal(line[i:i+len(text)], text) {
				return i
			}
		}
	}
	return at
}

// allowed refuses, before the recursive parser sees them, the parts of YAML
// that specs do not have, and nesting that would exhaust the stack.
func (r *reader) allowed(tokens token.Tokens) bool {
	ok := true
	refuse := func(t *token.Token, what string) {
		r.fail(t, "documents share fields by extends", "%s are not part of the spec language", what)
		ok = false
	}
	if len(tokens) > maxTokens {
		r.fail(tokens[maxTokens], "", "the document has more than %d keys, values and signs", maxTokens)
		return false
	}
	flow, line, onLine := 0, 0, 0
	for _, t := range tokens {
		r.last = t
		switch t.Type {
		case token.AnchorType:
			refuse(t, "anchors (&)")
		case token.AliasType:
			refuse(t, "aliases (*)")
		case token.MergeKeyType:
			refuse(t, "merge keys (<<)")
		case token.TagType:
			refuse(t, "tags (!)")
		case token.MappingKeyType:
			refuse(t, "explicit keys (?)")
		case token.DirectiveType:
			refuse(t, "directives (%)")
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		}
		// Block nesting on one line, `- - - -` or `a: a: a:`, costs the parser
		// a level each before it refuses them.
		if flow == 0 && (t.Type == token.SequenceEntryType || t.Type == token.MappingValueType) {
			if t.Position.Line != line {
				line, onLine = t.Position.Line, 0
			}
			onLine++
		}
		if flow > maxDepth || onLine > maxDepth {
			r.fail(t, "", "nested more than %d levels deep", maxDepth)
			return false
		}
	}
	return ok
}

func (r *reader) node(n ast.Node, depth int) *node {
	if n == nil {
		return &node{src: r.src, line: r.shift + 1, col: 1, width: 1, kind: null}
	}
	t := n.GetToken()
	r.last = t
	if depth > maxDepth {
		r.fail(t, "", "nested more than %d levels deep", maxDepth)
		return r.place(t)
	}
	out := r.place(t)
	switch n := n.(type) {
	case *ast.MappingNode:
		r.mapping(out, n.Values, depth)
	case *ast.MappingValueNode:
		r.mapping(out, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		out.kind = sequence
		for _, v := range n.Values {
			out.items = append(out.items, r.unsplit(r.node(v, depth+1)))
		}
	case *ast.NullNode:
		out.kind = null
	case *ast.LiteralNode:
		out.kind, out.quoted, out.text = scalar, true, n.Value.Value
	case *ast.StringNode:
		out.kind, out.text = scalar, n.Value
		out.quoted = t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		// As it is written: what it means is for the field's type to say.
		out.kind, out.text = scalar, strings.TrimSpace(t.Value)
	default:
		r.fail(t, "", "%s are not part of the spec language", strings.ToLower(n.Type().String()))
	}
	return out
}

// unsplit mends what the library makes of host:port in a list within braces:
// a colon without a blank after it does not end a plain key.
func (r *reader) unsplit(n *node) *node {
	if n.kind != mapping || len(n.entries) != 1 {
		return n
	}
	k, v := n.entries[0].key, n.entries[0].value
	if v.kind != scalar || k.quoted || v.quoted || k.line != v.line {
		return n
	}
	text := []rune(k.text + ":" + v.text)
	line := []rune(r.src.text(k.line))
	if start := k.col - 1; start+len(text) > len(line) || !slices.Equal(line[start:start+len(text)], text) {
		return n
	}
	return &node{src: n.src, line: k.line, col: k.col, width: len(text), kind: scalar, text: string(text)}
}

func (r *reader) mapping(out *node, values []*ast.MappingValueNode, depth int) {
	out.kind = mapping
	seen := map[string]*node{}
	for _, v := range values {
		key := r.node(v.Key, depth)
		if key.kind != scalar {
			r.c.at(key, CodeSyntax, "", "", "a key must be a plain or quoted string")
			continue
		}
		if first, ok := seen[key.text]; ok {
			r.c.at(key, CodeDuplicateKey, "", fmt.Sprintf("remove one; the first stands in line %d", first.line), "key %q is given twice", key.text)
			continue
		}
		seen[key.text] = key
		out.entries = append(out.entries, entry{key: key, value: r.node(v.Value, depth+1)})
	}
	// The library says that a block mapping stands at its first colon.
	if len(out.entries) > 0 && r.src.text(out.line) != "" && !r.flowAt(out) {
		first := out.entries[0].key
		out.line, out.col, out.width = first.line, first.col, first.width
	}
}

func (r *reader) flowAt(n *node) bool {
	runes := []rune(r.src.text(n.line))
	return n.col-1 < len(runes) && runes[n.col-1] == '{'
}
