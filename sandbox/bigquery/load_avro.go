package bigquery

import (
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

// avroSource reads an Avro object container file.
type avroSource struct {
	r       *ocf.Reader
	cols    []googlesql.Column
	logical bool
	// to[i] is the file's field of destination column i, -1: none.
	to   []int
	into []googlesql.Column
}

func newAvroSource(r io.Reader, logical bool) (*avroSource, error) {
	rd, err := ocf.NewReader(r)
	if err != nil {
		return nil, errInvalid("The Apache Avro library failed to read the file header: %s", err)
	}
	root := rd.Schema().Root()
	if root.Type != "record" {
		return nil, errInvalid("The Avro schema's root must be a record, not %s", root.Type)
	}
	s := &avroSource{r: rd, logical: logical}
	for _, f := range root.Fields {
		typ, required, err := avroType(&f.Type, f.Name, logical)
		if err != nil {
			return nil, err
		}
		s.cols = append(s.cols, googlesql.Column{Name: f.Name, Type: typ, Required: required})
	}
	return s, nil
}

// avroType is the column type of an Avro type, as BigQuery maps them.
func avroType(n *avro.SchemaNode, name string, logical bool) (t *googlesql.Type, required bool, err error) {
	if n.Type == "union" {
		var branch *avro.SchemaNode
		null := false
		for i := range n.Branches {
			if n.Branches[i].Type == "null" {
				null = true
			} else if branch != nil {
				return nil, false, errNotImplemented("an Avro union of several types (field %s)", name)
			} else {
				branch = &n.Branches[i]
			}
		}
		if branch == nil {
			return nil, false, errInvalid("Avro field %s is only null", name)
		}
		t, required, err = avroType(branch, name, logical)
		return t, required && !null, err
	}
	if logical || n.LogicalType == "decimal" {
		switch n.LogicalType {
		case "timestamp-micros", "timestamp-millis":
			return googlesql.TTimestamp, true, nil
		case "local-timestamp-micros", "local-timestamp-millis":
			return googlesql.TDatetime, true, nil
		case "date":
			return googlesql.TDate, true, nil
		case "decimal":
			if n.Scale > 9 || n.Precision-n.Scale > 29 {
				return nil, false, errNotImplemented("an Avro decimal of precision %d and scale %d (field %s)", n.Precision, n.Scale, name)
			}
			return googlesql.TNumeric, true, nil
		case "time-micros", "time-millis":
			return nil, false, errNotImplemented("type TIME (field %s)", name)
		}
	}
	switch n.Type {
	case "boolean":
		return googlesql.TBool, true, nil
	case "int", "long":
		return googlesql.TInt64, true, nil
	case "float", "double":
		return googlesql.TFloat64, true, nil
	case "bytes", "fixed":
		return googlesql.TBytes, true, nil
	case "string", "enum":
		return googlesql.TString, true, nil
	case "array":
		elem, _, err := avroType(n.Items, name, logical)
		if err != nil {
			return nil, false, err
		}
		if elem.Kind == googlesql.Array {
			return nil, false, errNotImplemented("an Avro array of arrays (field %s)", name)
		}
		return googlesql.ArrayOf(elem), false, nil
	case "record":
		t := &googlesql.Type{Kind: googlesql.Struct}
		for _, f := range n.Fields {
			ft, _, err := avroType(&f.Type, name+"."+f.Name, logical)
			if err != nil {
				return nil, false, err
			}
			t.Fields = append(t.Fields, googlesql.Field{Name: f.Name, Type: ft})
		}
		return t, true, nil
	}
	return nil, false, errNotImplemented("Avro type %s (field %s)", n.Type, name)
}

func (s *avroSource) close() {}

func (s *avroSource) columns() []googlesql.Column { return slices.Clone(s.cols) }

func (s *avroSource) bind(cols []googlesql.Column) (err error) {
	s.into = cols
	s.to, err = matchColumns(s.cols, cols)
	return err
}

func (s *avroSource) next(row []driver.Value) (bool, error) {
	var rec map[string]any
	if err := s.r.Decode(&rec); errors.Is(err, io.EOF) {
		return false, nil
	} else if err != nil {
		return false, errInvalid("The Apache Avro library failed to parse the file: %s", err)
	}
	for i, c := range s.into {
		row[i] = nil
		if s.to[i] < 0 {
			if c.Type.Kind == googlesql.Array {
				row[i] = []any{}
			}
			continue
		}
		v, err := avroValue(rec[s.cols[s.to[i]].Name], c.Type)
		if err != nil {
			return false, fieldError(c.Name, "Field "+c.Name+": "+err.Error())
		}
		row[i] = v
	}
	return true, nil
}

// avroValue converts a decoded Avro value to one that DuckDB's appender takes.
func avroValue(v any, t *googlesql.Type) (any, error) {
	if v == nil {
		if t.Kind == googlesql.Array {
			return []any{}, nil
		}
		return nil, nil
	}
	switch t.Kind {
	case googlesql.Int64:
		switch v := v.(type) {
		case int32:
			return int64(v), nil
		case int64:
			return v, nil
		case time.Time: // a logical type that is not asked for
			return v.UnixMicro(), nil
		}
	case googlesql.Float64:
		switch v := v.(type) {
		case float32:
			return float64(v), nil
		case float64:
			return v, nil
		case int32:
			return float64(v), nil
		case int64:
			return float64(v), nil
		}
	case googlesql.Bool:
		if b, ok := v.(bool); ok {
			return b, nil
		}
	case googlesql.String:
		switch v := v.(type) {
		case string:
			return v, checkText(v)
		case [16]byte:
			h := hex.EncodeToString(v[:])
			return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
		}
	case googlesql.Bytes:
		if b, ok := v.([]byte); ok {
			return slices.Clone(b), nil
		}
	case googlesql.Timestamp, googlesql.Datetime:
		if ts, ok := v.(time.Time); ok {
			return ts.UTC(), nil
		}
	case googlesql.Date:
		if ts, ok := v.(time.Time); ok {
			return ts.UTC(), nil
		}
	case googlesql.Numeric:
		return avroDecimal(v)
	case googlesql.Array:
		list, ok := v.([]any)
		if !ok {
			break
		}
		out := make([]any, len(list))
		for i, e := range list {
			var err error
			if out[i], err = avroValue(e, t.Elem); err != nil {
				return nil, err
			}
			if out[i] == nil {
				return nil, errors.New("an array cannot have a null element")
			}
		}
		return out, nil
	case googlesql.Struct:
		rec, ok := v.(map[string]any)
		if !ok {
			break
		}
		out := map[string]any{}
		for i, f := range t.Fields {
			fv, err := avroValue(rec[f.Name], f.Type)
			if err != nil {
				return nil, err
			}
			out[fmt.Sprintf("f%d", i)] = fv
		}
		return out, nil
	}
	return nil, fmt.Errorf("an Avro value of Go type %T cannot be loaded as %s", v, t)
}

func avroDecimal(v any) (any, error) {
	text := ""
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case *big.Rat:
		text = v.FloatString(9)
	case big.Rat:
		text = v.FloatString(9)
	case int32:
		text = fmt.Sprint(v)
	case int64:
		text = fmt.Sprint(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%v is not a NUMERIC", v)
		}
		text = fmt.Sprint(v)
	default:
		return nil, fmt.Errorf("an Avro value of Go type %T cannot be loaded as NUMERIC", v)
	}
	return parseDecimal(text)
}
