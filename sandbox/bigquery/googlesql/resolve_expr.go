package googlesql

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// expr resolves an expression.
func (r *resolver) expr(x expr, c ectx) (*rexpr, error) {
	e, err := r.exprNode(x, c)
	if err != nil {
		return nil, err
	}
	if len(e.sql) > maxOutput {
		return nil, invalid(x.pos(), "Resources exceeded during query execution: the query is too complex")
	}
	// What was grouped by may be used whole.
	if c.sel != nil && !c.inAgg && len(e.free) > 0 && c.sel.group[e.sql] {
		e.free = nil
	}
	return e, nil
}

func (r *resolver) exprNode(x expr, c ectx) (*rexpr, error) {
	switch x := x.(type) {
	case *pathExpr:
		return r.path(x, c)
	case *resolvedColumn:
		return r.columnRef(x.col, ident{x.col.name, x.at}, c, c.scope, false)
	case *litExpr:
		return literal(x)
	case *typedLit:
		return typedLiteral(x)
	case *paramExpr:
		return r.parameter(x)
	case *unaryExpr:
		return r.unary(x, c)
	case *binaryExpr:
		return r.binary(x, c)
	case *isExpr:
		return r.is(x, c)
	case *betweenExpr:
		return r.between(x, c)
	case *inExpr:
		return r.in(x, c)
	case *caseExpr:
		return r.caseOf(x, c)
	case *castExpr:
		e, err := r.expr(x.x, c)
		if err != nil {
			return nil, err
		}
		return r.cast(e, x.to, x.safe, x.at)
	case *extractExpr:
		return r.extract(x, c)
	case *intervalExpr:
		return r.interval(x, c)
	case *arrayExpr:
		return r.array(x, c)
	case *structExpr:
		return r.structOf(x, c)
	case *subqueryExpr:
		return r.subquery(x, c)
	case *indexExpr:
		return r.index(x, c)
	case *fieldExpr:
		e, err := r.expr(x.x, c)
		if err != nil {
			return nil, err
		}
		return r.fieldsOf(e, []ident{x.name})
	case *callExpr:
		return r.call(x, c)
	}
	panic(fmt.Sprintf("unknown expression %T", x))
}

func (r *resolver) exprs(xs []expr, c ectx) ([]*rexpr, error) {
	out := make([]*rexpr, len(xs))
	for i, x := range xs {
		var err error
		if out[i], err = r.expr(x, c); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// condition resolves a BOOL.
func (r *resolver) condition(x expr, c ectx) (*rexpr, error) {
	e, err := r.expr(x, c)
	if err != nil {
		return nil, err
	}
	if e.typ == nil {
		return derive("CAST(NULL AS BOOLEAN)", TBool, e), nil
	}
	if e.typ.Kind != Bool {
		return nil, invalid(x.pos(), "%s should return type BOOL, but returns %s", c.clause, e.typ)
	}
	return e, nil
}

func literal(x *litExpr) (*rexpr, error) {
	e := &rexpr{konst: true, lit: x}
	switch x.kind {
	case 0:
		e.sql = "NULL"
	case Int64:
		n, err := strconv.ParseInt(x.text, 10, 64)
		if err != nil {
			return nil, invalid(x.at, "Invalid integer literal: %s", x.text)
		}
		e.sql, e.typ = intSQL(n), TInt64
	case Float64:
		f, err := strconv.ParseFloat(x.text, 64)
		if err != nil || math.IsInf(f, 0) {
			return nil, invalid(x.at, "Invalid floating point literal: %s", x.text)
		}
		e.sql, e.typ = floatSQL(f), TFloat64
	case Bool:
		e.sql, e.typ = strings.ToLower(x.text), TBool
	case String:
		s, err := stringSQL(x.text)
		if err != nil {
			return nil, invalid(x.at, "%s", err)
		}
		e.sql, e.typ = s, TString
	case Bytes:
		e.sql, e.typ = bytesSQL(x.text), TBytes
	}
	return e, nil
}

func typedLiteral(x *typedLit) (*rexpr, error) {
	typ := &Type{Kind: x.kind}
	sql, err := scalarLiteral(typ, x.text)
	if err != nil {
		return nil, invalid(x.at, "Invalid %s literal: %s", typ, err)
	}
	return &rexpr{sql: sql, typ: typ, konst: true}, nil
}

func (r *resolver) parameter(x *paramExpr) (*rexpr, error) {
	p, ok := r.params[strings.ToUpper(x.name)]
	if !ok {
		return nil, invalid(x.at, "Query parameter '%s' not found", x.name)
	}
	sql, err := Literal(p.Type, p.Value)
	if err != nil {
		return nil, invalid(x.at, "Query parameter '%s': %s", x.name, err)
	}
	return &rexpr{sql: sql, typ: p.Type, konst: true, isParam: true, param: p.Value}, nil
}
