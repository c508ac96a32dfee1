// Package demo plays a whole migration on one machine, on real flights, and
// checks the outcome against the truth.
//
// Flow (demo.go): start the platform as a child process (sandbox.go) → set up
// what Terraform would set up in reality (platform.go) → start the bridge as a
// child process and deploy the streaming jobs (bridge.go) → produce the flights
// in order of arrival, some twice (order.go, produce.go), and meanwhile deploy a
// new version of the jobs, kill the bridge, kill a job (rollout.go) → wait until
// every record's delivery is in BigQuery's raw table → drain the jobs → play the
// old batch layer over the same records (batch.go) and load its files → compare →
// hold what is served against BigQuery (serving.go) → check with kappa-truth
// (truth.go) → measure (measure.go, measure_generations.go) and sum up
// (summary.go).
//
// Everything but the producer, the old batch layer and the setting up is the
// product: the bridge's own process, deploy, drain, load and compare as their
// commands call them, on the specs of jobspecs/examples/flights.
//
// Invariants:
//   - Nothing in the summary is assumed: every number is read from BigQuery,
//     Kafka, the comparison or kappa-truth, which computes the truth from the
//     input file alone.
//   - A run leaves nothing behind but its output folder, however it ends: its
//     children end with it (package child), ports are the kernel's choice, and
//     files are made in a folder of the run's own, which is published into the
//     output folder at the end (output.go). Runs may overlap.
//   - Input is read and checked whole before anything starts.
//
// Callers own: stopping, by cancelling the context. The process's environment
// gets the sandbox's addresses, as a shell would after `kappa sandbox`.
package demo
