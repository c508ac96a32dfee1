// Package deploy brings the jobs of a StreamJob into being: it looks at what
// there is, plans, and applies the plan.
//
// Flow: New.Plan reads everything that the jobs need (preflight_*.go: all
// problems at once) and the state of every job in the history and in the
// Dataflow API (observe.go), and decides per job (decide.go, pure). Apply
// computes the plan again, creates what is missing, writes the resolved spec to
// the staging folder, and then takes one job after the other: records how its
// last generation ended, records the next one as open, launches, waits until
// it runs.
//
// Invariants:
//
//   - A stale plan is refused, and one with errors is never applied (rule D1).
//   - A generation is on record before it is launched, and its launch carries
//     a deployment label that names it: a killed Apply, or a launch whose
//     answer was lost, is found again by that label and not launched twice. A
//     job that runs is left alone (rule D2).
//   - What the history and the API say of a job must fit together; where they
//     do not, or cannot be read, nothing is done (rule D3).
//   - A generation that ended without a drain is recorded void before its
//     successor is launched (rule P5).
//   - The first failure stops the rollout (rule D4).
//
// The package replaces no running job: one with another spec is reported. The
// caller owns the clients and the history, which are interfaces or the
// official clients.
package deploy
