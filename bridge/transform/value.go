package transform

// Value is a field of an event, after the transform. It is valid until another
// event, or the next record, is turned to.
type Value struct {
	format format
	field  *field
}

// Field returns the field of event i at a path; false where it is not there.
func (m *Machine) Field(i int, path *Path) (Value, bool) {
	rec, err := m.event(i)
	if err != nil {
		return Value{}, false
	}
	f, err := m.lookup(rec, path)
	if f == nil || err != nil { // no error: Apply has looked up what Options.Needed names
		return Value{}, false
	}
	if len(path.names) > 1 {
		// The next look-up overwrites f. What points to found stays as it is
		// when found grows.
		if m.foundOf != i {
			m.found, m.foundOf = m.found[:0], i
		}
		m.found = append(m.found, *f)
		f = &m.found[len(m.found)-1]
	}
	return Value{format: m.p.format, field: f}, true
}

func (v Value) kind() kind {
	switch {
	case v.field.sub != nil:
		return kindMap
	case v.field.set != nil:
		return v.field.set.kind
	default:
		return v.format.kindOf(v.field)
	}
}

// Null reports whether the value is null.
func (v Value) Null() bool { return v.kind() == kindNull }

// Nested reports whether the value is a list, a record or a map.
func (v Value) Nested() bool { k := v.kind(); return k == kindList || k == kindMap }

// Text reports whether the value is a string.
func (v Value) Text() bool { return v.kind() == kindString }

// AppendPlain appends the value as plain text: the characters of a string
// without quotes, a number as it is written, true, false, null, bytes in
// base64, a list or a record as JSON.
func (v Value) AppendPlain(dst []byte) ([]byte, error) {
	switch {
	case v.field.sub != nil:
		return v.AppendJSON(dst)
	case v.field.set != nil:
		return v.field.set.appendPlain(dst)
	default:
		return v.format.appendPlain(dst, v.field)
	}
}

// AppendJSON appends the value as JSON text. Equal strings have equal texts,
// however they were escaped; a number is as it is written.
func (v Value) AppendJSON(dst []byte) ([]byte, error) {
	switch {
	case v.field.sub != nil:
		_, text := v.format.(jsonFormat)
		e := jsonEncoder{in: v.format, text: text}
		return e.encode(dst, v.field.sub)
	case v.field.set != nil:
		return v.field.set.appendJSON(dst)
	default:
		return v.format.appendJSON(dst, v.field)
	}
}
