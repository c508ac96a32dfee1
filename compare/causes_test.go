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
}

// seenThrough computes, straight from the definition, what a side has that
// drops late deliveries or counts duplicates. It shares nothing with the code
// under test.
func seenThrough(ds []delivery, keep func(delivery) bool, c counting) (n int64, sum *big.Int, low *big.Int) {
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
			sum = new(big.Int)
		}
		sum.Add(sum, big.NewInt(d.value))
		if low == nil || low.Cmp(big.NewInt(d.value)) > 0 {
			low = big.NewInt(d.value)
		}
	}
	return n, sum, low
}

var keeps = [eventSets]func(delivery) bool{
	setAll:    func(delivery) bool { return true },
	setCutoff: func(d delivery) bool { return d.inTime },
	setOnTime: func(d delivery) bool { return !d.late },
}

func evidenceOf(ds []delivery) *evidence {
	if len(ds) == 0 {
		return nil
	}
	ev := &evidence{}
	for s := range eventSets {
		for c := range countings {
			n, sum, low := seenThrough(ds, keeps[s], c)
			ev.models[s][c] = modelValues{n, []*big.Int{big.NewInt(n), sum, low}}
		}
	}
	return ev
}

func sideOf(ds []delivery, s eventSet, c counting) sideValue {
	n, sum, low := seenThrough(ds, keeps[s], c)
	if n == 0 {
		return sideValue{values: []*big.Int{nil, nil, nil}}
	}
	return sideValue{true, []*big.Int{big.NewInt(n), sum, low}}
}

// Events for the table: a plain one, one whose report came after the cut-off,
// one that its producer sent twice, one that was published twice, and one that
// the stream had to drop.
var (
	onTime    = delivery{"a", "p1", true, false, 10}
	after     = delivery{"b", "p2", false, false, 7}
	sentTwice = []delivery{{"c", "p3", true, false, 5}, {"c", "p4", true, false, 5}}
	published = []delivery{{"d", "p5", true, false, 3}, {"d", "p5", true, false, 3}}
	tooLate   = delivery{"e", "p6", true, true, 2}
)

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
		return sideValue{true, []*big.Int{big.NewInt(n), big.NewInt(sum), big.NewInt(low)}}
	}
	gone := sideValue{values: []*big.Int{nil, nil, nil}}
	twiceAndLate := []delivery{{"a", "p1", true, true, 4}, {"a", "p2", true, false, 4}, {"z", "p3", true, true, 4}}
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
		{"late dropped by stream", deliveries(onTime, tooLate), values(2, 12, 2), values(1, 10, 10), "late_dropped_by_stream", Proven},
		{"missing key: stream dropped all", deliveries(tooLate), values(1, 2, 2), gone, "late_dropped_by_stream", Proven},
		{"both flaws on the batch side", deliveries(onTime, after, sentTwice), values(3, 20, 5), values(3, 22, 5), "late_dropped_by_batch + duplicates_in_batch", Proven},
		{"both flaws on the stream side", deliveries(onTime, sentTwice, tooLate), values(3, 17, 2), values(3, 20, 5), "late_dropped_by_stream + duplicates_in_stream", Proven},
		{"late in batch, duplicates in stream", deliveries(onTime, after, sentTwice), values(2, 15, 5), values(4, 27, 5), "late_dropped_by_batch + duplicates_in_stream", Proven},
		{"duplicates in both, of different kinds", deliveries(onTime, sentTwice, published), values(4, 23, 3), values(5, 26, 3), "duplicates_in_batch + duplicates_in_stream", Proven},
		{"all four flaws", deliveries(onTime, after, sentTwice, published, tooLate), values(5, 25, 2), values(6, 33, 3),
			"late_dropped_by_batch + duplicates_in_batch + late_dropped_by_stream + duplicates_in_stream", Proven},
		{"an event late once and counted once", twiceAndLate, values(3, 12, 4), values(1, 4, 4), "duplicates_in_batch + late_dropped_by_stream", Proven},
		{"the difference equals the duplicates, but not the values", deliveries(onTime, after, sentTwice), values(2, 12, 5), values(3, 22, 5), Unexplained, Unexplained},
		{"count fits, sum does not", deliveries(onTime, after), values(1, 11, 10), values(2, 17, 7), Unexplained, Unexplained},
		{"one side fits, the other not", deliveries(onTime, after), values(1, 10, 10), values(2, 18, 7), Unexplained, Unexplained},
		{"a row of zeros is not an absent row", deliveries(after), values(0, 0, 0), values(1, 7, 7), Unexplained, Unexplained},
		{"NULL is not zero", deliveries(onTime), sideValue{true, []*big.Int{big.NewInt(1), nil, nil}}, values(1, 10, 10), Unexplained, Unexplained},
		{"no events at all", nil, values(1, 1, 1), gone, Unexplained, Unexplained},
		{"nothing is wrong with either value", deliveries(onTime), values(1, 10, 10), values(1, 10, 10), Unexplained, Unexplained},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cause, status := attribute(tt.batch, tt.stream, evidenceOf(tt.ds))
			if cause != tt.cause || status != tt.status {
				t.Errorf("attribute = %s, %s; want %s, %s", cause, status, tt.cause, tt.status)
			}
		})
	}

	t.Run("several sets fit: likely", func(t *testing.T) {
		// One sum alone cannot tell a dropped -5 from a +5 counted twice.
		ds := []delivery{{"a", "p1", true, false, 5}, {"a", "p2", true, false, 5}, {"b", "p3", false, false, -5}}
		ev := evidenceOf(ds)
		for s := range eventSets {
			for c := range countings {
				ev.models[s][c].values = ev.models[s][c].values[1:2]
			}
		}
		one := func(n int64) sideValue { return sideValue{true, []*big.Int{big.NewInt(n)}} }
		cause, status := attribute(one(5), one(0), ev)
		if want := "duplicates_in_batch or late_dropped_by_batch"; cause != want || status != Likely {
			t.Errorf("attribute = %s, %s; want %s, likely", cause, status, want)
		}
	})

	t.Run("deliveries of one event disagree: nothing is proven", func(t *testing.T) {
		ev := evidenceOf(deliveries(onTime, after))
		ev.inconsistent = true
		if cause, status := attribute(values(1, 10, 10), values(2, 17, 7), ev); status != Unexplained || cause != Unexplained {
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
				ds = append(ds, delivery{fmt.Sprint("e", e), fmt.Sprint("p", offset), inTime, rapid.Bool().Draw(t, "late"), value})
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
	return a.present == b.present && slices.EqualFunc(a.values, b.values, sameValue)
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
		cause, status := attribute(batch, stream, evidenceOf(ds))
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
				side.values[i] = new(big.Int).Add(side.values[i], big.NewInt(rapid.Int64Range(-2, 2).Draw(t, "by")))
			}
			return side
		}
		batch, stream := draw("batch", batchWays), draw("stream", streamWays)
		fit := fitting(ds, batch, stream)
		cause, status := attribute(batch, stream, evidenceOf(ds))
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
