// Command rollout updates eight jobs one after the other while events flow, and
// counts every event.
//
// Flow (run.go): start the sandbox as a child → make what the spec expects
// (package provision) → `kappa deploy apply` → publish events to eight topics at a
// rate, some of them twice, with minutes between the two (publish.go) → `kappa
// deploy apply` of a changed spec, which drains and replaces all eight jobs → stop
// publishing, wait until everything has arrived, `kappa drain` → read what every
// job has counted, event by event (count.go), and how long its output stood still →
// a table and a JSON report (report.go).
//
// How an event is counted: sixteen events share a key, and each adds its own power
// of eight to the key's sum. So the digits of a sum, to the base of eight, are how
// often each event was counted: 0 is lost, 2 is counted twice.
//
// Invariants: everything but the publisher is the product, by its own commands; the
// expectation comes from the publisher's ledger alone; nothing is left behind, for
// all children end with this process.
package main
