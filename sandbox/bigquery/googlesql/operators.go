package googlesql

import (
	"fmt"
	"strings"
)

func (r *resolver) unary(x *unaryExpr, c ectx) (*rexpr, error) {
	if x.op == "NOT" {
		e, err := r.operand(x.x, c, "NOT")
		if err != nil {
			return nil, err
		}
		out := derive("(NOT "+e.sql+")", TBool, e)
		out.pred = negate(e.pred)
		return out, nil
	}
	e, err := r.expr(x.x, c)
	if err != nil {
		return nil, err
	}
	if e.typ == nil {
		e = retype(e, TInt64)
	}
	switch {
	case x.op == "~" && e.typ.is(Int64):
		return derive("(~"+e.sql+")", TInt64, e), nil
	case x.op == "-" && (e.typ.numeric() || e.typ.is(Interval)), x.op == "+" && e.typ.numeric():
		if x.op == "+" {
			return e, nil
		}
		return derive("(-"+e.sql+")", e.typ, e), nil
	}
	return nil, noSignature(x.at, "operator "+x.op, e)
}

// retype gives an untyped NULL a type.
func retype(e *rexpr, t *Type) *rexpr {
	return derive("CAST(NULL AS "+t.DuckDB()+")", t, e)
}

// operand resolves a BOOL operand of a logical operator.
func (r *resolver) operand(x expr, c ectx, op string) (*rexpr, error) {
	e, err := r.expr(x, c)
	if err != nil {
		return nil, err
	}
	if e.typ == nil {
		return retype(e, TBool), nil
	}
	if !e.typ.is(Bool) {
		return nil, noSignature(x.pos(), "operator "+op, e)
	}
	return e, nil
}

// noSignature is GoogleSQL's error of operands of wrong types.
func noSignature(at pos, what string, args ...*rexpr) error {
	types := make([]string, len(args))
	for i, a := range args {
		types[i] = a.typ.String()
	}
	return invalid(at, "No matching signature for %s for argument types: %s", what, strings.Join(types, ", "))
}

func (r *resolver) binary(x *binaryExpr, c ectx) (*rexpr, error) {
	switch x.op {
	case "AND", "OR":
		return r.logical(x, c)
	}
	a, err := r.expr(x.l, c)
	if err != nil {
		return nil, err
	}
	b, err := r.expr(x.r, c)
	if err != nil {
		return nil, err
	}
	switch x.op {
	case "=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM":
		return r.compare(x.op, a, b, x.at)
	case "LIKE":
		return r.like(a, b, x.at)
	case "||":
		return r.concat([]*rexpr{a, b}, x.at, "operator ||")
	case "|", "&", "^", "<<", ">>":
		return r.bits(x.op, a, b, x.at)
	}
	return r.arithmetic(x.op, a, b, x.at)
}

// logical resolves a chain of ANDs or ORs without descending once per link.
func (r *resolver) logical(x *binaryExpr, c ectx) (*rexpr, error) {
	var links []expr
	var l expr = x
	for {
		b, ok := l.(*binaryExpr)
		if !ok || b.op != x.op {
			break
		}
		links = append(links, b.r)
		l = b.l
	}
	links = append(links, l)
	var parts []*rexpr
	var texts []string
	var preds []*predicate
	for i := len(links) - 1; i >= 0; i-- {
		e, err := r.operand(links[i], c, x.op)
		if err != nil {
			return nil, err
		}
		parts, texts, preds = append(parts, e), append(texts, e.sql), append(preds, e.pred)
	}
	out := derive("("+strings.Join(texts, " "+x.op+" ")+")", TBool, parts...)
	out.pred = combine(x.op, preds)
	return out, nil
}

// compare resolves a comparison of two expressions.
func (r *resolver) compare(op string, a, b *rexpr, at pos) (*rexpr, error) {
	x, y, err := r.comparable(op, a, b, at)
	if err != nil {
		return nil, err
	}
	if x.typ.is(Struct) {
		return r.compareStructs(op, x, y, at)
	}
	out := derive("("+x.sql+" "+op+" "+y.sql+")", TBool, x, y)
	out.pred = comparison(op, x, y)
	return out, nil
}

// comparable brings two expressions to a type in which they can be compared.
func (r *resolver) comparable(op string, a, b *rexpr, at pos) (x, y *rexpr, err error) {
	fail := func() (*rexpr, *rexpr, error) { return nil, nil, noSignature(at, "operator "+opName(op), a, b) }
	if a.typ == nil && b.typ == nil {
		return retype(a, TInt64), retype(b, TInt64), nil
	}
	typ, ok := r.common(a, b)
	if !ok || typ.Kind == Array {
		return fail()
	}
	if typ.Kind == Struct && op != "=" && op != "<>" && !strings.Contains(op, "DISTINCT") {
		return fail()
	}
	if x, ok = r.coerce(a, typ); !ok {
		return fail()
	}
	if y, ok = r.coerce(b, typ); !ok {
		return fail()
	}
	return x, y, nil
}

func opName(op string) string {
	if op == "<>" {
		return "!="
	}
	return op
}

// compareStructs compares field by field: DuckDB takes NULL fields as equal.
func (r *resolver) compareStructs(op string, a, b *rexpr, at pos) (*rexpr, error) {
	fieldOp, join := "=", " AND "
	if strings.Contains(op, "DISTINCT") {
		out := derive("("+a.sql+" "+op+" "+b.sql+")", TBool, a, b)
		return out, nil
	}
	var texts []string
	for i := range a.typ.Fields {
		f, err := r.compare(fieldOp, r.field(a, i), r.field(b, i), at)
		if err != nil {
			return nil, err
		}
		texts = append(texts, f.sql)
	}
	if len(texts) == 0 {
		texts = []string{"true"}
	}
	sql := "(" + strings.Join(texts, join) + ")"
	if op == "<>" {
		sql = "(NOT " + sql + ")"
	}
	return derive(sql, TBool, a, b), nil
}

func (r *resolver) field(e *rexpr, i int) *rexpr {
	if e.fields != nil {
		return e.fields[i]
	}
	return derive(structField(e.sql, i), e.typ.Fields[i].Type, e)
}

// structField is field i of a STRUCT's text.
func structField(sql string, i int) string { return fmt.Sprintf("struct_extract(%s, 'f%d')", sql, i) }

// structSQL packs expressions into a STRUCT.
func structSQL(parts []*rexpr) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = fmt.Sprintf("'f%d': %s", i, p.sql)
	}
	return "{" + strings.Join(texts, ", ") + "}"
}

func (r *resolver) like(a, b *rexpr, at pos) (*rexpr, error) {
	x, ok1 := r.coerce(a, TString)
	y, ok2 := r.coerce(b, TString)
	if !ok1 || !ok2 {
		return nil, noSignature(at, "operator LIKE", a, b)
	}
	return derive("("+x.sql+` LIKE `+y.sql+` ESCAPE '\')`, TBool, x, y), nil
}

func (r *resolver) bits(op string, a, b *rexpr, at pos) (*rexpr, error) {
	x, ok1 := r.coerce(a, TInt64)
	y, ok2 := r.coerce(b, TInt64)
	if !ok1 || !ok2 {
		return nil, noSignature(at, "operator "+op, a, b)
	}
	switch op {
	case "^":
		return derive("xor("+x.sql+", "+y.sql+")", TInt64, x, y), nil
	case "<<", ">>":
		return nil, unsupported(at, "operator %s", op)
	}
	return derive("("+x.sql+" "+op+" "+y.sql+")", TInt64, x, y), nil
}

func (r *resolver) arithmetic(op string, a, b *rexpr, at pos) (*rexpr, error) {
	if e, ok, err := r.timeArithmetic(op, a, b, at); ok || err != nil {
		return e, err
	}
	if a.typ == nil && b.typ == nil {
		a, b = retype(a, TInt64), retype(b, TInt64)
	}
	typ, ok := r.common(a, b)
	if !ok || !typ.numeric() {
		return nil, noSignature(at, "operator "+op, a, b)
	}
	if op == "/" && typ.Kind == Int64 {
		typ = TFloat64
	}
	x, ok1 := r.coerce(a, typ)
	y, ok2 := r.coerce(b, typ)
	if !ok1 || !ok2 {
		return nil, noSignature(at, "operator "+op, a, b)
	}
	switch {
	case op == "/" && typ.Kind == Numeric:
		// DuckDB would divide as DOUBLE.
		return nil, unsupported(at, "division of NUMERIC")
	case op == "/":
		return divide(x, y), nil
	case op == "*" && typ.Kind == Numeric:
		return derive("CAST(("+x.sql+" * "+y.sql+") AS DECIMAL(38,9))", typ, x, y), nil
	}
	return derive("("+x.sql+" "+op+" "+y.sql+")", typ, x, y), nil
}

// divide is x / y of FLOAT64, an error where y is zero.
func divide(x, y *rexpr) *rexpr {
	return derive("CASE WHEN "+y.sql+" = 0 THEN "+divisionError(x, y, " / ")+" ELSE "+x.sql+" / "+y.sql+" END", TFloat64, x, y)
}

// divisionError is an expression that fails. It depends on the operands, so
// that DuckDB does not compute it before it is needed.
func divisionError(x, y *rexpr, op string) string {
	return "error('division by zero: ' || CAST(" + x.sql + " AS VARCHAR) || '" + op + "' || CAST(" + y.sql + " AS VARCHAR))"
}

func (r *resolver) is(x *isExpr, c ectx) (*rexpr, error) {
	var e *rexpr
	var err error
	if x.what == "NULL" {
		e, err = r.expr(x.x, c)
	} else {
		e, err = r.operand(x.x, c, "IS "+x.what)
	}
	if err != nil {
		return nil, err
	}
	what := x.what
	if what == "UNKNOWN" {
		what = "NULL"
	}
	not := ""
	if x.not {
		not = "NOT "
	}
	return derive("("+e.sql+" IS "+not+what+")", TBool, e), nil
}

func (r *resolver) between(x *betweenExpr, c ectx) (*rexpr, error) {
	es, err := r.exprs([]expr{x.x, x.lo, x.hi}, c)
	if err != nil {
		return nil, err
	}
	lo, err := r.compare(">=", es[0], es[1], x.at)
	if err != nil {
		return nil, err
	}
	hi, err := r.compare("<=", es[0], es[2], x.at)
	if err != nil {
		return nil, err
	}
	out := derive("("+lo.sql+" AND "+hi.sql+")", TBool, es...)
	out.pred = combine("AND", []*predicate{lo.pred, hi.pred})
	if x.not {
		out.sql, out.pred = "(NOT "+out.sql+")", negate(out.pred)
	}
	return out, nil
}

func (r *resolver) caseOf(x *caseExpr, c ectx) (*rexpr, error) {
	var operand *rexpr
	var err error
	if x.operand != nil {
		if operand, err = r.expr(x.operand, c); err != nil {
			return nil, err
		}
	}
	var conds, thens []*rexpr
	for _, w := range x.whens {
		var cond *rexpr
		if operand == nil {
			cond, err = r.condition(w.cond, ectx{scope: c.scope, sel: c.sel, clause: "CASE condition", aggOK: c.aggOK, winOK: c.winOK, inAgg: c.inAgg})
		} else {
			var v *rexpr
			if v, err = r.expr(w.cond, c); err == nil {
				cond, err = r.compare("=", operand, v, x.at)
			}
		}
		if err != nil {
			return nil, err
		}
		then, err := r.expr(w.then, c)
		if err != nil {
			return nil, err
		}
		conds, thens = append(conds, cond), append(thens, then)
	}
	if x.els != nil {
		els, err := r.expr(x.els, c)
		if err != nil {
			return nil, err
		}
		thens = append(thens, els)
	}
	return r.choose(conds, thens, x.at, "CASE")
}

// choose is CASE WHEN conds[i] THEN values[i] … ELSE the last value END.
func (r *resolver) choose(conds, values []*rexpr, at pos, what string) (*rexpr, error) {
	values, typ, err := r.unify(values, at, what)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("CASE")
	for i, cond := range conds {
		b.WriteString(" WHEN " + cond.sql + " THEN " + values[i].sql)
	}
	if len(values) > len(conds) {
		b.WriteString(" ELSE " + values[len(conds)].sql)
	}
	b.WriteString(" END")
	return derive(b.String(), typ, append(append([]*rexpr{}, conds...), values...)...), nil
}

// unify brings expressions to their common type; all NULL stays untyped.
func (r *resolver) unify(es []*rexpr, at pos, what string) ([]*rexpr, *Type, error) {
	typ, ok := r.common(es...)
	if !ok {
		return nil, nil, noSignature(at, what, es...)
	}
	if typ == nil {
		typ = TInt64
	}
	out := make([]*rexpr, len(es))
	for i, e := range es {
		if out[i], ok = r.coerce(e, typ); !ok {
			return nil, nil, noSignature(at, what, es...)
		}
	}
	return out, typ, nil
}
