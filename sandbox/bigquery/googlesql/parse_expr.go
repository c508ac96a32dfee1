package googlesql

// expr parses an expression; the lowest precedence is OR.
func (p *parser) expr() (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	l, err := p.and()
	for err == nil && p.isWords("OR") {
		at := p.tok().at
		p.i++
		var r expr
		r, err = p.and()
		l = &binaryExpr{node{at}, "OR", l, r}
	}
	return l, err
}

func (p *parser) and() (expr, error) {
	l, err := p.not()
	for err == nil && p.isWords("AND") {
		at := p.tok().at
		p.i++
		var r expr
		r, err = p.not()
		l = &binaryExpr{node{at}, "AND", l, r}
	}
	return l, err
}

func (p *parser) not() (expr, error) {
	if p.isWords("NOT") {
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer p.leave()
		at := p.tok().at
		p.i++
		x, err := p.not()
		return &unaryExpr{node{at}, "NOT", x}, err
	}
	return p.comparison()
}

// comparison parses the operators that do not associate.
func (p *parser) comparison() (expr, error) {
	l, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	at := p.tok().at
	if t := p.tok(); t.kind == tokPunct {
		op := t.text
		switch op {
		case "!=":
			op = "<>"
			fallthrough
		case "=", "<>", "<", "<=", ">", ">=":
			p.i++
			r, err := p.binary(0)
			return &binaryExpr{node{at}, op, l, r}, err
		}
		return l, nil
	}
	if p.words("IS") {
		not := p.words("NOT")
		if p.words("DISTINCT", "FROM") {
			r, err := p.binary(0)
			op := "IS DISTINCT FROM"
			if not {
				op = "IS NOT DISTINCT FROM"
			}
			return &binaryExpr{node{at}, op, l, r}, err
		}
		for _, w := range []string{"NULL", "TRUE", "FALSE", "UNKNOWN"} {
			if p.words(w) {
				return &isExpr{node{at}, l, w, not}, nil
			}
		}
		return nil, p.unexpected("keyword NULL, TRUE or FALSE")
	}
	not := false
	if p.isWords("NOT") {
		switch p.peek(1).up {
		case "IN", "BETWEEN", "LIKE":
			p.i++
			not = true
		default:
			return nil, p.unexpected("end of expression")
		}
	}
	switch {
	case p.words("BETWEEN"):
		lo, err := p.binary(0)
		if err != nil {
			return nil, err
		}
		if err := p.expectWords("AND"); err != nil {
			return nil, err
		}
		hi, err := p.binary(0)
		return &betweenExpr{node{at}, l, lo, hi, not}, err
	case p.words("LIKE"):
		if w := p.tok().up; w == "ANY" || w == "SOME" || w == "ALL" {
			return nil, unsupported(at, "LIKE %s", w)
		}
		r, err := p.binary(0)
		var x expr = &binaryExpr{node{at}, "LIKE", l, r}
		if not {
			x = &unaryExpr{node{at}, "NOT", x}
		}
		return x, err
	case p.words("IN"):
		return p.in(l, at, not)
	}
	return l, nil
}

func (p *parser) in(l expr, at pos, not bool) (expr, error) {
	in := &inExpr{node: node{at}, x: l, not: not}
	var err error
	if p.words("UNNEST") {
		if err := p.expectPunct("("); err != nil {
			return nil, err
		}
		if in.unnest, err = p.expr(); err != nil {
			return nil, err
		}
		return in, p.expectPunct(")")
	}
	if p.isPunct("(") && p.parenIsQuery() {
		in.query, err = p.parenQuery()
		return in, err
	}
	if err := p.expectPunct("("); err != nil {
		return nil, err
	}
	if in.list, err = p.exprList(); err != nil {
		return nil, err
	}
	return in, p.expectPunct(")")
}

// binaryLevels holds the operators from the loosest to the tightest.
var binaryLevels = [][]string{{"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "||"}}

func (p *parser) binary(level int) (expr, error) {
	if level == len(binaryLevels) {
		return p.unary()
	}
	l, err := p.binary(level + 1)
	for err == nil && p.tok().kind == tokPunct {
		op := ""
		for _, o := range binaryLevels[level] {
			if p.isPunct(o) {
				op = o
			}
		}
		if op == "" {
			break
		}
		at := p.tok().at
		p.i++
		var r expr
		r, err = p.binary(level + 1)
		l = &binaryExpr{node{at}, op, l, r}
	}
	return l, err
}

func (p *parser) unary() (expr, error) {
	if t := p.tok(); t.kind == tokPunct && (t.text == "-" || t.text == "+" || t.text == "~") {
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer p.leave()
		p.i++
		if n := p.tok(); t.text == "-" && (n.kind == tokInt || n.kind == tokFloat) {
			// The smallest INT64 has no positive counterpart.
			p.toks[p.i].text = "-" + n.text
			return p.postfix()
		}
		x, err := p.unary()
		return &unaryExpr{node{t.at}, t.text, x}, err
	}
	return p.postfix()
}

// postfix parses a primary and its [index] and .field parts.
func (p *parser) postfix() (expr, error) {
	x, err := p.primary()
	if err != nil {
		return nil, err
	}
	for {
		at := p.tok().at
		switch {
		case p.isPunct("[") && p.depth < maxDepth:
			p.i++
			ix := &indexExpr{node: node{at}, x: x, mode: "OFFSET"}
			wrapped := false
			for _, mode := range []string{"OFFSET", "SAFE_OFFSET", "ORDINAL", "SAFE_ORDINAL"} {
				if p.isWords(mode) && p.peek(1).text == "(" {
					p.i += 2
					ix.mode, wrapped = mode, true
					break
				}
			}
			if ix.i, err = p.expr(); err != nil {
				return nil, err
			}
			if wrapped {
				if err := p.expectPunct(")"); err != nil {
					return nil, err
				}
			}
			if err := p.expectPunct("]"); err != nil {
				return nil, err
			}
			x = ix
		case p.isPunct(".") && p.peek(1).text != "*":
			p.i++
			name, err := p.anyIdent()
			if err != nil {
				return nil, err
			}
			if path, ok := x.(*pathExpr); ok {
				path.parts = append(path.parts, name)
			} else {
				x = &fieldExpr{node{at}, x, name}
			}
		default:
			return x, nil
		}
	}
}

// typedLiterals are the types that may stand before a string literal.
var typedLiterals = map[string]Kind{
	"TIMESTAMP": Timestamp, "DATE": Date, "DATETIME": Datetime, "NUMERIC": Numeric, "DECIMAL": Numeric,
}

func (p *parser) primary() (expr, error) {
	t := p.tok()
	n := node{t.at}
	switch t.kind {
	case tokInt:
		p.i++
		return &litExpr{n, Int64, t.text}, nil
	case tokFloat:
		p.i++
		return &litExpr{n, Float64, t.text}, nil
	case tokString:
		p.i++
		text := t.text
		return &litExpr{n, String, text}, nil
	case tokBytes:
		p.i++
		return &litExpr{n, Bytes, t.text}, nil
	case tokParam:
		p.i++
		return &paramExpr{n, t.text}, nil
	case tokPunct:
		switch t.text {
		case "(":
			return p.paren()
		case "[":
			return p.array(n, nil)
		case "?":
			return nil, unsupported(t.at, "a positional parameter")
		case "@@":
			return nil, unsupported(t.at, "a system variable")
		}
		return nil, p.unexpected("")
	case tokEOF:
		return nil, p.unexpected("")
	}
	if t.kind == tokIdent {
		if x, ok, err := p.keywordExpr(t, n); ok || err != nil {
			return x, err
		}
	}
	if !p.isIdent() {
		return nil, p.unexpected("")
	}
	return p.pathOrCall()
}

// keywordExpr parses the primaries that begin with a keyword.
func (p *parser) keywordExpr(t token, n node) (expr, bool, error) {
	next := p.peek(1)
	open := next.kind == tokPunct && next.text == "("
	var x expr
	var err error
	switch t.up {
	case "NULL":
		p.i++
		return &litExpr{n, 0, ""}, true, nil
	case "TRUE", "FALSE":
		p.i++
		return &litExpr{n, Bool, t.up}, true, nil
	case "CASE":
		x, err = p.caseExpr()
	case "CAST", "SAFE_CAST":
		if !open {
			return nil, false, nil
		}
		x, err = p.cast()
	case "EXTRACT":
		x, err = p.extract()
	case "INTERVAL":
		x, err = p.interval()
	case "EXISTS":
		p.i++
		var q *query
		q, err = p.parenQuery()
		x = &subqueryExpr{n, "EXISTS", q}
	case "ARRAY":
		p.i++
		if p.isPunct("(") {
			var q *query
			q, err = p.parenQuery()
			x = &subqueryExpr{n, "ARRAY", q}
			break
		}
		var elem *Type
		if p.isPunct("<") {
			p.i--
			var typ *Type
			if typ, err = p.typeName(); err != nil {
				return nil, true, err
			}
			elem = typ.Elem
		}
		x, err = p.array(n, elem)
	case "STRUCT":
		x, err = p.structExpr(n)
	case "IF", "LEFT", "RIGHT", "GROUPING":
		if !open {
			return nil, false, nil
		}
		p.i++
		x, err = p.call(n, t.up)
	case "NEW", "WITH":
		return nil, true, unsupported(t.at, "%s expression", t.up)
	default:
		if k, ok := typedLiterals[t.up]; ok && next.kind == tokString {
			p.i += 2
			return &typedLit{n, k, next.text}, true, nil
		}
		if next.kind == tokString && (t.up == "BIGNUMERIC" || t.up == "BIGDECIMAL" || t.up == "JSON" || t.up == "TIME" || t.up == "RANGE") {
			return nil, true, unsupported(t.at, "type %s", t.up)
		}
		return nil, false, nil
	}
	return x, true, err
}

func (p *parser) paren() (expr, error) {
	n := node{p.tok().at}
	if p.parenIsQuery() {
		q, err := p.parenQuery()
		return &subqueryExpr{n, "SCALAR", q}, err
	}
	p.i++
	x, err := p.expr()
	if err != nil {
		return nil, err
	}
	if sub, ok := x.(*subqueryExpr); ok && sub.kind == "SCALAR" && p.queryGoesOn() {
		// ((query) UNION ALL …)
		q := &query{at: n.at}
		if err := p.queryRest(q, sub.q); err != nil {
			return nil, err
		}
		return &subqueryExpr{n, "SCALAR", q}, p.expectPunct(")")
	}
	if p.punct(",") {
		rest, err := p.exprList()
		if err != nil {
			return nil, err
		}
		values := append([]expr{x}, rest...)
		return &structExpr{node: n, names: make([]string, len(values)), values: values, tuple: true}, p.expectPunct(")")
	}
	return x, p.expectPunct(")")
}

func (p *parser) array(n node, elem *Type) (expr, error) {
	if err := p.expectPunct("["); err != nil {
		return nil, err
	}
	a := &arrayExpr{node: n, elem: elem}
	if p.punct("]") {
		return a, nil
	}
	var err error
	if a.elems, err = p.exprList(); err != nil {
		return nil, err
	}
	return a, p.expectPunct("]")
}

func (p *parser) structExpr(n node) (expr, error) {
	s := &structExpr{node: n}
	if next := p.peek(1); next.kind == tokPunct && next.text == "<" {
		var err error
		if s.typ, err = p.typeName(); err != nil {
			return nil, err
		}
	} else {
		p.i++
	}
	if err := p.expectPunct("("); err != nil {
		return nil, err
	}
	for !p.isPunct(")") {
		x, err := p.expr()
		if err != nil {
			return nil, err
		}
		name := ""
		if p.words("AS") {
			id, err := p.ident()
			if err != nil {
				return nil, err
			}
			name = id.name
		} else if path, ok := x.(*pathExpr); ok {
			name = path.parts[len(path.parts)-1].name
		}
		s.names, s.values = append(s.names, name), append(s.values, x)
		if !p.punct(",") {
			break
		}
	}
	return s, p.expectPunct(")")
}

func (p *parser) caseExpr() (expr, error) {
	c := &caseExpr{node: node{p.tok().at}}
	p.i++
	var err error
	if !p.isWords("WHEN") {
		if c.operand, err = p.expr(); err != nil {
			return nil, err
		}
	}
	for p.words("WHEN") {
		var w whenClause
		if w.cond, err = p.expr(); err != nil {
			return nil, err
		}
		if err = p.expectWords("THEN"); err != nil {
			return nil, err
		}
		if w.then, err = p.expr(); err != nil {
			return nil, err
		}
		c.whens = append(c.whens, w)
	}
	if len(c.whens) == 0 {
		return nil, p.unexpected("keyword WHEN")
	}
	if p.words("ELSE") {
		if c.els, err = p.expr(); err != nil {
			return nil, err
		}
	}
	return c, p.expectWords("END")
}

func (p *parser) cast() (expr, error) {
	c := &castExpr{node: node{p.tok().at}, safe: p.tok().up == "SAFE_CAST"}
	p.i += 2
	var err error
	if c.x, err = p.expr(); err != nil {
		return nil, err
	}
	if err := p.expectWords("AS"); err != nil {
		return nil, err
	}
	if c.to, err = p.typeName(); err != nil {
		return nil, err
	}
	if p.isWords("FORMAT") || p.isWords("AT") {
		return nil, unsupported(p.tok().at, "CAST with %s", p.tok().up)
	}
	return c, p.expectPunct(")")
}

// typeName parses INT64, ARRAY<…>, STRUCT<…>.
func (p *parser) typeName() (*Type, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	t := p.tok()
	if t.kind != tokIdent {
		return nil, p.unexpected("type name")
	}
	p.i++
	switch t.up {
	case "ARRAY":
		if err := p.expectPunct("<"); err != nil {
			return nil, err
		}
		elem, err := p.typeName()
		if err != nil {
			return nil, err
		}
		if elem.Kind == Array {
			return nil, invalid(t.at, "Arrays of arrays are not supported")
		}
		return ArrayOf(elem), p.closeAngle()
	case "STRUCT":
		if err := p.expectPunct("<"); err != nil {
			return nil, err
		}
		typ := &Type{Kind: Struct}
		for {
			var f Field
			if n := p.peek(1); p.isIdent() && (n.kind == tokIdent || n.kind == tokQuoted) {
				id, err := p.ident()
				if err != nil {
					return nil, err
				}
				f.Name = id.name
			}
			var err error
			if f.Type, err = p.typeName(); err != nil {
				return nil, err
			}
			typ.Fields = append(typ.Fields, f)
			if !p.punct(",") {
				return typ, p.closeAngle()
			}
		}
	}
	typ := SimpleType(t.text)
	if typ == nil {
		switch t.up {
		case "BIGNUMERIC", "BIGDECIMAL", "JSON", "TIME", "GEOGRAPHY", "RANGE", "UUID":
			return nil, unsupported(t.at, "type %s", t.up)
		}
		return nil, invalid(t.at, "Type not found: %s", t.text)
	}
	if p.isPunct("(") {
		return nil, unsupported(p.tok().at, "a parameterized type %s", t.up)
	}
	return typ, nil
}

// closeAngle takes >, splitting >> where two types end.
func (p *parser) closeAngle() error {
	if p.isPunct(">>") {
		p.toks[p.i].text = ">"
		return nil
	}
	return p.expectPunct(">")
}
