package bridge

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// jsonObject is a decoded record: its fields in their order, and, after a
// rename, under their new names.
type jsonObject struct {
	fields []field
}

// get returns the value of a field as JSON text, nil where it is not there.
func (o *jsonObject) get(name string) []byte {
	for i := range o.fields {
		if string(o.fields[i].name) == name {
			return o.fields[i].value
		}
	}
	return nil
}

// appendText appends o as JSON text.
func (o *jsonObject) appendText(dst []byte) []byte {
	dst = append(dst, '{')
	for i := range o.fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, o.fields[i].quote...)
		dst = append(dst, ':')
		dst = append(dst, o.fields[i].value...)
	}
	return append(dst, '}')
}

// transform is the compiled form of a spec's transform. It is immutable and
// shared; what changes from record to record is the caller's jsonObject.
type transform struct {
	decode  bool // something needs the fields
	rewrite bool // the value changes
	filter  *expression
	changes map[string]change // by old name
	sets    []setField        // ordered by name
}

type change struct {
	drop  bool
	name  []byte // new name
	quote []byte
}

type setField struct {
	name  []byte
	quote []byte
	expr  *expression
}

// newTransform compiles a spec's transform. needFields says that something
// beside the transform reads fields of the record.
func newTransform(spec jobspecs.Transform, needFields bool) (*transform, error) {
	changing := len(spec.Rename)+len(spec.Drop)+len(spec.Set) > 0
	if spec.Decode != "json" {
		if changing || spec.Filter != "" {
			return nil, exit.Usagef("spec.transform: filter, rename, drop and set need the record's fields").
				WithHint("set transform.decode: json")
		}
		if needFields {
			return nil, exit.Usagef("spec: eventTime.field, ids.fields, split.key and attributes.field need the record's fields").
				WithHint("set transform.decode: json")
		}
		return &transform{}, nil
	}
	t := &transform{
		decode:  changing || needFields || spec.Filter != "",
		rewrite: changing,
		changes: make(map[string]change),
	}
	var err error
	if spec.Filter != "" {
		if t.filter, err = compile(spec.Filter, true); err != nil {
			return nil, exit.Usagef("spec.transform.filter: %w", err)
		}
	}
	for _, name := range spec.Drop {
		t.changes[name] = change{drop: true}
	}
	from := make(map[string]string)
	for old, name := range spec.Rename {
		if t.changes[old].drop {
			return nil, exit.Usagef("spec.transform: field %q is both renamed and dropped", old)
		}
		if other, twice := from[name]; twice {
			return nil, exit.Usagef("spec.transform.rename: fields %q and %q are both renamed to %q", min(old, other), max(old, other), name)
		}
		from[name] = old
		t.changes[old] = change{name: []byte(name), quote: quote(nil, []byte(name))}
	}
	for name, source := range spec.Set {
		e, err := compile(source, false)
		if err != nil {
			return nil, exit.Usagef("spec.transform.set.%s: %w", name, err)
		}
		t.sets = append(t.sets, setField{name: []byte(name), quote: quote(nil, []byte(name)), expr: e})
	}
	slices.SortFunc(t.sets, func(a, b setField) int { return cmp.Compare(string(a.name), string(b.name)) })
	return t, nil
}

// apply decodes value into o and transforms it; keep is false for an event
// that the filter drops. What comes out is in o; an error says why the record
// can never be published.
func (t *transform) apply(value []byte, o *jsonObject) (keep bool, err error) {
	if o.fields, err = parseObject(value, o.fields[:0]); err != nil {
		return false, fmt.Errorf("decode: %w", err)
	}
	if t.filter != nil {
		keep, err := t.filter.matches(o)
		if err != nil {
			return false, fmt.Errorf("filter: %w", err)
		}
		if !keep {
			return false, nil
		}
	}
	if len(t.changes) > 0 {
		if err := t.change(o); err != nil {
			return false, err
		}
	}
	if len(t.sets) > 0 {
		if err := t.set(o); err != nil {
			return false, err
		}
	}
	return true, nil
}

// change renames and drops. A new name that the record has already is refused:
// one of the two values would be lost.
func (t *transform) change(o *jsonObject) error {
	kept := o.fields[:0]
	var seen names
	for _, f := range o.fields {
		if c, ok := t.changes[string(f.name)]; ok {
			if c.drop {
				continue
			}
			f.name, f.quote = c.name, c.quote
		}
		if seen.add(f.name, kept) {
			return fmt.Errorf("rename: field %q comes twice", f.name)
		}
		kept = append(kept, f)
	}
	o.fields = kept
	return nil
}

// set computes fields. Every expression sees the record as it was before the
// first of them, so their order has no meaning.
func (t *transform) set(o *jsonObject) error {
	var results [8][]byte
	texts := results[:0]
	for _, s := range t.sets {
		text, err := s.expr.text(o)
		if err != nil {
			return fmt.Errorf("set %s: %w", s.name, err)
		}
		texts = append(texts, text)
	}
	for i, s := range t.sets {
		at := slices.IndexFunc(o.fields, func(f field) bool { return string(f.name) == string(s.name) })
		if at >= 0 {
			o.fields[at].value = texts[i]
		} else {
			o.fields = append(o.fields, field{name: s.name, quote: s.quote, value: texts[i]})
		}
	}
	return nil
}
