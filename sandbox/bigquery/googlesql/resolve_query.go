package googlesql

import (
	"fmt"
	"slices"
	"strings"
)

// resolvedQuery is a query's text and columns. Its columns are named c1, c2, …
type resolvedQuery struct {
	sql  string
	cols []*outCol
	// asStruct: the only column is the row itself.
	asStruct bool
}

// query resolves q within sc.
func (r *resolver) query(q *query, sc *scope) (*resolvedQuery, error) {
	if r.selects++; r.selects > maxSelects {
		return nil, invalid(q.at, "Resources exceeded during query execution: the query is too complex")
	}
	sc = &scope{parent: sc, ctes: map[string]*cteDef{}}
	var with []string
	for _, c := range q.with {
		text, err := r.define(c, sc)
		if err != nil {
			return nil, err
		}
		with = append(with, text)
	}
	var out *resolvedQuery
	var err error
	if s, ok := q.body.(*selectStmt); ok {
		out, err = r.selectStmt(s, sc, q.orderBy)
	} else {
		out, err = r.setBody(q, sc)
	}
	if err != nil {
		return nil, err
	}
	if q.limit != nil {
		lim, err := r.limit(q.limit, "LIMIT")
		if err != nil {
			return nil, err
		}
		out.sql += " LIMIT " + lim
		if q.offset != nil {
			off, err := r.limit(q.offset, "OFFSET")
			if err != nil {
				return nil, err
			}
			out.sql += " OFFSET " + off
		}
		// A filter above a LIMIT says nothing about the rows below it.
		for _, c := range out.cols {
			c.origins = nil
		}
	}
	if len(with) > 0 {
		out.sql = "WITH " + strings.Join(with, ", ") + " " + out.sql
	}
	return out, nil
}

// define resolves a WITH clause and returns its text. What it reads is not
// counted: only references are.
func (r *resolver) define(c cte, sc *scope) (string, error) {
	key := strings.ToUpper(c.name.name)
	if _, ok := sc.ctes[key]; ok {
		return "", invalid(c.name.at, "Duplicate alias %s for WITH subquery", c.name.name)
	}
	// The clause sees those before it, not itself or those after.
	at := &scope{parent: sc.parent, ctes: map[string]*cteDef{}}
	for k, d := range sc.ctes {
		at.ctes[k] = d
	}
	scans := r.scans
	out, err := r.query(c.q, at)
	if err != nil {
		return "", err
	}
	r.scans = scans[:len(scans):len(scans)]
	r.aliases++
	d := &cteDef{name: fmt.Sprintf("w%d", r.aliases), q: c.q, at: at, cols: out.cols}
	sc.ctes[key] = d
	return d.name + " AS (" + out.sql + ")", nil
}

// limit resolves the operand of LIMIT and OFFSET.
func (r *resolver) limit(x expr, what string) (string, error) {
	e, err := r.expr(x, ectx{scope: &scope{}, clause: what})
	if err != nil {
		return "", err
	}
	if !e.typ.is(Int64) {
		return "", invalid(x.pos(), "%s expects an integer literal or parameter", what)
	}
	if strings.Contains(e.sql, "-") {
		return "", invalid(x.pos(), "%s expects a non-negative integer literal or parameter", what)
	}
	return e.sql, nil
}

// setBody resolves a body that is not a SELECT: a set operation or a query in
// parentheses, with the ORDER BY of q.
func (r *resolver) setBody(q *query, sc *scope) (*resolvedQuery, error) {
	out, err := r.body(q.body, sc)
	if err != nil {
		return nil, err
	}
	alias := r.newAlias()
	cols := make([]string, len(out.cols))
	osc := &scope{parent: sc, rels: []*relation{{}}}
	for i, c := range out.cols {
		cols[i] = alias + "." + c.sql
		osc.rels[0].cols = append(osc.rels[0].cols, &column{name: c.name, sql: cols[i], typ: c.typ, use: c.use})
	}
	sql := "SELECT " + strings.Join(cols, ", ") + " FROM (" + out.sql + ") AS " + alias
	if len(q.orderBy) > 0 {
		var items []string
		for _, it := range q.orderBy {
			e, err := r.setOrder(it, osc, out)
			if err != nil {
				return nil, err
			}
			items = append(items, e)
		}
		sql += " ORDER BY " + strings.Join(items, ", ")
	}
	out.sql = sql
	return out, nil
}

func (r *resolver) setOrder(it orderItem, sc *scope, out *resolvedQuery) (string, error) {
	if l, ok := it.x.(*litExpr); ok && l.kind == Int64 {
		n := ordinal(l.text, len(out.cols))
		if n == 0 {
			return "", invalid(it.x.pos(), "ORDER BY is out of SELECT column number range: %s", l.text)
		}
		out.cols[n-1].use()
		return sc.rels[0].cols[n-1].sql + orderSuffix(it), nil
	}
	e, err := r.expr(it.x, ectx{scope: sc, clause: "ORDER BY clause after set operation"})
	if err != nil {
		return "", err
	}
	e.useAll()
	if !e.typ.orderable() {
		return "", invalid(it.x.pos(), "ORDER BY does not support expressions of type %s", e.typ)
	}
	return e.sql + orderSuffix(it), nil
}

// ordinal returns the number in text if it is within 1..n, else 0.
func ordinal(text string, n int) int {
	var v int
	if _, err := fmt.Sscanf(text, "%d", &v); err != nil || v < 1 || v > n {
		return 0
	}
	return v
}

// orderSuffix states the direction and GoogleSQL's order of NULLs, which
// come first in ascending and last in descending order.
func orderSuffix(it orderItem) string {
	nulls := it.nulls
	dir := " ASC"
	if it.desc {
		dir = " DESC"
	}
	if nulls == "" {
		nulls = "FIRST"
		if it.desc {
			nulls = "LAST"
		}
	}
	return dir + " NULLS " + nulls
}

func (r *resolver) body(b any, sc *scope) (*resolvedQuery, error) {
	switch b := b.(type) {
	case *selectStmt:
		return r.selectStmt(b, sc, nil)
	case *query:
		return r.query(b, sc)
	case *setOp:
		return r.setOp(b, sc)
	}
	panic(fmt.Sprintf("unknown query body %T", b))
}

// setOp resolves l op r: columns are matched by position and brought to their
// common type.
func (r *resolver) setOp(s *setOp, sc *scope) (*resolvedQuery, error) {
	l, err := r.body(s.l, sc)
	if err != nil {
		return nil, err
	}
	rt, err := r.body(s.r, sc)
	if err != nil {
		return nil, err
	}
	if len(l.cols) != len(rt.cols) {
		return nil, invalid(s.at, "Queries in %s have mismatched column count; query 1 has %d columns, query 2 has %d columns", s.op, len(l.cols), len(rt.cols))
	}
	out := &resolvedQuery{}
	for i := range l.cols {
		a, b := l.cols[i], rt.cols[i]
		typ, ok := supertype(a.typ, b.typ)
		if !ok {
			return nil, invalid(s.at, "Column %d in %s has incompatible types: %s, %s", i+1, s.op, a.typ, b.typ)
		}
		use := func() { a.use(); b.use() }
		if s.op != "UNION ALL" {
			use() // every column decides which rows are equal
		}
		c := &outCol{name: a.name, sql: fmt.Sprintf("c%d", i+1), typ: typ, use: use}
		if s.op == "UNION ALL" || s.op == "UNION DISTINCT" {
			if len(a.origins) > 0 || len(b.origins) > 0 {
				c.origins = append(slices.Clone(a.origins), b.origins...)
			}
		}
		out.cols = append(out.cols, c)
	}
	op := strings.TrimSuffix(s.op, " DISTINCT")
	out.sql = "(" + r.castColumns(l, out.cols) + ") " + op + " (" + r.castColumns(rt, out.cols) + ")"
	return out, nil
}

// castColumns returns q's text with its columns cast to those of want.
func (r *resolver) castColumns(q *resolvedQuery, want []*outCol) string {
	same := true
	for i, c := range q.cols {
		if want[i].typ != nil && !c.typ.Equal(want[i].typ) || c.sql != want[i].sql {
			same = false
		}
	}
	if same {
		return q.sql
	}
	alias := r.newAlias()
	parts := make([]string, len(q.cols))
	for i, c := range q.cols {
		x := alias + "." + c.sql
		if want[i].typ != nil && !c.typ.Equal(want[i].typ) {
			if c.typ == nil {
				x = "NULL" // in DuckDB the column has some type, which may not cast
			}
			x = "CAST(" + x + " AS " + want[i].typ.DuckDB() + ")"
		}
		parts[i] = x + " AS " + want[i].sql
	}
	return "SELECT " + strings.Join(parts, ", ") + " FROM (" + q.sql + ") AS " + alias
}
