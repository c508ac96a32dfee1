// Package statements records every SQL statement that kappa sends to BigQuery,
// with the tables that it reads, for judges that share no code with kappa: Google's
// own analyser (test/analyser) and an independent emulator (test/bigquery).
//
// # Flow
//
// Its tests build the worlds of scenarios_test.go and the files beside it in the
// sandbox's BigQuery, run the comparisons in them, and the SQL that their reports show
// to be copied, through a client that writes down every request, and hold what they
// have seen as an [Exchange]. With KAPPA_STATEMENTS=FILE they write it there, as JSON.
//
// # Invariants
//
//   - Nothing is recorded by asking kappa what it would send: the statements are
//     those of the requests. Those that the sandbox lacks a type or a function for are
//     the exception, and marked as Written.
//   - Nothing is left out: every purpose that package compare gives a statement is
//     recorded, and, where coverage is measured (make statements), every literal of SQL
//     in it has been written (reached_test.go).
//   - What a statement should read (Statement.Needs) is written by hand for each
//     scenario, from the spec: it is what the judges hold the statement against.
package statements
