// Package statements records every SQL statement that kappa sends to BigQuery,
// with the tables that it reads, for judges that share no code with kappa: Google's
// own analyser (test/analyser) and an independent emulator (test/bigquery).
//
// # Flow
//
// Its tests build the worlds of scenarios_test.go in the sandbox's BigQuery, run
// the comparisons in them through a client that writes down every request, and
// hold what they have seen as an [Exchange]. With KAPPA_STATEMENTS=FILE they write
// it there, as JSON.
//
// # Invariants
//
//   - Nothing is recorded by asking kappa what it would send: the statements are
//     those of the requests.
//   - What a statement should read (Statement.Needs) is written by hand for each
//     scenario, from the spec: it is what the judges hold the statement against.
package statements
