package compare

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file holds the rules of the gate, without I/O. They judge a day, or a range
// as if it were one; verdict.go says which.

// Names of the rules, as in the spec.
const (
	ruleDays             = "days"
	ruleExact            = "minExactPercent"
	ruleExactValue       = "minExactValuePercent"
	ruleUnexplained      = "maxUnexplained"
	ruleUnexplainedValue = "maxUnexplainedValuePercent"
)

// judgement is what a rule says of a day. Figures compare how bad days are: the
// greater is the worse.
type judgement struct {
	Check
	figure *big.Rat
}

func (j judgement) sentence() string {
	return fmt.Sprintf("%s, wanted %s (%s)", j.Got, j.Want, j.Rule)
}

// judge applies the rules of the gate to a day. Shares of exact keys are judged
// only where the gate asks for some: 0 % always holds. Nothing has no share: without
// a key or a value nothing is amiss, and it is for others to say that nothing is no
// pass.
func judge(g Gate, d Day) []judgement {
	var out []judgement
	keys := countOf(d.Counts.Total, "key")
	if least := gatePercent(g.MinExactPercent); least.Sign() > 0 && d.Counts.Total > 0 {
		out = append(out, atLeast(ruleExact, least, NewRatio(d.Counts.Exact+d.Counts.Tolerated, d.Counts.Total), "of "+keys, "of keys exact or tolerated"))
	}
	if least := gatePercent(g.MinExactValuePercent); least.Sign() > 0 {
		worst := judgement{Check: Check{Rule: ruleExactValue, OK: true, Got: "no value", Want: "at least " + g.MinExactValuePercent + " % of the value exact or tolerated"}}
		for _, m := range d.Metrics {
			if number(m.Weight).Sign() > 0 {
				worst = worse(worst, atLeast(ruleExactValue, least, Ratio{m.Agree, m.Weight}, "of "+m.Name, "of the value exact or tolerated"))
			}
		}
		out = append(out, worst)
	}
	out = append(out, judgement{figure: whole(d.Unexplained), Check: Check{Rule: ruleUnexplained, OK: d.Unexplained <= g.MaxUnexplained,
		Want: fmt.Sprintf("at most %s unexplained", count(g.MaxUnexplained)), Got: fmt.Sprintf("%s unexplained of %s", count(d.Unexplained), keys)}})
	most := gatePercent(g.MaxUnexplainedValuePercent)
	worst := judgement{Check: Check{Rule: ruleUnexplainedValue, OK: true, Got: "no value", Want: "at most " + decimalText(most) + " % of the value unexplained"}}
	for _, m := range d.Metrics {
		if number(m.Weight).Sign() > 0 {
			worst = worse(worst, atMost(ruleUnexplainedValue, most, Ratio{m.Unexplained, m.Weight}, "of "+m.Name, "of the value unexplained"))
		}
	}
	return append(out, worst)
}

func gatePercent(text string) *big.Rat { return jobspecs.Decimal(text).Rat() }

// worse is the worse of two judgements by one rule.
func worse(a, b judgement) judgement {
	switch {
	case a.OK != b.OK:
		if b.OK {
			return a
		}
		return b
	case a.figure == nil || b.figure != nil && b.figure.Cmp(a.figure) > 0:
		return b
	}
	return a
}

func atLeast(rule string, least *big.Rat, share Ratio, of, what string) judgement {
	got := hundredfold(share)
	c := Check{Rule: rule, OK: got.Cmp(least) >= 0, Want: fmt.Sprintf("at least %s %% %s", decimalText(least), what)}
	c.Got = shownAgainst(share, func(shown *big.Rat) bool { return shown.Cmp(least) >= 0 == c.OK }) + " % " + of
	return judgement{c, new(big.Rat).Neg(got)}
}

func atMost(rule string, most *big.Rat, share Ratio, of, what string) judgement {
	got := hundredfold(share)
	c := Check{Rule: rule, OK: got.Cmp(most) <= 0, Want: fmt.Sprintf("at most %s %% %s", decimalText(most), what)}
	c.Got = shownAgainst(share, func(shown *big.Rat) bool { return shown.Cmp(most) <= 0 == c.OK }) + " % " + of
	return judgement{c, got}
}

// hundredfold is a share in percent; 0 where there is none.
func hundredfold(share Ratio) *big.Rat {
	v, ok := share.Rat()
	if !ok {
		return new(big.Rat)
	}
	return v.Mul(v, big.NewRat(100, 1))
}

// shownAgainst writes a share with as many decimals as it takes to show on which
// side of the gate it is.
func shownAgainst(share Ratio, shows func(*big.Rat) bool) string {
	decimals := 2
	for ; decimals < 38; decimals++ {
		if shown, ok := new(big.Rat).SetString(share.Percent(decimals)); ok && shows(shown) {
			break
		}
	}
	return share.Percent(decimals)
}

// emptySide names a side on which a day has no key; "" if both have some. Such a
// day is no evidence that both agree (invariant C3).
func emptySide(c Counts) string {
	switch {
	case c.Total == 0:
		return "neither side"
	case c.Total == c.Extra:
		return "only the stream side"
	case c.Total == c.Missing:
		return "only the batch side"
	}
	return ""
}

// markDays says of each day whether it meets the gate, and why not.
func markDays(g Gate, days []Day) {
	for i := range days {
		d := &days[i]
		var broken []string
		if side := emptySide(d.Counts); side != "" {
			broken = append(broken, side+" has a key")
		}
		for _, j := range judge(g, *d) {
			if !j.OK {
				broken = append(broken, j.sentence())
			}
		}
		d.OK, d.Why = len(broken) == 0, strings.Join(broken, "; ")
	}
}

// newestDays are the newest days that follow each other without a gap, at most n.
// Days are in order.
func newestDays(days []Day, n int) []Day {
	from := len(days)
	for from > 0 && len(days)-from < n && (from == len(days) || days[from-1].End.Equal(days[from].Start)) {
		from--
	}
	return days[from:]
}

// mergeDays adds the days of earlier runs to those of this one, which hold where
// both have one. Of earlier runs only days that begin before the end of the range
// are taken: a run of an old range is judged by what was known then.
func mergeDays(now, earlier []Day, end time.Time) []Day {
	all := slices.Clone(now)
	for _, d := range earlier {
		same := func(o Day) bool { return o.Start.Equal(d.Start) }
		if d.Start.Before(end) && !slices.ContainsFunc(now, same) {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b Day) int { return a.Start.Compare(b.Start) })
	return all
}
