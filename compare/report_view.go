package compare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// This file holds what several views say alike, without I/O (invariant C6).

// headline is the verdict in a line.
func (r *Result) headline() string {
	s := r.Verdict.Verdict + "  " + plain(r.Comparison)
	if r.Counts.Total > 0 {
		s += fmt.Sprintf(": %s %% of %s exact, %s unexplained", r.Exact.Percent(2), countOf(r.Counts.Total, "key"), count(r.Causes.Unexplained))
	}
	return s
}

// decided is the rule that decided, in a sentence.
func (v Verdict) decided() string {
	if v.Verdict == NoData {
		return "Nothing to judge: " + plain(v.Rule) + "."
	}
	return "Decided by " + plain(v.Rule) + "."
}

// text is the gate in a sentence.
func (g Gate) text() string {
	of := "the range as a whole has"
	switch {
	case g.Days == 1:
		of = "the newest settled day has"
	case g.Days > 1:
		of = fmt.Sprintf("each of the newest %s, without a gap, has", countOf(int64(g.Days), "settled day"))
	}
	s := fmt.Sprintf("%s at least %s %% of keys and %s %% by value exact or tolerated, and at most %s and %s %% by value unexplained",
		of, orZeroText(g.MinExactPercent), orZeroText(g.MinExactValuePercent), countOf(g.MaxUnexplained, "key"), orZeroText(g.MaxUnexplainedValuePercent))
	if g.RegressionsOnly {
		s += "; only what the baseline did not have counts"
	}
	return s
}

func orZeroText(s string) string { return cmp.Or(s, "0") }

// countedDays is how many of the last days the gate looks at.
func (r *Result) countedDays() int { return min(r.Gate.Days, len(r.Days)) }

// daysMet is how many of the counted days meet the gate.
func (r *Result) daysMet() (met int) {
	for _, d := range r.Days[len(r.Days)-r.countedDays():] {
		if d.OK {
			met++
		}
	}
	return met
}

// dayText is the name of a day: its date where the windows' days begin.
func (r *Result) dayText(d Day) string {
	zone, err := time.LoadLocation(r.Scope.TimeZone)
	if err != nil {
		zone = time.UTC // this machine does not know the zone
	}
	return d.Start.In(zone).Format(time.DateOnly)
}

// moment is a time as short as it can be said exactly.
func moment(t time.Time) string {
	if t = t.UTC(); t.Equal(t.Truncate(time.Minute)) {
		return t.Format("2006-01-02T15:04Z")
	}
	return stamp(t)
}

const approximateSegment = "A part of the range had too many values to keep: the counts may be too low."

// shownClasses are the classes that a report has rows for: nothing is tolerated
// where no tolerance is declared.
func (r *Result) shownClasses() []string {
	return slices.DeleteFunc(slices.Clone(Classes), func(c string) bool {
		return c == ClassTolerated && r.Counts.Tolerated == 0 && !slices.ContainsFunc(r.Metrics, func(m Metric) bool { return m.Tolerance != "" })
	})
}

// causes are the entries, with unexplained first even where it has no key: its
// absence would not say so.
func (r *Result) causes() []Cause {
	entries := r.Causes.Entries
	if r.Causes.Differing > 0 && !slices.ContainsFunc(entries, func(c Cause) bool { return c.Status == Unexplained }) {
		entries = append([]Cause{{Cause: Unexplained, Status: Unexplained, Share: NewRatio(0, r.Causes.Differing)}}, entries...)
	}
	return entries
}

// delta is the difference of a metric in a list.
func delta(ms []MetricDelta, name string) (d MetricDelta, ok bool) {
	i := slices.IndexFunc(ms, func(m MetricDelta) bool { return m.Name == name })
	if i < 0 {
		return MetricDelta{Name: name}, false
	}
	return ms[i], true
}

// metric is a metric of a day; without one, nothing of it.
func (d Day) metric(name string) DayMetric {
	if i := slices.IndexFunc(d.Metrics, func(m DayMetric) bool { return m.Name == name }); i >= 0 {
		return d.Metrics[i]
	}
	return DayMetric{Name: name}
}

// samplesByWorth are the samples with those first that somebody should look at
// first.
func (r *Result) samplesByWorth() []Sample {
	rank := map[string]int{Unexplained: 0, Likely: 1, Proven: 2, Known: 3}
	samples := slices.Clone(r.Samples)
	slices.SortStableFunc(samples, func(a, b Sample) int { return rank[a.Status] - rank[b.Status] })
	return samples
}

// text is the key of a sample.
func (s Sample) text() string {
	parts := make([]string, len(s.Key))
	for i, k := range s.Key {
		parts[i] = plain(k.Column) + "=" + orNull(k.Value)
	}
	return strings.Join(parts, ", ")
}

// causeText is the cause of a sample, with how sure it is.
func (s Sample) causeText() string {
	if s.Status == Unexplained {
		return s.Cause
	}
	return s.Cause + " (" + s.Status + ")"
}

// stateText says of a known difference what became of it.
func (k KnownDifference) stateText() string {
	switch k.State {
	case KnownUnused:
		return "unused: it matches no key, remove it"
	case KnownExpired:
		return "expired: what it matches is unexplained"
	case KnownOverLimit:
		return "over its limit: what it matches is unexplained"
	}
	return k.State
}

// holds reports whether what a known difference matches counts as explained.
func (k KnownDifference) holds() bool { return k.State == KnownUsed || k.State == KnownUnused }

// text is a second look in a sentence.
func (l SecondLook) text() string {
	return fmt.Sprintf("of %s that the last run left out as not settled %s compared now: %s in them differ; %s still open",
		countOf(l.Windows, "window"), isAre(l.Compared), countOf(l.Differing, "key"), countOf(int64(len(l.StillOpen)), "span"))
}

func isAre(n int64) string {
	if n == 1 {
		return "1 is"
	}
	return count(n) + " are"
}

// text is a baseline in a sentence.
func (b Baseline) text() string {
	return fmt.Sprintf("%s of %s (%s exact then): %s new, %s of them unexplained; %s gone, %s as then",
		plain(b.File), moment(b.Started), percentOf(b.Exact), countOf(b.New, "differing key"), count(b.NewUnexplained), count(b.Gone), count(b.Same))
}

// changed reports whether the spec of a run before was another one.
func (r *Result) changed(hash string) bool { return hash != "" && hash != r.SpecHash }

// scopeText says what a side is read from.
func (s SideScope) scopeText() string {
	t := plain(s.Name)
	switch s.Kind {
	case SideFiles:
		t = "files " + plain(strings.Join(s.Files, ", "))
	case SideQuery:
		t = "a query"
	case SideView:
		t = "view " + t
	}
	if s.Where != "" {
		t += " where " + plain(s.Where)
	}
	if s.Job != "" {
		t += ", written by " + plain(s.Job)
	}
	return t
}

// text is the left-out windows in a sentence.
func (l LeftOut) text() string {
	if l.Windows == 0 {
		return plain(l.Message)
	}
	return fmt.Sprintf("%s, %s: %s", countOf(l.Windows, "window"), l.Reason, plain(l.Message))
}

// windowText says what windows are.
func (s Scope) windowText() string {
	t := "of " + s.WindowSize
	if s.TimeZone != "" {
		t += " in " + plain(s.TimeZone)
	}
	if s.Offset != "" {
		t += " (offset " + s.Offset + ")"
	}
	return t
}

// text is the state of a job.
func (j JobState) text() string {
	switch {
	case j.Problem != "":
		return plain(j.Problem)
	case j.AtMaximum:
		return "all there is has been read"
	case j.Watermark != nil:
		return "watermark " + moment(*j.Watermark)
	}
	return "watermark unknown"
}

// TimesBound says how many times the least possible was billed.
func (c Cost) TimesBound() string {
	v, ok := c.Ratio.Rat()
	if !ok || v.Sign() == 0 {
		return ""
	}
	by := ""
	if len(c.DryRun) > 0 {
		by = ", of the " + plain(strings.Join(c.DryRun, " and the ")) + " side by dry run"
	}
	return " (" + v.FloatString(2) + " times the least possible, " + bytesText(c.LowerBound) + by + ")"
}

var classMeanings = map[string]string{
	ClassExact:     "on both sides, every metric equal",
	ClassTolerated: "equal within a declared tolerance",
	ClassMismatch:  "on both sides, some metric differs",
	ClassMissing:   "only on the batch side",
	ClassExtra:     "only on the stream side",
	ClassNonunique: "several rows where one belongs",
}

// share is a part of a value as a percentage; a dash of nothing.
func share(num, den string) string { return percentOf(Ratio{num, den}) }

func percentOf(r Ratio) string {
	p := r.Percent(2)
	if p == "n/a" {
		return "-"
	}
	return p + " %"
}

func total(s string) string {
	if s == "" {
		return "-"
	}
	return digits(s)
}

// signed is a difference with its sign; a dash where there is none, as between
// values that are no numbers.
func signed(s string) string {
	if s == "" {
		return "-"
	}
	if s != "0" && !strings.HasPrefix(s, "-") {
		s = "+" + s
	}
	return digits(s)
}
