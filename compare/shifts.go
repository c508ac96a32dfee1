package compare

import (
	"fmt"
	"slices"
	"time"
)

// This file looks for shifts of time zones and of the boundaries of days. It does no
// I/O.
//
// One key alone proves no shift: of 50 offsets some fit by coincidence. A shift is
// looked for where most keys differ, and it must reproduce most of those that differ on
// a day; an offset is proven only if it is the only such one, by at least three keys, and
// if those that tell it from another one speak for it: where small numbers are equal by
// coincidence, they speak for several.

// maxOffset is how far clocks are from UTC at most.
const maxOffset = 14 * time.Hour

// shiftStep divides all offsets of zones.
const shiftStep = 15 * time.Minute

// leastVotes is how many keys must agree on an offset that is proven.
const leastVotes = 3

// shiftOffsets are how much later than the window's events those may have happened
// that the batch side has for it: first the zoneOffsets, whole hours and what zones use
// beside them, in either direction; then the half hours that none uses, against which
// an offset must stand.
var shiftOffsets, zoneOffsets = func() (out []time.Duration, zones int) {
	for h := -14; h <= 14; h++ {
		if h != 0 {
			out = append(out, time.Duration(h)*time.Hour)
		}
	}
	for _, minutes := range []int{3*60 + 30, 4*60 + 30, 5*60 + 30, 5*60 + 45, 6*60 + 30, 8*60 + 45, 9*60 + 30, 10*60 + 30, 12*60 + 45} {
		out = append(out, time.Duration(minutes)*time.Minute, -time.Duration(minutes)*time.Minute)
	}
	zones = len(out)
	for d := -maxOffset; d <= maxOffset; d += 30 * time.Minute {
		if d != 0 && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out, zones
}()

// offsetSet is a set of shiftOffsets, by bit.
type offsetSet uint64

func (s offsetSet) has(o int) bool { return s&(1<<o) != 0 }

// shiftHit is a flaw set that holds if the batch side is shifted by one of the offsets.
type shiftHit struct {
	flaws   flaw // shiftedBatch among them
	offsets offsetSet
}

// shiftFound is what the differing keys of a day say.
type shiftFound struct {
	offsets offsetSet // those that most keys fit
	proven  bool
	keys    int64 // that differ and are on the batch side
	agree   int64 // of them: fit the offset
}

// electShift decides from the keys of a day; votes has, for each of them that is
// on the batch side, the offsets that fit.
func electShift(votes []offsetSet) shiftFound {
	found := shiftFound{keys: int64(len(votes))}
	n, best := 0, 0
	for o := range zoneOffsets {
		var agree int64
		for _, v := range votes {
			if v.has(o) {
				agree++
			}
		}
		if agree*2 > found.keys {
			found.offsets |= 1 << o
			found.agree = max(found.agree, agree)
			n, best = n+1, o
		}
	}
	found.proven = n == 1 && found.agree >= leastVotes && stands(votes, best)
	return found
}

// stands reports whether an offset is told from every other one: for ten keys that it
// fits and the other does not, at most one is the other way round.
func stands(votes []offsetSet, offset int) bool {
	for o := range shiftOffsets {
		var own, others int
		for _, v := range votes {
			switch {
			case v.has(offset) && !v.has(o):
				own++
			case v.has(o) && !v.has(offset):
				others++
			}
		}
		if others*10 > own {
			return false
		}
	}
	return true
}

// offsetText writes an offset for people.
func offsetText(d time.Duration) string {
	sign := "later"
	if d < 0 {
		sign, d = "earlier", -d
	}
	if d%time.Hour == 0 {
		return fmt.Sprintf("%d h %s", d/time.Hour, sign)
	}
	return fmt.Sprintf("%d h %d min %s", d/time.Hour, d%time.Hour/time.Minute, sign)
}
