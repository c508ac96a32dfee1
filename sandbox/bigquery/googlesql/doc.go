// Package googlesql translates a subset of GoogleSQL, BigQuery's dialect, to
// DuckDB's, keeping GoogleSQL's semantics.
//
// Flow: lexer → parser (a syntax tree of its own) → resolver. The resolver
// gives every name, expression and column its meaning and GoogleSQL type, and
// writes DuckDB SQL bottom-up from what it resolved. It never copies text of
// the query into the output: identifiers of the output are generated or come
// from the catalog, literals and parameters are written anew by type.
//
// Invariants:
//
//   - Allow-list: a statement, clause, type, operator or function that the
//     package does not know is refused by name (Error with ReasonUnsupported).
//     Nothing of DuckDB can be reached that is not written by the resolver.
//   - Types are GoogleSQL's: what BigQuery refuses for its types is refused
//     here, and what DuckDB computes in another type is cast back, so that it
//     overflows, rounds and compares as in GoogleSQL.
//   - A column counts as read only if the result depends on it, once for every
//     scan of its table; a WITH clause that is referenced twice is scanned
//     twice, as in BigQuery.
//
// The caller owns the catalog, the execution and the decoding of results;
// physical names (Table.Physical, Column.Physical) are the caller's and are
// quoted here. STRUCT fields are named f0, f1, … in DuckDB, because GoogleSQL
// allows anonymous and duplicate field names and DuckDB does not.
package googlesql
