package compare

import (
	"math/bits"
	"slices"
	"strings"
)

// flaw is a set of what may have gone wrong. A set that reproduces both sides of a
// key from the raw events is a cause (invariant C5).
type flaw uint16

const (
	lateBatch flaw = 1 << iota
	duplicatesBatch
	restatedBatch
	unloadedBatch
	shiftedBatch
	roundedBatch
	overflowBatch
	keyForm
	droppedByBridge
	cutByDrain
	lateStream
	duplicatesStream
	roundedStream
	overflowStream
	allFlaws flaw = 1<<iota - 1
)

// Causes by flaw, in the order in which they are named.
var flawNames = []struct {
	flaw flaw
	name string
}{
	{lateBatch, "late_dropped_by_batch"},
	{duplicatesBatch, "duplicates_in_batch"},
	{restatedBatch, "batch_restated"},
	{unloadedBatch, "batch_load_missing"},
	{shiftedBatch, "time_shift_in_batch"},
	{roundedBatch, "rounding_in_batch"},
	{overflowBatch, "overflow_in_batch"},
	{keyForm, "key_form"},
	{droppedByBridge, "dropped_by_bridge"},
	{cutByDrain, "window_cut_by_drain"},
	{lateStream, "late_dropped_by_stream"},
	{duplicatesStream, "duplicates_in_stream"},
	{roundedStream, "rounding_in_stream"},
	{overflowStream, "overflow_in_stream"},
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

// minimalSets are the sets of which no other one is a part, in the order of reports.
func minimalSets(sets []flaw) []flaw {
	var out []flaw
	for _, f := range sets {
		covered := slices.ContainsFunc(sets, func(o flaw) bool { return o != f && o&f == o })
		if !covered && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b flaw) int {
		if c := bits.OnesCount16(uint16(a)) - bits.OnesCount16(uint16(b)); c != 0 {
			return c
		}
		return strings.Compare(a.String(), b.String())
	})
	return out
}

// causeOf names the minimal sets that hold: one is proven, of several each is only
// likely, for any of them may be what happened. Sets that hold on weaker grounds
// than the values of all metrics are at most likely.
func causeOf(sets []flaw, weak flaw) (cause, status string) {
	switch len(sets) {
	case 0:
		return Unexplained, Unexplained
	case 1:
		if sets[0]&weak != 0 {
			return sets[0].String(), Likely
		}
		return sets[0].String(), Proven
	}
	names := make([]string, len(sets))
	for i, f := range sets {
		names[i] = f.String()
	}
	slices.Sort(names)
	return strings.Join(names, " or "), Likely
}
