// Package bigquery runs every SQL statement that kappa sends to BigQuery on an
// independent emulator as well, and compares the rows with those of the sandbox. Whole
// comparisons, by the program kappa, run against both, too (compare_test.go).
//
// Its tests have the build tag bigquery. `make test-bigquery` installs the emulator
// (install.sh, requirements.txt), records the statements (test/statements) and runs
// them. Without the emulator they fail: they are never left out in silence.
//
// # Invariants
//
//   - Both services get the same tables, rows, statements and parameters, as text of
//     the API; nothing of kappa's own client code is between.
//   - Where the emulator differs from Google's documentation, the difference is in the
//     list of differences_test.go, with its reason, and no wider than it is. One that
//     no longer occurs fails the tests, so that the list stays true.
package bigquery
