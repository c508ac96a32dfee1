// Package flights reads the demo's input: files of flights, one row each, as
// CSV (gzipped or not) or Parquet.
//
// Every row is an event. Its number in the file, from 1, is its business key,
// for some rows are identical; its event time is when the flight was
// scheduled; its report arrives delay minutes later.
//
// Columns are found by name, in any order: scheduled (or date), delay,
// distance, origin, destination. Further columns are left unread.
//
// Invariant: a file is read whole and checked whole before anything is done
// with it; what cannot be read is an error with the line (row, in Parquet),
// the column and the offending text (rule A1).
package flights
