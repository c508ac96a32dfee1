package compare

import (
	"math/big"
	"slices"
	"time"
)

// This file attributes causes, without I/O (invariant C5).
//
// A flaw set is a hypothesis: "the batch side dropped late events and the stream side
// counted duplicates". It holds if the raw events, seen through its flaws, reproduce
// both sides' values in all metrics; an absent row is zero events. A set that holds is
// minimal if no proper subset holds. One minimal set: proven. Several: likely, for
// either may be what happened. None: unexplained.
//
// A flaw is a hypothesis only where the key has evidence of it: without a late event,
// a duplicate, a dead letter or an earlier load the values that it gives are those
// without it, and a smaller set holds. What needs more than the key, a missing load or
// a shift, is looked for only where the keys around it show it.

// The sides by number.
const (
	batchSide = iota
	streamSide
)

// subject is a key, or the forms of a key taken for one, with its raw events.
type subject struct {
	rules    []metricRule
	sides    [2]sideValue
	groups   []eventGroup // by slot
	window   slots
	loads    []loadTime // batch loads by whose time the batch side may have been made
	unloaded bool       // no key of the window is on the batch side
	shifts   []int64    // shiftOffsets in slots; nil: no shift is looked for
}

// loadTime is when a batch load ended.
type loadTime struct {
	number int  // as view.load has it
	early  bool // before the cut-off was over
}

// finding is what the raw events say of a key.
type finding struct {
	sets    []flaw     // that hold, minimal, but for those with a shift
	shifts  []shiftHit // that hold too if the offset is what most keys say
	holds   [2]bool    // something reproduces this side
	exact   bool       // the events give what both sides have
	problem string     // why nothing is looked for
	facts   facts
}

// facts are counts of events of the key's window, for people.
type facts struct {
	events      int64 // that the stream side has read
	afterCutoff int64
	repeats     int64 // records and deliveries beyond one for each event
	late        int64
	undelivered int64
	lost        int64
	afterLoad   int64     // in a set with batch_restated: arrived after the load
	load        int       // that load, from 1
	forms       int       // keys that are forms of this one
	loadedAt    time.Time // when that load ended
}

// transforms are what types may do on each side, by flaw.
var transforms = [2]map[transform]flaw{
	batchSide:  {asIs: 0, rounds: roundedBatch, overflows: overflowBatch, rounds | overflows: roundedBatch | overflowBatch},
	streamSide: {asIs: 0, rounds: roundedStream, overflows: overflowStream, rounds | overflows: roundedStream | overflowStream},
}

// attribute says which flaw sets hold.
func (s subject) attribute() finding {
	f := finding{facts: s.facts()}
	if s.inconsistent(s.window) {
		f.problem = "deliveries of one event carry different values"
		return f
	}
	ofStream := s.streamSets()
	f.holds[streamSide] = len(ofStream) > 0
	for _, u := range s.universes(s.window) {
		ofBatch := s.batchSets(u.fates, &f.facts)
		f.holds[batchSide] = f.holds[batchSide] || len(ofBatch) > 0
		for _, b := range ofBatch {
			for _, t := range ofStream {
				f.sets = append(f.sets, u.flaw|b|t)
			}
		}
	}
	if slices.Contains(f.sets, 0) { // the events give what both sides have
		f.sets, f.exact = nil, true
		return f
	}
	f.sets = minimalSets(f.sets)
	for _, hit := range s.shiftSets() {
		for _, t := range ofStream {
			f.shifts = append(f.shifts, shiftHit{hit.flaws | t, hit.offsets})
		}
	}
	return f
}

// universe is which events there were that the batch side may have had.
type universe struct {
	flaw  flaw
	fates fateSet
}

// universes are the events that the stream side has read and, where there are any,
// those that never came to be counted by it.
func (s subject) universes(window slots) []universe {
	var have fateSet
	for _, g := range s.groups {
		for _, r := range g.records {
			for f := range fates {
				if window.holds(g.slot) && r.of[f] > 0 {
					have |= 1 << f
				}
			}
		}
	}
	all := []universe{{0, onStream}}
	for _, further := range []universe{{droppedByBridge, 1 << undelivered}, {cutByDrain, 1 << lost}} {
		if have&further.fates == 0 {
			continue
		}
		for _, u := range slices.Clone(all) {
			all = append(all, universe{u.flaw | further.flaw, u.fates | further.fates})
		}
	}
	return all
}

// transformsOf are those that a side's values may show; large says that some may be
// beyond what 32 bits hold.
func (s subject) transformsOf(of int, large bool) []transform {
	out := []transform{asIs}
	if slices.ContainsFunc(s.rules, func(m metricRule) bool { return m.places[of] >= 0 }) {
		out = append(out, rounds)
	}
	if large {
		for _, t := range slices.Clone(out) {
			out = append(out, t|overflows)
		}
	}
	return out
}

var least32 = new(big.Rat).SetInt(new(big.Int).Rsh(two32, 1))

// large reports whether some value could be beyond what 32 bits hold.
func (s subject) large() bool {
	for i, m := range s.rules {
		total := new(big.Rat)
		for _, g := range s.groups {
			if !s.window.holds(g.slot) {
				continue
			}
			times := whole(view{fates: 1<<fates - 1, counting: countDeliveries}.times(g, s.window))
			if m.merge == mergeCount {
				total.Add(total, times.Mul(times, whole(g.n)))
			} else if v := g.values[i].value; v != nil {
				total.Add(total, times.Mul(times, new(big.Rat).Abs(v)))
			}
		}
		if total.Cmp(least32) >= 0 {
			return true
		}
	}
	return false
}

// streamSets are the stream side's flaws that reproduce it.
func (s subject) streamSets() []flaw {
	var found []flaw
	for _, t := range s.transformsOf(streamSide, s.large()) {
		for c := range countings {
			for _, fates := range []fateSet{onStream, aggregated} {
				if s.reproduces(streamSide, s.window, view{fates: fates, counting: c}, t) {
					f := transforms[streamSide][t]
					if c != countIDs {
						f |= duplicatesStream
					}
					if fates == aggregated {
						f |= lateStream
					}
					found = append(found, f)
				}
			}
		}
	}
	return minimalSets(found)
}

// batchSets are the batch side's flaws that reproduce it from events of these fates.
func (s subject) batchSets(fates fateSet, facts *facts) []flaw {
	type time struct {
		flaw   flaw
		cutoff bool
		load   int
	}
	times := []time{{}, {lateBatch, true, 0}}
	for _, load := range s.loads {
		v := view{fates: fates, load: load.number, counting: countRecords}
		// A load that took all is no further hypothesis; nor is one after the cut-off
		// that took what the cut-off let it take.
		if s.sameEvents(v, view{fates: fates, counting: countRecords}) || !load.early && s.sameEvents(v, view{fates: fates, cutoff: true, counting: countRecords}) {
			continue
		}
		times = append(times, time{restatedBatch, false, load.number})
	}
	var found []flaw
	if s.unloaded && !s.sides[batchSide].present {
		found = append(found, unloadedBatch)
	}
	for _, t := range s.transformsOf(batchSide, s.large()) {
		for c := range countings {
			for _, when := range times {
				if s.reproduces(batchSide, s.window, view{fates, when.cutoff, when.load, c}, t) {
					f := when.flaw | transforms[batchSide][t]
					if c != countIDs {
						f |= duplicatesBatch
					}
					if when.load > 0 {
						facts.load = when.load
						facts.afterLoad = facts.events - view{fates: onStream, load: when.load}.number(s.groups, s.window)
					}
					found = append(found, f)
				}
			}
		}
	}
	return minimalSets(found)
}

// sameEvents reports whether two views take the same records.
func (s subject) sameEvents(a, b view) bool {
	return !slices.ContainsFunc(s.groups, func(g eventGroup) bool {
		return s.window.holds(g.slot) && a.times(g, s.window) != b.times(g, s.window)
	})
}

// shiftSets are the batch side's flaws that reproduce it from the events of a shifted
// window. Of the loads of such a side nothing is known.
func (s subject) shiftSets() []shiftHit {
	hits := map[flaw]offsetSet{}
	for o, by := range s.shifts {
		window := slots{s.window.from + by, s.window.to + by}
		if s.inconsistent(window) {
			continue
		}
		for _, u := range s.universes(window) {
			for c := range countings {
				for _, cutoff := range []bool{false, true} {
					v := view{fates: u.fates, cutoff: cutoff, counting: c}
					if !s.numberFits(batchSide, v.number(s.groups, window)) {
						continue
					}
					for _, t := range s.transformsOf(batchSide, true) {
						if s.reproduces(batchSide, window, v, t) {
							f := shiftedBatch | u.flaw | transforms[batchSide][t]
							if c != countIDs {
								f |= duplicatesBatch
							}
							if cutoff {
								f |= lateBatch
							}
							hits[f] |= 1 << o
						}
					}
				}
			}
		}
	}
	var out []shiftHit
	for _, f := range sortedFlaws(hits) {
		out = append(out, shiftHit{f, hits[f]})
	}
	return out
}

// numberFits is false of a number of events that is not what a side has: what most
// hypotheses fail by, and the cheapest to know.
func (s subject) numberFits(side int, n int64) bool {
	has := s.sides[side]
	if n == 0 || !has.present {
		return n == 0 && !has.present
	}
	for i, m := range s.rules {
		if m.merge == mergeCount && !m.same(has.values[i], whole(n)) {
			return false
		}
	}
	return true
}

func sortedFlaws(m map[flaw]offsetSet) []flaw {
	var out []flaw
	for f := range m {
		out = append(out, f)
	}
	slices.Sort(out)
	return out
}

func (s subject) inconsistent(window slots) bool {
	return slices.ContainsFunc(s.groups, func(g eventGroup) bool { return window.holds(g.slot) && g.inconsistent > 0 })
}

func (s subject) facts() facts {
	n := func(v view) int64 { return v.number(s.groups, s.window) }
	all := n(view{fates: onStream})
	return facts{
		events:      all,
		afterCutoff: all - n(view{fates: onStream, cutoff: true}),
		repeats:     n(view{fates: onStream, counting: countDeliveries}) - all,
		late:        all - n(view{fates: aggregated}),
		undelivered: n(view{fates: onStream | 1<<undelivered}) - all,
		lost:        n(view{fates: onStream | 1<<lost}) - all,
	}
}

// conclude says why a key differs: by what holds for it, by what holds for its forms
// taken for one key, and by the shift that its day shows.
func (f finding) conclude(forms *finding, day *shiftFound, unverified bool) (sets []flaw, cause, status string) {
	var weak flaw
	sets = slices.Clone(f.sets)
	if forms != nil {
		for _, s := range forms.sets {
			sets = append(sets, s|keyForm)
		}
		if forms.exact {
			sets = append(sets, keyForm)
		}
	}
	// A shift that most keys of the day show may be what happened to this one, whatever
	// else holds for it.
	if day != nil {
		for _, h := range f.shifts {
			if h.offsets&day.offsets != 0 {
				sets = append(sets, h.flaws)
			}
		}
		if !day.proven {
			weak = shiftedBatch
		}
	}
	if unverified {
		weak = allFlaws
	}
	sets = minimalSets(sets)
	cause, status = causeOf(sets, weak)
	return sets, cause, status
}
