// Package serve reads aggregates from Bigtable by the reader's rules of
// internal/tables: what a key's windows are, whatever writers, generations and
// panes have written of them.
//
// Flow: a Reader is made for one aggregation, and of one with rollups for one set
// of its dimensions, with the standings of the writers (package
// internal/history reads them); Query reads the rows of one key, Scan
// those of all; window.go merges the cells of a row, without I/O.
//
// Invariants:
//
//   - P2: a cell counts as its writer's standing lets it in the row's window; a
//     writer without a standing does not count. A backfill replaces, it never
//     adds. Cells that count merge over panes and writers: count and sum add up,
//     min and max keep the extreme. A sum that does not fit an INT64 is an
//     error, whatever the order of its parts.
//   - P1: of a cell the latest version alone is read.
//   - P2: an event is in every set of dimensions once, so that rows of one set
//     are never read for those of another.
//   - What cannot be read by the contract (a row key, a qualifier, a value) is
//     an error, never left out.
//
// A window without a cell that counts is not there. So a window whose measures
// are all null, which has a row in BigQuery, is not there either: it has no cells.
//
// Callers own the table's client. Standings are those at the time when a Reader
// is made: make a new one to see later ones.
package serve
