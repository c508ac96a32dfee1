package compare

import (
	"fmt"
	"math/big"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Tolerances are bounds in SQL that are exact for INT64, NUMERIC and BIGNUMERIC
// (invariant C2): no product in them needs more digits than its type has.

// relativeDecimals is the most decimals of a relative tolerance in percent: the
// share then has nine, and a product with a whole number fits into NUMERIC.
const relativeDecimals = 7

// wideType is the type in which values of a metric are subtracted and summed.
// INT64 would overflow where each value alone does not.
func wideType(value string) string {
	if value == "INT64" {
		return "NUMERIC"
	}
	return value
}

// decimalPlaces are the decimals that values of a type have.
var decimalPlaces = map[string]int{"INT64": 0, "NUMERIC": 9, "BIGNUMERIC": 38}

// greatestDigits are the digits before the point of the greatest values.
var greatestDigits = map[string]int{"NUMERIC": 29, "BIGNUMERIC": 38}

// absoluteBound is an absolute tolerance as a literal's text. Differences of
// decimals have as many decimals as their type: rounding the bound down to those
// changes no class, and makes it a value of the type.
func absoluteBound(m jobspecs.Metric) string {
	t := m.Tolerance.Absolute.Rat()
	places, exact := decimalPlaces[m.Value]
	if !exact {
		return decimalText(t)
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(places)), nil)
	n := new(big.Int).Mul(t.Num(), scale)
	n.Quo(n, t.Denom())
	down := new(big.Rat).SetFrac(n, scale)
	// More than any difference can be is as good as what is not a value of the type.
	most := new(big.Rat).SetInt(new(big.Int).Sub(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(greatestDigits[wideType(m.Value)])), nil), big.NewInt(1)))
	if down.Cmp(most) > 0 {
		down = most
	}
	return decimalText(down)
}

// relativeBound is a relative tolerance as a share. No difference is more than
// twice the greater value.
func relativeBound(m jobspecs.Metric) string {
	share := new(big.Rat).Quo(m.Tolerance.Relative.Rat(), big.NewRat(100, 1))
	if most := big.NewRat(2, 1); share.Cmp(most) > 0 {
		share = most
	}
	return decimalText(share)
}

func checkTolerance(m jobspecs.Metric) error {
	for what, d := range map[string]jobspecs.Decimal{"absolute": m.Tolerance.Absolute, "relative": m.Tolerance.Relative} {
		if d != "" && d.Rat().Sign() < 0 {
			return exit.Usagef("metric %s: the %s tolerance %s is less than zero", m.Name, what, d)
		}
	}
	if n, _ := m.Tolerance.Relative.Rat().FloatPrec(); n > relativeDecimals {
		return exit.Usagef("metric %s: the relative tolerance %s has more than %d decimals", m.Name, m.Tolerance.Relative, relativeDecimals)
	}
	if m.Value == "FLOAT64" && !m.Tolerance.Given() {
		return exit.Usagef("metric %s is FLOAT64 and has no tolerance", m.Name).
			WithHint("floating point does not add up to the same sum twice: give it a tolerance, or compare it as NUMERIC")
	}
	return nil
}

// nearEnough is true of two values of metric i, neither of them NULL or beyond the
// finite numbers, that are as near as the tolerance asks. d is how far they are apart
// and v the greater absolute value, both of the wide type.
func nearEnough(m jobspecs.Metric, i int) string {
	t := wideType(m.Value)
	absolute := fmt.Sprintf("d%d <= CAST(@absolute%d AS %s)", i, i, t)
	share := fmt.Sprintf("CAST(@relative%d AS %s)", i, t)
	relative := fmt.Sprintf("d%d <= v%d * %s", i, i, share)
	if decimalPlaces[m.Value] > 0 {
		// v × share can have more decimals than the type. What the whole part of v
		// allows is exact; if something is left of the difference, it is held, times
		// 10⁹, against what the fraction allows, which is exact too. The bounds of
		// what is left keep its product small, and change no outcome.
		rest := fmt.Sprintf("d%d - TRUNC(v%d) * %s", i, i, share)
		relative = fmt.Sprintf("LEAST(GREATEST(%s, -1), 3) * 1000000000 <= (v%d - TRUNC(v%d)) * 1000000000 * %s", rest, i, i, share)
	}
	switch {
	case m.Tolerance.Absolute == "":
		return relative
	case m.Tolerance.Relative == "":
		return absolute
	}
	return absolute + " OR " + relative
}
