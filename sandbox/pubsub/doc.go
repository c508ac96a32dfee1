// Package pubsub is a Pub/Sub server in memory: the google.pubsub.v1 Publisher
// and Subscriber services over gRPC, as the official clients speak them.
//
// It is there because the public fake keeps every message behind one mutex and
// scans all held messages a hundred times a second, while the pipelines run in
// the sandbox hold tens of thousands of messages unacknowledged on purpose.
// Here held messages cost memory and nothing else.
//
// Flow: a published message is checked against the service's limits as it
// stands on the wire (wire.go), gets its id and publish time appended, and is
// kept encoded, once for all subscriptions. Each subscription (subscription.go)
// guards one backlog (backlog.go, ordering.go) with one mutex: a queue of
// pending messages, the leases of outstanding ones, and a heap of deadlines
// that one timer watches. Streams (stream.go) take batches out of the backlog
// as their flow control allows and send them as they are.
//
// A snapshot (snapshots.go) holds what its subscription had not acknowledged,
// and a place in the record of its topic (record.go), which exists only while
// there are snapshots. A seek (seek.go) replaces the whole state of a backlog.
//
// Invariants:
//
//   - A message is in exactly one place per subscription: pending, leased, or
//     gone (acknowledged, past its retention, or dead-lettered). Those that are
//     gone are remembered only if the subscription retains them for seeking.
//   - Every delivery has an ack id of its own. An ack id is void once its
//     deadline has passed, its message was refused or its subscription sought:
//     using it does nothing.
//   - A publish request is before a snapshot or a seek, or after it, in all
//     subscriptions of the topic and in its record.
//   - Payloads are never copied, and what only a snapshot holds is free as soon
//     as the snapshot is deleted or expires.
//   - The messages of an ordering key are handed out in the order in which
//     they were published, to one consumer at a time; when one is delivered
//     again, all that follow it are.
//   - An idle server does nothing, however much it holds.
//
// What differs from the real service is listed in docs/sandbox-differences.md.
// Unsupported features are refused with UNIMPLEMENTED, by name.
package pubsub
