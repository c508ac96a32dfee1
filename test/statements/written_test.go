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
// are written, not recorded. The analyser judges them, and an engine that has the type
// runs them (test/analyser).
const bignumeric = plainHead + `  batch: {table: old_sales, time: hour, settledBy: clock}
  stream: {table: new_sales, time: starts}
  keys: [{name: region, type: STRING, stream: area}]
  window: 1h
  metrics:
    - {name: revenue, type: sum, value: BIGNUMERIC, stream: cents, tolerance: {absolute: 0.00000000000000000001, relative: 0.1}}
    - {name: highest, type: max, value: BIGNUMERIC, stream: peak, nulls: zero}
`

// Decimals of 38 digits before the point and 38 after it, of which the second ends
// one higher, and near the greatest of the type: the sum of two is within it by less
// than a thirtieth.
const (
	whole76 = "12345678901234567890123456789012345678.12345678901234567890123456789012345678"
	next76  = "12345678901234567890123456789012345678.12345678901234567890123456789012345679"
	last    = "0.00000000000000000000000000000000000001"
	great   = "280000000000000000000000000000000000000"
)

// decimalKey is a key of the world, and the class that it is in.
type decimalKey struct {
	region        string
	batch, stream []any // revenue and highest; nil: no row
	class         string
}

var decimalKeys = []decimalKey{
	{"equal", []any{whole76, "1"}, []any{whole76, "1"}, "exact"},
	{"the last digit, tolerated", []any{whole76, "1"}, []any{next76, "1"}, "tolerated"},
	{"the last digit, not tolerated", []any{"1", whole76}, []any{"1", next76}, "mismatch"},
	{"the last digit alone", []any{"1", "0"}, []any{"1", last}, "mismatch"},
	{"at the absolute tolerance", []any{"-1", "0"}, []any{"-1.00000000000000000001", "0"}, "tolerated"},
	{"at the relative tolerance", []any{"1000", "0"}, []any{"1001.00100100100100100100100100100100100100", "0"}, "tolerated"},
	{"beyond the relative tolerance", []any{"1000", "0"}, []any{"1001.00100100100100100100100100100100100101", "0"}, "mismatch"},
	{"NULL is zero of one metric", []any{nil, nil}, []any{nil, "0"}, "exact"},
	{"NULL is not zero of the other", []any{"0", "0"}, []any{nil, "0"}, "mismatch"},
	{"great, on the batch side alone", []any{great, great}, nil, "missing"},
	{"great and negative, on the stream side alone", nil, []any{"-" + great, "-" + great}, "extra"},
}

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
		for i, typ := range []bigquery.FieldType{bigquery.TimestampFieldType, bigquery.StringFieldType, bigquery.BigNumericFieldType, bigquery.BigNumericFieldType} {
			out.Columns = append(out.Columns, Column{columns[i], typeName(typ), "NULLABLE"})
			schema = append(schema, &bigquery.FieldSchema{Name: columns[i], Type: typ})
		}
		return out, schema
	}
	batch, batchSchema := side("old_sales", "hour", "region", "revenue", "highest")
	stream, streamSchema := side("new_sales", "starts", "area", "cents", "peak")
	fill := func(t *Table, key decimalKey, values []any) {
		if values == nil {
			return
		}
		row := map[string]any{t.Columns[0].Name: text(at(1)), t.Columns[1].Name: key.region}
		for i, v := range values {
			if v != nil {
				row[t.Columns[2+i].Name] = v
			}
		}
		t.Rows = append(t.Rows, row)
	}
	for _, k := range decimalKeys {
		fill(&batch, k, k.batch)
		fill(&stream, k, k.stream)
	}
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
		st := Statement{Name: name + "/" + s.Name, Purpose: s.Name, Dataset: name, SQL: s.SQL, Parameters: params, Written: true}
		if s.Name == "reconcile" {
			st.Wants = wants()
		}
		x.Statements = append(x.Statements, st)
	}
}

// parameters are those of a statement as the API takes them.
func parameters(params []bigquery.QueryParameter) (json.RawMessage, error) {
	out := []map[string]any{}
	for _, p := range params {
		typ, value := map[string]any{}, map[string]any{}
		switch v := p.Value.(type) {
		case string:
			typ["type"], value["value"] = "STRING", v
		case int64:
			typ["type"], value["value"] = "INT64", fmt.Sprint(v)
		case time.Time:
			typ["type"], value["value"] = "TIMESTAMP", text(v)
		case []string:
			typ["type"], typ["arrayType"] = "ARRAY", map[string]any{"type": "STRING"}
		default:
			return nil, fmt.Errorf("parameter %s is %T", p.Name, p.Value)
		}
		out = append(out, map[string]any{"name": p.Name, "parameterType": typ, "parameterValue": value})
	}
	return json.Marshal(out)
}
