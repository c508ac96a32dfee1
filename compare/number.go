package compare

import (
	"math/big"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// Values are exact (rule C2): whole numbers and decimals as big.Rat, nil for
// NULL or absent. NaN and the infinities of FLOAT64 have no such value.

// whole is a whole number as a value.
func whole(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }

// add adds n to sum. Whole numbers, which most are, need no common divisor, for which
// big.Rat looks in any case.
func add(sum, n *big.Rat) {
	if sum.IsInt() && n.IsInt() {
		sum.Num().Add(sum.Num(), n.Num())
		return
	}
	sum.Add(sum, n)
}

// minus is a without b.
func minus(a, b *big.Rat) *big.Rat {
	d := new(big.Rat).Neg(b)
	add(d, a)
	return d
}

func orZero(n *big.Rat) *big.Rat {
	if n == nil {
		return new(big.Rat)
	}
	return n
}

// decimalText writes a value exactly, without trailing zeros. Every value that
// BigQuery returns has a finite decimal expansion.
func decimalText(n *big.Rat) string {
	decimals, exact := n.FloatPrec()
	if !exact {
		return n.RatString()
	}
	return n.FloatString(decimals)
}

// decimalPointer is the text of a value; nil of none.
func decimalPointer(n *big.Rat) *string {
	if n == nil {
		return nil
	}
	s := decimalText(n)
	return &s
}

// number reads what decimalText has written; 0 for any other text.
func number(s string) *big.Rat {
	if n, ok := new(big.Rat).SetString(s); ok {
		return n
	}
	return new(big.Rat)
}

// sampleMetric shows a metric of a key: what is not finite as it is, and then
// without a difference.
func (d *difference) sampleMetric(name string, i int) SampleMetric {
	m := SampleMetric{name, decimalPointer(d.batch.values[i]), decimalPointer(d.stream.values[i]), decimalText(d.delta(i))}
	for _, s := range []struct {
		texts []string
		to    **string
	}{{d.batchTexts, &m.Batch}, {d.streamTexts, &m.Stream}} {
		if i < len(s.texts) && s.texts[i] != "" {
			*s.to, m.Difference = &s.texts[i], ""
		}
	}
	return m
}

// unbounded reports whether a value of metric i is NaN or infinite: no sum holds
// the key then.
func (d *difference) unbounded(i int) bool {
	return i < len(d.batchTexts) && d.batchTexts[i] != "" || i < len(d.streamTexts) && d.streamTexts[i] != ""
}

// toleranceText writes a tolerance for people.
func toleranceText(t jobspecs.Tolerance) string {
	switch {
	case t.Absolute != "" && t.Relative != "":
		return string(t.Absolute) + " or " + string(t.Relative) + " %"
	case t.Relative != "":
		return string(t.Relative) + " %"
	}
	return string(t.Absolute)
}
