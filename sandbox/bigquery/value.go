package bigquery

import (
	"bytes"
	"database/sql/driver"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

// readValue reads a JSON value as a value of type t for DuckDB's appender. On
// an *apiError the value has been read nevertheless.
func readValue(s *scanner, t *googlesql.Type, field string) (driver.Value, error) {
	switch t.Kind {
	case googlesql.Array:
		return readArray(s, t, field)
	case googlesql.Struct:
		return readStruct(s, t, field)
	}
	switch s.peek() {
	case '[':
		return nil, skipWith(s, fieldError(field, "Array specified for non-repeated field: "+field+"."))
	case '{':
		return nil, skipWith(s, fieldError(field, "This field: "+field+" is not a record."))
	case '"':
		b, err := s.str()
		if err != nil {
			return nil, err
		}
		v, perr := parseScalar(t, b, field)
		if perr != nil {
			return nil, perr
		}
		return v, nil
	}
	w, err := s.word()
	if err != nil {
		return nil, err
	}
	if string(w) == "null" {
		return nil, nil
	}
	if (t.Kind == googlesql.Timestamp) && w[0] != 't' && w[0] != 'f' {
		// A number is seconds since the epoch.
		f, err := strconv.ParseFloat(string(w), 64)
		if us := math.Round(f * 1e6); err == nil && us > -62135596800e6 && us < 253402300800e6 {
			return time.UnixMicro(int64(us)).UTC(), nil
		}
	}
	if t.Kind == googlesql.Int64 && bytes.ContainsAny(w, ".eE") {
		// 3.0 is an integer, 3.5 is none.
		if f, err := strconv.ParseFloat(string(w), 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return int64(f), nil
		}
	}
	v, perr := parseScalar(t, w, field)
	if perr != nil {
		return nil, perr
	}
	return v, nil
}

// skipWith reads over the value and returns err.
func skipWith(s *scanner, err error) error {
	if serr := s.skip(); serr != nil {
		return serr
	}
	return err
}

func readArray(s *scanner, t *googlesql.Type, field string) (driver.Value, error) {
	if s.peek() != '[' {
		if w, err := s.raw(); err != nil || string(w) == "null" {
			return []any{}, err
		}
		return nil, fieldError(field, "Field "+field+" is repeated: an array is needed.")
	}
	out := []any{}
	var bad error
	err := s.array(func(i int) error {
		v, err := readValue(s, t.Elem, field)
		if ae, ok := err.(*apiError); ok {
			bad = ae
			return nil
		}
		if v == nil && err == nil {
			bad = fieldError(field, "Field "+field+": Array cannot have a null element.")
		}
		out = append(out, v)
		return err
	})
	if err == nil {
		err = bad
	}
	return out, err
}

func readStruct(s *scanner, t *googlesql.Type, field string) (driver.Value, error) {
	if s.peek() != '{' {
		w, err := s.raw()
		if err != nil || string(w) == "null" {
			return nil, err
		}
		return nil, fieldError(field, "This field: "+field+" is not a record.")
	}
	out := map[string]any{}
	for i, f := range t.Fields {
		out[fmt.Sprintf("f%d", i)] = nil
		if f.Type.Kind == googlesql.Array {
			out[fmt.Sprintf("f%d", i)] = []any{}
		}
	}
	var bad error
	err := s.object(func(key []byte) error {
		name := field + "." + string(key)
		for i, f := range t.Fields {
			if strings.EqualFold(f.Name, string(key)) {
				v, err := readValue(s, f.Type, name)
				if ae, ok := err.(*apiError); ok {
					bad = ae
					return nil
				}
				out[fmt.Sprintf("f%d", i)] = v
				return err
			}
		}
		bad = fieldError(name, "no such field: "+name+".")
		return s.skip()
	})
	if err == nil {
		err = bad
	}
	return out, err
}

// parseScalar reads the text of a scalar, as insertAll, CSV and JSON files
// write it.
func parseScalar(t *googlesql.Type, b []byte, field string) (driver.Value, *apiError) {
	text := string(b)
	switch t.Kind {
	case googlesql.String:
		if err := checkText(text); err != nil {
			return nil, fieldError(field, err.Error())
		}
		return text, nil
	case googlesql.Int64:
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return nil, fieldError(field, "Cannot convert value to integer (bad value): "+text)
		}
		return n, nil
	case googlesql.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || strings.ContainsAny(text, "xX_") {
			return nil, fieldError(field, "Cannot convert value to floating point (bad value): "+text)
		}
		return f, nil
	case googlesql.Bool:
		switch strings.ToLower(text) {
		case "true", "1", "t", "yes", "y":
			return true, nil
		case "false", "0", "f", "no", "n":
			return false, nil
		}
		return nil, fieldError(field, "Cannot convert value to boolean (bad value): "+text)
	case googlesql.Bytes:
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fieldError(field, "Could not decode base64 string to bytes. Field: "+field+"; Value: "+text)
		}
		return raw, nil
	case googlesql.Numeric:
		d, err := parseDecimal(text)
		if err != nil {
			return nil, fieldError(field, "Invalid NUMERIC value: "+text)
		}
		return d, nil
	case googlesql.Date:
		d, err := googlesql.ParseDate(text)
		if err != nil {
			return nil, fieldError(field, "Invalid date: '"+text+"'")
		}
		return d, nil
	case googlesql.Datetime:
		us, err := googlesql.ParseDatetime(text)
		if err != nil {
			return nil, fieldError(field, "Invalid datetime string \""+text+"\"")
		}
		return time.UnixMicro(us).UTC(), nil
	case googlesql.Timestamp:
		us, err := googlesql.ParseTimestampTruncating(text)
		if err != nil {
			return nil, fieldError(field, "Could not parse '"+text+"' as a timestamp. Required format is YYYY-MM-DD HH:MM[:SS[.SSSSSS]]")
		}
		return time.UnixMicro(us).UTC(), nil
	}
	return nil, fieldError(field, "type "+t.String()+" is not supported by the sandbox")
}

// checkText refuses a string that DuckDB's appender would cut short.
func checkText(s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return errors.New("a string with a zero byte is not supported by the sandbox")
	}
	return nil
}

// parseDecimal reads a NUMERIC.
func parseDecimal(text string) (duckdb.Decimal, error) {
	s, err := googlesql.ParseNumeric(text)
	if err != nil {
		return duckdb.Decimal{}, err
	}
	units, ok := new(big.Int).SetString(strings.Replace(s, ".", "", 1), 10)
	if !ok {
		return duckdb.Decimal{}, fmt.Errorf("invalid NUMERIC value %q", text)
	}
	return duckdb.Decimal{Width: 38, Scale: 9, Value: units}, nil
}

// asInt reads an integer of any width that DuckDB returns.
func asInt(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case int32:
		return int64(v)
	case *big.Int:
		return v.Int64()
	case float64:
		return int64(v)
	}
	return 0
}

// appendRow appends a row in the API's encoding, {"f":[{"v":…},…]}, with
// timestamps in microseconds.
func appendRow(b []byte, cols []googlesql.Column, row []any) ([]byte, error) {
	b = append(b, `{"f":[`...)
	for i, c := range cols {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"v":`...)
		var err error
		if b, err = appendValue(b, c.Type, row[i]); err != nil {
			return nil, err
		}
		b = append(b, '}')
	}
	return append(b, "]}"...), nil
}

func appendValue(b []byte, t *googlesql.Type, v any) ([]byte, error) {
	if v == nil {
		if t.Kind == googlesql.Array {
			return append(b, "[]"...), nil // the service shows a NULL array as empty
		}
		return append(b, "null"...), nil
	}
	quote := func(s string) []byte { return append(append(append(b, '"'), s...), '"') }
	switch v := v.(type) {
	case string:
		return appendString(b, v)
	case int64:
		return append(strconv.AppendInt(append(b, '"'), v, 10), '"'), nil
	case int32:
		return append(strconv.AppendInt(append(b, '"'), int64(v), 10), '"'), nil
	case float64:
		return quote(formatFloat(v)), nil
	case bool:
		return quote(strconv.FormatBool(v)), nil
	case []byte:
		return quote(base64.StdEncoding.EncodeToString(v)), nil
	case duckdb.Decimal:
		return quote(formatDecimal(v)), nil
	case time.Time:
		switch t.Kind {
		case googlesql.Date:
			return quote(v.UTC().Format(time.DateOnly)), nil
		case googlesql.Datetime:
			return quote(v.UTC().Format("2006-01-02T15:04:05.999999")), nil
		}
		return append(strconv.AppendInt(append(b, '"'), v.UnixMicro(), 10), '"'), nil
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			if e == nil {
				return nil, &apiError{status: 400, reason: "invalidQuery", location: "q",
					message: "Array cannot have a null element; error in writing field"}
			}
			b = append(b, `{"v":`...)
			var err error
			if b, err = appendValue(b, t.Elem, e); err != nil {
				return nil, err
			}
			b = append(b, '}')
		}
		return append(b, ']'), nil
	case map[string]any:
		b = append(b, `{"f":[`...)
		for i, f := range t.Fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"v":`...)
			var err error
			if b, err = appendValue(b, f.Type, v[fmt.Sprintf("f%d", i)]); err != nil {
				return nil, err
			}
			b = append(b, '}')
		}
		return append(b, "]}"...), nil
	}
	return nil, fmt.Errorf("a value of Go type %T where %s is expected", v, t)
}

func appendString(b []byte, s string) ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			q, err := json.Marshal(s)
			return append(b, q...), err
		}
	}
	return append(append(append(b, '"'), s...), '"'), nil
}

func formatFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// formatDecimal writes a NUMERIC without trailing zeros.
func formatDecimal(d duckdb.Decimal) string {
	s := new(big.Int).Abs(d.Value).String()
	scale := int(d.Scale)
	if len(s) <= scale {
		s = strings.Repeat("0", scale-len(s)+1) + s
	}
	out := s[:len(s)-scale]
	if frac := strings.TrimRight(s[len(s)-scale:], "0"); frac != "" {
		out += "." + frac
	}
	if d.Value.Sign() < 0 {
		out = "-" + out
	}
	return out
}
