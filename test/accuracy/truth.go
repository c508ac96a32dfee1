package main

import (
	"math/big"
	"slices"
	"time"
)

// What became of a delivery.
const (
	counted     = "counted"     // by the stream
	tooLate     = "too late"    // the stream dropped it
	undelivered = "undelivered" // the bridge put it into the dead letters
	lost        = "lost"        // read by a job that ended without a successor
)

// delivery is a row of the raw table: one message of one record of an event. Those of
// an event, and in it of a record, are beside each other.
type delivery struct {
	event    string // id
	message  string
	position string // of the record
	at       time.Time
	arrived  time.Time
	fate     string
	delay    int64
	miles    int64
}

// What a side may take for one event.
const (
	byEvent    = iota // its id
	byRecord          // the record that carried it
	byDelivery        // each message
)

// count is what a side has that sees some deliveries and tells events apart in a way;
// unit is what it rounds kilometres to, event by event.
func count(all []delivery, seen func(*delivery) bool, by int, unit int64) sums {
	var s sums
	var last *delivery
	for i := range all {
		d := &all[i]
		if !seen(d) {
			continue
		}
		same := last != nil && last.event == d.event && (by == byEvent || last.position == d.position && (by == byRecord || last.message == d.message))
		last = d
		if same {
			continue
		}
		s.n++
		s.delay += d.delay
		s.miles += d.miles
		s.most = max(s.most, d.miles)
		s.each += nearest(d.miles*millionthsOfKm, unit)
	}
	return s
}

// scope is what is known of a key and its window: all that a side's values can be
// held against.
type scope struct {
	deliveries []delivery
	end        time.Time   // of the window
	loads      []time.Time // at which loads that hold the window ended
	units      [2]int64    // by side: what it rounds kilometres to, in millionths; 1: it does not
}

func (k scope) cutoff() time.Time { return k.end.Add(cutoff) }

// seenBy says which deliveries a side counts under some of its flaws; load is the one by
// whose time a restated batch side was made.
func seenBy(side int, set flaw, cutoff, load time.Time) func(*delivery) bool {
	return func(d *delivery) bool {
		switch {
		case d.fate == undelivered && !set.has(droppedByBridge), d.fate == lost && !set.has(cutByDrain), d.fate == tooLate && set.has(lateStream):
			return false
		case side == streamSide:
			return true
		}
		return !(set.has(lateBatch) && d.arrived.After(cutoff)) && !(set.has(restatedBatch) && d.arrived.After(load))
	}
}

// restatements are the loads whose time shows that the batch side was restated: each took
// other records than there are, and, if it ended once the cut-off was over, other
// records than the cut-off lets through.
func (k scope) restatements(set flaw) []time.Time {
	taken := func(set flaw, load time.Time) (n int) { // the later the load, the more: equal numbers are equal records
		seen, last := seenBy(batchSide, set, k.cutoff(), load), ""
		for i := range k.deliveries {
			if d := &k.deliveries[i]; seen(d) && d.position != last {
				n, last = n+1, d.position
			}
		}
		return n
	}
	set &= seenFlaws
	return slices.DeleteFunc(slices.Clone(k.loads), func(load time.Time) bool {
		n := taken(set|restatedBatch, load)
		return n == taken(set, load) || !load.Before(k.cutoff()) && n == taken(set|lateBatch, load)
	})
}

// counts are what a side may have counted under some of its flaws: one for each kind of
// duplicates that it may count, and one for each load that it may be of.
func (k scope) counts(side int, set flaw) []sums {
	loads := []time.Time{{}}
	if set.has(restatedBatch) {
		if loads = k.restatements(set); set.has(lateBatch) {
			loads = nil // what a load took is not cut off once more
		}
	}
	kinds := []int{byEvent}
	if set.has(duplicatesBatch | duplicatesStream) {
		kinds = []int{byRecord, byDelivery}
	}
	var out []sums
	for _, load := range loads {
		for _, by := range kinds {
			out = append(out, count(k.deliveries, seenBy(side, set, k.cutoff(), load), by, k.units[side]))
		}
	}
	return out
}

// meets reports whether what was counted is what a side has, once its types have done
// what the flaws say.
func (s sums) meets(have values, set flaw, m metrics, unit int64) bool {
	if s.n == 0 || !have.present {
		return s.n == 0 && !have.present && !set.has(rounded|overflown)
	}
	for _, c := range m {
		has := have.of[c]
		switch {
		case s.value(c).Cmp(has) == 0:
		case set.has(rounded) && has.IsInt64() && slices.Contains(s.rounded(c, unit), has.Int64()):
		case set.has(overflown) && slices.ContainsFunc(s.overflows(c), func(x *big.Int) bool { return x.Cmp(has) == 0 }):
		default:
			return false
		}
	}
	return true
}

// sets are the smallest sets of a side's flaws that reproduce it.
func (k scope) sets(side int, have values, m metrics) []flaw {
	var out []flaw
	evident := k.evident(side)
	for _, set := range sideSubsets[side] {
		if !set.part(evident) || slices.ContainsFunc(out, func(smaller flaw) bool { return smaller.part(set) }) {
			continue
		}
		if slices.ContainsFunc(k.counts(side, set), func(s sums) bool { return s.meets(have, set, m, k.units[side]) }) {
			out = append(out, set)
		}
	}
	return out
}

var sideSubsets = [2][]flaw{batchSide: batchFlaws.subsets(), streamSide: streamFlaws.subsets()}

// evident are a side's flaws of which there is something to be seen: without any, a
// flaw changes nothing.
func (k scope) evident(side int) flaw {
	out := overflown
	if k.units[side] > 1 {
		out |= rounded
	}
	if len(k.loads) > 0 {
		out |= restatedBatch
	}
	for i, d := range k.deliveries {
		switch d.fate {
		case undelivered:
			out |= droppedByBridge
		case lost:
			out |= cutByDrain
		case tooLate:
			out |= lateStream
		}
		if d.arrived.After(k.cutoff()) {
			out |= lateBatch
		}
		if i > 0 && d.event == k.deliveries[i-1].event {
			out |= duplicatesBatch | duplicatesStream
		}
	}
	return out
}

// explanations are the smallest sets of flaws that reproduce both sides of a key by
// itself. Both sides are right if one of them is empty.
func (k scope) explanations(batch, stream values, m metrics) []flaw {
	return joined(k.sets(batchSide, batch, m), k.sets(streamSide, stream, m))
}

// joined are the unions of one set each.
func joined(a, b []flaw) []flaw {
	var out []flaw
	for _, x := range a {
		for _, y := range b {
			out = append(out, x|y)
		}
	}
	return smallest(out)
}
