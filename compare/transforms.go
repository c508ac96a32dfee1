package compare

import "math/big"

// This file says what types do to values: round, wrap around, saturate. It does no
// I/O.

var (
	two32 = new(big.Int).Lsh(big.NewInt(1), 32)
	two64 = new(big.Int).Lsh(big.NewInt(1), 64)
)

// decimals is how many decimals a value has.
func decimals(x *big.Rat) int {
	if x == nil {
		return 0
	}
	n, _ := x.FloatPrec()
	return n
}

// roundedTo reports whether has is x rounded to a number of decimals: half away from
// zero, half to even, or cut off. Each is at most one unit in the last place away.
func roundedTo(x, has *big.Rat, places int) bool {
	scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(places)), nil))
	scaled, want := new(big.Rat).Mul(x, scale), new(big.Rat).Mul(has, scale)
	if scaled.IsInt() || !want.IsInt() {
		return false // nothing to round, or not rounded to this
	}
	toward := new(big.Int).Quo(scaled.Num(), scaled.Denom()) // toward zero
	away := new(big.Int).Add(toward, big.NewInt(int64(scaled.Sign())))
	rest := new(big.Rat).Sub(scaled, new(big.Rat).SetInt(toward))
	if want.Num().Cmp(toward) == 0 {
		return true // cut off, or rounded down
	}
	return want.Num().Cmp(away) == 0 && rest.Abs(rest).Cmp(big.NewRat(1, 2)) >= 0
}

// overflown reports whether has is x after it went over the bounds of an integer of 32
// or 64 bits: wrapped around, or stopped at the bound.
func overflown(x, has *big.Rat, m metricRule) bool {
	if !x.IsInt() || !has.IsInt() || m.merge == mergeUnknown || m.tolerance != nil {
		return false
	}
	for _, size := range []*big.Int{two32, two64} {
		half := new(big.Int).Rsh(size, 1)
		for _, t := range []struct{ low, high *big.Int }{
			{new(big.Int).Neg(half), new(big.Int).Sub(half, big.NewInt(1))}, // signed
			{new(big.Int), new(big.Int).Sub(size, big.NewInt(1))},           // unsigned
		} {
			if x.Num().Cmp(t.low) >= 0 && x.Num().Cmp(t.high) <= 0 || t.low.Sign() == 0 && x.Sign() < 0 {
				continue // it fits
			}
			wrapped := new(big.Int).Mod(new(big.Int).Sub(x.Num(), t.low), size)
			wrapped.Add(wrapped, t.low)
			bound := t.high
			if x.Sign() < 0 {
				bound = t.low
			}
			if has.Num().Cmp(wrapped) == 0 || has.Num().Cmp(bound) == 0 {
				return true
			}
		}
	}
	return false
}
