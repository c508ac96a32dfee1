package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// uncovered are rules that have no mutation yet, and why.
var uncovered = map[string]string{}

// Every rule of docs/rules.md is broken at least once, or it is said why not.
func TestEveryRuleIsBroken(t *testing.T) {
	doc, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := documented(string(doc))
	if len(rules) < 25 {
		t.Fatalf("docs/rules.md has the rules %v", rules)
	}
	broken := known(mutations())
	for _, r := range rules {
		why, said := uncovered[r]
		switch covered := slices.Contains(broken, r); {
		case !covered && !said:
			t.Errorf("no mutation breaks %s", r)
		case covered && said:
			t.Errorf("%s is broken by a mutation, and listed as uncovered (%s)", r, why)
		case said && why == "":
			t.Errorf("%s is listed as uncovered without a reason", r)
		}
	}
	for _, r := range broken {
		if !slices.Contains(rules, r) {
			t.Errorf("%s is not in docs/rules.md", r)
		}
	}
}

// The table is right as far as that can be seen without building anything, so
// that a change of the code is told at once which mutations it moved.
func TestMutationsApply(t *testing.T) {
	const root = "../.."
	all := mutations()
	if err := check(root, all); err != nil {
		t.Error(err)
	}
	seen := map[string]bool{}
	for _, m := range all {
		if m.Breaks == "" || strings.HasSuffix(m.Breaks, ".") || m.Hangs < 0 || m.Hangs > 30*time.Second {
			t.Errorf("%+v", m)
		}
		if seen[m.Breaks] {
			t.Errorf("%q is there twice", m.Breaks)
		}
		seen[m.Breaks] = true
		if strings.HasSuffix(m.File, "_test.go") {
			t.Errorf("%s: a test is mutated", m.File)
		}
		if name, _, _ := strings.Cut(m.Test, "/"); !slices.Contains(testFunctions(t, filepath.Join(root, m.pkg())), name) {
			t.Errorf("%q: there is no test %s", m.Breaks, m.test())
		}
	}
}

// testFunctions are the names of the tests of a package.
func testFunctions(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		file, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names
}

func TestApply(t *testing.T) {
	for _, c := range []struct {
		old, text, source string
		want, err         string
	}{
		{"b", "x", "abc", "axc", ""},
		{"b", "", "abc", "ac", ""},
		{"b", "x", "ac", "", "no longer has"},
		{"b", "x", "abcb", "", "2 times"},
		{"b", "b", "abc", "", "changes nothing"},
		{"", "x", "abc", "", "changes nothing"},
	} {
		got, err := mutation{File: "f.go", Old: c.old, New: c.text}.apply(c.source)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q for %q in %q: %q, %v", c.text, c.old, c.source, got, err)
		}
	}
}

func TestPattern(t *testing.T) {
	for name, want := range map[string]string{
		"TestA":                "^TestA$",
		"TestA/fails_(once)/b": `^TestA$/^fails_\(once\)$/^b$`,
	} {
		if got := (test{"p", name}).pattern(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestClassify(t *testing.T) {
	const run = "=== RUN   TestA\n"
	for _, c := range []struct {
		name, output string
		ok, late     bool
		want         outcome
		hangs        bool // the mutation says so
		red          bool
	}{
		{name: "TestA", output: run + "--- PASS: TestA (0.00s)\nPASS\n", ok: true, want: passed},
		{name: "TestA", output: run + "    a_test.go:7: wrong\n--- FAIL: TestA (0.00s)\nFAIL\n", want: failed, red: true},
		{name: "TestA", output: run + "--- SKIP: TestA (0.00s)\nPASS\n", ok: true, want: skipped},
		{name: "TestA", output: "testing: warning: no tests to run\nPASS\n", ok: true, want: absent},
		{name: "TestA", output: "=== RUN   TestAB\n--- FAIL: TestAB (0.00s)\nFAIL\n", want: absent},
		{name: "TestA", output: "panic: in an init function\n", want: absent},
		{name: "TestA", output: run + "panic: boom\n\ngoroutine 1", want: crashed, red: true},
		{name: "TestA", output: run + "fatal error: all goroutines are asleep - deadlock!\n", want: crashed, red: true},
		{name: "TestA", output: run + "--- FAIL: TestA (0.00s)\npanic: boom [recovered]\n", want: failed, red: true},
		{name: "TestA", output: run + "panic: test timed out after 1s\n", want: hung},
		{name: "TestA", output: run + "panic: test timed out after 1s\n", want: hung, hangs: true, red: true},
		{name: "TestA", output: run, late: true, want: hung},
		{name: "TestA", output: run + "--- PASS: TestA (0.00s)\nPASS\ngoleak: Errors on successful test run\n", want: unclear},
		{name: "TestA", output: run + "exit status 3", want: unclear},
		{name: "TestA/b", output: run + "=== RUN   TestA/b\n--- FAIL: TestA (0.00s)\n    --- PASS: TestA/b (0.00s)\nFAIL\n", want: unclear},
		{name: "TestA/b", output: run + "=== RUN   TestA/b\n--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/b (0.00s)\nFAIL\n", want: failed, red: true},
		{name: "TestA/c", output: run + "--- PASS: TestA (0.00s)\nPASS\n", ok: true, want: absent},
	} {
		got := classify(c.name, c.output, c.ok, c.late)
		m := mutation{}
		if c.hangs {
			m.Hangs = time.Second
		}
		if got != c.want || got.red(m) != c.red {
			t.Errorf("%s of %q: %s, red %v; want %s, red %v", c.name, c.output, got, got.red(m), c.want, c.red)
		}
	}
}

func TestWhy(t *testing.T) {
	for output, want := range map[string]string{
		"=== RUN   TestA\n    helper_test.go:277: time=2026-01-01T00:00:00Z level=INFO msg=x\n    a_test.go:7: 1 is lost\n--- FAIL: TestA\n": "1 is lost",
		"=== RUN   TestA\npanic: boom\n": "boom",
		"=== RUN   TestA\nPASS\n":        "",
	} {
		if got := why(output); got != want {
			t.Errorf("%q: %q, want %q", output, got, want)
		}
	}
}

func TestCombine(t *testing.T) {
	const source = `package p

func a(x int, _ string) int { return x + 1 } // one

func (t) b(...int) {
	a(1, "")
}

const c = 7
`
	text, name, left, err := combine(source, map[int]mutation{
		3: {Old: "x + 1", New: "x + 2"}, 1: {Old: "return x", New: "return -x"}, 2: {Old: "a(1", New: "a(9"}, 4: {Old: "7", New: "8"}, 5: {Old: "x int", New: "x int64"}})
	want := `package p

func a(x int, ruleArgument1 string) int { if ruleBroken == "1" { return rule1a(x, ruleArgument1) }; if ruleBroken == "3" { return rule3a(x, ruleArgument1) }; return x + 1 }

func rule1a(x int, _ string) int { return -x + 1 }

func rule3a(x int, _ string) int { return x + 2 } // one

func (ruleReceiver0 t) b(ruleArgument0 ...int) { if ruleBroken == "2" { ruleReceiver0.rule2b(ruleArgument0...); return };
	a(1, "")
}

func (t) rule2b(...int) {
	a(9, "")
}

const c = 7
`
	if diff := cmp.Diff(want, text); diff != "" || err != nil || name != "p" || !slices.Equal(left, []int{4, 5}) {
		t.Errorf("package %s, left %v, %v; text (-want +got):\n%s", name, left, err, diff)
	}
	if _, _, _, err := combine("no Go", nil); err == nil {
		t.Error("what is not Go is combined")
	}
}

func TestDocumented(t *testing.T) {
	doc := "| rule | what |\n| --- | --- |\n| B1 | x B2 |\n| P10 | y |\n\nB3\n"
	if diff := cmp.Diff([]string{"B1", "P10"}, documented(doc)); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}
