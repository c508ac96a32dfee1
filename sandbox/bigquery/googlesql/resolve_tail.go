package googlesql

import (
	"fmt"
	"strings"
)

// tailClauses are HAVING, QUALIFY and ORDER BY.
type tailClauses struct {
	r                   *resolver
	items               []*item
	sel                 *selectState
	sc                  *scope
	distinct, asStruct  bool
	agg                 bool
	all                 []*rexpr
	clause              map[*rexpr]string
	having, qual, order string
}

func (t *tailClauses) resolve(s *selectStmt, orderBy []orderItem) error {
	t.clause = map[*rexpr]string{}
	note := func(e *rexpr, clause string) {
		t.all = append(t.all, e)
		t.clause[e] = clause
		t.agg = t.agg || e.agg
	}
	if s.having != nil {
		e, err := t.r.condition(s.having, ectx{scope: t.sc, sel: t.sel, clause: "HAVING clause", aggOK: true})
		if err != nil {
			return err
		}
		note(e, "HAVING clause")
		t.having = " HAVING " + e.sql
	}
	if s.qualify != nil {
		e, err := t.r.condition(s.qualify, ectx{scope: t.sc, sel: t.sel, clause: "QUALIFY clause", aggOK: true, winOK: true})
		if err != nil {
			return err
		}
		win := e.win
		for _, it := range t.items {
			win = win || it.e.win
		}
		if !win {
			return invalid(s.qualify.pos(), "The QUALIFY clause requires analytic function to be present")
		}
		if !e.win {
			// DuckDB wants a window in the clause itself.
			e.sql = "(" + e.sql + ") AND (row_number() OVER () > 0)"
		}
		note(e, "QUALIFY clause")
		t.qual = " QUALIFY " + e.sql
	}
	var keys []string
	for _, it := range orderBy {
		key, e, err := t.orderKey(it)
		if err != nil {
			return err
		}
		note(e, "ORDER BY clause")
		if key != "" {
			keys = append(keys, key+orderSuffix(it))
		}
	}
	if len(keys) > 0 {
		t.order = " ORDER BY " + strings.Join(keys, ", ")
	}
	return nil
}

// orderKey resolves an ordering expression; the key is empty if it is a
// constant, which orders nothing.
func (t *tailClauses) orderKey(it orderItem) (string, *rexpr, error) {
	var e *rexpr
	if l, ok := it.x.(*litExpr); ok && l.kind == Int64 {
		n := ordinal(l.text, len(t.items))
		if n == 0 {
			return "", nil, invalid(it.x.pos(), "ORDER BY is out of SELECT column number range: %s", l.text)
		}
		e = t.items[n-1].e
	} else {
		var err error
		if e, err = t.r.expr(it.x, ectx{scope: t.sc, sel: t.sel, clause: "ORDER BY clause", aggOK: true, winOK: true}); err != nil {
			return "", nil, err
		}
	}
	if !e.typ.orderable() {
		return "", nil, invalid(it.x.pos(), "ORDER BY does not support expressions of type %s", e.typ)
	}
	if e.konst && !e.agg && !e.win {
		return "", e, nil
	}
	// A column of the list is named by its number: DISTINCT demands it.
	for i, item := range t.items {
		if !t.asStruct && item.e.sql == e.sql {
			return fmt.Sprint(i + 1), e, nil
		}
	}
	if t.distinct {
		return "", nil, invalid(it.x.pos(), "ORDER BY clause expression references a column which is not visible after SELECT DISTINCT")
	}
	return e.sql, e, nil
}

func (t *tailClauses) sql() string { return t.having + t.qual + t.order }
