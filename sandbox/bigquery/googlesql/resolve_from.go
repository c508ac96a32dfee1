package googlesql

import (
	"slices"
	"strings"
)

// from resolves a FROM item into sc, whose relations it extends, and returns
// its text.
func (r *resolver) from(f fromItem, sc *scope) (string, error) {
	switch f := f.(type) {
	case *tableRef:
		return r.table(f, sc)
	case *subqueryRef:
		out, err := r.query(f.q, sc.parent)
		if err != nil {
			return "", err
		}
		alias := r.newAlias()
		return "(" + out.sql + ") AS " + alias, sc.add(f.at, r.derived(out.cols, alias, f.alias))
	case *unnestRef:
		sql, _, err := r.unnest(f, sc)
		return sql, err
	case *joinRef:
		return r.join(f, sc)
	}
	panic("unknown FROM item")
}

// add appends a relation, whose alias must be new.
func (s *scope) add(at pos, rel *relation) error {
	for _, o := range s.rels {
		if rel.alias != "" && strings.EqualFold(o.alias, rel.alias) {
			return invalid(at, "Duplicate table alias %s in the same FROM clause", rel.alias)
		}
	}
	s.rels = append(s.rels, rel)
	return nil
}

// derived is the relation of a query's columns under the generated name sql.
func (r *resolver) derived(cols []*outCol, sql, alias string) *relation {
	rel := &relation{alias: alias}
	for _, c := range cols {
		typ := c.typ
		if typ == nil {
			typ = TInt64
		}
		rel.cols = append(rel.cols, &column{name: c.name, sql: sql + "." + c.sql, typ: typ, use: c.use, origins: c.origins})
	}
	return rel
}

func (r *resolver) table(f *tableRef, sc *scope) (string, error) {
	name := f.parts[len(f.parts)-1].name
	alias := f.alias
	if alias == "" {
		alias = name
	}
	if len(f.parts) == 1 {
		if d := sc.cte(name); d != nil {
			return r.reference(f, d, alias, sc)
		}
	} else if rel := sc.rangeVar(f.parts[0].name); rel != nil {
		return "", unsupported(f.at, "an array in FROM without UNNEST")
	}
	t, err := r.lookup(f)
	if err != nil {
		return "", err
	}
	if t.View != "" {
		return r.view(f, t, alias, sc)
	}
	scan := &Scan{Table: t, used: map[string]bool{}}
	r.scans = append(r.scans, scan)
	sql := r.newAlias()
	return quoteIdent(t.Physical) + " AS " + sql, sc.add(f.at, tableRelation(t, scan, sql, alias))
}

// tableRelation is the relation of a base table scanned under the generated
// name sql.
func tableRelation(t *Table, scan *Scan, sql, alias string) *relation {
	rel := &relation{alias: alias}
	for _, c := range t.Columns {
		col := &column{
			name: c.Name, sql: sql + "." + quoteIdent(c.Physical), typ: c.Type,
			use: func() { scan.used[c.Physical] = true },
		}
		if t.PartitionColumn != "" && strings.EqualFold(c.Name, t.PartitionColumn) {
			col.origins = []*Scan{scan}
		}
		rel.cols = append(rel.cols, col)
	}
	return rel
}

// lookup finds a named table in the catalog.
func (r *resolver) lookup(f *tableRef) (*Table, error) {
	parts := make([]string, len(f.parts))
	for i, p := range f.parts {
		parts[i] = p.name
		if strings.EqualFold(p.name, "INFORMATION_SCHEMA") {
			return nil, unsupported(p.at, "INFORMATION_SCHEMA")
		}
	}
	project, dataset := r.opts.Project, r.opts.Dataset
	name := parts[len(parts)-1]
	switch len(parts) {
	case 1:
	case 2:
		dataset = parts[0]
	case 3:
		project, dataset = parts[0], parts[1]
	default:
		return nil, invalid(f.at, "Invalid table name: %s", strings.Join(parts, "."))
	}
	if dataset == "" {
		return nil, invalid(f.at, "Table %q must be qualified with a dataset (e.g. dataset.table).", name)
	}
	if strings.ContainsAny(name, "*$@") {
		return nil, unsupported(f.at, "a wildcard, decorated or snapshot table name: `%s`", name)
	}
	if r.opts.Catalog == nil {
		return nil, invalid(f.at, "there are no tables here")
	}
	t, err := r.opts.Catalog.Table(project, dataset, name)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(r.tables, t) {
		r.tables = append(r.tables, t)
	}
	return t, nil
}

// reference reads a WITH clause: its tree is resolved anew, so that this
// reference has scans of its own, and its text is named.
func (r *resolver) reference(f *tableRef, d *cteDef, alias string, sc *scope) (string, error) {
	tables := r.tables
	out, err := r.query(d.q, d.at)
	if err != nil {
		return "", err
	}
	r.tables = tables
	cols := slices.Clone(d.cols)
	for i, c := range out.cols {
		cp := *d.cols[i]
		cp.use, cp.origins = c.use, c.origins
		cols[i] = &cp
	}
	sql := r.newAlias()
	return d.name + " AS " + sql, sc.add(f.at, r.derived(cols, sql, alias))
}

// view reads a view: its query in the place of its name.
func (r *resolver) view(f *tableRef, t *Table, alias string, sc *scope) (string, error) {
	key := t.Project + ":" + t.Dataset + "." + t.Name
	if slices.Contains(r.views, key) || len(r.views) >= 16 {
		return "", invalid(f.at, "View %s is nested too deeply or refers to itself", key)
	}
	r.views = append(r.views, key)
	defer func() { r.views = r.views[:len(r.views)-1] }()
	ast, err := parse(t.View)
	if err != nil {
		return "", err
	}
	q, ok := ast.(*query)
	if !ok {
		return "", invalid(f.at, "View %s is not a query", key)
	}
	// A view sees neither the parameters nor the defaults of the query.
	params, dataset, project := r.params, r.opts.Dataset, r.opts.Project
	r.params, r.opts.Dataset, r.opts.Project = nil, "", t.Project
	out, err := r.query(q, &scope{})
	r.params, r.opts.Dataset, r.opts.Project = params, dataset, project
	if err != nil {
		return "", err
	}
	sql := r.newAlias()
	return "(" + out.sql + ") AS " + sql, sc.add(f.at, r.derived(out.cols, sql, alias))
}

// unnest resolves UNNEST(array): a relation of the elements.
func (r *resolver) unnest(f *unnestRef, sc *scope) (string, bool, error) {
	arr, err := r.expr(f.x, ectx{scope: sc, clause: "UNNEST"})
	if err != nil {
		return "", false, err
	}
	if !arr.typ.is(Array) {
		return "", false, invalid(f.x.pos(), "Values referenced in UNNEST must be arrays. UNNEST contains expression of type %s", arr.typ)
	}
	arr.useAll() // the array decides how many rows there are
	sql, elem := r.newAlias(), arr.typ.Elem
	value := &column{name: f.alias, sql: sql + ".v", typ: elem, use: func() {}}
	rel := &relation{alias: f.alias}
	if elem.Kind == Struct {
		rel.row = value
		for i, fd := range elem.Fields {
			rel.cols = append(rel.cols, &column{name: fd.Name, sql: structField(value.sql, i), typ: fd.Type, use: func() {}})
		}
	} else {
		rel.value = value
	}
	if err := sc.add(f.at, rel); err != nil {
		return "", false, err
	}
	if !f.withOffset {
		return "(SELECT unnest(" + arr.sql + ") AS v) AS " + sql, !arr.konst, nil
	}
	off := &column{name: f.offsetAlias, sql: sql + ".o", typ: TInt64, use: func() {}}
	if err := sc.add(f.at, &relation{alias: f.offsetAlias, value: off}); err != nil {
		return "", false, err
	}
	if arr.konst {
		return "(SELECT unnest(a) AS v, unnest(range(len(a))) AS o FROM (SELECT " + arr.sql + " AS a)) AS " + sql, false, nil
	}
	return "(SELECT unnest(" + arr.sql + ") AS v, unnest(range(len(" + arr.sql + "))) AS o) AS " + sql, true, nil
}

func (r *resolver) join(f *joinRef, sc *scope) (string, error) {
	left := len(sc.rels)
	l, err := r.from(f.l, sc)
	if err != nil {
		return "", err
	}
	mid := len(sc.rels)
	var rt string
	correlated := false
	if u, ok := f.r.(*unnestRef); ok {
		rt, correlated, err = r.unnest(u, sc)
	} else {
		rt, err = r.from(f.r, sc)
	}
	if err != nil {
		return "", err
	}
	if _, ok := f.r.(*joinRef); ok {
		rt = "(" + rt + ")"
	}
	if correlated {
		if f.kind == "RIGHT" || f.kind == "FULL" {
			return "", invalid(f.at, "%s JOIN cannot be used with a correlated UNNEST", f.kind)
		}
		rt = "LATERAL " + rt
	}
	if f.kind == "CROSS" {
		return l + " CROSS JOIN " + rt, nil
	}
	cond := "true"
	switch {
	case f.on != nil:
		// Only the two sides of the join are visible, not what is before them.
		on := &scope{parent: sc.parent, rels: sc.rels[left:], merged: sc.merged, hidden: sc.hidden, sel: sc.sel}
		e, err := r.condition(f.on, ectx{scope: on, clause: "JOIN ON clause"})
		if err != nil {
			return "", err
		}
		e.useAll()
		cond = e.sql
		r.filterJoin(e, f.kind, sc.rels[left:mid], sc.rels[mid:])
	case len(f.using) > 0:
		if cond, err = r.using(f, sc, left, mid); err != nil {
			return "", err
		}
	}
	return l + " " + f.kind + " JOIN " + rt + " ON " + cond, nil
}

// filterJoin prunes by a join condition the sides of which it decides the rows:
// both of an inner join, the nullable one of an outer join.
func (r *resolver) filterJoin(e *rexpr, kind string, left, right []*relation) {
	if kind == "INNER" || kind == "LEFT" {
		addFilter(e.pred, right)
	}
	if kind == "INNER" || kind == "RIGHT" {
		addFilter(e.pred, left)
	}
}

// using resolves USING (columns): each is one column of the result.
func (r *resolver) using(f *joinRef, sc *scope, left, mid int) (string, error) {
	ls := &scope{rels: sc.rels[left:mid], merged: sc.merged, hidden: sc.hidden}
	rs := &scope{rels: sc.rels[mid:]}
	hide := map[*column]bool{}
	var conds []string
	var merged []*column
	for _, id := range f.using {
		a, err := ls.column(id)
		if err != nil {
			return "", err
		}
		b, err := rs.column(id)
		if err != nil {
			return "", err
		}
		if a == nil || b == nil {
			return "", invalid(id.at, "Column %s in USING clause not found on both sides of join", id.name)
		}
		a.use()
		b.use()
		typ, ok := supertype(a.typ, b.typ)
		if !ok || !typ.orderable() {
			return "", invalid(id.at, "Column %s in USING has incompatible types on either side of the join: %s, %s", id.name, a.typ, b.typ)
		}
		x, y := castSQL(a.sql, a.typ, typ), castSQL(b.sql, b.typ, typ)
		conds = append(conds, x+" = "+y)
		m := &column{name: id.name, typ: typ, use: func() {}, sql: x}
		hide[a], hide[b] = true, true
		switch f.kind {
		case "FULL":
			m.sql = "COALESCE(" + x + ", " + y + ")"
		case "RIGHT":
			m.sql, m.origins = y, b.origins
		case "INNER":
			m.origins = append(slices.Clone(a.origins), b.origins...)
		default:
			m.origins = a.origins
		}
		merged = append(merged, m)
	}
	if sc.hidden == nil {
		sc.hidden = map[*column]bool{}
	}
	for c := range hide {
		sc.hidden[c] = true
	}
	sc.merged = append(merged, sc.merged...)
	return strings.Join(conds, " AND "), nil
}

// castSQL casts text from one type to another, if they differ.
func castSQL(sql string, from, to *Type) string {
	if from.Equal(to) {
		return sql
	}
	return "CAST(" + sql + " AS " + to.DuckDB() + ")"
}
