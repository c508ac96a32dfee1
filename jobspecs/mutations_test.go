package jobspecs

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The tests below take every example, change it in one place, and hold that the
// loader either says what is wrong and where, or that what is meant is
// documented: a field that is absent has its default.

// mutate calls f with each place of each example, changed by change, which
// returns how to undo it, and the errors of the changed text.
func mutate(t *testing.T, change func(p place) (undo func(), ok bool), f func(x *example, p place, r *rendering, errs Errors) error) {
	t.Helper()
	n := 0
	for _, x := range loadExamples(t) {
		for _, p := range x.all() {
			undo, ok := change(p)
			if !ok {
				continue
			}
			n++
			r := render(x.docs)
			text := r.text()
			errs := x.errors(text, "")
			err := positioned(text, errs)
			if err == nil {
				err = f(x, p, r, errs)
			}
			for _, env := range x.envs[1:] {
				if err == nil {
					err = positioned(text, slices.DeleteFunc(x.errors(text, env), func(e *Error) bool { return strings.HasPrefix(e.File, "--env") }))
				}
			}
			undo()
			if err != nil {
				t.Errorf("%s: %s: %v\n%s", x.file, p.path, err, around(text, r, p))
			}
		}
	}
	if n < 150 {
		t.Errorf("only %d places were changed", n)
	}
}

// around is the text at a place, for people.
func around(text string, r *rendering, p place) string {
	last := p.within[len(p.within)-1]
	s, ok := r.keys[last]
	if !ok {
		s = r.items[last]
	}
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(s.line-3, 0):min(s.last+2, len(lines))], "\n")
}

// within reports whether an error stands in a spot.
func within(errs Errors, s spot, ok func(*Error) bool) bool {
	return slices.ContainsFunc(errs, func(e *Error) bool { return e.Line >= s.line && e.Line <= s.last && ok(e) })
}

func anyError(*Error) bool { return true }

func (p place) isItem() bool { return p.holder.kind == sequence }

// spotOf is where what a place holds stands.
func (p place) spotOf(r *rendering) spot {
	last := p.within[len(p.within)-1]
	if p.isItem() {
		return r.items[last]
	}
	return r.keys[last]
}

// TestEachFieldDeleted: what is required is missed, in the mapping that lacks
// it; what is not has its default.
func TestEachFieldDeleted(t *testing.T) {
	change := func(p place) (func(), bool) {
		was := *p.holder
		if p.isItem() {
			p.holder.items = slices.Delete(slices.Clone(was.items), p.i, p.i+1)
		} else {
			p.holder.entries = slices.Delete(slices.Clone(was.entries), p.i, p.i+1)
		}
		return func() { *p.holder = was }, true
	}
	mutate(t, change, func(x *example, p place, r *rendering, errs Errors) error {
		if p.isItem() || p.named {
			if last := len(p.holder.items)+len(p.holder.entries) == 0; last && len(errs) == 0 && !p.exempt && p.path != "variables" {
				return x.emptied(p, r)
			}
			return nil
		}
		name := p.f.name
		if p.f.required && !p.exempt {
			holder := spot{line: 1, last: len(r.lines)}
			if len(p.within) > 1 {
				up := p.within[len(p.within)-2]
				s, ok := r.keys[up]
				if !ok {
					s = r.items[up]
				}
				holder = spot{line: s.line, last: s.line}
			}
			if !within(errs, holder, func(e *Error) bool {
				return e.Code == CodeMissingField && strings.Contains(e.Message, strconv.Quote(name))
			}) {
				return fmt.Errorf("%s is not missed at line %d: %v", name, holder.line, errs)
			}
			return nil
		}
		if len(errs) > 0 || p.exempt || !p.f.hasDefault {
			return nil
		}
		// Its default, written out, means the same.
		bare, err := x.resolved(r.text())
		if err != nil {
			return err
		}
		written := *p.holder
		value := &node{kind: scalar, text: p.f.def, quoted: p.f.typ.Kind() == reflect.String}
		p.holder.entries = append(slices.Clone(written.entries), entry{&node{kind: scalar, text: name}, value})
		same, err := x.resolved(render(x.docs).text())
		*p.holder = written
		if err != nil || same != bare {
			return fmt.Errorf("without it the document is not as with its default, %s: %w", p.f.def, err)
		}
		return nil
	})
}

// emptied: a list or mapping that has nothing left must be one that may be empty.
func (x *example) emptied(p place, r *rendering) error {
	for _, q := range x.all() {
		if q.f != nil && q.holder.get(q.f.name).value == p.holder && q.f.required && !q.exempt {
			return fmt.Errorf("%s is required, and may be empty\n%s", q.path, r.text())
		}
	}
	return nil
}

// resolved is all documents of a text, with their defaults.
func (x *example) resolved(text string) (string, error) {
	set, err := x.load(text, "")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, list := range []any{set.Bridges, set.StreamJobs, set.BatchLoads, set.Comparisons, set.Monitors} {
		v := reflect.ValueOf(list)
		for i := range v.Len() {
			doc, err := Marshal(v.Index(i).Interface())
			if err != nil {
				return "", err
			}
			b.Write(doc)
		}
	}
	return b.String(), nil
}

// TestEachFieldDoubled: the second of two is refused, at its key. Of an item
// that is there twice the second is, or both mean what one does.
func TestEachFieldDoubled(t *testing.T) {
	var second *node
	change := func(p place) (func(), bool) {
		was := *p.holder
		if p.isItem() {
			second = was.items[p.i].clone()
			p.holder.items = slices.Insert(slices.Clone(was.items), p.i+1, second)
		} else {
			e := entry{was.entries[p.i].key.clone(), was.entries[p.i].value.clone()}
			second = e.key
			p.holder.entries = slices.Insert(slices.Clone(was.entries), p.i+1, e)
		}
		return func() { *p.holder = was }, true
	}
	mutate(t, change, func(_ *example, p place, r *rendering, errs Errors) error {
		if p.isItem() {
			if s := r.items[second]; !within(errs, s, anyError) {
				return fmt.Errorf("the second of two equal items is taken: %v", errs)
			}
			return nil
		}
		s := r.keys[second]
		if !within(errs, s, func(e *Error) bool { return e.Code == CodeDuplicateKey && e.Line == s.line && e.Column == s.col }) {
			return fmt.Errorf("the second is not refused at %d:%d: %v", s.line, s.col, errs)
		}
		return nil
	})
}

// TestEachFieldMisspelt: a field with a slip in its name is refused at its key,
// and the right name is suggested.
func TestEachFieldMisspelt(t *testing.T) {
	for slip, of := range map[string]func(string) string{
		"a letter too few":  func(s string) string { return s[:len(s)/2] + s[len(s)/2+1:] },
		"a letter too many": func(s string) string { return s[:len(s)/2] + "q" + s[len(s)/2:] },
		"two letters changed": func(s string) string {
			i := len(s)/2 - 1
			return s[:i] + s[i+1:i+2] + s[i:i+1] + s[i+2:]
		},
	} {
		t.Run(slip, func(t *testing.T) {
			change := func(p place) (func(), bool) {
				if p.isItem() || p.named || len(p.f.name) < 3 {
					return nil, false
				}
				wrong := of(p.f.name)
				if wrong == p.f.name || slices.ContainsFunc(p.holder.entries, func(e entry) bool { return e.key.text == wrong }) {
					return nil, false
				}
				key := p.holder.entries[p.i].key
				key.text = wrong
				return func() { key.text = p.f.name }, true
			}
			mutate(t, change, func(_ *example, p place, r *rendering, errs Errors) error {
				s := p.spotOf(r)
				if p.path == "kind" { // without it nothing else can be known
					if !within(errs, spot{line: 1, last: len(r.lines)}, func(e *Error) bool { return e.Code == CodeMissingField && e.Path == "kind" }) {
						return fmt.Errorf("the kind is not missed: %v", errs)
					}
					return nil
				}
				if !within(errs, s, func(e *Error) bool {
					return e.Code == CodeUnknownField && e.Line == s.line && e.Column == s.col && e.Hint == "did you mean "+p.f.name+"?"
				}) {
					return fmt.Errorf("%s is not suggested at %d:%d: %v", p.f.name, s.line, s.col, errs)
				}
				return nil
			})
		})
	}
}

// TestEachFieldOfAnotherType: a value of another type is refused where it stands.
func TestEachFieldOfAnotherType(t *testing.T) {
	item := &node{kind: scalar, text: "a"}
	for name, value := range map[string]*node{
		"nothing":   {kind: null},
		"text":      {kind: scalar, text: "zzz zzz", quoted: true},
		"a list":    {kind: sequence, items: []*node{item}},
		"a mapping": {kind: mapping, entries: []entry{{&node{kind: scalar, text: "qqqq"}, item}}},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(p place) (func(), bool) {
				if !refusesType(p, value.kind) {
					return nil, false
				}
				other := value.clone()
				if p.isItem() {
					was := p.holder.items[p.i]
					*was, *other = *other, *was
					return func() { *was = *other }, true
				}
				was := p.holder.entries[p.i].value
				p.holder.entries[p.i].value = other
				return func() { p.holder.entries[p.i].value = was }, true
			}
			mutate(t, change, func(_ *example, p place, r *rendering, errs Errors) error {
				if s := p.spotOf(r); !within(errs, s, anyError) {
					return fmt.Errorf("it is not refused: %v", errs)
				}
				return nil
			})
		})
	}
}

// refusesType reports whether a field is of a type that a kind of value is not of.
func refusesType(p place, k nodeKind) bool {
	t := p.typ
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch k {
	case null:
		return true
	case sequence:
		return isScalar(t) || t.Kind() != reflect.Slice
	case mapping:
		return isScalar(t) || t.Kind() != reflect.Struct && t.Kind() != reflect.Map
	}
	if t.Kind() != reflect.String {
		return true
	}
	if p.f == nil {
		return false // an item, or a value by name: any text
	}
	return len(p.f.enum) > 0 || p.f.pattern != nil && !p.f.pattern.MatchString("zzz zzz")
}
