// Package bridge republishes Kafka topics to Pub/Sub topics, or to other Kafka
// topics, at least once.
//
// Flow, one goroutine or more per stage:
//
//	reader     polls a cluster's consumer group; enters every record into the
//	           ledger (source.go, reader.go, rebalance.go, ledger.go)
//	workers    decode, filter, remap, identify and route a run of records of
//	           one partition, and encode each message where it stays until it
//	           is acknowledged (worker.go, message.go, wire.go, segment.go and
//	           the package transform)
//	lanes      one per topic or ordering key: gather messages into batches
//	senders    publish batches, several at once per lane (one with ordering),
//	           retry for ever, look for the one bad message of a refused batch
//	           (publisher.go, transport*.go)
//	committer  commits what the ledger allows, every second
//
// Everything that decides is free of I/O and tested by itself: ledger.go,
// ids.go, split.go, message.go, wire.go, retry.go.
//
// Invariants, marked where they are enforced:
//
//	B1  an offset is committed only when every fetched record up to it was
//	    acknowledged, dead-lettered or filtered
//	B2  the id of an event is a pure function of its record; one given by an
//	    earlier hop (header kappa-id) is kept
//	B3  offsets that are gone stop their partition, with a report
//	B4  one byte budget bounds fetched, in-flight and retrying records
//	B5  a partition that was taken away commits nothing more
//	B6  retries never end by themselves; only data that Pub/Sub can never take
//	    goes to the dead letters
//
// # Ids
//
// From the position, a UUIDv8 (RFC 9562) whose 122 free bits are, from the
// most significant: 40 of SHA-256(cluster id, 0x00, topic id), 16 of the
// partition, 50 of the offset, 16 of the event's ordinal in the record. From
// fields, a UUIDv5 in the namespace UUIDv5(kappa's namespace, ids.namespace)
// whose name is the fields' canonical JSON texts joined by 0x1f.
//
// # Split
//
// The topic is number xxhash64(text) mod count, with seed 0, where text is
//
//   - the key fields' plain texts joined by 0x1f: a string's characters, a
//     number as it was written, true, false, and nothing for null or a field
//     that is not there;
//   - without key fields, the record's key;
//   - a tombstone has no fields: the record's key, as without key fields;
//   - and where the record has no key either, the event id.
//
// So xxhash64("ATL") = 0xb2e6fa49f520b9e6, and of 6 topics it goes to number 4; "MSY" to
// number 1, and the two fields "ATL", "MSY" to number 2. The hash and the text
// are fixed for ever; another count makes another split.
//
// # Owners
//
// Callers own the Pub/Sub client that they pass in, and its closing. The
// bridge owns its Kafka client and its listener.
package bridge
