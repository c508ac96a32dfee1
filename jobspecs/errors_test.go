package jobspecs

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/goldentest"
)

func noEnv(string) (string, bool) { return "", false }

// TestErrorGoldens holds every error of every file in testdata/errors: its
// position, code, text, caret and hint.
func TestErrorGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.yaml")
	if err != nil || len(files) < 15 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			set, err := Load([]string{file}, Vars{Lookup: noEnv})
			if set != nil || err == nil {
				t.Fatal("no error")
			}
			if exit.Of(err) != exit.Usage {
				t.Errorf("exit code %d", exit.Of(err))
			}
			goldentest.Check(t, strings.TrimSuffix(file, ".yaml")+".golden", err.Error()+"\n")
		})
	}
}

// TestErrorsPointAtTheirText: line and column of an error are those of the
// offending text, whatever stands before it.
func TestErrorsPointAtTheirText(t *testing.T) {
	for _, c := range []struct{ name, spec, at string }{
		{"after a byte order mark", "\ufeffkind: Bridg\n", "Bridg"},
		{"after carriage returns", "# a\r\n\r\nkind: Bridg\r\n", "Bridg"},
		{"after wide characters", "{é: ü, kind: Bridg}\n", "Bridg"},
		{"after a block scalar", "a: |\n  x\n  y\n\nb: >-\n  z\nkind: Bridg\n", "Bridg"},
		{"after a string of several lines", "a: \"x\n  y\n  z\"\nkind: Bridg\n", "Bridg"},
		{"after comments", "a: b # c\n# d\nkind:   'Bridg'   # e\n", "'Bridg'"},
		{"in the third document", "kind: Bridge\n---\nkind: Bridge\n--- # third\n\nkind: Bridg\n", "Bridg"},
		{"after an end marker", "kind: Bridge\n...\n---\nkind: Bridg\n", "Bridg"},
		{"with trailing blanks", "kind:  Bridg   \n", "Bridg"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("spec.yaml", []byte(c.spec), Vars{Lookup: noEnv})
			e := find1(t, err, CodeUnknownKind)
			line := strings.Split(strings.ReplaceAll(strings.TrimPrefix(c.spec, "\ufeff"), "\r", ""), "\n")[e.Line-1]
			runes := []rune(line)
			if got := string(runes[e.Column-1 : e.Column-1+e.Width]); got != c.at {
				t.Errorf("%d:%d+%d is %q, want %q", e.Line, e.Column, e.Width, got, c.at)
			}
			if e.Source != line {
				t.Errorf("source %q, want %q", e.Source, line)
			}
		})
	}
}

// find1 returns the one error of err with the code.
func find1(t *testing.T, err error, code Code) *Error {
	t.Helper()
	var errs Errors
	if !errors.As(err, &errs) {
		t.Fatalf("got %v", err)
	}
	var found *Error
	for _, e := range errs {
		if e.Code == code {
			if found != nil {
				t.Fatalf("two errors %s:\n%v", code, err)
			}
			found = e
		}
	}
	if found == nil {
		t.Fatalf("no error %s:\n%v", code, err)
	}
	return found
}

// TestErrorsAreInOrder: by file as it was named, then by line.
func TestErrorsAreInOrder(t *testing.T) {
	_, err := Load([]string{"testdata/errors/variables.yaml", "testdata/errors/documents.yaml"}, Vars{Lookup: noEnv})
	var errs Errors
	if !errors.As(err, &errs) {
		t.Fatal(err)
	}
	seenSecond, last := false, 0
	for _, e := range errs {
		second := strings.HasSuffix(e.File, "documents.yaml")
		if seenSecond && !second {
			t.Fatalf("%s stands after the second file's errors", e.Position())
		}
		if second != seenSecond {
			seenSecond, last = second, 0
		}
		if e.Line < last {
			t.Errorf("%s stands after line %d", e.Position(), last)
		}
		last = e.Line
	}
	if !seenSecond {
		t.Error("no error of the second file")
	}
	if !strings.Contains(err.Error(), "errors in 2 files") {
		t.Errorf("the count is missing: %s", firstLine(err.Error()))
	}
}

// TestEveryCodeIsShown: each code is listed, and the goldens have an error of it.
func TestEveryCodeIsShown(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m) \(([a-z]+(?:-[a-z]+)?)\)$`).FindAllStringSubmatch(string(text), -1) {
			shown[m[1]] = true
		}
	}
	for _, c := range Codes {
		if !shown[string(c.Code)] {
			t.Errorf("no golden has an error %s", c.Code)
		}
		delete(shown, string(c.Code))
	}
	for c := range shown {
		t.Errorf("code %s is not listed", c)
	}
}

func TestLoadPaths(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name  string
		paths []string
		code  exit.Code
	}{
		{"nothing", nil, exit.Usage},
		{"missing file", []string{filepath.Join(dir, "nope.yaml")}, exit.Environment},
		{"folder without specs", []string{dir}, exit.Usage},
	} {
		if _, err := Load(c.paths, Vars{Lookup: noEnv}); exit.Of(err) != c.code {
			t.Errorf("%s: exit code %d, want %d (%v)", c.name, exit.Of(err), c.code, err)
		}
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, []byte(strings.Repeat("# much\n", maxFile/6)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load([]string{big}, Vars{Lookup: noEnv})
	find1(t, err, CodeSyntax)
}

func errorsOf(err error) (Errors, bool) {
	var errs Errors
	return errs, errors.As(err, &errs)
}
