package googlesql

import "strings"

// rangeVar finds a range variable in s or the scopes around it.
func (s *scope) rangeVar(name string) *relation {
	for ; s != nil; s = s.parent {
		for _, rel := range s.rels {
			if rel.alias != "" && strings.EqualFold(rel.alias, name) {
				return rel
			}
		}
	}
	return nil
}

// column finds a column by name in s alone; nil if there is none.
func (s *scope) column(id ident) (*column, error) {
	var found *column
	for _, c := range s.columns() {
		if c.name == "" || !strings.EqualFold(c.name, id.name) {
			continue
		}
		if found != nil {
			return nil, invalid(id.at, "Column name %s is ambiguous", id.name)
		}
		found = c
	}
	return found, nil
}

// columns are the columns of s in the order of SELECT *.
func (s *scope) columns() []*column {
	var cols []*column
	add := func(list []*column) {
		for _, c := range list {
			if !s.hidden[c] {
				cols = append(cols, c)
			}
		}
	}
	add(s.merged)
	for _, rel := range s.rels {
		add(rel.all())
	}
	return cols
}

// all are the columns that the relation offers by bare name.
func (rel *relation) all() []*column {
	if rel.value != nil {
		return []*column{rel.value}
	}
	return rel.cols
}

func (rel *relation) column(id ident) (*column, error) {
	var found *column
	for _, c := range rel.cols {
		if strings.EqualFold(c.name, id.name) {
			if found != nil {
				return nil, invalid(id.at, "Column name %s is ambiguous", id.name)
			}
			found = c
		}
	}
	return found, nil
}

// path resolves a.b.c: a column, a range variable, and fields of either.
func (r *resolver) path(x *pathExpr, c ectx) (*rexpr, error) {
	first := x.parts[0]
	for s := c.scope; s != nil; s = s.parent {
		outer := s != c.scope && s.sel != c.sel
		// The aliases of the SELECT list hide the columns of FROM.
		if e, ok := s.aliases[strings.ToUpper(first.name)]; ok {
			if e == nil {
				return nil, invalid(first.at, "Name %s is ambiguous", first.name)
			}
			if c.inAgg && e.agg {
				return nil, invalid(first.at, "Aggregations of aggregations are not allowed")
			}
			return r.fieldsOf(e, x.parts[1:])
		}
		if len(x.parts) > 1 {
			if rel := s.ownRangeVar(first.name); rel != nil {
				return r.relationPath(rel, x, c, s, outer)
			}
		}
		col, err := s.column(first)
		if err != nil {
			return nil, err
		}
		if col != nil {
			e, err := r.columnRef(col, first, c, s, outer)
			if err != nil {
				return nil, err
			}
			return r.fieldsOf(e, x.parts[1:])
		}
		if rel := s.ownRangeVar(first.name); rel != nil {
			return r.relationPath(rel, x, c, s, outer)
		}
	}
	switch name := strings.ToUpper(first.name); name {
	case "CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_DATETIME": // need no parentheses
		if len(x.parts) == 1 {
			return fnNow(r, &callExpr{node: x.node, name: name}, nil)
		}
	}
	return nil, r.unrecognized(first, c)
}

func (s *scope) ownRangeVar(name string) *relation {
	for _, rel := range s.rels {
		if rel.alias != "" && strings.EqualFold(rel.alias, name) {
			return rel
		}
	}
	return nil
}

// relationPath resolves rangevar.column.field… or the range variable itself.
func (r *resolver) relationPath(rel *relation, x *pathExpr, c ectx, s *scope, outer bool) (*rexpr, error) {
	first := x.parts[0]
	if rel.value != nil || len(x.parts) == 1 {
		col := rel.value
		if col == nil {
			col = rel.row
		}
		if col == nil {
			return r.wholeRow(rel, first, c, s, outer)
		}
		e, err := r.columnRef(col, first, c, s, outer)
		if err != nil {
			return nil, err
		}
		return r.fieldsOf(e, x.parts[1:])
	}
	second := x.parts[1]
	col, err := rel.column(second)
	if err != nil {
		return nil, err
	}
	if col == nil {
		return nil, invalid(second.at, "Name %s not found inside %s", second.name, first.name)
	}
	e, err := r.columnRef(col, ident{first.name + "." + second.name, first.at}, c, s, outer)
	if err != nil {
		return nil, err
	}
	return r.fieldsOf(e, x.parts[2:])
}

// wholeRow is a range variable as a value: the STRUCT of its columns.
func (r *resolver) wholeRow(rel *relation, id ident, c ectx, s *scope, outer bool) (*rexpr, error) {
	typ := &Type{Kind: Struct}
	var parts []*rexpr
	for _, col := range rel.cols {
		e, err := r.columnRef(col, id, c, s, outer)
		if err != nil {
			return nil, err
		}
		parts = append(parts, e)
		typ.Fields = append(typ.Fields, Field{col.name, col.typ})
	}
	e := derive(structSQL(parts), typ, parts...)
	e.fields = parts
	return e, nil
}

// columnRef is a reference to a column, which must be visible here: a column
// of an outer query that is grouped must be one of its grouping expressions.
func (r *resolver) columnRef(col *column, id ident, c ectx, s *scope, outer bool) (*rexpr, error) {
	e := &rexpr{sql: col.sql, typ: col.typ, refs: []*column{col}, origins: col.origins}
	if outer {
		if sel := s.sel; sel != nil && sel.grouped && sel.inAgg == 0 && !sel.group[col.sql] {
			return nil, invalid(id.at, "An expression references column %s which is neither grouped nor aggregated", id.name)
		}
		return e, nil
	}
	if c.sel != nil && !c.inAgg && !c.sel.group[col.sql] {
		e.free = []freeCol{{id.name, id.at, c.sel}}
	}
	return e, nil
}

// fieldsOf follows the fields of a STRUCT.
func (r *resolver) fieldsOf(e *rexpr, path []ident) (*rexpr, error) {
	for _, id := range path {
		if !e.typ.is(Struct) {
			return nil, invalid(id.at, "Cannot access field %s on a value with type %s", id.name, e.typ)
		}
		n := -1
		for i, f := range e.typ.Fields {
			if strings.EqualFold(f.Name, id.name) {
				if n >= 0 {
					return nil, invalid(id.at, "Struct field name %s is ambiguous", id.name)
				}
				n = i
			}
		}
		if n < 0 {
			return nil, invalid(id.at, "Field name %s does not exist in %s", id.name, e.typ)
		}
		e = derive(structField(e.sql, n), e.typ.Fields[n].Type, e)
	}
	return e, nil
}

// unrecognized is the error of an unknown name, with the nearest known one.
func (r *resolver) unrecognized(id ident, c ectx) error {
	best, dist := "", min(3, (len(id.name)+1)/2)
	for s := c.scope; s != nil; s = s.parent {
		for _, rel := range s.rels {
			for _, col := range rel.all() {
				if d := distance(strings.ToLower(col.name), strings.ToLower(id.name)); col.name != "" && d < dist {
					best, dist = col.name, d
				}
			}
		}
	}
	if best != "" {
		return invalid(id.at, "Unrecognized name: %s; Did you mean %s?", id.name, best)
	}
	return invalid(id.at, "Unrecognized name: %s", id.name)
}

// distance is the Levenshtein distance of two short names.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := prev
			if a[i-1] != b[j-1] {
				cost++
			}
			prev = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
