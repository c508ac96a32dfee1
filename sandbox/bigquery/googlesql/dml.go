package googlesql

import "strings"

// dmlTarget is the table that a statement changes.
type dmlTarget struct {
	table *Table
	scan  *Scan
	alias string // generated
	rel   *relation
}

// target finds the table and makes its relation. Its scan is counted once
// something of it is read.
func (r *resolver) target(f *tableRef) (*dmlTarget, error) {
	t, err := r.lookup(f)
	if err != nil {
		return nil, err
	}
	if t.View != "" {
		return nil, invalid(f.at, "Cannot modify view %s.%s", t.Dataset, t.Name)
	}
	alias := f.alias
	if alias == "" {
		alias = t.Name
	}
	d := &dmlTarget{table: t, scan: &Scan{Table: t, used: map[string]bool{}}, alias: r.newAlias()}
	d.rel = tableRelation(t, d.scan, d.alias, alias)
	return d, nil
}

// readAll counts every column of the target: what a changed row costs.
func (d *dmlTarget) readAll() {
	for _, c := range d.table.Columns {
		d.scan.used[c.Physical] = true
	}
}

func (d *dmlTarget) column(id ident) (Column, error) {
	for _, c := range d.table.Columns {
		if strings.EqualFold(c.Name, id.name) {
			return c, nil
		}
	}
	return Column{}, invalid(id.at, "Column %s is not present in table %s.%s", id.name, d.table.Dataset, d.table.Name)
}

// assign converts e to the type of a column; nil is DEFAULT, which is NULL.
func (r *resolver) assign(e *rexpr, col Column, at pos) (*rexpr, error) {
	if e == nil {
		return &rexpr{sql: "CAST(NULL AS " + col.Type.DuckDB() + ")", typ: col.Type, konst: true}, nil
	}
	out, ok := r.coerce(e, col.Type)
	if !ok {
		return nil, invalid(at, "Value of type %s cannot be assigned to %s, which has type %s", e.typ, col.Name, col.Type)
	}
	return out, nil
}

// columns are the columns that an INSERT names, or all of them.
func (d *dmlTarget) columns(ids []ident) ([]Column, error) {
	if ids == nil {
		return d.table.Columns, nil
	}
	var cols []Column
	for _, id := range ids {
		c, err := d.column(id)
		if err != nil {
			return nil, err
		}
		for _, o := range cols {
			if o.Name == c.Name {
				return nil, invalid(id.at, "INSERT has columns with duplicate name: %s", c.Name)
			}
		}
		cols = append(cols, c)
	}
	return cols, nil
}

func quoted(cols []Column) string {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = quoteIdent(c.Physical)
	}
	return strings.Join(names, ", ")
}

func (r *resolver) insert(st *insertStmt) (*Statement, error) {
	d, err := r.target(&st.target)
	if err != nil {
		return nil, err
	}
	cols, err := d.columns(st.cols)
	if err != nil {
		return nil, err
	}
	into := "INSERT INTO " + quoteIdent(d.table.Physical) + " (" + quoted(cols) + ") "
	out := &Statement{Kind: "INSERT", Target: d.table}
	if st.q != nil {
		q, err := r.query(st.q, &scope{})
		if err != nil {
			return nil, err
		}
		if len(q.cols) != len(cols) {
			return nil, invalid(st.at, "Inserted row has wrong column count; Has %d, expected %d", len(q.cols), len(cols))
		}
		alias := r.newAlias()
		list := make([]string, len(cols))
		for i, c := range q.cols {
			c.use()
			e := &rexpr{sql: alias + "." + c.sql, typ: c.typ}
			v, ok := r.coerce(e, cols[i].Type)
			if !ok {
				return nil, invalid(st.at, "Query column %d has type %s which cannot be inserted into column %s, which has type %s", i+1, c.typ, cols[i].Name, cols[i].Type)
			}
			list[i] = v.sql
		}
		out.SQL = into + "SELECT " + strings.Join(list, ", ") + " FROM (" + q.sql + ") AS " + alias
		return out, nil
	}
	rows := make([]string, len(st.rows))
	for i, row := range st.rows {
		if len(row) != len(cols) {
			return nil, invalid(st.at, "Inserted row has wrong column count; Has %d, expected %d", len(row), len(cols))
		}
		if rows[i], err = r.valueRow(row, cols, ectx{scope: &scope{}, clause: "VALUES"}, st.at); err != nil {
			return nil, err
		}
	}
	out.SQL = into + "VALUES " + strings.Join(rows, ", ")
	return out, nil
}

// valueRow resolves the values of a row for cols.
func (r *resolver) valueRow(row []expr, cols []Column, c ectx, at pos) (string, error) {
	texts := make([]string, len(row))
	for i, x := range row {
		var e *rexpr
		if x != nil {
			var err error
			if e, err = r.expr(x, c); err != nil {
				return "", err
			}
			e.useAll()
			at = x.pos()
		}
		v, err := r.assign(e, cols[i], at)
		if err != nil {
			return "", err
		}
		texts[i] = v.sql
	}
	return "(" + strings.Join(texts, ", ") + ")", nil
}

// assignments resolves SET a = x, ….
func (r *resolver) assignments(set []assignment, d *dmlTarget, c ectx) (string, error) {
	var texts []string
	seen := map[string]bool{}
	for _, a := range set {
		col, err := d.column(a.col)
		if err != nil {
			return "", err
		}
		if seen[col.Name] {
			return "", invalid(a.col.at, "Update item %s assigned more than once", col.Name)
		}
		seen[col.Name] = true
		var e *rexpr
		if a.value != nil {
			if e, err = r.expr(a.value, c); err != nil {
				return "", err
			}
			e.useAll()
		}
		v, err := r.assign(e, col, a.col.at)
		if err != nil {
			return "", err
		}
		texts = append(texts, quoteIdent(col.Physical)+" = "+v.sql)
	}
	return strings.Join(texts, ", "), nil
}

const manySources = "UPDATE/MERGE must match at most one source row for each target row"

func (r *resolver) update(st *updateStmt) (*Statement, error) {
	d, err := r.target(&st.target)
	if err != nil {
		return nil, err
	}
	r.scans = append(r.scans, d.scan)
	d.readAll()
	sc := &scope{rels: []*relation{d.rel}}
	from := ""
	if st.from != nil {
		fsc := &scope{}
		if from, err = r.from(st.from, fsc); err != nil {
			return nil, err
		}
		for _, rel := range fsc.rels {
			if err := sc.add(st.at, rel); err != nil {
				return nil, err
			}
		}
		sc.merged, sc.hidden = fsc.merged, fsc.hidden
	}
	where, err := r.condition(st.where, ectx{scope: sc, clause: "WHERE clause"})
	if err != nil {
		return nil, err
	}
	where.useAll()
	addFilter(where.pred, sc.rels)
	set, err := r.assignments(st.set, d, ectx{scope: sc, clause: "SET"})
	if err != nil {
		return nil, err
	}
	target := quoteIdent(d.table.Physical) + " AS " + d.alias
	out := &Statement{Kind: "UPDATE", Target: d.table}
	out.SQL = "UPDATE " + target + " SET " + set
	if from != "" {
		out.SQL += " FROM " + from
		out.Checks = append(out.Checks, Check{
			SQL:     "SELECT 1 FROM " + target + ", " + from + " WHERE " + where.sql + " GROUP BY " + d.alias + ".rowid HAVING count(*) > 1 LIMIT 1",
			Message: manySources,
		})
	}
	out.SQL += " WHERE " + where.sql
	return out, nil
}

func (r *resolver) delete(st *deleteStmt) (*Statement, error) {
	d, err := r.target(&st.target)
	if err != nil {
		return nil, err
	}
	r.scans = append(r.scans, d.scan)
	d.readAll()
	where, err := r.condition(st.where, ectx{scope: &scope{rels: []*relation{d.rel}}, clause: "WHERE clause"})
	if err != nil {
		return nil, err
	}
	where.useAll()
	addFilter(where.pred, []*relation{d.rel})
	return &Statement{
		Kind: "DELETE", Target: d.table,
		SQL: "DELETE FROM " + quoteIdent(d.table.Physical) + " AS " + d.alias + " WHERE " + where.sql,
	}, nil
}

func (r *resolver) truncate(st *truncateStmt) (*Statement, error) {
	d, err := r.target(&st.target)
	if err != nil {
		return nil, err
	}
	return &Statement{Kind: "TRUNCATE_TABLE", Target: d.table, SQL: "DELETE FROM " + quoteIdent(d.table.Physical)}, nil
}

func (r *resolver) merge(st *mergeStmt) (*Statement, error) {
	d, err := r.target(&st.target)
	if err != nil {
		return nil, err
	}
	r.scans = append(r.scans, d.scan)
	ssc := &scope{}
	source, err := r.from(st.source, ssc)
	if err != nil {
		return nil, err
	}
	both := &scope{rels: []*relation{d.rel}}
	for _, rel := range ssc.rels {
		if err := both.add(st.at, rel); err != nil {
			return nil, err
		}
	}
	on, err := r.condition(st.on, ectx{scope: both, clause: "MERGE ON clause"})
	if err != nil {
		return nil, err
	}
	on.useAll()
	var b strings.Builder
	target := quoteIdent(d.table.Physical) + " AS " + d.alias
	b.WriteString("MERGE INTO " + target + " USING " + source + " ON " + on.sql)
	var matched []string
	for i := range st.whens {
		w := &st.whens[i]
		visible := map[string]*scope{"MATCHED": both, "NOT MATCHED": ssc, "NOT MATCHED BY SOURCE": {rels: []*relation{d.rel}}}[w.matched]
		text, cond, err := r.mergeWhen(w, d, ectx{scope: visible, clause: "WHEN clause"}, ssc)
		if err != nil {
			return nil, err
		}
		if w.matched == "MATCHED" {
			matched = append(matched, cond)
		}
		if w.action == "UPDATE" || w.action == "DELETE" {
			d.readAll()
		}
		b.WriteString(text)
	}
	b.WriteString(" RETURNING merge_action")
	out := &Statement{Kind: "MERGE", Target: d.table, SQL: b.String()}
	if len(matched) > 0 {
		out.Checks = append(out.Checks, Check{
			SQL: "SELECT 1 FROM " + target + " JOIN " + source + " ON " + on.sql + " WHERE " + strings.Join(matched, " OR ") +
				" GROUP BY " + d.alias + ".rowid HAVING count(*) > 1 LIMIT 1",
			Message: manySources,
		})
	}
	return out, nil
}

// mergeWhen resolves a WHEN clause; cond is its condition, or true.
func (r *resolver) mergeWhen(w *mergeWhen, d *dmlTarget, c ectx, source *scope) (text, cond string, err error) {
	text, cond = " WHEN "+w.matched, "true"
	if w.cond != nil {
		e, err := r.condition(w.cond, c)
		if err != nil {
			return "", "", err
		}
		e.useAll()
		cond = e.sql
		text += " AND " + cond
	}
	text += " THEN "
	switch w.action {
	case "DELETE":
		return text + "DELETE", cond, nil
	case "UPDATE":
		set, err := r.assignments(w.set, d, c)
		return text + "UPDATE SET " + set, cond, err
	case "INSERT ROW":
		// The source's columns, in order.
		for _, col := range source.columns() {
			w.values = append(w.values, &resolvedColumn{node{w.at}, col})
		}
	}
	cols, err := d.columns(w.cols)
	if err != nil {
		return "", "", err
	}
	if len(w.values) != len(cols) {
		return "", "", invalid(w.at, "Inserted row has wrong column count; Has %d, expected %d", len(w.values), len(cols))
	}
	row, err := r.valueRow(w.values, cols, c, w.at)
	return text + "INSERT (" + quoted(cols) + ") VALUES " + row, cond, err
}
