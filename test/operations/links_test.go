package operations

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// pages are all pages that people read, relative to the repository.
func pages(t *testing.T) (all []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "examples/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			all = append(all, strings.TrimPrefix(f, root+"/"))
		}
	}
	if len(all) < 60 {
		t.Fatalf("only %d pages found", len(all))
	}
	return all
}

var code = regexp.MustCompile("`[^`\n]*`")

// TestLinks: what the pages point at is there, headings included.
func TestLinks(t *testing.T) {
	found := 0
	for _, name := range pages(t) {
		path := filepath.Join(root, name)
		page := read(t, path)
		for _, l := range link.FindAllStringSubmatch(code.ReplaceAllString(fence.ReplaceAllString(page, ""), "x"), -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			found++
			there := page
			if l[1] != "" {
				target := filepath.Join(filepath.Dir(path), l[1])
				if _, err := os.Stat(target); err != nil {
					t.Errorf("%s: %s: %v", name, l[0], err)
					continue
				}
				if there = ""; strings.HasSuffix(l[1], ".md") {
					there = read(t, target)
				}
			}
			if l[2] != "" && !slices.Contains(anchors(there), l[2][1:]) {
				t.Errorf("%s: %s: there is no such heading", name, l[0])
			}
		}
	}
	if found < 300 {
		t.Errorf("only %d links found", found)
	}
}

// TestEveryPageIsLinked: the README is the index, so it leads to every page of docs/.
func TestEveryPageIsLinked(t *testing.T) {
	index := read(t, filepath.Join(root, "README.md"))
	for _, name := range pages(t) {
		if filepath.Dir(name) == "docs" && !strings.Contains(index, "]("+name) {
			t.Errorf("the README does not link %s", name)
		}
	}
}
