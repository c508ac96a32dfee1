package analyser

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestWritten runs the statements that the sandbox lacks something for, such as
// BIGNUMERIC, on an engine that has it, and finds the rows that they should give.
func TestWritten(t *testing.T) {
	x, _ := recorded(t)
	written := slices.DeleteFunc(slices.Clone(x.Statements), func(s statement) bool { return !s.Written })
	tables := slices.DeleteFunc(slices.Clone(x.Tables), func(t *table) bool {
		return t.Made || t.View != "" || !slices.ContainsFunc(written, func(s statement) bool { return s.Dataset == t.Dataset && strings.Contains(s.SQL, "`"+t.Name+"`") })
	})
	e, err := newEngine(t.Context(), tables)
	if err != nil {
		t.Fatal(err)
	}
	defer e.db.Close()
	found := 0
	for _, s := range written {
		t.Run(s.Name, func(t *testing.T) {
			rows, err := e.query(t.Context(), s.SQL, s.Parameters)
			if err != nil {
				t.Fatalf("%v\n%s", err, s.SQL)
			}
			if len(rows) == 0 {
				t.Error("it gives no row")
			}
			for _, want := range s.Wants {
				found++
				of := slices.DeleteFunc(slices.Clone(rows), func(row map[string]*string) bool {
					return !same(row["level"], want["level"]) || !same(row["class"], want["class"]) || !same(row["k0"], want["k0"])
				})
				if len(of) != 1 {
					t.Errorf("%d rows of the level %s, key %s, want 1", len(of), show(want["level"]), show(want["k0"]))
					continue
				}
				for _, c := range sorted(want) {
					if got, is := of[0][c]; !is || !same(got, want[c]) {
						t.Errorf("level %s, key %s: %s is %s, want %s", show(want["level"]), show(want["k0"]), c, show(got), show(want[c]))
					}
				}
			}
			if n := slices.IndexFunc(s.Wants, func(w map[string]*string) bool { return *w["level"] == "key" }); s.Wants != nil && n < 0 {
				t.Error("no key is wanted")
			}
		})
	}
	if found == 0 {
		t.Error("no row was laid down")
	}
}

func show(v *string) string {
	if v == nil {
		return "NULL"
	}
	return fmt.Sprintf("%q", *v)
}

// TestExactly: what is written for the engine, and what is left alone.
func TestExactly(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"SUM(ABS(d0))", "SUM(GREATEST(d0, 0 - (d0)))"},
		{"ABS(ABS(a) - f(b))", "GREATEST(GREATEST(a, 0 - (a)) - f(b), 0 - (GREATEST(a, 0 - (a)) - f(b)))"},
		{"TRUNC(v0) * 2", `CAST(REGEXP_REPLACE(CAST(v0 AS STRING), r'\..*$', '') AS BIGNUMERIC) * 2`},
		{"TIMESTAMP_TRUNC(w, DAY)", "TIMESTAMP_TRUNC(w, DAY)"},
		{"ABS(", "ABS("},
	} {
		if got := exactly(tt.text); got != tt.want {
			t.Errorf("%s is written %s, want %s", tt.text, got, tt.want)
		}
	}
	if strings.Contains(exactly("ABS(x)"), "ABS") {
		t.Error("ABS is left")
	}
}
