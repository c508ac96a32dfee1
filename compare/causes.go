package compare

import (
	"math/big"
	"slices"
	"strings"
)

// This file attributes causes, without I/O (invariant C5).
//
// A flaw set is a hypothesis: "the batch side dropped late events and the
// stream side counted duplicates". It holds if the raw events, seen through
// its flaws, reproduce both sides' values in all metrics; an absent row is
// zero events. A set that holds is minimal if no proper subset holds. One
// minimal set: proven. Several: likely, for either may be what happened. None:
// unexplained.

// flaw is a set of what may have gone wrong.
type flaw uint8

const (
	lateBatch flaw = 1 << iota
	duplicatesBatch
	lateStream
	duplicatesStream
)

const (
	batchFlaws  = lateBatch | duplicatesBatch
	streamFlaws = lateStream | duplicatesStream
)

// Causes by flaw, in the order in which they are named.
var flawNames = []struct {
	flaw flaw
	name string
}{
	{lateBatch, "late_dropped_by_batch"},
	{duplicatesBatch, "duplicates_in_batch"},
	{lateStream, "late_dropped_by_stream"},
	{duplicatesStream, "duplicates_in_stream"},
}

func (f flaw) String() string {
	var names []string
	for _, n := range flawNames {
		if f&n.flaw != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, " + ")
}

// sideValue is what a side has for a key.
type sideValue struct {
	present bool
	values  []*big.Int // per metric; nil is NULL
}

// modelValues is what a side would have, were it computed in a given way from
// the raw events.
type modelValues struct {
	events int64
	values []*big.Int // per metric; nil is NULL
}

// evidence is what the raw events say of a key.
type evidence struct {
	inconsistent bool // deliveries of one event carry different values
	models       [eventSets][countings]modelValues
}

// reproduces reports whether the model gives exactly what the side has.
func (m modelValues) reproduces(s sideValue) bool {
	if m.events == 0 || !s.present {
		return m.events == 0 && !s.present
	}
	for i, v := range s.values {
		if !sameValue(v, m.values[i]) {
			return false
		}
	}
	return true
}

func sameValue(a, b *big.Int) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Cmp(b) == 0
}

// holds reports whether a side's part of a flaw set reproduces its value.
// Duplicates are of two kinds, and a side may have counted either: records
// that their producer sent twice, or all deliveries.
func (e *evidence) holds(s sideValue, late eventSet, dropsLate, countsDuplicates bool) bool {
	set := setAll
	if dropsLate {
		set = late
	}
	if !countsDuplicates {
		return e.models[set][countIDs].reproduces(s)
	}
	return e.models[set][countRecords].reproduces(s) || e.models[set][countDeliveries].reproduces(s)
}

// attribute says why a key differs. ev is nil where there are no raw events.
func attribute(batch, stream sideValue, ev *evidence) (cause, status string) {
	if ev == nil || ev.inconsistent {
		return Unexplained, Unexplained
	}
	ofBatch := minimal(batchFlaws, func(f flaw) bool {
		return ev.holds(batch, setCutoff, f&lateBatch != 0, f&duplicatesBatch != 0)
	})
	ofStream := minimal(streamFlaws, func(f flaw) bool {
		return ev.holds(stream, setOnTime, f&lateStream != 0, f&duplicatesStream != 0)
	})
	// A set holds if its batch part holds for the batch side and its stream
	// part for the stream side, so minimal sets are the pairs of minimal parts.
	var sets []string
	for _, b := range ofBatch {
		for _, s := range ofStream {
			if b|s != 0 { // no flaw at all makes no difference
				sets = append(sets, (b | s).String())
			}
		}
	}
	slices.Sort(sets)
	switch len(sets) {
	case 0:
		return Unexplained, Unexplained
	case 1:
		return sets[0], Proven
	default:
		return strings.Join(sets, " or "), Likely
	}
}

// minimal returns the subsets of all for which holds is true and is false for
// every proper subset.
func minimal(all flaw, holds func(flaw) bool) []flaw {
	var found []flaw
	// In numerical order every proper subset comes before its supersets.
	for f := flaw(0); f <= all; f++ {
		if f&^all != 0 {
			continue
		}
		covered := slices.ContainsFunc(found, func(m flaw) bool { return f&m == m })
		if !covered && holds(f) {
			found = append(found, f)
		}
	}
	return found
}
