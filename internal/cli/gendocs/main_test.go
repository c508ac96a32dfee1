package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
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
