package compare

import (
	"os"
	"strings"
	"testing"
)

// Every cause is said in words, and docs/causes.md knows it.
func TestCausesHaveMeanings(t *testing.T) {
	doc, err := os.ReadFile("../docs/causes.md")
	if err != nil {
		t.Fatal(err)
	}
	var all flaw
	seen := map[string]bool{}
	for _, n := range flawNames {
		all |= n.flaw
		if got := CauseMeaning(n.name); got == "" || seen[got] {
			t.Errorf("%s means %q, as another one does", n.name, got)
		}
		seen[n.meaning] = true
		if !strings.Contains(string(doc), "`"+n.name+"`") {
			t.Errorf("docs/causes.md lacks %s", n.name)
		}
	}
	if all != allFlaws {
		t.Errorf("flaws without a name: %b", allFlaws&^all)
	}
	for _, c := range [][2]string{
		{Unexplained, "no combination of known flaws gives both sides' values"},
		{"rounding_in_batch + key_form", "the batch side has fewer decimals, and one key is written in two ways: in case, space, empty or normal form"},
		{"duplicates_in_batch or rounding_in_stream", "the batch side counted an event more than once; or: the stream side has fewer decimals"},
		{"airport-renamed", ""},
	} {
		if got := CauseMeaning(c[0]); got != c[1] {
			t.Errorf("%s means %q, want %q", c[0], got, c[1])
		}
	}
}
