package googlesql

import (
	"slices"
	"strings"
)

// query parses [WITH …] body [ORDER BY …] [LIMIT …].
func (p *parser) query() (*query, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	q := &query{at: p.tok().at}
	if p.words("WITH") {
		if p.isWords("RECURSIVE") {
			return nil, unsupported(p.tok().at, "WITH RECURSIVE")
		}
		for {
			name, err := p.ident()
			if err != nil {
				return nil, err
			}
			if err := p.expectWords("AS"); err != nil {
				return nil, err
			}
			sub, err := p.parenQuery()
			if err != nil {
				return nil, err
			}
			q.with = append(q.with, cte{name, sub})
			if !p.punct(",") {
				break
			}
		}
	}
	l, err := p.queryPrimary()
	if err != nil {
		return nil, err
	}
	return q, p.queryRest(q, l)
}

// queryGoesOn reports whether what follows a query in parentheses makes it
// part of a larger one.
func (p *parser) queryGoesOn() bool {
	switch p.tok().up {
	case "UNION", "INTERSECT", "EXCEPT", "LIMIT":
		return true
	}
	return p.isWords("ORDER", "BY")
}

// queryRest parses what follows the first part of q's body.
func (p *parser) queryRest(q *query, first any) (err error) {
	if q.body, err = p.queryBody(first); err != nil {
		return err
	}
	if p.words("ORDER", "BY") {
		if q.orderBy, err = p.orderList(); err != nil {
			return err
		}
	}
	if p.words("LIMIT") {
		if q.limit, err = p.limitValue(); err != nil {
			return err
		}
		if p.words("OFFSET") {
			if q.offset, err = p.limitValue(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *parser) limitValue() (expr, error) {
	t := p.tok()
	switch t.kind {
	case tokInt:
		p.i++
		return &litExpr{node{t.at}, Int64, t.text}, nil
	case tokParam:
		p.i++
		return &paramExpr{node{t.at}, t.text}, nil
	}
	return nil, p.unexpected("integer literal or parameter")
}

func (p *parser) parenQuery() (*query, error) {
	if err := p.expectPunct("("); err != nil {
		return nil, err
	}
	q, err := p.query()
	if err != nil {
		return nil, err
	}
	return q, p.expectPunct(")")
}

// queryBody parses the set operations that follow l.
func (p *parser) queryBody(l any) (any, error) {
	first := ""
	for {
		at := p.tok().at
		var op string
		switch {
		case p.words("UNION", "ALL"):
			op = "UNION ALL"
		case p.words("UNION", "DISTINCT"):
			op = "UNION DISTINCT"
		case p.words("INTERSECT", "DISTINCT"):
			op = "INTERSECT DISTINCT"
		case p.words("EXCEPT", "DISTINCT"):
			op = "EXCEPT DISTINCT"
		case p.isWords("UNION") || p.isWords("INTERSECT") || p.isWords("EXCEPT"):
			p.i++
			return nil, p.unexpected("keyword ALL or keyword DISTINCT")
		default:
			return l, nil
		}
		if p.isWords("BY", "NAME") || p.isWords("CORRESPONDING") {
			return nil, unsupported(at, "a set operation BY NAME")
		}
		// As in GoogleSQL, different set operations need parentheses.
		if first != "" && first != op {
			return nil, invalid(at, "Syntax error: Different set operations cannot be used in the same query without using parentheses for grouping")
		}
		first = op
		r, err := p.queryPrimary()
		if err != nil {
			return nil, err
		}
		l = &setOp{at, op, l, r}
	}
}

func (p *parser) queryPrimary() (any, error) {
	if p.isPunct("(") {
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer p.leave()
		return p.parenQuery()
	}
	return p.selectStmt()
}

func (p *parser) selectStmt() (*selectStmt, error) {
	s := &selectStmt{at: p.tok().at}
	if err := p.expectWords("SELECT"); err != nil {
		return nil, err
	}
	if p.words("DISTINCT") {
		s.distinct = true
	} else {
		p.words("ALL")
	}
	if p.words("AS", "STRUCT") {
		s.asStruct = true
	} else if p.isWords("AS") {
		return nil, unsupported(p.tok().at, "SELECT AS %s", p.peek(1).text)
	}
	for {
		item, err := p.selectItem()
		if err != nil {
			return nil, err
		}
		s.items = append(s.items, item)
		if !p.punct(",") || p.isWords("FROM") || p.tok().kind == tokEOF {
			break // a trailing comma is allowed
		}
	}
	var err error
	if p.words("FROM") {
		if s.from, err = p.fromClause(); err != nil {
			return nil, err
		}
	}
	if p.words("WHERE") {
		if s.where, err = p.expr(); err != nil {
			return nil, err
		}
	}
	if p.words("GROUP", "BY") {
		if s.groupBy, err = p.groupBy(); err != nil {
			return nil, err
		}
	}
	if p.words("HAVING") {
		if s.having, err = p.expr(); err != nil {
			return nil, err
		}
	}
	if p.words("QUALIFY") {
		if s.qualify, err = p.expr(); err != nil {
			return nil, err
		}
	}
	if p.words("WINDOW") {
		s.windows = map[string]*windowSpec{}
		for {
			name, err := p.ident()
			if err != nil {
				return nil, err
			}
			if err := p.expectWords("AS"); err != nil {
				return nil, err
			}
			if s.windows[strings.ToUpper(name.name)], err = p.window(); err != nil {
				return nil, err
			}
			if !p.punct(",") {
				break
			}
		}
	}
	return s, nil
}

func (p *parser) selectItem() (selectItem, error) {
	item := selectItem{at: p.tok().at}
	if p.punct("*") {
		item.star = true
		return item, p.starModifiers(&item)
	}
	x, err := p.expr()
	if err != nil {
		return item, err
	}
	item.x = x
	if p.isPunct(".") && p.peek(1).text == "*" && p.peek(1).kind == tokPunct {
		p.i += 2
		item.star = true
		return item, p.starModifiers(&item)
	}
	item.alias, err = p.alias()
	return item, err
}

func (p *parser) starModifiers(item *selectItem) error {
	if p.isWords("EXCEPT") && p.peek(1).text == "(" {
		p.i++
		var err error
		if item.except, err = p.identList(); err != nil {
			return err
		}
	}
	if p.words("REPLACE") {
		if err := p.expectPunct("("); err != nil {
			return err
		}
		for {
			at := p.tok().at
			x, err := p.expr()
			if err != nil {
				return err
			}
			p.words("AS")
			name, err := p.ident()
			if err != nil {
				return err
			}
			item.replace = append(item.replace, selectItem{at: at, x: x, alias: name.name})
			if !p.punct(",") {
				return p.expectPunct(")")
			}
		}
	}
	return nil
}

func (p *parser) groupBy() (*groupBy, error) {
	g := &groupBy{}
	switch {
	case p.words("ROLLUP"):
		g.kind = "ROLLUP"
	case p.words("CUBE"):
		g.kind = "CUBE"
	case p.isWords("GROUPING", "SETS"):
		p.i += 2
		g.kind = "GROUPING SETS"
	case p.isWords("ALL"):
		return nil, unsupported(p.tok().at, "GROUP BY ALL")
	default:
		var err error
		g.exprs, err = p.exprList()
		return g, err
	}
	if err := p.expectPunct("("); err != nil {
		return nil, err
	}
	for {
		set, err := p.groupingSet()
		if err != nil {
			return nil, err
		}
		g.sets = append(g.sets, set)
		if !p.punct(",") {
			break
		}
	}
	if err := p.expectPunct(")"); err != nil {
		return nil, err
	}
	if p.isPunct(",") {
		return nil, unsupported(p.tok().at, "%s beside other grouping elements", g.kind)
	}
	return g, nil
}

// groupingSet parses (), (a, b) or a.
func (p *parser) groupingSet() ([]expr, error) {
	if p.isWords("ROLLUP") || p.isWords("CUBE") {
		return nil, unsupported(p.tok().at, "%s within GROUPING SETS", p.tok().up)
	}
	if !p.isPunct("(") {
		x, err := p.expr()
		return []expr{x}, err
	}
	p.i++
	if p.punct(")") {
		return []expr{}, nil
	}
	set, err := p.exprList()
	if err != nil {
		return nil, err
	}
	return set, p.expectPunct(")")
}

func (p *parser) exprList() ([]expr, error) {
	var xs []expr
	for {
		x, err := p.expr()
		if err != nil {
			return nil, err
		}
		xs = append(xs, x)
		if !p.punct(",") {
			return xs, nil
		}
	}
}

func (p *parser) orderList() ([]orderItem, error) {
	var items []orderItem
	for {
		x, err := p.expr()
		if err != nil {
			return nil, err
		}
		it := orderItem{x: x}
		if p.words("DESC") {
			it.desc = true
		} else {
			p.words("ASC")
		}
		if p.words("NULLS") {
			if !slices.Contains([]string{"FIRST", "LAST"}, p.tok().up) {
				return nil, p.unexpected("keyword FIRST or keyword LAST")
			}
			it.nulls = p.tok().up
			p.i++
		}
		items = append(items, it)
		if !p.punct(",") {
			return items, nil
		}
	}
}
