// Package compare reconciles the old batch layer's aggregates with the
// stream's: it says of every key (key columns and window) whether both sides
// agree, proves from the raw events why where they do not, and gives a verdict.
//
// # Flow
//
//  1. preflight: the tables exist, have the columns and types that the spec
//     names, and are partitioned so that a range can be read alone;
//  2. control: the small tables generations, watermarks and batch_loads say
//     which writers count and which windows are settled (rule C4);
//  3. reconcile: one query job reads each needed column of both sides once
//     (rule C1), leaves out the rows that do not count by their writer's
//     standing (internal/tables), classes every key, and returns totals,
//     windows, segments, writers and the keys that are not exact;
//  4. evidence: for those keys alone the raw events are read, in bounded
//     batches; a pure function attributes causes (rule C5);
//  5. verdict: GO, HOLD or NO DATA, from the spec's gate (rule C3).
//
// # Invariants
//
//   - P2: which rows of the stream side count is decided by tables.Standings
//     alone; standing.go turns that into a predicate on writer and window. Raw
//     events are evidence by the same standings.
//   - C1: see queries.reconcile; the test TestReconcileReadsEachTableOnce holds it.
//   - C2: values are INT64 in BigQuery and big.Int or text here; no float is
//     involved in a class, a total or the verdict. INT64 overflow in BigQuery
//     fails the run.
//   - C3: shares are exact ratios; no keys at all is NO DATA, never a pass.
//   - C4: only windows that the batch loads cover and that the stream's
//     watermarks are past by [jobspecs.StreamSide.SettleAfter] count; what is
//     left out is listed in the result with its reason.
//   - C5: a cause is proven only if exactly one minimal set of flaws
//     reproduces both sides' values from the raw events.
//   - C6: text, JSON, HTML, Markdown and JUnit are views of one [Result].
//
// Callers own the client, the context and the writers that views write to.
package compare
