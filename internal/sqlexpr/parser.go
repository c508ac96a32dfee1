package sqlexpr

import (
	"maps"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/suggest"
)

// maxDepth is how deep an expression may be nested.
const maxDepth = 100

// parser reads the grammar of GoogleSQL's scalar expressions. Its methods panic
// with an *Error, which parse catches.
type parser struct {
	tokens  []token
	pos     int
	depth   int
	columns []int // tokens that are names of columns
	names   []int // tokens that are columns or fields in them: Quote quotes them
}

func parse(expr string) (p *parser, err error) {
	tokens, err := lex(expr)
	if err != nil {
		return nil, err
	}
	p = &parser{tokens: tokens}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			p, err = nil, e
		}
	}()
	p.expression()
	if t := p.peek(); t.kind != end {
		p.unexpected(t)
	}
	return p, nil
}

// quoted writes the tokens with the names of columns in backticks.
func (p *parser) quoted() string {
	var b strings.Builder
	for i, t := range p.tokens {
		if t.spaced && i > 0 && t.kind != end {
			b.WriteByte(' ')
		}
		if t.kind == word && slices.Contains(p.names, i) {
			b.WriteString("`" + t.text + "`")
			continue
		}
		b.WriteString(t.text)
	}
	return b.String()
}

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) next() token {
	t := p.tokens[p.pos]
	if t.kind != end {
		p.pos++
	}
	return t
}

// take goes past the symbol or keyword if it is the next token.
func (p *parser) take(s string) bool {
	if p.peek().is(s) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) want(s string) {
	if !p.take(s) {
		t := p.peek()
		panic(errorAt(t.offset, "", "%s is missing before %s", s, shown(t)))
	}
}

// oneOf goes past a keyword of the set and returns it in capitals.
func (p *parser) oneOf(what string, words map[string]bool) string {
	t := p.next()
	w := strings.ToUpper(t.text)
	if t.kind != word || !words[w] {
		panic(errorAt(t.offset, didYouMean(w, words), "%s is not %s", shown(t), what))
	}
	return w
}

func shown(t token) string {
	if t.kind == end {
		return "the end"
	}
	return "`" + strings.Trim(t.text, "`") + "`"
}

func didYouMean(name string, words map[string]bool) string {
	if s := suggest.Closest(name, slices.Sorted(maps.Keys(words))); s != "" {
		return "did you mean " + s + "?"
	}
	return ""
}

func (p *parser) unexpected(t token) {
	switch {
	case t.kind == parameter:
		panic(errorAt(t.offset, "write the value itself", "an expression has no parameters such as %s", t.text))
	case t.is("SELECT"), t.is("WITH"), t.is("EXISTS"), t.is("UNNEST"):
		panic(errorAt(t.offset, "read the side from a view or a query that has it as a column", "an expression has no sub-query"))
	case t.kind == word && reserved[strings.ToUpper(t.text)]:
		panic(errorAt(t.offset, "a column of that name is written in backticks", "%s has no place here: it is a reserved word", t.text))
	case t.kind == end && t.offset == 0:
		panic(errorAt(0, "", "the expression is empty"))
	}
	panic(errorAt(t.offset, "", "%s has no place here", shown(t)))
}

func (p *parser) expression() {
	if p.depth++; p.depth > maxDepth {
		panic(errorAt(p.peek().offset, "", "it is nested deeper than %d levels", maxDepth))
	}
	defer func() { p.depth-- }()
	for {
		p.and()
		if !p.take("OR") {
			return
		}
	}
}

func (p *parser) and() {
	for {
		for p.take("NOT") {
		}
		p.comparison()
		if !p.take("AND") {
			return
		}
	}
}

// comparison is one at most: they do not associate.
func (p *parser) comparison() {
	p.operation()
	for _, op := range []string{"=", "<>", "!=", "<=", ">=", "<", ">"} {
		if p.take(op) {
			p.operation()
			return
		}
	}
	if p.take("IS") {
		p.take("NOT")
		if p.take("DISTINCT") {
			p.want("FROM")
			p.operation()
			return
		}
		p.oneOf("NULL, TRUE or FALSE", set("NULL TRUE FALSE"))
		return
	}
	not := p.take("NOT")
	switch {
	case p.take("LIKE"):
		p.operation()
	case p.take("BETWEEN"):
		p.operation()
		p.want("AND")
		p.operation()
	case p.take("IN"):
		p.want("(")
		p.list(p.expression)
	case not:
		p.unexpected(p.peek())
	}
}

// operation is a chain of values and binary operators. Which binds closer does
// not matter here: nothing is evaluated.
func (p *parser) operation() {
	for {
		for p.take("-") || p.take("+") || p.take("~") {
		}
		p.value()
		t := p.peek()
		if t.kind != symbol || !strings.Contains(" + - * / || & | ^ << >> ", " "+t.text+" ") {
			return
		}
		p.pos++
	}
}

// list is one item or more, and the closing parenthesis.
func (p *parser) list(item func()) {
	for {
		item()
		if !p.take(",") {
			break
		}
	}
	p.want(")")
}

// value is an operand with what is picked out of it.
func (p *parser) value() {
	p.operand()
	for {
		switch {
		case p.take("."):
			p.field()
		case p.take("["):
			p.expression()
			p.want("]")
		default:
			return
		}
	}
}

// field is the name behind a point; any word may be one.
func (p *parser) field() {
	t := p.next()
	if t.kind != word && t.kind != quoted {
		p.unexpected(t)
	}
	p.name(t)
}

// name remembers the last token as the name of a column or field.
func (p *parser) name(t token) {
	if t.kind == quoted && strings.ContainsAny(t.text, "-.:") || t.name() == "" || digit(t.name()[0]) || len(t.name()) > 300 {
		panic(errorAt(t.offset, "use letters, digits and underscores, and a point outside of backticks for a field", "%s is not the name of a column that can be quoted safely", t.text))
	}
	p.names = append(p.names, p.pos-1)
}

func (p *parser) operand() {
	t := p.next()
	switch t.kind {
	case number, text:
		return
	case symbol:
		if t.text == "(" {
			p.expression()
			p.want(")")
			return
		}
	case quoted:
		p.name(t)
		p.columns = append(p.columns, p.pos-1)
		return
	case word:
		p.word(t)
		return
	}
	p.unexpected(t)
}

// word is an operand that begins with a name or a keyword.
func (p *parser) word(t token) {
	w := strings.ToUpper(t.text)
	switch {
	case w == "NULL", w == "TRUE", w == "FALSE":
	case w == "CASE":
		p.cases()
	case literals[w] && p.peek().kind == text:
		p.next()
	case w == "INTERVAL":
		p.operation()
		p.part()
	case w == "SAFE" && p.take("."):
		f := p.next()
		if f.kind != word || !p.take("(") {
			p.unexpected(f)
		}
		p.call(f)
	case p.take("("):
		p.call(t)
	case changing[w]:
		p.refuseChanging(t)
	case reserved[w]:
		p.unexpected(t)
	default:
		p.name(t)
		p.columns = append(p.columns, p.pos-1)
	}
}

func (p *parser) refuseChanging(t token) {
	panic(errorAt(t.offset, "a comparison must find the same at every look", "%s has another value at every look", strings.ToUpper(t.text)))
}

func (p *parser) part() {
	if p.oneOf("a part of a date or time", parts) == "WEEK" && p.take("(") {
		p.oneOf("a day of the week", days)
		p.want(")")
	}
}

// cases is the rest of CASE.
func (p *parser) cases() {
	if !p.peek().is("WHEN") {
		p.expression()
	}
	p.want("WHEN")
	for {
		p.expression()
		p.want("THEN")
		p.expression()
		if !p.take("WHEN") {
			break
		}
	}
	if p.take("ELSE") {
		p.expression()
	}
	p.want("END")
}

// call is the arguments of a function and the closing parenthesis.
func (p *parser) call(f token) {
	name := strings.ToUpper(f.text)
	switch {
	case name == "CAST" || name == "SAFE_CAST":
		p.expression()
		p.want("AS")
		p.oneOf("a type", types)
		p.want(")")
		return
	case name == "EXTRACT":
		p.part()
		p.want("FROM")
		p.expression()
		if p.take("AT") {
			p.want("TIME")
			p.want("ZONE")
			p.expression()
		}
		p.want(")")
		return
	case changing[name]:
		p.refuseChanging(f)
	case aggregates[name]:
		panic(errorAt(f.offset, "read the side from a view or a query that has it as a column", "%s looks at more than one row", name))
	case name == "IN" || name == "EXISTS" || reserved[name] && !functions[name]:
		p.unexpected(f)
	case !functions[name]:
		hint := didYouMean(name, functions)
		if hint == "" {
			hint = "read the side from a view or a query that has it as a column"
		}
		panic(errorAt(f.offset, hint, "%s is not a function that may be called here", f.text))
	}
	if p.take(")") {
		return
	}
	mode, has := modes[name]
	arg := 0
	p.list(func() {
		switch {
		case !has || arg != mode:
			p.expression()
		case name == "NORMALIZE" || name == "NORMALIZE_AND_CASEFOLD":
			p.oneOf("a normal form of Unicode", forms)
		default:
			p.part()
		}
		arg++
	})
}
