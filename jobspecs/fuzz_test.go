package jobspecs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzParse: no input makes the loader panic; what it accepts is written back
// as it is, and every error has a place within the text.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"examples/*/*.yaml", "testdata/errors/*.yaml", "testdata/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds %s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(minimal))
	f.Add([]byte(minimal + "overlays: {fuzz: {metadata: {name: other}, spec: {split: {count: 3}, transform: {rename: {a: \"${A}\"}}}}, b: {}}\nvariables: {A: {}}\n"))
	f.Add([]byte(minimal + "overlays: {fuzz: [], fuzz: {spec: {cuont: 1}}, 1: null}\n---\nkind: Bridge\nextends: minimal\nabstract: true\noverlays: {fuzz: {spec: null, x: 1}}\n"))
	vars := Vars{Lookup: func(string) (string, bool) { return "kafka:9092", true }}
	f.Fuzz(func(t *testing.T, data []byte) {
		laid := vars
		laid.Environment = "fuzz" // its documents are as good as those without it
		for _, v := range []Vars{vars, laid} {
			checkParse(t, data, v)
		}
	})
}

func checkParse(t *testing.T, data []byte, vars Vars) {
	t.Helper()
	set, err := Parse("spec.yaml", data, vars)
	if err != nil {
		errs, ok := errorsOf(err)
		if !ok || len(errs) == 0 || set != nil {
			t.Fatalf("set %v, error %v", set, err)
		}
		for _, e := range errs {
			lines := strings.Count(string(data), "\n") + 1
			if e.File == "spec.yaml" && e.Line > lines {
				t.Errorf("%s is behind the end, line %d", e.Position(), lines)
			}
			if e.Code == "" || e.Message == "" || e.Error() == "" {
				t.Errorf("an error that says nothing: %+v", e)
			}
		}
		return
	}
	for _, doc := range documents(set) {
		text, err := Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("again.yaml", text, Vars{Lookup: vars.Lookup})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if d := cmp.Diff([]any{doc}, documents(again)); d != "" {
			t.Fatalf("(-want +got)\n%s\n%s", d, text)
		}
	}
}

// TestHostileInput: the largest file of the worst kinds is refused soon.
func TestHostileInput(t *testing.T) {
	repeat := func(s string) string { return strings.Repeat(s, maxFile/len(s)-10) }
	for name, text := range map[string]string{
		"brackets":       repeat("["),
		"braces":         repeat("{a: "),
		"dashes":         repeat("- "),
		"dash lines":     repeat("-\n"),
		"colons":         repeat("a: "),
		"questions":      repeat("? "),
		"tags":           repeat("!a "),
		"anchors":        repeat("&a "),
		"quotes":         repeat(`"`),
		"backslashes":    `"` + repeat(`\`),
		"documents":      repeat("---\n"),
		"lines":          repeat("\n"),
		"keys":           repeat("a: 1\n"),
		"one key":        repeat("a"),
		"a block scalar": "a: |\n" + repeat("  x\n"),
		"comments":       repeat("#\n"),
		"list":           repeat("- a\n"),
		"flow list":      "[" + repeat("a,"),
	} {
		start := time.Now()
		if _, err := Parse("spec.yaml", []byte(text), Vars{Lookup: noEnv}); err == nil {
			t.Errorf("%s: no error", name)
		}
		t.Logf("%-15s %s", name, time.Since(start).Round(time.Millisecond))
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("%s: took %s", name, took)
		}
	}
}
