package googlesql

import (
	"fmt"
	"regexp"
	"strings"
)

// concat is CONCAT and ||: NULL if any part is, where DuckDB's concat skips
// NULLs.
func (r *resolver) concat(args []*rexpr, at pos, what string) (*rexpr, error) {
	if len(args) == 0 {
		return nil, noSignature(at, what)
	}
	typ := TString
	for _, a := range args {
		if a.typ.is(Bytes, Array) {
			typ = a.typ
		}
	}
	parts := make([]*rexpr, len(args))
	texts := make([]string, len(args))
	for i, a := range args {
		var ok bool
		if parts[i], ok = r.coerce(a, typ); !ok {
			return nil, noSignature(at, what, args...)
		}
		texts[i] = parts[i].sql
	}
	return derive("("+strings.Join(texts, " || ")+")", typ, parts...), nil
}

// textOrBytes coerces the only argument to STRING or leaves it BYTES.
func textOrBytes(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if len(args) == 1 && args[0].typ.is(Bytes) {
		return args[0], nil
	}
	es, err := r.arguments(x, args, TString)
	if err != nil {
		return nil, err
	}
	return es[0], nil
}

func fnLength(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	e, err := textOrBytes(r, x, args)
	if err != nil {
		return nil, err
	}
	if e.typ.is(Bytes) {
		return derive("octet_length("+e.sql+")", TInt64, e), nil
	}
	return derive("length("+e.sql+")", TInt64, e), nil
}

func fnByteLength(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	e, err := textOrBytes(r, x, args)
	if err != nil {
		return nil, err
	}
	if e.typ.is(Bytes) {
		return derive("octet_length("+e.sql+")", TInt64, e), nil
	}
	return derive("strlen("+e.sql+")", TInt64, e), nil // DuckDB's strlen counts bytes
}

func trim(name string) function {
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		params := []*Type{TString, TString}[:min(max(len(args), 1), 2)]
		es, err := r.arguments(x, args, params...)
		if err != nil {
			return nil, err
		}
		set := trimSet
		if len(es) == 2 {
			set = es[1].sql
		}
		return derive(name+"("+es[0].sql+", "+set+")", TString, es...), nil
	}
}

// fnReplace leaves the text alone where there is nothing to look for.
func fnReplace(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	es, err := r.arguments(x, args, TString, TString, TString)
	if err != nil {
		return nil, err
	}
	return derive("replace("+join(es)+")", TString, es...), nil
}

// fnSubstr counts from 1; 0 is 1, and a negative position counts from the end.
func fnSubstr(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	params := []*Type{TString, TInt64, TInt64}[:min(max(len(args), 2), 3)]
	es, err := r.arguments(x, args, params...)
	if err != nil {
		return nil, err
	}
	s, p := es[0].sql, es[1].sql
	from := fmt.Sprintf("CASE WHEN %[2]s = 0 OR %[2]s < -length(%[1]s) THEN 1 ELSE %[2]s END", s, p)
	if len(es) == 2 {
		return derive("substring("+s+", "+from+")", TString, es...), nil
	}
	n := es[2].sql
	length := fmt.Sprintf("CASE WHEN %[1]s < 0 THEN error('Third argument in SUBSTR() cannot be negative: ' || CAST(%[1]s AS VARCHAR)) ELSE %[1]s END", n)
	return derive("substring("+s+", "+from+", "+length+")", TString, es...), nil
}

func fnLeft(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	es, err := r.arguments(x, args, TString, TInt64)
	if err != nil {
		return nil, err
	}
	return derive("left("+es[0].sql+", greatest("+es[1].sql+", 0))", TString, es...), nil
}

func fnRight(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	es, err := r.arguments(x, args, TString, TInt64)
	if err != nil {
		return nil, err
	}
	return derive("right("+es[0].sql+", greatest("+es[1].sql+", 0))", TString, es...), nil
}

func pad(name string) function {
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		params := []*Type{TString, TInt64, TString}[:min(max(len(args), 2), 3)]
		es, err := r.arguments(x, args, params...)
		if err != nil {
			return nil, err
		}
		fill := "' '"
		if len(es) == 3 {
			fill = es[2].sql
		}
		return derive(name+"("+es[0].sql+", CAST("+es[1].sql+" AS INTEGER), "+fill+")", TString, es...), nil
	}
}

func fnSplit(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	params := []*Type{TString, TString}[:min(max(len(args), 1), 2)]
	es, err := r.arguments(x, args, params...)
	if err != nil {
		return nil, err
	}
	by := "','"
	if len(es) == 2 {
		by = es[1].sql
	}
	return derive("string_split("+es[0].sql+", "+by+")", ArrayOf(TString), es...), nil
}

// fnRegexpExtract returns NULL where DuckDB returns an empty string.
func fnRegexpExtract(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	es, err := r.arguments(x, args, TString, TString)
	if err != nil {
		return nil, err
	}
	lit := args[1].lit
	if lit == nil || lit.kind != String {
		return nil, unsupported(x.at, "function REGEXP_EXTRACT with a pattern that is no literal")
	}
	re, err := regexp.Compile(lit.text)
	if err != nil {
		return nil, invalid(lit.at, "Cannot parse regular expression: %s", err)
	}
	if re.NumSubexp() > 1 {
		return nil, invalid(lit.at, "Regular expressions passed into extraction functions must not have more than 1 capturing group")
	}
	return derive(fmt.Sprintf("CASE WHEN regexp_matches(%[1]s, %[2]s) THEN regexp_extract(%[1]s, %[2]s, %[3]d) END", es[0].sql, es[1].sql, re.NumSubexp()), TString, es...), nil
}

func hash(name string) function {
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		e, err := textOrBytes(r, x, args)
		if err != nil {
			return nil, err
		}
		return derive("unhex("+name+"("+e.sql+"))", TBytes, e), nil
	}
}

var formatSpec = regexp.MustCompile(`^%([-+ 0]*)(\d*)(?:\.(\d+))?(.)`)

// fnFormat resolves FORMAT with a literal format of %d %s %t %f %g %e %x %%.
func fnFormat(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if len(args) == 0 || args[0].lit == nil || args[0].lit.kind != String {
		return nil, unsupported(x.at, "function FORMAT with a format that is no literal")
	}
	text, rest := args[0].lit.text, args[1:]
	var pieces []string
	plain := func(s string) error {
		if s == "" {
			return nil
		}
		lit, err := stringSQL(s)
		pieces = append(pieces, lit)
		return err
	}
	for text != "" {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			i = len(text)
		}
		if err := plain(text[:i]); err != nil {
			return nil, invalid(x.at, "%s", err)
		}
		if text = text[i:]; text == "" {
			break
		}
		m := formatSpec.FindStringSubmatch(text)
		if m == nil {
			return nil, invalid(x.at, "Invalid format specifier in FORMAT")
		}
		text = text[len(m[0]):]
		if m[4] == "%" {
			pieces = append(pieces, "'%'")
			continue
		}
		if len(rest) == 0 {
			return nil, invalid(x.at, "Too few arguments to FORMAT for pattern")
		}
		piece, err := r.formatPiece(x, m, rest[0])
		if err != nil {
			return nil, err
		}
		pieces, rest = append(pieces, piece), rest[1:]
	}
	if len(rest) > 0 {
		return nil, invalid(x.at, "Too many arguments to FORMAT for pattern")
	}
	if len(pieces) == 0 {
		pieces = []string{"''"}
	}
	return derive("("+strings.Join(pieces, " || ")+")", TString, args...), nil
}

func (r *resolver) formatPiece(x *callExpr, m []string, a *rexpr) (string, error) {
	flags, width, precision, verb := m[1], m[2], m[3], m[4]
	if len(width) > 3 || len(precision) > 3 {
		return "", invalid(x.at, "Invalid format specifier in FORMAT")
	}
	spec := "%" + flags + width
	if precision != "" {
		spec += "." + precision
	}
	want := map[string]*Type{"d": TInt64, "i": TInt64, "x": TInt64, "X": TInt64, "o": TInt64, "s": TString,
		"f": TFloat64, "F": TFloat64, "e": TFloat64, "E": TFloat64, "g": TFloat64, "G": TFloat64}[verb]
	if verb == "t" {
		if a.typ.is(Array, Struct) {
			return "", unsupported(x.at, "FORMAT %%t of %s", a.typ)
		}
		s := "NULL"
		if a.typ != nil {
			s = stringOf(a.sql, a.typ, false)
		}
		if a.typ.is(String) {
			s = a.sql
		}
		return "printf('" + spec + "s', coalesce(" + s + ", 'NULL'))", nil
	}
	if want == nil {
		return "", unsupported(x.at, "FORMAT specifier %%%s", verb)
	}
	e, ok := r.coerce(a, want)
	if !ok {
		return "", invalid(x.at, "Invalid type for argument of FORMAT; Expected %s; Got %s", want, a.typ)
	}
	if verb == "i" {
		verb = "d"
	}
	return "printf('" + spec + verb + "', " + e.sql + ")", nil
}

// fnToJSONString writes a value as JSON.
func fnToJSONString(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
	if len(args) != 1 {
		return nil, wrongArgs(x, args)
	}
	a := args[0]
	if a.typ == nil {
		return derive("'null'", TString, a), nil
	}
	s, err := jsonOf(a.sql, a.typ, x.at, 0)
	if err != nil {
		return nil, err
	}
	return derive(s, TString, a), nil
}

func jsonOf(x string, t *Type, at pos, depth int) (string, error) {
	var s string
	switch t.Kind {
	case Int64:
		// Beyond 2^53 a number would lose digits in JavaScript.
		s = fmt.Sprintf(`CASE WHEN abs(CAST(%[1]s AS HUGEINT)) > 9007199254740992 THEN '"' || CAST(%[1]s AS VARCHAR) || '"' ELSE CAST(%[1]s AS VARCHAR) END`, x)
	case Bool:
		s = "CAST(" + x + " AS VARCHAR)"
	case Float64, Numeric:
		s = stringOf(x, t, false)
	case String:
		s = jsonText(x)
	case Date:
		s = `'"' || ` + stringOf(x, t, false) + ` || '"'`
	case Timestamp:
		s = `'"' || ` + fractionFormat(x, "%Y-%m-%dT%H:%M:%S") + ` || 'Z"'`
	case Datetime:
		s = `'"' || ` + fractionFormat(x, "%Y-%m-%dT%H:%M:%S") + ` || '"'`
	case Bytes:
		s = `'"' || to_base64(` + x + `) || '"'`
	case Array:
		v := fmt.Sprintf("e%d", depth)
		elem, err := jsonOf(v, t.Elem, at, depth+1)
		if err != nil {
			return "", err
		}
		s = "'[' || array_to_string(list_transform(" + x + ", lambda " + v + ": " + elem + "), ',') || ']'"
	case Struct:
		var parts []string
		for i, f := range t.Fields {
			v, err := jsonOf(structField(x, i), f.Type, at, depth)
			if err != nil {
				return "", err
			}
			name, err := stringSQL(f.Name)
			if err != nil {
				return "", err
			}
			parts = append(parts, jsonText(name)+" || ':' || "+v)
		}
		s = "'{' || " + strings.Join(parts, " || ',' || ") + " || '}'"
	default:
		return "", unsupported(at, "function TO_JSON_STRING of %s", t)
	}
	return "coalesce(" + s + ", 'null')", nil
}

// jsonText quotes a string for JSON.
func jsonText(x string) string {
	s := x
	for _, esc := range [][2]string{{`'\'`, `'\\'`}, {`'"'`, `'\"'`}, {"chr(10)", `'\n'`}, {"chr(13)", `'\r'`}, {"chr(9)", `'\t'`}, {"chr(8)", `'\b'`}, {"chr(12)", `'\f'`}} {
		s = "replace(" + s + ", " + esc[0] + ", " + esc[1] + ")"
	}
	return `('"' || ` + s + ` || '"')`
}
