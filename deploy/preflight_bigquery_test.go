package deploy

import (
	"testing"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
)

func TestSchemaDifferences(t *testing.T) {
	field := func(name string, typ bigquery.FieldType, mode string) *bigquery.FieldSchema {
		return &bigquery.FieldSchema{Name: name, Type: typ, Required: mode == "required", Repeated: mode == "repeated"}
	}
	want := bigquery.Schema{field("id", "STRING", "required"), field("n", "INTEGER", "")}
	lacks := difference{"lacks the column n INTEGER", "run: ALTER TABLE `%s` ADD COLUMN n INT64"}
	for _, c := range []struct {
		name string
		have bigquery.Schema
		want []difference
	}{
		{"equal, in another order", bigquery.Schema{want[1], want[0]}, nil},
		{"in another case", bigquery.Schema{want[0], field("N", "INTEGER", "")}, nil},
		{"laxer is fine", bigquery.Schema{field("id", "STRING", ""), want[1], field("more", "STRING", "")}, nil},
		{"missing column", bigquery.Schema{want[0]}, []difference{lacks}},
		{"other type", bigquery.Schema{want[0], field("n", "STRING", "")}, []difference{{"column n is STRING instead of INTEGER", otherTable}}},
		{"stricter", bigquery.Schema{want[0], field("n", "INTEGER", "required")}, []difference{{"column n must be nullable", "run: ALTER TABLE `%s` ALTER COLUMN n DROP NOT NULL"}}},
		{"repeated", bigquery.Schema{want[0], field("n", "INTEGER", "repeated")}, []difference{{"column n is repeated", otherTable}}},
		{"further required column", bigquery.Schema{want[0], want[1], field("more", "STRING", "required")}, []difference{
			{"has the further required column more, which no row would have", "run: ALTER TABLE `%s` ALTER COLUMN more DROP NOT NULL"}}},
		{"all at once", bigquery.Schema{field("id", "BYTES", "required")}, []difference{{"column id is BYTES instead of STRING", otherTable}, lacks}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, schemaDifferences(want, c.have), cmp.AllowUnexported(difference{})); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
	for typ, want := range map[bigquery.FieldType]string{"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "TIMESTAMP": "TIMESTAMP"} {
		if got := sqlType(typ); got != want {
			t.Errorf("%s is %s in SQL, want %s", typ, got, want)
		}
	}
}
