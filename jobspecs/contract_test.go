package jobspecs_test

import (
	"fmt"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// TestNamesOfTableColumnsAreTaken: a spec cannot give a field the name of a
// column that the tables have of their own, nor a table a fixed name.
func TestNamesOfTableColumnsAreTaken(t *testing.T) {
	const stream = `apiVersion: kappa/v1
kind: StreamJob
metadata: {name: a}
spec:
  project: kappa-demo
  region: us-central1
  template: gs://t/t.json
  staging: gs://s/s
  sources: {subscriptionPrefix: s-, count: 1}
  event: {fields: [{name: origin, type: STRING}, {name: FIELD, type: INT64}]}
  horizon: 1d
  aggregations:
    - {name: a, dimensions: [origin], window: 1h, measures: [{name: MEASURE, type: count}], table: TABLE}
  sinks: {bigquery: {dataset: d, raw: raw, late: late}, bigtable: {instance: kappa-demo, table: t}}
`
	load := func(field, measure, table string) error {
		text := strings.NewReplacer("FIELD", field, "MEASURE", measure, "TABLE", table).Replace(stream)
		_, err := jobspecs.Parse("spec.yaml", []byte(text), jobspecs.Vars{})
		return err
	}
	if err := load("delay", "n", "hourly"); err != nil {
		t.Fatal(err)
	}
	ev := jobspecs.Event{}
	agg := jobspecs.Aggregation{Name: "a", Table: "t"}
	for _, c := range columns(tables.Raw("raw", ev), tables.Late("late", ev)) {
		if load(c, "n", "hourly") == nil {
			t.Errorf("an event field can be named %s, as a column of the raw or late table", c)
		}
	}
	for _, c := range columns(tables.Aggregate(agg, ev)) {
		if load("delay", c, "hourly") == nil {
			t.Errorf("a measure can be named %s, as a column of the aggregate table", c)
		}
	}
	for _, name := range []string{tables.Generations, tables.Watermarks, tables.BatchLoads} {
		if load("delay", "n", name) == nil {
			t.Errorf("a table can be named %s", name)
		}
	}
}

func TestNamesOfBatchColumnsAreTaken(t *testing.T) {
	const batch = "apiVersion: kappa/v1\nkind: BatchLoad\nmetadata: {name: a}\nspec:\n  project: kappa-demo\n  source: {uri: gs://b/}\n  dataset: d\n  table: t\n  keys: [{name: k, type: STRING}]\n  metrics: [{name: %s, type: INT64}]\n"
	for _, c := range columns(tables.Batch(jobspecs.BatchLoadSpec{})) {
		if _, err := jobspecs.Parse("spec.yaml", fmt.Appendf(nil, batch, c), jobspecs.Vars{}); err == nil {
			t.Errorf("a metric can be named %s", c)
		}
	}
}

func columns(ts ...tables.Table) []string {
	var out []string
	for _, t := range ts {
		out = append(out, names(t.Schema)...)
	}
	return out
}

func names(s bigquery.Schema) []string {
	var out []string
	for _, f := range s {
		out = append(out, f.Name)
	}
	return out
}
