package jobspecs

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// holdsVariable matches a string that a variable is put into: what it will be
// cannot be known before.
const holdsVariable = `\$\{`

// partialSuffix marks the definitions without required fields: those of
// documents that extend another, are abstract, or have overlays that may give
// what is missing, and of overlays.
const partialSuffix = ".partial"

// Schema returns the JSON Schema (draft 2020-12) of all kinds of documents,
// made from the same struct tags as the loader: what it refuses, the loader
// refuses too. Rules over several fields and references are the loader's alone.
func Schema() ([]byte, error) {
	g := &generator{defs: map[string]any{}}
	var oneOf []any
	for _, kind := range Kinds() {
		for _, partial := range []bool{false, true} {
			g.partial = partial
			oneOf = append(oneOf, g.ref(kinds[kind].typ))
		}
	}
	out := map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"$id":         "https://github.com/kappa-migrate/kappa/schemas/v1.json",
		"title":       "kappa specs, " + APIVersion,
		"description": "A document of the kappa spec language.",
		"oneOf":       oneOf,
		"$defs":       g.defs,
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	return append(b, '\n'), nil
}

type generator struct {
	defs    map[string]any
	partial bool
}

// ref refers to the definition of a struct, which it makes if need be.
func (g *generator) ref(t reflect.Type) map[string]any {
	name := t.Name()
	if g.partial {
		name += partialSuffix
	}
	if _, ok := g.defs[name]; !ok {
		g.defs[name] = nil // no type holds itself, but if one did, this would end
		g.defs[name] = g.structure(t)
	}
	return map[string]any{"$ref": "#/$defs/" + name}
}

func (g *generator) structure(t reflect.Type) map[string]any {
	properties := map[string]any{}
	required := []string{}
	kind, isDocument := kindOf(t)
	for _, f := range fieldsOf(t) {
		var p map[string]any
		if f.typ == overlaysType {
			p = g.overlays(kind)
		} else {
			given := f
			given.required = f.required || f.one != ""
			p = g.value(f.typ, given)
		}
		if f.doc != "" {
			p["description"] = f.doc
		}
		if f.hasDefault {
			p["default"] = defaultOf(f)
		}
		properties[f.name] = p
		if f.required && !g.partial && f.pipeline == "" {
			required = append(required, f.name)
		}
	}
	out := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if t == reflect.TypeFor[StreamJobSpec]() {
		out["allOf"] = g.pipelines(t)
	}
	if one := g.one(t); one != nil {
		out["allOf"] = one
	}
	if isDocument {
		properties["kind"] = map[string]any{"const": kind, "description": "Kind of the document."}
		derived := []any{
			map[string]any{"required": []string{"extends"}},
			map[string]any{"required": []string{overlaysField}},
			map[string]any{"required": []string{"abstract"}, "properties": map[string]any{"abstract": map[string]any{"const": true}}},
		}
		if g.partial {
			required = []string{"kind"}
			out["anyOf"] = derived
		} else {
			out["not"] = map[string]any{"anyOf": derived}
		}
	}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// pipelines says which fields there are with each value of spec.pipeline. A
// document that may leave it to another says so by giving it.
func (g *generator) pipelines(t reflect.Type) []any {
	var out []any
	for _, f := range fieldsOf(t) {
		if f.name != "pipeline" {
			continue
		}
		for _, value := range f.enum {
			condition := map[string]any{"properties": map[string]any{f.name: map[string]any{"const": value}}}
			if value != f.def || g.partial {
				condition["required"] = []string{f.name}
			}
			out = append(out, map[string]any{"if": condition, "then": g.only(t, value)})
		}
	}
	return out
}

// one says of which fields exactly one is given; of a document that may leave it
// to another, at most one. Nil: there are none.
func (g *generator) one(t reflect.Type) []any {
	groups := map[string][]any{}
	for _, f := range fieldsOf(t) {
		if f.one != "" {
			groups[f.one] = append(groups[f.one], map[string]any{"required": []string{f.name}})
		}
	}
	var out []any
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		choices := groups[name]
		if g.partial {
			choices = append(choices, map[string]any{"not": map[string]any{"anyOf": groups[name]}})
		}
		out = append(out, map[string]any{"oneOf": choices})
	}
	return out
}

// only is what a value of spec.pipeline requires and refuses of a struct, and of
// those in it; nil: nothing.
func (g *generator) only(t reflect.Type, pipeline string) map[string]any {
	properties := map[string]any{}
	var required []string
	for _, f := range fieldsOf(t) {
		switch {
		case !f.appliesTo(pipeline):
			properties[f.name] = false
		case f.pipeline != "" && f.required && !g.partial:
			required = append(required, f.name)
		case f.typ.Kind() == reflect.Struct:
			if in := g.only(f.typ, pipeline); in != nil {
				properties[f.name] = in
			}
		}
	}
	out := map[string]any{}
	if len(properties) > 0 {
		out["properties"] = properties
	}
	if len(required) > 0 {
		out["required"] = required
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// overlays is a mapping of environments to documents of the kind that have
// metadata and spec alone, and may lack fields.
func (g *generator) overlays(kind string) map[string]any {
	name := kind + ".overlay"
	if _, ok := g.defs[name]; !ok {
		was := g.partial
		g.partial = true
		g.defs[name] = g.structure(overlayOf(kinds[kind].typ))
		g.partial = was
	}
	return map[string]any{
		"type":                 "object",
		"propertyNames":        map[string]any{"pattern": environmentName.String()},
		"additionalProperties": map[string]any{"$ref": "#/$defs/" + name},
	}
}

func kindOf(t reflect.Type) (string, bool) {
	for _, k := range Kinds() {
		if kinds[k].typ == t {
			return k, true
		}
	}
	return "", false
}

func (g *generator) value(t reflect.Type, f field) map[string]any {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if st, ok := scalarTypes[t]; ok {
		types := []string{"string"}
		if st.number {
			types = append(types, "number")
		}
		return map[string]any{"type": types, "pattern": st.pattern + "|" + holdsVariable}
	}
	switch t.Kind() {
	case reflect.Struct:
		return g.ref(t)
	case reflect.Slice:
		item := f
		item.required = t.Elem().Kind() != reflect.Slice // a list in a list may be empty
		out := map[string]any{"type": "array", "items": g.value(t.Elem(), item)}
		if f.required && !g.partial {
			out["minItems"] = 1
		}
		return out
	case reflect.Map:
		item := f
		item.required = false
		out := map[string]any{"type": "object", "additionalProperties": g.value(t.Elem(), item)}
		if f.required && !g.partial {
			out["minProperties"] = 1
		}
		return out
	case reflect.Int:
		return number(f)
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	}
	return text(f)
}

// number is an integer, or a string with a variable in it.
func number(f field) map[string]any {
	out := map[string]any{"type": []string{"integer", "string"}, "pattern": holdsVariable}
	if f.min != nil {
		out["minimum"] = *f.min
	}
	return out
}

// text is a string. A plain number or boolean is taken as it is written, but
// cannot be held against a pattern here; the loader does.
func text(f field) map[string]any {
	switch {
	case len(f.enum) > 0:
		return map[string]any{"anyOf": []any{
			map[string]any{"enum": f.enum},
			map[string]any{"type": "string", "pattern": holdsVariable},
		}}
	case f.pattern != nil:
		p := f.pattern.String()
		if !f.required {
			p += "|^$"
		}
		return map[string]any{"type": []string{"string", "number", "boolean"}, "pattern": p + "|" + holdsVariable}
	case f.required:
		return map[string]any{"type": []string{"string", "number", "boolean"}, "minLength": 1}
	}
	return map[string]any{"type": []string{"string", "number", "boolean"}}
}

// defaultOf is the default as JSON: a number where that is its type.
func defaultOf(f field) any {
	switch f.typ.Kind() {
	case reflect.Int:
		if n, err := strconv.Atoi(f.def); err == nil {
			return n
		}
	case reflect.Bool:
		return strings.EqualFold(f.def, "true")
	}
	return f.def
}
