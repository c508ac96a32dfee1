package googlesql

import "strings"

// analyticFn describes a function that needs OVER.
type analyticFn struct {
	build func(r *resolver, x *callExpr, args []*rexpr) (string, *Type, error)
	order bool // ORDER BY is required
	frame bool // a frame is allowed
	nulls bool // IGNORE NULLS and RESPECT NULLS are allowed
}

var analytics map[string]analyticFn

func init() {
	rank := func(name string, typ *Type, order bool) analyticFn {
		return analyticFn{order: order, build: func(r *resolver, x *callExpr, args []*rexpr) (string, *Type, error) {
			if len(args) != 0 {
				return "", nil, wrongArgs(x, args)
			}
			return name + "()", typ, nil
		}}
	}
	analytics = map[string]analyticFn{
		"ROW_NUMBER": rank("row_number", TInt64, false), "RANK": rank("rank", TInt64, true), "DENSE_RANK": rank("dense_rank", TInt64, true),
		"PERCENT_RANK": rank("percent_rank", TFloat64, true), "CUME_DIST": rank("cume_dist", TFloat64, true),
		"NTILE": {order: true, build: func(r *resolver, x *callExpr, args []*rexpr) (string, *Type, error) {
			es, err := r.arguments(x, args, TInt64)
			if err != nil {
				return "", nil, err
			}
			return "ntile(" + es[0].sql + ")", TInt64, nil
		}},
		"LAG": {order: true, build: anaOffset("lag")}, "LEAD": {order: true, build: anaOffset("lead")},
		"FIRST_VALUE":     {order: true, frame: true, nulls: true, build: anaValue("first_value", 1)},
		"LAST_VALUE":      {order: true, frame: true, nulls: true, build: anaValue("last_value", 1)},
		"NTH_VALUE":       {order: true, frame: true, nulls: true, build: anaValue("nth_value", 2)},
		"PERCENTILE_CONT": {nulls: true, build: anaPercentile("quantile_cont")},
		"PERCENTILE_DISC": {nulls: true, build: anaPercentile("quantile_disc")},
	}
}

func anaOffset(name string) func(*resolver, *callExpr, []*rexpr) (string, *Type, error) {
	return func(r *resolver, x *callExpr, args []*rexpr) (string, *Type, error) {
		if len(args) < 1 || len(args) > 3 {
			return "", nil, wrongArgs(x, args)
		}
		v := args[0]
		if v.typ == nil {
			v = retype(v, TInt64)
		}
		parts := []*rexpr{v}
		if len(args) > 1 {
			n, ok := r.coerce(args[1], TInt64)
			if !ok || !n.konst {
				return "", nil, wrongArgs(x, args)
			}
			parts = append(parts, n)
		}
		if len(args) > 2 {
			d, ok := r.coerce(args[2], v.typ)
			if !ok {
				return "", nil, wrongArgs(x, args)
			}
			parts = append(parts, d)
		}
		return name + "(" + join(parts) + ")", v.typ, nil
	}
}

func anaValue(name string, n int) func(*resolver, *callExpr, []*rexpr) (string, *Type, error) {
	return func(r *resolver, x *callExpr, args []*rexpr) (string, *Type, error) {
		if len(args) != n {
			return "", nil, wrongArgs(x, args)
		}
		v := args[0]
		if v.typ == nil {
			v = retype(v, TInt64)
		}
		parts := []*rexpr{v}
		if n == 2 {
			i, ok := r.coerce(args[1], TInt64)
			if !ok || !i.konst {
				return "", nil, wrongArgs(x, args)
			}
			parts = append(parts, i)
		}
		nulls := ""
		if x.nulls == "IGNORE" {
			nulls = " IGNORE NULLS"
		}
		return name + "(" + join(parts) + nulls + ")", v.typ, nil
	}
}

func anaPercentile(name string) func(*resolver, *callExpr, []*rexpr) (string, *Type, error) {
	return func(r *resolver, x *callExpr, args []*rexpr) (string, *Type, error) {
		if len(args) != 2 || !args[1].konst {
			return "", nil, wrongArgs(x, args)
		}
		if x.nulls == "RESPECT" || args[0].typ.is(Numeric) {
			return "", nil, unsupported(x.at, "%s of NUMERIC or with RESPECT NULLS", x.name)
		}
		v, typ := args[0], args[0].typ
		if x.name == "PERCENTILE_CONT" {
			typ = TFloat64
		}
		v, ok := r.coerce(v, typ)
		p, ok2 := r.coerce(args[1], TFloat64)
		if !ok || !ok2 || !typ.orderable() {
			return "", nil, wrongArgs(x, args)
		}
		return name + "(" + v.sql + ", " + p.sql + ")", typ, nil
	}
}

// analytic resolves a function with OVER.
func (r *resolver) analytic(x *callExpr, c ectx) (*rexpr, error) {
	if !c.winOK || c.inAgg {
		return nil, invalid(x.at, "Analytic function not allowed in %s", c.clause)
	}
	inner := c
	inner.winOK, inner.clause = false, "argument of "+x.name
	fn, isAnalytic := analytics[x.name]
	var pre, post string
	var typ *Type
	var parts []*rexpr
	var err error
	switch {
	case isAnalytic:
		if x.star || x.distinct || x.having != "" || len(x.orderBy) > 0 || x.limit != nil || x.nulls != "" && !fn.nulls || x.part != nil {
			return nil, invalid(x.at, "Analytic function %s does not take these modifiers", x.name)
		}
		if parts, err = r.exprs(x.args, inner); err != nil {
			return nil, err
		}
		if pre, typ, err = fn.build(r, x, parts); err != nil {
			return nil, err
		}
	case x.name == "GROUPING":
		return nil, invalid(x.at, "GROUPING does not take OVER")
	default:
		if _, ok := aggregates[x.name]; !ok {
			return nil, unsupported(x.at, "analytic function %s", x.name)
		}
		if pre, post, typ, parts, err = r.aggregateText(x, inner); err != nil {
			return nil, err
		}
	}
	w, err := r.windowOf(x.over, c.sel, 0)
	if err != nil {
		return nil, err
	}
	if isAnalytic {
		if fn.order && len(w.orderBy) == 0 {
			return nil, invalid(x.at, "Window ORDER BY is required for analytic function %s", x.name)
		}
		if !fn.frame && w.frame != nil {
			return nil, invalid(x.at, "Window framing clause is not allowed for analytic function %s", x.name)
		}
	}
	over, wparts, err := r.windowText(w, inner)
	if err != nil {
		return nil, err
	}
	text := pre + " OVER (" + over + ")"
	if post != "" {
		text = strings.Replace(post, "%", text, 1)
	}
	e := derive(text, typ, append(append([]*rexpr{}, parts...), wparts...)...)
	e.win, e.konst = true, false
	return e, nil
}

// windowOf follows the names of the WINDOW clause.
func (r *resolver) windowOf(w *windowSpec, sel *selectState, depth int) (*windowSpec, error) {
	if w.base == "" {
		return w, nil
	}
	var base *windowSpec
	if sel != nil {
		base = sel.windows[strings.ToUpper(w.base)]
	}
	if base == nil || depth > 16 {
		return nil, invalid(w.at, "Unrecognized window alias %s", w.base)
	}
	base, err := r.windowOf(base, sel, depth+1)
	if err != nil {
		return nil, err
	}
	out := *base
	if w.partitionBy != nil {
		return nil, invalid(w.at, "PARTITION BY is not allowed in a window that extends another")
	}
	if w.orderBy != nil {
		out.orderBy = w.orderBy
	}
	if w.frame != nil {
		out.frame = w.frame
	}
	return &out, nil
}

func (r *resolver) windowText(w *windowSpec, c ectx) (string, []*rexpr, error) {
	var b strings.Builder
	var parts []*rexpr
	for i, x := range w.partitionBy {
		e, err := r.expr(x, c)
		if err != nil {
			return "", nil, err
		}
		if e.typ.is(Array, Struct, Float64) {
			return "", nil, invalid(x.pos(), "Partitioning by expressions of type %s is not allowed", e.typ)
		}
		b.WriteString(map[bool]string{true: "PARTITION BY ", false: ", "}[i == 0] + e.sql)
		parts = append(parts, e)
	}
	for i, it := range w.orderBy {
		e, err := r.expr(it.x, c)
		if err != nil {
			return "", nil, err
		}
		if !e.typ.orderable() {
			return "", nil, invalid(it.x.pos(), "Ordering by expressions of type %s is not allowed", e.typ)
		}
		b.WriteString(map[bool]string{true: " ORDER BY ", false: ", "}[i == 0] + e.sql + orderSuffix(it))
		parts = append(parts, e)
	}
	if f := w.frame; f != nil {
		start, err := r.bound(f.start, f.unit)
		if err != nil {
			return "", nil, err
		}
		end, err := r.bound(f.end, f.unit)
		if err != nil {
			return "", nil, err
		}
		b.WriteString(" " + f.unit + " BETWEEN " + start + " AND " + end)
	}
	return strings.TrimSpace(b.String()), parts, nil
}

func (r *resolver) bound(f frameBound, unit string) (string, error) {
	if f.x == nil {
		return f.kind, nil
	}
	e, err := r.expr(f.x, ectx{scope: &scope{}, clause: "window frame"})
	if err != nil {
		return "", err
	}
	if !e.konst || !e.typ.numeric() || unit == "ROWS" && !e.typ.is(Int64) {
		return "", invalid(f.x.pos(), "Window framing expression must be a literal or parameter of numeric type")
	}
	return e.sql + " " + f.kind, nil
}
