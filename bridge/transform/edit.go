package transform

import (
	"bytes"
	"errors"
	"fmt"
)

// edit renames and drops in a whole record.
func (m *Machine) edit(rec *record) error {
	if !m.json || !m.names.exact {
		return m.editByName(rec)
	}
	known := &m.edits
	if known.version != m.names.version {
		known.version, known.list = 0, known.list[:0]
		for i := range rec.fields {
			if e := m.p.changes.fields[string(rec.fields[i].name)]; e != nil {
				known.list = append(known.list, placeEdit{i, e})
			}
		}
		if err := m.editAll(rec, m.p.changes.fields, m.p.changes.renames); err != nil {
			return err
		}
		known.version = m.names.version // no names collide
		return nil
	}
	dropped := false
	for i := range known.list {
		p := &known.list[i]
		if p.edit.drop {
			rec.fields[p.place].name, dropped = nil, true // no name that was read is nil
		} else if err := m.apply(p.edit, &rec.fields[p.place]); err != nil {
			return err
		}
	}
	if dropped {
		rec.compact()
	}
	return nil
}

// editByName is edit for records whose shape is not known. Where a field has
// the name that the last record had in this place, it is not looked up.
func (m *Machine) editByName(rec *record) error {
	const most = 1 << 10 // places that are remembered
	for i := len(m.last); i < len(rec.fields) && i < most; i++ {
		m.last = append(m.last, namedEdit{})
	}
	dropped := false
	for i := range rec.fields {
		f := &rec.fields[i]
		var e *edit
		if i < len(m.last) && m.last[i].name != nil && bytes.Equal(m.last[i].name, f.name) {
			e = m.last[i].edit
		} else {
			e = m.p.changes.fields[string(f.name)]
			if i < len(m.last) {
				m.last[i].name, m.last[i].edit = append(m.last[i].name[:0], f.name...), e
			}
		}
		if e == nil {
			continue
		}
		if e.drop {
			f.name, dropped = nil, true
		} else if err := m.apply(e, f); err != nil {
			return err
		}
	}
	if dropped {
		rec.compact()
	}
	return collisions(rec, m.p.changes.renames)
}

// editAll renames and drops in a record or a nested one.
func (m *Machine) editAll(rec *record, edits map[string]*edit, renames []*edit) error {
	dropped := false
	for i := range rec.fields {
		f := &rec.fields[i]
		e := edits[string(f.name)]
		if e == nil {
			continue
		}
		if e.drop {
			f.name, dropped = nil, true
		} else if err := m.apply(e, f); err != nil {
			return err
		}
	}
	if dropped {
		rec.compact()
	}
	return collisions(rec, renames)
}

// compact takes out the fields without a name, moving the others in runs.
func (r *record) compact() {
	n := 0
	for i := 0; i < len(r.fields); {
		if r.fields[i].name == nil {
			i++
			continue
		}
		end := i + 1
		for end < len(r.fields) && r.fields[end].name != nil {
			end++
		}
		if n != i {
			copy(r.fields[n:], r.fields[i:end])
		}
		n += end - i
		i = end
	}
	r.fields = r.fields[:n]
}

// apply changes one field that stays.
func (m *Machine) apply(e *edit, f *field) error {
	if e.fields != nil {
		sub, err := m.open(f)
		if err == nil {
			err = m.editAll(sub, e.fields, e.renames)
		}
		if err != nil && !errors.Is(err, errNotRecord) { // what is no record lacks the fields
			return err
		}
	}
	if e.name != nil {
		f.name, f.quote, f.start = e.name, e.quote, 0
	}
	return nil
}

// open makes the nested record that f holds one that can change.
func (m *Machine) open(f *field) (*record, error) {
	if f.sub != nil {
		return f.sub, nil
	}
	if f.set != nil {
		return nil, errNotRecord
	}
	sub := m.newSub()
	sub.body, sub.typ = f.value, f.typ
	var err error
	if sub.fields, err = m.p.format.fields(f.typ, f.value, sub.fields[:0]); err != nil {
		return nil, err
	}
	f.sub, f.start = sub, 0
	return sub, nil
}

func (m *Machine) newSub() *record {
	if m.usedSubs == len(m.subs) {
		m.subs = append(m.subs, new(record))
	}
	m.usedSubs++
	return m.subs[m.usedSubs-1]
}

// collisions refuses a record in which a field has got the name of another:
// one of the two values would be lost.
func collisions(rec *record, renames []*edit) error {
	for _, e := range renames {
		n := 0
		for i := range rec.fields {
			if bytes.Equal(rec.fields[i].name, e.name) {
				n++
			}
		}
		if n > 1 {
			return fmt.Errorf("rename: field %q comes twice", e.name)
		}
	}
	return nil
}

// set computes fields. Every expression sees the record as it was before the
// first of them, so their order has no meaning.
func (m *Machine) set(e *event) error {
	sets := m.p.changes.sets
	if len(e.results) < len(sets) {
		e.results, e.copies = make([]result, len(sets)), make([]field, len(sets))
	}
	for i := range sets {
		s := &sets[i]
		if err := m.compute(s, &e.record, &e.results[i], &e.copies[i]); err != nil {
			return fmt.Errorf("set %s: %w", s.path, err)
		}
	}
	for i := range sets {
		s := &sets[i]
		if err := m.put(s, &e.record, &e.copies[i]); err != nil {
			return fmt.Errorf("set %s: %w", s.path, err)
		}
	}
	return nil
}

// compute evaluates one expression; the field that it makes is left in f.
func (m *Machine) compute(s *setField, rec *record, out *result, f *field) error {
	*f = field{name: s.path.last(), quote: s.quote}
	if s.expr.copied == nil {
		f.set = out
		return m.eval(s.expr, rec, out)
	}
	from, err := m.lookup(rec, s.expr.copied)
	if err != nil {
		return err
	}
	if from == nil {
		return fmt.Errorf("field %q is not there", s.expr.copied)
	}
	f.value, f.typ, f.set = from.value, from.typ, from.set
	if from.sub != nil {
		f.sub = m.clone(from.sub)
	}
	return nil
}

// clone copies a nested record, so that another field can hold it too.
func (m *Machine) clone(rec *record) *record {
	out := m.newSub()
	out.body, out.typ = rec.body, rec.typ
	out.fields = append(out.fields[:0], rec.fields...)
	for i := range out.fields {
		if sub := out.fields[i].sub; sub != nil {
			out.fields[i].sub = m.clone(sub)
		}
	}
	return out
}

// put puts a computed field in the place of the one with its name, or after
// all others.
func (m *Machine) put(s *setField, rec *record, f *field) error {
	for i, name := range s.path.parents() {
		parent := rec.find(name)
		if parent == nil {
			return fmt.Errorf("field %q is not there", joinNames(s.path.names[:i+1]))
		}
		sub, err := m.open(parent)
		if errors.Is(err, errNotRecord) {
			return fmt.Errorf("field %q is not a record", joinNames(s.path.names[:i+1]))
		}
		if err != nil {
			return err
		}
		rec = sub
	}
	if old := rec.find(f.name); old != nil {
		f.name, f.quote = old.name, old.quote
		*old = *f
	} else {
		rec.fields = append(rec.fields, *f)
	}
	return nil
}
