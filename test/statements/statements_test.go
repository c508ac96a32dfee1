package statements

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/compare"
)

// outFile names the file that the statements are written to.
const outFile = "KAPPA_STATEMENTS"

// needsIn are the needs if the statement reads their tables: several statements may
// have one purpose.
func (w *world) needsIn(needs []Need, sql string) []Need {
	for i := len(w.views) - 1; i >= 0; i-- { // views of views are made later
		if strings.Contains(sql, "`"+w.views[i].name+"`") {
			sql += w.views[i].query
		}
	}
	for _, n := range needs {
		if !strings.Contains(sql, "`"+n.Table+"`") {
			return nil
		}
	}
	return needs
}

// purposeSample labels SQL that reports show to be copied.
const purposeSample = "sample"

// runSamples runs the SQL to copy that a report shows: of each class and cause one key.
func (w *world) runSamples(t *testing.T, s *service, res *compare.Result) {
	t.Helper()
	seen := map[string]bool{}
	for _, sample := range res.Samples {
		if kind := sample.Class + sample.Cause; seen[kind] {
			continue
		} else {
			seen[kind] = true
		}
		s.copied(t, sample.SQL, sample.Window)
	}
}

// copied runs statements as a person would who has copied them. Those of a side that
// is a query say in a comment what to give for its bounds.
func (s *service) copied(t *testing.T, text string, window time.Time) {
	t.Helper()
	for _, sql := range strings.Split(strings.TrimSuffix(text, ";"), ";\n") {
		q := s.client.Query(sql)
		q.Labels = map[string]string{"kappa_phase": purposeSample}
		if strings.Contains(sql, "@from") {
			q.Parameters = []bigquery.QueryParameter{{Name: "from", Value: window}, {Name: "to", Value: window.Add(time.Hour)}}
		}
		job, err := q.Run(t.Context())
		if err == nil {
			var st *bigquery.JobStatus
			if st, err = job.Wait(t.Context()); err == nil {
				err = st.Err()
			}
		}
		switch {
		case err != nil && strings.Contains(err.Error(), "not supported by the sandbox"):
			// A person's BigQuery has it: other judges run it.
			s.refused = append(s.refused, Statement{Purpose: purposeSample, SQL: sql, Parameters: json.RawMessage("[]"), Written: true})
		case err != nil:
			t.Errorf("SQL to copy does not run: %v\n%s", err, sql)
		}
	}
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
			for _, c := range sc.causes {
				if res.CauseCounts()[c] == 0 {
					t.Errorf("no key has the cause %s: %v", c, res.CauseCounts())
				}
			}
			w.runSamples(t, s, res)
			if sc.further != nil {
				sc.further(t, w, s)
			}
			named := map[string]int{}
			for _, q := range s.rec.take() {
				if slices.ContainsFunc(s.refused, func(st Statement) bool { return st.SQL == q.sql }) {
					continue
				}
				if q.purpose == "" {
					t.Errorf("a job without the label kappa_phase:\n%s", q.sql)
				}
				name := sc.name + "/" + q.purpose
				if named[name]++; named[name] > 1 {
					name += fmt.Sprintf("-%d", named[name])
				}
				x.Statements = append(x.Statements, Statement{Name: name, Purpose: q.purpose, Dataset: w.dataset, SQL: q.sql,
					Parameters: q.params, Processed: q.processed, Billed: q.billed, DryRun: q.dry, Needs: w.needsIn(sc.needs[q.purpose], q.sql)})
			}
			for i, st := range s.refused {
				st.Name, st.Dataset = fmt.Sprintf("%s/refused-%s-%d", sc.name, st.Purpose, i+1), w.dataset
				x.Statements = append(x.Statements, st)
			}
			s.refused = nil
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
	have := map[string]bool{}
	for _, st := range x.Statements {
		have[st.Purpose] = true
	}
	for _, m := range unrecorded(t, filepath.Join("..", "..", "compare"), have) {
		t.Errorf("no statement was recorded of the purpose in %s", m)
	}
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
