package googlesql

import "slices"

// rank orders the types that coerce into one another: INT64 → NUMERIC →
// FLOAT64, and DATE → DATETIME.
var numericRank = map[Kind]int{Int64: 1, Numeric: 2, Float64: 3}

// supertype is the common type of two types; nil (NULL) coerces to any.
func supertype(a, b *Type) (*Type, bool) {
	switch {
	case a == nil:
		return b, true
	case b == nil, a.Equal(b):
		return a, true
	case a.numeric() && b.numeric():
		if numericRank[a.Kind] > numericRank[b.Kind] {
			return a, true
		}
		return b, true
	case a.is(Date) && b.is(Datetime):
		return b, true
	case a.is(Datetime) && b.is(Date):
		return a, true
	case a.Kind == Struct && b.Kind == Struct && len(a.Fields) == len(b.Fields):
		out := &Type{Kind: Struct}
		for i := range a.Fields {
			t, ok := supertype(a.Fields[i].Type, b.Fields[i].Type)
			if !ok {
				return nil, false
			}
			out.Fields = append(out.Fields, Field{a.Fields[i].Name, t})
		}
		return out, true
	}
	return nil, false
}

// common is the type to which all expressions can be coerced. A literal or
// parameter adapts to the others: an integer to NUMERIC or FLOAT64, a string
// to the types of time.
func (r *resolver) common(es ...*rexpr) (*Type, bool) {
	var typ *Type
	soft := func(e *rexpr) bool { return (e.lit != nil || e.isParam) && e.typ.is(String, Int64, Float64) }
	for _, e := range es {
		if soft(e) {
			continue
		}
		var ok bool
		if typ, ok = supertype(typ, e.typ); !ok {
			return nil, false
		}
	}
	for _, e := range es {
		if !soft(e) {
			continue
		}
		if typ != nil {
			if _, ok := r.coerce(e, typ); ok {
				continue
			}
		}
		var ok bool
		if typ, ok = supertype(typ, e.typ); !ok {
			return nil, false
		}
	}
	return typ, true
}

// coerce converts e to t as GoogleSQL does without a CAST.
func (r *resolver) coerce(e *rexpr, t *Type) (*rexpr, bool) {
	switch {
	case e.typ == nil:
		return retype(e, t), true
	case e.typ.Equal(t):
		return e, true
	case e.typ.numeric() && t.numeric() && numericRank[e.typ.Kind] < numericRank[t.Kind],
		e.typ.is(Date) && t.is(Datetime):
		return derive("CAST("+e.sql+" AS "+t.DuckDB()+")", t, e), true
	case e.lit != nil && e.typ.is(Float64) && t.is(Numeric):
		s, err := scalarLiteral(t, e.lit.text)
		return derive(s, t, e), err == nil
	case (e.lit != nil || e.isParam) && e.typ.is(String) && t.is(Date, Datetime, Timestamp):
		text := e.param.Text
		if e.lit != nil {
			text = e.lit.text
		} else if e.param.Null {
			return retype(e, t), true
		}
		s, err := scalarLiteral(t, text)
		return derive(s, t, e), err == nil
	case e.typ.Kind == Struct && t.Kind == Struct && len(e.typ.Fields) == len(t.Fields):
		parts := make([]*rexpr, len(t.Fields))
		for i := range t.Fields {
			var ok bool
			if parts[i], ok = r.coerce(r.field(e, i), t.Fields[i].Type); !ok {
				return nil, false
			}
		}
		sql := structSQL(parts)
		if e.fields == nil {
			sql = "CASE WHEN " + e.sql + " IS NOT NULL THEN " + sql + " END"
		}
		out := derive(sql, t, parts...)
		out.fields = parts
		return out, true
	case e.typ.Kind == Array && t.Kind == Array && e.konst && e.isParam && len(e.param.Elems) == 0:
		return derive("CAST([] AS "+t.DuckDB()+")", t, e), true
	}
	return nil, false
}

// castable lists the explicit casts beyond coercions.
var castable = map[Kind][]Kind{
	Int64:     {Bool, Float64, Numeric, String},
	Float64:   {Int64, Numeric, String},
	Numeric:   {Int64, Float64, String},
	Bool:      {Int64, String},
	String:    {Int64, Float64, Numeric, Bool, Bytes, Date, Datetime, Timestamp},
	Bytes:     {String},
	Date:      {String, Datetime, Timestamp},
	Datetime:  {String, Date, Timestamp},
	Timestamp: {String, Date, Datetime},
}

// cast resolves CAST and SAFE_CAST.
func (r *resolver) cast(e *rexpr, to *Type, safe bool, at pos) (*rexpr, error) {
	if out, ok := r.coerce(e, to); ok {
		out = hard(out)
		if e.typ.is(Int64) && to.is(Numeric) {
			out.whole = e.sql
		}
		return out, nil
	}
	if e.typ.is(Array) && to.is(Array) {
		return nil, unsupported(at, "CAST of an ARRAY")
	}
	if !slices.Contains(castable[e.typ.Kind], to.Kind) {
		return nil, invalid(at, "Invalid cast from %s to %s", e.typ, to)
	}
	return derive(castText(e.sql, e.typ, to, safe), to, e), nil
}

// hard returns e as an expression that no longer adapts like a literal.
func hard(e *rexpr) *rexpr {
	cp := *e
	cp.lit, cp.isParam = nil, false
	return &cp
}

// castText casts text between types, with GoogleSQL's rounding, formats and
// errors where DuckDB's differ.
func castText(x string, from, to *Type, safe bool) string {
	cast := "CAST"
	if safe {
		cast = "TRY_CAST"
	}
	plain := cast + "(" + x + " AS " + to.DuckDB() + ")"
	fail := func(kind string) string {
		if safe {
			return "NULL"
		}
		return "error('Bad " + kind + " value: ' || " + x + ")"
	}
	when := func(cond, then, otherwise string) string {
		return "CASE WHEN " + x + " IS NULL THEN NULL WHEN " + cond + " THEN " + then + " ELSE " + otherwise + " END"
	}
	switch {
	case from.Kind == Float64 && to.Kind == Int64:
		return cast + "(round(" + x + ") AS BIGINT)" // half away from zero
	case from.Kind == Numeric && to.Kind == Int64:
		return cast + "(round(" + x + ", 0) AS BIGINT)"
	case from.Kind == Int64 && to.Kind == Bool:
		return "(" + x + " <> 0)"
	case to.Kind == String:
		return stringOf(x, from, safe)
	case from.Kind == String:
		switch to.Kind {
		case Int64:
			// DuckDB rounds '1.5', which is no INT64.
			return when("regexp_full_match("+x+`, '[ \t\n\v\f\r]*[+-]?([0-9]+|0[xX][0-9a-fA-F]+)[ \t\n\v\f\r]*')`,
				cast+"(trim("+x+", "+trimSet+") AS BIGINT)", fail("int64"))
		case Float64:
			return when("regexp_full_match("+x+`, '(?i)[ \t\n\v\f\r]*[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity|nan)[ \t\n\v\f\r]*')`,
				cast+"(trim("+x+", "+trimSet+") AS DOUBLE)", fail("double"))
		case Bool:
			return when("lower("+x+") = 'true'", "true", "CASE WHEN lower("+x+") = 'false' THEN false ELSE "+fail("bool")+" END")
		case Bytes:
			return "encode(" + x + ")"
		case Timestamp:
			// With a zone: to UTC. Without one: it is UTC.
			return when(`regexp_full_match(`+x+`, '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ Tt][0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]{0,6})?)?)? ?(Z|z|UTC|[+-][0-9]{1,2}(:[0-9]{2})?)?')`,
				"make_timestamp(epoch_us("+cast+"("+x+" AS TIMESTAMPTZ)))", fail("timestamp"))
		case Date:
			return when(`regexp_full_match(`+x+`, '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}')`, plain, fail("date"))
		case Datetime:
			return when(`regexp_full_match(`+x+`, '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ Tt][0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]{0,6})?)?)?')`, plain, fail("datetime"))
		}
	}
	return plain
}

// trimSet is what GoogleSQL trims by default and allows around numbers, as a
// DuckDB string.
const trimSet = `' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13)`

// stringOf is CAST(x AS STRING) in GoogleSQL's format.
func stringOf(x string, from *Type, safe bool) string {
	switch from.Kind {
	case Bytes:
		if safe {
			return "TRY(decode(" + x + "))"
		}
		return "decode(" + x + ")"
	case Numeric:
		return "rtrim(rtrim(CAST(" + x + " AS VARCHAR), '0'), '.')"
	case Float64:
		// 1e+20 and 1.0 become 1e+20 and 1.
		return "regexp_replace(CAST(" + x + " AS VARCHAR), '\\.0$', '')"
	case Timestamp:
		return "(" + fractionFormat(x, "%Y-%m-%d %H:%M:%S") + " || '+00')"
	case Datetime:
		return fractionFormat(x, "%Y-%m-%d %H:%M:%S")
	case Date:
		return "strftime(" + x + ", '%Y-%m-%d')"
	}
	return "CAST(" + x + " AS VARCHAR)"
}

// fractionFormat formats a timestamp with no, three or six digits of a second.
func fractionFormat(x, layout string) string {
	us := "(epoch_us(" + x + ") % 1000000)"
	return "(CASE WHEN " + us + " = 0 THEN strftime(" + x + ", '" + layout + "') WHEN " + us + " % 1000 = 0 THEN strftime(" + x + ", '" +
		layout + ".%g') ELSE strftime(" + x + ", '" + layout + ".%f') END)"
}
