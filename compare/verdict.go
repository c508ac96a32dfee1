package compare

import (
	"fmt"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/report"
	"github.com/kappa-migrate/kappa/internal/term"
)

// decide gives the verdict, without I/O: nothing to judge is NO DATA, never a pass.
func decide(r *Result) Verdict {
	v := r.nothing()
	switch {
	case v.Verdict != "":
		return v
	case r.Gate.RegressionsOnly && r.Baseline != nil:
		g := r.Gate
		g.MinExactPercent, g.MinExactValuePercent = "", "" // the baseline may not meet them itself
		return decideRange(g, r.regressions(), "regressions against the baseline of "+date(r.Baseline.Started.Truncate(time.Second)))
	case r.Gate.Days == 0:
		return decideRange(r.Gate, r.whole(), "the compared range")
	}
	return decideDays(r.Gate, r.Days, r.whole())
}

// nothing is NO DATA where there is nothing to judge, and no verdict else
// (invariant C3).
func (r *Result) nothing() Verdict {
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
	return Verdict{}
}

// whole is the compared range as a day.
func (r *Result) whole() Day {
	d := Day{Counts: r.Counts, Unexplained: r.Causes.Unexplained}
	for _, m := range r.Metrics {
		d.Metrics = append(d.Metrics, DayMetric{Name: m.Name, Weight: m.Agree.Den, Agree: m.Agree.Num, Unexplained: m.Unexplained.Num})
	}
	return d
}

// regressions is the compared range as a day in which only keys that the baseline
// does not have are unexplained.
func (r *Result) regressions() Day {
	d := r.whole()
	d.Unexplained = r.Baseline.NewUnexplained
	for i, m := range d.Metrics {
		d.Metrics[i].Unexplained = r.Baseline.NewUnexplainedValue[m.Name].Num
	}
	return d
}

// decideRange judges a range as a whole.
func decideRange(g Gate, d Day, what string) Verdict {
	v := Verdict{Verdict: Go}
	var met, broken []string
	for _, j := range judge(g, d) {
		v.Checks = append(v.Checks, j.Check)
		if j.OK {
			met = append(met, j.sentence())
		} else {
			broken = append(broken, j.sentence())
		}
	}
	v.Rule = what + ": " + strings.Join(met, "; ")
	if len(broken) > 0 {
		v.Verdict, v.Rule = Hold, what+": "+strings.Join(broken, "; ")
	}
	return v
}

// decideDays judges the newest consecutive settled days. One that breaks a rule is
// HOLD, however few there are: more days would not mend it. Where there are fewer
// than the gate asks for, or one of them has keys on one side alone, it is NO DATA.
// Without any settled day what was compared is judged, which then is no pass.
func decideDays(g Gate, all []Day, rest Day) Verdict {
	days := newestDays(all, g.Days)
	v := Verdict{Verdict: Go}
	wanted := fmt.Sprintf("%d consecutive settled days", g.Days)
	if g.Days == 1 {
		wanted = "1 settled day"
	}
	settled := Check{Rule: ruleDays, Want: wanted, Got: spanOf(days), OK: len(days) == g.Days}
	judged, name := days, func(d Day) string { return date(d.Start) }
	if len(days) == 0 {
		judged, name = []Day{rest}, func(Day) string { return "what is settled, less than a day" }
	}
	v.Checks = append(v.Checks, settled)
	var met, broken []string
	for i, first := range judge(g, judged[0]) {
		worst, at, bad := first, judged[0], 0
		for n, d := range judged {
			j := judge(g, d)[i]
			if !j.OK {
				bad++
			}
			if w := worse(worst, j); n > 0 && w.figure == j.figure && w.figure != nil {
				worst, at = j, d
			}
		}
		switch {
		case bad > 0:
			s := name(at) + ": " + worst.sentence()
			if bad > 1 {
				s += fmt.Sprintf(", broken on %d of %d days", bad, len(judged))
			}
			broken = append(broken, s)
		default:
			met = append(met, worst.sentence())
		}
		if len(judged) > 1 {
			worst.Got += " on " + date(at.Start)
		}
		v.Checks = append(v.Checks, worst.Check)
	}
	var empty []string
	for _, d := range days {
		if side := emptySide(d.Counts); side != "" {
			empty = append(empty, fmt.Sprintf("on %s %s has a key", date(d.Start), side))
		}
	}
	switch {
	case len(broken) > 0:
		v.Verdict, v.Rule = Hold, strings.Join(broken, "; ")
	case !settled.OK: // invariant C3
		v.Verdict, v.Rule = NoData, fmt.Sprintf("%s, wanted %s; nothing there breaks the gate", settled.Got, settled.Want)
	case len(empty) > 0: // invariant C3
		v.Verdict, v.Rule = NoData, strings.Join(empty, "; ")
	default:
		v.Rule = fmt.Sprintf("%s, and on the worst of them %s", settled.Got, strings.Join(met, "; "))
	}
	return v
}

// spanOf names consecutive days.
func spanOf(days []Day) string {
	switch len(days) {
	case 0:
		return "no settled day"
	case 1:
		return "1 settled day, " + date(days[0].Start)
	}
	return fmt.Sprintf("%d consecutive settled days, %s to %s", len(days), date(days[0].Start), date(days[len(days)-1].Start))
}

// date names a day: by its date if it begins at midnight UTC.
func date(t time.Time) string {
	if t = t.UTC(); t.Equal(floor(t, day)) {
		return t.Format(time.DateOnly)
	}
	return stamp(t)
}

func percentText[T ~string](d T) string {
	if d == "" {
		return "0"
	}
	return string(d)
}
func whyNothing(s Scope) string {
	var reasons []string
	for _, l := range s.LeftOut {
		reasons = append(reasons, l.Text())
	}
	if len(reasons) == 0 {
		return ""
	}
	return ": " + strings.Join(reasons, "; ")
}

// Numbers for people: with separators, with what is counted, of bytes.
var (
	count     = term.Count
	countOf   = report.Quantity
	bytesText = term.Bytes
)
