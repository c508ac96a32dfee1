package bigquery

import (
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

// widens reports whether a value of type from may be loaded into to.
func widens(from, to *googlesql.Type) bool {
	if from.Equal(to) {
		return true
	}
	return from.Kind == googlesql.Int64 && (to.Kind == googlesql.Float64 || to.Kind == googlesql.Numeric)
}

// matchColumns finds, for every column of the table, the file's by name; -1:
// the file has none, and the column is NULL.
func matchColumns(file, table []googlesql.Column) ([]int, error) {
	to := make([]int, len(table))
	for _, c := range file {
		if !slices.ContainsFunc(table, func(o googlesql.Column) bool { return strings.EqualFold(o.Name, c.Name) }) {
			return nil, errInvalid("Provided Schema does not match Table. Cannot add fields (field: %s)", c.Name)
		}
	}
	for i, c := range table {
		to[i] = slices.IndexFunc(file, func(o googlesql.Column) bool { return strings.EqualFold(o.Name, c.Name) })
		if to[i] < 0 {
			if c.Required {
				return nil, errInvalid("Provided Schema does not match Table. Field %s is missing in new schema", c.Name)
			}
			continue
		}
		from := file[to[i]]
		if !widens(from.Type, c.Type) {
			return nil, errInvalid("Provided Schema does not match Table. Field %s has changed type from %s to %s", c.Name, c.Type, from.Type)
		}
	}
	return to, nil
}
