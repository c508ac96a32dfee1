package main

import (
	"math/big"
	"slices"
)

// column is a metric of a key.
type column int

// The metrics. All that come from the distance are exact in their units: a mile is
// 1.609344 km.
const (
	flightCount column = iota
	delaySum           // minutes
	distanceSum        // miles
	delayMicros        // INT64 that 32 bits cannot hold
	kilometres         // NUMERIC of six decimals, kept in millionths
	longest            // the greatest of them
	picometres         // NUMERIC that 64 bits cannot hold
	columns
)

// columnNames are those of the tables; fieldNames those of the raw events.
var (
	columnNames = [columns]string{"flights", "delay_sum", "distance_sum", "delay_us", "km", "longest_km", "pm"}
	fieldNames  = [columns]string{"", "delay", "distance", "delay_us_each", "km_each", "km_each", "pm_each"}
)

const (
	microsPerMinute = 60_000_000
	millionthsOfKm  = 1_609_344 // per mile
)

var picometresPerMile = big.NewInt(1_609_344_000_000_000)

func (c column) merge() string {
	switch c {
	case flightCount:
		return "count"
	case longest:
		return "max"
	}
	return "sum"
}

func (c column) decimal() bool { return c >= kilometres } // NUMERIC
func (c column) kept() int64 { // what its unit is kept in
	if c == kilometres || c == longest {
		return 1_000_000
	}
	return 1
}

// metrics are those that a comparison looks at.
type metrics []column

// comparisons are those that are made of the same tables.
var comparisons = []struct {
	name string
	metrics
}{
	{"a count, three sums and a maximum, of integers and decimals", metrics{flightCount, delayMicros, kilometres, longest, picometres}},
	{"a count and two sums of integers", metrics{flightCount, delaySum, distanceSum}},
	{"a count alone", metrics{flightCount}},
}

// shows reports whether a flaw changes any of the metrics: types do nothing to small
// integers.
func (m metrics) shows(f flaw) bool {
	return !f.has(rounded|overflown) || slices.Contains(m, delayMicros)
}

// values are what a side has of a key.
type values struct {
	present bool
	of      [columns]*big.Int
}

func (m metrics) same(a, b values) bool {
	if a.present != b.present || !a.present {
		return a.present == b.present
	}
	for _, c := range m {
		if a.of[c].Cmp(b.of[c]) != 0 {
			return false
		}
	}
	return true
}

// plus is both taken for one key.
func (v values) plus(o values) values {
	if !v.present {
		return o
	}
	if !o.present {
		return v
	}
	sum := values{present: true}
	for c := range columns {
		switch {
		case c != longest:
			sum.of[c] = new(big.Int).Add(v.of[c], o.of[c])
		case v.of[c].Cmp(o.of[c]) > 0:
			sum.of[c] = v.of[c]
		default:
			sum.of[c] = o.of[c]
		}
	}
	return sum
}

// sums is what comes of counting events.
type sums struct {
	n, delay, miles, most int64
	each                  int64 // kilometres rounded event by event
}

// value is a metric as it is.
func (s sums) value(c column) *big.Int {
	switch c {
	case flightCount:
		return big.NewInt(s.n)
	case delaySum:
		return big.NewInt(s.delay)
	case distanceSum:
		return big.NewInt(s.miles)
	case delayMicros:
		return big.NewInt(s.delay * microsPerMinute)
	case kilometres:
		return big.NewInt(s.miles * millionthsOfKm)
	case longest:
		return big.NewInt(s.most * millionthsOfKm)
	}
	return new(big.Int).Mul(big.NewInt(s.miles), picometresPerMile)
}

// rounded are the values that a metric may have in multiples of unit: half away from
// zero, half to even, cut off, or with each event's value rounded.
func (s sums) rounded(c column, unit int64) []int64 {
	if c != kilometres && c != longest || unit == 1 {
		return nil
	}
	x := s.value(c).Int64() // of distances: never negative
	down, rest := x/unit*unit, x%unit
	near, even := down, down
	if 2*rest >= unit {
		near = down + unit
	}
	if 2*rest > unit || 2*rest == unit && down/unit%2 == 1 {
		even = down + unit
	}
	out := []int64{near, even, down}
	if c == kilometres {
		out = append(out, s.each)
	}
	return out
}

func nearest(x, unit int64) int64 { return (x + unit/2) / unit * unit }

// overflows are the values that a metric may have in a type that cannot hold it: 32 or
// 64 bits, with a sign or without, wrapped around or stopped at the bound.
func (s sums) overflows(c column) []*big.Int {
	if c == kilometres || c == longest {
		return nil // not whole numbers
	}
	x := s.value(c)
	var out []*big.Int
	for _, bits := range []uint{32, 64} {
		size := new(big.Int).Lsh(big.NewInt(1), bits)
		half := new(big.Int).Rsh(size, 1)
		low, high := new(big.Int).Neg(half), new(big.Int).Sub(half, big.NewInt(1))
		for _, signed := range []bool{true, false} {
			if !signed {
				if x.Sign() < 0 {
					continue // what has no sign is not used for what is negative
				}
				low, high = new(big.Int), new(big.Int).Sub(size, big.NewInt(1))
			}
			if x.Cmp(low) >= 0 && x.Cmp(high) <= 0 {
				continue
			}
			wrapped := new(big.Int).Mod(x, size)
			if wrapped.Cmp(high) > 0 {
				wrapped.Sub(wrapped, size)
			}
			bound := high
			if x.Sign() < 0 {
				bound = low
			}
			out = append(out, wrapped, bound)
		}
	}
	return out
}
