package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/kappa-migrate/kappa/internal/demo/flights"
)

const (
	window = time.Hour
	cutoff = 2 * time.Hour // how long after a window's end the batch layer takes reports
)

// place is a compared key.
type place struct {
	origin string
	start  time.Time
}

// fate is what is done to a key.
type fate struct {
	flaws []flaw
	miss  string // how the evidence is off; empty: it is right
}

func (f fate) String() string {
	s := name(f.flaws)
	if s == "" {
		s = "none"
	}
	if f.miss != "" {
		s += ", " + f.miss
	}
	return s
}

// Near misses: one event or one unit away from a cause that fits.
const (
	missEvent  = "one event more on a side"
	missUnit   = "one unit off in a sum"
	missCutoff = "evidence of a late event at the cut-off, not after it"
	missRaw    = "one raw event not there"
)

var misses = []string{missEvent, missUnit, missCutoff, missRaw}

// draw is a fate by chance: a third of the keys has none, and all others differ in
// one of the ways equally often.
func draw(r *rand.Rand) fate {
	all := append(slices.Clone(batchFlaws), streamFlaws...)
	switch n := r.IntN(12); {
	case n < 4:
		return fate{}
	case n < 8:
		return fate{flaws: []flaw{all[r.IntN(len(all))]}}
	case n < 10:
		sets := slices.DeleteFunc(subsets(all), func(s []flaw) bool { return len(s) < 2 || len(s) > 4 })
		return fate{flaws: sets[r.IntN(len(sets))]}
	default:
		return fate{flaws: []flaw{all[r.IntN(len(all))]}, miss: misses[r.IntN(len(misses))]}
	}
}

// injector makes worlds of flights.
type injector struct {
	rand *rand.Rand
	next int // number of the next record
}

// record adds a record of an event, as messages.
func (in *injector) record(w *world, f flights.Flight, event, fate string, arrived time.Time, messages int) {
	in.next++
	for m := range messages {
		w.deliveries = append(w.deliveries, delivery{event: event, message: fmt.Sprintf("m%d-%d", in.next, m), position: fmt.Sprintf("c/flights/0/%d", in.next),
			arrived: arrived, fate: fate, delay: int64(f.Delay), distance: int64(f.Distance)})
	}
}

// arrival is a time before the cut-off, or after it.
func (in *injector) arrival(start time.Time, late bool) time.Time {
	end := start.Add(window + cutoff)
	if late {
		return end.Add(time.Duration(1+in.rand.IntN(86_400_000)) * time.Millisecond)
	}
	return end.Add(-time.Duration(in.rand.IntN(7_200_000)) * time.Millisecond)
}

// make lets the flights of a key have their fate. It reports false where the key
// cannot have it, or where chance made a near miss fit after all.
func (in *injector) make(at place, ids []string, fs []flights.Flight, f fate) (*world, bool) {
	w := &world{cutoff: at.start.Add(window + cutoff)}
	has := func(x flaw) bool { return slices.Contains(f.flaws, x) }
	some := func() map[int]bool { // of the flights: at least one, seldom all
		out := map[int]bool{in.rand.IntN(len(fs)): true}
		for i := range fs {
			if in.rand.IntN(8) == 0 {
				out[i] = true
			}
		}
		return out
	}
	lateIn, dropped, twice, again, dead, gone := some(), some(), some(), some(), some(), some()
	for i := range fs {
		late := has(lateBatch) && lateIn[i]
		fate := fateOf(has(droppedByBridge) && dead[i], has(cutByDrain) && gone[i], has(lateStream) && dropped[i])
		if fate == undelivered || fate == lost {
			in.record(w, fs[i], ids[i], fate, in.arrival(at.start, late), 1)
			continue
		}
		messages := 1
		if has(duplicatesStream) && again[i] || in.rand.IntN(40) == 0 {
			messages = 2
		}
		in.record(w, fs[i], ids[i], fate, in.arrival(at.start, late), messages)
		if has(duplicatesBatch) && twice[i] || in.rand.IntN(40) == 0 {
			in.record(w, fs[i], ids[i], fate, in.arrival(at.start, late && in.rand.IntN(2) == 0), 1)
		}
	}
	w.batch = in.pick(side(w.deliveries, w.cutoff, only(f.flaws, batchFlaws)))
	w.stream = in.pick(side(w.deliveries, w.cutoff, only(f.flaws, streamFlaws)))
	if f.miss != "" && !in.miss(w, f) {
		return nil, false
	}
	return w, w.batch.present || w.stream.present
}

// fateOf is what becomes of an event that several things could happen to.
func fateOf(dead, gone, late bool) string {
	switch {
	case dead:
		return undelivered
	case gone:
		return lost
	case late:
		return tooLate
	}
	return counted
}

func (in *injector) pick(v []values) values { return v[in.rand.IntN(len(v))] }

func only(set, of []flaw) []flaw {
	return slices.DeleteFunc(slices.Clone(set), func(f flaw) bool { return !slices.Contains(of, f) })
}

// miss puts the evidence off by one.
func (in *injector) miss(w *world, f fate) bool {
	off := &w.batch
	if in.rand.IntN(2) == 0 {
		off = &w.stream
	}
	switch f.miss {
	case missEvent:
		d := w.deliveries[in.rand.IntN(len(w.deliveries))]
		*off = values{true, off.flights + 1, off.delay + d.delay, off.distance + d.distance}
	case missUnit:
		if !off.present {
			return false
		}
		switch in.rand.IntN(3) {
		case 0:
			off.delay++
		case 1:
			off.distance--
		default:
			off.delay, off.distance = off.delay-1, off.distance+1
		}
	case missCutoff:
		i := slices.IndexFunc(w.deliveries, func(d delivery) bool { return d.arrived.After(w.cutoff) })
		if i < 0 {
			return false
		}
		w.deliveries[i].arrived = w.cutoff // at the cut-off is in time
	case missRaw:
		i := in.rand.IntN(len(w.deliveries))
		event := w.deliveries[i].event
		w.deliveries = slices.DeleteFunc(w.deliveries, func(d delivery) bool { return d.event == event })
	}
	// For both comparisons: what fits by fewer metrics would be no miss there.
	return len(w.explanations(metrics{sums: true})) == 0
}
