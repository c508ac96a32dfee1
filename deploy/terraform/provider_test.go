package terraform

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	blocks  = regexp.MustCompile(`(?ms)^(resource|data) "([a-z_]+)" "[A-Za-z0-9_]+" \{$(.*?)^\}$`)
	argLine = regexp.MustCompile(`^ *([a-z_]+) +(?:=|\{$)`)
	// What Terraform itself takes in every resource.
	meta = []string{"for_each", "lifecycle", "prevent_destroy", "depends_on"}
)

// Every attribute and block is one that the provider has.
func TestProviderHasIt(t *testing.T) {
	data, err := os.ReadFile("testdata/provider.txt")
	if err != nil {
		t.Fatal(err)
	}
	provider := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		if words := strings.Fields(line); words[0] != "#" {
			provider[words[0]] = words[1:]
		}
	}
	used := map[string]bool{}
	for _, c := range cases {
		for _, f := range generate(t, load(t, c.paths...), c.options).Files {
			for _, m := range blocks.FindAllStringSubmatch(f.Text, -1) {
				typ := m[2]
				if m[1] == "data" {
					typ = "data." + typ
				}
				has, known := provider[typ]
				if !known {
					t.Fatalf("testdata/provider.txt lacks %s", typ)
				}
				used[typ] = true
				body, _, _ := strings.Cut(m[3], "jsonencode(") // members of what follows are the columns'
				for line := range strings.Lines(body) {
					if arg := argLine.FindStringSubmatch(strings.TrimRight(line, "\n")); arg != nil && !slices.Contains(has, arg[1]) && !slices.Contains(meta, arg[1]) {
						t.Errorf("%s has no %s", typ, arg[1])
					}
				}
			}
		}
	}
	for typ := range provider {
		if !used[typ] {
			t.Errorf("no case writes a %s", typ)
		}
	}
}
