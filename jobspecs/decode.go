package jobspecs

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/kappa-migrate/kappa/internal/suggest"
)

// decoder turns the nodes of one document into Go values: fields, required,
// defaults, enums, bounds, patterns and scalar types in one walk.
type decoder struct {
	c       *collector
	where   map[string]*node // value by path
	keys    map[string]*node // key, or list item, that holds the value, by path
	bad     map[string]bool  // paths with an error
	partial bool             // an abstract document: fields may be missing
	overlay bool             // an overlay: what replaces a list stands alone, so that its items must be whole
	runs    string           // value of spec.pipeline; empty: it is not known, or the kind has none
}

func newDecoder(c *collector, partial bool) *decoder {
	return &decoder{c: c, where: map[string]*node{}, keys: map[string]*node{}, bad: map[string]bool{}, partial: partial}
}

func (d *decoder) fail(n *node, code Code, path, hint, format string, args ...any) {
	d.bad[path] = true
	d.c.at(n, code, path, hint, format, args...)
}

// structure decodes the mapping n into v; a nil n stands for an optional
// mapping that is absent, whose fields take their defaults.
func (d *decoder) structure(v reflect.Value, n *node, path string) {
	fs := fieldsOf(v.Type())
	if n != nil {
		if n.kind != mapping {
			d.fail(n, CodeWrongType, path, "", "%s must be a mapping, not %s", path, n.kind)
			return
		}
		d.unknown(fs, n, path)
		d.one(fs, n, path)
	}
	for _, f := range fs {
		fv, p := v.FieldByIndex(f.index), join(path, f.name)
		e := n.get(f.name)
		switch {
		case !f.appliesTo(d.runs):
			if e.key != nil {
				d.fail(e.key, CodeConflict, p, "remove it, or write spec.pipeline: "+f.pipeline, "%s has no meaning with spec.pipeline: %s", p, d.runs)
			}
		case e.key != nil:
			d.keys[p] = e.key
			f.required = f.required || f.one != ""
			d.value(fv, e.value, p, f)
		case f.hasDefault:
			if err := setScalar(fv, f.def); err != nil {
				panic(fmt.Sprintf("jobspecs: default of %s: %v", p, err))
			}
		case f.required && n != nil && !d.partial && (f.pipeline == "" || d.runs != ""):
			d.fail(d.holder(path, n), CodeMissingField, p, about(f), "%s has no field %s, which is required", naming(path), strconv.Quote(f.name))
		case f.typ.Kind() == reflect.Struct && !f.required:
			d.structure(fv, nil, p)
		}
	}
}

// one reports what is given beside another field of which only one may be, and,
// where none is, the mapping.
func (d *decoder) one(fs []field, n *node, path string) {
	names, given := map[string][]string{}, map[string]string{}
	for _, f := range fs {
		if f.one == "" {
			continue
		}
		names[f.one] = append(names[f.one], f.name)
		e := n.get(f.name)
		switch first := given[f.one]; {
		case e.key == nil:
		case first == "":
			given[f.one] = f.name
		default:
			d.fail(e.key, CodeConflict, join(path, f.name), "remove one of them", "%s has %s and %s", naming(path), first, f.name)
		}
	}
	for _, group := range slices.Sorted(maps.Keys(names)) {
		if given[group] == "" && !d.partial {
			list := names[group]
			d.fail(d.holder(path, n), CodeMissingField, path, "give one of them", "%s has neither %s nor %s",
				naming(path), strings.Join(list[:len(list)-1], ", "), list[len(list)-1])
		}
	}
}

// about is the hint that says what a field is.
func about(f field) string {
	if f.doc == "" {
		return ""
	}
	return f.name + ": " + f.doc
}

// unknown reports the entries of n that are no fields.
func (d *decoder) unknown(fs []field, n *node, path string) {
	names := fieldNames(fs)
	for _, e := range n.entries {
		if slices.Contains(names, e.key.text) {
			continue
		}
		hint := "its fields are " + strings.Join(names, ", ")
		if s := suggest.Closest(e.key.text, names); s != "" {
			hint = "did you mean " + s + "?"
		}
		if why := refusedHint(join(path, e.key.text), ""); why != "" {
			hint = why
		}
		d.fail(e.key, CodeUnknownField, join(path, e.key.text), hint, "%s has no field %q", naming(path), e.key.text)
	}
}

// holder is where an error about a whole mapping points: the key or list item
// that holds it.
func (d *decoder) holder(path string, n *node) *node {
	if k := d.keys[path]; k != nil {
		return k
	}
	return n
}

func (d *decoder) value(v reflect.Value, n *node, path string, f field) {
	d.where[path] = n
	if n.kind == null {
		d.fail(d.holder(path, n), CodeWrongType, path, "give it a value, or leave it out", "%s has no value", path)
		return
	}
	switch {
	case isScalar(v.Type()):
		d.scalar(v, n, path, f)
	case v.Kind() == reflect.Struct:
		d.structure(v, n, path)
	case v.Kind() == reflect.Slice:
		d.list(v, n, path, f)
	case v.Kind() == reflect.Map:
		d.table(v, n, path, f)
	default:
		panic(fmt.Sprintf("jobspecs: %s has type %s, which specs do not have", path, v.Type()))
	}
}

func (d *decoder) list(v reflect.Value, n *node, path string, f field) {
	if n.kind != sequence {
		d.fail(n, CodeWrongType, path, "write it as [a, b], or with a line `- a` for each", "%s must be a list, not %s", path, n.kind)
		return
	}
	if len(n.items) == 0 {
		if f.required && !d.partial {
			d.fail(n, CodeBadValue, path, about(f), "%s is empty", path)
		}
		return // an empty list is the same as none
	}
	if d.overlay {
		defer func(was bool) { d.partial = was }(d.partial)
		d.partial = false
	}
	nested := v.Type().Elem().Kind() == reflect.Slice
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		p := path + "[" + strconv.Itoa(i) + "]"
		d.keys[p] = item
		f.required = !nested // an empty string in a list means nothing, an empty list something
		d.value(out.Index(i), item, p, f)
	}
	v.Set(out)
}

func (d *decoder) table(v reflect.Value, n *node, path string, f field) {
	if n.kind != mapping {
		d.fail(n, CodeWrongType, path, "", "%s must be a mapping, not %s", path, n.kind)
		return
	}
	if len(n.entries) == 0 {
		if f.required && !d.partial {
			d.fail(n, CodeBadValue, path, about(f), "%s is empty", path)
		}
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.entries))
	for _, e := range n.entries {
		p := join(path, e.key.text)
		d.keys[p] = e.key
		if e.key.text == "" {
			d.fail(e.key, CodeBadValue, p, "", "a key of %s is empty", path)
		}
		ev := reflect.New(v.Type().Elem()).Elem()
		d.value(ev, e.value, p, field{doc: f.doc, enum: f.enum, min: f.min, pattern: f.pattern, patternRaw: f.patternRaw})
		out.SetMapIndex(reflect.ValueOf(e.key.text), ev)
	}
	v.Set(out)
}

func isScalar(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if _, ok := scalarTypes[t]; ok {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Bool:
		return true
	}
	return false
}

func (d *decoder) scalar(v reflect.Value, n *node, path string, f field) {
	what := describe(v.Type())
	if n.kind != scalar {
		d.fail(n, CodeWrongType, path, "", "%s must be %s, not %s", path, what, n.kind)
		return
	}
	if n.broken {
		d.bad[path] = true // reported where the variable was looked up
		return
	}
	if k := v.Kind(); (k == reflect.Int || k == reflect.Bool) && n.quoted && !n.expanded {
		d.fail(n, CodeWrongType, path, "remove the quotes", "%s must be %s, not a string", path, what)
		return
	}
	if err := setScalar(v, n.text); err != nil {
		code := CodeBadValue
		if k := v.Kind(); k == reflect.Int || k == reflect.Bool {
			code = CodeWrongType
		}
		d.fail(n, code, path, "", "%s: %s", path, err)
		return
	}
	switch {
	case len(f.enum) > 0 && !slices.Contains(f.enum, n.text):
		hint := "it is one of " + strings.Join(f.enum, ", ")
		if s := suggest.Closest(n.text, f.enum); s != "" {
			hint = "did you mean " + s + "?"
		}
		if why := refusedHint(path, n.text); why != "" {
			hint = why
		}
		d.fail(n, CodeBadValue, path, hint, "%s cannot be %q", path, n.text)
	case n.text == "" && f.required:
		d.fail(n, CodeBadValue, path, about(f), "%s is empty", path)
	case f.pattern != nil && n.text != "" && !f.pattern.MatchString(n.text):
		d.fail(n, CodeBadValue, path, cmp.Or(refusedHint(path, n.text), "it must match "+f.patternRaw), "%s cannot be %q", path, n.text)
	case f.min != nil && v.Kind() == reflect.Int && v.Int() < *f.min:
		d.fail(n, CodeBadValue, path, "", "%s is %d; the smallest value is %d", path, v.Int(), *f.min)
	}
}

// describe names a scalar type for people.
func describe(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return "a duration"
	case reflect.TypeFor[Bytes]():
		return "a size"
	case reflect.TypeFor[Decimal]():
		return "a decimal number"
	case reflect.TypeFor[Instant]():
		return "a time"
	}
	switch t.Kind() {
	case reflect.Int:
		return "an integer"
	case reflect.Bool:
		return "true or false"
	}
	return "a string"
}

// setScalar sets v from the text of a scalar.
func setScalar(v reflect.Value, text string) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		return setScalar(v.Elem(), text)
	}
	if st, ok := scalarTypes[v.Type()]; ok {
		x, err := st.parse(text)
		if err == nil {
			v.Set(reflect.ValueOf(x))
		}
		return err
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(text == "true")
	case reflect.Int:
		n, err := parseInt(text)
		if err != nil {
			return err
		}
		v.SetInt(n)
	}
	return nil
}

// parseInt reads decimal digits alone: YAML's octal, hexadecimal and
// underscored forms are more often a mistake than meant.
func parseInt(text string) (int64, error) {
	digits := strings.TrimPrefix(text, "-")
	plain := digits != "" && strings.Trim(digits, "0123456789") == "" && (digits == "0" || digits[0] != '0')
	if !plain {
		return 0, fmt.Errorf("%q is not an integer in plain digits", text)
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s is too large", text)
	}
	return n, nil
}

// join appends a field to a path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// naming is how messages call the mapping at a path.
func naming(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}
