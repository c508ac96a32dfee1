// Package localfiles loads local files into tables of BigQuery: Avro, Parquet,
// CSV with a header, and JSON lines. A comparison over files uses it with the
// sandbox's BigQuery; it would work with any.
//
// Flow: match.go finds the files of patterns and their format; columns.go reads
// the schemas that Avro and Parquet files hold, and guess.go what the values of
// text files say; load.go sends the files through load jobs. Text is sent as
// JSON lines that this package writes (text.go), so that what an empty field, a
// date or a number means is decided here, in one place.
//
// Invariants:
//
//   - A value is loaded as it is written or not at all: numbers never become
//     floating point unless the caller asks for it, and what does not fit its
//     column's type is an error with file and line.
//   - All rows are read before a type is settled.
//   - Files are streamed; no more than a row and one chunk of the upload is held.
//   - A pattern without files, files of different schemas and files without rows
//     are errors: nothing that is not there can be found equal.
//
// Callers own the client, the dataset, and the name of the table, which must not
// exist.
package localfiles
