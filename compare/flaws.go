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

type flawName struct {
	flaw    flaw
	name    string
	meaning string
}

// Causes by flaw, in the order in which they are named, each with what happened.
var flawNames = []flawName{
	{lateBatch, "late_dropped_by_batch", "events came after the cut-off of the batch side; the stream side counted them"},
	{duplicatesBatch, "duplicates_in_batch", "the batch side counted an event more than once"},
	{restatedBatch, "batch_restated", "the batch layer has changed its numbers since they were loaded"},
	{unloadedBatch, "batch_load_missing", "a batch load claims the window and has nothing in it"},
	{shiftedBatch, "time_shift_in_batch", "the windows of the batch side are shifted: another time zone or boundary of the day"},
	{roundedBatch, "rounding_in_batch", "the batch side has fewer decimals"},
	{overflowBatch, "overflow_in_batch", "the type of the batch side was too small for the value"},
	{keyForm, "key_form", "one key is written in two ways: in case, space, empty or normal form"},
	{droppedByBridge, "dropped_by_bridge", "the bridge dead-lettered or filtered events"},
	{cutByDrain, "window_cut_by_drain", "the window is not whole: a generation that read its events does not count"},
	{lateStream, "late_dropped_by_stream", "events came after the horizon of the stream side and are in the late table"},
	{duplicatesStream, "duplicates_in_stream", "the stream side counted an event more than once"},
	{roundedStream, "rounding_in_stream", "the stream side has fewer decimals"},
	{overflowStream, "overflow_in_stream", "the type of the stream side was too small for the value"},
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

// CauseMeaning says in words what a cause of a result is; "" for the name of a known
// difference, whose reason says it.
func CauseMeaning(cause string) string {
	if cause == Unexplained {
		return "no combination of known flaws gives both sides' values"
	}
	var ways []string
	for _, set := range strings.Split(cause, " or ") {
		var parts []string
		for _, flaw := range strings.Split(set, " + ") {
			i := slices.IndexFunc(flawNames, func(n flawName) bool { return n.name == flaw })
			if i < 0 {
				return ""
			}
			parts = append(parts, flawNames[i].meaning)
		}
		ways = append(ways, strings.Join(parts, ", and "))
	}
	return strings.Join(ways, "; or: ")
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
