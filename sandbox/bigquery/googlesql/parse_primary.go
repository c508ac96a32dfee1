package googlesql

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
