// Package transform is what a bridge does to the value of a record: it decodes
// it (JSON, Avro, Protobuf), makes events of the items of a list, filters,
// renames, drops and sets fields, and encodes what is left.
//
// New compiles a spec into a Program, which is immutable. Each goroutine has a
// Machine of it: Apply takes one record, and Field and AppendData give what
// became of each of its events.
//
// What is not changed is not decoded either. A record is an index of its
// fields, whose values are slices of what was read: a number keeps its digits,
// a string its escapes. Equal records become equal bytes.
//
// Expressions are CEL. What is usual in them (comparisons, logic, arithmetic,
// tests of strings) is evaluated without CEL where CEL would give a value, and
// left to CEL in every other case, so that there is one set of rules.
//
// An error about a record is a *DataError and shows nothing of its content.
package transform
