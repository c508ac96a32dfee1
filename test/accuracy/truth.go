package main

import (
	"slices"
	"strings"
	"time"
)

// What became of a delivery.
const (
	counted     = "counted"     // by the stream
	tooLate     = "too late"    // the stream dropped it
	undelivered = "undelivered" // the bridge put it into the dead letters
	lost        = "lost"        // read by a job that ended without a successor
)

// delivery is a row of the raw table: one message of one record of an event.
type delivery struct {
	event    string // id
	message  string
	position string // of the record
	arrived  time.Time
	fate     string
	delay    int64
	distance int64
}

// flaw is something that goes wrong on one side.
type flaw string

// The flaws that are injected, by the names that kappa gives them.
const (
	lateBatch        flaw = "late_dropped_by_batch"
	duplicatesBatch  flaw = "duplicates_in_batch"
	droppedByBridge  flaw = "dropped_by_bridge"
	cutByDrain       flaw = "window_cut_by_drain"
	lateStream       flaw = "late_dropped_by_stream"
	duplicatesStream flaw = "duplicates_in_stream"
)

// flaws by the side whose value shows them; what a side counts is decided by its own
// alone. What never came to the stream is seen by the batch side.
var (
	batchFlaws  = []flaw{lateBatch, duplicatesBatch, droppedByBridge, cutByDrain}
	streamFlaws = []flaw{lateStream, duplicatesStream}
)

// values are what a side has of a key.
type values struct {
	present                  bool
	flights, delay, distance int64
}

// metrics says which of the values a comparison looks at.
type metrics struct{ sums bool }

func (m metrics) same(a, b values) bool {
	if a.present != b.present || !a.present {
		return a.present == b.present
	}
	return a.flights == b.flights && (!m.sums || a.delay == b.delay && a.distance == b.distance)
}

// What a side may take for one event.
const (
	byEvent    = iota // its id
	byRecord          // the record that carried it
	byDelivery        // each message
)

// count is what a side has that sees some deliveries and tells events apart in a
// way.
func count(all []delivery, seen func(delivery) bool, by int) values {
	var v values
	known := map[string]bool{}
	for _, d := range all {
		if !seen(d) {
			continue
		}
		id := d.event
		switch by {
		case byRecord:
			id += " " + d.position
		case byDelivery:
			id += " " + d.message
		}
		if known[id] {
			continue
		}
		known[id] = true
		v.present = true
		v.flights++
		v.delay += d.delay
		v.distance += d.distance
	}
	return v
}

// side is what a side may have under a set of its flaws: one value, or where it
// counts duplicates, one for each kind of them.
func side(all []delivery, cutoff time.Time, set []flaw) []values {
	has := func(f flaw) bool { return slices.Contains(set, f) }
	seen := func(d delivery) bool {
		switch {
		case d.fate == undelivered && !has(droppedByBridge), d.fate == lost && !has(cutByDrain), d.fate == tooLate && has(lateStream):
			return false
		}
		return !has(lateBatch) || !d.arrived.After(cutoff)
	}
	if has(duplicatesBatch) || has(duplicatesStream) {
		return []values{count(all, seen, byRecord), count(all, seen, byDelivery)}
	}
	return []values{count(all, seen, byEvent)}
}

// world is one key: what arrived, and what each side has made of it.
type world struct {
	deliveries    []delivery
	cutoff        time.Time
	batch, stream values
}

// explanations are the smallest sets of flaws that reproduce both sides, each as
// its names, sorted. Both sides are right of themselves if one of them is empty.
func (w *world) explanations(m metrics) [][]flaw {
	of := func(all []flaw, have values) (sets [][]flaw) {
		for _, set := range subsets(all) {
			larger := slices.ContainsFunc(sets, func(smaller []flaw) bool { return contains(set, smaller) })
			reproduced := slices.ContainsFunc(side(w.deliveries, w.cutoff, set), func(v values) bool { return m.same(v, have) })
			if reproduced && !larger {
				sets = append(sets, set)
			}
		}
		return sets
	}
	var out [][]flaw
	for _, b := range of(batchFlaws, w.batch) {
		for _, s := range of(streamFlaws, w.stream) {
			set := append(slices.Clone(b), s...)
			slices.Sort(set)
			out = append(out, set)
		}
	}
	return out
}

// subsets of a set, the smaller first.
func subsets(all []flaw) [][]flaw {
	out := [][]flaw{{}}
	for _, f := range all {
		for _, s := range slices.Clone(out) {
			out = append(out, append(slices.Clone(s), f))
		}
	}
	slices.SortStableFunc(out, func(a, b []flaw) int { return len(a) - len(b) })
	return out
}

func contains(set, part []flaw) bool {
	return !slices.ContainsFunc(part, func(f flaw) bool { return !slices.Contains(set, f) })
}

// name of a set of flaws, whatever their order.
func name(set []flaw) string {
	texts := make([]string, len(set))
	for i, f := range set {
		texts[i] = string(f)
	}
	slices.Sort(texts)
	return strings.Join(texts, " + ")
}
