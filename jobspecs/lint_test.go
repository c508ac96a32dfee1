package jobspecs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/goldentest"
)

// TestRules: each rule finds what it is there for, says nothing where that is
// only nearly so, and can be ignored; its text is that of the golden file.
func TestRules(t *testing.T) {
	var golden strings.Builder
	for i, c := range lintCases {
		t.Run(fmt.Sprintf("%s_%d", c.rule, i), func(t *testing.T) {
			base := lintAll
			if c.also != "" {
				base += "---\n" + c.also
			}
			if ws := warningsOf(t, edited(t, base, c.good...)); len(ws) > 0 {
				t.Errorf("the good text has %s", ws[0])
			}
			bad := edited(t, base, c.bad...)
			ws := warningsOf(t, bad)
			if d := cmp.Diff([]string{c.rule}, names(ws)); d != "" {
				t.Fatalf("(-want +got)\n%s%v", d, ws)
			}
			w := ws[0]
			if got := string([]rune(w.Source)[w.Column-1:][:w.Width]); got != c.at {
				t.Errorf("the caret is under %q, not %q", got, c.at)
			}
			if w.Document == "" || w.Path == "" || w.Message == "" || w.Hint == "" {
				t.Errorf("something is not said: %+v", w)
			}
			golden.WriteString(w.String() + "\n\n")

			ignoring := regexp.MustCompile(`(?m)^kind: `+w.Kind+`\nmetadata: \{name: `+w.Document+`\}$`).ReplaceAllString(bad, "$0\nignore: ["+c.rule+"]")
			if ws := warningsOf(t, ignoring); len(ws) > 0 {
				t.Errorf("ignored, and yet: %s", ws[0])
			}
		})
	}
	goldentest.Check(t, filepath.Join("testdata", "warnings.golden"), golden.String())
}

// TestRulesAreComplete: every rule has a case, and says all that it should, in
// the manner of the others.
func TestRulesAreComplete(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range lintCases {
		tested[c.rule] = true
	}
	seen := map[string]bool{}
	name := regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`)
	for _, r := range Rules() {
		if seen[r.Name] || !name.MatchString(r.Name) {
			t.Errorf("%q is there twice, or is not a name of a rule", r.Name)
		}
		seen[r.Name] = true
		if !tested[r.Name] {
			t.Errorf("%s has no case in this test", r.Name)
		}
		if r.Finds == "" || strings.HasSuffix(r.Finds, ".") || (strings.ToLower(r.Finds[:1]) != r.Finds[:1] && !strings.HasPrefix(r.Finds, "SASL")) {
			t.Errorf("%s finds %q: a clause is wanted, without a full stop", r.Name, r.Finds)
		}
		if !strings.HasSuffix(r.Why, ".") || strings.ToUpper(r.Why[:1]) != r.Why[:1] {
			t.Errorf("%s matters because %q: sentences are wanted", r.Name, r.Why)
		}
		if r.Mend == "" || strings.HasSuffix(r.Mend, ".") {
			t.Errorf("%s is mended by %q: a hint is wanted, without a full stop", r.Name, r.Mend)
		}
		if len(r.Kinds) == 0 || slices.ContainsFunc(r.Kinds, func(k string) bool { return !slices.Contains(Kinds(), k) }) {
			t.Errorf("%s is for kinds %v", r.Name, r.Kinds)
		}
	}
	for rule := range tested {
		if !seen[rule] {
			t.Errorf("there is no rule %s", rule)
		}
	}
}

// TestRulesAreDocumented: docs/specs.md says what the rules say.
func TestRulesAreDocumented(t *testing.T) {
	const begin, end = "<!-- rules: made from jobspecs.Rules by go test ./jobspecs -update -->\n", "<!-- end of rules -->\n"
	file := filepath.Join("..", "docs", "specs.md")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s lacks the marks %s and %s", file, begin, end)
	}
	var b strings.Builder
	for _, r := range Rules() {
		kinds := strings.Join(r.Kinds, ", ")
		if len(r.Kinds) == len(Kinds()) {
			kinds = "all kinds"
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s: %s.\n\n%s\n\nTo mend it: %s.\n", r.Name, kinds, r.Finds, r.Why, r.Mend)
	}
	goldentest.Check(t, file, head+begin+b.String()+"\n"+end+tail)
}

// TestExamplesBreakNoRule: what people copy is clean, or says why it is not.
func TestExamplesBreakNoRule(t *testing.T) {
	_, docs, err := LoadDocuments([]string{"examples"}, exampleVars)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		for _, w := range d.Warnings {
			t.Errorf("%s", w)
		}
		data, err := os.ReadFile(d.File)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(data), "\n") {
			if strings.HasPrefix(line, "ignore:") && !strings.Contains(line, "#") {
				t.Errorf("%s ignores a rule without a comment that says why: %s", d.File, line)
			}
		}
	}
}

func TestIgnore(t *testing.T) {
	with := func(header string) string {
		return strings.Replace(minimal, "metadata:", header+"metadata:", 1)
	}
	for _, c := range []struct{ header, message, hint string }{
		{"ignore: [kafka-without-tsl]\n", `there is no rule "kafka-without-tsl"`, "did you mean kafka-without-tls?"},
		{"ignore: [all]\n", `there is no rule "all"`, "kappa validate --list-rules lists them"},
		{"ignore: [kafka-without-tls, kafka-without-tls]\n", `rule "kafka-without-tls" is there twice; the first is ignore[0]`, ""},
	} {
		_, err := Parse("spec.yaml", []byte(with(c.header)), Vars{Lookup: noEnv})
		var es Errors
		if !errors.As(err, &es) || len(es) != 1 || es[0].Message != c.message || es[0].Hint != c.hint || es[0].Line == 0 {
			t.Errorf("%s: %v", c.header, err)
		}
	}
	set, err := Parse("spec.yaml", []byte(with("ignore: [kafka-without-tls]\n")), Vars{Lookup: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Bridges[0].Ignore; got != nil {
		t.Errorf("a resolved document still ignores %v", got)
	}
}

// TestIgnoreIsNotInherited: who extends a document has to say for itself what
// it breaks on purpose.
func TestIgnoreIsNotInherited(t *testing.T) {
	base := strings.Replace(lintBridge, "{topic: trip-dead-letters}", "{file: dead.jsonl}", 1)
	base = strings.Replace(base, "metadata:", "ignore: [dead-letter-file]\nmetadata:", 1)
	ws := warningsOf(t, base+"---\napiVersion: kappa/v1\nkind: Bridge\nextends: trips\nmetadata: {name: second}\nspec:\n  sources: {main: {group: second}}\n")
	if d := cmp.Diff([]string{"dead-letter-file"}, names(ws)); d != "" {
		t.Fatalf("(-want +got)\n%s", d)
	}
	if ws[0].Document != "second" || ws[0].Path != "spec.deadLetter.file" || !strings.Contains(ws[0].Source, "dead.jsonl") {
		t.Errorf("got %+v", ws[0])
	}
	// What two documents have from one line is said once.
	both := strings.Replace(base, "ignore: [dead-letter-file]\n", "", 1)
	ws = warningsOf(t, both+"---\napiVersion: kappa/v1\nkind: Bridge\nextends: trips\nmetadata: {name: second}\nspec:\n  sources: {main: {group: second}}\n")
	if d := cmp.Diff([]string{"dead-letter-file"}, names(ws)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestWarningsBesideErrors: a document with errors has no warnings, the others
// keep theirs.
func TestWarningsBesideErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "specs.yaml")
	text := edited(t, lintAll, "maxWorkers: 8", "maxWorkers: 2", "minExactPercent: 95", "maxUnexplained: many", ", late: late_trips}\n  gate", "}\n  gate")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, docs, err := LoadDocuments([]string{file}, Vars{Lookup: noEnv})
	if err == nil {
		t.Fatal("no error")
	}
	var got []string
	for _, d := range docs {
		got = append(got, names(d.Warnings)...)
	}
	if d := cmp.Diff([]string{"autoscaling-without-room"}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestSandboxBreaksNoRuleOfProduction: what the sandbox cannot have, nobody is
// asked for there.
func TestSandboxBreaksNoRuleOfProduction(t *testing.T) {
	text := edited(t, lintAll,
		"  project: acme-data", "  environment: sandbox\n  project: my-project",
		"      tls: {enabled: true}\n", "", "      sasl: {mechanism: SCRAM-SHA-512, username: bridge, password: {file: /run/password}}\n", "",
		"topics: [trips]", "topics: [trips]\n      start: latest",
		"{topic: trip-dead-letters}", "{file: dead.jsonl}", "  listen: 0.0.0.0:9090\n", "",
		"  tuning: {workers: 2, maxWorkers: 8, serviceAccount: pipeline@acme-data.iam.gserviceaccount.com}\n", "  tuning: {subnetwork: regions/us-central1/subnetworks/kappa}\n")
	for _, w := range warningsOf(t, text) {
		t.Errorf("%s", w)
	}
}

// Property: whatever loads can be linted, a warning stands in its file, and the
// order of documents changes no rule's mind about a document alone.
func TestWarningsStandSomewhere(t *testing.T) {
	edits := [][]string{{}}
	for _, c := range lintCases {
		if c.also == "" {
			edits = append(edits, c.bad)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		text := lintAll
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(edits)-1), 1, 4).Draw(rt, "edits") {
			for p := 0; p < len(edits[i]); p += 2 {
				text = strings.ReplaceAll(text, edits[i][p], edits[i][p+1])
			}
		}
		l := newLoader(Vars{Lookup: noEnv})
		l.parse("specs.yaml", []byte(text))
		_, docs, _ := l.finish([]string{"specs.yaml"})
		lines := strings.Split(text, "\n")
		for _, d := range docs {
			for _, w := range d.Warnings {
				if w.File != "specs.yaml" || w.Line < 1 || lines[w.Line-1] != w.Source || w.Column < 1 || w.Column+w.Width-1 > len([]rune(w.Source)) || w.Width < 1 {
					rt.Fatalf("%+v stands nowhere", w)
				}
			}
		}
	})
}
