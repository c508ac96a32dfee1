// Package dataflow emulates the part of the Dataflow v1b3 API that launches,
// watches and ends flex-template jobs, and runs each job for real: as a child
// process of kappa-pipeline.
//
// Flow: LaunchFlexTemplate reads the template from Cloud Storage, checks the
// request as the real service does, and starts a child with the parameters as
// flags (protocol: internal/worker). The child's reports become the job's
// state, its metrics and its description; its log lines become job messages
// and a file. UpdateJob asks the child to drain, or kills it.
//
// What is modelled after the real service, because clients stumble over it:
// the reply of UpdateJob is sparse; a state and an update mask together are
// refused; a job that drains can still be cancelled; the watermark metrics
// carry the name of a stage, not of a source, -1 while unknown and -2 at the
// maximum, in microseconds as floating point; labels are shown in the views
// DESCRIPTION and ALL only; lists are paged; a name is free again once its job
// is in a terminal state. What is not emulated is refused by name with
// UNIMPLEMENTED.
//
// A script (script.go) can stand between the clients and all of this: rules
// (rules.go, rules_metrics.go: pure; rules_calls.go; rules_load.go: from a YAML file)
// let calls be refused, slow or lost, drains hang, launches fail late, jobs vanish,
// and watermarks look as they do elsewhere. docs/sandbox-dataflow.md has them.
//
// Invariants:
//
//   - A job is DRAINED only if its child said that everything was flushed and
//     acknowledged, and then exited with 0. Anything else that ends a child is
//     FAILED (or CANCELLED, where that was asked for), because its messages
//     were not acknowledged and will be delivered again (rule P5).
//   - No child outlives the server: Close kills them, and the pipe on their
//     stdin ends them if the server dies (internal/child).
//
// The package's users give it the address of Cloud Storage, the pipeline's
// binary and the environment of the children; they own those services.
package dataflow
