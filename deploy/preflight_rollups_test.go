package deploy

import (
	"strings"
	"testing"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestSetsDiffer(t *testing.T) {
	event := jobspecs.Event{Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}, {Name: "rollup", Type: "STRING"}}}
	plain := jobspecs.Aggregation{Name: "a", Dimensions: []string{"origin"}, Table: "t"}
	rolled, named := plain, plain
	rolled.Rollups = [][]string{{}}
	named.Dimensions = []string{"rollup"} // a field of that name
	loose := tables.Aggregate(rolled, event).Schema
	loose[0] = &bigquery.FieldSchema{Name: "Rollup", Type: bigquery.StringFieldType} // as ALTER COLUMN leaves it
	for _, c := range []struct {
		name string
		want tables.Table
		have bigquery.Schema
		text string
	}{
		{"without", tables.Aggregate(plain, event), tables.Aggregate(plain, event).Schema, ""},
		{"with", tables.Aggregate(rolled, event), tables.Aggregate(rolled, event).Schema, ""},
		{"rollups added", tables.Aggregate(rolled, event), tables.Aggregate(plain, event).Schema, "has rows of one set"},
		{"rollups removed", tables.Aggregate(plain, event), tables.Aggregate(rolled, event).Schema, "has rows of several sets"},
		{"rollups removed, and the column not required", tables.Aggregate(plain, event), loose, "has rows of several sets"},
		{"a dimension of that name", tables.Aggregate(named, event), tables.Aggregate(named, event).Schema, ""},
		{"the raw table", tables.Raw("raw", jobspecs.Event{}), tables.Raw("raw", event).Schema, ""},
	} {
		if got := setsDiffer(c.want, c.have); (got == "") != (c.text == "") || !strings.HasPrefix(got, c.text) {
			t.Errorf("%s: %q, want %q", c.name, got, c.text)
		}
	}
}
