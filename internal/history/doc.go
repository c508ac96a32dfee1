// Package history is the project's own memory of its jobs, kept in BigQuery:
// the append-only log of generations (what every writer is and how it ended)
// and of published watermarks. The Dataflow API forgets a job 30 days after
// its end, and labels with it; readers of the tables (package internal/tables)
// decide by this log which rows count.
//
// Flow: Ensure creates the tables; Read folds the log into the newest row of
// every writer; Append adds a row and reads it back; RecordDrained is what a
// finished drain says, with the windows that it has cut (cut.go), RecordVoid a
// job that died (void.go), RecordUpdated one that the service has replaced in
// place (updated.go); PublishWatermarks appends watermarks. What follows from the log for others,
// whose rows count and whose ids are handed over, is in writers.go.
//
// Invariants:
//
//   - Rows are never changed or deleted. The newest row of a writer, by
//     recorded_at and then seq, holds; an appended row is always newer than
//     those it was decided on, whatever the clocks say.
//   - A writer that has ended does not open again: an open generation may end
//     as drained, cancelled or void, and any may become void.
//   - What a writer is (kind, group, Dataflow job, a backfill's windows) never
//     changes, and what a row does not say is as it was. One thing does: the
//     Dataflow job of an open generation, where the service has handed its state
//     over to another one (RecordUpdated).
//   - Append is idempotent: what the log already says is not said again.
//   - Append returns without an error only when the row can be read: a step of
//     a rollout is recorded before it is taken (rule D2).
//   - What cannot be read is an error, never an empty log (rule D3).
package history
