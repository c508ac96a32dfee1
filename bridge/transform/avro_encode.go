package transform

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// avroEncoder writes records in plain binary Avro, without any header: what
// Pub/Sub topics with an Avro schema and BigQuery subscriptions take. Who
// reads it must know the schema, so it is fixed: that of outputSchema, else
// the one derived from the schema file of the records.
//
// Values are written by the rules of Avro's schema resolution: fields are
// found by name or alias, what the schema does not have is left out, what the
// record does not have takes its default (null where null may be). Beyond
// them, a value may become another of the same meaning, if nothing is lost: a
// text a timestamp, a whole double a long. Of times alone what is finer than
// their unit is cut.
type avroEncoder struct {
	in   format
	root *avroType // schema of the messages

	plans cowMap[avroPair, avroPlan]
	sames cowMap[avroPair, bool]
}

// avroPlan is how records of one type become records of another. The places
// are those of the first record; a record that differs is looked through.
type avroPlan []avroMove

type avroMove struct {
	at   int       // place of the field in the record; -1: it has none
	from *avroType // type of the field there
	same bool
}

func newAvroEncoder(spec jobspecs.Transform, in format, ch *changes, _ Options) (encoder, error) {
	e := &avroEncoder{in: in}
	avroIn, _ := in.(*avroFormat)
	var event *avroType // type of the events, where it is known
	if avroIn != nil && avroIn.root != nil {
		var err error
		if event, err = eventType(avroIn.root, spec.Events); err != nil {
			return nil, err
		}
	}
	if spec.Output != "" {
		root, err := readAvroFile("spec.transform.outputSchema", spec.Output)
		if err != nil {
			return nil, err
		}
		if err := root.setDefaults(make(map[*avroType]bool)); err != nil {
			return nil, exit.Usagef("spec.transform.outputSchema: %s: %w", spec.Output, err)
		}
		e.root = root
		if event != nil {
			return e, ch.covers(event, root)
		}
		return e, nil
	}
	switch {
	case avroIn == nil:
		return nil, exit.Usagef("spec.transform: encode avro needs outputSchema")
	case event == nil:
		// Every schema of the registry would lead to another, and no message
		// says which it is in.
		return nil, exit.Usagef("spec.transform: the records' schemas come from a registry, so that of the messages must be given").
			WithHint("set transform.outputSchema")
	}
	root, err := ch.derive(event)
	if err != nil {
		return nil, err
	}
	e.root = root
	return e, nil
}

func (e *avroEncoder) encode(dst []byte, rec *record) ([]byte, error) {
	return e.record(dst, rec, e.root, 0)
}

// plan returns how records of the type of rec become to.
func (e *avroEncoder) plan(rec *record, to *avroType) avroPlan {
	from, _ := rec.typ.(*avroType)
	p, ok := e.plans.get(avroPair{from, to})
	if ok {
		return p
	}
	p = make(avroPlan, len(to.fields))
	for i := range to.fields {
		want := &to.fields[i]
		m := &p[i]
		if m.at = want.find(rec.fields); m.at >= 0 {
			if m.from, _ = rec.fields[m.at].typ.(*avroType); m.from != nil {
				m.same = e.same(m.from, want.typ)
			}
		}
	}
	e.plans.put(avroPair{from, to}, p)
	return p
}

// find returns the place of the field among fields, by name, then by alias; -1
// where it is not there.
func (want *avroField) find(fields []field) int {
	for i := range fields {
		if string(fields[i].name) == string(want.name) {
			return i
		}
	}
	for _, alias := range want.aliases {
		for i := range fields {
			if string(fields[i].name) == string(alias) {
				return i
			}
		}
	}
	return -1
}

// record writes rec as a record of type to. Fields that lie side by side, both
// in what was read and in what is written, are copied together.
func (e *avroEncoder) record(dst []byte, rec *record, to *avroType, depth int) (_ []byte, err error) {
	if depth >= maxDepth {
		return dst, errTooDeep
	}
	plan := e.plan(rec, to)
	var run []byte
	for i := range to.fields {
		want, m := &to.fields[i], &plan[i]
		at := m.at
		if at < 0 || at >= len(rec.fields) || string(rec.fields[at].name) != string(want.name) {
			if at = want.find(rec.fields); at < 0 {
				if want.missing == nil {
					return dst, fmt.Errorf("field %s is not there, and the schema has no default for it", want.name)
				}
				dst = append(append(dst, run...), want.missing...)
				run = nil
				continue
			}
		}
		f := &rec.fields[at]
		if f.sub == nil && f.set == nil {
			from, _ := f.typ.(*avroType)
			if from != nil && (from == want.typ || from == m.from && m.same) {
				if n := len(run); n > 0 && adjacent(run, f.value) {
					run = run[:n+len(f.value)]
				} else {
					dst = append(dst, run...)
					run = f.value
				}
				continue
			}
		}
		dst = append(dst, run...)
		run = nil
		if dst, err = e.field(dst, f, want.typ, depth+1); err != nil {
			return dst, fmt.Errorf("field %s: %w", want.name, err)
		}
	}
	return append(dst, run...), nil
}

// adjacent reports whether b begins in memory where a ends, within a's
// capacity: both are slices of one record then.
func adjacent(a, b []byte) bool {
	n := len(a)
	return len(b) > 0 && cap(a)-n >= len(b) && &a[:n+1][n] == &b[0]
}

// field writes the value of f as type to.
func (e *avroEncoder) field(dst []byte, f *field, to *avroType, depth int) ([]byte, error) {
	if depth >= maxDepth {
		return dst, errTooDeep
	}
	switch {
	case f.sub != nil:
		return e.sub(dst, f, to, depth)
	case f.set != nil:
		return appendAvroResult(dst, f.set, to, depth)
	}
	from, _ := f.typ.(*avroType)
	if from != nil && e.same(from, to) {
		return append(dst, f.value...), nil
	}
	switch to.kind {
	case avroUnion:
		return e.union(dst, f, from, to, depth)
	case avroRecord, avroMap:
		fields := fieldPool.Get().(*[]field)
		defer putFields(fields)
		var err error
		if *fields, err = e.in.fields(f.typ, f.value, (*fields)[:0]); err != nil {
			return dst, unfit(err, to)
		}
		rec := record{body: f.value, typ: f.typ, fields: *fields}
		return e.names(dst, &rec, to, depth)
	case avroArray:
		items := fieldPool.Get().(*[]field)
		defer putFields(items)
		var err error
		if *items, err = e.in.items(f.typ, f.value, (*items)[:0]); err != nil {
			return dst, unfit(err, to)
		}
		return appendAvroBlock(dst, len(*items), func(dst []byte, i int) ([]byte, error) {
			return e.field(dst, &(*items)[i], to.elem, depth+1)
		})
	default:
		return e.scalar(dst, f, from, to)
	}
}

// scalar writes a value that holds no others.
func (e *avroEncoder) scalar(dst []byte, f *field, from, to *avroType) ([]byte, error) {
	k := e.in.kindOf(f)
	switch {
	case k == kindList || k == kindMap:
		return dst, errUnfit{k, to}
	case to.logical == avroDecimal && (k == kindInt || k == kindUint || k == kindDouble):
		text, err := e.in.appendPlain(make([]byte, 0, 32), f) // a double would not be exact
		if err != nil {
			return dst, err
		}
		return appendAvroDecimal(dst, text, to)
	}
	r := resultPool.Get().(*result)
	defer putResult(r)
	if err := e.in.decode(f, r); err != nil {
		return dst, err
	}
	if from != nil && to.kind == avroEnum && to.other >= 0 && r.kind == kindString && to.symbol(r.text) < 0 {
		return binary.AppendVarint(dst, int64(to.other)), nil
	}
	return appendAvroResult(dst, r, to, 0)
}

// names writes rec as a record or a map.
func (e *avroEncoder) names(dst []byte, rec *record, to *avroType, depth int) ([]byte, error) {
	if to.kind == avroRecord {
		return e.record(dst, rec, to, depth)
	}
	return appendAvroBlock(dst, len(rec.fields), func(dst []byte, i int) ([]byte, error) {
		f := &rec.fields[i]
		dst = append(binary.AppendVarint(dst, int64(len(f.name))), f.name...)
		return e.field(dst, f, to.elem, depth+1)
	})
}

// sub writes a nested record that the transform has changed.
func (e *avroEncoder) sub(dst []byte, f *field, to *avroType, depth int) ([]byte, error) {
	switch to.kind {
	case avroRecord, avroMap:
		return e.names(dst, f.sub, to, depth)
	case avroUnion:
		first := -1 // a derived schema has the branch where it was
		if from, _ := f.typ.(*avroType); from != nil && from.kind == avroUnion {
			first, _, _ = readAvroIndex(f.value, 0, len(to.branches), errAvroBranch)
		}
		return tryBranches(dst, to, kindMap, first, func(dst []byte, branch *avroType) ([]byte, error) {
			return e.names(dst, f.sub, branch, depth+1)
		})
	default:
		return dst, errUnfit{kindMap, to}
	}
}

// union writes the value of f as a branch of to: the one of its own type, else
// the best that takes it.
func (e *avroEncoder) union(dst []byte, f *field, from, to *avroType, depth int) ([]byte, error) {
	inner, first := *f, -1
	if from != nil {
		branch, at, err := from.unwrap(f.value, 0)
		if err != nil {
			return dst, err
		}
		inner.typ, inner.value = branch, f.value[at:]
		for i, b := range to.branches {
			if e.same(branch, b) && (first < 0 || b.logical == branch.logical && b.name == branch.name) {
				first = i
			}
		}
	}
	k := e.in.kindOf(&inner)
	if k == kindInt || k == kindUint || k == kindDouble {
		r := resultPool.Get().(*result)
		if err := e.in.decode(&inner, r); err == nil {
			k = r.kind // for a number kindOf says any
		}
		putResult(r)
	}
	return tryBranches(dst, to, k, first, func(dst []byte, branch *avroType) ([]byte, error) {
		return e.field(dst, &inner, branch, depth+1)
	})
}

var fieldPool = sync.Pool{New: func() any { return new([]field) }}

var resultPool = sync.Pool{New: func() any { return new(result) }}

func putResult(r *result) {
	*r = result{}
	resultPool.Put(r)
}

// putFields gives a list of fields back, without the record that it points to.
func putFields(fields *[]field) {
	if cap(*fields) > 4096 {
		return
	}
	clear(*fields)
	*fields = (*fields)[:0]
	fieldPool.Put(fields)
}

// errUnfit says that a value cannot be written as a type.
type errUnfit struct {
	kind kind
	to   *avroType
}

func (e errUnfit) Error() string {
	return fmt.Sprintf("%s cannot be written as %s", e.kind, e.to.label())
}

func unfit(err error, to *avroType) error {
	if errors.Is(err, errNotRecord) || errors.Is(err, errNotList) {
		return fmt.Errorf("%w, but the schema has %s", err, to.label())
	}
	return err
}
