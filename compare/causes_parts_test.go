package compare

import (
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
)

func rat(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	return r
}

func TestRoundedTo(t *testing.T) {
	tests := []struct {
		x, has string
		places int
		want   bool
	}{
		{"1.005", "1.01", 2, true},  // half away from zero
		{"1.005", "1.00", 2, true},  // half to even, or cut off
		{"1.015", "1.02", 2, true},  // either
		{"1.014", "1.02", 2, false}, // up, which no rule does
		{"1.014", "1.01", 2, true},
		{"1.019", "1.01", 2, true}, // cut off
		{"-1.005", "-1.01", 2, true},
		{"-1.019", "-1.01", 2, true},
		{"-1.011", "-1.02", 2, false},
		{"1.25", "1.25", 2, false}, // nothing was rounded
		{"1.25", "1.26", 2, false},
		{"1.254", "1.254", 2, false}, // has more decimals than that
		{"0.4", "0", 0, true},
		{"0.5", "1", 0, true},
		{"-0.4", "0", 0, true},
		{"7", "7", 0, false},
		{"1.999", "2", 2, true},
		{"1.999", "2.01", 2, false},
	}
	for _, tt := range tests {
		if got := roundedTo(rat(tt.x), rat(tt.has), tt.places); got != tt.want {
			t.Errorf("roundedTo(%s, %s, %d) = %v", tt.x, tt.has, tt.places, got)
		}
	}
}

func TestOverflown(t *testing.T) {
	tests := []struct {
		x, has string
		want   bool
	}{
		{"2147483648", "-2147483648", true}, // 32 bits wrap
		{"2147483648", "2147483647", true},  // or stop
		{"2147483648", "2147483648", false},
		{"2147483648", "-2147483647", false}, // off by one
		{"2147483648", "2147483646", false},
		{"-2147483649", "2147483647", true},
		{"-2147483649", "-2147483648", true},
		{"4294967296", "0", true}, // unsigned, and signed
		{"4294967297", "4294967295", true},
		{"2147483647", "-2147483648", false}, // it fits
		{"9223372036854775808", "-9223372036854775808", true},
		{"9223372036854775808", "9223372036854775807", true},
		{"9223372036854775808", "0", true}, // of 32 bits
		{"18446744073709551616", "18446744073709551615", true},
		{"2147483648.5", "-2147483648", false},
		{"2147483648", "-2147483648.5", false},
	}
	for _, tt := range tests {
		if got := overflown(rat(tt.x), rat(tt.has), metricRule{merge: mergeSum}); got != tt.want {
			t.Errorf("overflown(%s, %s) = %v", tt.x, tt.has, got)
		}
	}
	if overflown(rat("2147483648"), rat("-2147483648"), metricRule{merge: mergeSum, tolerance: &tolerated{}}) {
		t.Error("floating point overflows to no other number")
	}
}

func TestElectShift(t *testing.T) {
	votes := func(sets ...offsetSet) []offsetSet { return sets }
	tests := []struct {
		name   string
		votes  []offsetSet
		want   offsetSet
		proven bool
	}{
		{"none", nil, 0, false},
		{"three keys, one offset", votes(0b10, 0b110, 0b11), 0b10, true},
		{"another offset that fits keys which this one fits too", votes(0b10, 0b110, 0b110, 0b10), 0b10, true},
		{"another offset in the place of one in ten", votes(0b10, 0b10, 0b10, 0b10, 0b10, 0b10, 0b10, 0b10, 0b10, 0b10, 0b100), 0b10, true},
		{"another offset in the place of more", votes(0b10, 0b10, 0b10, 0b10, 0b10, 0b10, 0b10, 0b10, 0b10, 0b100), 0b10, false},
		{"two keys prove nothing", votes(0b10, 0b10), 0b10, false},
		{"half of the keys is not most of them", votes(0b10, 0b10, 0b10, 0, 0, 0), 0, false},
		{"one more than half", votes(0b10, 0b10, 0b10, 0b10, 0, 0, 0), 0b10, true},
		{"two offsets", votes(0b11, 0b11, 0b11), 0b11, false},
		{"keys that fit none", votes(0, 0, 0), 0, false},
	}
	for _, tt := range tests {
		got := electShift(tt.votes)
		if got.offsets != tt.want || got.proven != tt.proven || got.keys != int64(len(tt.votes)) {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	if len(shiftOffsets) > 64 {
		t.Errorf("%d offsets do not fit into a set", len(shiftOffsets))
	}
	for _, o := range shiftOffsets {
		if o == 0 || o.Abs() > maxOffset || o%shiftStep != 0 {
			t.Errorf("offset %s", o)
		}
	}
	for d, want := range map[time.Duration]string{5 * time.Hour: "5 h later", -5*time.Hour - 45*time.Minute: "5 h 45 min earlier"} {
		if got := offsetText(d); got != want {
			t.Errorf("offsetText(%s) = %s", d, got)
		}
	}
}

func TestKeyFold(t *testing.T) {
	key := func(v ...bigquery.Value) string { return keyFold(v) }
	same := [][2]string{
		{key("ORD"), key("ord ")}, {key(nil), key("")}, {key(nil), key("  ")}, {key("Stra\u00dfe"), key("STRASSE")}, {key("a\u00a0b"), key("A  B")},
		{key("Cafe\u0301"), key("CAF\u00c9")}, {key("\ufb01n"), key("FIN")},
	}
	for _, s := range same {
		if s[0] != s[1] {
			t.Errorf("%q and %q are forms of one key", s[0], s[1])
		}
	}
	other := [][2]string{
		{key("ORD"), key("ORDX")}, {key("a", "b"), key("ab", "")}, {key("a", nil), key(nil, "a")}, {key(int64(1)), key(int64(2))},
		{key("a b"), key("ab")}, {key("1:a"), key("a")}, {key(true), key(false)}, {key(hours(1)), key(hours(2))},
	}
	for _, s := range other {
		if s[0] == s[1] {
			t.Errorf("%q is no form of another key", s[0])
		}
	}
}

func TestConclude(t *testing.T) {
	shift := func(offsets offsetSet, others ...flaw) finding {
		return finding{sets: others, shifts: []shiftHit{{shiftedBatch, offsets}}}
	}
	sure, unsure := &shiftFound{offsets: 2, proven: true}, &shiftFound{offsets: 6}
	tests := []struct {
		name       string
		own        finding
		forms      *finding
		day        *shiftFound
		unverified bool
		want       string
	}{
		{"nothing", finding{}, nil, nil, false, "unexplained: unexplained"},
		{"one", finding{sets: []flaw{lateBatch}}, nil, nil, false, "late_dropped_by_batch: proven"},
		{"several", finding{sets: []flaw{lateStream, lateBatch}}, nil, nil, false, "late_dropped_by_batch or late_dropped_by_stream: likely"},
		{"a metric that cannot be computed", finding{sets: []flaw{lateBatch}}, nil, nil, true, "late_dropped_by_batch: likely"},
		{"the day's shift", shift(2), nil, sure, false, "time_shift_in_batch: proven"},
		{"another shift", shift(1), nil, sure, false, "unexplained: unexplained"},
		{"no day's shift", shift(2), nil, nil, false, "unexplained: unexplained"},
		{"a shift that may be another", shift(2), nil, unsure, false, "time_shift_in_batch: likely"},
		{"the day's shift or something else", shift(2, lateBatch), nil, sure, false, "late_dropped_by_batch or time_shift_in_batch: likely"},
		{"what a shift puts in doubt, proven or not", shift(2, lateBatch), nil, unsure, false, "late_dropped_by_batch or time_shift_in_batch: likely"},
		{"what a shift that few keys show does not", shift(1, lateBatch), nil, unsure, false, "late_dropped_by_batch: proven"},
		{"forms of one key", finding{}, &finding{exact: true}, nil, false, "key_form: proven"},
		{"forms, and late", finding{}, &finding{sets: []flaw{lateBatch}}, nil, false, "late_dropped_by_batch + key_form: proven"},
		{"forms or not", finding{sets: []flaw{lateBatch}}, &finding{exact: true}, nil, false, "key_form or late_dropped_by_batch: likely"},
		{"late without forms is less", finding{sets: []flaw{lateBatch}}, &finding{sets: []flaw{lateBatch}}, nil, false, "late_dropped_by_batch: proven"},
	}
	for _, tt := range tests {
		_, cause, status := tt.own.conclude(tt.forms, tt.day, tt.unverified)
		if got := cause + ": " + status; got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestParseSign(t *testing.T) {
	got, err := parseSign("1.0.1.0.0.0|3.2.0.1.0.4")
	want := []recordSign{{1, 0, [fates]int64{1, 0, 0, 0}}, {3, 2, [fates]int64{0, 1, 0, 4}}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "1.0.1.0.0", "1.0.1.0.0.0.0", "1.0.1.0.0.-1", "1.0.x.0.0.0", "1.0.1.0.0.0|"} {
		if _, err := parseSign(bad); err == nil || !strings.Contains(err.Error(), "not understood") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestWithoutSuccessor(t *testing.T) {
	generation := func(job string, n int64, kind, state, supersedes string) tables.Generation {
		return tables.Generation{Job: job, Generation: n, Kind: kind, State: state, Group: "flights", Supersedes: bigquery.NullString{StringVal: supersedes, Valid: supersedes != ""}}
	}
	standings := tables.Standings([]tables.Generation{
		generation("a", 1, "stream", "void", ""), generation("a", 2, "stream", "open", ""), // read again by the next
		generation("b", 1, "stream", "drained", ""), generation("b", 2, "stream", "cancelled", ""), // none after it
		generation("c", 1, "stream", "void", ""), generation("d", 1, "stream", "open", "c@1"), // superseded
		generation("e", 1, "stream", "void", ""), generation("e", 2, "stream", "void", ""), // the next is void too
		generation("f", 1, "backfill", "void", ""),
		{Job: "g", Generation: 1, Kind: "stream", State: "void", Group: "fares"},
	})
	if got, want := withoutSuccessor(standings, "flights"), []string{"b@2", "e@1", "e@2"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := withoutSuccessor(nil, "flights"); got == nil {
		t.Error("no writers must be an empty array, not NULL")
	}
}

// Types that do different things to different metrics of one side.
func TestMixedTypes(t *testing.T) {
	rules := []metricRule{{merge: mergeCount, places: [2]int{-1, -1}}, {merge: mergeSum, places: [2]int{2, -1}}, {merge: mergeSum, places: [2]int{-1, -1}}}
	price, large := rat("1.009"), rat("2147483653")
	groups := []eventGroup{{n: 1, records: []recordSign{{arrival: 1, of: [fates]int64{counted: 1}}},
		values: []metricParts{{}, {value: price, rounded: [2]*big.Rat{rat("1.01"), nil}}, {value: large}}}}
	for batch, want := range map[[2]string]flaw{
		{"1.01", "2147483653"}:  roundedBatch,
		{"1.009", "2147483647"}: overflowBatch,
		{"1.01", "-2147483643"}: roundedBatch | overflowBatch,
		{"1.02", "-2147483643"}: 0,
		{"1.01", "-2147483642"}: 0,
	} {
		s := subject{rules: rules, groups: groups, window: slots{0, 1}, sides: [2]sideValue{
			{true, []*big.Rat{whole(1), rat(batch[0]), rat(batch[1])}}, {true, []*big.Rat{whole(1), price, large}}}}
		sets := s.attribute().sets
		if got := append(sets, 0)[0]; got != want || len(sets) > 1 {
			t.Errorf("%v: %v, want %s", batch, sets, want)
		}
	}
}

// A shifted side has what never came to the stream side, and its types do what they do.
func TestShiftSets(t *testing.T) {
	event := func(slot int64, f fate, value int64) eventGroup {
		r := recordSign{arrival: 1}
		r.of[f] = 1
		return eventGroup{slot: slot, n: 1, records: []recordSign{r}, values: []metricParts{{}, {value: whole(value)}}}
	}
	s := subject{rules: testRules[:2], window: slots{0, 1}, shifts: []int64{2, 3},
		groups: []eventGroup{event(0, counted, 7), event(2, counted, 5), event(3, counted, 1<<31), event(3, undelivered, 6)}}
	one := func(n, sum int64) sideValue { return sideValue{true, []*big.Rat{whole(n), whole(sum)}} }
	s.sides[streamSide] = one(1, 7)
	for batch, want := range map[[2]int64]shiftHit{
		{1, 5}:             {shiftedBatch, 0b01},
		{1, 1 << 31}:       {shiftedBatch, 0b10},
		{2, 6 + 1<<31}:     {shiftedBatch | droppedByBridge, 0b10},
		{2, 6 - 1<<31}:     {shiftedBatch | droppedByBridge | overflowBatch, 0b10},
		{1, -(1 << 31)}:    {shiftedBatch | overflowBatch, 0b10},
		{2, 6 - 1<<31 + 1}: {},
		{3, 5}:             {},
	} {
		s.sides[batchSide] = one(batch[0], batch[1])
		hits := s.attribute().shifts // with what makes no difference as well
		smallest := append(hits, shiftHit{})[0]
		larger := slices.ContainsFunc(hits, func(h shiftHit) bool { return h.flaws&want.flaws != want.flaws || h.offsets != want.offsets })
		if smallest != want || larger {
			t.Errorf("%v: %v, want %v", batch, hits, want)
		}
	}
}
