package demo

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func open(t *testing.T, root string) *output {
	t.Helper()
	o, err := openOutput(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.remove)
	return o
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Two runs in the same folder at once do not touch each other's files; the one
// that ends last stands, whole.
func TestOutputOverlap(t *testing.T) {
	root := filepath.Join(t.TempDir(), "out", "demo")
	a, b := open(t, root), open(t, root)
	put(t, a.path(summaryFile), "a")
	put(t, b.path(summaryFile), "b")
	put(t, a.path(compareTextFile), "a")
	put(t, filepath.Join(a.path(logsFolder), "demo.log"), "a")
	put(t, filepath.Join(b.path(logsFolder), "demo.log"), "b")
	if _, err := a.publish(); err != nil {
		t.Fatal(err)
	}
	a.remove()
	if got := text(t, filepath.Join(root, summaryFile)); got != "a" {
		t.Errorf("the summary is %q, want a", got)
	}
	paths, err := b.publish()
	if err != nil {
		t.Fatal(err)
	}
	b.remove()
	if got := names(t, root); !slices.Equal(got, []string{logsFolder, summaryFile}) {
		t.Errorf("the folder holds %v: the first run's comparison must not stand beside the second's summary", got)
	}
	if got := text(t, paths.Summary) + text(t, filepath.Join(paths.Logs, "demo.log")); got != "bb" {
		t.Errorf("published %q, want b's", got)
	}
}

// A run that ends without publishing leaves nothing behind; folders of runs
// that were killed are removed, those of runs that are under way are not.
func TestOutputLeavesNothing(t *testing.T) {
	root := filepath.Join(t.TempDir(), "demo")
	running := open(t, root)
	killed := filepath.Join(root, runPrefix+"killed")
	if err := os.MkdirAll(filepath.Join(killed, logsFolder), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(root, "mine.txt"), "the user's")
	second := open(t, root)
	if got := names(t, root); slices.Contains(got, filepath.Base(killed)) || !slices.Contains(got, filepath.Base(running.dir)) {
		t.Errorf("the folder holds %v", got)
	}
	second.remove()
	running.remove()
	if got := names(t, root); !slices.Equal(got, []string{"mine.txt"}) {
		t.Errorf("left behind: %v", got)
	}
	fresh := filepath.Join(t.TempDir(), "a", "b")
	open(t, fresh).remove()
	if _, err := os.Stat(fresh); !os.IsNotExist(err) {
		t.Errorf("an output folder without a result is left behind: %v", err)
	}
	mine := t.TempDir()
	open(t, mine).remove()
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("the user's own folder is gone: %v", err)
	}
}

func TestOutputRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, "")
	if _, err := openOutput(file); err == nil || !strings.Contains(err.Error(), "make the output folder") {
		t.Errorf("a file as output folder: %v", err)
	}
}
