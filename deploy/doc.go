// Package deploy brings the jobs of a StreamJob into being and replaces them
// while events flow: it looks at what there is, plans, and applies the plan. It
// also recomputes windows from the archive (backfill.go).
//
// Flow: New.Plan reads everything that the jobs need (preflight_*.go: all
// problems at once) and the state of every job in the history and in the
// Dataflow API (observe.go), and decides per job (decide.go), whether
// subscriptions move between jobs (reshard.go) and in which order the jobs are
// taken (rollout.go); these three are pure. Apply computes the plan again,
// creates what is missing, writes the resolved spec to the staging folder, and
// then takes one step after the other (take.go): records how the last
// generation of a job ended, or drains the one that runs; records the next one
// as open, launches it, waits until it runs.
//
// A job that runs with another spec gives way as the spec's strategy says
// (strategy.go, pure): it is drained and replaced, as is one that drains already;
// or cancelled and replaced (cancelled.go); or the service replaces it in place, and
// its generation goes on as another Dataflow job (update.go). One that the spec has
// no more is drained and retired. Which
// fields differ (changes.go) is read from the spec that was staged for it. Where
// only the bounds on its workers do, they are changed while it runs
// (resize_decide.go, pure), and the service is who knows of it. Where a
// running job reads what another one will read, all are drained before any is
// launched; else one after the other, and what was away before comes back first.
//
// For operators: a plan can be written to a file and applied later (planfile.go),
// and if it has become stale it is said what is different (stale.go, pure); what of
// the jobs is otherwise than it was deployed is drift (drift.go, pure). Status says
// what runs and who has deployed it, Deployments and Timeline read the journal
// (deployments.go), Adopt takes jobs that were started by hand (adopt_decide.go,
// pure), Back goes back to the spec of an older deployment (rollback_decide.go,
// pure), and Abort stops a deployment on whatever machine (abort.go).
//
// Invariants:
//
//   - A stale plan is refused, and one with errors is never applied (rule D1).
//   - A generation is on record before it is launched, and its launch carries
//     a deployment label that names it: a killed Apply, or a launch whose
//     answer was lost, is found again by that label and not launched twice. A
//     drain that was begun is watched to its end by the next Apply (rule D2).
//   - What the history and the API say of a job must fit together; where they
//     do not, or cannot be read, nothing is done. A successor is launched only
//     when the service says DRAINED and that is on record (rule D3).
//   - A job is never launched while another job reads one of its
//     subscriptions: ids are dropped within a job only (rule P3).
//   - A generation that ended without a drain is recorded void before anything
//     is launched (rule P5). A job that runs is cancelled only where both the spec
//     and whoever applies it say so.
//   - A generation is on record as another Dataflow job only once the service says
//     that the old one is UPDATED; an update that fails changes nothing of it
//     (rule D3).
//   - At most one job is away at a time, unless subscriptions move; the first
//     failure stops the rollout (rule D4).
//   - A backfill counts from when its job is done and no streaming job takes
//     events of its windows any more; then it replaces, it never adds (rules
//     P2, P4).
//
// The caller owns the clients, the history, the drainer and the observer, which
// are interfaces or the official clients.
package deploy
