package bigquery

import (
	"fmt"
	"regexp"
	"strings"

	bq "google.golang.org/api/bigquery/v2"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

var fieldName = regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}_-]{0,299}$`)

// typeOf returns the type of a field, or refuses it by name.
func typeOf(f *bq.TableFieldSchema) (*googlesql.Type, error) {
	if !fieldName.MatchString(f.Name) {
		return nil, errInvalid("Invalid field name %q. Fields must contain only letters, numbers, and underscores, start with a letter or underscore, and be at most 300 characters long.", f.Name)
	}
	switch {
	case f.DefaultValueExpression != "":
		return nil, errNotImplemented("a default value (field %s)", f.Name)
	case f.Precision != 0 || f.Scale != 0 || f.MaxLength != 0:
		return nil, errNotImplemented("a parameterized type (field %s)", f.Name)
	case f.Collation != "":
		return nil, errNotImplemented("a collation (field %s)", f.Name)
	case f.PolicyTags != nil && len(f.PolicyTags.Names) > 0:
		return nil, errNotImplemented("policy tags (field %s)", f.Name)
	case f.GeneratedColumn != nil || f.TimestampPrecision != nil && *f.TimestampPrecision != 6:
		return nil, errNotImplemented("a generated column or timestamp precision (field %s)", f.Name)
	}
	var t *googlesql.Type
	switch up := strings.ToUpper(f.Type); up {
	case "RECORD", "STRUCT":
		t = &googlesql.Type{Kind: googlesql.Struct}
		if len(f.Fields) == 0 {
			return nil, errInvalid("Field %s is type RECORD but has no schema", f.Name)
		}
		for _, sub := range f.Fields {
			st, err := typeOf(sub)
			if err != nil {
				return nil, err
			}
			t.Fields = append(t.Fields, googlesql.Field{Name: sub.Name, Type: st})
		}
	case "INT", "SMALLINT", "BIGINT", "TINYINT", "BYTEINT", "DECIMAL", "INTERVAL":
		return nil, errNotImplemented("type %s (field %s)", up, f.Name)
	case "":
		return nil, errInvalid("Field %s has no type", f.Name)
	default:
		if t = googlesql.SimpleType(up); t == nil {
			return nil, errNotImplemented("type %s (field %s)", f.Type, f.Name)
		}
	}
	switch strings.ToUpper(f.Mode) {
	case "", "NULLABLE", "REQUIRED":
		return t, nil
	case "REPEATED":
		return googlesql.ArrayOf(t), nil
	}
	return nil, errInvalid("Field %s has invalid mode %s", f.Name, f.Mode)
}

// columnsOf returns the columns of a schema. Physical names are c0, c1, … so
// that no name of a user's ever reaches DuckDB.
func columnsOf(schema *bq.TableSchema) ([]googlesql.Column, error) {
	if schema == nil {
		return nil, nil
	}
	seen := map[string]bool{}
	var cols []googlesql.Column
	for i, f := range schema.Fields {
		t, err := typeOf(f)
		if err != nil {
			return nil, err
		}
		if up := strings.ToUpper(f.Name); seen[up] {
			return nil, errInvalid("Field %s already exists in schema", f.Name)
		} else {
			seen[up] = true
		}
		cols = append(cols, googlesql.Column{
			Name: f.Name, Physical: fmt.Sprintf("c%d", i), Type: t, Required: strings.EqualFold(f.Mode, "REQUIRED"),
		})
	}
	return cols, nil
}

// apiNames are the names of types in table schemas, which are the old ones.
var apiNames = map[googlesql.Kind]string{googlesql.Int64: "INTEGER", googlesql.Float64: "FLOAT", googlesql.Bool: "BOOLEAN", googlesql.Struct: "RECORD"}

// schemaOf is the schema of a result.
func schemaOf(cols []googlesql.Column) *bq.TableSchema {
	s := &bq.TableSchema{}
	for _, c := range cols {
		s.Fields = append(s.Fields, fieldOf(c.Name, c.Type, c.Required))
	}
	return s
}

func fieldOf(name string, t *googlesql.Type, required bool) *bq.TableFieldSchema {
	f := &bq.TableFieldSchema{Name: name, Mode: "NULLABLE"}
	if required {
		f.Mode = "REQUIRED"
	}
	if t.Kind == googlesql.Array {
		f.Mode, t = "REPEATED", t.Elem
	}
	f.Type = t.Kind.String()
	if n, ok := apiNames[t.Kind]; ok {
		f.Type = n
	}
	for i, sub := range t.Fields {
		n := sub.Name
		if n == "" {
			n = fmt.Sprintf("_field_%d", i+1)
		}
		f.Fields = append(f.Fields, fieldOf(n, sub.Type, false))
	}
	return f
}

// createSQL creates the DuckDB table of a schema.
func createSQL(physical string, cols []googlesql.Column) string {
	defs := make([]string, len(cols))
	for i, c := range cols {
		defs[i] = c.Physical + " " + c.Type.DuckDB()
		if c.Required {
			defs[i] += " NOT NULL"
		}
	}
	return "CREATE TABLE " + physical + " (" + strings.Join(defs, ", ") + ")"
}

// bytesSQL is an expression of the size of a column's values by Google's table
// of data types; NULL counts nothing.
func bytesSQL(x string, t *googlesql.Type) string {
	switch t.Kind {
	case googlesql.Bool:
		return "count(" + x + ")"
	case googlesql.Numeric, googlesql.Interval:
		return "16 * count(" + x + ")"
	case googlesql.String:
		return "coalesce(sum(2 + strlen(" + x + ")), 0)"
	case googlesql.Bytes:
		return "coalesce(sum(2 + octet_length(" + x + ")), 0)"
	case googlesql.Array, googlesql.Struct:
		return "coalesce(sum(" + valueBytes(x, t, 0) + "), 0)"
	}
	return "8 * count(" + x + ")"
}

// valueBytes is the size of one value.
func valueBytes(x string, t *googlesql.Type, depth int) string {
	null := func(s string) string { return "CASE WHEN " + x + " IS NULL THEN 0 ELSE " + s + " END" }
	switch t.Kind {
	case googlesql.Bool:
		return null("1")
	case googlesql.Numeric, googlesql.Interval:
		return null("16")
	case googlesql.String:
		return null("2 + strlen(" + x + ")")
	case googlesql.Bytes:
		return null("2 + octet_length(" + x + ")")
	case googlesql.Array:
		v := fmt.Sprintf("e%d", depth)
		return "coalesce(list_sum(list_transform(" + x + ", lambda " + v + ": " + valueBytes(v, t.Elem, depth+1) + ")), 0)"
	case googlesql.Struct:
		parts := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			parts[i] = valueBytes(fmt.Sprintf("struct_extract(%s, 'f%d')", x, i), f.Type, depth)
		}
		return "(" + strings.Join(parts, " + ") + ")"
	}
	return null("8")
}
