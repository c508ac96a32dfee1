// Package pipeline is the Beam topology that turns the messages of some
// Pub/Sub subscriptions into aggregates: kappa-pipeline runs it as a stream on
// Dataflow or, for one machine, on Prism in this process; and as a batch over
// the archive of the same messages (a backfill).
//
//	read ─ decode ─┬─ raw rows ──────────────► BigQuery raw
//	               ├─ later than the horizon ► BigQuery late
//	               └─ pack ─ deduplicate ─┬─ partial ─ window ─ group ─ pane ─ reshuffle ─► BigQuery, Bigtable
//	                                      └─ … (each aggregation)
//
// Reading, decoding, the raw and late rows and packing run in one stage: no
// event is shuffled on its own. Packing puts the events of a bundle that share
// a shard of event ids and a slice of event time into one element, so that
// deduplication touches its state once for each of those, not once an event.
// On Dataflow the runner reads, one read for each subscription, flattened after
// packing; elsewhere a splittable function reads them all (source_sdf.go).
//
// Invariants:
//
//   - P1: every row and cell is a pure function of what caused it, with an
//     identity of its own (event and message id; key, window, writer, pane), so
//     writing it again in any order changes nothing for a reader.
//   - P2: panes are discarding; the values over all panes of a window add up. An
//     event is in each set of dimensions of an aggregation once, and the sets are
//     told apart in every key (key.go). What an expression cannot compute fails
//     the job, and names the event. A step whose state means something else than
//     before has another name, so that no update in place hands it the old one
//     (layout.go).
//   - P3: an event whose id is known is dropped. One that comes when ids are not
//     remembered any more, though within the horizon, is counted, and is counted
//     as undeduplicated.
//   - P4: an event whose event time is behind the watermark of its source, as
//     it is read, by more than the horizon goes to the late table, counted. The
//     allowed lateness of all windows is the horizon, so that the runner drops
//     nothing by itself.
//   - P5: off Dataflow no message is acknowledged before the pipeline has ended
//     by a drain, with all sinks flushed. On Dataflow the runner acknowledges
//     once its own state holds the message.
//
// Deduplication keeps the ids of a slice of event time under the slice and a
// shard, in the global window, and drops them by an event-time timer at the end
// of the slice plus the horizon, or plus less where ids are remembered for less:
// from then on every delivery of such an event is too late, or too late to be
// deduplicated. It does not lean on the runner's expiry of windowed state,
// because Prism ignores the allowed lateness there and forgets ids at the end
// of the window.
//
// An event is in as many aggregates as its aggregations have sets of dimensions.
// All of them are made in one step, before the shuffle, from the partial values
// that the event adds to each measure, which are computed once: events touch
// hundreds of aggregates, and are shuffled as partial values of a bundle.
//
// A message without event id or event time, or whose data cannot be read, is
// not aggregated: it is counted, logged with its position, and its raw row
// holds what there is (fields are null; a missing id is empty, a missing time
// is the publish time).
//
// The Dataflow runner is built in, and needs a project to be tried in; the
// package's tests run the topology on Prism alone. Prism serves its job and
// worker services on an ephemeral port of every interface, which its API does
// not let us change; it is for one machine and short runs.
package pipeline
