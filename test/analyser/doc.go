// Package analyser holds every SQL statement that kappa sends to BigQuery against
// Google's own parser and analyser, and grades what it costs.
//
// It is a Go module of its own, for the analyser takes minutes to compile, and it
// shares no code with kappa: it is given a file of recorded statements and tables
// (KAPPA_STATEMENTS, written by test/statements) and works out the rest itself.
//
// # Flow
//
//  1. catalog.go makes the analyser's catalog of the recorded tables;
//  2. reads.go analyses a statement and takes from the resolved tree what each scan
//     of a table reads: its columns, and the partitions that its filter leaves. A
//     WITH table that is named twice is read twice, and of a view the tables behind it;
//  3. sizes.go, Google's table of data type sizes written down as it stands in the
//     documentation, turns that into bytes over the recorded rows (bytes.go);
//  4. the test holds this against what the statement needs, as it was laid down by
//     hand: each needed column of each table once, no other (rule C1), and billed
//     bytes ÷ lower bound = 1;
//  5. execute.go runs the statements that the sandbox lacks a type or a function for,
//     such as those of BIGNUMERIC, on an engine in Go that shares nothing with it, and
//     the test finds the rows that were laid down for them. Tables are named there as
//     everywhere: what is analysed and what is run is the same text, but for two
//     functions that the engine takes in floating point (exactly).
package analyser
