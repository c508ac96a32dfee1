package googlesql

import "fmt"

func array1(x *callExpr, args []*rexpr) (*rexpr, error) {
	if len(args) != 1 || !args[0].typ.is(Array) {
		return nil, wrongArgs(x, args)
	}
	return args[0], nil
}

func fnArrayLength(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	a, err := array1(x, args)
	if err != nil {
		return nil, err
	}
	return derive("len("+a.sql+")", TInt64, a), nil
}

func fnArrayReverse(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	a, err := array1(x, args)
	if err != nil {
		return nil, err
	}
	return derive("list_reverse("+a.sql+")", a.typ, a), nil
}

// fnArrayConcat is NULL if any array is.
func fnArrayConcat(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	for _, a := range args {
		if !a.typ.is(Array) {
			return nil, wrongArgs(x, args)
		}
	}
	return r.concat(args, x.at, "function ARRAY_CONCAT")
}

func fnArrayToString(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	params := []*Type{ArrayOf(TString), TString, TString}[:min(max(len(args), 2), 3)]
	es, err := r.arguments(x, args, params...)
	if err != nil {
		return nil, err
	}
	list := es[0].sql
	if len(es) == 3 {
		list = "list_transform(" + list + ", lambda e: coalesce(e, " + es[2].sql + "))"
	} else {
		list = "list_filter(" + list + ", lambda e: e IS NOT NULL)"
	}
	return derive("CASE WHEN "+es[0].sql+" IS NOT NULL THEN coalesce(array_to_string("+list+", "+es[1].sql+"), '') END", TString, es...), nil
}

// fnGenerateArray includes its end, as GoogleSQL's does.
func fnGenerateArray(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if len(args) == 2 {
		args = append(args, &rexpr{sql: intSQL(1), typ: TInt64, konst: true})
	}
	for _, a := range args {
		if a.typ.is(Float64, Numeric) {
			return nil, unsupported(x.at, "function GENERATE_ARRAY of %s", a.typ)
		}
	}
	es, err := r.arguments(x, args, TInt64, TInt64, TInt64)
	if err != nil {
		return nil, err
	}
	return derive(fmt.Sprintf("CASE WHEN %[3]s = 0 THEN error('Sequence step cannot be 0, step was ' || CAST(%[3]s AS VARCHAR)) ELSE generate_series(%[1]s, %[2]s, %[3]s) END",
		es[0].sql, es[1].sql, es[2].sql), ArrayOf(TInt64), es...), nil
}

// fnGenerateTimeArray is GENERATE_TIMESTAMP_ARRAY and GENERATE_DATE_ARRAY.
func fnGenerateTimeArray(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	typ := TTimestamp
	if x.name == "GENERATE_DATE_ARRAY" {
		typ = TDate
		if len(args) == 2 {
			args = append(args, &rexpr{sql: "to_days(1)", typ: TInterval, konst: true})
		}
	}
	es, err := r.arguments(x, args, typ, typ, TInterval)
	if err != nil {
		return nil, err
	}
	sql := fmt.Sprintf("generate_series(CAST(%s AS TIMESTAMP), CAST(%s AS TIMESTAMP), %s)", es[0].sql, es[1].sql, es[2].sql)
	if typ == TDate {
		sql = "CAST(" + sql + " AS DATE[])"
	}
	return derive(sql, ArrayOf(typ), es...), nil
}
