// Package sandbox is the whole platform in one process on loopback: Kafka,
// Pub/Sub, Bigtable, BigQuery with its Data Transfer API, Dataflow and Cloud
// Storage, spoken to by the same clients as in production.
//
// Flow: Start starts one service after the other, each on a port of its own,
// and gives Dataflow the addresses of the others for the jobs that it runs as
// child processes. Environment tells the variables by which clients find them.
// Close ends the jobs first, then the services in the reverse order.
//
// Invariants:
//
//   - Every listener is on loopback (rule A4).
//   - Everything is kept in memory (BigQuery may spill to a folder of its own,
//     which Close removes): a sandbox starts empty and leaves nothing behind.
//   - No job outlives the sandbox, however it ends (internal/child).
//   - If one service cannot start, none stays up.
//
// The package links DuckDB, so only kappa-sandbox and tests import it. How each
// service differs from the real one is listed in docs/sandbox-differences.md.
package sandbox
