// Command soak runs real bridges under faults and judges them by an oracle.
//
//	go run ./test/soak --kappa bin/kappa --duration 3m --seed 7
//
// Around the bridges, which are `kappa bridge run` processes, everything is
// here: the Kafka cluster (in this process, or a real one), the producer, a
// Pub/Sub server that misbehaves on request, and the schedule that kills,
// pauses, joins and removes bridges, restarts brokers, moves leaders, hides
// acknowledgements, refuses, throttles and goes away. A schedule is a function
// of its seed, which is printed; what two runs of one seed do not share is
// timing.
//
// What the files hold:
//
//	schedule.go  when what happens (pure)
//	ids.go       the event id and the split, written from their description
//	oracle.go, oracle_events.go
//	             what was produced, what arrived, what was committed (pure)
//	report.go    out/soak/bridge.json and the verdict (pure)
//	pubsub.go    the Pub/Sub server
//	kafka.go, apache.go
//	             the Kafka cluster, fake or real, and its faults
//	produce.go   the producer
//	member.go    bridge processes
//	faults.go    the events of the schedule, carried out
//	gap.go, accept.go
//	             truncation in front of a bridge
//	run.go, settle.go
//	             one run from start to verdict
//
// What the oracle holds a bridge to:
//
//   - Every record produced arrives, at the topic, with the id and the content
//     that it computed itself; one that can never be published arrives in the
//     dead letters, and nothing else does. Records of aborted transactions
//     never arrive. A compacted record may be missing only if it was not
//     committed when it was compacted away; a truncated one only if its bridge
//     reported it.
//   - No offset is committed while a record before it has not arrived: checked
//     at every commit, not at the end alone.
//   - A copy needs a reason that the oracle knows: a kill while the record had
//     arrived and was not committed, an acknowledgement that was hidden, a
//     partition that moved, a bridge that was paused. What one kill exposes is
//     within the bound that the byte budget and the commit interval set.
//   - A bridge ends only when it is told to, and then with exit code 0.
package main
