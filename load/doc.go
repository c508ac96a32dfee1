// Package load brings the old batch layer's outputs from Cloud Storage into
// BigQuery, each batch exactly once.
//
// Flow: list the batch folders (list.go), hold them against what the table and
// the log of loads already have (plan.go, no I/O), then run one BigQuery load
// job per new batch and record it in the batch_loads table (run.go).
//
// Invariants:
//   - A load job's id is a pure function of the spec, the folder and the
//     generations of its objects. BigQuery runs a job id at most once, so a
//     load that is repeated, killed half-way or run twice at once loads once.
//     Only a job that failed, and so loaded nothing, is followed by another
//     attempt under an id of its own.
//   - A batch whose objects changed after it was loaded is refused: loading it
//     again would add to what is there. Nothing is loaded in a run that finds one.
//   - A row in batch_loads means that the rows are in the table. The converse
//     may fail for a moment (a run killed between the two) and is mended by the
//     next run.
//
// Callers own: the clients, and the progress function, which is called from
// several goroutines, one at a time.
package load
