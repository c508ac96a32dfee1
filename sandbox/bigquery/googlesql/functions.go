package googlesql

import (
	"fmt"
	"strings"
)

// function resolves a call whose arguments are resolved already.
type function func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error)

// functions is the allow-list of scalar functions. Aggregates and analytic
// functions are in aggregates and analytics.
var functions map[string]function

func init() {
	functions = map[string]function{
		"IF": fnIf, "IFNULL": fnCoalesce, "COALESCE": fnCoalesce, "NULLIF": fnNullIf,
		"CONCAT": func(r *resolver, x *callExpr, a []*rexpr) (*rexpr, error) {
			return r.concat(a, x.at, "function CONCAT")
		},

		"ABS": numeric1("abs"), "SIGN": fnSign, "CEIL": rounding("ceil"), "CEILING": rounding("ceil"), "FLOOR": rounding("floor"),
		"ROUND": fnRound, "TRUNC": rounding("trunc"), "MOD": fnMod, "DIV": fnMod, "SAFE_DIVIDE": fnSafeDivide, "IEEE_DIVIDE": fnIEEEDivide,
		"GREATEST": extreme("greatest"), "LEAST": extreme("least"),
		"SQRT": float("sqrt", "< 0"), "LN": float("ln", "<= 0"), "LOG10": float("log10", "<= 0"), "EXP": float("exp", ""),
		"POW": signature(TFloat64, "pow(%s, %s)", TFloat64, TFloat64), "POWER": signature(TFloat64, "pow(%s, %s)", TFloat64, TFloat64),
		"IS_NAN": signature(TBool, "isnan(%s)", TFloat64), "IS_INF": signature(TBool, "isinf(%s)", TFloat64),
		"RAND": signature(TFloat64, "random()"), "GENERATE_UUID": signature(TString, "CAST(uuid() AS VARCHAR)"),
		"ERROR": signature(TInt64, "error(%s)", TString),

		"LOWER": signature(TString, "lower(%s)", TString), "UPPER": signature(TString, "upper(%s)", TString),
		"LENGTH": fnLength, "CHAR_LENGTH": signature(TInt64, "length(%s)", TString), "CHARACTER_LENGTH": signature(TInt64, "length(%s)", TString),
		"BYTE_LENGTH": fnByteLength, "OCTET_LENGTH": fnByteLength,
		"TRIM": trim("trim"), "LTRIM": trim("ltrim"), "RTRIM": trim("rtrim"),
		"STARTS_WITH": signature(TBool, "starts_with(%s, %s)", TString, TString), "ENDS_WITH": signature(TBool, "ends_with(%s, %s)", TString, TString),
		"STRPOS": signature(TInt64, "strpos(%s, %s)", TString, TString), "CONTAINS_SUBSTR": nil,
		"REPLACE": fnReplace, "NORMALIZE": signature(TString, "nfc_normalize(%s)", TString), "REVERSE": signature(TString, "reverse(%s)", TString),
		"REPEAT": signature(TString, "repeat(%s, %s)", TString, TInt64), "SUBSTR": fnSubstr, "SUBSTRING": fnSubstr,
		"LEFT": fnLeft, "RIGHT": fnRight, "LPAD": pad("lpad"), "RPAD": pad("rpad"), "SPLIT": fnSplit,
		"REGEXP_CONTAINS": signature(TBool, "regexp_matches(%s, %s)", TString, TString),
		"REGEXP_REPLACE":  signature(TString, "regexp_replace(%s, %s, %s, 'g')", TString, TString, TString),
		"REGEXP_EXTRACT":  fnRegexpExtract, "FORMAT": fnFormat,
		"TO_HEX": signature(TString, "lower(hex(%s))", TBytes), "FROM_HEX": signature(TBytes, "unhex(%s)", TString),
		"TO_BASE64": signature(TString, "to_base64(%s)", TBytes), "FROM_BASE64": signature(TBytes, "from_base64(%s)", TString),
		"MD5": hash("md5"), "SHA1": hash("sha1"), "SHA256": hash("sha256"),
		"SAFE_CONVERT_BYTES_TO_STRING": signature(TString, "TRY(decode(%s))", TBytes),
		"TO_JSON_STRING":               fnToJSONString,

		"ARRAY_LENGTH": fnArrayLength, "ARRAY_CONCAT": fnArrayConcat, "ARRAY_REVERSE": fnArrayReverse, "ARRAY_TO_STRING": fnArrayToString,
		"GENERATE_ARRAY": fnGenerateArray, "GENERATE_TIMESTAMP_ARRAY": fnGenerateTimeArray, "GENERATE_DATE_ARRAY": fnGenerateTimeArray,
	}
	delete(functions, "CONTAINS_SUBSTR")
	for name, f := range timeFunctions() {
		functions[name] = f
	}
}

// call resolves a function call of any kind.
func (r *resolver) call(x *callExpr, c ectx) (*rexpr, error) {
	if x.over != nil {
		return r.analytic(x, c)
	}
	if _, ok := aggregates[x.name]; ok {
		return r.aggregate(x, c)
	}
	if _, ok := analytics[x.name]; ok {
		return nil, invalid(x.at, "Analytic function %s cannot be called without an OVER clause", x.name)
	}
	f, ok := functions[x.name]
	if !ok {
		return nil, unsupported(x.at, "function %s", x.name)
	}
	if x.star || x.distinct || x.nulls != "" || x.having != "" || len(x.orderBy) > 0 || x.limit != nil {
		return nil, invalid(x.at, "Function %s does not take the modifiers of an aggregate function", x.name)
	}
	args, err := r.exprs(x.args, c)
	if err != nil {
		return nil, err
	}
	e, err := f(r, x, args)
	if err != nil {
		return nil, err
	}
	if x.name == "RAND" || x.name == "GENERATE_UUID" {
		e.konst = false
	}
	return e, nil
}

func wrongArgs(x *callExpr, args []*rexpr) error {
	return noSignature(x.at, "function "+x.name, args...)
}

// signature is a function of fixed argument types whose text is a format.
func signature(result *Type, format string, params ...*Type) function {
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		es, err := r.arguments(x, args, params...)
		if err != nil {
			return nil, err
		}
		texts := make([]any, len(es))
		for i, e := range es {
			texts[i] = e.sql
		}
		return derive(fmt.Sprintf(format, texts...), result, es...), nil
	}
}

// arguments coerces args to exactly these types.
func (r *resolver) arguments(x *callExpr, args []*rexpr, params ...*Type) ([]*rexpr, error) {
	if len(args) != len(params) || x.part != nil {
		return nil, wrongArgs(x, args)
	}
	out := make([]*rexpr, len(args))
	for i, a := range args {
		var ok bool
		if out[i], ok = r.coerce(a, params[i]); !ok {
			return nil, wrongArgs(x, args)
		}
	}
	return out, nil
}

func fnIf(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if len(args) != 3 {
		return nil, wrongArgs(x, args)
	}
	cond, ok := r.coerce(args[0], TBool)
	if !ok {
		return nil, wrongArgs(x, args)
	}
	e, err := r.choose([]*rexpr{cond}, args[1:], x.at, "function IF")
	if err != nil {
		return nil, err
	}
	null, isNull := x.args[2].(*litExpr)
	if _, isColumn := x.args[1].(*pathExpr); isColumn && isNull && null.kind == 0 && args[1].typ != nil {
		e.onlyIf = &onlyIf{cond.sql, args[1].sql}
	}
	return e, nil
}

func fnCoalesce(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if len(args) == 0 || x.name == "IFNULL" && len(args) != 2 {
		return nil, wrongArgs(x, args)
	}
	es, typ, err := r.unify(args, x.at, "function "+x.name)
	if err != nil {
		return nil, err
	}
	return derive("COALESCE("+join(es)+")", typ, es...), nil
}

func fnNullIf(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if len(args) != 2 {
		return nil, wrongArgs(x, args)
	}
	es, typ, err := r.unify(args, x.at, "function NULLIF")
	if err != nil {
		return nil, err
	}
	if !typ.orderable() {
		return nil, wrongArgs(x, args)
	}
	return derive("NULLIF("+join(es)+")", typ, es...), nil
}

func join(es []*rexpr) string {
	texts := make([]string, len(es))
	for i, e := range es {
		texts[i] = e.sql
	}
	return strings.Join(texts, ", ")
}

// numeric1 is a function of one number that keeps its type.
func numeric1(name string) function {
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		if len(args) != 1 {
			return nil, wrongArgs(x, args)
		}
		a := args[0]
		if a.typ == nil {
			a = retype(a, TInt64)
		}
		if !a.typ.numeric() {
			return nil, wrongArgs(x, args)
		}
		return derive(name+"("+a.sql+")", a.typ, a), nil
	}
}

func fnSign(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	e, err := numeric1("sign")(r, x, args)
	if err != nil {
		return nil, err
	}
	e.sql = "CAST(" + e.sql + " AS " + e.typ.DuckDB() + ")" // DuckDB's is a TINYINT
	return e, nil
}

// rounding is CEIL, FLOOR and TRUNC: INT64 becomes FLOAT64.
func rounding(name string) function {
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		if len(args) != 1 {
			if x.name == "TRUNC" && len(args) == 2 {
				return nil, unsupported(x.at, "function TRUNC with digits")
			}
			return nil, wrongArgs(x, args)
		}
		a := args[0]
		if a.typ.is(Numeric) {
			return derive("CAST("+name+"("+a.sql+") AS DECIMAL(38,9))", TNumeric, a), nil
		}
		f, ok := r.coerce(a, TFloat64)
		if !ok {
			return nil, wrongArgs(x, args)
		}
		return derive(name+"("+f.sql+")", TFloat64, f), nil
	}
}

// fnRound rounds half away from zero, as DuckDB does.
func fnRound(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if len(args) < 1 || len(args) > 2 {
		return nil, wrongArgs(x, args)
	}
	a, typ := args[0], TFloat64
	if a.typ.is(Numeric) {
		typ = TNumeric
	}
	v, ok := r.coerce(a, typ)
	if !ok {
		return nil, wrongArgs(x, args)
	}
	digits := "0"
	parts := []*rexpr{v}
	if len(args) == 2 {
		n, ok := r.coerce(args[1], TInt64)
		if !ok {
			return nil, wrongArgs(x, args)
		}
		if typ == TNumeric && !n.konst {
			return nil, unsupported(x.at, "function ROUND of NUMERIC to digits that are no constant")
		}
		digits = "CAST(" + n.sql + " AS INTEGER)"
		parts = append(parts, n)
	}
	return derive("CAST(round("+v.sql+", "+digits+") AS "+typ.DuckDB()+")", typ, parts...), nil
}

// fnMod is MOD and DIV: an error for zero, where DuckDB returns NULL.
func fnMod(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if len(args) != 2 {
		return nil, wrongArgs(x, args)
	}
	es, typ, err := r.unify(args, x.at, "function "+x.name)
	if err != nil {
		return nil, err
	}
	op := " % "
	if x.name == "DIV" {
		op = " // "
	}
	if typ.is(Numeric) {
		return nil, unsupported(x.at, "function %s of NUMERIC", x.name)
	}
	if !typ.is(Int64) {
		return nil, wrongArgs(x, args)
	}
	a, b := es[0], es[1]
	return derive("CASE WHEN "+b.sql+" = 0 THEN "+divisionError(a, b, " "+x.name+" ")+" ELSE "+a.sql+op+b.sql+" END", typ, a, b), nil
}

func fnSafeDivide(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	for _, a := range args {
		if a.typ.is(Numeric) {
			return nil, unsupported(x.at, "division of NUMERIC")
		}
	}
	es, err := r.arguments(x, args, TFloat64, TFloat64)
	if err != nil {
		return nil, err
	}
	return derive("CASE WHEN "+es[1].sql+" = 0 THEN NULL ELSE "+es[0].sql+" / "+es[1].sql+" END", TFloat64, es...), nil
}

func fnIEEEDivide(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	es, err := r.arguments(x, args, TFloat64, TFloat64)
	if err != nil {
		return nil, err
	}
	return derive("("+es[0].sql+" / "+es[1].sql+")", TFloat64, es...), nil
}

// extreme is GREATEST and LEAST: NULL if any argument is, where DuckDB
// ignores NULLs.
func extreme(name string) function {
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		if len(args) == 0 {
			return nil, wrongArgs(x, args)
		}
		es, typ, err := r.unify(args, x.at, "function "+x.name)
		if err != nil {
			return nil, err
		}
		if !typ.orderable() {
			return nil, wrongArgs(x, args)
		}
		nulls := make([]string, len(es))
		for i, e := range es {
			nulls[i] = e.sql + " IS NULL"
		}
		return derive("CASE WHEN "+strings.Join(nulls, " OR ")+" THEN NULL ELSE "+name+"("+join(es)+") END", typ, es...), nil
	}
}

// float is a function of one FLOAT64 that fails where bad holds.
func float(name, bad string) function {
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		es, err := r.arguments(x, args, TFloat64)
		if err != nil {
			return nil, err
		}
		sql := name + "(" + es[0].sql + ")"
		if bad != "" {
			sql = fmt.Sprintf("CASE WHEN %s %s THEN error('Argument to %s is out of range: ' || CAST(%s AS VARCHAR)) ELSE %s END", es[0].sql, bad, x.name, es[0].sql, sql)
		}
		return derive(sql, TFloat64, es...), nil
	}
}
