package compare

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file computes what a side would have, were it made from the raw events in
// a given way. It does no I/O.

// A fate is what became of a delivery of an event.
type fate int

const (
	counted     fate = iota // read by a writer that counts
	tooLate                 // in the late table, dropped by all that read it
	undelivered             // in the dead letters: it never reached the stream
	lost                    // read only by a writer that does not count and has no successor
	fates
)

// fateSet is a set of fates, by bit.
type fateSet uint8

const (
	aggregated fateSet = 1 << counted
	onStream           = aggregated | 1<<tooLate
)

// recordSign says how the deliveries of one record fared.
type recordSign struct {
	arrival int64 // slots from the start of the event's slot to the report's arrival, less the cut-off, rounded up; at least 1
	loads   int   // batch loads that had ended when it arrived
	of      [fates]int64
}

// eventGroup is events of one key that happened in one slot of time and fared alike.
type eventGroup struct {
	slot         int64
	records      []recordSign
	n            int64
	inconsistent int64 // of them: their deliveries carry different values
	values       []metricParts
}

// metricParts are a metric's values over the events of a group: the sum, or of an
// extreme the extreme. Nil is NULL.
type metricParts struct {
	value   *big.Rat
	rounded [2]*big.Rat // sum of the values rounded as the batch and as the stream side have them
	invalid bool        // not a finite number
}

// parseSign reads what the evidence query has written of an event's records.
func parseSign(text string) ([]recordSign, error) {
	var out []recordSign
	for part := range strings.SplitSeq(text, "|") {
		fields := strings.Split(part, ".")
		if len(fields) != 2+int(fates) {
			return nil, fmt.Errorf("sign %q of an event is not understood", text)
		}
		var numbers [2 + int(fates)]int64
		for i, f := range fields {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("sign %q of an event is not understood", text)
			}
			numbers[i] = n
		}
		out = append(out, recordSign{numbers[0], int(numbers[1]), [fates]int64(numbers[2:])})
	}
	return out, nil
}

// A counting is what counts as one event.
type counting int

const (
	countIDs        counting = iota // distinct event ids
	countRecords                    // distinct positions: an event that its producer sent twice counts twice
	countDeliveries                 // distinct deliveries: one that was published twice counts twice as well
	countings
)

// view is which deliveries a side has seen, and how often it counted them.
type view struct {
	fates    fateSet
	cutoff   bool // not those that arrived after the batch cut-off
	load     int  // not those that arrived after this load, from 1; 0: no matter when
	counting counting
}

// slots is a span of slots: From inclusive, To exclusive.
type slots struct{ from, to int64 }

func (s slots) holds(slot int64) bool { return slot >= s.from && slot < s.to }

// times is how often an event of the group counts in a window.
func (v view) times(g eventGroup, window slots) int64 {
	var n int64
	for _, r := range g.records {
		if v.cutoff && g.slot+r.arrival > window.to || v.load > 0 && r.loads >= v.load {
			continue
		}
		var seen int64
		for f := range fates {
			if v.fates&(1<<f) != 0 && (f <= tooLate || r.of[counted]+r.of[tooLate] == 0) {
				seen += r.of[f]
			}
		}
		if v.counting == countDeliveries {
			n += seen
		} else {
			n += min(seen, 1)
		}
	}
	if v.counting == countIDs {
		return min(n, 1)
	}
	return n
}

// number is how many events count in a window.
func (v view) number(groups []eventGroup, window slots) int64 {
	var n int64
	for _, g := range groups {
		if window.holds(g.slot) {
			n += g.n * v.times(g, window)
		}
	}
	return n
}

// Ways in which a metric's parts merge.
type mergeKind int

const (
	mergeCount mergeKind = iota
	mergeSum
	mergeMin
	mergeMax
	mergeUnknown // made from no field of the raw events: it cannot be computed
)

// metricRule is how a metric is made from events and compared.
type metricRule struct {
	name      string
	merge     mergeKind
	nullsZero bool
	tolerance *tolerated // of floating point alone; nil: exact
	places    [2]int     // decimals that a side's values have; -1: no rounding is looked for
}

// tolerated is how far apart two values may be.
type tolerated struct{ absolute, relative *big.Rat }

func (t *tolerated) equal(a, b *big.Rat) bool {
	d := new(big.Rat).Sub(a, b)
	d.Abs(d)
	if t.absolute != nil && d.Cmp(t.absolute) <= 0 {
		return true
	}
	if t.relative == nil {
		return d.Sign() == 0
	}
	greatest := new(big.Rat).Abs(a)
	if o := new(big.Rat).Abs(b); o.Cmp(greatest) > 0 {
		greatest = o
	}
	greatest.Mul(greatest, t.relative)
	return d.Cmp(greatest.Quo(greatest, hundred)) <= 0
}

var hundred = whole(100)

func newTolerated(t jobspecs.Tolerance) *tolerated {
	var out tolerated
	if t.Absolute != "" {
		out.absolute = t.Absolute.Rat()
	}
	if t.Relative != "" {
		out.relative = t.Relative.Rat()
	}
	return &out
}

// same reports whether two values of the metric are equal.
func (m metricRule) same(a, b *big.Rat) bool {
	if m.nullsZero {
		a, b = orZero(a), orZero(b)
	}
	if m.tolerance != nil && a != nil && b != nil {
		return m.tolerance.equal(a, b)
	}
	return sameValue(a, b)
}

func sameValue(a, b *big.Rat) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Cmp(b) == 0
}

// value is the metric over the events that count in a window. rounded says that
// each event's value was rounded as that side (0 or 1) has them; -1: none was. ok is
// false if it cannot be computed.
func (m metricRule) value(i int, groups []eventGroup, window slots, v view, n int64, rounded int) (result *big.Rat, ok bool) {
	if m.merge == mergeCount {
		return whole(n), true
	}
	for _, g := range groups {
		if !window.holds(g.slot) {
			continue
		}
		times := v.times(g, window)
		if times == 0 {
			continue
		}
		part := g.values[i]
		if part.invalid {
			return nil, false
		}
		x := part.value
		if rounded >= 0 {
			x = part.rounded[rounded]
		}
		if x == nil {
			continue
		}
		switch {
		case m.merge == mergeSum:
			if times > 1 {
				x = new(big.Rat).Mul(x, whole(times))
			}
			result = orZero(result)
			result = new(big.Rat).Add(result, x)
		case result == nil || m.merge == mergeMin && x.Cmp(result) < 0 || m.merge == mergeMax && x.Cmp(result) > 0:
			result = x
		}
	}
	return result, true
}

// sideValue is what a side has for a key.
type sideValue struct {
	present bool
	values  []*big.Rat // per metric; nil is NULL
}

// A transform is what a side's types do to its values: each to some metric.
type transform uint8

const (
	rounds transform = 1 << iota
	overflows
	asIs transform = 0
)

// reproduces reports whether the events, seen through v, give what a side has.
func (s subject) reproduces(side int, window slots, v view, t transform) bool {
	has := s.sides[side]
	n := v.number(s.groups, window)
	if n == 0 || !has.present {
		return n == 0 && !has.present && t == asIs
	}
	done := asIs
	for i, m := range s.rules {
		if m.merge == mergeUnknown {
			continue
		}
		x, ok := m.value(i, s.groups, window, v, n, -1)
		if !ok {
			return false
		}
		if m.same(has.values[i], x) {
			continue
		}
		if t == asIs || x == nil || has.values[i] == nil {
			return false
		}
		switch {
		case t&overflows != 0 && overflown(x, has.values[i], m):
			done |= overflows
		case t&rounds != 0 && s.rounded(side, i, window, v, n, x):
			done |= rounds
		default:
			return false
		}
	}
	return done == t
}

// rounded reports whether a side's value is the events' value rounded: as a whole
// or event by event.
func (s subject) rounded(side, i int, window slots, v view, n int64, x *big.Rat) bool {
	m, has := s.rules[i], s.sides[side].values[i]
	places := m.places[side]
	if places < 0 || m.tolerance != nil {
		return false
	}
	if roundedTo(x, has, places) {
		return true
	}
	if m.merge != mergeSum {
		return false
	}
	each, ok := m.value(i, s.groups, window, v, n, side)
	return ok && each != nil && each.Cmp(has) == 0
}
