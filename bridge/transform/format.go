package transform

import (
	"context"
	"errors"
	"time"
)

// field is one field of a decoded record, or one item of a list. Its slices
// point into the record, so that what is passed on keeps its exact bytes.
type field struct {
	name  []byte // unescaped; empty for an item of a list
	quote []byte // JSON: the name as written, with quotes; nil: to be made from name
	value []byte // as written in the record's format; of a computed field nothing
	typ   any    // the format's own type of the value; nil for JSON

	// start and end are where the field stands in record.body, from its quote
	// to the end of its value, if it is JSON without spaces; else start is 0.
	start, end uint32

	// sub is the nested record that value holds, where the transform changed
	// something in it. It stands for value, which is as it was read.
	sub *record
	// set is the value of a field that an expression computed. It stands for
	// value and typ. (An expression that only names a field is not computed:
	// value and typ are then those of the field that it names.)
	set *result
}

// record is an event: its fields in order and, after the transform, under
// their new names.
type record struct {
	body   []byte  // as it was read, without what format.open stripped
	typ    any     // the format's own type, the schema for example
	fields []field // what is left of them after the transform
}

// find returns the field with a name, nil where it is not there.
func (r *record) find(name []byte) *field {
	for i := range r.fields {
		if string(r.fields[i].name) == string(name) {
			return &r.fields[i]
		}
	}
	return nil
}

// kind says which member of a result holds its value.
type kind uint8

const (
	kindNull     kind = iota
	kindBool          // num: 0 or 1
	kindInt           // num, as int64
	kindUint          // num
	kindDouble        // num: math.Float64bits
	kindString        // text
	kindBytes         // text
	kindTime          // when, UTC
	kindDuration      // num, as time.Duration
	kindList          // tree: []any
	kindMap           // tree: map[string]any
)

// String returns what CEL calls the type.
func (k kind) String() string {
	return [...]string{"null", "bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration", "list", "map"}[k]
}

// result is a value on its way into or out of an expression. It holds scalars
// without allocating. In a tree, values are nil, bool, int64, uint64, float64,
// string, []byte, time.Time, time.Duration, []any and map[string]any.
type result struct {
	kind kind
	num  uint64
	text []byte // may point into the record: not to be kept beyond it
	when time.Time
	tree any
}

// format reads one encoding of records. It is immutable and shared between
// goroutines; what it learns from a registry it guards itself. An error is
// the record's own fault (invariant A4: it shows nothing of the content),
// except from open, see there.
type format interface {
	// open strips what precedes the value, the id of a schema for example,
	// and returns the body and its type. A schema that cannot be had at the
	// moment is tried again, with backoff, until ctx ends; the error is then
	// ctx.Err(), and only then. Meanwhile blocked (may be nil) is called with
	// what is wrong after every attempt, and with "" once it is over.
	open(ctx context.Context, value []byte, blocked func(problem string)) (body []byte, typ any, err error)
	// fields appends the fields of a record, a nested record or a map to dst;
	// errNotRecord where the value (null, for example) has none. It does not
	// allocate for records of ordinary size.
	fields(typ any, value []byte, dst []field) ([]field, error)
	// items appends the items of a list to dst, without names; errNotList
	// where the value is none.
	items(typ any, value []byte, dst []field) ([]field, error)
	// kindOf says what the value of f (never one with sub or set) is, without
	// decoding it. For a number it may be any of the numeric kinds.
	kindOf(f *field) kind
	// decode decodes the value of f (never one with sub or set) into out.
	// Scalars do not allocate: a string may point into the record.
	decode(f *field, out *result) error
	// appendPlain appends the value of f (never one with sub or set) as plain
	// text: a string's characters without quotes, numbers as written (integers
	// in decimal, doubles in the shortest form that reads back the same),
	// true, false, null, bytes in base64, lists and maps as JSON.
	appendPlain(dst []byte, f *field) ([]byte, error)
	// appendJSON appends the value of f (never one with sub or set) as JSON
	// text: what is JSON already as it is written, everything else as
	// appendResult does it. One value has one text.
	appendJSON(dst []byte, f *field) ([]byte, error)
}

// encoder writes a transformed record. It is immutable and shared between
// goroutines; what it caches per schema it guards itself. An error is the
// record's own fault.
type encoder interface {
	encode(dst []byte, rec *record) ([]byte, error)
}

// errNotRecord and errNotList are what format.fields and format.items return
// for a value of another kind; errTooDeep for one that nests beyond maxDepth.
var (
	errNotRecord = errors.New("not a record")
	errNotList   = errors.New("not a list")
	errTooDeep   = errors.New("nested too deep")
)

// The formats and encoders, beside those of JSON (json.go):
//
//	newAvroFormat(spec jobspecs.Schemas, opts Options) (format, error)
//	newAvroEncoder(spec jobspecs.Transform, in format, ch *changes, opts Options) (encoder, error)
//	newProtobufFormat(spec jobspecs.Schemas, opts Options) (format, error)
//
// The Avro encoder is used for encode avro, and for encode same with decode
// avro where there are changes or events; a record that passes as it is never
// reaches it.
