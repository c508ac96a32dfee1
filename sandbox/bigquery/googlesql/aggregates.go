package googlesql

import (
	"fmt"
	"slices"
	"strings"
)

// aggregateFn describes an aggregate function.
type aggregateFn struct {
	// text and type of the aggregate over resolved arguments; distinct is
	// "DISTINCT " or empty.
	build func(r *resolver, x *callExpr, args []*rexpr, distinct string) (pre, post string, typ *Type, err error)
	// modifiers that it takes beside DISTINCT
	order, limit, nulls, having bool
}

// build functions return the text before and after the place of FILTER and
// OVER: sum(x) … becomes CAST(sum(x) OVER (…) AS BIGINT).
var aggregates map[string]aggregateFn

func init() {
	boolean := func(name string) aggregateFn {
		return aggregateFn{build: func(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
			es, err := r.arguments(x, args, TBool)
			if err != nil {
				return "", "", nil, err
			}
			return name + "(" + d + es[0].sql + ")", "", TBool, nil
		}}
	}
	float := func(name string) aggregateFn {
		return aggregateFn{build: func(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
			es, err := r.arguments(x, args, TFloat64)
			if err != nil {
				return "", "", nil, err
			}
			return name + "(" + d + es[0].sql + ")", "", TFloat64, nil
		}}
	}
	bits := func(name string) aggregateFn {
		return aggregateFn{build: func(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
			es, err := r.arguments(x, args, TInt64)
			if err != nil {
				return "", "", nil, err
			}
			return name + "(" + d + es[0].sql + ")", "", TInt64, nil
		}}
	}
	aggregates = map[string]aggregateFn{
		"COUNT": {build: aggCount}, "COUNTIF": {build: aggCountIf}, "SUM": {build: aggSum}, "AVG": {build: aggAvg},
		"MIN": {build: aggExtreme("min")}, "MAX": {build: aggExtreme("max")},
		"ANY_VALUE":  {build: aggAnyValue, having: true},
		"LOGICAL_OR": boolean("bool_or"), "LOGICAL_AND": boolean("bool_and"),
		"ARRAY_AGG":  {build: aggArray, order: true, limit: true, nulls: true},
		"STRING_AGG": {build: aggString, order: true, limit: true},
		"STDDEV":     float("stddev_samp"), "STDDEV_SAMP": float("stddev_samp"), "STDDEV_POP": float("stddev_pop"),
		"VARIANCE": float("var_samp"), "VAR_SAMP": float("var_samp"), "VAR_POP": float("var_pop"),
		"BIT_XOR": bits("bit_xor"), "BIT_AND": bits("bit_and"), "BIT_OR": bits("bit_or"),
		"APPROX_COUNT_DISTINCT": {build: func(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
			return aggCount(r, x, args, "DISTINCT ") // exact, which is one of the answers
		}},
		"APPROX_QUANTILES": {build: aggQuantiles},
		"GROUPING":         {build: aggGrouping},
	}
}

// aggregate resolves an aggregate function without OVER.
func (r *resolver) aggregate(x *callExpr, c ectx) (*rexpr, error) {
	if c.inAgg {
		return nil, invalid(x.at, "Aggregations of aggregations are not allowed")
	}
	if !c.aggOK {
		return nil, invalid(x.at, "Aggregate function %s not allowed in %s", x.name, c.clause)
	}
	inner := ectx{scope: c.scope, sel: c.sel, clause: "argument of " + x.name, inAgg: true}
	if x.name == "GROUPING" {
		inner = ectx{scope: c.scope, sel: c.sel, clause: "GROUPING"}
	}
	if c.sel != nil {
		c.sel.inAgg++
		defer func() { c.sel.inAgg-- }()
	}
	pre, post, typ, parts, err := r.aggregateText(x, inner)
	if err != nil {
		return nil, err
	}
	wrap := strings.Replace(post, "%", pre, 1)
	if post == "" {
		wrap = pre
	}
	e := derive(wrap, typ, parts...)
	e.agg, e.free, e.konst = true, nil, false
	return e, nil
}

// aggregateText resolves the arguments and modifiers. post, if not empty, is
// the text around the aggregate, with % in its place.
func (r *resolver) aggregateText(x *callExpr, c ectx) (pre, post string, typ *Type, parts []*rexpr, err error) {
	fail := func(err error) (string, string, *Type, []*rexpr, error) { return "", "", nil, nil, err }
	fn := aggregates[x.name]
	args, err := r.exprs(x.args, c)
	if err != nil {
		return fail(err)
	}
	switch {
	case x.star && x.name != "COUNT":
		return fail(invalid(x.at, "Argument * can only be used in COUNT(*), but was used in %s", x.name))
	case x.nulls != "" && !fn.nulls:
		return fail(unsupported(x.at, "%s NULLS in %s", x.nulls, x.name))
	case x.having != "" && !fn.having:
		return fail(unsupported(x.at, "HAVING %s in %s", x.having, x.name))
	case len(x.orderBy) > 0 && !fn.order, x.limit != nil && !fn.limit:
		return fail(invalid(x.at, "ORDER BY and LIMIT in arguments are not supported for aggregate function %s", x.name))
	case x.part != nil:
		return fail(wrongArgs(x, args))
	}
	distinct := ""
	if x.distinct {
		distinct = "DISTINCT "
		for _, a := range args[:min(len(args), 1)] {
			if a.typ.is(Array, Struct) {
				return fail(invalid(x.at, "Aggregate functions with DISTINCT cannot be used with arguments of type %s", a.typ))
			}
		}
	}
	parts = args
	if x.havingX != nil {
		h, err := r.expr(x.havingX, c)
		if err != nil {
			return fail(err)
		}
		args = append(slices.Clone(args), h)
		parts = args
	}
	pre, post, typ, err = fn.build(r, x, args, distinct)
	if err != nil {
		return fail(err)
	}
	if fn.order {
		var order []string
		for _, it := range x.orderBy {
			e, err := r.expr(it.x, c)
			if err != nil {
				return fail(err)
			}
			if !e.typ.orderable() {
				return fail(invalid(it.x.pos(), "ORDER BY does not support expressions of type %s", e.typ))
			}
			parts = append(slices.Clone(parts), e)
			if !e.konst {
				order = append(order, e.sql+orderSuffix(it))
			}
		}
		text := ""
		if len(order) > 0 {
			text = " ORDER BY " + strings.Join(order, ", ")
		}
		pre = strings.Replace(pre, orderMark, text, 1)
		if post, err = r.aggregateLimit(x, post); err != nil {
			return fail(err)
		}
	}
	return pre, post, typ, parts, nil
}

// orderMark stands in a build's text where ORDER BY goes. No text that the
// resolver writes has a zero byte.
const orderMark = "\x00"

// aggregateLimit writes LIMIT n of ARRAY_AGG and STRING_AGG.
func (r *resolver) aggregateLimit(x *callExpr, post string) (string, error) {
	n := ""
	if x.limit != nil {
		var err error
		if n, err = r.limit(x.limit, "LIMIT"); err != nil {
			return "", err
		}
	}
	if x.name == "STRING_AGG" {
		if n != "" {
			return "array_to_string(list_slice(%, 1, " + n + "), " + post + ")", nil
		}
		return "array_to_string(%, " + post + ")", nil
	}
	if n != "" {
		return "list_slice(%, 1, " + n + ")", nil
	}
	return "", nil
}

func aggCount(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
	if x.star {
		if len(args) > 0 || d != "" {
			return "", "", nil, wrongArgs(x, args)
		}
		return "count(*)", "", TInt64, nil
	}
	if len(args) != 1 {
		return "", "", nil, wrongArgs(x, args)
	}
	return "count(" + d + args[0].sql + ")", "", TInt64, nil
}

func aggCountIf(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
	es, err := r.arguments(x, args, TBool)
	if err != nil {
		return "", "", nil, err
	}
	if d == "" {
		return "count(*) FILTER (WHERE " + es[0].sql + ")", "", TInt64, nil
	}
	return "count(" + d + "CASE WHEN " + es[0].sql + " THEN true END)", "", TInt64, nil
}

// aggSum keeps INT64 an INT64, which overflows; DuckDB's is a HUGEINT. FILTER takes
// the place of IF(cond, column, NULL): DuckDB then has one column to carry for
// conditions that exclude each other.
func aggSum(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
	if len(args) != 1 {
		return "", "", nil, wrongArgs(x, args)
	}
	a := args[0]
	if a.typ == nil {
		a = retype(a, TInt64)
	}
	if !a.typ.numeric() {
		return "", "", nil, wrongArgs(x, args)
	}
	text := "sum(" + d + a.sql + ")"
	if d == "" && a.onlyIf != nil {
		text = "sum(" + a.onlyIf.column + ") FILTER (WHERE " + a.onlyIf.cond + ")"
	}
	if d == "" && a.whole != "" {
		text = "sum(" + a.whole + ")" // a HUGEINT, which is exact and needs no product of each value
	}
	return text, "CAST(% AS " + a.typ.DuckDB() + ")", a.typ, nil
}

func aggAvg(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
	if len(args) == 1 && args[0].typ.is(Numeric) {
		return "", "", nil, unsupported(x.at, "function AVG of NUMERIC")
	}
	if len(args) == 1 && args[0].typ.is(Int64) {
		return "avg(" + d + args[0].sql + ")", "", TFloat64, nil
	}
	es, err := r.arguments(x, args, TFloat64)
	if err != nil {
		return "", "", nil, err
	}
	return "avg(" + d + es[0].sql + ")", "", TFloat64, nil
}

func aggExtreme(name string) func(*resolver, *callExpr, []*rexpr, string) (string, string, *Type, error) {
	return func(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
		if len(args) != 1 || !args[0].typ.orderable() {
			return "", "", nil, wrongArgs(x, args)
		}
		a := args[0]
		if a.typ == nil {
			a = retype(a, TInt64)
		}
		return name + "(" + d + a.sql + ")", "", a.typ, nil
	}
}

func aggAnyValue(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
	if d != "" || len(args) != 1 && x.having == "" || len(args) != 2 && x.having != "" {
		return "", "", nil, wrongArgs(x, args)
	}
	a := args[0]
	if a.typ == nil {
		a = retype(a, TInt64)
	}
	if x.having == "" {
		return "any_value(" + a.sql + ")", "", a.typ, nil
	}
	if !args[1].typ.orderable() {
		return "", "", nil, wrongArgs(x, args)
	}
	return "arg_" + strings.ToLower(x.having) + "(" + a.sql + ", " + args[1].sql + ")", "", a.typ, nil
}

// aggArray keeps NULLs unless told otherwise, as GoogleSQL does (it then fails
// when the array is a result's).
func aggArray(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
	if len(args) != 1 || args[0].typ.is(Array) {
		return "", "", nil, wrongArgs(x, args)
	}
	a := args[0]
	if a.typ == nil {
		a = retype(a, TInt64)
	}
	text := "list(" + d + a.sql + orderMark + ")"
	if x.nulls == "IGNORE" {
		text += " FILTER (WHERE " + a.sql + " IS NOT NULL)"
	}
	return text, "", ArrayOf(a.typ), nil
}

// aggString collects the strings that are not NULL; the separator is returned
// as post.
func aggString(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
	params := []*Type{TString, TString}[:min(max(len(args), 1), 2)]
	es, err := r.arguments(x, args, params...)
	if err != nil {
		return "", "", nil, err
	}
	sep := "','"
	if len(es) == 2 {
		if !es[1].konst {
			return "", "", nil, invalid(x.at, "Argument 2 to STRING_AGG must be a literal or query parameter")
		}
		sep = es[1].sql
	}
	return "list(" + d + es[0].sql + orderMark + ") FILTER (WHERE " + es[0].sql + " IS NOT NULL)", sep, TString, nil
}

func aggQuantiles(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
	if len(args) != 2 || d != "" || !args[0].typ.is(Int64, Float64, Numeric, Date, Timestamp, Datetime) || args[1].lit == nil || !args[1].typ.is(Int64) {
		return "", "", nil, wrongArgs(x, args)
	}
	var n int
	if _, err := fmt.Sscanf(args[1].lit.text, "%d", &n); err != nil || n < 1 || n > 10_000 {
		return "", "", nil, invalid(x.at, "The number of quantiles must be between 1 and 10000 here")
	}
	at := make([]string, n+1)
	for i := range at {
		at[i] = fmt.Sprintf("%g", float64(i)/float64(n))
	}
	return "quantile_disc(" + args[0].sql + ", [" + strings.Join(at, ", ") + "])", "", ArrayOf(args[0].typ), nil
}

// aggGrouping is 1 where the expression was rolled up.
func aggGrouping(r *resolver, x *callExpr, args []*rexpr, d string) (string, string, *Type, error) {
	if len(args) != 1 || d != "" {
		return "", "", nil, wrongArgs(x, args)
	}
	return "grouping(" + args[0].sql + ")", "CAST(% AS BIGINT)", TInt64, nil
}
