package compare

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// decide gives the verdict, without I/O (invariant C3): nothing to judge is NO
// DATA, never a pass.
func decide(gate jobspecs.Gate, r *Result) Verdict {
	switch {
	case r.Scope.Windows == 0:
		return Verdict{Verdict: NoData, Rule: "no window is settled" + whyNothing(r.Scope)}
	case r.Counts.Total == 0:
		return Verdict{Verdict: NoData, Rule: "neither side has a key in the settled windows"}
	case r.Batch.Rows == 0:
		return Verdict{Verdict: NoData, Rule: "the batch side has no rows in the settled windows"}
	case r.Stream.Rows == 0:
		return Verdict{Verdict: NoData, Rule: "the stream side has no rows that count in the settled windows"}
	}
	checks := []Check{exactCheck(gate, r.Exact), {
		Rule: "maxUnexplained", OK: r.Causes.Unexplained <= int64(gate.MaxUnexplained),
		Want: fmt.Sprintf("at most %s unexplained", count(int64(gate.MaxUnexplained))),
		Got:  count(r.Causes.Unexplained),
	}}
	v := Verdict{Verdict: Go, Checks: checks}
	var met, broken []string
	for _, c := range checks {
		s := fmt.Sprintf("%s: %s, wanted %s", c.Rule, c.Got, c.Want)
		if c.OK {
			met = append(met, s)
		} else {
			broken = append(broken, s)
		}
	}
	v.Rule = strings.Join(met, "; ")
	if len(broken) > 0 {
		v.Verdict, v.Rule = Hold, strings.Join(broken, "; ")
	}
	return v
}

// exactCheck compares as fractions; the share is shown with as many decimals
// as it takes to show on which side of the gate it is.
func exactCheck(gate jobspecs.Gate, exact Ratio) Check {
	want := gate.MinExactPercent.Rat()
	share, ok := exact.Rat()
	if !ok {
		share = new(big.Rat)
	}
	got := new(big.Rat).Mul(share, big.NewRat(100, 1))
	c := Check{Rule: "minExactPercent", OK: got.Cmp(want) >= 0,
		Want: "at least " + percentText(gate.MinExactPercent) + " % exact"}
	decimals := 2
	for ; decimals < 38; decimals++ {
		shown, ok := new(big.Rat).SetString(exact.Percent(decimals))
		if ok && shown.Cmp(want) >= 0 == c.OK {
			break
		}
	}
	c.Got = exact.Percent(decimals) + " %"
	return c
}

func percentText(d jobspecs.Decimal) string {
	if d == "" {
		return "0"
	}
	return string(d)
}

func whyNothing(s Scope) string {
	var reasons []string
	for _, l := range s.LeftOut {
		reasons = append(reasons, l.text())
	}
	if len(reasons) == 0 {
		return ""
	}
	return ": " + strings.Join(reasons, "; ")
}

// count formats a number with thousands separators.
func count(n int64) string { return digits(fmt.Sprint(n)) }

// digits sets thousands separators in a decimal text.
func digits(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		sign, s = s[:1], s[1:]
	}
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String()
}

// countOf is a number and its unit, in the plural where there is not one.
func countOf(n int64, unit string) string {
	if n != 1 {
		unit += "s"
	}
	return count(n) + " " + unit
}
