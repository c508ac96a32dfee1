//go:build bigquery

package bigquery

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kappa-migrate/kappa/test/statements"
)

// difference is a way in which the emulator differs from Google's documentation. It
// is made up for only in statements that it names, and only if they fail without.
type difference struct {
	name       string
	reason     string   // what Google documents, and what the emulator does
	statements []string // patterns of their names
	// adapt writes a statement so that the emulator does what is documented; its
	// meaning stays.
	adapt func(sql string, st statements.Statement, x *statements.Exchange) string
	// refusal is the text of the error by which the emulator refuses a statement that
	// nothing can be done about.
	refusal string
}

func (d difference) in(st statements.Statement) bool {
	return slices.ContainsFunc(d.statements, func(p string) bool { ok, _ := path.Match(p, st.Name); return ok })
}

var (
	offset = regexp.MustCompile(`\[OFFSET\((\w+)\)\]`)
	div    = regexp.MustCompile(`DIV\((GREATEST\(MIN\(arrived\) - \S+, 0\) \+ \S+ - 1), `)
	merged = regexp.MustCompile("(?s)^(MERGE `[^`]*`\\.`([^`]*)`\\.`([^`]*)` AS t.*)INSERT ROW(.*)$")
)

// differences are all that are known.
var differences = []difference{
	{
		name:       "array[OFFSET(column)]",
		reason:     "OFFSET counts from 0; the emulator takes an index that is not a literal as it is, and its engine counts from 1.",
		statements: []string{"*/evidence*", "why/why*"},
		adapt: func(sql string, _ statements.Statement, _ *statements.Exchange) string {
			return offset.ReplaceAllString(sql, "[OFFSET($1 + 1)]")
		},
	},
	{
		name:       "GROUP BY a name of the SELECT list that holds a parameter",
		reason:     "A name of the SELECT list may be grouped by. The emulator writes its expression twice and binds parameters by their places, so that both are different to its engine: whole numbers are written as literals.",
		statements: []string{"*/evidence*"},
		adapt:      func(sql string, st statements.Statement, _ *statements.Exchange) string { return wholeNumbers(sql, st) },
	},
	{
		name:       "DIV(a + b, c)",
		reason:     "DIV divides its first argument; the emulator writes an operator between the arguments and no parentheses around them.",
		statements: []string{"*/evidence*"},
		adapt: func(sql string, _ statements.Statement, _ *statements.Exchange) string {
			return div.ReplaceAllString(sql, "DIV(($1), ")
		},
	},
	{
		name:       "CAST(… AS NUMERIC)",
		reason:     "NUMERIC has 29 digits and 9 decimals; the emulator casts to its engine's DECIMAL without a size, which has 3 decimals. NUMERIC(38, 9) is the same type by another name.",
		statements: []string{"decimals/reconcile", "expressions/reconcile", "queries/reconcile", "days/reconcile", "*/evidence*"},
		adapt: func(sql string, _ statements.Statement, _ *statements.Exchange) string {
			return strings.ReplaceAll(sql, " AS NUMERIC)", " AS NUMERIC(38, 9))")
		},
	},
	{
		name:       "MERGE … INSERT ROW",
		reason:     "INSERT ROW inserts all columns of the source by their places; the emulator's parser does not know it. They are listed.",
		statements: []string{"*/history*"},
		adapt:      insertColumns,
	},
	{
		name:       "COUNTIF(…) OVER",
		reason:     "COUNTIF may be used as a window function; the emulator wraps it in COALESCE and leaves OVER behind that, which its engine does not parse.",
		statements: []string{"schedule/schedule"},
		refusal:    `syntax error at or near "OVER"`,
	},
}

// wholeNumbers writes parameters of the type INT64 into a statement.
func wholeNumbers(sql string, st statements.Statement) string {
	var params []struct {
		Name           string
		ParameterType  struct{ Type string }
		ParameterValue struct{ Value string }
	}
	if json.Unmarshal(st.Parameters, &params) != nil {
		return sql
	}
	for _, p := range params {
		if p.ParameterType.Type == "INT64" {
			sql = regexp.MustCompile("@"+p.Name+`\b`).ReplaceAllString(sql, p.ParameterValue.Value)
		}
	}
	return sql
}

// insertColumns lists the columns that INSERT ROW stands for.
func insertColumns(sql string, _ statements.Statement, x *statements.Exchange) string {
	m := merged.FindStringSubmatch(sql)
	if m == nil {
		return sql
	}
	i := slices.IndexFunc(x.Tables, func(t statements.Table) bool { return t.Dataset == m[2] && t.Name == m[3] })
	if i < 0 {
		return sql
	}
	var to, from []string
	for _, c := range x.Tables[i].Columns {
		to, from = append(to, "`"+c.Name+"`"), append(from, "s.`"+c.Name+"`")
	}
	return m[1] + fmt.Sprintf("INSERT (%s) VALUES (%s)", strings.Join(to, ", "), strings.Join(from, ", ")) + m[4]
}

// onEmulator runs a statement there: as it is and, if that fails or does not give what
// is wanted, with what makes up for the differences. ok is false where it cannot run.
func onEmulator(t *testing.T, x *statements.Exchange, st statements.Statement, want answer, met map[string]bool) (got answer, ok bool) {
	t.Helper()
	s := service{"emulator", emulatorAddr}
	project := x.Tables[0].Project
	got, err := s.query(t.Context(), project, st)
	if err == nil && got.equal(want) {
		return got, true
	}
	adapted := st
	for _, d := range differences {
		if !d.in(st) {
			continue
		}
		if d.refusal != "" && err != nil && strings.Contains(err.Error(), d.refusal) {
			met[d.name] = true
			t.Logf("not run on the emulator: %s: %s", d.name, d.reason)
			return answer{}, false
		}
		if d.adapt == nil {
			continue
		}
		if sql := d.adapt(adapted.SQL, adapted, x); sql != adapted.SQL {
			adapted.SQL, met[d.name] = sql, true
		}
	}
	if adapted.SQL != st.SQL {
		got, err = s.query(t.Context(), project, adapted)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, adapted.SQL)
	}
	return got, true
}
