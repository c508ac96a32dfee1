package compare

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// jsonDocs is what docs/comparison-json.md says: by type, then field, the type of
// the field and whether it may be null.
func jsonDocs(t *testing.T) map[string]map[string][2]string {
	t.Helper()
	doc, err := os.ReadFile("../docs/comparison-json.md")
	if err != nil {
		t.Fatal(err)
	}
	docs, section := map[string]map[string][2]string{}, ""
	row := regexp.MustCompile("^\\| `(\\w+)` \\| (.+?) \\| (never|null|absent) \\| \\S.* \\|$")
	for l := range strings.Lines(string(doc)) {
		l = strings.TrimSpace(l)
		if h, ok := strings.CutPrefix(l, "## "); ok {
			section = h
			continue
		}
		if !strings.HasPrefix(l, "| `") {
			continue
		}
		m := row.FindStringSubmatch(l)
		if m == nil {
			t.Errorf("%s: a row that says not all: %s", section, l)
			continue
		}
		if docs[section] == nil {
			docs[section] = map[string][2]string{}
		}
		if _, twice := docs[section][m[1]]; twice {
			t.Errorf("%s.%s is documented twice", section, m[1])
		}
		docs[section][m[1]] = [2]string{m[2], m[3]}
	}
	return docs
}

// documented is what a Go type is called in the docs.
func documented(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Pointer:
		return documented(t.Elem())
	case reflect.Slice:
		return prefixed("list of ", documented(t.Elem()))
	case reflect.Map:
		return prefixed("map of ", documented(t.Elem()))
	case reflect.String:
		return []string{"text", "decimal"}
	case reflect.Int, reflect.Int64:
		return []string{"integer"}
	case reflect.Float64:
		return []string{"number"}
	case reflect.Bool:
		return []string{"boolean"}
	}
	if t == reflect.TypeFor[time.Time]() {
		return []string{"time"}
	}
	return []string{t.Name()}
}

func prefixed(with string, names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = with + n
	}
	return out
}

// Every field of the JSON is documented with its type and when it is null, and none
// that there is not.
func TestJSONIsDocumented(t *testing.T) {
	docs, seen := jsonDocs(t), map[string]bool{}
	var visit func(reflect.Type)
	var fields func(reflect.Type, map[string]reflect.StructField)
	fields = func(typ reflect.Type, all map[string]reflect.StructField) {
		for i := range typ.NumField() {
			switch f := typ.Field(i); {
			case f.Anonymous:
				fields(f.Type, all)
			default:
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if name == "" {
					t.Errorf("%s.%s has no name in JSON", typ.Name(), f.Name)
				}
				all[name] = f
			}
		}
	}
	visit = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			visit(typ.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		name := typ.Name()
		if typ == reflect.TypeFor[time.Time]() || seen[name] {
			return
		}
		seen[name] = true
		if typ == reflect.TypeFor[Ratio]() {
			typ = reflect.TypeFor[ratioJSON]() // as it is written
		}
		all := map[string]reflect.StructField{}
		fields(typ, all)
		for field, f := range all {
			got, ok := docs[name][field]
			if !ok {
				t.Errorf("%s.%s is not documented", name, field)
				continue
			}
			want := documented(f.Type)
			if f.Type == reflect.TypeFor[*json.Number]() {
				want = []string{"number"}
			}
			if !slices.Contains(want, got[0]) {
				t.Errorf("%s.%s is documented as %s, want %s", name, field, got[0], strings.Join(want, " or "))
			}
			null := "never"
			if f.Type.Kind() == reflect.Pointer {
				null = "null"
			}
			if strings.Contains(f.Tag.Get("json"), ",omitempty") {
				null = "absent"
			}
			if got[1] != null {
				t.Errorf("%s.%s is documented as null: %s, want %s", name, field, got[1], null)
			}
			visit(f.Type)
		}
		for field := range docs[name] {
			if _, ok := all[field]; !ok {
				t.Errorf("%s.%s is documented, and does not exist", name, field)
			}
		}
	}
	visit(reflect.TypeFor[Result]())
	for name := range docs {
		if !seen[name] {
			t.Errorf("the type %s is documented, and does not exist", name)
		}
	}
}
