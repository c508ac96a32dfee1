package statements

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// bignumeric is a comparison by a type that the sandbox does not have: its statements
// are written, not recorded, and only the analyser judges them.
const bignumeric = plainHead + `  batch: {table: old_sales, time: hour, settledBy: clock}
  stream: {table: new_sales, time: starts}
  keys: [{name: region, type: STRING, stream: area}]
  window: 1h
  metrics:
    - {name: revenue, type: sum, value: BIGNUMERIC, stream: cents, tolerance: {absolute: 0.00000000000000000001, relative: 0.1}}
    - {name: highest, type: max, value: BIGNUMERIC, batch: revenue, stream: cents, nulls: zero}
`

// written adds them to an exchange.
func written(t *testing.T, x *Exchange) {
	t.Helper()
	const name = "bignumeric"
	set, err := jobspecs.Parse(name+".yaml", []byte(strings.ReplaceAll(bignumeric, "DATASET", name)), jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	side := func(table string, columns ...string) (Table, bigquery.Schema) {
		out := Table{Project: project, Dataset: name, Name: table, Partition: columns[0], Rows: []map[string]any{}}
		var schema bigquery.Schema
		for i, typ := range []bigquery.FieldType{bigquery.TimestampFieldType, bigquery.StringFieldType, bigquery.BigNumericFieldType} {
			out.Columns = append(out.Columns, Column{columns[i], typeName(typ), "NULLABLE"})
			schema = append(schema, &bigquery.FieldSchema{Name: columns[i], Type: typ})
		}
		return out, schema
	}
	batch, batchSchema := side("old_sales", "hour", "region", "revenue")
	stream, streamSchema := side("new_sales", "starts", "area", "cents")
	all, err := compare.Statements(set.Comparisons[0], compare.StatementOptions{Batch: batchSchema, Stream: streamSchema, Spans: []compare.Range{{From: at(0), To: at(8)}}})
	if err != nil {
		t.Fatal(err)
	}
	x.Tables = append(x.Tables, batch, stream)
	for _, s := range all {
		if !strings.Contains(s.SQL, "_sales`") { // those of the control tables are recorded
			continue
		}
		params, err := parameters(s.Parameters)
		if err != nil {
			t.Fatal(err)
		}
		x.Statements = append(x.Statements, Statement{Name: name + "/" + s.Name, Purpose: s.Name, Dataset: name, SQL: s.SQL, Parameters: params, Written: true})
	}
}

// parameters are those of a statement as the API takes them; values are left out.
func parameters(params []bigquery.QueryParameter) (json.RawMessage, error) {
	out := []map[string]any{}
	for _, p := range params {
		typ := map[string]any{}
		switch p.Value.(type) {
		case string:
			typ["type"] = "STRING"
		case int64:
			typ["type"] = "INT64"
		case time.Time:
			typ["type"] = "TIMESTAMP"
		case []string:
			typ["type"], typ["arrayType"] = "ARRAY", map[string]any{"type": "STRING"}
		default:
			return nil, fmt.Errorf("parameter %s is %T", p.Name, p.Value)
		}
		out = append(out, map[string]any{"name": p.Name, "parameterType": typ, "parameterValue": map[string]any{}})
	}
	return json.Marshal(out)
}
