// Package inspect is the dry run of a bridge against the live systems: it looks
// at everything that the bridge will need, takes samples of real records, and
// says what the bridge would refuse, without publishing or committing anything.
//
// Flow:
//
//	run.go          the order of things
//	source.go       each Kafka cluster: topics, permissions, group
//	pubsub.go       topics of the destination and of the dead letters
//	reachable.go    a Kafka destination, a file, the schema registry
//	sample.go       records from the start, the middle and the end of every partition
//	tally.go        what became of them (no I/O)
//	skew.go         how even topics and partitions are (no I/O)
//	result.go       the typed result and its verdict; report_text.go is its view
//
// Invariants:
//
//   - Nothing is changed: no offset is committed, no message published, no topic
//     or file made.
//   - What cannot be found out is said (skipped), never taken for good.
//   - A record's value is never shown; positions and reasons are.
//
// Callers own the clients that they pass in, and their closing.
package inspect
