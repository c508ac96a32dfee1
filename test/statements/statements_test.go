package statements

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kappa-migrate/kappa/compare"
)

// outFile names the file that the statements are written to.
const outFile = "KAPPA_STATEMENTS"

// needsIn are the needs if the statement reads their tables: several statements may
// have one purpose.
func needsIn(needs []Need, sql string) []Need {
	for _, n := range needs {
		if !strings.Contains(sql, "`"+n.Table+"`") {
			return nil
		}
	}
	return needs
}

// TestStatements runs kappa in every world and records what it sends.
func TestStatements(t *testing.T) {
	s := start(t)
	var x Exchange
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			w := sc.build(t, sc.name)
			w.create(t, s)
			s.rec.take()
			res := w.run(t, s, compare.Range{})
			if res.Counts.Total != sc.keys {
				t.Errorf("%d keys, want %d: %s", res.Counts.Total, sc.keys, res.Verdict.Rule)
			}
			if sc.further != nil {
				sc.further(t, w, s)
			}
			named := map[string]int{}
			for _, q := range s.rec.take() {
				if q.purpose == "" {
					t.Errorf("a job without the label kappa_phase:\n%s", q.sql)
				}
				name := sc.name + "/" + q.purpose
				if named[name]++; named[name] > 1 {
					name += fmt.Sprintf("-%d", named[name])
				}
				x.Statements = append(x.Statements, Statement{Name: name, Purpose: q.purpose, Dataset: w.dataset, SQL: q.sql,
					Parameters: q.params, Processed: q.processed, Billed: q.billed, DryRun: q.dry, Needs: needsIn(sc.needs[q.purpose], q.sql)})
			}
			for purpose, needs := range sc.needs {
				if !slices.ContainsFunc(x.Statements, func(st Statement) bool {
					return st.Dataset == w.dataset && st.Purpose == purpose && len(st.Needs) == len(needs)
				}) {
					t.Errorf("no %s statement was sent that reads what it should", purpose)
				}
			}
			of, err := w.exchange(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			x.Tables = append(x.Tables, of...)
		})
	}
	written(t, &x)
	path := os.Getenv(outFile)
	if path == "" || t.Failed() {
		return
	}
	data, err := json.MarshalIndent(x, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
