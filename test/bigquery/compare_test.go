//go:build bigquery

package bigquery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// envKappa names the program kappa.
const envKappa = "KAPPA_BIN"

const wholeSpec = `apiVersion: kappa/v1
kind: Comparison
metadata: {name: whole}
spec:
  environment: sandbox
  project: kappa-demo
  dataset: whole
  batch: {table: old_sales, time: hour, settledBy: clock}
  stream: {table: new_sales, time: starts}
  keys: [{name: region, type: STRING, stream: area}]
  window: 1h
  metrics:
    - {name: n, type: count, stream: orders}
    - {name: revenue, type: sum, value: NUMERIC, stream: cents}
  gate: {days: 0, minExactPercent: 95}
`

// wholeRows are keys of every class that plain tables have: region, n and revenue on
// the batch side, and on the stream's.
var wholeRows = []struct {
	hour          int
	region        any
	batch, stream []any
}{
	{0, "north", []any{3, "12345678901234567890123456789.123456789"}, []any{3, "12345678901234567890123456789.123456789"}},
	{1, "north", []any{3, "12345678901234567890123456789.123456789"}, []any{3, "12345678901234567890123456789.123456788"}},
	{0, "south", []any{4, "0.000000001"}, []any{5, "0.000000001"}},
	{2, "south", []any{1, nil}, []any{1, "0"}},
	{2, nil, []any{7, "1"}, []any{7, "1"}},
	{3, "Å“\"'", []any{1, "1"}, nil},
	{3, "east", nil, []any{1, "-1.5"}},
	{30, "east", []any{9, "9"}, []any{8, "8"}}, // beyond the range
}

// whole makes the world of a whole run, as the API's clients do.
func (s service) whole(t *testing.T) {
	t.Helper()
	const project, dataset = "kappa-demo", "whole"
	s.must(t, s.call(t.Context(), http.MethodPost, project+"/datasets", object{"datasetReference": object{"projectId": project, "datasetId": dataset}}, nil))
	sides := []struct {
		table  string
		names  []string
		values func(i int) []any
	}{
		{"old_sales", []string{"hour", "region", "n", "revenue"}, func(i int) []any { return wholeRows[i].batch }},
		{"new_sales", []string{"starts", "area", "orders", "cents"}, func(i int) []any { return wholeRows[i].stream }},
	}
	for _, side := range sides {
		var fields []object
		for i, typ := range []string{"TIMESTAMP", "STRING", "INTEGER", "NUMERIC"} {
			fields = append(fields, object{"name": side.names[i], "type": typ, "mode": "NULLABLE"})
		}
		path := project + "/datasets/" + dataset + "/tables"
		s.must(t, s.call(t.Context(), http.MethodPost, path, object{"tableReference": object{"projectId": project, "datasetId": dataset, "tableId": side.table},
			"schema": object{"fields": fields}, "timePartitioning": object{"type": "DAY", "field": side.names[0]}}, nil))
		var rows []object
		for i, r := range wholeRows {
			v := side.values(i)
			if v == nil {
				continue
			}
			at := fmt.Sprintf("2001-01-%02dT%02d:00:00Z", 8+r.hour/24, r.hour%24)
			row := object{side.names[0]: at, side.names[2]: v[0]}
			if r.region != nil {
				row[side.names[1]] = r.region
			}
			if v[1] != nil {
				row[side.names[3]] = v[1]
			}
			rows = append(rows, object{"json": row})
		}
		// Twice: the key has two rows.
		rows = append(rows, object{"json": object{side.names[0]: "2001-01-08T04:00:00Z", side.names[1]: "west", side.names[2]: 1, side.names[3]: "1"}})
		if side.table == "old_sales" {
			rows = append(rows, rows[len(rows)-1])
		}
		s.must(t, s.call(t.Context(), http.MethodPost, path+"/"+side.table+"/insertAll", object{"rows": rows}, nil))
	}
}

// apart are what two runs never have in common: when they were, how long they took, and
// what they cost, with the ids of their jobs. Neither service is BigQuery: the emulator
// counts no bytes at all.
var apart = regexp.MustCompile(`^(started|seconds|cost|id)$`)

// result is the result of a run without that.
func result(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return strip(v)
}

func strip(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if apart.MatchString(k) {
				delete(v, k)
			} else {
				v[k] = strip(e)
			}
		}
	case []any:
		for i := range v {
			v[i] = strip(v[i])
		}
	}
	return v
}

// TestWholeRun runs the program against both services, from preflight to report, and
// finds the same results. Its sides are tables: the emulator does not say which columns
// a view has. Nor is there evidence in it: where the emulator runs those statements
// differently (differences_test.go), a program that sends them as they are would fail.
func TestWholeRun(t *testing.T) {
	kappa := os.Getenv(envKappa)
	if _, err := os.Stat(kappa); kappa == "" || err != nil {
		t.Fatalf("%s names no program (%q): run `make test-bigquery`, which builds it", envKappa, kappa)
	}
	for _, s := range services() {
		s.whole(t)
	}
	spec := filepath.Join(t.TempDir(), "compare.yaml")
	if err := os.WriteFile(spec, []byte(wholeSpec), 0o644); err != nil {
		t.Fatal(err)
	}
	var results []any
	for _, s := range services() {
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(t.Context(), kappa, "compare", "run", "-f", spec, "--from", "2001-01-08", "--to", "2001-01-08T08:00:00Z", "--output", "json", "--state", t.TempDir())
		cmd.Env = append(os.Environ(), "BIGQUERY_EMULATOR_HOST="+s.addr)
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 10 {
			t.Fatalf("%s: %v, want exit code 10, for most keys differ\n%s", s.name, err, errs.String())
		}
		results = append(results, result(t, out.Bytes()))
	}
	counts := results[0].(map[string]any)["keys"].(map[string]any)
	for _, class := range []string{"exact", "mismatch", "missing", "extra", "nonunique"} {
		if n := fmt.Sprint(counts[class]); n == "0" {
			t.Errorf("no key is %s: %v", class, counts)
		}
	}
	if diff := cmp.Diff(results[0], results[1]); diff != "" {
		t.Errorf("results (-sandbox +emulator):\n%s", diff)
	}
}
