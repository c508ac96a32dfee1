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
	// refusals are texts of the errors by which the emulator refuses a statement that
	// nothing is done about.
	refusals []string
}

func (d difference) in(st statements.Statement) bool {
	return slices.ContainsFunc(d.statements, func(p string) bool { ok, _ := path.Match(p, st.Name); return ok })
}

var (
	offset  = regexp.MustCompile(`\[OFFSET\((\w+)\)\]`)
	comment = regexp.MustCompile(`(?m)^-- .*\n`)
	merged  = regexp.MustCompile("(?s)^(MERGE `[^`]*`\\.`([^`]*)`\\.`([^`]*)` AS t.*)INSERT ROW(.*)$")
)

// differences are all that are known.
var differences = []difference{
	{
		name:       "array[OFFSET(column)]",
		reason:     "OFFSET counts from 0; the emulator takes an index that is not a literal as it is, and its engine counts from 1.",
		statements: []string{"*/evidence*", "*/why*"},
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
		adapt:      func(sql string, _ statements.Statement, _ *statements.Exchange) string { return quotients(sql) },
	},
	{
		name:       "CAST(… AS NUMERIC)",
		reason:     "NUMERIC has 29 digits and 9 decimals; the emulator casts to its engine's DECIMAL without a size, which has 3 decimals. NUMERIC(38, 9) is the same type by another name.",
		statements: []string{"*/reconcile"},
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
		name:       "@name in a comment",
		reason:     "A comment holds no parameters; the emulator counts those that it names.",
		statements: []string{"*/sample*"},
		adapt: func(sql string, _ statements.Statement, _ *statements.Exchange) string {
			return comment.ReplaceAllString(sql, "")
		},
	},
	{
		name: "scheduled statements",
		reason: "A scheduled comparison is one MERGE of thirty WITH tables. The emulator does not get through it: COUNTIF(…) OVER is more than its engine parses, " +
			"it does not find tables by their full names in the middle of it, and writes DIV of a difference without parentheses, so that a list of days has no end. The sandbox and the analyser alone judge it.",
		statements: []string{"*/scheduled"},
		refusals:   []string{`syntax error at or near "OVER"`, `Catalog "kappa-demo" does not exist`, "Lists larger than 2^32 elements"},
	},
}

// quotients writes the first argument of each DIV in parentheses.
func quotients(sql string) string {
	var b strings.Builder
	for {
		i := strings.Index(sql, "DIV(")
		if i < 0 {
			return b.String() + sql
		}
		begin := i + len("DIV(")
		end, depth := begin, 0
		for ; end < len(sql) && (depth > 0 || sql[end] != ','); end++ {
			switch sql[end] {
			case '(':
				depth++
			case ')':
				depth--
			}
		}
		b.WriteString(sql[:begin] + "(" + quotients(sql[begin:end]) + ")")
		sql = sql[end:]
	}
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
		if err != nil && slices.ContainsFunc(d.refusals, func(text string) bool { return strings.Contains(err.Error(), text) }) {
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
