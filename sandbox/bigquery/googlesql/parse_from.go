package googlesql

import "strings"

// fromClause parses a list of joins; a comma is a cross join.
func (p *parser) fromClause() (fromItem, error) {
	l, err := p.joins()
	if err != nil {
		return nil, err
	}
	for p.isPunct(",") {
		at := p.tok().at
		p.i++
		r, err := p.joins()
		if err != nil {
			return nil, err
		}
		l = &joinRef{node: node{at}, kind: "CROSS", l: l, r: r}
	}
	return l, nil
}

func (p *parser) joins() (fromItem, error) {
	l, err := p.fromPrimary()
	if err != nil {
		return nil, err
	}
	for {
		at := p.tok().at
		kind := ""
		switch {
		case p.words("CROSS", "JOIN"):
			kind = "CROSS"
		case p.words("INNER", "JOIN"), p.words("JOIN"):
			kind = "INNER"
		case p.words("LEFT", "OUTER", "JOIN"), p.words("LEFT", "JOIN"):
			kind = "LEFT"
		case p.words("RIGHT", "OUTER", "JOIN"), p.words("RIGHT", "JOIN"):
			kind = "RIGHT"
		case p.words("FULL", "OUTER", "JOIN"), p.words("FULL", "JOIN"):
			kind = "FULL"
		case p.isWords("TABLESAMPLE"), p.isWords("PIVOT"), p.isWords("UNPIVOT"), p.isWords("NATURAL"), p.isWords("MATCH_RECOGNIZE"):
			return nil, unsupported(at, "%s", p.tok().up)
		default:
			return l, nil
		}
		r, err := p.fromPrimary()
		if err != nil {
			return nil, err
		}
		j := &joinRef{node: node{at}, kind: kind, l: l, r: r}
		if kind != "CROSS" {
			switch {
			case p.words("ON"):
				if j.on, err = p.expr(); err != nil {
					return nil, err
				}
			case p.words("USING"):
				if j.using, err = p.identList(); err != nil {
					return nil, err
				}
			default:
				// UNNEST may be joined without a condition.
				if _, ok := r.(*unnestRef); !ok {
					return nil, p.unexpected("keyword ON or keyword USING")
				}
			}
		}
		l = j
	}
}

func (p *parser) fromPrimary() (fromItem, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	at := p.tok().at
	switch {
	case p.isPunct("("):
		return p.fromParen()
	case p.isWords("UNNEST"):
		return p.unnest()
	case p.isIdent():
		ref, err := p.tablePath()
		if err != nil {
			return nil, err
		}
		if p.isPunct("(") {
			return nil, unsupported(at, "table function %s", ref.parts[len(ref.parts)-1].name)
		}
		ref.alias, err = p.fromAlias()
		if err != nil {
			return nil, err
		}
		if p.isWords("FOR") {
			return nil, unsupported(p.tok().at, "FOR SYSTEM_TIME AS OF")
		}
		return &ref, nil
	}
	return nil, p.unexpected("table name")
}

// words that begin what may follow a table and are not reserved.
func (p *parser) fromAlias() (string, error) {
	switch p.tok().up {
	case "PIVOT", "UNPIVOT", "TABLESAMPLE", "MATCH_RECOGNIZE":
		return "", nil
	}
	return p.alias()
}

// fromParen parses a query or a join in parentheses. Which of them it is is
// known only behind what may be a query in parentheses of its own.
func (p *parser) fromParen() (fromItem, error) {
	at := p.tok().at
	if p.parenIsQuery() {
		q, err := p.parenQuery()
		if err != nil {
			return nil, err
		}
		alias, err := p.fromAlias()
		return &subqueryRef{node{at}, q, alias}, err
	}
	p.i++
	f, err := p.fromClause()
	if err != nil {
		return nil, err
	}
	sub, ok := f.(*subqueryRef)
	ok = ok && sub.alias == ""
	if ok && p.queryGoesOn() {
		q := &query{at: at}
		if err := p.queryRest(q, sub.q); err != nil {
			return nil, err
		}
		sub.q = q
	}
	if err := p.expectPunct(")"); err != nil {
		return nil, err
	}
	if ok {
		sub.alias, err = p.fromAlias()
	}
	return f, err
}

// parenIsQuery reports whether the parenthesis that is next begins a query.
func (p *parser) parenIsQuery() bool {
	t := p.peek(1)
	return t.up == "SELECT" || t.up == "WITH"
}

// tablePath parses a.b.c, `a.b.c` and a-b.c.d.
func (p *parser) tablePath() (tableRef, error) {
	ref := tableRef{node: node{p.tok().at}}
	for {
		t := p.tok()
		if t.kind == tokQuoted && strings.Contains(t.text, ".") {
			p.i++
			for part := range strings.SplitSeq(t.text, ".") {
				if part == "" {
					return ref, invalid(t.at, "Invalid table name: `%s`", t.text)
				}
				ref.parts = append(ref.parts, ident{part, t.at})
			}
		} else {
			id, err := p.anyIdent()
			if err != nil {
				return ref, err
			}
			// An unquoted project may have dashes.
			for len(ref.parts) == 0 && t.kind == tokIdent && p.isPunct("-") && (p.peek(1).kind == tokIdent || p.peek(1).kind == tokInt) {
				id.name += "-" + p.peek(1).text
				p.i += 2
			}
			ref.parts = append(ref.parts, id)
		}
		if !p.punct(".") {
			return ref, nil
		}
	}
}

func (p *parser) unnest() (fromItem, error) {
	u := &unnestRef{node: node{p.tok().at}}
	p.i++
	if err := p.expectPunct("("); err != nil {
		return nil, err
	}
	var err error
	if u.x, err = p.expr(); err != nil {
		return nil, err
	}
	if p.isPunct(",") {
		return nil, unsupported(p.tok().at, "UNNEST of several arrays")
	}
	if err := p.expectPunct(")"); err != nil {
		return nil, err
	}
	if u.alias, err = p.fromAlias(); err != nil {
		return nil, err
	}
	if p.words("WITH", "OFFSET") {
		u.withOffset = true
		if u.offsetAlias, err = p.fromAlias(); err != nil {
			return nil, err
		}
		if u.offsetAlias == "" {
			u.offsetAlias = "offset"
		}
	}
	return u, nil
}
