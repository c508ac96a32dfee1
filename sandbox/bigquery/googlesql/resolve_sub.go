package googlesql

import (
	"fmt"
	"strings"
)

// in resolves x [NOT] IN (…).
func (r *resolver) in(x *inExpr, c ectx) (*rexpr, error) {
	e, err := r.expr(x.x, c)
	if err != nil {
		return nil, err
	}
	var out *rexpr
	switch {
	case x.query != nil:
		out, err = r.inQuery(e, x, c)
	case x.unnest != nil:
		out, err = r.inUnnest(e, x, c)
	default:
		var list []*rexpr
		if list, err = r.exprs(x.list, c); err == nil {
			out, err = r.inList(e, list, x.at)
		}
	}
	if err != nil {
		return nil, err
	}
	if x.not {
		not := derive("(NOT "+out.sql+")", TBool, out)
		not.pred = negate(out.pred)
		return not, nil
	}
	return out, nil
}

func (r *resolver) inList(e *rexpr, list []*rexpr, at pos) (*rexpr, error) {
	all, typ, err := r.unify(append([]*rexpr{e}, list...), at, "operator IN")
	if err != nil {
		return nil, err
	}
	if typ.is(Array) {
		return nil, noSignature(at, "operator IN", e, list[0])
	}
	if typ.is(Struct) {
		var parts []*rexpr
		var texts []string
		for _, l := range all[1:] {
			eq, err := r.compareStructs("=", all[0], l, at)
			if err != nil {
				return nil, err
			}
			parts, texts = append(parts, eq), append(texts, eq.sql)
		}
		return derive("("+strings.Join(texts, " OR ")+")", TBool, parts...), nil
	}
	texts := make([]string, len(list))
	konst := true
	for i, l := range all[1:] {
		texts[i] = l.sql
		konst = konst && l.konst
	}
	out := derive("("+all[0].sql+" IN ("+strings.Join(texts, ", ")+"))", TBool, all...)
	if len(all[0].origins) > 0 && konst {
		out.pred = &predicate{op: "IN", scans: all[0].origins, consts: texts}
	}
	return out, nil
}

func (r *resolver) inQuery(e *rexpr, x *inExpr, c ectx) (*rexpr, error) {
	q, err := r.query(x.query, c.scope)
	if err != nil {
		return nil, err
	}
	if len(q.cols) != 1 {
		return nil, invalid(x.at, "Subquery of type IN must have only one output column")
	}
	q.cols[0].use()
	typ := q.cols[0].typ
	if typ == nil {
		typ = TInt64
	}
	col := &rexpr{sql: q.cols[0].sql, typ: typ}
	ct, ok := r.common(e, col)
	if !ok || ct.is(Array, Struct) {
		return nil, noSignature(x.at, "operator IN", e, col)
	}
	l, ok := r.coerce(e, ct)
	if !ok {
		return nil, noSignature(x.at, "operator IN", e, col)
	}
	sql := q.sql
	if !typ.Equal(ct) {
		alias := r.newAlias()
		sql = "SELECT CAST(" + alias + "." + q.cols[0].sql + " AS " + ct.DuckDB() + ") FROM (" + sql + ") AS " + alias
	}
	out := derive("("+l.sql+" IN ("+sql+"))", TBool, l)
	out.konst = false
	return out, nil
}

// inUnnest resolves x IN UNNEST(array), which is FALSE for an empty or NULL
// array.
func (r *resolver) inUnnest(e *rexpr, x *inExpr, c ectx) (*rexpr, error) {
	arr, err := r.expr(x.unnest, c)
	if err != nil {
		return nil, err
	}
	if !arr.typ.is(Array) {
		return nil, invalid(x.unnest.pos(), "Second argument of IN UNNEST must be an array but was %s", arr.typ)
	}
	elem := &rexpr{typ: arr.typ.Elem}
	ct, ok := r.common(e, elem)
	if !ok || ct.is(Array) {
		return nil, noSignature(x.at, "operator IN UNNEST", e, arr)
	}
	l, ok := r.coerce(e, ct)
	if !ok {
		return nil, noSignature(x.at, "operator IN UNNEST", e, arr)
	}
	if arr.isParam && arr.typ.Elem.Equal(ct) && !ct.is(Struct) {
		return r.inParam(l, arr, x.at)
	}
	list := arr.sql
	if !arr.typ.Elem.Equal(ct) {
		list = "CAST(" + list + " AS " + ct.DuckDB() + "[])"
	}
	null := l.sql + " IS NULL"
	if ct.is(Struct) {
		for i := range ct.Fields {
			null += " OR " + r.field(l, i).sql + " IS NULL"
		}
	}
	sql := fmt.Sprintf("CASE WHEN coalesce(len(%[1]s), 0) = 0 THEN false WHEN %[2]s THEN NULL WHEN list_contains(%[1]s, %[3]s) THEN true WHEN list_count(%[1]s) < len(%[1]s) THEN NULL ELSE false END",
		list, null, l.sql)
	return derive(sql, TBool, l, arr), nil
}

// inParam writes the elements of an array parameter as a list, which DuckDB
// hashes.
func (r *resolver) inParam(l, arr *rexpr, at pos) (*rexpr, error) {
	if len(arr.param.Elems) == 0 {
		return derive("false", TBool, l), nil
	}
	texts := make([]string, len(arr.param.Elems))
	for i, v := range arr.param.Elems {
		s, err := Literal(arr.typ.Elem, v)
		if err != nil {
			return nil, invalid(at, "%s", err)
		}
		texts[i] = s
	}
	out := derive("("+l.sql+" IN ("+strings.Join(texts, ", ")+"))", TBool, l)
	if len(l.origins) > 0 {
		out.pred = &predicate{op: "IN", scans: l.origins, consts: texts}
	}
	return out, nil
}

// subquery resolves (query), EXISTS(query) and ARRAY(query).
func (r *resolver) subquery(x *subqueryExpr, c ectx) (*rexpr, error) {
	q, err := r.query(x.q, c.scope)
	if err != nil {
		return nil, err
	}
	if x.kind == "EXISTS" {
		return &rexpr{sql: "EXISTS(" + q.sql + ")", typ: TBool}, nil
	}
	if len(q.cols) != 1 {
		return nil, invalid(x.at, "%s subquery cannot have more than one column unless using SELECT AS STRUCT to build STRUCT values",
			map[string]string{"SCALAR": "Scalar", "ARRAY": "ARRAY"}[x.kind])
	}
	q.cols[0].use()
	typ := q.cols[0].typ
	if typ == nil {
		typ = TInt64
	}
	if x.kind == "SCALAR" {
		return &rexpr{sql: "(" + q.sql + ")", typ: typ}, nil
	}
	if typ.Kind == Array {
		return nil, invalid(x.at, "Cannot use array subquery with column of type %s because nested arrays are not supported", typ)
	}
	return &rexpr{sql: "coalesce(ARRAY(" + q.sql + "), CAST([] AS " + typ.DuckDB() + "[]))", typ: ArrayOf(typ)}, nil
}

func (r *resolver) array(x *arrayExpr, c ectx) (*rexpr, error) {
	es, err := r.exprs(x.elems, c)
	if err != nil {
		return nil, err
	}
	elem := x.elem
	if elem == nil {
		if es, elem, err = r.unify(es, x.at, "[]"); err != nil {
			return nil, err
		}
	} else {
		for i, e := range es {
			var ok bool
			if es[i], ok = r.coerce(e, elem); !ok {
				return nil, invalid(x.elems[i].pos(), "Array element type %s does not coerce to %s", e.typ, elem)
			}
		}
	}
	if elem.Kind == Array {
		return nil, invalid(x.at, "Cannot construct array with element type %s because nested arrays are not supported", elem)
	}
	texts := make([]string, len(es))
	for i, e := range es {
		texts[i] = e.sql
	}
	return derive("CAST(["+strings.Join(texts, ", ")+"] AS "+elem.DuckDB()+"[])", ArrayOf(elem), es...), nil
}

func (r *resolver) structOf(x *structExpr, c ectx) (*rexpr, error) {
	es, err := r.exprs(x.values, c)
	if err != nil {
		return nil, err
	}
	typ := &Type{Kind: Struct}
	if x.typ != nil {
		if len(x.typ.Fields) != len(es) {
			return nil, invalid(x.at, "STRUCT type has %d fields but constructor call has %d fields", len(x.typ.Fields), len(es))
		}
		typ = x.typ
	}
	for i, e := range es {
		if x.typ != nil {
			var ok bool
			if es[i], ok = r.coerce(e, typ.Fields[i].Type); !ok {
				return nil, invalid(x.values[i].pos(), "Struct field %d has type %s which does not coerce to %s", i+1, e.typ, typ.Fields[i].Type)
			}
			continue
		}
		if e.typ == nil {
			es[i] = retype(e, TInt64)
		}
		typ.Fields = append(typ.Fields, Field{x.names[i], es[i].typ})
	}
	if len(es) == 0 {
		return nil, unsupported(x.at, "a STRUCT without fields")
	}
	out := derive(structSQL(es), typ, es...)
	out.fields = es
	return out, nil
}

// index resolves array[OFFSET(i)] and its kin.
func (r *resolver) index(x *indexExpr, c ectx) (*rexpr, error) {
	arr, err := r.expr(x.x, c)
	if err != nil {
		return nil, err
	}
	i, err := r.expr(x.i, c)
	if err != nil {
		return nil, err
	}
	n, ok := r.coerce(i, TInt64)
	if !arr.typ.is(Array) || !ok {
		return nil, invalid(x.at, "Element access using [%s()] is not supported on values of type %s", x.mode, arr.typ)
	}
	pos := n.sql
	if strings.HasSuffix(x.mode, "OFFSET") {
		pos = "(" + n.sql + " + 1)"
	}
	get := fmt.Sprintf("list_extract(%s, %s)", arr.sql, pos)
	null, length := "("+arr.sql+") IS NULL OR "+n.sql+" IS NULL", "len("+arr.sql+")"
	if arr.isParam {
		// Its text may be long: it is written once.
		null, length = n.sql+" IS NULL", fmt.Sprint(len(arr.param.Elems))
	}
	otherwise := "NULL"
	if !strings.HasPrefix(x.mode, "SAFE_") {
		otherwise = "error('Array index ' || CAST(" + n.sql + " AS VARCHAR) || ' is out of bounds')"
	}
	sql := fmt.Sprintf("CASE WHEN %s THEN NULL WHEN %s >= 1 AND %s <= %s THEN %s ELSE %s END", null, pos, pos, length, get, otherwise)
	return derive(sql, arr.typ.Elem, arr, n), nil
}
