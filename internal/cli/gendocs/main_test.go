package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// TestReferenceIsFresh: docs/cli is what the commands say of themselves.
func TestReferenceIsFresh(t *testing.T) {
	folder := filepath.Join("..", "..", "..", "docs", "cli")
	files, err := filepath.Glob(filepath.Join(folder, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(f)] = string(text)
	}
	if d := cmp.Diff(render(), got); d != "" {
		t.Errorf("run `go run ./internal/cli/gendocs` (-want +got)\n%s", d)
	}
}

// TestSpecsReferenceIsFresh: docs/specs-reference.md is what the types say.
func TestSpecsReferenceIsFresh(t *testing.T) {
	want, err := specsPage()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", specsFile))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("run `go run ./internal/cli/gendocs` (-want +got)\n%s", d)
	}
}

// TestSpecsReference: every field of every kind is there once, and every link
// leads to a heading.
func TestSpecsReference(t *testing.T) {
	page, err := specsPage()
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "| `") {
			rows++
			if n := len(unescapedBar.FindAllString(line, -1)); n != 5 {
				t.Errorf("a row of %d columns: %s", n-1, line)
			}
		}
	}
	want := 0
	var count func(x jobspecs.Explanation)
	count = func(x jobspecs.Explanation) {
		want++
		for _, f := range x.Fields {
			count(f)
		}
	}
	for i, kind := range jobspecs.Kinds() {
		x, err := jobspecs.Explain(kind, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range x.Fields {
			switch {
			case f.Path == kind+".spec":
				for _, f := range f.Fields {
					count(f)
				}
			case i == 0: // what all kinds have stands there once
				count(f)
			}
		}
	}
	if rows != want+1 { // spec itself is among what every document has
		t.Errorf("%d rows, want %d", rows, want+1)
	}
	headings := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		if anchor := anchorOf(m[1]); headings[anchor] {
			t.Errorf("two headings have the anchor %s", anchor)
		} else {
			headings[anchor] = true
		}
	}
	for _, m := range link.FindAllStringSubmatch(page, -1) {
		if !headings[m[1]] {
			t.Errorf("no heading has the anchor %s", m[1])
		}
	}
}

var (
	unescapedBar = regexp.MustCompile(`(^|[^\\])\|`)
	heading      = regexp.MustCompile(`(?m)^#+ (.+)$`)
	link         = regexp.MustCompile(`\]\(#([^)]+)\)`)
)

// TestRun: all of it is written where it belongs.
func TestRun(t *testing.T) {
	docs := t.TempDir()
	if err := run(docs); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{specsFile, filepath.Join("cli", "README.md"), filepath.Join("cli", "explain.md")} {
		if _, err := os.Stat(filepath.Join(docs, f)); err != nil {
			t.Error(err)
		}
	}
}

// TestWriteRemovesPagesOfCommandsThatAreGone, and nothing else.
func TestWriteRemovesPagesOfCommandsThatAreGone(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"gone.md", "kept.txt"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(dir, map[string]string{"new.md": "text"}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if d := cmp.Diff([]string{"kept.txt", "new.md"}, names); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}
