package compare

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// delivery is one delivery of an event in the model world of these tests.
type delivery struct {
	event    string
	position string
	inTime   bool // arrived before the batch cut-off
	late     bool // is in the stream's late table
	value    int64
	fate     fate // undelivered or lost; else late says
	loads    int  // batch loads that had ended when it arrived
	slot     int64
}

func (d delivery) fared() fate {
	if d.late {
		return tooLate
	}
	return d.fate
}

// seenThrough computes, straight from the definition, what a side has that
// drops late deliveries or counts duplicates. It shares nothing with the code
// under test.
func seenThrough(ds []delivery, keep func(delivery) bool, c counting) (n int64, sum *big.Rat, low *big.Rat) {
	seen := map[string]bool{}
	for i, d := range ds {
		if !keep(d) {
			continue
		}
		id := map[counting]string{countIDs: d.event, countRecords: d.event + "/" + d.position, countDeliveries: fmt.Sprint(i)}[c]
		if seen[id] {
			continue
		}
		seen[id] = true
		n++
		if sum == nil {
			sum = new(big.Rat)
		}
		sum.Add(sum, whole(d.value))
		if low == nil || low.Cmp(whole(d.value)) > 0 {
			low = whole(d.value)
		}
	}
	return n, sum, low
}

// An event set is a subset of the deliveries of a key's events.
type eventSet int

const (
	setAll    eventSet = iota // every delivery
	setCutoff                 // those whose report arrived at or before the batch cut-off
	setOnTime                 // those that are not in the late table
	eventSets
)

var keeps = [eventSets]func(delivery) bool{
	setAll:    func(d delivery) bool { return d.fared() <= tooLate },
	setCutoff: func(d delivery) bool { return d.fared() <= tooLate && d.inTime },
	setOnTime: func(d delivery) bool { return d.fared() == counted },
}

// testRules are those of a count, a sum and a minimum.
var testRules = []metricRule{
	{name: "n", merge: mergeCount, places: [2]int{-1, -1}},
	{name: "sum", merge: mergeSum, places: [2]int{-1, -1}},
	{name: "low", merge: mergeMin, places: [2]int{-1, -1}},
}

// groupsOf is what the evidence query would say of deliveries; values are those of an
// event, after its number.
func groupsOf(ds []delivery, values func(delivery) []*big.Rat) []eventGroup {
	byEvent := map[string]int{}
	positions := map[string]int{}
	var groups []eventGroup
	for _, d := range ds {
		i, ok := byEvent[d.event]
		if !ok {
			i = len(groups)
			byEvent[d.event] = i
			g := eventGroup{slot: d.slot, n: 1, values: []metricParts{{}}}
			for _, v := range values(d) {
				g.values = append(g.values, metricParts{value: v, rounded: [2]*big.Rat{v, v}})
			}
			groups = append(groups, g)
		}
		at := d.event + "/" + d.position
		r, ok := positions[at]
		if !ok {
			r = len(groups[i].records)
			positions[at] = r
			arrival := int64(1)
			if !d.inTime {
				arrival = 1000
			}
			groups[i].records = append(groups[i].records, recordSign{arrival: arrival, loads: d.loads})
		}
		groups[i].records[r].of[d.fared()]++
	}
	slices.SortStableFunc(groups, func(a, b eventGroup) int { return int(a.slot - b.slot) })
	return groups
}

func oneValue(d delivery) []*big.Rat { return []*big.Rat{whole(d.value), whole(d.value)} }

func subjectOf(ds []delivery, batch, stream sideValue) subject {
	return subject{rules: testRules, sides: [2]sideValue{batch, stream}, groups: groupsOf(ds, oneValue), window: slots{0, 1}}
}

// causeFor attributes a cause to a key by itself.
func causeFor(s subject) (cause, status string) {
	_, cause, status = s.attribute().conclude(nil, nil, false)
	return cause, status
}

func sideOf(ds []delivery, s eventSet, c counting) sideValue {
	n, sum, low := seenThrough(ds, keeps[s], c)
	if n == 0 {
		return sideValue{values: []*big.Rat{nil, nil, nil}}
	}
	return sideValue{true, []*big.Rat{whole(n), sum, low}}
}

// Events for the table: a plain one, one whose report came after the cut-off,
// one that its producer sent twice, one that was published twice, and one that
// the stream had to drop.
var (
	onTime    = delivered("a", "p1", true, false, 10)
	after     = delivered("b", "p2", false, false, 7)
	sentTwice = []delivery{delivered("c", "p3", true, false, 5), delivered("c", "p4", true, false, 5)}
	published = []delivery{delivered("d", "p5", true, false, 3), delivered("d", "p5", true, false, 3)}
	dropped   = delivered("e", "p6", true, true, 2)
)

func delivered(event, position string, inTime, late bool, value int64) delivery {
	return delivery{event: event, position: position, inTime: inTime, late: late, value: value}
}

func deliveries(parts ...any) []delivery {
	var out []delivery
	for _, p := range parts {
		switch p := p.(type) {
		case delivery:
			out = append(out, p)
		case []delivery:
			out = append(out, p...)
		}
	}
	return out
}

func TestAttribute(t *testing.T) {
	values := func(n, sum, low int64) sideValue {
		return sideValue{true, []*big.Rat{whole(n), whole(sum), whole(low)}}
	}
	gone := sideValue{values: []*big.Rat{nil, nil, nil}}
	twiceAndLate := []delivery{delivered("a", "p1", true, true, 4), delivered("a", "p2", true, false, 4), delivered("z", "p3", true, true, 4)}
	tests := []struct {
		name          string
		ds            []delivery
		batch, stream sideValue
		cause, status string
	}{
		{"late dropped by batch", deliveries(onTime, after), values(1, 10, 10), values(2, 17, 7), "late_dropped_by_batch", Proven},
		{"extra key: all reports were late", deliveries(after), gone, values(1, 7, 7), "late_dropped_by_batch", Proven},
		{"records counted twice in batch", deliveries(onTime, sentTwice, published), values(4, 23, 3), values(3, 18, 3), "duplicates_in_batch", Proven},
		{"deliveries counted twice in batch", deliveries(onTime, sentTwice, published), values(5, 26, 3), values(3, 18, 3), "duplicates_in_batch", Proven},
		{"records counted twice in stream", deliveries(onTime, sentTwice, published), values(3, 18, 3), values(4, 23, 3), "duplicates_in_stream", Proven},
		{"deliveries counted twice in stream", deliveries(onTime, published), values(2, 13, 3), values(3, 16, 3), "duplicates_in_stream", Proven},
		{"late dropped by stream", deliveries(onTime, dropped), values(2, 12, 2), values(1, 10, 10), "late_dropped_by_stream", Proven},
		{"missing key: stream dropped all", deliveries(dropped), values(1, 2, 2), gone, "late_dropped_by_stream", Proven},
		{"both flaws on the batch side", deliveries(onTime, after, sentTwice), values(3, 20, 5), values(3, 22, 5), "late_dropped_by_batch + duplicates_in_batch", Proven},
		{"both flaws on the stream side", deliveries(onTime, sentTwice, dropped), values(3, 17, 2), values(3, 20, 5), "late_dropped_by_stream + duplicates_in_stream", Proven},
		{"late in batch, duplicates in stream", deliveries(onTime, after, sentTwice), values(2, 15, 5), values(4, 27, 5), "late_dropped_by_batch + duplicates_in_stream", Proven},
		{"duplicates in both, of different kinds", deliveries(onTime, sentTwice, published), values(4, 23, 3), values(5, 26, 3), "duplicates_in_batch + duplicates_in_stream", Proven},
		{"all four flaws", deliveries(onTime, after, sentTwice, published, dropped), values(5, 25, 2), values(6, 33, 3),
			"late_dropped_by_batch + duplicates_in_batch + late_dropped_by_stream + duplicates_in_stream", Proven},
		{"an event late once and counted once", twiceAndLate, values(3, 12, 4), values(1, 4, 4), "duplicates_in_batch + late_dropped_by_stream", Proven},
		{"the difference equals the duplicates, but not the values", deliveries(onTime, after, sentTwice), values(2, 12, 5), values(3, 22, 5), Unexplained, Unexplained},
		{"count fits, sum does not", deliveries(onTime, after), values(1, 11, 10), values(2, 17, 7), Unexplained, Unexplained},
		{"one side fits, the other not", deliveries(onTime, after), values(1, 10, 10), values(2, 18, 7), Unexplained, Unexplained},
		{"a row of zeros is not an absent row", deliveries(after), values(0, 0, 0), values(1, 7, 7), Unexplained, Unexplained},
		{"NULL is not zero", deliveries(onTime), sideValue{true, []*big.Rat{whole(1), nil, nil}}, values(1, 10, 10), Unexplained, Unexplained},
		{"no events at all", nil, values(1, 1, 1), gone, Unexplained, Unexplained},
		{"nothing is wrong with either value", deliveries(onTime), values(1, 10, 10), values(1, 10, 10), Unexplained, Unexplained},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cause, status := causeFor(subjectOf(tt.ds, tt.batch, tt.stream))
			if cause != tt.cause || status != tt.status {
				t.Errorf("attribute = %s, %s; want %s, %s", cause, status, tt.cause, tt.status)
			}
		})
	}

	t.Run("several sets fit: likely", func(t *testing.T) {
		// One sum alone cannot tell a dropped -5 from a +5 counted twice.
		ds := []delivery{delivered("a", "p1", true, false, 5), delivered("a", "p2", true, false, 5), delivered("b", "p3", false, false, -5)}
		one := func(n int64) sideValue { return sideValue{true, []*big.Rat{nil, whole(n)}} }
		s := subjectOf(ds, one(5), one(0))
		s.rules = slices.Clone(testRules[:2])
		s.rules[0].merge = mergeUnknown
		cause, status := causeFor(s)
		if want := "duplicates_in_batch or late_dropped_by_batch"; cause != want || status != Likely {
			t.Errorf("attribute = %s, %s; want %s, likely", cause, status, want)
		}
	})

	t.Run("deliveries of one event disagree: nothing is proven", func(t *testing.T) {
		s := subjectOf(deliveries(onTime, after), values(1, 10, 10), values(2, 17, 7))
		s.groups[1].inconsistent = 1
		if cause, status := causeFor(s); status != Unexplained || cause != Unexplained {
			t.Errorf("attribute = %s, %s; want unexplained", cause, status)
		}
	})
}

func drawDeliveries(t *rapid.T) []delivery {
	var ds []delivery
	offset := 0
	for e := range rapid.IntRange(1, 6).Draw(t, "events") {
		value := rapid.Int64Range(-3, 3).Draw(t, "value")
		for range rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "records") {
			offset++
			inTime := rapid.Bool().Draw(t, "inTime")
			for range rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "deliveries") {
				ds = append(ds, delivered(fmt.Sprint("e", e), fmt.Sprint("p", offset), inTime, rapid.Bool().Draw(t, "late"), value))
			}
		}
	}
	return ds
}

// way is how a side may have come to its value, flawed or not.
type way struct {
	flaws    flaw
	set      eventSet
	counting counting
}

func ways(late flaw, lateSet eventSet, duplicates flaw) []way {
	return []way{{0, setAll, countIDs}, {late, lateSet, countIDs},
		{duplicates, setAll, countRecords}, {duplicates, setAll, countDeliveries},
		{late | duplicates, lateSet, countRecords}, {late | duplicates, lateSet, countDeliveries}}
}

var (
	batchWays  = ways(lateBatch, setCutoff, duplicatesBatch)
	streamWays = ways(lateStream, setOnTime, duplicatesStream)
)

func sameSide(a, b sideValue) bool {
	return a.present == b.present && slices.EqualFunc(a.values, b.values, testRules[1].same)
}

// fitting lists, by brute force and from the definition, every flaw set that
// reproduces both sides.
func fitting(ds []delivery, batch, stream sideValue) []flaw {
	var fit []flaw
	for _, b := range batchWays {
		for _, s := range streamWays {
			if sameSide(sideOf(ds, b.set, b.counting), batch) && sameSide(sideOf(ds, s.set, s.counting), stream) {
				fit = append(fit, b.flaws|s.flaws)
			}
		}
	}
	return fit
}

func flawsOf(cause string) flaw {
	var f flaw
	for _, name := range strings.Split(cause, " + ") {
		for _, n := range flawNames {
			if n.name == name {
				f |= n.flaw
			}
		}
	}
	return f
}

// Whatever flaws made the two sides, they are found, and nothing else is ever
// called proven.
func TestAttributeFindsWhatHappened(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ds := drawDeliveries(t)
		b := rapid.SampledFrom(batchWays).Draw(t, "batch")
		s := rapid.SampledFrom(streamWays).Draw(t, "stream")
		batch, stream := sideOf(ds, b.set, b.counting), sideOf(ds, s.set, s.counting)
		if sameSide(batch, stream) {
			return // exact, whatever happened
		}
		did := b.flaws | s.flaws
		cause, status := causeFor(subjectOf(ds, batch, stream))
		switch status {
		case Proven:
			if f := flawsOf(cause); f&^did != 0 || f == 0 {
				t.Fatalf("%s is called proven, but what happened was %s", cause, did)
			}
		case Likely:
			found := slices.ContainsFunc(strings.Split(cause, " or "), func(c string) bool { return flawsOf(c)&^did == 0 })
			if !found {
				t.Fatalf("none of %s happened, but %s", cause, did)
			}
		default:
			t.Fatalf("unexplained, but what happened was %s", did)
		}
		if did&(did-1) == 0 && !strings.Contains(cause, did.String()) {
			t.Fatalf("the one flaw %s is not named by %s", did, cause)
		}
	})
}

// With sides that anything may have happened to, proven means: all sets that
// fit contain the one that is named, and it fits.
func TestAttributeProvesNothingWrongly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ds := drawDeliveries(t)
		draw := func(name string, all []way) sideValue {
			w := rapid.SampledFrom(all).Draw(t, name)
			side := sideOf(ds, w.set, w.counting)
			if side.present && rapid.Bool().Draw(t, "corrupt "+name) {
				i := rapid.IntRange(0, len(side.values)-1).Draw(t, "metric")
				side.values[i] = new(big.Rat).Add(side.values[i], whole(rapid.Int64Range(-2, 2).Draw(t, "by")))
			}
			return side
		}
		batch, stream := draw("batch", batchWays), draw("stream", streamWays)
		fit := fitting(ds, batch, stream)
		cause, status := causeFor(subjectOf(ds, batch, stream))
		switch {
		case status == Proven:
			f := flawsOf(cause)
			if !slices.Contains(fit, f) {
				t.Fatalf("%s is called proven and does not fit; %v do", cause, fit)
			}
			for _, other := range fit {
				if other&f != f {
					t.Fatalf("%s is called proven, but %s fits without it", cause, other)
				}
			}
		case status == Likely:
			for _, c := range strings.Split(cause, " or ") {
				if !slices.Contains(fit, flawsOf(c)) {
					t.Fatalf("%s is called likely and does not fit", c)
				}
			}
		case len(fit) > 0 && !slices.Contains(fit, 0):
			t.Fatalf("unexplained, but %v fit", fit)
		}
	})
}
