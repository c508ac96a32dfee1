package jobspecs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// validator checks JSON against a schema: the part of draft 2020-12 that
// Schema uses. What it does not know it refuses, so that a new keyword in the
// schema cannot pass untested.
type validator struct{ root map[string]any }

func newValidator(t *testing.T) *validator {
	t.Helper()
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	v := &validator{}
	if err := json.Unmarshal(b, &v.root); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *validator) check(doc any) error { return v.against(v.root, doc, "") }

func (v *validator) against(s map[string]any, x any, path string) error {
	for _, keyword := range slices.Sorted(keysOf(s)) {
		if err := v.keyword(keyword, s, x, path); err != nil {
			return err
		}
	}
	return nil
}

func keysOf(m map[string]any) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (v *validator) keyword(keyword string, s map[string]any, x any, path string) error {
	arg := s[keyword]
	object, _ := x.(map[string]any)
	switch keyword {
	case "$schema", "$id", "$defs", "title", "description", "default":
	case "$ref":
		def, ok := v.root["$defs"].(map[string]any)[strings.TrimPrefix(arg.(string), "#/$defs/")].(map[string]any)
		if !ok {
			return fmt.Errorf("%s: no definition %s", path, arg)
		}
		return v.against(def, x, path)
	case "oneOf", "anyOf":
		return v.some(keyword, arg.([]any), x, path)
	case "allOf":
		for _, s := range arg.([]any) {
			if err := v.against(s.(map[string]any), x, path); err != nil {
				return err
			}
		}
	case "if":
		if v.against(arg.(map[string]any), x, path) == nil {
			return v.against(s["then"].(map[string]any), x, path)
		}
	case "then": // of if
	case "not":
		if v.against(arg.(map[string]any), x, path) == nil {
			return fmt.Errorf("%s: is what it must not be", path)
		}
	case "type":
		types, ok := arg.([]any)
		if !ok {
			types = []any{arg}
		}
		if !slices.ContainsFunc(types, func(t any) bool { return hasType(x, t.(string)) }) {
			return fmt.Errorf("%s: %v is none of %v", path, x, types)
		}
	case "const":
		if x != arg {
			return fmt.Errorf("%s: %v is not %v", path, x, arg)
		}
	case "enum":
		if !slices.Contains(arg.([]any), x) {
			return fmt.Errorf("%s: %v is none of %v", path, x, arg)
		}
	case "propertyNames":
		for name := range object {
			if err := v.against(arg.(map[string]any), name, join(path, name)); err != nil {
				return err
			}
		}
	case "pattern":
		if text, ok := x.(string); ok && !regexp.MustCompile(arg.(string)).MatchString(text) {
			return fmt.Errorf("%s: %q does not match %s", path, text, arg)
		}
	case "minLength":
		if text, ok := x.(string); ok && utf8.RuneCountInString(text) < int(arg.(float64)) {
			return fmt.Errorf("%s: %q is too short", path, text)
		}
	case "minimum":
		if n, ok := x.(float64); ok && n < arg.(float64) {
			return fmt.Errorf("%s: %v is too small", path, n)
		}
	case "minItems":
		if list, ok := x.([]any); ok && len(list) < int(arg.(float64)) {
			return fmt.Errorf("%s: too few", path)
		}
	case "minProperties":
		if object != nil && len(object) < int(arg.(float64)) {
			return fmt.Errorf("%s: too few", path)
		}
	case "required":
		for _, name := range arg.([]any) {
			if _, ok := object[name.(string)]; object != nil && !ok {
				return fmt.Errorf("%s: %s is missing", path, name)
			}
		}
	case "items":
		list, _ := x.([]any)
		for i, item := range list {
			if err := v.against(arg.(map[string]any), item, at(path, i)); err != nil {
				return err
			}
		}
	case "properties":
		for name, p := range arg.(map[string]any) {
			if value, ok := object[name]; ok {
				if p == false {
					return fmt.Errorf("%s: must not be given", join(path, name))
				}
				if err := v.against(p.(map[string]any), value, join(path, name)); err != nil {
					return err
				}
			}
		}
	case "additionalProperties":
		properties, _ := s["properties"].(map[string]any)
		for name, value := range object {
			if _, ok := properties[name]; ok {
				continue
			}
			more, ok := arg.(map[string]any)
			if !ok {
				return fmt.Errorf("%s: %s is unknown", path, name)
			}
			if err := v.against(more, value, join(path, name)); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("the validator does not know %s", keyword)
	}
	return nil
}

func (v *validator) some(keyword string, schemas []any, x any, path string) error {
	var errs []string
	matched := 0
	for _, s := range schemas {
		if err := v.against(s.(map[string]any), x, path); err != nil {
			errs = append(errs, err.Error())
			continue
		}
		matched++
	}
	if matched == 0 || (keyword == "oneOf" && matched != 1) {
		return fmt.Errorf("%s: %d of %s match:\n%s", path, matched, keyword, strings.Join(errs, "\n"))
	}
	return nil
}

func hasType(x any, typ string) bool {
	switch x := x.(type) {
	case map[string]any:
		return typ == "object"
	case []any:
		return typ == "array"
	case string:
		return typ == "string"
	case bool:
		return typ == "boolean"
	case float64:
		return typ == "number" || (typ == "integer" && x == float64(int64(x)))
	}
	return false
}

// asJSON turns a YAML document into what a JSON parser would give.
func asJSON(text []byte) (any, error) {
	var c collector
	src, chunks := newSource("doc.yaml", text, &c)
	for _, ch := range chunks {
		if root := parseYAML(src, ch, &c); root != nil {
			return jsonOf(root), nil
		}
	}
	return nil, c.errs
}

func jsonOf(n *node) any {
	switch n.kind {
	case mapping:
		out := map[string]any{}
		for _, e := range n.entries {
			out[e.key.text] = jsonOf(e.value)
		}
		return out
	case sequence:
		out := []any{}
		for _, v := range n.items {
			out = append(out, jsonOf(v))
		}
		return out
	case scalar:
		var x any
		if err := json.Unmarshal([]byte(n.text), &x); err == nil && !n.quoted {
			return x // a plain number or boolean
		}
		return n.text
	}
	return nil
}

// TestExamplesMatchTheSchema also holds that a slip in them does not.
func TestExamplesMatchTheSchema(t *testing.T) {
	v := newValidator(t)
	files, err := filepath.Glob("examples/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range strings.Split(string(text), "\n---\n") {
			doc, err := asJSON([]byte(one))
			if err != nil {
				t.Fatal(err)
			}
			if err := v.check(doc); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			doc.(map[string]any)["spec"].(map[string]any)["slip"] = 1
			if v.check(doc) == nil {
				t.Errorf("%s: an unknown field matches", file)
			}
		}
	}
}

// TestSchemaAgreesWithTheLoader on single faults.
func TestSchemaAgreesWithTheLoader(t *testing.T) {
	v := newValidator(t)
	for _, c := range []struct {
		old, new string
		ok       bool
	}{
		{"", "", true},
		{"count: 2", "count: 0", false},
		{"count: 2", `count: "2"`, false},
		{"count: 2", "count: 2.5", false},
		{"count: 2", "cuont: 2", false},
		{"project: kappa-demo", "project: Kappa", false},
		{"project: kappa-demo", "environment: sandbox", false},
		{"project: kappa-demo", "project: kappa-demo\n  environment: sandbox", true},
		{"project: kappa-demo", "project: kappa-demo\n  environment: staging", false},
		{"project: kappa-demo", "project: kappa-demo\n  limits: {linger: 1h30m, memory: 1GiB}", true},
		{"project: kappa-demo", "project: kappa-demo\n  limits: {linger: soon}", false},
		{"project: kappa-demo", "project: kappa-demo\n  limits: {memory: much}", false},
		{`brokers: ["kafka:9092"]`, "brokers: []", false},
		{`{main: {brokers: ["kafka:9092"], topics: [flights], group: g}}`, "{}", false},
		{"topics: [flights]", "topics: flights", false},
		{"topics: [flights]", `topics: [""]`, false},
		{"group: g", "group: 12", true},
		{"group: g", `group: ""`, false},
		{"group: g", "group: {}", false},
		{"kappa/v1", "kappa/v2", false},
		{"kind: Bridge", "kind: StreamJob", false},
		{"name: minimal", "name: minimal, labels: {a: b}", true},
		{"name: minimal", "name: minimal, labels: [a]", false},
	} {
		text := strings.Replace(minimal, c.old, c.new, 1)
		doc, err := asJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		_, lerr := Parse("spec.yaml", []byte(text), Vars{Lookup: noEnv})
		serr := v.check(doc)
		if (lerr == nil) != c.ok || (serr == nil) != c.ok {
			t.Errorf("%q: loader: %v; schema: %v; want ok %v", c.new, lerr, serr, c.ok)
		}
	}
}

// TestDerivedDocumentsMatchTheSchema: what extends another may lack fields,
// but not have unknown ones.
func TestDerivedDocumentsMatchTheSchema(t *testing.T) {
	v := newValidator(t)
	const head = "apiVersion: kappa/v1\nkind: Bridge\nmetadata: {name: a}\n"
	for text, ok := range map[string]bool{
		head:                          false,
		head + "extends: base.yaml\n": true,
		head + "abstract: true\n":     true,
		head + "abstract: false\n":    false,
		head + "extends: base.yaml\nspec: {split: {count: 3}}\n":                   true,
		head + "extends: base.yaml\nspec: {split: {cuont: 3}}\n":                   false,
		head + "variables: {A: {default: x}}\nextends: b\nspec: {project: ${A}}\n": false, // no YAML: see below
	} {
		doc, err := asJSON([]byte(text))
		if err != nil {
			if ok {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if err := v.check(doc); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	withVariable := strings.Replace(strings.Replace(minimal, "count: 2", `count: "${N}"`, 1), "project: kappa-demo", "project: ${PROJECT}", 1)
	doc, err := asJSON([]byte(withVariable))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.check(doc); err != nil {
		t.Errorf("variables: %v", err)
	}
}

// TestMarshalMatchesTheSchema: every document that the tags allow matches the
// schema that is made from them.
func TestMarshalMatchesTheSchema(t *testing.T) {
	v := newValidator(t)
	for _, kind := range Kinds() {
		rapid.Check(t, func(t *rapid.T) {
			doc := drawDocument(t, kind)
			text, err := Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			x, err := asJSON(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if err := v.check(x); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
		})
	}
}

// TestEveryFieldIsDocumented: the schema is what editors show.
func TestEveryFieldIsDocumented(t *testing.T) {
	v := newValidator(t)
	for name, d := range v.root["$defs"].(map[string]any) {
		for field, p := range d.(map[string]any)["properties"].(map[string]any) {
			if p.(map[string]any)["description"] == nil {
				t.Errorf("%s.%s has no description", name, field)
			}
		}
	}
}
