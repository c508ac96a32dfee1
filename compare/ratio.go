package compare

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"time"
)

// Ratio is an exact share (rule C3): decimal texts.
type Ratio struct {
	Num, Den string
}

// NewRatio returns num ÷ den.
func NewRatio(num, den int64) Ratio {
	return Ratio{strconv.FormatInt(num, 10), strconv.FormatInt(den, 10)}
}

// Rat returns the exact value; false where the denominator is zero: there is
// no share of nothing.
func (r Ratio) Rat() (*big.Rat, bool) {
	num, ok1 := new(big.Rat).SetString(r.Num)
	den, ok2 := new(big.Rat).SetString(r.Den)
	if !ok1 || !ok2 || den.Sign() == 0 {
		return nil, false
	}
	return new(big.Rat).Quo(num, den), true
}

// Percent formats the share in percent, to the nearest with the given number
// of decimals, but never as 100 while something is amiss nor as 0 while
// something is there; "n/a" where there is nothing.
func (r Ratio) Percent(decimals int) string {
	v, ok := r.Rat()
	if !ok {
		return "n/a"
	}
	v.Mul(v, big.NewRat(100, 1))
	s := v.FloatString(decimals)
	shown, _ := new(big.Rat).SetString(s)
	hundred := big.NewRat(100, 1)
	switch {
	case shown.Cmp(hundred) == 0 && v.Cmp(hundred) < 0, shown.Sign() == 0 && v.Sign() > 0:
		unit := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil))
		if shown.Sign() == 0 {
			return "<" + unit.FloatString(decimals)
		}
		return shown.Sub(shown, unit).FloatString(decimals)
	}
	return s
}

// Text is the share in percent for people; a dash where there is nothing.
func (r Ratio) Text() string {
	p := r.Percent(2)
	if p == "n/a" {
		return "-"
	}
	return p + " %"
}

// floorPercent formats the share in percent, cut off after the given number of
// decimals: what is shown is never more than what is.
func (r Ratio) floorPercent(decimals int) string {
	v, ok := r.Rat()
	if !ok {
		return "n/a"
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals+2)), nil)
	n := new(big.Int).Mul(v.Num(), scale)
	n.Div(n, v.Denom()) // Euclidean: towards minus infinity, for a positive denominator
	return new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)).FloatString(decimals)
}

// PercentFloat is the share in percent for charts and summaries, 0 where there
// is nothing. Decisions are made on Rat.
func (r Ratio) PercentFloat() float64 {
	f, err := strconv.ParseFloat(r.floorPercent(6), 64)
	if err != nil {
		return 0
	}
	return f
}

type ratioJSON struct {
	Num     string       `json:"num"`
	Den     string       `json:"den"`
	Percent *json.Number `json:"percent"`
}

// MarshalJSON writes numerator, denominator and the percentage, cut off after
// six decimals; the percentage is null where the denominator is zero.
func (r Ratio) MarshalJSON() ([]byte, error) {
	v := ratioJSON{Num: r.Num, Den: r.Den}
	if _, ok := r.Rat(); ok {
		p := json.Number(r.floorPercent(6))
		v.Percent = &p
	}
	return json.Marshal(v)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Ratio) UnmarshalJSON(data []byte) error {
	var v ratioJSON
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("read ratio: %w", err)
	}
	*r = Ratio{v.Num, v.Den}
	return nil
}

// stamp formats a time for people.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
