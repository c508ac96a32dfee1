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
	if s, ok, err := splitLiteral(t, v); ok || err != nil {
		return s, err
	}
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

// separator parts the elements of a long array. A string that has it is
// written the other way.
const separator = "\x1f"

// splitLiteral writes a long array of scalars as one string that DuckDB splits
// and casts: it takes some 30 times longer to read as many literals.
func splitLiteral(t *Type, v Value) (string, bool, error) {
	if t.Kind != Array || len(v.Elems) < 32 || !t.Elem.is(Int64, Float64, Bool, String, Date, Datetime, Timestamp) {
		return "", false, nil
	}
	texts := make([]string, len(v.Elems))
	for i, e := range v.Elems {
		if e.Null || strings.Contains(e.Text, separator) {
			return "", false, nil
		}
		text, err := canonical(t.Elem, e.Text)
		if err != nil {
			return "", false, err
		}
		texts[i] = text
	}
	all, err := stringSQL(strings.Join(texts, separator))
	if err != nil {
		return "", false, err
	}
	return "CAST(string_split(" + all + ", chr(31)) AS " + t.DuckDB() + ")", true, nil
}

// canonical checks the text of a scalar and returns it as DuckDB casts it.
func canonical(t *Type, text string) (string, error) {
	if t.Kind == String {
		return text, nil
	}
	s, err := scalarLiteral(t, text)
	if err != nil {
		return "", err
	}
	// CAST(5 AS BIGINT), CAST('0.5' AS DOUBLE), true, TIMESTAMP '…'
	if i := strings.IndexByte(s, '\''); i >= 0 {
		return s[i+1 : strings.LastIndexByte(s, '\'')], nil
	}
	return strings.TrimSuffix(strings.TrimPrefix(s, "CAST("), " AS BIGINT)"), nil
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
