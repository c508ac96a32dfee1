package googlesql

import "strings"

// timeFormats maps GoogleSQL's format elements to DuckDB's.
var timeFormats = map[string]string{
	"%Y": "%Y", "%m": "%m", "%d": "%d", "%H": "%H", "%M": "%M", "%S": "%S", "%F": "%Y-%m-%d", "%T": "%H:%M:%S",
	"%j": "%j", "%a": "%a", "%A": "%A", "%b": "%b", "%B": "%B", "%y": "%y", "%p": "%p", "%I": "%I", "%R": "%H:%M",
	"%D": "%m/%d/%y", "%e": "%-d", "%Z": "UTC", "%z": "+0000", "%Ez": "+00:00", "%E3S": "%S.%g", "%E6S": "%S.%f", "%E4Y": "%Y",
	"%U": "%U", "%W": "%W", "%%": "%%",
}

// timeFormat translates a literal format.
func timeFormat(x *callExpr, a *rexpr) (string, error) {
	if a.lit == nil || a.lit.kind != String {
		return "", unsupported(x.at, "function %s with a format that is no literal", x.name)
	}
	text := a.lit.text
	var b strings.Builder
	for text != "" {
		if text[0] != '%' {
			b.WriteByte(text[0])
			text = text[1:]
			continue
		}
		n := 2
		if strings.HasPrefix(text, "%E") {
			n = 3
			if strings.HasPrefix(text, "%E3S") || strings.HasPrefix(text, "%E6S") || strings.HasPrefix(text, "%E4Y") {
				n = 4
			}
		}
		elem := text[:min(n, len(text))]
		out, ok := timeFormats[elem]
		if !ok {
			return "", unsupported(a.lit.at, "format element %s", elem)
		}
		b.WriteString(out)
		text = text[len(elem):]
	}
	return b.String(), nil
}

func fnFormatTime(t *Type) function {
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		if len(args) < 2 || len(args) > 3 {
			return nil, wrongArgs(x, args)
		}
		if len(args) == 3 {
			if err := utcArgument(x, args[2]); err != nil {
				return nil, err
			}
		}
		layout, err := timeFormat(x, args[0])
		if err != nil {
			return nil, err
		}
		v, ok := r.coerce(args[1], t)
		if !ok {
			return nil, wrongArgs(x, args)
		}
		lit, err := stringSQL(layout)
		if err != nil {
			return nil, err
		}
		return derive("strftime("+v.sql+", "+lit+")", TString, v), nil
	}
}

func fnParse(t *Type) function {
	return func(r *resolver, x *callExpr, args []*rexpr) (*rexpr, error) {
		if len(args) != 2 {
			return nil, wrongArgs(x, args)
		}
		layout, err := timeFormat(x, args[0])
		if err != nil {
			return nil, err
		}
		v, ok := r.coerce(args[1], TString)
		if !ok {
			return nil, wrongArgs(x, args)
		}
		lit, err := stringSQL(layout)
		if err != nil {
			return nil, err
		}
		return derive("CAST(strptime("+v.sql+", "+lit+") AS "+t.DuckDB()+")", t, v), nil
	}
}
