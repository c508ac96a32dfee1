package jobspecs

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// drawDocument draws a document of a kind that every tag allows: its fields
// are right one by one. Rules over several fields it may break.
func drawDocument(t *rapid.T, kind string) any {
	v := reflect.New(kinds[kind].typ)
	drawStruct(t, v.Elem(), kind)
	if j, ok := v.Interface().(*StreamJob); ok {
		clearOthers(v.Elem(), j.Spec.Pipeline)
	}
	drawOne(t, v.Elem(), kind)
	h := header(v.Interface())
	h.Kind = kind
	h.resolved()
	return v.Interface()
}

// clearOthers forgets the fields that are for another pipeline.
func clearOthers(v reflect.Value, pipeline string) {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		switch {
		case !f.appliesTo(pipeline):
			fv.SetZero()
		case fv.Kind() == reflect.Struct && !isScalar(f.typ):
			clearOthers(fv, pipeline)
		}
	}
}

// drawOne leaves exactly one of the fields of which only one may be given.
func drawOne(t *rapid.T, v reflect.Value, label string) {
	groups := map[string][]field{}
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		if f.one != "" {
			groups[f.one] = append(groups[f.one], f)
			fv.SetZero()
		} else if fv.Kind() == reflect.Struct && !isScalar(f.typ) {
			drawOne(t, fv, label+"."+f.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		f := groups[name][rapid.IntRange(0, len(groups[name])-1).Draw(t, label+name)]
		f.required = true
		drawValue(t, v.FieldByIndex(f.index), f, label+"."+f.name)
	}
}

func drawStruct(t *rapid.T, v reflect.Value, label string) {
	for _, f := range fieldsOf(v.Type()) {
		drawValue(t, v.FieldByIndex(f.index), f, label+"."+f.name)
	}
}

func drawValue(t *rapid.T, v reflect.Value, f field, label string) {
	switch {
	case isScalar(v.Type()):
		drawScalar(t, v, f, label)
	case v.Kind() == reflect.Struct:
		drawStruct(t, v, label)
	case v.Kind() == reflect.Slice:
		least := 0
		if f.required {
			least = 1
		}
		item := f
		item.required = v.Type().Elem().Kind() != reflect.Slice
		n := rapid.IntRange(least, 3).Draw(t, label)
		if n == 0 {
			return // an empty list is read as none
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			drawValue(t, v.Index(i), item, at(label, i))
		}
	case v.Kind() == reflect.Map:
		least := 0
		if f.required {
			least = 1
		}
		n := rapid.IntRange(least, 3).Draw(t, label)
		if n == 0 {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for range n {
			e := reflect.New(v.Type().Elem()).Elem()
			item := f
			item.required = false
			drawValue(t, e, item, label)
			v.SetMapIndex(reflect.ValueOf(anyText().Filter(func(s string) bool { return s != "" }).Draw(t, label)), e)
		}
	}
}

// anyText draws strings that try hard to be read as something else.
func anyText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "no", "null", "~", "true", "1", "1.10", "0x1F", "- a", "a: b", "# x", "${A}", "$${A}", "$$${", "}", "'", `"`, `\`, "\n", " a ", "a\tb", "---", "...", "@a", "`", "*a", "&a", "!a", "?", "[", "{", ",", "%", "<<", "é", "\u0085", "\u2028", "\ufeff", "a:", ":a", "|", ">", "host:1", "gs://a/b"}),
		rapid.String(),
		rapid.StringMatching(`[a-z]{1,5}[-:#$ {}"']{0,3}[a-z0-9]{0,3}`),
	)
}

func drawScalar(t *rapid.T, v reflect.Value, f field, label string) {
	if v.Kind() == reflect.Pointer {
		return
	}
	switch v.Type() {
	case reflect.TypeFor[Duration]():
		unit := rapid.SampledFrom([]time.Duration{1, time.Millisecond, time.Second, time.Hour, 24 * time.Hour}).Draw(t, label)
		v.SetInt(rapid.Int64Range(0, 1000).Draw(t, label) * int64(unit))
		return
	case reflect.TypeFor[Bytes]():
		v.SetInt(rapid.Int64Range(0, 1<<62).Draw(t, label))
		return
	case reflect.TypeFor[Decimal]():
		v.SetString(strconv.Itoa(rapid.IntRange(-100, 100).Draw(t, label)) + rapid.SampledFrom([]string{"", ".0", ".95", ".001"}).Draw(t, label))
		return
	}
	if v.Type() == reflect.TypeFor[Instant]() {
		v.SetString(rapid.SampledFrom([]string{"2001-01-08", "2001-01-08T12:30:00Z", "2001-01-08T12:30:00.5+02:00"}).Draw(t, label))
		return
	}
	switch {
	case v.Kind() == reflect.Int:
		least := int64(-1000)
		if f.min != nil {
			least = *f.min
		}
		v.SetInt(rapid.Int64Range(least, 1<<31-1).Draw(t, label))
	case v.Kind() == reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, label))
	case len(f.enum) > 0:
		v.SetString(rapid.SampledFrom(f.enum).Draw(t, label))
	case f.pattern != nil:
		// The great counts make long strings that show nothing more.
		p := strings.NewReplacer("{0,299}", "{0,9}", "{0,99}", "{0,9}", "{1,1000}", "{1,9}", "{1,249}", "{1,9}", "{2,254}", "{2,9}").Replace(f.patternRaw)
		if strings.HasPrefix(p, "gs://") {
			p = `gs://[a-z]{1,5}/([a-z]{1,5}/){1,2}`
		}
		v.SetString(rapid.StringMatching(p).Draw(t, label))
	default:
		s := anyText().Draw(t, label)
		if f.required && s == "" {
			s = "x"
		}
		v.SetString(s)
	}
}

// decodeOnly decodes YAML into a document without the rules over several fields.
func decodeOnly(kind, yaml string) (any, Errors) {
	var c collector
	l := newLoader(Vars{Lookup: noEnv})
	src, chunks := newSource("doc.yaml", []byte(yaml), &c)
	v := reflect.New(kinds[kind].typ)
	for _, ch := range chunks {
		root := parseYAML(src, ch, &c)
		if root == nil {
			continue
		}
		x := &expander{c: &c, vars: l.vars}
		x.document(root)
		d := newDecoder(&c, false)
		d.runs = pipelineOf(root, false)
		d.structure(v.Elem(), root, "")
	}
	return v.Interface(), c.errs
}
