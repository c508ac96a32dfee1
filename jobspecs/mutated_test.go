package jobspecs

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// spot is where something stands in a rendered text.
type spot struct{ line, col, last int } // from 1; last line that belongs to it

// rendering is a document tree as text, with every entry in a place that is known.
type rendering struct {
	lines []string
	keys  map[*node]spot // of mappings, by the node of the key
	items map[*node]spot // of lists, by the node of the item
}

func render(docs []*node) *rendering {
	r := &rendering{keys: map[*node]spot{}, items: map[*node]spot{}}
	for i, d := range docs {
		if i > 0 {
			r.lines = append(r.lines, "---")
		}
		r.block(d, 0, "")
	}
	return r
}

func (r *rendering) text() string { return strings.Join(r.lines, "\n") + "\n" }

// block writes a mapping or a list; the first line begins with before.
func (r *rendering) block(n *node, indent int, before string) {
	lead := func() string {
		b := before
		before = ""
		if b == "" {
			b = strings.Repeat(" ", indent)
		}
		return b
	}
	for _, e := range n.entries {
		at := lead()
		s := spot{line: len(r.lines) + 1, col: len([]rune(at)) + 1}
		r.value(e.value, indent, at+scalarOf(e.key)+":")
		s.last = len(r.lines)
		r.keys[e.key] = s
	}
	for _, item := range n.items {
		at := lead() + "- "
		s := spot{line: len(r.lines) + 1, col: len([]rune(at)) + 1}
		switch {
		case len(item.entries) > 0:
			r.block(item, indent+2, at)
		case len(item.items) > 0: // a list in a list, on one line
			line := at + "["
			for i, in := range item.items {
				if i > 0 {
					line += ", "
				}
				r.items[in] = spot{line: s.line, col: len([]rune(line)) + 1, last: s.line}
				if in.kind == null {
					line += "null"
				}
				line += flat(in)
			}
			r.lines = append(r.lines, line+"]")
		default:
			r.lines = append(r.lines, strings.TrimRight(at+flat(item), " "))
		}
		s.last = len(r.lines)
		r.items[item] = s
	}
}

func (r *rendering) value(n *node, indent int, before string) {
	if len(n.entries) == 0 && len(n.items) == 0 {
		r.lines = append(r.lines, strings.TrimRight(before+" "+flat(n), " "))
		return
	}
	r.lines = append(r.lines, before)
	r.block(n, indent+2, "")
}

// flat is a value without entries and items.
func flat(n *node) string {
	switch n.kind {
	case mapping:
		return "{}"
	case sequence:
		return "[]"
	case null:
		return ""
	}
	return scalarOf(n)
}

func scalarOf(n *node) string {
	if n.quoted {
		return strconv.Quote(n.text)
	}
	return n.text
}

// place is a field of an example: an entry of a mapping or an item of a list.
type place struct {
	path   string
	holder *node  // mapping or list
	i      int    // of the entry or item
	named  bool   // the key is a name that people give
	f      *field // nil: an item, or a key that people give
	typ    reflect.Type
	within []*node // keys and items that hold it, from outside
	runs   string
	exempt bool // required is not asked for: a partial document
}

// places lists all of a value of a type.
func places(n *node, typ reflect.Type, p place, out *[]place) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	next := func(path string, i int, holds *node, t reflect.Type, f *field, named bool) place {
		return place{path: path, holder: n, i: i, named: named, f: f, typ: t, runs: p.runs, exempt: p.exempt,
			within: append(slices.Clone(p.within), holds)}
	}
	for i, e := range n.entries {
		path := join(p.path, e.key.text)
		switch {
		case typ.Kind() == reflect.Map:
			q := next(path, i, e.key, typ.Elem(), nil, true)
			if typ == overlaysType {
				q.exempt, q.typ = true, overlayOf(kinds[p.f.name].typ) // p.f: see documents
			}
			*out = append(*out, q)
			places(e.value, q.typ, q, out)
		case typ.Kind() == reflect.Struct:
			fs := fieldsOf(typ)
			k := slices.IndexFunc(fs, func(f field) bool { return f.name == e.key.text })
			q := next(path, i, e.key, fs[k].typ, &fs[k], false)
			*out = append(*out, q)
			if fs[k].typ == overlaysType {
				q.f = &field{name: p.runs} // the kind, for above
			}
			places(e.value, q.typ, q, out)
		}
	}
	for i, item := range n.items {
		q := next(at(p.path, i), i, item, typ.Elem(), nil, false)
		*out = append(*out, q)
		places(item, q.typ, q, out)
	}
}

// example is an example as trees, and what it is loaded with.
type example struct {
	file string
	docs []*node
	envs []string
}

func loadExamples(t *testing.T) []*example {
	t.Helper()
	files, err := filepath.Glob("examples/*/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	var out []*example
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		x := &example{file: file, envs: []string{""}}
		var c collector
		src, chunks := newSource(file, data, &c)
		for _, ch := range chunks {
			if root := parseYAML(src, ch, &c); root != nil {
				x.docs = append(x.docs, root)
				for _, e := range root.get(overlaysField).value.fields() {
					x.envs = append(x.envs, e.key.text)
				}
			}
		}
		if len(c.errs) > 0 {
			t.Fatal(c.errs)
		}
		if errs := x.errors(x.text(), ""); len(errs) > 0 {
			t.Fatalf("%s, rendered, has errors: %v\n%s", file, errs, x.text())
		}
		out = append(out, x)
	}
	return out
}

func (x *example) text() string { return render(x.docs).text() }

func (x *example) load(text, env string) (*Set, error) {
	return Parse(x.file, []byte(text), Vars{Environment: env, Lookup: func(name string) (string, bool) {
		value, ok := exampleVars.Set[name]
		return value, ok
	}})
}

func (x *example) errors(text, env string) Errors {
	_, err := x.load(text, env)
	errs, _ := errorsOf(err)
	return errs
}

// all lists the places of an example: its kinds say the types.
func (x *example) all() []place {
	var out []place
	for _, d := range x.docs {
		kind := d.str("kind")
		p := place{runs: kind, exempt: d.str("abstract") == "true" || d.get("extends").key != nil}
		places(d, kinds[kind].typ, p, &out)
	}
	return out
}

// positioned checks that each error stands in the text.
func positioned(text string, errs Errors) error {
	lines := strings.Split(text, "\n")
	for _, e := range errs {
		switch {
		case e.Line < 1 || e.Line > len(lines):
			return fmt.Errorf("line %d: %v", e.Line, e)
		case lines[e.Line-1] != e.Source:
			return fmt.Errorf("line %d is not %q: %v", e.Line, e.Source, e)
		case e.Column < 1 || e.Width < 1 || e.Column-1+e.Width > len([]rune(e.Source)):
			return fmt.Errorf("column %d, width %d: %v", e.Column, e.Width, e)
		case e.Code == "" || e.Message == "":
			return fmt.Errorf("says nothing: %+v", e)
		}
	}
	return nil
}
