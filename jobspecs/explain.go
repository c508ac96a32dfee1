package jobspecs

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/suggest"
)

// Explanation is what the types say of a kind or of a field.
type Explanation struct {
	Path     string        `json:"path"` // KIND, or KIND.FIELD.FIELD…; what holds a list or a mapping stands for its items
	Type     string        `json:"type"` // for people: duration, list of strings, mapping by name, …
	Doc      string        `json:"doc,omitempty"`
	Required bool          `json:"required"`
	Pipeline string        `json:"pipeline,omitempty"` // the value of spec.pipeline that the field is for; absent: any
	Default  *string       `json:"default,omitempty"`  // as written in YAML; absent: none, and the field is empty
	Enum     []string      `json:"enum,omitempty"`
	Minimum  *int64        `json:"minimum,omitempty"`
	Pattern  string        `json:"pattern,omitempty"` // regular expression that the value, or each of its items, matches in full
	Fields   []Explanation `json:"fields,omitempty"`
}

// typeDocument is the type of a kind.
const typeDocument = "document"

// kindDocs say what the kinds are for.
var kindDocs = map[string]string{
	KindBridge:           "Republishes Kafka topics to Pub/Sub topics, or to another Kafka cluster.",
	KindStreamJob:        "A group of streaming jobs that share one topology; each takes some of the subscriptions.",
	KindBatchLoad:        "Brings the old batch layer's outputs into BigQuery.",
	KindComparison:       "Reconciles the batch layer's aggregates with the stream's.",
	KindDuplicateMonitor: "Watches how many events are delivered, and counted, more than once.",
}

// index is the index of an item of a list, as errors write it.
var index = regexp.MustCompile(`\[[0-9]*\]`)

// Explain explains a kind, or a field of it: KIND or KIND.FIELD.FIELD…. Fields
// below it are explained too, the direct ones, or all of them if deep is set.
// Paths may be as errors give them: indexes of lists, and names that the
// document itself gives to the items of a mapping, stand for nothing. A path
// that names nothing is an exit.Usage error with a suggestion.
func Explain(path string, deep bool) (*Explanation, error) {
	parts := strings.Split(index.ReplaceAllString(path, ""), ".")
	kind := parts[0]
	if i := slices.IndexFunc(Kinds(), func(k string) bool { return strings.EqualFold(k, kind) }); i >= 0 {
		kind = Kinds()[i]
	}
	of, ok := kinds[kind]
	if !ok {
		e := exit.Usagef("there is no kind %q", kind)
		if s := suggest.Closest(kind, Kinds()); s != "" {
			return nil, e.WithHint("did you mean %s?", s)
		}
		return nil, e.WithHint("kinds are %s", strings.Join(Kinds(), ", "))
	}
	x := &Explanation{Path: kind, Type: typeDocument, Doc: kindDocs[kind]}
	typ := of.typ
	named := false // the fields are those of a mapping's items
	rest := parts[1:]
	overlay := false // what is required of a document is not of its overlays
	for n, name := range rest {
		if typ == overlayType {
			typ, overlay = overlayOf(of.typ), true
		}
		fs := fieldsOf(typ)
		i := slices.IndexFunc(fs, func(f field) bool { return f.name == name })
		if i < 0 && named && n+1 < len(rest) && slices.Contains(fieldNames(fs), rest[n+1]) {
			named = false
			continue
		}
		if i < 0 {
			return nil, noField(x, name, fs)
		}
		named = fs[i].typ.Kind() == reflect.Map
		x = explain(x.Path+"."+name, fs[i])
		var nested bool
		if typ, nested = holds(fs[i].typ); !nested {
			typ = reflect.TypeFor[struct{}]()
		}
	}
	x.Fields = fieldsBelow(x.Path, typ, deep)
	if overlay {
		x.optional()
	}
	return x, nil
}

// optional says that neither the field nor those below it are required.
func (x *Explanation) optional() {
	x.Required = false
	for i := range x.Fields {
		x.Fields[i].optional()
	}
}

func noField(x *Explanation, name string, fs []field) error {
	if len(fs) == 0 {
		return exit.Usagef("%s has no field %q: it is a %s", x.Path, name, x.Type)
	}
	e := exit.Usagef("%s has no field %q", x.Path, name)
	if s := suggest.Closest(name, fieldNames(fs)); s != "" {
		return e.WithHint("did you mean %s?", s)
	}
	return e.WithHint("its fields are %s", strings.Join(fieldNames(fs), ", "))
}

func explain(path string, f field) *Explanation {
	x := &Explanation{Path: path, Type: typeName(f.typ), Doc: f.doc, Required: f.required, Pipeline: f.pipeline, Enum: f.enum, Minimum: f.min, Pattern: f.patternRaw}
	if f.hasDefault {
		x.Default = &f.def
	}
	if kind, of, _ := strings.Cut(path, "."); of == "kind" {
		x.Enum = []string{kind} // the other kinds have other fields
	}
	return x
}

// fieldsBelow explains the fields of a struct type.
func fieldsBelow(path string, typ reflect.Type, deep bool) []Explanation {
	var out []Explanation
	for _, f := range fieldsOf(typ) {
		x := explain(path+"."+f.name, f)
		if inner, ok := holds(f.typ); ok && deep {
			x.Fields = fieldsBelow(x.Path, inner, true)
		}
		out = append(out, *x)
	}
	return out
}

// holds returns the struct type that a value of a field is, or that its items
// are; false: there is none.
func holds(t reflect.Type) (reflect.Type, bool) {
	for {
		if _, ok := scalarTypes[t]; ok {
			return nil, false
		}
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			t = t.Elem()
		case reflect.Struct:
			return t, true
		default:
			return nil, false
		}
	}
}

// typeName is the type of a field in words.
func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Duration]():
		return "duration"
	case reflect.TypeFor[Bytes]():
		return "size in bytes"
	case reflect.TypeFor[Decimal]():
		return "decimal number"
	case reflect.TypeFor[Instant]():
		return "time"
	case overlaysType:
		return "mapping of environments to partial documents"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + several(typeName(t.Elem()))
	case reflect.Map:
		return "mapping of names to " + several(typeName(t.Elem()))
	case reflect.Struct:
		return "mapping"
	case reflect.Int:
		return "integer"
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	}
	panic(fmt.Sprintf("jobspecs: a field of type %s", t))
}

func several(name string) string {
	if first, rest, ok := strings.Cut(name, " "); ok {
		return first + "s " + rest // sizes in bytes
	}
	return name + "s"
}
