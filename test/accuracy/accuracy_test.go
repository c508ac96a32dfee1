package main

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/demo/flights"
)

var monday = time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)

func everything(*delivery) bool { return true }

func TestCount(t *testing.T) {
	all := []delivery{
		{event: "a", message: "1", position: "p1", delay: 1, miles: 10},
		{event: "a", message: "2", position: "p1", delay: 1, miles: 10}, // published twice
		{event: "a", message: "3", position: "p2", delay: 1, miles: 10}, // sent twice
		{event: "b", message: "4", position: "p3", delay: 5, miles: 50},
	}
	for by, want := range map[int]sums{
		byEvent:    {2, 6, 60, 50, 16_090_000 + 80_470_000},
		byRecord:   {3, 7, 70, 50, 2*16_090_000 + 80_470_000},
		byDelivery: {4, 8, 80, 50, 3*16_090_000 + 80_470_000},
	} {
		if got := count(all, everything, by, 10_000); got != want {
			t.Errorf("by %d: %+v, want %+v", by, got, want)
		}
	}
	if got := count(all, func(*delivery) bool { return false }, byEvent, 1); got.n != 0 {
		t.Errorf("nothing seen is %+v", got)
	}
}

func TestTypes(t *testing.T) {
	s := sums{n: 2, miles: 1, most: 1} // 1.609344
	if diff := cmp.Diff([]int64{1_610_000, 1_610_000, 1_600_000, 0}, s.rounded(kilometres, 10_000)); diff != "" {
		t.Errorf("rounded (-want +got):\n%s", diff)
	}
	if got := s.rounded(kilometres, 1); got != nil {
		t.Errorf("what is not rounded may be %v", got)
	}
	tie := sums{n: 1, miles: 3, most: 3} // 4.828032 in units of 3.218688: a half more than one
	if diff := cmp.Diff([]int64{6_437_376, 6_437_376, 3_218_688}, tie.rounded(longest, 2*millionthsOfKm)); diff != "" {
		t.Errorf("a tie, rounded (-want +got):\n%s", diff)
	}
	texts := func(s sums, c column) (out []string) {
		for _, x := range s.overflows(c) {
			out = append(out, x.String())
		}
		return out
	}
	for _, tt := range []struct {
		delay int64
		want  []string
	}{
		{35, nil}, // 2,100,000,000
		{36, []string{"-2134967296", "2147483647"}}, // still fits without a sign
		{72, []string{"25032704", "2147483647", "25032704", "4294967295"}},
		{-36, []string{"2134967296", "-2147483648"}},
	} {
		if diff := cmp.Diff(tt.want, texts(sums{delay: tt.delay}, delayMicros)); diff != "" {
			t.Errorf("%d minutes (-want +got):\n%s", tt.delay, diff)
		}
	}
	pm := sums{miles: 6000}
	if got := pm.value(picometres).String(); got != "9656064000000000000" {
		t.Errorf("6000 miles are %s pm", got)
	}
	if got := texts(pm, picometres); !slices.Contains(got, "-8790680073709551616") || !slices.Contains(got, "9223372036854775807") {
		t.Errorf("in 64 bits: %v", got)
	}
}

// has is a side's values.
func has(n, delay, miles int64) values {
	v := values{present: true}
	for c := range columns {
		v.of[c] = sums{n, delay, miles, miles, 0}.value(c)
	}
	return v
}

func TestExplanations(t *testing.T) {
	end := monday.Add(window)
	cut := end.Add(cutoff)
	in, after := cut.Add(-time.Minute), cut.Add(time.Minute)
	load := cut.Add(-30 * time.Second)
	one := func(fate string, arrived time.Time) []delivery {
		return []delivery{{event: "a", message: "1", position: "p1", arrived: in, fate: counted, delay: 1, miles: 10},
			{event: "b", message: "2", position: "p2", arrived: arrived, fate: fate, delay: 5, miles: 50}}
	}
	small, large := has(1, 1, 10), has(2, 6, 60)
	late := has(2, 6, 60)
	late.of[delayMicros] = big.NewInt(360_000_001)
	tests := []struct {
		name          string
		deliveries    []delivery
		batch, stream values
		want          []flaw
	}{
		{"both right", one(counted, in), large, large, []flaw{0}},
		{"late in the batch", one(counted, after), small, large, []flaw{lateBatch, restatedBatch}}, // the load was earlier still
		{"restated", one(counted, load.Add(time.Second)), small, large, []flaw{restatedBatch}},
		{"at the load, not after it", one(counted, load), small, large, nil},
		{"late in the stream", one(tooLate, in), large, small, []flaw{lateStream}},
		{"dead letter", one(undelivered, in), large, small, []flaw{droppedByBridge}},
		{"cut", one(lost, in), large, small, []flaw{cutByDrain}},
		{"one unit off", one(counted, after), has(1, 2, 10), large, nil},
		{"one unit off in a larger type", one(counted, in), late, large, nil},
		{"a row that is not there", one(counted, in), values{}, large, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := scope{deliveries: tt.deliveries, end: end, loads: []time.Time{load}, units: [2]int64{1, 1}}
			m := metrics{flightCount, delaySum, distanceSum, delayMicros}
			if diff := cmp.Diff(tt.want, k.explanations(tt.batch, tt.stream, m)); diff != "" {
				t.Errorf("explanations (-want +got):\n%s", diff)
			}
		})
	}
}

// TestInject: what was done to a key is a set that reproduces it, or a part of it is,
// for some of what was done may make no difference; to a near miss nothing fits in some
// comparison, and nothing in any that was not done.
func TestInject(t *testing.T) {
	fs := flightsOf(t)
	misses, flaws := map[string]int{}, map[flaw]int{}
	for seed := range uint64(4) {
		k, _ := inject(fs, seed)
		fits := map[key]bool{}
		for _, c := range comparisons {
			for at, want := range k.expect(c.metrics) {
				f := k.entries[at].fate
				fits[at] = fits[at] || len(want.sets) == 0
				done := slices.ContainsFunc(want.sets, func(s flaw) bool { return s.part(f.flaws) })
				// By a count alone a day may show no shift.
				if !done && (f.miss == "" && (len(c.metrics) > 1 || !f.flaws.has(shiftedBatch)) || want.status == proven) {
					t.Fatalf("seed %d, %q %s by %s: %s, want something of %s", seed, at.origin, at.start, c.name, want, f)
				}
				for _, one := range named(want.sets).each() {
					flaws[one]++
				}
			}
		}
		if 100*k.untold > len(k.keys) {
			t.Errorf("seed %d: %d draws of %d keys cannot be told", seed, k.untold, len(k.keys))
		}
		for at, unfit := range fits {
			if unfit {
				misses[k.entries[at].fate.miss]++
			}
		}
	}
	for _, m := range keyMisses {
		if misses[m.miss] < 10 {
			t.Errorf("%d keys with the miss %q", misses[m.miss], m.miss)
		}
	}
	for _, m := range []string{missWindow, missOffset, missFew} {
		if misses[m] < 10 {
			t.Errorf("%d keys with the miss %q", misses[m], m)
		}
	}
	for _, n := range flawNames {
		if flaws[n.flaw] < 30 {
			t.Errorf("%d keys with %s", flaws[n.flaw], n.name)
		}
	}
}

// flightsOf are the flights of a week from a few airports.
func flightsOf(t *testing.T) []flights.Flight {
	t.Helper()
	fs, err := read("")
	if err != nil {
		t.Fatal(err)
	}
	return sample(fs, 1200, rand.New(rand.NewPCG(7, 7)))
}

// TestGrade: what is wrong is seen.
func TestGrade(t *testing.T) {
	at := key{"ORD", monday}
	end := monday.Add(window)
	base := scope{deliveries: []delivery{{event: "a", message: "1", position: "p", at: monday, arrived: end.Add(cutoff + time.Minute), fate: counted, delay: 1, miles: 1}}, end: end, units: [2]int64{1, 1}}
	late := &entry{scope: base, stream: has(1, 1, 1), fate: fate{flaws: lateBatch}}
	other := &entry{scope: base, stream: has(1, 1, 1), fate: fate{flaws: droppedByBridge}}
	miss := &entry{scope: base, stream: has(2, 1, 1), fate: fate{lateBatch, missEvent}}
	tests := []struct {
		name        string
		entry       *entry
		found       map[key]attribution
		falseProven int
		missed      int
		madeUp      int
		right       bool
	}{
		{"right", late, map[key]attribution{at: {"late_dropped_by_batch", proven}}, 0, 0, 0, true},
		{"missed", late, map[key]attribution{at: {"unexplained", unexplained}}, 0, 1, 0, false},
		{"only likely", late, map[key]attribution{at: {"duplicates_in_batch or late_dropped_by_batch", likely}}, 0, 1, 1, false},
		{"another one proven", late, map[key]attribution{at: {"duplicates_in_stream", proven}}, 1, 1, 0, false},
		{"a near miss proven", miss, map[key]attribution{at: {"late_dropped_by_batch", proven}}, 1, 0, 1, false},
		{"a near miss unexplained", miss, map[key]attribution{at: {"unexplained", unexplained}}, 0, 0, 0, true},
		{"what fits and was not done is proven", other, map[key]attribution{at: {"late_dropped_by_batch", proven}}, 1, 0, 1, false},
		{"a difference that is not seen", late, map[key]attribution{}, 0, 0, 0, false},
		{"a difference that is not there", &entry{scope: base}, map[key]attribution{at: {"late_dropped_by_batch", proven}}, 0, 0, 0, false},
		{"a cause that is none", late, map[key]attribution{at: {"bad_luck", likely}}, 0, 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := grade("x", metrics{flightCount}, &keyed{keys: []key{at}, entries: map[key]*entry{at: tt.entry}}, tt.found)
			i := slices.IndexFunc(g.Causes, func(c causeGrade) bool { return c.Cause == lateBatch.String() })
			c := g.Causes[i]
			if g.FalseProven != tt.falseProven || c.Missed != tt.missed || c.MadeUp != tt.madeUp || (len(g.Wrong) == 0) != tt.right {
				t.Errorf("false proven %d, missed %d, made up %d, wrong %q", g.FalseProven, c.Missed, c.MadeUp, g.Wrong)
			}
			if g.OK {
				t.Error("it is called good, though most causes have no key")
			}
		})
	}
}
