// Package verify says whether what Kafka holds has arrived: every event of a
// range of positions, once or more, under its own id.
//
// Flow:
//
//	spans.go         which offsets of which partitions are judged
//	kafka.go         reads them, read committed, and asks the Expecter what each
//	                 record should have become
//	ledger.go        the account of one partition: what is expected, what came
//	bigquery.go,     what arrived: the raw table, or subscriptions that exists
//	subscription.go  for verification alone
//	verdict.go       the result and its verdict; report_text.go is its view
//
// Everything that decides is free of I/O: set.go, tags.go, ledger.go, verdict.go.
//
// Invariants:
//
//   - Only records that Kafka still holds are expected. Offsets that retention,
//     compaction or transactions took away are gaps of the log, never missing.
//   - A record that the spec's filter drops, or that can only be a dead letter,
//     is accounted for as that, never as missing.
//   - Events are matched by id and position together: an id at another position
//     than its own does not count as arrival of either.
//   - Several deliveries of one event are counted and named, and are no failure:
//     the bridge publishes at least once. Two contents under one id are one.
//   - What was cut short is inconclusive, and that is no pass.
//   - Memory is bounded: offsets are bits in compressed pages; where an id does
//     not follow from the position, it costs 8 bytes. Beyond Config.Memory the
//     run ends with an error that says so; nothing is judged by halves.
//
// Callers own the clients that they pass in, and their closing.
package verify
