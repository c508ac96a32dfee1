package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// sample writes a module with a rule and tests of all kinds.
func sample(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range map[string]string{
		"go.mod":    "module sample\n\ngo 1.24\n",
		"a/code.go": "package a\n\nfunc Add(x, y int) int { return x + y }\n\nfunc Wait(done chan int) { close(done) }\n",
		"a/code_test.go": `package a

import (
	"os"
	"testing"
)

func TestAdd(t *testing.T) {
	if got := Add(2, 3); got != 5 {
		t.Errorf("2 + 3 is %d", got)
	}
}

func TestTwo(t *testing.T) {
	t.Run("right", func(t *testing.T) { TestAdd(t) })
	t.Run("blind", func(*testing.T) { Add(2, 3) })
}

func TestBlind(*testing.T) { Add(2, 3) }

func TestSkipped(t *testing.T) { t.Skip("not here") }

func TestBroken(t *testing.T) { t.Error("fails anyway") }

func TestWait(*testing.T) {
	done := make(chan int)
	go Wait(done)
	<-done
}

func TestForms(t *testing.T) {
	if got := forms(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestExit(*testing.T) {
	if Add(2, 3) != 5 {
		os.Exit(3)
	}
}
`,
		"a/forms.go":     formsSource,
		"b/code.go":      "package b\n\nimport \"sample/a\"\n\nvar Sum = a.Add(1, 1)\n",
		"b/code_test.go": "package b\n\nimport \"testing\"\n\nfunc TestSum(t *testing.T) {\n\tif Sum != 2 {\n\t\tt.Error(Sum)\n\t}\n}\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// formsSource has functions of all forms; what they give is in want.
const formsSource = `package a

import "fmt"

const want = "1 [2 3] 4 5 6 7 8 9"

type box struct{ n int }

func (b *box) set(n int, _ string) { b.n = n }

func (box) none(int, ...int) int { return 4 }

func many(ns ...int) []int { return ns }

func first[T any, U any](t T, _ U) T { return t }

func named() (n int, err error) {
	n, err = 6, nil
	defer func() {
		if err == nil {
			n++
		}
	}()
	return
}

func labelled() int {
	n := 0
again:
	if n++; n < 8 {
		goto again
	}
	return n
}

var constant = 9

func forms() string {
	b := &box{}
	b.set(1, "")
	n, _ := named()
	return fmt.Sprint(b.n, many(2, 3), b.none(0), first(5, ""), 6, n, labelled(), constant)
}
`

// add is a mutation of Add.
func add(change, test string) mutation {
	return mutation{Rule: "X1", Breaks: change + " for " + test, File: "a/code.go", Old: "return x + y", New: change, Test: test}
}

// Only what a test notices by itself is taken for noticed.
func TestRun(t *testing.T) {
	hangs := mutation{Rule: "X1", Breaks: "it waits in vain", File: "a/code.go", Old: "close(done)", New: "_ = done", Test: "TestWait"}
	says := hangs
	says.Breaks, says.Hangs = "it waits in vain, and says so", 500*time.Millisecond
	elsewhere := add("return x - y", "TestSum")
	elsewhere.In = "b"
	stale := add("return x - y", "TestAdd")
	stale.Old = "return x * y"
	for _, c := range []struct {
		name string
		all  []mutation
		want string // of the error or the output
		ok   bool
	}{
		{"noticed", []mutation{add("return x - y", "TestAdd"), add("return x * y", "TestTwo/right"), add(`panic("boom")`, "TestAdd"), elsewhere, says},
			"every mutation was noticed: 5, of the rules X1", true},
		{"not noticed", []mutation{add("return x - y", "TestBlind")}, "a.TestBlind passes, broken as the rule is", false},
		{"the other sub-test notices", []mutation{add("return x - y", "TestTwo/blind")}, "a.TestTwo/blind passes", false},
		{"does not build", []mutation{add("return x +", "TestAdd")}, "the mutated code does not build", false},
		{"no longer applies", []mutation{stale}, "no longer has the text", false},
		{"no such test", []mutation{add("return x - y", "TestNone")}, "a.TestNone is not there without any mutation", false},
		{"no such sub-test", []mutation{add("return x - y", "TestTwo/left")}, "a.TestTwo/left is not there", false},
		{"skipped", []mutation{add("return x - y", "TestSkipped")}, "a.TestSkipped is skipped without any mutation", false},
		{"fails anyway", []mutation{add("return x - y", "TestBroken")}, "a.TestBroken fails without any mutation", false},
		{"hangs", []mutation{hangs}, "a.TestWait does not end in time", false},
		{"ends the process", []mutation{add("return x - y", "TestExit")}, "a.TestExit does not say how it ended", false},
		{"one of two", []mutation{add("return x - y", "TestAdd"), add("return x - y", "TestBlind")}, "1 failures; 2 mutations", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := sample(t)
			before := tree(t, root)
			var out strings.Builder
			err := execute(t.Context(), c.all, config{root: root, jobs: 2, tests: 3, timeout: 2 * time.Second}, true, &out)
			if (err == nil) != c.ok {
				t.Errorf("error %v\n%s", err, &out)
			}
			said := out.String()
			if err != nil {
				said += err.Error()
			}
			if !strings.Contains(said, c.want) {
				t.Errorf("it does not say %q:\n%s", c.want, said)
			}
			if after := tree(t, root); after != before {
				t.Errorf("the tree was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

// Each form of function can be mutated together with all others.
func TestRunForms(t *testing.T) {
	var all []mutation
	for old, change := range map[string]string{
		"b.n = n": "b.n = -n", "return 4": "return -4", "return ns": "return ns[1:]", "return t ": "return *new(T) ", "n, err = 6, nil": "n, err = 9, nil",
		"if err == nil": "if err != nil", "n < 8": "n < 4", "constant = 9": "constant = -9", "fmt.Sprint(b.n": "fmt.Sprint(-b.n",
	} {
		all = append(all, mutation{Rule: "X1", Breaks: change, File: "a/forms.go", Old: old, New: change, Test: "TestForms"})
	}
	root := sample(t)
	var out strings.Builder
	if err := execute(t.Context(), all, config{root: root, jobs: 1, tests: 1, timeout: 5 * time.Second}, true, &out); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
	numbered := map[int]mutation{}
	for n, m := range all {
		numbered[n] = m
	}
	_, _, left, err := combine(formsSource, numbered)
	if err != nil || len(left) != 1 || all[left[0]].Old != "constant = 9" {
		t.Errorf("left %v, %v", left, err)
	}
}

// tree is all files of a folder and what they hold.
func tree(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		b.WriteString(path + "\n" + string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := execute(ctx, []mutation{add("return x - y", "TestAdd")}, config{root: sample(t), jobs: 1, tests: 1, timeout: time.Second}, false, &strings.Builder{})
	if exit.Of(err) != exit.Interrupted {
		t.Errorf("got %v", err)
	}
}

func TestFlags(t *testing.T) {
	all := []mutation{add("return x - y", "TestAdd"), {Rule: "Y2", Breaks: "it is slow", File: "a/code.go", Old: "a", New: "b", Test: "TestSlow"}}
	for _, c := range []struct {
		args []string
		want string
		code exit.Code
	}{
		{[]string{"--list"}, "X1  return x - y for TestAdd\n    a.TestAdd must notice\nY2  it is slow\n    a.TestSlow must notice\n", exit.OK},
		{[]string{"--list", "--rule", "y2"}, "Y2  it is slow\n    a.TestSlow must notice\n", exit.OK},
		{[]string{"--list", "--rule=X1,Y2", "--run", "Slow$"}, "Y2  it is slow\n    a.TestSlow must notice\n", exit.OK},
		{[]string{"--rule", "Z3"}, "", exit.Usage},
		{[]string{"--run", "nothing like it"}, "", exit.Usage},
		{[]string{"--run", "("}, "", exit.Usage},
		{[]string{"--jobs", "0"}, "", exit.Usage},
		{[]string{"--nope"}, "", exit.Usage},
		{[]string{"X1"}, "", exit.Usage},
	} {
		var out strings.Builder
		if err := rules(t.Context(), all, c.args, &out); exit.Of(err) != c.code || out.String() != c.want {
			t.Errorf("%v: %v, printed %q; want code %d, %q", c.args, err, &out, c.code, c.want)
		}
	}
}
