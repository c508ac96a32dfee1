package analyser

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// statementsFile names the file of recorded statements; `make test-sql` writes it.
const statementsFile = "KAPPA_STATEMENTS"

func recorded(t *testing.T) (*exchange, *analyser) {
	t.Helper()
	path := os.Getenv(statementsFile)
	if path == "" {
		t.Fatalf("%s names no file of recorded statements: run `make test-sql`", statementsFile)
	}
	x, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Statements) == 0 || len(x.Tables) == 0 {
		t.Fatalf("%s holds %d statements and %d tables", path, len(x.Statements), len(x.Tables))
	}
	a, err := newAnalyser(x.Tables)
	if err != nil {
		t.Fatal(err)
	}
	return x, a
}

// controlTables are small logs, each far below the ten megabytes that a table costs at
// least, however often it is read. A scheduled query, which is one statement, reads
// them for each of its decisions: the one exception to reading once.
var controlTables = []string{"generations", "watermarks", "batch_loads"}

// grade says what is wrong with a statement: nothing, if it passes the analyser,
// reads what it needs once, and costs the lower bound.
func (a *analyser) grade(s statement, project string) (wrong []string, note string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	out, err := a.analyse(s.SQL, s.Parameters)
	if err == nil {
		if behind := a.through(s.SQL); behind != s.SQL {
			out, err = a.analyse(behind, s.Parameters)
		}
	}
	if err != nil {
		return []string{"refused by the analyser: " + err.Error()}, ""
	}
	reads, err := a.reads(out)
	if err != nil {
		return []string{err.Error()}, ""
	}
	columns := map[string]map[string]int{} // table → column → times read
	for _, r := range reads {
		if columns[r.table.Name] == nil {
			columns[r.table.Name] = map[string]int{}
		}
		for _, c := range r.columns {
			columns[r.table.Name][c]++
		}
	}
	for _, t := range sorted(columns) {
		for _, c := range sorted(columns[t]) {
			if n := columns[t][c]; n > 1 && !(s.Purpose == "scheduled" && slices.Contains(controlTables, t)) {
				say("reads %s.%s %d times", t, c, n)
			}
		}
	}
	params, err := times(s.Parameters)
	if err != nil {
		return append(wrong, err.Error()), ""
	}
	cost, err := processed(reads, params)
	if err != nil {
		return append(wrong, err.Error()), ""
	}
	// What is in a table that kappa has made depends on the statements before.
	unknown := s.Written || s.Purpose == "scheduled" || slices.ContainsFunc(reads, func(r read) bool { return r.table.Made })
	if got := total(cost); s.Processed != got && !unknown {
		say("reads %d bytes by the tree, %d by the sandbox", got, s.Processed)
	}
	if s.Needs == nil {
		return wrong, ""
	}
	for _, n := range s.Needs {
		for _, c := range n.Columns {
			if columns[n.Table][c] == 0 {
				say("does not read %s.%s, which it needs", n.Table, c)
			}
		}
		for _, c := range sorted(columns[n.Table]) {
			if !slices.Contains(n.Columns, c) {
				say("reads %s.%s, which it does not need", n.Table, c)
			}
		}
		delete(columns, n.Table)
	}
	for _, t := range sorted(columns) {
		say("reads the table %s, which it does not need", t)
	}
	bound, err := a.lowerBound(s, project)
	if err != nil {
		return append(wrong, err.Error()), ""
	}
	ratio := float64(total(cost)) / float64(total(bound))
	ofBilled := float64(billed(cost)) / float64(billed(bound))
	if total(cost) != total(bound) || billed(cost) != billed(bound) {
		say("processed ÷ lower bound = %.3f (%d ÷ %d bytes), billed ÷ lower bound = %.3f", ratio, total(cost), total(bound), ofBilled)
	}
	if s.Billed != billed(cost) {
		say("is billed %d bytes by the tree, %d by the sandbox", billed(cost), s.Billed)
	}
	return wrong, fmt.Sprintf("%d of %d bytes, billed ÷ lower bound = %.1f", total(cost), total(bound), ofBilled)
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestStatements(t *testing.T) {
	x, a := recorded(t)
	graded := 0
	for _, s := range x.Statements {
		t.Run(s.Name, func(t *testing.T) {
			wrong, note := a.grade(s, x.Tables[0].Project)
			for _, w := range wrong {
				t.Error(w)
			}
			if len(wrong) > 0 {
				t.Logf("%s", s.SQL)
			}
			if note != "" {
				graded++
				t.Log(note)
			}
		})
	}
	if graded == 0 {
		t.Error("no statement says what it needs: nothing was graded")
	}
}

// TestBrokenStatements breaks statements that are right, and sees the judge turn
// them down: one that cannot is none.
func TestBrokenStatements(t *testing.T) {
	x, a := recorded(t)
	i := slices.IndexFunc(x.Statements, func(s statement) bool { return s.Name == "example/reconcile" })
	if i < 0 {
		t.Fatal("no example/reconcile was recorded")
	}
	right := x.Statements[i]
	if wrong, _ := a.grade(right, x.Tables[0].Project); len(wrong) > 0 {
		t.Fatalf("it is broken by itself: %q", wrong)
	}
	batch := "`kappa-demo`.`example`.`batch_flights`"
	tests := []struct {
		name, sql, want string
	}{
		{"a WITH table that is named twice", "WITH b AS (SELECT origin, flights FROM " + batch + " WHERE window_start >= @from AND window_start < @to)\nSELECT COUNT(x.flights + y.flights) FROM b AS x JOIN b AS y USING (origin)",
			"reads batch_flights.flights 2 times"},
		{"SELECT *", "SELECT * FROM `kappa-demo`.`example`.`stream_flights` WHERE window_start >= @from AND window_start < @to", "reads stream_flights.timing, which it does not need"},
		{"a column that is left out", "SELECT origin FROM " + batch + " WHERE window_start >= @from AND window_start < @to", "does not read batch_flights.delay_sum, which it needs"},
		{"a range that is not pruned", strings.ReplaceAll(right.SQL, "`window_start` < @to", "TIMESTAMP_TRUNC(`window_start`, HOUR) < @to"), "processed ÷ lower bound = 1."},
		{"no SQL", "SELECT FROM WHERE", "refused by the analyser"},
		{"a column that is not there", "SELECT nothing FROM " + batch, "refused by the analyser"},
		{"a type error", "SELECT origin + 1 FROM " + batch, "refused by the analyser"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := right
			s.SQL = tt.sql
			wrong, _ := a.grade(s, x.Tables[0].Project)
			if !strings.Contains(strings.Join(wrong, "\n"), tt.want) {
				t.Errorf("the judge says %q, not %q", wrong, tt.want)
			}
		})
	}
}
