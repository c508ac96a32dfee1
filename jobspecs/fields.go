package jobspecs

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// field is what a struct tag of types.go says about a field. Loader, schema
// and Marshal all read this and nothing else.
type field struct {
	name       string
	doc        string
	typ        reflect.Type
	index      []int
	required   bool
	pipeline   string // the value of spec.pipeline that it is for; empty: any
	one        string // of the fields of a struct with the same text here exactly one is given
	def        string
	hasDefault bool
	enum       []string
	min        *int64
	pattern    *regexp.Regexp // anchored at both ends
	patternRaw string         // as in the tag
}

// scalarType is a type that is written as one value and is neither string,
// integer nor boolean.
type scalarType struct {
	parse   func(string) (any, error)
	pattern string // of the accepted text, for the schema
	number  bool   // may be written as a plain number
}

var scalarTypes = map[reflect.Type]scalarType{
	reflect.TypeFor[Duration](): {
		parse:   func(s string) (any, error) { return ParseDuration(s) },
		pattern: `^([0-9]+d)?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*$|^0$`,
		number:  true, // 0 alone needs no unit
	},
	reflect.TypeFor[Bytes](): {
		parse:   func(s string) (any, error) { return ParseBytes(s) },
		pattern: bytesPattern.String(),
		number:  true,
	},
	reflect.TypeFor[Decimal](): {
		parse:   func(s string) (any, error) { return ParseDecimal(s) },
		pattern: decimalPattern.String(),
		number:  true,
	},
	reflect.TypeFor[Instant](): {
		parse:   func(s string) (any, error) { return ParseInstant(s) },
		pattern: instantPattern.String(),
	},
}

var structs sync.Map // reflect.Type → []field

// fieldsOf returns the fields of a struct type, those of inlined structs
// included. It panics on a malformed tag: a fault of this package, which its
// tests find.
func fieldsOf(t reflect.Type) []field {
	if fs, ok := structs.Load(t); ok {
		return fs.([]field)
	}
	var fs []field
	for i := range t.NumField() {
		sf := t.Field(i)
		name, opts, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if opts == "inline" {
			for _, in := range fieldsOf(sf.Type) {
				in.index = append([]int{i}, in.index...)
				fs = append(fs, in)
			}
			continue
		}
		if name == "" {
			panic(fmt.Sprintf("jobspecs: %s.%s has no yaml name", t, sf.Name))
		}
		fs = append(fs, newField(t, sf, name, i))
	}
	structs.Store(t, fs)
	return fs
}

func newField(t reflect.Type, sf reflect.StructField, name string, i int) field {
	f := field{name: name, doc: sf.Tag.Get("doc"), typ: sf.Type, index: []int{i}}
	f.required = sf.Tag.Get("required") == "true"
	f.pipeline = sf.Tag.Get("for")
	f.one = sf.Tag.Get("one")
	f.def, f.hasDefault = sf.Tag.Lookup("default")
	if e, ok := sf.Tag.Lookup("enum"); ok {
		f.enum = strings.Split(e, ",")
	}
	if m, ok := sf.Tag.Lookup("min"); ok {
		n, err := strconv.ParseInt(m, 10, 64)
		if err != nil {
			panic(fmt.Sprintf("jobspecs: %s.%s: min %q", t, sf.Name, m))
		}
		f.min = &n
	}
	if p, ok := sf.Tag.Lookup("pattern"); ok {
		f.pattern, f.patternRaw = regexp.MustCompile(`^(?:`+p+`)$`), p
	}
	return f
}

// appliesTo reports whether the field may stand in a document with a value of
// spec.pipeline; empty: which one is not known.
func (f field) appliesTo(pipeline string) bool {
	return f.pipeline == "" || pipeline == "" || f.pipeline == pipeline
}

// pipelineOf is the value of spec.pipeline in a document whose variables are
// expanded: that which is given, else its default. Empty: the kind has no such
// field, what is given is wrong, or it is left to those that extend the
// document, so that which fields there are cannot be told.
func pipelineOf(root *node, abstract bool) string {
	if root.str("kind") != KindStreamJob {
		return ""
	}
	fs := fieldsOf(reflect.TypeFor[StreamJobSpec]())
	f := fs[slices.IndexFunc(fs, func(f field) bool { return f.name == "pipeline" })]
	e := root.get("spec").value.get(f.name)
	switch {
	case e.key == nil && !abstract:
		return f.def
	case e.key == nil:
		return ""
	case e.value.kind == scalar && slices.Contains(f.enum, e.value.text):
		return e.value.text
	}
	return ""
}

func fieldNames(fs []field) []string {
	names := make([]string, 0, len(fs))
	for _, f := range fs {
		names = append(names, f.name)
	}
	return names
}
