package googlesql

import (
	"fmt"
	"slices"
	"strings"
)

// item is a column of a SELECT list after * was expanded.
type item struct {
	at    pos
	name  string
	x     expr // nil: e is resolved already
	e     *rexpr
	alias bool // named with AS, or a path: visible to GROUP BY and others
}

// selectStmt resolves a SELECT and the ORDER BY of its query.
func (r *resolver) selectStmt(s *selectStmt, parent *scope, orderBy []orderItem) (*resolvedQuery, error) {
	if r.selects++; r.selects > maxSelects {
		return nil, invalid(s.at, "Resources exceeded during query execution: the query is too complex")
	}
	sel := &selectState{group: map[string]bool{}, windows: s.windows}
	sc := &scope{parent: parent, sel: sel}
	var sql strings.Builder
	from := ""
	if s.from != nil {
		text, err := r.from(s.from, sc)
		if err != nil {
			return nil, err
		}
		from = " FROM " + text
	}
	where := ""
	if s.where != nil {
		if s.from == nil {
			return nil, invalid(s.where.pos(), "Query without FROM clause cannot have a WHERE clause")
		}
		e, err := r.condition(s.where, ectx{scope: sc, clause: "WHERE clause"})
		if err != nil {
			return nil, err
		}
		e.useAll()
		addFilter(e.pred, sc.rels)
		where = " WHERE " + e.sql
	}
	items, err := r.expand(s, sc)
	if err != nil {
		return nil, err
	}
	groupSQL, err := r.group(s, sc, items)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		if it.e == nil {
			if it.e, err = r.expr(it.x, ectx{scope: sc, sel: sel, clause: "SELECT list", aggOK: true, winOK: true}); err != nil {
				return nil, err
			}
		}
	}
	// HAVING, QUALIFY and ORDER BY see the aliases of the list.
	asc := &scope{parent: parent, rels: sc.rels, merged: sc.merged, hidden: sc.hidden, sel: sel, aliases: aliases(items)}
	tail := &tailClauses{r: r, items: items, sel: sel, sc: asc, distinct: s.distinct, asStruct: s.asStruct}
	if err := tail.resolve(s, orderBy); err != nil {
		return nil, err
	}
	grouped := sel.grouped || tail.agg
	for _, it := range items {
		grouped = grouped || it.e.agg
	}
	if grouped {
		for _, it := range items {
			if err := checkFree(it.e, "SELECT list"); err != nil {
				return nil, err
			}
		}
		for _, e := range tail.all {
			if err := checkFree(e, tail.clause[e]); err != nil {
				return nil, err
			}
		}
	} else if s.having != nil {
		return nil, invalid(s.having.pos(), "The HAVING clause requires GROUP BY or aggregation to be present")
	}
	// What decides which rows there are is read in any case.
	for _, e := range tail.all {
		e.useAll()
	}
	out := &resolvedQuery{asStruct: s.asStruct}
	sql.WriteString("SELECT ")
	if s.distinct {
		sql.WriteString("DISTINCT ")
	}
	r.output(out, &sql, s, items, sel, grouped)
	sql.WriteString(from + where + groupSQL + tail.sql())
	out.sql = sql.String()
	return out, nil
}

func checkFree(e *rexpr, clause string) error {
	for _, f := range e.free {
		return invalid(f.at, "%s expression references column %s which is neither grouped nor aggregated", clause, f.name)
	}
	return nil
}

// output writes the list of columns.
func (r *resolver) output(out *resolvedQuery, sql *strings.Builder, s *selectStmt, items []*item, sel *selectState, grouped bool) {
	if s.asStruct {
		typ := &Type{Kind: Struct}
		var parts []*rexpr
		for _, it := range items {
			e := it.e
			if e.typ == nil {
				e = derive("CAST(NULL AS BIGINT)", TInt64)
			}
			parts = append(parts, e)
			typ.Fields = append(typ.Fields, Field{it.name, e.typ})
		}
		e := derive(structSQL(parts), typ, parts...)
		if s.distinct {
			e.useAll()
		}
		sql.WriteString(e.sql + " AS c1")
		out.cols = []*outCol{{sql: "c1", typ: typ, use: e.useAll}}
		return
	}
	windowed := slices.ContainsFunc(items, func(it *item) bool { return it.e.win }) || s.qualify != nil
	for i, it := range items {
		if i > 0 {
			sql.WriteString(", ")
		}
		e := it.e
		text := e.sql
		if e.typ == nil {
			text = "CAST(NULL AS BIGINT)"
		}
		c := &outCol{name: it.name, sql: fmt.Sprintf("c%d", i+1), typ: e.typ, use: e.useAll}
		if s.distinct {
			e.useAll()
		}
		// A filter on this column may be moved below the SELECT unless it
		// would change what a window or a grouping set sees.
		simpleGroup := !grouped || sel.grouped && (s.groupBy == nil || s.groupBy.kind == "")
		if !windowed && simpleGroup {
			c.origins = e.origins
		}
		out.cols = append(out.cols, c)
		sql.WriteString(text + " AS " + c.sql)
	}
}

// aliases maps the names of the list to their expressions; an ambiguous name
// maps to nil.
func aliases(items []*item) map[string]*rexpr {
	m := map[string]*rexpr{}
	for _, it := range items {
		if it.name == "" || !it.alias {
			continue
		}
		up := strings.ToUpper(it.name)
		if old, ok := m[up]; ok && (old == nil || old.sql != it.e.sql) {
			m[up] = nil
			continue
		}
		m[up] = it.e
	}
	return m
}

// expand replaces * by the columns it stands for.
func (r *resolver) expand(s *selectStmt, sc *scope) ([]*item, error) {
	var items []*item
	for _, si := range s.items {
		if !si.star {
			it := &item{at: si.at, x: si.x, name: si.alias, alias: si.alias != ""}
			if it.name == "" {
				switch x := si.x.(type) {
				case *pathExpr:
					it.name, it.alias = x.parts[len(x.parts)-1].name, true
				case *fieldExpr:
					it.name, it.alias = x.name.name, true
				}
			}
			items = append(items, it)
			continue
		}
		expanded, err := r.star(si, s, sc)
		if err != nil {
			return nil, err
		}
		items = append(items, expanded...)
	}
	return items, nil
}

func (r *resolver) star(si selectItem, s *selectStmt, sc *scope) ([]*item, error) {
	var items []*item
	c := ectx{scope: sc, sel: sc.sel, clause: "SELECT list", aggOK: true, winOK: true}
	if si.x == nil {
		if s.from == nil {
			return nil, invalid(si.at, "SELECT * must have a FROM clause")
		}
		for _, col := range sc.columns() {
			items = append(items, &item{at: si.at, name: col.name, x: &resolvedColumn{node{si.at}, col}, alias: col.name != ""})
		}
	} else if rel := starRelation(si.x, sc); rel != nil {
		for _, col := range rel.cols {
			items = append(items, &item{at: si.at, name: col.name, x: &resolvedColumn{node{si.at}, col}, alias: col.name != ""})
		}
	} else {
		e, err := r.expr(si.x, c)
		if err != nil {
			return nil, err
		}
		if !e.typ.is(Struct) {
			return nil, invalid(si.at, "Dot-star is not supported for type %s", e.typ)
		}
		for i, f := range e.typ.Fields {
			items = append(items, &item{at: si.at, name: f.Name, e: derive(structField(e.sql, i), f.Type, e), alias: f.Name != ""})
		}
	}
	if len(items) == 0 {
		return nil, invalid(si.at, "SELECT * expands to no columns")
	}
	for _, ex := range si.except {
		n := len(items)
		items = slices.DeleteFunc(items, func(it *item) bool { return strings.EqualFold(it.name, ex.name) })
		if len(items) == n {
			return nil, invalid(ex.at, "Column %s in SELECT * EXCEPT list does not exist", ex.name)
		}
	}
	for _, rep := range si.replace {
		i := slices.IndexFunc(items, func(it *item) bool { return strings.EqualFold(it.name, rep.alias) })
		if i < 0 {
			return nil, invalid(rep.at, "Column %s in SELECT * REPLACE list does not exist", rep.alias)
		}
		items[i] = &item{at: rep.at, name: items[i].name, x: rep.x, alias: true}
	}
	if len(items) == 0 {
		return nil, invalid(si.at, "SELECT * EXCEPT excludes all columns")
	}
	return items, nil
}

// starRelation is the range variable of alias.*, nil if x is something else.
func starRelation(x expr, sc *scope) *relation {
	p, ok := x.(*pathExpr)
	if !ok || len(p.parts) != 1 {
		return nil
	}
	rel := sc.rangeVar(p.parts[0].name)
	if rel == nil || rel.value != nil {
		return nil
	}
	return rel
}

// resolvedColumn is an expression node that is a column already.
type resolvedColumn struct {
	node
	col *column
}

// group resolves GROUP BY and returns its text.
func (r *resolver) group(s *selectStmt, sc *scope, items []*item) (string, error) {
	if s.groupBy == nil {
		return "", nil
	}
	sel := sc.sel
	one := func(x expr) (string, error) {
		e, err := r.groupExpr(x, sc, items)
		if err != nil {
			return "", err
		}
		if e.agg || e.win {
			return "", invalid(x.pos(), "Aggregate and analytic functions are not allowed in GROUP BY")
		}
		if e.typ == nil {
			e = derive("CAST(NULL AS BIGINT)", TInt64)
		}
		if e.typ.is(Array, Struct) {
			return "", invalid(x.pos(), "Grouping by expressions of type %s is not allowed", e.typ)
		}
		e.useAll()
		sel.group[e.sql] = true
		return e.sql, nil
	}
	list := func(xs []expr) (string, error) {
		texts := make([]string, len(xs))
		for i, x := range xs {
			var err error
			if texts[i], err = one(x); err != nil {
				return "", err
			}
		}
		return strings.Join(texts, ", "), nil
	}
	defer func() { sel.grouped = true }()
	if s.groupBy.kind == "" {
		text, err := list(s.groupBy.exprs)
		if err != nil {
			return "", err
		}
		return " GROUP BY " + text, nil
	}
	sets := make([]string, len(s.groupBy.sets))
	for i, set := range s.groupBy.sets {
		text, err := list(set)
		if err != nil {
			return "", err
		}
		sets[i] = "(" + text + ")"
	}
	return " GROUP BY " + s.groupBy.kind + " (" + strings.Join(sets, ", ") + ")", nil
}

// groupExpr resolves a grouping expression: an ordinal, an alias of the list
// or an expression over FROM.
func (r *resolver) groupExpr(x expr, sc *scope, items []*item) (*rexpr, error) {
	resolve := func(it *item) (*rexpr, error) {
		if it.e == nil {
			e, err := r.expr(it.x, ectx{scope: sc, clause: "GROUP BY", aggOK: true, winOK: true})
			if err != nil {
				return nil, err
			}
			it.e = e
		}
		it.e.free = nil
		return it.e, nil
	}
	if l, ok := x.(*litExpr); ok && l.kind == Int64 {
		n := ordinal(l.text, len(items))
		if n == 0 {
			return nil, invalid(x.pos(), "GROUP BY is out of SELECT column number range: %s", l.text)
		}
		return resolve(items[n-1])
	}
	if p, ok := x.(*pathExpr); ok && len(p.parts) == 1 {
		var match *item
		for _, it := range items {
			// A column selected under its own name is found through FROM.
			if it.alias && strings.EqualFold(it.name, p.parts[0].name) {
				if match != nil {
					return nil, invalid(x.pos(), "Name %s is ambiguous", p.parts[0].name)
				}
				match = it
			}
		}
		if match != nil {
			return resolve(match)
		}
	}
	if _, ok := x.(*litExpr); ok {
		return nil, invalid(x.pos(), "Cannot GROUP BY literal values")
	}
	return r.expr(x, ectx{scope: sc, clause: "GROUP BY"})
}
