// Package compare reconciles the old batch layer's aggregates with the
// stream's: it says of every key (key columns and window) whether both sides
// agree, proves from the raw events why where they do not, and gives a verdict.
//
// # Flow
//
//  1. preflight: the sides, tables, views or queries, have the columns that the
//     spec names, their types can be compared without losing anything, and a
//     range of them can be read alone; metadata and dry runs tell, at no cost;
//  2. control: where rows count by their writer, the small table generations
//     says which do; watermarks, batch_loads and the clock say which windows are
//     settled (rule C4); a comparison of two plain tables reads none of them;
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
//   - C1: see queries.reconcile; the test TestReconcileReadsEachTableOnce holds
//     it, and `kappa compare plan` shows what is billed for each byte of the lower
//     bound.
//   - C2: values are INT64, NUMERIC or BIGNUMERIC in BigQuery, subtracted and
//     summed in a type that does not overflow, and big.Rat here; what overflows
//     nevertheless fails the run. Tolerances are bounds without rounding
//     (tolerance.go). A FLOAT64 is compared only under a declared tolerance and
//     makes no key exact: its keys are tolerated at best, even of equal values,
//     for their sums could have come out otherwise. NaN is tolerated beside NaN,
//     an infinity beside itself; no sum holds them, and the result counts them.
//   - C3: shares are exact ratios; no keys at all is NO DATA, never a pass.
//   - C4: only windows that are complete on the batch side, by its loads or the
//     clock, and that the stream's watermarks, or the clock, are past by
//     [jobspecs.StreamSide.SettleAfter] count; what is left out is listed in the
//     result with its reason. Where windows begin is decided once (windowing.go);
//     a row whose window begins elsewhere fails the run.
//   - C5: a cause is proven only if exactly one minimal set of flaws
//     reproduces both sides' values from the raw events.
//   - C6: there is one [Result]; text, JSON, HTML, Markdown and JUnit are views of it,
//     in package report.
//
// Callers own the client and the context.
package compare
