//go:build bigquery

package bigquery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/test/statements"
)

// service is a BigQuery, spoken to as the API is written.
type service struct{ name, addr string }

func services() []service { return []service{{"sandbox", sandboxAddr}, {"emulator", emulatorAddr}} }

// call sends a request; out may be nil.
func (s service) call(ctx context.Context, method, path string, body, out any) error {
	var send io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		send = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.addr+"/bigquery/v2/projects/"+path, send)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if resp.StatusCode >= 300 {
		var e struct {
			Error struct{ Message string }
		}
		_ = json.Unmarshal(data, &e)
		return fmt.Errorf("%s: %s %s: %d %s", s.name, method, path, resp.StatusCode, e.Error.Message)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

type object = map[string]any

// load makes the tables of an exchange and writes their rows.
func (s service) load(t *testing.T, x *statements.Exchange) {
	t.Helper()
	datasets := map[string]bool{}
	// Views last: they read tables.
	tables := slices.Clone(x.Tables)
	slices.SortStableFunc(tables, func(a, b statements.Table) int { return strings.Compare(a.View, b.View) })
	for _, table := range tables {
		if slices.ContainsFunc(table.Columns, func(c statements.Column) bool { return c.Type == "BIGNUMERIC" }) {
			continue
		}
		if !datasets[table.Dataset] {
			datasets[table.Dataset] = true
			s.must(t, s.call(t.Context(), http.MethodPost, table.Project+"/datasets", object{"datasetReference": object{"projectId": table.Project, "datasetId": table.Dataset}}, nil))
		}
		s.must(t, s.call(t.Context(), http.MethodPost, table.Project+"/datasets/"+table.Dataset+"/tables", resource(table), nil))
		for part := range slices.Chunk(table.Rows, 500) {
			rows := make([]object, len(part))
			for i, r := range part {
				rows[i] = object{"json": r}
			}
			var answer struct {
				InsertErrors []any `json:"insertErrors"`
			}
			s.must(t, s.call(t.Context(), http.MethodPost, table.Project+"/datasets/"+table.Dataset+"/tables/"+table.Name+"/insertAll", object{"rows": rows}, &answer))
			if len(answer.InsertErrors) > 0 {
				t.Fatalf("%s: table %s: %v", s.name, table.ID(), answer.InsertErrors[0])
			}
		}
	}
}

func (s service) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// resource is a table as tables.insert takes it.
func resource(table statements.Table) object {
	out := object{"tableReference": object{"projectId": table.Project, "datasetId": table.Dataset, "tableId": table.Name}}
	if table.View != "" {
		out["view"] = object{"query": table.View, "useLegacySql": false}
		return out
	}
	var fields []object
	for _, c := range table.Columns {
		fields = append(fields, object{"name": c.Name, "type": c.Type, "mode": c.Mode})
	}
	out["schema"] = object{"fields": fields}
	if table.Partition != "" {
		out["timePartitioning"] = object{"type": "DAY", "field": table.Partition}
	}
	return out
}

// answer is the rows of a statement, each as a text that is the same for equal
// values, sorted: no order is promised where a statement gives none.
type answer struct {
	columns []string // NAME TYPE
	rows    []string
}

func (a answer) equal(b answer) bool {
	return slices.Equal(a.columns, b.columns) && slices.Equal(a.rows, b.rows)
}

func (s service) query(ctx context.Context, project string, st statements.Statement) (answer, error) {
	var resp struct {
		Schema struct {
			Fields []struct{ Name, Type string }
		}
		Rows []struct {
			F []struct{ V any }
		}
		TotalRows   string
		PageToken   string
		JobComplete bool
		Errors      []struct{ Message string }
	}
	body := object{"query": st.SQL, "useLegacySql": false, "parameterMode": "NAMED", "timeoutMs": 60_000, "maxResults": 10_000,
		"formatOptions":        object{"useInt64Timestamp": true},
		"connectionProperties": []object{{"key": "time_zone", "value": "UTC"}}}
	if len(st.Parameters) > 0 {
		body["queryParameters"] = st.Parameters
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := s.call(ctx, http.MethodPost, project+"/queries", body, &resp); err != nil {
		return answer{}, err
	}
	if len(resp.Errors) > 0 {
		return answer{}, fmt.Errorf("%s: %s", s.name, resp.Errors[0].Message)
	}
	if !resp.JobComplete || resp.PageToken != "" {
		return answer{}, fmt.Errorf("%s: not all rows came in one answer (%s rows)", s.name, resp.TotalRows)
	}
	var a answer
	for _, f := range resp.Schema.Fields {
		a.columns = append(a.columns, f.Name+" "+canonicalType(f.Type))
	}
	for _, r := range resp.Rows {
		cells := make([]string, len(r.F))
		for i, c := range r.F {
			cells[i] = resp.Schema.Fields[i].Name + "=" + canonical(resp.Schema.Fields[i].Type, c.V)
		}
		a.rows = append(a.rows, strings.Join(cells, " "))
	}
	slices.Sort(a.rows)
	return a, nil
}

// canonicalType is one name for each type: the API has two for some.
func canonicalType(t string) string {
	switch t {
	case "INT64":
		return "INTEGER"
	case "FLOAT64":
		return "FLOAT"
	case "BOOL":
		return "BOOLEAN"
	}
	return t
}

// canonical is one text for each value: numbers and times can be written in several
// ways.
func canonical(typ string, v any) string {
	if v == nil {
		return "NULL"
	}
	text := fmt.Sprint(v)
	switch canonicalType(typ) {
	case "FLOAT": // sums depend on the order of the rows, in the last digits
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return strconv.FormatFloat(f, 'g', 12, 64)
		}
	case "INTEGER", "NUMERIC", "BIGNUMERIC":
		if r, ok := new(big.Rat).SetString(text); ok {
			return r.RatString()
		}
	case "TIMESTAMP": // microseconds, or seconds where the option is not known
		if r, ok := new(big.Rat).SetString(text); ok {
			if strings.ContainsAny(text, ".eE") {
				r.Mul(r, big.NewRat(1_000_000, 1))
			}
			return r.RatString()
		}
	case "BOOLEAN":
		return strings.ToLower(text)
	}
	return fmt.Sprintf("%q", text)
}
