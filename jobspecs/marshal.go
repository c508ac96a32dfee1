package jobspecs

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Marshal writes a document, one of *Bridge, *StreamJob, *BatchLoad, *Comparison
// and *DuplicateMonitor, as YAML that Parse reads back equal: fully resolved, every
// default written out, without variables, extends
// and overlays.
func Marshal(doc any) ([]byte, error) {
	v := reflect.ValueOf(doc)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, fmt.Errorf("marshal spec: %T is not a document", doc)
	}
	known := false
	for _, k := range kinds {
		known = known || k.typ == v.Elem().Type()
	}
	if !known {
		return nil, fmt.Errorf("marshal spec: %T is not a document", doc)
	}
	h := header(doc)
	if h.Extends != "" || h.Abstract || len(h.Variables) > 0 || len(h.Overlays) > 0 {
		return nil, fmt.Errorf("marshal spec: %s %s is not resolved", h.Kind, metadata(doc).Name)
	}
	var w writer
	if j, ok := doc.(*StreamJob); ok {
		w.runs = j.Spec.Pipeline
	}
	w.structure(v.Elem(), 0)
	return []byte(w.b.String()), nil
}

// writer writes block mappings and lists, two spaces a level; strings are
// quoted where a plain scalar could be read as anything else.
type writer struct {
	b    strings.Builder
	runs string // value of spec.pipeline; empty: the kind has none
}

func (w *writer) structure(v reflect.Value, level int) {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		if !f.appliesTo(w.runs) || omit(fv, f) {
			continue
		}
		w.indent(level)
		w.b.WriteString(f.name + ":")
		w.value(fv, level)
	}
}

// omit reports whether a field can be left out: what Parse puts there is what
// the field has.
func omit(v reflect.Value, f field) bool {
	switch v.Kind() {
	case reflect.Struct:
		return !f.required && absent(v)
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Bool:
		return v.IsZero() && f.def != "true"
	}
	return v.IsZero() && !f.hasDefault && !f.required
}

// absent reports whether an optional mapping cannot have been given: it lacks
// what is required of it, or holds nothing at all.
func absent(v reflect.Value) bool {
	nothing := true
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		if f.required && fv.IsZero() {
			return true
		}
		nothing = nothing && omit(fv, f)
	}
	return nothing
}

// value writes what stands after a key or a dash.
func (w *writer) value(v reflect.Value, level int) {
	switch {
	case isScalar(v.Type()):
		w.b.WriteString(" " + scalarText(v) + "\n")
	case v.Kind() == reflect.Struct:
		in := writer{runs: w.runs}
		in.structure(v, level+1)
		if in.b.Len() == 0 {
			w.b.WriteString(" {}\n")
			return
		}
		w.b.WriteString("\n" + in.b.String())
	case v.Kind() == reflect.Slice:
		if v.Len() == 0 {
			w.b.WriteString(" []\n")
			return
		}
		w.b.WriteString("\n")
		for i := range v.Len() {
			w.indent(level + 1)
			w.b.WriteString("-")
			w.item(v.Index(i), level+1)
		}
	case v.Kind() == reflect.Map:
		w.b.WriteString("\n")
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			w.indent(level + 1)
			w.b.WriteString(quote(key.String()) + ":")
			w.value(v.MapIndex(key), level+1)
		}
	}
}

// item writes what stands after a dash: of a mapping the first field, then the
// others below it.
func (w *writer) item(v reflect.Value, level int) {
	if v.Kind() != reflect.Struct {
		w.value(v, level)
		return
	}
	in := writer{runs: w.runs}
	in.structure(v, level+1)
	if in.b.Len() == 0 {
		w.b.WriteString(" {}\n")
		return
	}
	w.b.WriteString(" " + strings.TrimLeft(in.b.String(), " "))
}

func (w *writer) indent(level int) { w.b.WriteString(strings.Repeat("  ", level)) }

func scalarText(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10)
	}
	switch s := v.Interface().(type) {
	case fmt.Stringer:
		return s.String()
	case Decimal:
		return string(s)
	case Instant:
		return quote(string(s))
	}
	return quote(v.String())
}

// quote writes a string as a double-quoted scalar, or plain where that can be
// read in one way only.
func quote(s string) string {
	if plain(s) {
		return s
	}
	s = strings.ReplaceAll(s, "${", "$${")
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || (r >= 0x7f && r < 0xa0) || r == '\ufeff' || r == '\u2028' || r == '\u2029':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// plain reports whether s needs no quotes: letters, digits and harmless signs,
// starting with a letter or a sign that YAML gives no meaning.
func plain(s string) bool {
	if s == "" || strings.ToLower(s) == "null" {
		return false
	}
	for i, r := range s {
		letter := (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || r == '_'
		inner := (r >= '0' && r <= '9') || r == '-' || r == '.' || r == '/'
		colon := r == ':' && i+1 < len(s) && s[i+1] != ' ' // gs://…
		if !letter && (i == 0 || (!inner && !colon)) {
			return false
		}
	}
	return true
}
