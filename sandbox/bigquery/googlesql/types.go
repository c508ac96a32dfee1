package googlesql

import (
	"fmt"
	"strings"
)

// Kind is a GoogleSQL type constructor.
type Kind int

// The kinds that the sandbox knows.
const (
	Int64 Kind = iota + 1
	Float64
	Numeric
	Bool
	String
	Bytes
	Date
	Datetime
	Timestamp
	Interval
	Array
	Struct
)

var kindNames = map[Kind]string{
	Int64: "INT64", Float64: "FLOAT64", Numeric: "NUMERIC", Bool: "BOOL", String: "STRING", Bytes: "BYTES",
	Date: "DATE", Datetime: "DATETIME", Timestamp: "TIMESTAMP", Interval: "INTERVAL", Array: "ARRAY", Struct: "STRUCT",
}

func (k Kind) String() string { return kindNames[k] }

// Type is a GoogleSQL type. Types are immutable and compared with Equal.
type Type struct {
	Kind   Kind
	Elem   *Type   // of an ARRAY
	Fields []Field // of a STRUCT
}

// Field is a field of a STRUCT; its name may be empty.
type Field struct {
	Name string
	Type *Type
}

// Simple types.
var (
	TInt64     = &Type{Kind: Int64}
	TFloat64   = &Type{Kind: Float64}
	TNumeric   = &Type{Kind: Numeric}
	TBool      = &Type{Kind: Bool}
	TString    = &Type{Kind: String}
	TBytes     = &Type{Kind: Bytes}
	TDate      = &Type{Kind: Date}
	TDatetime  = &Type{Kind: Datetime}
	TTimestamp = &Type{Kind: Timestamp}
	TInterval  = &Type{Kind: Interval}
)

// ArrayOf returns ARRAY<elem>.
func ArrayOf(elem *Type) *Type { return &Type{Kind: Array, Elem: elem} }

// SimpleType returns the simple type of a GoogleSQL or API name, nil if the
// sandbox does not know it.
func SimpleType(name string) *Type {
	switch strings.ToUpper(name) {
	case "INT64", "INTEGER", "INT", "SMALLINT", "BIGINT", "TINYINT", "BYTEINT":
		return TInt64
	case "FLOAT64", "FLOAT":
		return TFloat64
	case "NUMERIC", "DECIMAL":
		return TNumeric
	case "BOOL", "BOOLEAN":
		return TBool
	case "STRING":
		return TString
	case "BYTES":
		return TBytes
	case "DATE":
		return TDate
	case "DATETIME":
		return TDatetime
	case "TIMESTAMP":
		return TTimestamp
	case "INTERVAL":
		return TInterval
	}
	return nil
}

// String is the GoogleSQL name of t; nil is the type of a bare NULL.
func (t *Type) String() string {
	if t == nil {
		return "NULL"
	}
	switch t.Kind {
	case Array:
		return "ARRAY<" + t.Elem.String() + ">"
	case Struct:
		var b strings.Builder
		for i, f := range t.Fields {
			if i > 0 {
				b.WriteString(", ")
			}
			if f.Name != "" {
				b.WriteString(f.Name + " ")
			}
			b.WriteString(f.Type.String())
		}
		return "STRUCT<" + b.String() + ">"
	default:
		return t.Kind.String()
	}
}

// Equal reports whether t and u are the same type but for field names.
func (t *Type) Equal(u *Type) bool {
	if t == nil || u == nil {
		return t == u
	}
	if t.Kind != u.Kind || len(t.Fields) != len(u.Fields) {
		return false
	}
	if t.Kind == Array {
		return t.Elem.Equal(u.Elem)
	}
	for i := range t.Fields {
		if !t.Fields[i].Type.Equal(u.Fields[i].Type) {
			return false
		}
	}
	return true
}

// DuckDB is the DuckDB type that stores t. TIMESTAMP and DATETIME are both
// DuckDB's naive TIMESTAMP, in UTC.
func (t *Type) DuckDB() string {
	switch t.Kind {
	case Int64:
		return "BIGINT"
	case Float64:
		return "DOUBLE"
	case Numeric:
		return "DECIMAL(38,9)"
	case Bool:
		return "BOOLEAN"
	case String:
		return "VARCHAR"
	case Bytes:
		return "BLOB"
	case Date:
		return "DATE"
	case Datetime, Timestamp:
		return "TIMESTAMP"
	case Interval:
		return "INTERVAL"
	case Array:
		return t.Elem.DuckDB() + "[]"
	case Struct:
		var b strings.Builder
		for i, f := range t.Fields {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "f%d %s", i, f.Type.DuckDB())
		}
		return "STRUCT(" + b.String() + ")"
	}
	panic("unknown kind " + t.Kind.String())
}

func (t *Type) is(kinds ...Kind) bool {
	if t == nil {
		return false
	}
	for _, k := range kinds {
		if t.Kind == k {
			return true
		}
	}
	return false
}

func (t *Type) numeric() bool { return t.is(Int64, Float64, Numeric) }

// orderable reports whether values of t can be compared with < and sorted.
func (t *Type) orderable() bool { return t == nil || !t.is(Array, Struct) }
