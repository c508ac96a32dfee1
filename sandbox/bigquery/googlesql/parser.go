package googlesql

import "strings"

// parser is a recursive descent parser of GoogleSQL.
type parser struct {
	toks  []token
	i     int
	depth int
}

// maxDepth bounds the nesting of a query, and so the parser's stack.
const maxDepth = 150

// parse returns a *query, *insertStmt, *updateStmt, *deleteStmt,
// *truncateStmt or *mergeStmt.
func parse(src string) (any, error) {
	toks, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{toks: toks}
	if p.tok().kind == tokEOF {
		return nil, invalid(p.tok().at, "Syntax error: Unexpected end of script")
	}
	st, err := p.statement()
	if err != nil {
		return nil, err
	}
	if p.punct(";") && p.tok().kind != tokEOF {
		return nil, unsupported(p.tok().at, "a script of several statements")
	}
	if p.tok().kind != tokEOF {
		return nil, p.unexpected("end of input")
	}
	return st, nil
}

func (p *parser) statement() (any, error) {
	t := p.tok()
	switch {
	case t.up == "SELECT" || t.up == "WITH" || t.text == "(" && t.kind == tokPunct:
		return p.query()
	case t.up == "INSERT":
		return p.insert()
	case t.up == "UPDATE":
		return p.update()
	case t.up == "DELETE":
		return p.delete()
	case t.up == "MERGE":
		return p.merge()
	case t.up == "TRUNCATE":
		return p.truncate()
	case t.kind == tokIdent:
		return nil, unsupported(t.at, "statement %s", t.up)
	}
	return nil, p.unexpected("")
}

// Token helpers.

func (p *parser) tok() token { return p.toks[p.i] }

func (p *parser) peek(n int) token {
	return p.toks[min(p.i+n, len(p.toks)-1)]
}

func (p *parser) isPunct(s string) bool { return p.tok().kind == tokPunct && p.tok().text == s }

// punct takes punctuation s if it is next.
func (p *parser) punct(s string) bool {
	if p.isPunct(s) {
		p.i++
		return true
	}
	return false
}

// isWords reports whether the next tokens are these keywords.
func (p *parser) isWords(words ...string) bool {
	for n, w := range words {
		if p.peek(n).up != w {
			return false
		}
	}
	return true
}

// words takes these keywords if they are next.
func (p *parser) words(words ...string) bool {
	if !p.isWords(words...) {
		return false
	}
	p.i += len(words)
	return true
}

func (p *parser) expectPunct(s string) error {
	if !p.punct(s) {
		return p.unexpected(`"` + s + `"`)
	}
	return nil
}

func (p *parser) expectWords(words ...string) error {
	if !p.words(words...) {
		return p.unexpected("keyword " + strings.Join(words, " "))
	}
	return nil
}

func (p *parser) unexpected(want string) error {
	t := p.tok()
	var got string
	switch {
	case t.kind == tokEOF:
		got = "end of input"
	case t.kind == tokIdent && reserved[t.up]:
		got = "keyword " + t.up
	case t.kind == tokIdent || t.kind == tokQuoted:
		got = `identifier "` + t.text + `"`
	case t.kind == tokString:
		got = `string literal "` + t.text + `"`
	case t.kind == tokInt:
		got = `integer literal "` + t.text + `"`
	case t.kind == tokParam:
		got = `parameter "@` + t.text + `"`
	default:
		got = `"` + t.text + `"`
	}
	if want == "" {
		return invalid(t.at, "Syntax error: Unexpected %s", got)
	}
	return invalid(t.at, "Syntax error: Expected %s but got %s", want, got)
}

func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return invalid(p.tok().at, "Syntax error: Query is nested too deeply")
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// isIdent reports whether the next token can be an identifier.
func (p *parser) isIdent() bool {
	t := p.tok()
	return t.kind == tokQuoted || t.kind == tokIdent && !reserved[t.up]
}

func (p *parser) ident() (ident, error) {
	if !p.isIdent() {
		return ident{}, p.unexpected("identifier")
	}
	t := p.tok()
	p.i++
	return ident{t.text, t.at}, nil
}

// anyIdent takes an identifier or, after a dot, a reserved word.
func (p *parser) anyIdent() (ident, error) {
	if t := p.tok(); t.kind == tokIdent {
		p.i++
		return ident{t.text, t.at}, nil
	}
	return p.ident()
}

func (p *parser) identList() ([]ident, error) {
	if err := p.expectPunct("("); err != nil {
		return nil, err
	}
	var ids []ident
	for {
		id, err := p.ident()
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
		if !p.punct(",") {
			return ids, p.expectPunct(")")
		}
	}
}

// alias takes [AS] name.
func (p *parser) alias() (string, error) {
	if p.words("AS") {
		id, err := p.ident()
		return id.name, err
	}
	if p.isIdent() {
		id, err := p.ident()
		return id.name, err
	}
	return "", nil
}
