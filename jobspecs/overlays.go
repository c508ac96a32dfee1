package jobspecs

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/suggest"
)

// Overlay is what an environment changes of a document: some of the fields of
// its metadata and spec. Which those are depends on the kind of the document,
// so that the type has none; no resolved document holds a value of it.
type Overlay struct{}

// overlaysField is the field of the header that holds the overlays.
const overlaysField = "overlays"

var (
	overlayType  = reflect.TypeFor[Overlay]()
	overlaysType = reflect.TypeFor[map[string]Overlay]()
)

const environmentPattern = `[a-z][-a-z0-9]{0,30}`

var environmentName = regexp.MustCompile("^" + environmentPattern + "$")

// overlayOf is the struct type of an overlay of documents of a type: their
// metadata and spec, neither of them required.
func overlayOf(document reflect.Type) reflect.Type {
	var fs []reflect.StructField
	for name, tag := range map[string]reflect.StructTag{
		"Metadata": `yaml:"metadata" doc:"Fields of the metadata that are other in this environment."`,
		"Spec":     `yaml:"spec" doc:"Fields of the spec that are other in this environment: mappings are merged, everything else is replaced."`,
	} {
		f, _ := document.FieldByName(name)
		fs = append(fs, reflect.StructField{Name: name, Type: f.Type, Tag: tag})
	}
	slices.SortFunc(fs, func(a, b reflect.StructField) int { return strings.Compare(a.Name, b.Name) })
	return reflect.StructOf(fs)
}

// Environments returns the names, sorted, of the environments for which a
// document of the files, or one that it extends, has an overlay. Errors in
// specs do not matter: what can be read counts.
func Environments(paths []string) ([]string, error) {
	files, err := find(paths)
	if err != nil {
		return nil, err
	}
	l := newLoader(Vars{})
	for _, f := range files {
		data, err := read(f)
		if err != nil {
			return nil, exit.Environmentf("read spec: %w", err)
		}
		l.parse(f, data)
	}
	for _, doc := range l.docs {
		l.extend(doc)
	}
	return environments(l.docs), nil
}

// environments returns the names of the environments for which the documents,
// or what they extend, have overlays. It takes documents that went through
// extend.
func environments(docs []*document) []string {
	names := map[string]bool{}
	seen := map[*document]bool{}
	for _, doc := range docs {
		for _, layer := range doc.layers {
			if seen[layer] {
				continue
			}
			seen[layer] = true
			for _, e := range layer.own.get(overlaysField).value.fields() {
				names[e.key.text] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// overlaid returns a document as it is written, without its overlays, and with
// that of the chosen environment laid over it.
func (l *loader) overlaid(doc *document) *node {
	out := *doc.own
	out.entries = slices.DeleteFunc(slices.Clone(out.entries), func(e entry) bool { return e.key.text == overlaysField })
	if l.vars.Environment == "" {
		return &out
	}
	over := *doc.own // so that errors about the whole document point at it, not at the overlay
	over.entries = nil
	for _, e := range doc.own.get(overlaysField).value.get(l.vars.Environment).value.fields() {
		// What else is there, or is no mapping, is reported by checkOverlays.
		if name := e.key.text; (name == "metadata" || name == "spec") && e.value.kind == mapping {
			over.entries = append(over.entries, e)
		}
	}
	return merge(&out, &over)
}

// overlayCheck is one check of a document's overlays: what they may say
// depends on the variables that are declared where they are laid.
type overlayCheck struct {
	doc       *document
	variables string
}

// checkOverlays checks the overlays of a document and of those that it
// extends, the chosen environment's and all others: each as a document of the
// kind that may lack fields. An error in the chosen one that the decoder meets
// again is the same error, and is kept once. The values of variables are not
// looked at: they are those of another environment.
func (l *loader) checkOverlays(doc *document, declared map[string]Variable) {
	unknown := map[string]Variable{}
	for name := range declared {
		unknown[name] = Variable{}
	}
	scope := strings.Join(slices.Sorted(maps.Keys(declared)), " ")
	for _, layer := range doc.layers {
		e := layer.own.get(overlaysField)
		key := overlayCheck{layer, scope}
		if e.key == nil || l.overlays[key] {
			continue
		}
		l.overlays[key] = true
		switch e.value.kind {
		case mapping:
			for _, env := range e.value.entries {
				l.checkOverlay(doc.kind, env, unknown)
			}
		case null:
			l.c.at(e.key, CodeWrongType, overlaysField, "give it a value, or leave it out", "overlays has no value")
		default:
			l.c.at(e.value, CodeWrongType, overlaysField, "write the name of an environment, and below it metadata and spec",
				"overlays must be a mapping, not %s", e.value.kind)
		}
	}
}

// checkOverlay checks the overlay of one environment.
func (l *loader) checkOverlay(kind string, env entry, declared map[string]Variable) {
	path := join(overlaysField, env.key.text)
	if !environmentName.MatchString(env.key.text) {
		l.c.at(env.key, CodeBadValue, path, "it must match "+environmentPattern, "%q cannot be the name of an environment", env.key.text)
	}
	switch env.value.kind {
	case mapping:
	case null:
		l.c.at(env.key, CodeWrongType, path, "write {} where the environment changes nothing", "%s has no value", path)
		return
	default:
		l.c.at(env.value, CodeWrongType, path, "its fields are metadata, spec", "%s must be a mapping, not %s", path, env.value.kind)
		return
	}
	d := newDecoder(&l.c, true)
	d.overlay = true
	v := reflect.New(overlayOf(kinds[kind].typ)).Elem()
	fs := fieldsOf(v.Type())
	d.unknown(fs, env.value, path)
	x := &expander{
		c: &l.c, declared: declared, missing: map[string]bool{}, partial: true,
		vars: Vars{Lookup: func(string) (string, bool) { return "", false }},
	}
	for _, f := range fs {
		e := env.value.get(f.name)
		if e.key == nil {
			continue
		}
		value := e.value.clone()
		x.node(value, f.name)
		// The paths are those of the fields that the overlay sets.
		d.keys[f.name] = e.key
		d.value(v.FieldByIndex(f.index), value, f.name, f)
	}
	k := &checker{c: &l.c, d: d}
	k.labels(v.FieldByName("Metadata").Interface().(Metadata).Labels)
}

// checkEnvironment reports an environment that no document has an overlay for:
// a misspelt name must not stand for no overlays at all. It is silent where
// some document could not be read, which may have it.
func (l *loader) checkEnvironment() {
	env := l.vars.Environment
	names := environments(l.docs)
	if env == "" || l.unread || len(l.docs) == 0 || slices.Contains(names, env) {
		return
	}
	hint := "no document has overlays"
	if len(names) > 0 {
		hint = "there are overlays for " + strings.Join(names, ", ")
	}
	if s := suggest.Closest(env, names); s != "" {
		hint = "did you mean " + s + "?"
	}
	l.c.add(Error{File: "--env " + env, Code: CodeDanglingReference, Hint: hint, Message: "no document has an overlay for the environment " + env})
}
