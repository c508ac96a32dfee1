package statements

import (
	"bufio"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestMain runs the tests and, where the coverage of package compare is measured (as
// make statements does), fails if they have left out a piece of SQL that it can write.
func TestMain(m *testing.M) {
	code := m.Run()
	profile := flag.Lookup("test.coverprofile")
	if code == 0 && os.Getenv(outFile) != "" && profile != nil && profile.Value.String() != "" {
		missing, err := unwritten(profile.Value.String(), filepath.Join("..", "..", "compare"))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		for _, at := range missing {
			fmt.Fprintf(os.Stderr, "%s: this SQL is in no recorded statement: add a world that needs it\n", at)
			code = 1
		}
	}
	os.Exit(code)
}

// sqlWords are what SQL that package compare writes has in it; texts for people have
// none of them.
var sqlWords = regexp.MustCompile(`\b(SELECT|FROM|WHERE|JOIN|UNION|GROUP BY|ORDER BY|QUALIFY|OVER|CAST|CASE|WHEN|ELSE|AND|OR|IF|IFNULL|COALESCE|IS|IN|MIN|MAX|SUM|COUNT|COUNTIF|DIV|TRUNC|CONCAT|LEAST|GREATEST|TIMESTAMP\w*|DATE|DATETIME|REGEXP_\w+|SUBSTR|STRING_AGG|LOGICAL_OR|MERGE|INSERT|UPDATE|DELETE|UNNEST|UNIX_MICROS|GROUPING|LIMIT)\b`)

// notSQL are the functions that name types without writing SQL: in what they say to
// people, in checkpoints, and in specs.
var notSQL = map[string]bool{"cast": true, "typed": true, "timedBy": true, "saveKey": true, "load": true, "pair": true}

// block is a basic block of a coverage profile.
type block struct {
	from, to position
	covered  bool
}

type position struct{ line, column int }

func (p position) before(q position) bool {
	return p.line < q.line || p.line == q.line && p.column < q.column
}

// unwritten are the places of literals of SQL in blocks that were never run.
func unwritten(profile, folder string) ([]string, error) {
	blocks, err := readProfile(profile)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	var missing []string
	seen := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, lit := range literals(tree) {
			p := set.Position(lit.Pos())
			at, covered, in := position{p.Line, p.Column}, false, false
			for _, b := range blocks[filepath.Base(file)] {
				if !at.before(b.from) && at.before(b.to) {
					covered, in = covered || b.covered, true
				}
			}
			if in {
				seen++
			}
			if in && !covered {
				missing = append(missing, fmt.Sprintf("compare/%s:%d", filepath.Base(file), at.line))
			}
		}
	}
	if seen == 0 {
		return nil, fmt.Errorf("%s says nothing of the SQL in %s", profile, folder)
	}
	return missing, nil
}

// literals are the literals of a file that are SQL: not those of errors.
func literals(file *ast.File) []*ast.BasicLit {
	var out []*ast.BasicLit
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			return !notSQL[n.Name.Name]
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "exit" || s.Sel.Name == "Errorf" || s.Sel.Name == "WithHint" {
					return false
				}
			}
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil && sqlWords.MatchString(text) {
				out = append(out, n)
			}
		}
		return true
	})
	return out
}

var profileLine = regexp.MustCompile(`/compare/([^/]+\.go):(\d+)\.(\d+),(\d+)\.(\d+) \d+ (\d+)$`)

// readProfile reads the blocks of package compare from a coverage profile, by file.
func readProfile(path string) (map[string][]block, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[string][]block{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		m := profileLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		var n [5]int
		for i := range n {
			if n[i], err = strconv.Atoi(m[i+2]); err != nil {
				return nil, err
			}
		}
		out[m[1]] = append(out[m[1]], block{position{n[0], n[1]}, position{n[2], n[3]}, n[4] > 0})
	}
	return out, lines.Err()
}

// purposes are how package compare names statements.
var purposes = []struct {
	form *regexp.Regexp
	of   []string // prefixes
}{
	{regexp.MustCompile(`purpose: +"(\w+)"`), []string{""}},
	{regexp.MustCompile(`purpose\w+ += "(\w+)"`), []string{""}},
	{regexp.MustCompile(`m\.query\("(\w+)"`), []string{""}},
	{regexp.MustCompile(`purpose: +s\.role \+ "(\w+)"`), []string{"batch", "stream"}},
}

// unrecorded are the purposes in the code of which there is no statement.
func unrecorded(t *testing.T, folder string, have map[string]bool) (missing []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range purposes {
			for _, m := range p.form.FindAllStringSubmatch(string(code), -1) {
				for _, prefix := range p.of {
					if found++; !have[prefix+m[1]] {
						missing = append(missing, filepath.Base(file)+": "+prefix+m[1])
					}
				}
			}
		}
	}
	if found < 12 {
		t.Errorf("%d purposes are in %s: they are written in another way", found, folder)
	}
	return missing
}
