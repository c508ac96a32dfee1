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
