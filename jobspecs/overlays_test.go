package jobspecs

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/goldentest"
)

// TestOverlays: what an overlay makes of a document.
func TestOverlays(t *testing.T) {
	base := strings.Replace(minimal, "project: kappa-demo", "project: kappa-demo\n  transform: {decode: json, rename: {a: b}}\n  limits: {linger: 1s}", 1)
	for _, c := range []struct {
		name, overlay string
		got           func(*Bridge) any
		want          any
	}{
		{"a value is replaced", "{spec: {project: kappa-staging}}",
			func(b *Bridge) any { return b.Spec.Project }, "kappa-staging"},
		{"what it does not name stays", "{spec: {project: kappa-staging}}",
			func(b *Bridge) any { return b.Spec.Limits.Linger.D() }, time.Second},
		{"mappings are merged", "{spec: {split: {count: 3}}}",
			func(b *Bridge) any { return b.Spec.Split }, Split{TopicPrefix: "flights-", Count: 3}},
		{"mappings by name are merged", "{spec: {transform: {rename: {c: d}}}}",
			func(b *Bridge) any { return b.Spec.Transform.Rename }, map[string]string{"a": "b", "c": "d"}},
		{"an item of a mapping is merged", "{spec: {sources: {main: {group: h}}}}",
			func(b *Bridge) any { s := b.Spec.Sources["main"]; return []any{s.Group, s.Topics} }, []any{"h", []string{"flights"}}},
		{"an item is added", "{spec: {sources: {other: {brokers: [x:1], topics: [t], group: g}}}}",
			func(b *Bridge) any { return b.Spec.SourceNames() }, []string{"main", "other"}},
		{"lists are replaced", "{spec: {sources: {main: {topics: [a, b]}}}}",
			func(b *Bridge) any { return b.Spec.Sources["main"].Topics }, []string{"a", "b"}},
		{"a default is given again", "{spec: {limits: {linger: 5ms}}}",
			func(b *Bridge) any { return b.Spec.Limits.Linger.D() }, 5 * time.Millisecond},
		{"metadata", "{metadata: {name: minimal-staging, labels: {tier: two}}}",
			func(b *Bridge) any { return b.Metadata }, Metadata{Name: "minimal-staging", Labels: map[string]string{"tier": "two"}}},
		{"nothing", "{}",
			func(b *Bridge) any { return b.Spec.Project }, "kappa-demo"},
		{"a variable", "{spec: {project: '${PROJECT}'}}",
			func(b *Bridge) any { return b.Spec.Project }, "from-env"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := base + "variables: {PROJECT: {}}\noverlays:\n  staging: " + c.overlay + "\n  other: {spec: {project: other-project, listen: other}}\n"
			v := Vars{Environment: "staging", Lookup: func(string) (string, bool) { return "from-env", true }}
			got := parseBridge(t, text, v)
			if d := cmp.Diff(c.want, c.got(got)); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			if got.Overlays != nil {
				t.Error("a resolved document has overlays")
			}
			if d := cmp.Diff(parseBridge(t, base, Vars{}), parseBridge(t, text, Vars{})); d != "" {
				t.Errorf("without --env (-want +got)\n%s", d)
			}
		})
	}
}

// layered are three documents, each of which extends the one before, with
// overlays of some. The fields are named by who sets them last in staging.
func layered() string {
	return `apiVersion: kappa/v1
kind: Bridge
abstract: true
variables: {NAME: {default: base}}
metadata: {name: base}
spec:
  project: kappa-demo
  sources: {main: {brokers: ["kafka:9092"], topics: [flights], group: g}}
  split: {topicPrefix: flights-, count: 2}
  deadLetter: {topic: dead-letters}
  transform: {decode: json, set: {base: record.base, baseOverlay: record.base, middle: record.base, middleOverlay: record.base, last: record.base, lastOverlay: record.base}}
overlays:
  staging: {spec: {transform: {set: {baseOverlay: "record.base_${NAME}", middle: record.base_staging, middleOverlay: record.base_staging, last: record.base_staging, lastOverlay: record.base_staging}}}}
---
apiVersion: kappa/v1
kind: Bridge
extends: base
metadata: {name: middle}
spec: {transform: {set: {middle: record.middle, middleOverlay: record.middle, last: record.middle, lastOverlay: record.middle}}}
overlays:
  staging: {metadata: {name: renamed}, spec: {transform: {set: {middleOverlay: record.middle_staging, last: record.middle_staging, lastOverlay: record.middle_staging}}}}
  middle-only: {spec: {transform: {set: {last: record.middle_middle_only, middle: record.middle_middle_only}}}}
---
apiVersion: kappa/v1
kind: Bridge
extends: middle
variables: {NAME: {default: last}}
metadata: {name: last}
spec: {transform: {set: {last: record.last, lastOverlay: record.last}}}
overlays:
  staging: {spec: {transform: {set: {lastOverlay: record.last_staging}}}}
`
}

// TestOverlaysAndExtends: a base, its overlay, what extends it, the overlay of
// that, and so on: who stands later wins.
func TestOverlaysAndExtends(t *testing.T) {
	type fields = map[string]string
	for _, c := range []struct {
		env, name string // of the second document
		middle    fields
		last      fields
	}{
		{"", "middle",
			fields{"base": "record.base", "baseOverlay": "record.base", "middle": "record.middle", "middleOverlay": "record.middle", "last": "record.middle", "lastOverlay": "record.middle"},
			fields{"base": "record.base", "baseOverlay": "record.base", "middle": "record.middle", "middleOverlay": "record.middle", "last": "record.last", "lastOverlay": "record.last"}},
		{"staging", "renamed",
			fields{"base": "record.base", "baseOverlay": "record.base_base", "middle": "record.middle", "middleOverlay": "record.middle_staging", "last": "record.middle_staging", "lastOverlay": "record.middle_staging"},
			fields{"base": "record.base", "baseOverlay": "record.base_last", "middle": "record.middle", "middleOverlay": "record.middle_staging", "last": "record.last", "lastOverlay": "record.last_staging"}},
		{"middle-only", "middle",
			fields{"base": "record.base", "baseOverlay": "record.base", "middle": "record.middle_middle_only", "middleOverlay": "record.middle", "last": "record.middle_middle_only", "lastOverlay": "record.middle"},
			fields{"base": "record.base", "baseOverlay": "record.base", "middle": "record.middle_middle_only", "middleOverlay": "record.middle", "last": "record.last", "lastOverlay": "record.last"}},
	} {
		docs := strings.Split(layered(), "---\n")
		inFiles := strings.NewReplacer("extends: base", "extends: shared/base.yaml", "extends: middle", "extends: middle.yaml")
		dir := write(t, map[string]string{"shared/base.yaml": docs[0], "middle.yaml": inFiles.Replace(docs[1]), "last.yaml": inFiles.Replace(docs[2]), "one.yaml": layered()})
		for _, paths := range [][]string{{"one.yaml"}, {"middle.yaml", "last.yaml"}} {
			for i := range paths {
				paths[i] = filepath.Join(dir, paths[i])
			}
			set, listed, err := LoadDocuments(paths, Vars{Lookup: noEnv, Environment: c.env})
			if err != nil {
				t.Fatalf("%q: %v", c.env, err)
			}
			middle, last := set.Bridges[0], set.Bridges[1]
			if d := cmp.Diff([]fields{c.middle, c.last}, []fields{middle.Spec.Transform.Set, last.Spec.Transform.Set}); d != "" {
				t.Errorf("%q, %d files: (-want +got)\n%s", c.env, len(paths), d)
			}
			if middle.Metadata.Name != c.name || last.Metadata.Name != "last" {
				t.Errorf("%q: names %s, %s", c.env, middle.Metadata.Name, last.Metadata.Name)
			}
			if d := cmp.Diff([]string{"middle-only", "staging"}, listed[len(listed)-1].Environments); d != "" {
				t.Errorf("%q: environments (-want +got)\n%s", c.env, d)
			}
		}
		if last, err := Environments([]string{filepath.Join(dir, "last.yaml")}); err != nil || !cmp.Equal(last, []string{"middle-only", "staging"}) {
			t.Errorf("environments %v, %v", last, err)
		}
	}
}

// TestOverlayIsAnExtension: an overlay makes of a document what a document with
// the same fields that extends it would be.
func TestOverlayIsAnExtension(t *testing.T) {
	parts := []string{
		"project: kappa-staging", "sources: {main: {group: h}}", "sources: {main: {topics: [x, y]}, second: {brokers: [b:1], topics: [z], group: g}}",
		"split: {count: 7}", "split: {key: [page]}", "transform: {decode: json}", "transform: {decode: json, rename: {a: c}, drop: [d]}",
		"deadLetter: {topic: other}", "limits: {linger: 2s}", "listen: 127.0.0.1:80", "count: 3", "split: {count: 0}",
	}
	rapid.Check(t, func(t *rapid.T) {
		var spec string
		used := map[string]bool{}
		for _, p := range rapid.SliceOfN(rapid.SampledFrom(parts), 0, 4).Draw(t, "parts") {
			if field, _, _ := strings.Cut(p, ":"); !used[field] {
				used[field] = true
				spec += p + ", "
			}
		}
		fields := "spec: {" + strings.TrimSuffix(spec, ", ") + "}"
		overlaid, oerr := Parse("a.yaml", []byte(minimal+"overlays: {env: {"+fields+"}}\n"), Vars{Lookup: noEnv, Environment: "env"})
		extended, xerr := Parse("a.yaml", []byte(minimal+"---\napiVersion: kappa/v1\nkind: Bridge\nextends: minimal\nmetadata: {name: other}\n"+fields+"\n"), Vars{Lookup: noEnv})
		if (oerr == nil) != (xerr == nil) {
			t.Fatalf("%s\noverlaid: %v\nextended: %v", fields, oerr, xerr)
		}
		if oerr != nil {
			return
		}
		want := extended.Bridges[1]
		want.Metadata.Name = "minimal"
		if d := cmp.Diff(want, overlaid.Bridges[0]); d != "" {
			t.Fatalf("%s (-extended +overlaid)\n%s", fields, d)
		}
	})
}

// TestChosenOverlayErrors stand in the overlay's lines, each once.
func TestChosenOverlayErrors(t *testing.T) {
	for _, env := range []string{"", "staging", "production"} {
		_, err := Load([]string{"testdata/overlays.yaml"}, Vars{Lookup: noEnv, Environment: env})
		if exit.Of(err) != exit.Usage {
			t.Fatalf("%q: %v", env, err)
		}
		goldentest.Check(t, filepath.Join("testdata", "overlays"+map[bool]string{true: "-"}[env != ""]+env+".golden"), err.Error()+"\n")
	}
}

// TestUnknownEnvironment: a misspelt name never means no overlays.
func TestUnknownEnvironment(t *testing.T) {
	overlays := minimal + "overlays: {staging: {}, production: {}}\n"
	for _, c := range []struct{ name, text, env, hint string }{
		{"misspelt", overlays, "stagin", "did you mean staging?"},
		{"another case", overlays, "Staging", "did you mean staging?"},
		{"no such name", overlays, "qa", "there are overlays for production, staging"},
		{"no overlays", minimal, "staging", "no document has overlays"},
	} {
		set, err := Parse("spec.yaml", []byte(c.text), Vars{Lookup: noEnv, Environment: c.env})
		if set != nil || exit.Of(err) != exit.Usage {
			t.Fatalf("%s: %v, %v", c.name, set, err)
		}
		e := find1(t, err, CodeDanglingReference)
		want := &Error{File: "--env " + c.env, Code: CodeDanglingReference, Message: "no document has an overlay for the environment " + c.env, Hint: c.hint}
		if d := cmp.Diff(want, e); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, d)
		}
	}
	for name, text := range map[string]string{
		"an unreadable document may have it":    overlays + "---\nkind: Bridge\noverlays: {qa: {}\n",
		"a base that is not there may have it":  overlays + "---\nkind: Bridge\nextends: nope.yaml\nmetadata: {name: a}\n",
		"a document of no kind may have it":     overlays + "---\nkind: Bridg\noverlays: {qa: {}}\n",
		"a file without documents has no specs": "# nothing\n",
	} {
		_, err := Parse("spec.yaml", []byte(text), Vars{Lookup: noEnv, Environment: "qa"})
		if err == nil || strings.Contains(err.Error(), "--env") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Another error does not hide it.
	_, err := Parse("spec.yaml", []byte(strings.Replace(overlays, "count: 2", "cuont: 2", 1)), Vars{Lookup: noEnv, Environment: "stagin"})
	find1(t, err, CodeDanglingReference)
	find1(t, err, CodeUnknownField)
	// One document of several is enough.
	other := strings.Replace(minimal, "name: minimal", "name: other", 1)
	if _, err := Parse("spec.yaml", []byte(overlays+"---\n"+other), Vars{Lookup: noEnv, Environment: "staging"}); err != nil {
		t.Error(err)
	}
}

// TestRequiredFieldsMayBeLeftToOverlays: such a document takes --env.
func TestRequiredFieldsMayBeLeftToOverlays(t *testing.T) {
	text := strings.Replace(minimal, "  project: kappa-demo\n", "", 1) + "overlays: {staging: {spec: {project: kappa-staging}}, empty: {}}\n"
	if got := parseBridge(t, text, Vars{Environment: "staging"}).Spec.Project; got != "kappa-staging" {
		t.Errorf("project %q", got)
	}
	for _, env := range []string{"", "empty"} {
		_, err := Parse("spec.yaml", []byte(text), Vars{Lookup: noEnv, Environment: env})
		if e := find1(t, err, CodeMissingField); !strings.HasPrefix(e.Hint, "project: ") || e.Line != 4 {
			t.Errorf("%q: %v", env, e)
		}
	}
}

// TestValuesOfVariablesDoNotMatterToOtherOverlays: they are those of the
// environment that was chosen.
func TestValuesOfVariablesDoNotMatterToOtherOverlays(t *testing.T) {
	text := minimal + "variables: {N: {}}\noverlays: {staging: {spec: {split: {count: \"${N}\"}}}, other: {spec: {listen: \"${N}\"}}}\n"
	set := Vars{Lookup: noEnv, Set: map[string]string{"N": "x"}}
	if got := parseBridge(t, text, set).Spec.Split.Count; got != 2 {
		t.Errorf("count %d", got)
	}
	parseBridge(t, text, Vars{})
	set.Environment = "staging"
	_, err := Parse("spec.yaml", []byte(text), set)
	find1(t, err, CodeWrongType)
	_, err = Parse("spec.yaml", []byte(text), Vars{Lookup: noEnv, Environment: "staging"})
	find1(t, err, CodeMissingVariable)
}

// TestOverlaysOfABaseAreChecked although nobody loads the base itself, and once.
func TestOverlaysOfABaseAreChecked(t *testing.T) {
	derived := "apiVersion: kappa/v1\nkind: Bridge\nextends: base.yaml\nmetadata: {name: %}\n"
	dir := write(t, map[string]string{
		"base.yaml": minimal + "overlays:\n  staging:\n    spec: {split: {cuont: 2}}\n",
		"one.yaml":  strings.Replace(derived, "%", "one", 1),
		"two.yaml":  strings.Replace(derived, "%", "two", 1),
	})
	for _, env := range []string{"", "staging"} {
		_, err := Load([]string{filepath.Join(dir, "one.yaml"), filepath.Join(dir, "two.yaml")}, Vars{Lookup: noEnv, Environment: env})
		e := find1(t, err, CodeUnknownField)
		if filepath.Base(e.File) != "base.yaml" || e.Line != 11 || e.Path != "spec.split.cuont" {
			t.Errorf("%q: error at %s, %s", env, e.Position(), e.Path)
		}
	}
}

// TestEveryFieldIsAllowedInAnOverlay, and checked: what Marshal writes of any
// document is an overlay, and a slip in it is an error.
func TestEveryFieldIsAllowedInAnOverlay(t *testing.T) {
	for _, kind := range Kinds() {
		rapid.Check(t, func(t *rapid.T) {
			text, err := Marshal(drawDocument(t, kind))
			if err != nil {
				t.Fatal(err)
			}
			_, body, _ := strings.Cut("\n"+string(text), "\nmetadata:")
			indented := "    metadata:" + strings.ReplaceAll(strings.TrimSuffix(body, "\n"), "\n", "\n    ")
			head := "apiVersion: kappa/v1\nkind: " + kind + "\nabstract: true\nmetadata: {name: a}\noverlays:\n  env:\n"
			_, err = Parse("a.yaml", []byte(head+indented+"\n"), Vars{Lookup: noEnv})
			errs, _ := errorsOf(err)
			for _, e := range errs {
				// A drawn label need not have a key that Google Cloud takes.
				if !strings.HasPrefix(e.Path, "metadata.labels.") {
					t.Fatalf("%v\n%s", err, head+indented)
				}
			}
			_, err = Parse("a.yaml", []byte(head+indented+"\n      slip: 1\n"), Vars{Lookup: noEnv})
			if err == nil || !strings.Contains(err.Error(), `spec has no field "slip"`) {
				t.Fatalf("%v\n%s", err, head+indented)
			}
		})
	}
}

// TestOverlaysAndTheSchema: it takes what the loader takes, and refuses most of
// what that refuses.
func TestOverlaysAndTheSchema(t *testing.T) {
	v := newValidator(t)
	for _, c := range []struct {
		overlays       string
		loader, schema bool
	}{
		{"{}", true, true},
		{"{staging: {}}", true, true},
		{"{staging: {spec: {split: {count: 3}}, metadata: {labels: {a: b}}}}", true, true},
		{"{staging: {spec: {split: {count: '${N}'}}}}", true, true},
		{"{staging: {spec: {sources: {other: {group: h}}}}}", true, true},
		{"{staging: {spec: {split: {cuont: 3}}}}", false, false},
		{"{staging: {spec: {split: {count: three}}}}", false, false},
		{"{staging: {spec: {split: {count: 0}}}}", false, false},
		{"{staging: {spec: {split: []}}}", false, false},
		{"{staging: {sepc: {}}}", false, false},
		{"{staging: {kind: Bridge}}", false, false},
		{"{staging: {spec: null}}", false, false},
		{"{staging: null}", false, false},
		{"{staging: []}", false, false},
		{"[staging]", false, false},
		{"{Staging: {}}", false, false},
		{"{1st: {}}", false, false},
		{"{staging: {spec: {attributes: [{}]}}}", false, true}, // an item of a list that lacks fields
	} {
		text := minimal + "variables: {N: {}}\noverlays: " + c.overlays + "\n"
		doc, err := asJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		_, lerr := Parse("spec.yaml", []byte(text), Vars{Lookup: noEnv})
		if serr := v.check(doc); (lerr == nil) != c.loader || (serr == nil) != c.schema {
			t.Errorf("%s: loader: %v; schema: %v", c.overlays, lerr, serr)
		}
	}
}

func TestExplainOverlays(t *testing.T) {
	x, err := Explain("Bridge.overlays", true)
	if err != nil || x.Type != "mapping of environments to partial documents" || len(x.Fields) > 0 {
		t.Errorf("%+v, %v", x, err)
	}
	for _, path := range []string{"Bridge.overlays.spec.split.count", "Bridge.overlays.staging.spec.split.count"} {
		x, err := Explain(path, false)
		if err != nil || x.Type != "integer" || x.Required {
			t.Errorf("%+v, %v", x, err)
		}
	}
	x, err = Explain("Bridge.overlays.spec", true)
	if err != nil || x.Fields[1].Path != "Bridge.overlays.spec.project" || x.Fields[1].Required {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err = Explain("Bridge.overlays.kind", false); err == nil {
		t.Error("an overlay has a kind")
	}
}
