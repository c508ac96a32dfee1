package pipeline

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// totals are an aggregation's values by "dimensions window", each a list of
// the measures as text.
type totals map[string]string

// read applies the reader's rule of package tables to rows: one row for each
// key, window, writer and pane, merged over panes and writers. void writers do
// not count.
func (m *memory) read(t testing.TB, a jobspecs.Aggregation, void ...string) totals {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := map[string]map[string]bigquery.Value{}
	merged := map[string][]partial{}
	for _, row := range m.rows[a.Table] {
		writer := fmt.Sprintf("%v@%v", row["job"], row["generation"])
		if strings.Contains(strings.Join(void, " "), writer) {
			continue
		}
		key := key(a, row)
		id := fmt.Sprintf("%s %s %v", key, writer, row["pane"])
		if first, dup := seen[id]; dup {
			for _, measure := range a.Measures {
				if first[measure.Name] != row[measure.Name] {
					t.Errorf("pane %s was written with %s %v and %v", id, measure.Name, first[measure.Name], row[measure.Name])
				}
			}
			continue
		}
		seen[id] = row
		if merged[key] == nil {
			merged[key] = make([]partial, len(a.Measures))
		}
		for i, measure := range a.Measures {
			p := partial{}
			if v, ok := row[measure.Name].(int64); ok {
				p = partial{true, v}
			}
			op, err := opOf(measure.Type)
			if err == nil {
				err = merged[key][i].merge(op, p)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return text(merged)
}

// key is dimensions and window of a row; with rollups, the dimensions of the
// row's set, behind its name.
func key(a jobspecs.Aggregation, row map[string]bigquery.Value) string {
	var k []string
	set := a.Dimensions
	if len(a.Rollups) > 0 {
		set = strings.FieldsFunc(row[jobspecs.RollupColumn].(string), func(r rune) bool { return r == ',' })
		k = append(k, "["+jobspecs.Rollup(set)+"]")
	}
	for _, d := range a.Dimensions {
		if v := row[d]; slices.Contains(set, d) {
			k = append(k, fmt.Sprint(v))
		} else if v != nil {
			k = append(k, fmt.Sprintf("%s=%v of another set", d, v))
		}
	}
	return strings.Join(append(k, row["window_start"].(string)), " ")
}

func text(merged map[string][]partial) totals {
	out := totals{}
	for k, ps := range merged {
		var s []string
		for _, p := range ps {
			if p.valid {
				s = append(s, fmt.Sprint(p.value))
			} else {
				s = append(s, "null")
			}
		}
		out[k] = strings.Join(s, " ")
	}
	return out
}

// readCells does the same from Bigtable's cells: those of one row, measure,
// writer and pane replace each other.
func (m *memory) readCells(t testing.TB, a jobspecs.Aggregation) totals {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	merged := map[string][]partial{}
	for id, value := range m.cells {
		parts := strings.Split(id, " ")
		name, dims, window, err := tables.ParseRowKey(parts[0])
		if err != nil {
			t.Fatal(err)
		}
		rollup, ours := jobspecs.Rollup(a.Dimensions), name == a.Name
		if of, set, ok := strings.Cut(name, ":"); ok && len(a.Rollups) > 0 {
			rollup, ours = set, of == a.Name
		}
		if !ours {
			continue
		}
		cell, err := tables.ParseQualifier(parts[1])
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint(window.UnixMicro()); parts[2] != want {
			t.Errorf("cell %s has timestamp %s, want %s", id, parts[2], want)
		}
		var k []string
		if len(a.Rollups) > 0 {
			k = append(k, "["+rollup+"]")
		}
		for _, d := range dims {
			if d == nil {
				k = append(k, "<nil>")
			} else {
				k = append(k, *d)
			}
		}
		key := strings.Join(append(k, formatMicros(window.UnixMicro())), " ")
		if merged[key] == nil {
			merged[key] = make([]partial, len(a.Measures))
		}
		for i, measure := range a.Measures {
			if measure.Name != cell.Measure {
				continue
			}
			v, err := tables.DecodeValue(value)
			if err != nil {
				t.Fatal(err)
			}
			op, _ := opOf(measure.Type)
			if err := merged[key][i].merge(op, partial{true, v}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return text(merged)
}

// truth is what the flights aggregation must come to, each flight counted once.
func truth(fs []flight) totals {
	counted := map[int]bool{}
	sums := map[string][]partial{}
	for _, f := range fs {
		if counted[f.id] {
			continue
		}
		counted[f.id] = true
		k := f.origin + " " + formatMicros(f.scheduled.Truncate(time.Hour).UnixMicro())
		if sums[k] == nil {
			sums[k] = []partial{{true, 0}, {true, 0}, {true, 0}}
		}
		sums[k][0].value++
		sums[k][1].value += f.delay
		sums[k][2].value += f.distance
	}
	return text(sums)
}

// same fails the test if the sinks do not hold want.
func (m *memory) same(t testing.TB, a jobspecs.Aggregation, want totals) {
	t.Helper()
	if diff := cmp.Diff(want, m.read(t, a)); diff != "" {
		t.Errorf("BigQuery (-want +got)\n%s", shorten(diff))
	}
	if diff := cmp.Diff(want, m.readCells(t, a)); diff != "" {
		t.Errorf("Bigtable (-want +got)\n%s", shorten(diff))
	}
}

func shorten(s string) string {
	const most = 2000
	return s[:min(len(s), most)]
}

// panes lists the panes of each key and window, and their timings.
func (m *memory) panes(a jobspecs.Aggregation) map[string][]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string][]string{}
	for _, row := range m.rows[a.Table] {
		k := key(a, row)
		out[k] = append(out[k], fmt.Sprintf("%v %v", row["pane"], row["timing"]))
	}
	for _, p := range out {
		sort.Strings(p)
	}
	return out
}

// column lists the distinct values of a column of a table.
func (m *memory) column(table, column string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := map[string]bool{}
	for _, row := range m.rows[table] {
		seen[fmt.Sprint(row[column])] = true
	}
	var out []string
	for v := range seen {
		out = append(out, v)
	}
	sort.Strings(out)
	return out
}
