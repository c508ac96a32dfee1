package googlesql

import (
	"fmt"
	"strings"
	"time"
)

// microseconds of the parts that have a fixed length.
var partMicros = map[string]int64{
	"MICROSECOND": 1, "MILLISECOND": 1e3, "SECOND": 1e6, "MINUTE": 60e6, "HOUR": 3600e6, "DAY": 86400e6, "WEEK": 7 * 86400e6,
}

// months of the parts that have none.
var partMonths = map[string]int64{"MONTH": 1, "QUARTER": 3, "YEAR": 12}

func timeFunctions() map[string]function {
	m := map[string]function{
		"TIMESTAMP": fnTimestamp, "DATE": fnDate, "DATETIME": fnDatetime, "STRING": fnString,
		"CURRENT_TIMESTAMP": fnNow, "CURRENT_DATE": fnNow, "CURRENT_DATETIME": fnNow,
		"TIMESTAMP_SECONDS": fromUnix(1e6), "TIMESTAMP_MILLIS": fromUnix(1e3), "TIMESTAMP_MICROS": fromUnix(1),
		"UNIX_SECONDS": toUnix(1e6), "UNIX_MILLIS": toUnix(1e3), "UNIX_MICROS": toUnix(1),
		"UNIX_DATE":      signature(TInt64, "CAST(date_diff('day', DATE '1970-01-01', %s) AS BIGINT)", TDate),
		"DATE_FROM_UNIX": nil,
		"PARSE_DATE":     fnParse(TDate), "PARSE_TIMESTAMP": fnParse(TTimestamp), "PARSE_DATETIME": fnParse(TDatetime),
		"LAST_DAY": fnLastDay,
	}
	delete(m, "DATE_FROM_UNIX")
	m["DATE_FROM_UNIX_DATE"] = signature(TDate, "CAST(DATE '1970-01-01' + to_days(CAST(%s AS INTEGER)) AS DATE)", TInt64)
	for _, t := range []*Type{TTimestamp, TDatetime, TDate} {
		name := t.String()
		m[name+"_ADD"], m[name+"_SUB"] = addInterval(t, "+"), addInterval(t, "-")
		m[name+"_DIFF"], m[name+"_TRUNC"] = fnDiff(t), fnTrunc(t)
		m["FORMAT_"+name] = fnFormatTime(t)
	}
	return m
}

// interval resolves INTERVAL n PART.
func (r *resolver) interval(x *intervalExpr, c ectx) (*rexpr, error) {
	e, err := r.expr(x.x, c)
	if err != nil {
		return nil, err
	}
	n, ok := r.coerce(e, TInt64)
	if !ok {
		return nil, unsupported(x.at, "INTERVAL of type %s", e.typ)
	}
	return derive(intervalSQL(n.sql, x.part.name), TInterval, n), requireIntervalPart(x.part)
}

func requireIntervalPart(p datePart) error {
	if partMicros[p.name] == 0 && partMonths[p.name] == 0 || p.weekday != "" {
		return invalid(p.at, "Unsupported INTERVAL date part: %s", p.name)
	}
	return nil
}

// intervalSQL is n times a part. Days stay days, so that adding them to a DATE
// keeps a DATE's meaning.
func intervalSQL(n, part string) string {
	switch {
	case part == "DAY" || part == "WEEK":
		days := n
		if part == "WEEK" {
			days = "(" + n + " * 7)"
		}
		return "to_days(CAST(" + days + " AS INTEGER))"
	case partMonths[part] > 0:
		return fmt.Sprintf("to_months(CAST((%s * %d) AS INTEGER))", n, partMonths[part])
	}
	return fmt.Sprintf("to_microseconds(%s * CAST(%d AS BIGINT))", n, partMicros[part])
}

// timeArithmetic resolves + and - of types of time; ok is false if neither
// operand is one.
func (r *resolver) timeArithmetic(op string, a, b *rexpr, at pos) (e *rexpr, ok bool, err error) {
	isTime := func(e *rexpr) bool { return e.typ.is(Timestamp, Datetime, Date) }
	if !isTime(a) && !isTime(b) && !a.typ.is(Interval) && !b.typ.is(Interval) {
		return nil, false, nil
	}
	if op == "+" && (a.typ.is(Interval) || a.typ.is(Int64)) && isTime(b) {
		a, b = b, a
	}
	switch {
	case isTime(a) && b.typ.is(Interval) && (op == "+" || op == "-"):
		typ := a.typ
		if typ.is(Date) {
			typ = TDatetime // as GoogleSQL does
		}
		return derive("(CAST("+a.sql+" AS TIMESTAMP) "+op+" "+b.sql+")", typ, a, b), true, nil
	case a.typ.is(Date) && b.typ.is(Int64) && (op == "+" || op == "-"):
		return derive("CAST(("+a.sql+" "+op+" to_days(CAST("+b.sql+" AS INTEGER))) AS DATE)", TDate, a, b), true, nil
	case a.typ.is(Interval) && b.typ.is(Interval) && (op == "+" || op == "-"):
		return derive("("+a.sql+" "+op+" "+b.sql+")", TInterval, a, b), true, nil
	case isTime(a) && isTime(b) && op == "-" && a.typ.Equal(b.typ):
		return nil, true, unsupported(at, "subtraction of two values of type %s (use %s_DIFF)", a.typ, a.typ)
	}
	return nil, true, noSignature(at, "operator "+op, a, b)
}

// addInterval is T_ADD(x, INTERVAL n PART) and T_SUB.
func addInterval(t *Type, op string) function {
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		es, err := r.arguments(x, args, t, TInterval)
		if err != nil {
			return nil, err
		}
		iv, ok := x.args[1].(*intervalExpr)
		if !ok {
			return nil, unsupported(x.at, "function %s with an INTERVAL that is not written out", x.name)
		}
		part := iv.part.name
		switch {
		case t == TTimestamp && partMonths[part] > 0, t == TTimestamp && part == "WEEK", t == TDate && partMicros[part] > 0 && partMicros[part] < 86400e6:
			return nil, invalid(iv.part.at, "%s does not support the %s date part when the argument is %s type", x.name, part, t)
		}
		return derive("CAST((CAST("+es[0].sql+" AS TIMESTAMP) "+op+" "+es[1].sql+") AS "+t.DuckDB()+")", t, es...), nil
	}
}

// fnDiff counts parts: TIMESTAMP_DIFF whole ones, the others boundaries.
func fnDiff(t *Type) function {
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		if len(args) != 2 || x.part == nil {
			return nil, wrongArgs(x, args)
		}
		a, ok1 := r.coerce(args[0], t)
		b, ok2 := r.coerce(args[1], t)
		if !ok1 || !ok2 {
			return nil, wrongArgs(x, args)
		}
		part := x.part.name
		micros, months := partMicros[part], partMonths[part]
		switch {
		case t == TTimestamp && micros > 0 && part != "WEEK":
			return derive(fmt.Sprintf("((epoch_us(%s) - epoch_us(%s)) // CAST(%d AS BIGINT))", a.sql, b.sql, micros), TInt64, a, b), nil
		case t != TTimestamp && (months > 0 || micros >= 86400e6 && part == "DAY" || micros > 0 && micros < 86400e6 && t == TDatetime):
			return derive(fmt.Sprintf("date_diff('%s', %s, %s)", strings.ToLower(part), b.sql, a.sql), TInt64, a, b), nil
		case t != TTimestamp && (part == "WEEK" || part == "ISOWEEK"):
			x1, err := truncSQL(b.sql, *x.part)
			if err != nil {
				return nil, err
			}
			x2, _ := truncSQL(a.sql, *x.part)
			return derive(fmt.Sprintf("(date_diff('day', %s, %s) // 7)", x1, x2), TInt64, a, b), nil
		}
		return nil, invalid(x.part.at, "%s does not support the %s date part", x.name, part)
	}
}

// fnTrunc is T_TRUNC(x, PART[, 'UTC']).
func fnTrunc(t *Type) function {
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		if x.part == nil || len(args) < 1 || len(args) > 2 {
			return nil, wrongArgs(x, args)
		}
		if len(args) == 2 {
			if err := utcArgument(x, args[1]); err != nil {
				return nil, err
			}
		}
		a, ok := r.coerce(args[0], t)
		if !ok {
			return nil, wrongArgs(x, args)
		}
		if t == TDate && partMicros[x.part.name] > 0 && partMicros[x.part.name] < 86400e6 {
			return nil, invalid(x.part.at, "DATE_TRUNC does not support the %s date part", x.part.name)
		}
		sql, err := truncSQL(a.sql, *x.part)
		if err != nil {
			return nil, err
		}
		return derive("CAST("+sql+" AS "+t.DuckDB()+")", t, a), nil
	}
}

// utcArgument refuses a time zone argument other than UTC.
func utcArgument(x *callExpr, a *rexpr) error {
	text := ""
	switch {
	case a.lit != nil && a.lit.kind == String:
		text = a.lit.text
	case a.isParam && a.typ.is(String):
		text = a.param.Text
	}
	if !isUTC(text) {
		return unsupported(x.at, "a time zone other than UTC")
	}
	return nil
}

// truncSQL truncates to the start of a part. Weeks begin on Sunday unless said
// otherwise; DuckDB's begin on Monday.
func truncSQL(x string, p datePart) (string, error) {
	x = "CAST(" + x + " AS TIMESTAMP)"
	switch p.name {
	case "MICROSECOND":
		return x, nil
	case "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "QUARTER", "YEAR", "ISOYEAR":
		return "date_trunc('" + strings.ToLower(p.name) + "', " + x + ")", nil
	case "ISOWEEK":
		return "date_trunc('week', " + x + ")", nil
	case "WEEK":
		shift := map[string]int{"": 1, "SUNDAY": 1, "MONDAY": 0, "TUESDAY": 6, "WEDNESDAY": 5, "THURSDAY": 4, "FRIDAY": 3, "SATURDAY": 2}[p.weekday]
		return fmt.Sprintf("(date_trunc('week', %s + to_days(%d)) - to_days(%d))", x, shift, shift), nil
	}
	return "", invalid(p.at, "A valid date part name is required but found %s", p.name)
}

// extract resolves EXTRACT(part FROM x).
func (r *resolver) extract(x *extractExpr, c ectx) (*rexpr, error) {
	e, err := r.expr(x.x, c)
	if err != nil {
		return nil, err
	}
	if !e.typ.is(Timestamp, Datetime, Date) {
		return nil, invalid(x.at, "EXTRACT from type %s is not supported", e.typ)
	}
	date := e.typ.is(Date)
	ts := "CAST(" + e.sql + " AS TIMESTAMP)"
	var sql string
	switch p := x.part.name; {
	case p == "DATE" && !date:
		return derive("CAST("+e.sql+" AS DATE)", TDate, e), nil
	case p == "MICROSECOND" && !date:
		sql = "(epoch_us(" + ts + ") % 1000000 + 1000000) % 1000000"
	case p == "MILLISECOND" && !date:
		sql = "((epoch_us(" + ts + ") % 1000000 + 1000000) % 1000000) // 1000"
	case (p == "SECOND" || p == "MINUTE" || p == "HOUR") && !date, p == "DAY", p == "MONTH", p == "QUARTER", p == "YEAR", p == "ISOYEAR", p == "DAYOFYEAR":
		sql = "date_part('" + strings.ToLower(p) + "', " + ts + ")"
	case p == "DAYOFWEEK":
		sql = "dayofweek(" + ts + ") + 1" // GoogleSQL counts from 1, Sunday
	case p == "ISOWEEK":
		sql = "date_part('week', " + ts + ")"
	case p == "WEEK" && (x.part.weekday == "" || x.part.weekday == "SUNDAY"):
		sql = "CAST(strftime(" + ts + ", '%U') AS BIGINT)"
	case p == "WEEK" && x.part.weekday == "MONDAY":
		sql = "CAST(strftime(" + ts + ", '%W') AS BIGINT)"
	default:
		return nil, unsupported(x.part.at, "EXTRACT of %s from %s", p, e.typ)
	}
	return derive("CAST("+sql+" AS BIGINT)", TInt64, e), nil
}

func fnNow(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if len(args) > 1 {
		return nil, wrongArgs(x, args)
	}
	if len(args) == 1 {
		if err := utcArgument(x, args[0]); err != nil {
			return nil, err
		}
	}
	now := r.opts.Now.UTC()
	switch x.name {
	case "CURRENT_DATE":
		return derive("DATE '"+now.Format(time.DateOnly)+"'", TDate), nil
	case "CURRENT_DATETIME":
		return derive(timestampSQL(now.UnixMicro()), TDatetime), nil
	}
	return derive(timestampSQL(now.UnixMicro()), TTimestamp), nil
}

// convert casts the first argument; a second may only be UTC.
func convert(r *resolver, x *callExpr, args []*rexpr, to *Type, from ...Kind) (*rexpr, error) {
	if len(args) == 0 || len(args) > 2 {
		return nil, wrongArgs(x, args)
	}
	if len(args) == 2 {
		if err := utcArgument(x, args[1]); err != nil {
			return nil, err
		}
	}
	a := args[0]
	if e, ok := r.coerce(a, to); ok {
		return hard(e), nil
	}
	if !a.typ.is(from...) {
		return nil, wrongArgs(x, args)
	}
	return derive(castText(a.sql, a.typ, to, false), to, a), nil
}

func fnTimestamp(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if zone, ok := zoneOf(x, args); ok && args[0].typ.is(Date, Datetime) {
		return derive("timezone('UTC', timezone('"+zone+"', CAST("+args[0].sql+" AS TIMESTAMP)))", TTimestamp, args[0]), nil
	}
	return convert(r, x, args, TTimestamp, String, Date, Datetime)
}

func fnDate(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if len(args) == 3 {
		es, err := r.arguments(x, args, TInt64, TInt64, TInt64)
		if err != nil {
			return nil, err
		}
		return derive("make_date("+join(es)+")", TDate, es...), nil
	}
	if zone, ok := zoneOf(x, args); ok && args[0].typ.is(Timestamp) {
		return derive("CAST("+clockSQL(args[0].sql, zone)+" AS DATE)", TDate, args[0]), nil
	}
	return convert(r, x, args, TDate, String, Timestamp, Datetime)
}

func fnDatetime(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if len(args) == 6 {
		es, err := r.arguments(x, args, TInt64, TInt64, TInt64, TInt64, TInt64, TInt64)
		if err != nil {
			return nil, err
		}
		es[5] = derive("CAST("+es[5].sql+" AS DOUBLE)", TFloat64, es[5])
		return derive("make_timestamp("+join(es)+")", TDatetime, es...), nil
	}
	if zone, ok := zoneOf(x, args); ok && args[0].typ.is(Timestamp) {
		return derive(clockSQL(args[0].sql, zone), TDatetime, args[0]), nil
	}
	return convert(r, x, args, TDatetime, String, Timestamp, Date)
}

func fnString(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	return convert(r, x, args, TString, Timestamp, Date, Datetime)
}

func fromUnix(unit int64) function {
	return signature(TTimestamp, fmt.Sprintf("make_timestamp(%%s * CAST(%d AS BIGINT))", unit), TInt64)
}

// toUnix truncates towards the past, as GoogleSQL does before 1970 too.
func toUnix(unit int64) function {
	if unit == 1 {
		return signature(TInt64, "epoch_us(%s)", TTimestamp)
	}
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		es, err := r.arguments(x, args, TTimestamp)
		if err != nil {
			return nil, err
		}
		us := "epoch_us(" + es[0].sql + ")"
		return derive(fmt.Sprintf("((%[1]s - ((%[1]s %% %[2]d + %[2]d) %% %[2]d)) // %[2]d)", us, unit), TInt64, es...), nil
	}
}

func fnLastDay(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if x.part != nil && x.part.name != "MONTH" {
		return nil, unsupported(x.part.at, "LAST_DAY of %s", x.part.name)
	}
	if len(args) != 1 || !args[0].typ.is(Date, Datetime) {
		return nil, wrongArgs(x, args)
	}
	return derive("last_day("+args[0].sql+")", TDate, args...), nil
}
