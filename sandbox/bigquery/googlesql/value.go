package googlesql

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Value is the value of a query parameter, as the API sends it: text for
// scalars, elements for an ARRAY, fields for a STRUCT.
type Value struct {
	Null  bool
	Text  string
	Elems []Value
}

// Param is a named query parameter.
type Param struct {
	Name  string
	Type  *Type
	Value Value
}

// Literal writes v, of type t, as a DuckDB expression of type t.DuckDB().
func Literal(t *Type, v Value) (string, error) {
	var b strings.Builder
	if err := writeLiteral(&b, t, v); err != nil {
		return "", err
	}
	switch {
	case v.Null && t.Kind != Array && t.Kind != Struct, t.Kind == Array, t.Kind == Struct:
		return "CAST(" + b.String() + " AS " + t.DuckDB() + ")", nil
	}
	return b.String(), nil
}

// writeLiteral writes v without the outer cast of a NULL, an ARRAY or a STRUCT.
func writeLiteral(b *strings.Builder, t *Type, v Value) error {
	switch {
	case t.Kind == Array:
		// A NULL array parameter is an empty one where it is read.
		b.WriteByte('[')
		for i, e := range v.Elems {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeLiteral(b, t.Elem, e); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	case v.Null:
		b.WriteString("NULL")
		return nil
	case t.Kind == Struct:
		if len(v.Elems) != len(t.Fields) {
			return fmt.Errorf("a value of type %s has %d fields", t, len(v.Elems))
		}
		b.WriteByte('{')
		for i, e := range v.Elems {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(b, "'f%d':", i)
			if err := writeLiteral(b, t.Fields[i].Type, e); err != nil {
				return err
			}
		}
		b.WriteByte('}')
		return nil
	}
	s, err := scalarLiteral(t, v.Text)
	b.WriteString(s)
	return err
}

func scalarLiteral(t *Type, text string) (string, error) {
	bad := func() error { return fmt.Errorf("invalid value for type %s: %q", t, text) }
	switch t.Kind {
	case Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "", bad()
		}
		return intSQL(n), nil
	case Float64:
		f, err := parseFloat(text)
		if err != nil {
			return "", bad()
		}
		return floatSQL(f), nil
	case Numeric:
		s, err := ParseNumeric(text)
		if err != nil {
			return "", err
		}
		return "CAST('" + s + "' AS DECIMAL(38,9))", nil
	case Bool:
		switch strings.ToLower(text) {
		case "true":
			return "true", nil
		case "false":
			return "false", nil
		}
		return "", bad()
	case String:
		return stringSQL(text)
	case Bytes:
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", bad()
		}
		return bytesSQL(string(raw)), nil
	case Date:
		d, err := ParseDate(text)
		if err != nil {
			return "", err
		}
		return "DATE '" + d.Format(time.DateOnly) + "'", nil
	case Datetime:
		us, err := ParseDatetime(text)
		if err != nil {
			return "", err
		}
		return timestampSQL(us), nil
	case Timestamp:
		us, err := ParseTimestamp(text)
		if err != nil {
			return "", err
		}
		return timestampSQL(us), nil
	}
	return "", fmt.Errorf("a value of type %s is not supported by the sandbox", t)
}

func intSQL(n int64) string {
	if n == math.MinInt64 {
		return "CAST('-9223372036854775808' AS BIGINT)"
	}
	return "CAST(" + strconv.FormatInt(n, 10) + " AS BIGINT)"
}

func floatSQL(f float64) string {
	return "CAST('" + strconv.FormatFloat(f, 'g', -1, 64) + "' AS DOUBLE)"
}

func stringSQL(s string) (string, error) {
	if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
		// A zero byte would end the SQL text inside DuckDB.
		return "", fmt.Errorf("a string with a zero byte or that is not UTF-8 is not supported by the sandbox")
	}
	return "CAST('" + strings.ReplaceAll(s, "'", "''") + "' AS VARCHAR)", nil
}

func bytesSQL(s string) string { return "unhex('" + hexOf(s) + "')" }

func timestampSQL(us int64) string {
	return "TIMESTAMP '" + time.UnixMicro(us).UTC().Format("2006-01-02 15:04:05.000000") + "'"
}

func parseFloat(text string) (float64, error) {
	switch strings.ToLower(text) {
	case "nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity":
	default:
		if strings.ContainsAny(text, "xX_pPnN") {
			return 0, strconv.ErrSyntax
		}
	}
	return strconv.ParseFloat(text, 64)
}

var numericLimit = new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil) // in units of 10^-9

// ParseNumeric returns text as a decimal with at most 9 digits after the
// point (rounded half away from zero), or an error if it is not a NUMERIC.
func ParseNumeric(text string) (string, error) {
	text = strings.TrimSpace(text)
	// The exponent is bounded before big.Rat expands it.
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		if e, err := strconv.Atoi(text[i+1:]); err != nil || e > 100 || e < -100 {
			return "", fmt.Errorf("invalid NUMERIC value: %s", text)
		}
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok || len(text) > 200 || strings.ContainsAny(text, "/_xXpPbBoO") {
		return "", fmt.Errorf("invalid NUMERIC value: %s", text)
	}
	s := r.FloatString(9) // rounds half away from zero
	units, _ := new(big.Int).SetString(strings.Replace(s, ".", "", 1), 10)
	if units.CmpAbs(numericLimit) >= 0 {
		return "", fmt.Errorf("invalid NUMERIC value: %s", text)
	}
	return s, nil
}

// ParseDate reads YYYY-MM-DD.
func ParseDate(text string) (time.Time, error) {
	var p timeParser
	p.s = text
	y, m, d, ok := p.date()
	if !ok || p.i != len(text) {
		return time.Time{}, fmt.Errorf("invalid date: '%s'", text)
	}
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC), nil
}

// ParseDatetime reads YYYY-MM-DD[( |T)HH:MM:SS[.ffffff]] as microseconds since
// 1970-01-01 in no time zone.
func ParseDatetime(text string) (int64, error) {
	us, zone, ok := parseTime(text, false)
	if !ok || zone {
		return 0, fmt.Errorf("invalid datetime string \"%s\"", text)
	}
	return us, nil
}

// ParseTimestamp reads a GoogleSQL timestamp as microseconds since the epoch:
// YYYY-MM-DD[( |T)HH:MM[:SS[.ffffff]]][zone]; without a zone it is UTC. Zones
// are Z, UTC and offsets.
func ParseTimestamp(text string) (int64, error) {
	us, _, ok := parseTime(text, false)
	if !ok {
		return 0, fmt.Errorf("invalid timestamp: '%s'", text)
	}
	return us, nil
}

// ParseTimestampTruncating is ParseTimestamp, but drops digits beyond
// microseconds, as loading and streaming do.
func ParseTimestampTruncating(text string) (int64, error) {
	us, _, ok := parseTime(text, true)
	if !ok {
		return 0, fmt.Errorf("invalid timestamp: '%s'", text)
	}
	return us, nil
}

// timeParser scans the parts of a timestamp. It is on the path of every
// streamed row, so it does without time.Parse.
type timeParser struct {
	s string
	i int
}

// num reads between lo and hi digits.
func (p *timeParser) num(lo, hi int) (int, bool) {
	n, start := 0, p.i
	for p.i < len(p.s) && p.i-start < hi && isDigit(p.s[p.i]) {
		n = n*10 + int(p.s[p.i]-'0')
		p.i++
	}
	return n, p.i-start >= lo
}

func (p *timeParser) byte(set string) bool {
	if p.i < len(p.s) && strings.IndexByte(set, p.s[p.i]) >= 0 {
		p.i++
		return true
	}
	return false
}

func (p *timeParser) date() (y, m, d int, ok bool) {
	if y, ok = p.num(4, 4); !ok || !p.byte("-") {
		return y, m, d, false
	}
	if m, ok = p.num(1, 2); !ok || !p.byte("-") {
		return y, m, d, false
	}
	d, ok = p.num(1, 2)
	return y, m, d, ok && y >= 1 && m >= 1 && m <= 12 && d >= 1 && d <= daysIn(y, m)
}

func daysIn(y, m int) int {
	return time.Date(y, time.Month(m)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

func parseTime(text string, truncate bool) (us int64, zone, ok bool) {
	p := timeParser{s: text}
	y, mo, d, ok := p.date()
	if !ok {
		return 0, false, false
	}
	var h, mi, s, frac int
	if p.i+1 < len(p.s) && strings.IndexByte(" Tt", p.s[p.i]) >= 0 && isDigit(p.s[p.i+1]) {
		p.i++
		if h, ok = p.num(1, 2); !ok || h > 23 || !p.byte(":") {
			return 0, false, false
		}
		if mi, ok = p.num(1, 2); !ok || mi > 59 {
			return 0, false, false
		}
		if p.byte(":") {
			if s, ok = p.num(1, 2); !ok || s > 59 {
				return 0, false, false
			}
			if p.byte(".") {
				start := p.i
				if frac, ok = p.num(0, 6); !ok {
					return 0, false, false
				}
				for n := p.i - start; n < 6; n++ {
					frac *= 10
				}
				beyond := "0" // more digits are an error, unless they say nothing
				if truncate {
					beyond = "0123456789"
				}
				for p.byte(beyond) {
				}
			}
		}
	}
	us = time.Date(y, time.Month(mo), d, h, mi, s, 0, time.UTC).Unix()*1e6 + int64(frac)
	if p.i == len(p.s) {
		return us, false, true
	}
	offset, ok := zoneOffset(p.s[p.i:])
	us -= offset
	if !ok || us < minTimestamp || us > maxTimestamp {
		return 0, false, false
	}
	return us, true, true
}

// The range of TIMESTAMP: years 1 to 9999.
const (
	minTimestamp = -62135596800 * 1_000_000
	maxTimestamp = 253402300800*1_000_000 - 1
)

// zoneOffset returns the offset of a zone's text in microseconds.
func zoneOffset(z string) (int64, bool) {
	z = strings.TrimPrefix(z, " ")
	if z == "Z" || z == "z" || strings.EqualFold(z, "UTC") {
		return 0, true
	}
	if strings.HasPrefix(strings.ToUpper(z), "UTC") {
		z = z[3:]
	}
	p := timeParser{s: z}
	neg := strings.HasPrefix(z, "-")
	if !p.byte("+-") {
		return 0, false
	}
	h, ok := p.num(1, 2)
	m := 0
	if ok && p.byte(":") {
		m, ok = p.num(2, 2)
	}
	if !ok || p.i != len(z) || h > 14 || m > 59 {
		return 0, false
	}
	off := int64(h*3600+m*60) * 1e6
	if neg {
		off = -off
	}
	return off, true
}
