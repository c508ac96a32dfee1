package main

import (
	"math/rand/v2"
	"slices"
	"time"
)

const (
	window = time.Hour
	cutoff = 2 * time.Hour // how long after a window's end the batch layer takes reports
)

// fate is what is done to a key.
type fate struct {
	flaws flaw
	miss  string // how the evidence is off; empty: it is right
}

func (f fate) String() string {
	s := f.flaws.String()
	if s == "" {
		s = "none"
	}
	if f.miss != "" {
		s += ", " + f.miss
	}
	return s
}

// Near misses: one event, one unit, one letter or one millisecond away from a cause that
// fits.
const (
	missEvent  = "one event more on a side"
	missUnit   = "one unit off in a value"
	missCutoff = "evidence of a late event at the cut-off, not after it"
	missRaw    = "one raw event not there"
	missLoad   = "an event that came when a load ended, not after it"
	missPlaces = "rounded, though its side has all decimals elsewhere"
	missBounds = "wrapped around, though it fits"
	missForm   = "another letter, not another form"
	// Of windows and days:
	missWindow = "a window that was not loaded, but for one key"
	missOffset = "shifted, but not as clocks are apart"
	missFew    = "shifted, but of few keys of the day"
)

// keyMisses are those of single keys, and the flaw that each is of: any if it is none.
var keyMisses = []struct {
	miss string
	of   flaw
}{
	{missEvent, 0}, {missUnit, 0}, {missRaw, 0}, {missCutoff, lateBatch}, {missLoad, restatedBatch}, {missPlaces, 0}, {missBounds, 0}, {missForm, keyForm},
}

// single are the flaws that are drawn for a key by itself.
var single = []flaw{lateBatch, duplicatesBatch, restatedBatch, overflowBatch, keyForm, droppedByBridge, cutByDrain, lateStream, duplicatesStream, overflowStream}

// ofDay is what all keys of a day have in common.
type ofDay struct {
	rounds  flaw          // which sides have fewer decimals
	shifted time.Duration // how much later the batch side's events happened
	miss    string        // why this is no shift
}

// units are what each side rounds kilometres to.
func (d ofDay) units() [2]int64 {
	units := [2]int64{1, 1}
	for side, f := range []flaw{roundedBatch, roundedStream} {
		if d.rounds.has(f) {
			units[side] = 10_000 // two decimals
		}
	}
	return units
}

// drawWeek draws what seven days have in common. In every week there are all kinds.
func drawWeek(r *rand.Rand) []ofDay {
	roundings := []flaw{0, roundedBatch, roundedStream, rounded}
	week := []ofDay{{}, {}, {rounds: roundedBatch}, {rounds: roundedStream}, {rounds: rounded},
		{rounds: roundings[r.IntN(4)], shifted: offsets[r.IntN(len(offsets))]}, {shifted: offsets[r.IntN(len(offsets))], miss: missFew}}
	if r.IntN(2) == 0 {
		by := time.Duration(0)
		for by == 0 || slices.ContainsFunc(offsets, func(o time.Duration) bool { return (o - by).Abs() < 10*time.Minute }) {
			by = time.Duration(r.IntN(300)-150) * 5 * time.Minute
		}
		week[6] = ofDay{shifted: by, miss: missOffset}
	}
	r.Shuffle(len(week), func(i, j int) { week[i], week[j] = week[j], week[i] })
	return week
}

// draw is a fate by chance: of twelve keys four have none, and four one flaw, two
// several, and two are near misses.
func draw(r *rand.Rand, d ofDay) fate {
	of := slices.Clone(single)
	if d.shifted != 0 { // of a shifted side's loads and forms nothing is known
		of = []flaw{lateBatch, duplicatesBatch, overflowBatch, droppedByBridge, cutByDrain, lateStream, duplicatesStream, overflowStream}
	}
	f := fate{}
	switch n := r.IntN(12); {
	case n < 4:
	case n < 8:
		f.flaws = of[r.IntN(len(of))]
	case n < 10:
		r.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
		for _, one := range of[:2+r.IntN(3)] {
			f.flaws |= one
		}
		if f.flaws.has(restatedBatch) {
			f.flaws &^= lateBatch // what a load took is not cut off once more
		}
	default:
		all := keyMisses
		if d.shifted != 0 {
			all = keyMisses[:2]
		}
		m := all[r.IntN(len(all))]
		f = fate{m.of, m.miss}
		if f.flaws == 0 && f.miss != missPlaces && f.miss != missBounds {
			f.flaws = of[r.IntN(len(of))]
		}
	}
	f.flaws |= d.rounds
	return f
}
