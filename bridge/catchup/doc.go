// Package catchup reads a bounded range of records with more parallelism than
// there are partitions, after Airbnb's balanced reader.
//
// The range (from and to, by offsets or times, over topics and clusters) is
// laid out as one line of bytes and cut into splits of equal bytes, wherever
// the cuts fall: a partition that holds most of the bytes is read by most of
// the splits. How many bytes lie before an offset is estimated from small
// samples along the range (curve.go) and from the sizes that the brokers
// report; what a plan calls bytes is keys, values and headers, uncompressed,
// and a few bytes of framing for each record.
//
// The flow: Make plans without writing anything; Save writes the plan, before
// anything is read; Load finds it again after a restart; HandOver sets the
// group's committed offsets to the end of the range and deletes the plan.
//
// A plan lives in Kafka and nowhere else: each split has a consumer group of
// its own (GROUP.catchup-NUMBER, without members), whose committed offset of a
// partition is the next one that the split reads there and whose metadata says
// the rest. A split that is killed goes on from there; ids are functions of
// positions, so what is published twice is recognised (rule B2).
//
// Invariants: a plan covers every offset of its range exactly once, and a split
// has at most one range of a partition. Nothing is read before all of the plan
// is written. The group's offset only moves over what was read: from a place
// inside the range to its end.
package catchup
