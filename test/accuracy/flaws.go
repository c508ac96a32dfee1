package main

import (
	"math/bits"
	"slices"
	"strings"
)

// flaw is a set of what goes wrong.
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
)

// flawNames are the names that kappa gives them.
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

// The sides by number.
const (
	batchSide = iota
	streamSide
)

// What a side counts is decided by its own flaws alone; what never came to the stream
// is seen by the batch side.
const (
	seenFlaws   = droppedByBridge | cutByDrain
	streamFlaws = lateStream | duplicatesStream | roundedStream | overflowStream
	batchFlaws  = lateBatch | duplicatesBatch | restatedBatch | roundedBatch | overflowBatch | seenFlaws
	rounded     = roundedBatch | roundedStream
	overflown   = overflowBatch | overflowStream
)

func (f flaw) has(of flaw) bool  { return f&of != 0 }
func (f flaw) part(of flaw) bool { return f&^of == 0 } // f is a part of the other set
func (f flaw) size() int         { return bits.OnesCount16(uint16(f)) }

// each is the flaws of a set, one by one.
func (f flaw) each() []flaw {
	var out []flaw
	for _, n := range flawNames {
		if f.has(n.flaw) {
			out = append(out, n.flaw)
		}
	}
	return out
}

// String is the names, sorted.
func (f flaw) String() string {
	var names []string
	for _, n := range flawNames {
		if f.has(n.flaw) {
			names = append(names, n.name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " + ")
}

// flawNamed is the flaw of a name.
func flawNamed(name string) (flaw, bool) {
	for _, n := range flawNames {
		if n.name == name {
			return n.flaw, true
		}
	}
	return 0, false
}

// subsets of a set, the smaller first.
func (f flaw) subsets() []flaw {
	out := []flaw{0}
	for _, one := range f.each() {
		for _, s := range slices.Clone(out) {
			out = append(out, s|one)
		}
	}
	slices.SortStableFunc(out, func(a, b flaw) int { return a.size() - b.size() })
	return out
}

// smallest are the sets of which no other one is a part.
func smallest(sets []flaw) []flaw {
	var out []flaw
	for _, f := range sets {
		if !slices.Contains(out, f) && !slices.ContainsFunc(sets, func(o flaw) bool { return o != f && o.part(f) }) {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}
