package transform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// DataError is the error for a record that can never be published: it cannot
// be decoded, or an expression cannot be evaluated for it. It shows nothing of
// the record's content.
type DataError struct{ Err error }

func (e *DataError) Error() string { return e.Err.Error() }
func (e *DataError) Unwrap() error { return e.Err }

// MaxEvents is the most items that the list of a record's events may have: an
// event id has 16 bits for the number of the event.
const MaxEvents = 65_535

// Machine runs a Program over one record after the other. It holds their
// fields: one per goroutine.
type Machine struct {
	// Blocked, if not nil, is called with what is wrong while a schema cannot
	// be had, and with "" once it can.
	Blocked func(problem string)

	p     *Program
	json  bool        // the format is JSON
	names shape       // of the records
	edits placeEdits  // of the records of that shape
	last  []namedEdit // of the last record of none

	value   []byte
	events  []event // the first of those left after the filter
	more    []later // the others
	spare   event   // one of them at a time
	at      int     // number of the event in spare, -1: none
	mark    mark    // memory in use by those in events
	dropped int

	list      []field // fields of the record that holds a list of events
	items     []field // the items of that list
	scratch   []field // fields of a nested record on the way to another
	found     []field // nested fields that Field has given out
	foundOf   int     // the event that they are of
	subs      []*record
	usedSubs  int
	text      []byte // strings that expressions made
	registers []result
	condition result
	top       recordValue
}

// indexed is how many events of a record are kept with their fields, which
// take much more memory than the record. The others are decoded again when
// they are asked for.
const indexed = 64

// event is an event of the record.
type event struct {
	record
	ordinal int
	results []result // of set
	copies  []field  // for set
}

// later is an event that is decoded again when it is asked for.
type later struct {
	body    []byte
	typ     any
	ordinal int
}

// mark is a state of the machine's memory.
type mark struct{ subs, text int }

// placeEdits is what becomes of the fields of records of one shape, by their
// places, so that no name is looked up.
type placeEdits struct {
	version int // of the shape, 0: none
	list    []placeEdit
}

type placeEdit struct {
	place int
	edit  *edit
}

// namedEdit is what becomes of the field with a name.
type namedEdit struct {
	name []byte
	edit *edit
}

// NewMachine returns a machine for one goroutine.
func (p *Program) NewMachine() *Machine {
	_, json := p.format.(jsonFormat)
	return &Machine{p: p, json: json, registers: make([]result, p.registers)}
}

// Apply decodes a record's value and transforms it. It returns the number of
// events that the filter kept, at most MaxEvents; Dropped is the number of
// those that it dropped. A list without items has neither. If one event of a
// record is bad, the record is.
//
// The error is a *DataError, or that of ctx: a registry that is away is waited
// for. The machine refers to value until the next call.
func (m *Machine) Apply(ctx context.Context, value []byte) (n int, err error) {
	m.reset()
	m.value = value
	body, typ, err := m.p.format.open(ctx, value, m.Blocked)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return 0, err
		}
		return 0, &DataError{fmt.Errorf("decode: %w", err)}
	}
	if m.p.events == nil {
		err = m.add(body, typ, 0)
	} else {
		err = m.explode(body, typ)
	}
	if err != nil {
		m.reset()
		return 0, &DataError{err}
	}
	return len(m.events) + len(m.more), nil
}

// reset forgets the record. Memory that only an unusual one needs is let go:
// a machine that has seen it must not hold it for ever.
func (m *Machine) reset() {
	const most = 1 << 12 // fields, or records, that are kept for use again
	for i := range m.events {
		if cap(m.events[i].fields) > most {
			m.events[i].fields = nil
		}
	}
	for _, list := range []*[]field{&m.list, &m.items, &m.scratch, &m.found, &m.spare.fields} {
		if cap(*list) > most {
			*list = nil
		}
	}
	if len(m.subs) > most {
		m.subs = nil
	}
	if cap(m.more) > most {
		m.more = nil
	}
	if cap(m.text) > 1<<20 {
		m.text = nil
	}
	m.value, m.events, m.more, m.at, m.dropped = nil, m.events[:0], m.more[:0], -1, 0
	m.usedSubs, m.text, m.mark = 0, m.text[:0], mark{}
	m.found, m.foundOf = m.found[:0], 0
}

// Dropped is the number of events of the record that the filter dropped.
func (m *Machine) Dropped() int { return m.dropped }

// Ordinal is the number of event i in the record's list, from 0; 0 where the
// record is the event. It is part of the event's id, and a filter that changes
// does not change it.
func (m *Machine) Ordinal(i int) int {
	if i < len(m.events) {
		return m.events[i].ordinal
	}
	return m.more[i-len(m.events)].ordinal
}

// event returns event i.
func (m *Machine) event(i int) (*record, error) {
	if i < len(m.events) {
		return &m.events[i].record, nil
	}
	if m.at != i {
		m.at = -1
		l := m.more[i-len(m.events)]
		if _, err := m.makeSpare(l.body, l.typ); err != nil {
			return nil, err // cannot be: it was made before
		}
		m.at = i
	}
	return &m.spare.record, nil
}

// explode makes events of the items of a list.
func (m *Machine) explode(body []byte, typ any) error {
	var whole record
	var err error
	whole.fields, err = m.p.format.fields(typ, body, m.list[:0])
	m.list = whole.fields
	if err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	f, err := m.lookup(&whole, m.p.events)
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	if f == nil {
		return fmt.Errorf("events: field %q is not there", m.p.events)
	}
	if m.items, err = m.p.format.items(f.typ, f.value, m.items[:0]); err != nil {
		return fmt.Errorf("events: field %q: %w", m.p.events, err)
	}
	if len(m.items) > MaxEvents {
		return fmt.Errorf("events: the list has %d items, more than %d", len(m.items), MaxEvents)
	}
	for i := range m.items {
		if err := m.add(m.items[i].value, m.items[i].typ, i); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
	}
	return nil
}

// add adds an event, if the filter keeps it.
func (m *Machine) add(body []byte, typ any, ordinal int) error {
	if len(m.events) == indexed {
		keep, err := m.makeSpare(body, typ)
		if keep {
			m.more = append(m.more, later{body, typ, ordinal})
		}
		return err
	}
	if len(m.events) < cap(m.events) {
		m.events = m.events[:len(m.events)+1]
	} else {
		m.events = append(m.events, event{})
	}
	e := &m.events[len(m.events)-1]
	e.ordinal = ordinal
	keep, err := m.make(e, body, typ)
	if !keep {
		m.events = m.events[:len(m.events)-1]
	}
	m.mark = mark{m.usedSubs, len(m.text)}
	return err
}

// makeSpare makes an event in the place of the spare one.
func (m *Machine) makeSpare(body []byte, typ any) (keep bool, err error) {
	m.usedSubs, m.text = m.mark.subs, m.text[:m.mark.text]
	return m.make(&m.spare, body, typ)
}

// make makes an event of a record or of an item of its list.
func (m *Machine) make(e *event, body []byte, typ any) (keep bool, err error) {
	e.body, e.typ = body, typ
	if m.json {
		e.fields, err = jsonFields(typ, body, e.fields[:0], &m.names)
	} else {
		e.fields, err = m.p.format.fields(typ, body, e.fields[:0])
	}
	if err != nil {
		return false, fmt.Errorf("decode: %w", err)
	}
	if m.p.filter != nil {
		if keep, err = m.matches(m.p.filter, &e.record); err != nil {
			return false, fmt.Errorf("filter: %w", err)
		}
		if !keep {
			m.dropped++
			return false, nil
		}
	}
	if len(m.p.changes.fields) > 0 {
		if err := m.edit(&e.record); err != nil {
			return false, err
		}
	}
	if len(m.p.changes.sets) > 0 {
		if err := m.set(e); err != nil {
			return false, err
		}
	}
	for _, path := range m.p.needed {
		if _, err := m.lookup(&e.record, path); err != nil {
			return false, fmt.Errorf("field %q: %w", path, err)
		}
	}
	return true, nil
}

// lookup returns the field at a path, nil where it is not there. A field of a
// nested record is valid until the next look-up.
func (m *Machine) lookup(rec *record, p *Path) (*field, error) {
	f := rec.find(p.names[0])
	for _, name := range p.names[1:] {
		if f == nil {
			return nil, nil
		}
		fields, err := m.inside(f)
		if errors.Is(err, errNotRecord) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		f = nil
		for i := range fields {
			if bytes.Equal(fields[i].name, name) {
				f = &fields[i]
				break
			}
		}
	}
	return f, nil
}

// inside returns the fields of the nested record that f holds. They are valid
// until the next look-up.
func (m *Machine) inside(f *field) ([]field, error) {
	switch {
	case f.sub != nil:
		return f.sub.fields, nil
	case f.set != nil:
		return f.set.fields()
	}
	var err error
	m.scratch, err = m.p.format.fields(f.typ, f.value, m.scratch[:0])
	return m.scratch, err
}

// AppendData appends the data of the message of event i. The error is a
// *DataError.
func (m *Machine) AppendData(dst []byte, i int) ([]byte, error) {
	if m.p.encoder == nil && m.p.events == nil {
		return append(dst, m.value...), nil
	}
	if m.p.encoder == nil {
		if i < len(m.events) {
			return append(dst, m.events[i].body...), nil
		}
		return append(dst, m.more[i-len(m.events)].body...), nil
	}
	rec, err := m.event(i)
	if err != nil {
		return dst, &DataError{err}
	}
	out, err := m.p.encoder.encode(dst, rec)
	if err != nil {
		return dst, &DataError{fmt.Errorf("encode: %w", err)}
	}
	return out, nil
}
