package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/report"
	"github.com/kappa-migrate/kappa/internal/term"
)

// This file holds what several views say alike, without I/O (invariant C6).

// headline is the verdict in a line.
func headline(r *compare.Result) string {
	s := r.Verdict.Verdict + "  " + plain(r.Comparison)
	if r.Counts.Total > 0 {
		s += fmt.Sprintf(": %s %% of %s exact, %s unexplained", r.Exact.Percent(2), countOf(r.Counts.Total, "key"), count(r.Causes.Unexplained))
	}
	return s
}

// decided is the rule that decided, in a sentence.
func decided(v compare.Verdict) string {
	if v.Verdict == compare.NoData {
		return "Nothing to judge: " + plain(v.Rule) + "."
	}
	return "Decided by " + plain(v.Rule) + "."
}

// gateText is the gate in a sentence.
func gateText(g compare.Gate) string {
	of := "the range as a whole has"
	switch {
	case g.Days == 1:
		of = "the newest settled day has"
	case g.Days > 1:
		of = fmt.Sprintf("each of the newest %s, without a gap, has", countOf(int64(g.Days), "settled day"))
	}
	s := of + " "
	if orZeroText(g.MinExactPercent) != "0" || orZeroText(g.MinExactValuePercent) != "0" {
		s += fmt.Sprintf("at least %s %% of keys and %s %% by value exact or tolerated, and ", orZeroText(g.MinExactPercent), orZeroText(g.MinExactValuePercent))
	}
	if g.MaxUnexplained == 0 && orZeroText(g.MaxUnexplainedValuePercent) == "0" {
		s += "nothing unexplained, by key and by value"
	} else {
		s += fmt.Sprintf("at most %s and %s %% by value unexplained", countOf(g.MaxUnexplained, "key"), orZeroText(g.MaxUnexplainedValuePercent))
	}
	if g.RegressionsOnly {
		s += "; only what the baseline did not have counts"
	}
	return s
}

func orZeroText(s string) string { return cmp.Or(s, "0") }

// hasTrend reports whether there are runs to compare: one is none.
func hasTrend(r *compare.Result) bool { return len(r.Trend) > 1 }

// countedDays is how many of the last days the gate looks at.
func countedDays(r *compare.Result) int { return min(r.Gate.Days, len(r.Days)) }

// daysMet is how many of the counted days meet the gate.
func daysMet(r *compare.Result) (met int) {
	for _, d := range r.Days[len(r.Days)-countedDays(r):] {
		if d.OK {
			met++
		}
	}
	return met
}

// dayText is the name of a day: its date where the windows' days begin.
func dayText(r *compare.Result, d compare.Day) string {
	zone, err := time.LoadLocation(r.Scope.TimeZone)
	if err != nil {
		zone = time.UTC // this machine does not know the zone
	}
	return d.Start.In(zone).Format(time.DateOnly)
}

// minute is when something happened: nobody asks at which second of a run.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02T15:04Z") }

// moment is a time as short as it can be said exactly.
func moment(t time.Time) string {
	if t.Equal(t.Truncate(time.Minute)) {
		return minute(t)
	}
	return stamp(t)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

const approximateSegment = "A part of the range had too many values to keep: the counts may be too low."

// shownClasses are the classes that a report has rows for: nothing is tolerated
// where no tolerance is declared.
func shownClasses(r *compare.Result) []string {
	return slices.DeleteFunc(slices.Clone(compare.Classes), func(c string) bool {
		return c == compare.ClassTolerated && r.Counts.Tolerated == 0 && !slices.ContainsFunc(r.Metrics, func(m compare.Metric) bool { return m.Tolerance != "" })
	})
}

// causesOf are the entries, with unexplained first even where it has no key: its
// absence would not say so.
func causesOf(r *compare.Result) []compare.Cause {
	entries := r.Causes.Entries
	if r.Causes.Differing > 0 && !slices.ContainsFunc(entries, func(c compare.Cause) bool { return c.Status == compare.Unexplained }) {
		entries = append([]compare.Cause{{Cause: compare.Unexplained, Status: compare.Unexplained, Share: compare.NewRatio(0, r.Causes.Differing)}}, entries...)
	}
	return entries
}

// causeMeaning says what a cause is; nothing of what is unexplained because nobody
// has looked.
func causeMeaning(r *compare.Result, c compare.Cause) string {
	if c.Status == compare.Unexplained && (c.Keys == 0 || !r.Causes.EvidenceRead) {
		return ""
	}
	return compare.CauseMeaning(c.Cause)
}

// causeNote says of a cause what happened, and what shows it for one key.
func causeNote(r *compare.Result, c compare.Cause) string {
	switch meaning := causeMeaning(r, c); {
	case meaning == "", c.Status == compare.Unexplained && c.Evidence != "": // which says where the evidence stops
		return c.Evidence
	case c.Evidence == "":
		return meaning
	default:
		return meaning + ". The key that differs most: " + c.Evidence
	}
}

// unexamined says what of the unexplained nobody has looked at; "" where all was.
func unexamined(c compare.Causes) string {
	switch {
	case !c.EvidenceRead:
		return "The raw events were not read."
	case c.Unexamined > 0:
		return fmt.Sprintf("Of the unexplained %s not examined: their raw events were not read.", wasWere(c.Unexamined))
	}
	return ""
}

func wasWere(n int64) string {
	if n == 1 {
		return "1 was"
	}
	return count(n) + " were"
}

// took is how long a run took.
func took(r *compare.Result) time.Duration {
	return time.Duration(r.Seconds * float64(time.Second)).Round(time.Millisecond)
}

// delta is the difference of a metric in a list.
func delta(ms []compare.MetricDelta, name string) (d compare.MetricDelta, ok bool) {
	i := slices.IndexFunc(ms, func(m compare.MetricDelta) bool { return m.Name == name })
	if i < 0 {
		return compare.MetricDelta{Name: name}, false
	}
	return ms[i], true
}

// dayMetric is a metric of a day; without one, nothing of it.
func dayMetric(d compare.Day, name string) compare.DayMetric {
	if i := slices.IndexFunc(d.Metrics, func(m compare.DayMetric) bool { return m.Name == name }); i >= 0 {
		return d.Metrics[i]
	}
	return compare.DayMetric{Name: name}
}

// byWorth are the samples with those first that somebody should look at
// first.
func byWorth(r *compare.Result) []compare.Sample {
	rank := map[string]int{compare.Unexplained: 0, compare.Likely: 1, compare.Proven: 2, compare.Known: 3}
	samples := slices.Clone(r.Samples)
	slices.SortStableFunc(samples, func(a, b compare.Sample) int { return rank[a.Status] - rank[b.Status] })
	return samples
}

// sampleText is the key of a sample.
func sampleText(s compare.Sample) string {
	parts := make([]string, len(s.Key))
	for i, k := range s.Key {
		parts[i] = plain(k.Column) + "=" + orNull(k.Value)
	}
	return strings.Join(parts, ", ")
}

// rowsText is how many rows a sample is made of.
func rowsText(s compare.Sample) string {
	counts := "count"
	if s.StreamRows == 1 {
		counts = "counts"
	}
	return fmt.Sprintf("%s on the batch side, %s that %s on the stream side", countOf(s.BatchRows, "row"), countOf(s.StreamRows, "row"), counts)
}

// causeText is the cause of a sample, with how sure it is.
func causeText(s compare.Sample) string {
	if s.Status == compare.Unexplained {
		return s.Cause
	}
	return s.Cause + " (" + s.Status + ")"
}

// knownText says of a known difference what became of it.
func knownText(k compare.KnownDifference) string {
	switch k.State {
	case compare.KnownUnused:
		return "unused: it matches no key, remove it"
	case compare.KnownExpired:
		return "expired: what it matches is unexplained"
	case compare.KnownOverLimit:
		return "over its limit: what it matches is unexplained"
	}
	return k.State
}

// holds reports whether what a known difference matches counts as explained.
func holds(k compare.KnownDifference) bool {
	return k.State == compare.KnownUsed || k.State == compare.KnownUnused
}

// secondLookText is a second look in a sentence.
func secondLookText(l compare.SecondLook) string {
	return fmt.Sprintf("of %s that the last run left out as not settled %s compared now: %s in them differ; %s still open",
		countOf(l.Windows, "window"), isAre(l.Compared), countOf(l.Differing, "key"), countOf(int64(len(l.StillOpen)), "span"))
}

func isAre(n int64) string {
	if n == 1 {
		return "1 is"
	}
	return count(n) + " are"
}

// baselineText is a baseline in a sentence.
func baselineText(b compare.Baseline) string {
	return fmt.Sprintf("%s of %s (%s exact then): %s new, %s of them unexplained; %s gone, %s as then",
		plain(b.File), minute(b.Started), percentOf(b.Exact), countOf(b.New, "differing key"), count(b.NewUnexplained), count(b.Gone), count(b.Same))
}

// specChanged reports whether the spec of a run before was another one.
func specChanged(r *compare.Result, hash string) bool { return hash != "" && hash != r.SpecHash }

var classMeanings = map[string]string{
	compare.ClassExact:     "on both sides, every metric equal",
	compare.ClassTolerated: "equal within a declared tolerance",
	compare.ClassMismatch:  "on both sides, some metric differs",
	compare.ClassMissing:   "only on the batch side",
	compare.ClassExtra:     "only on the stream side",
	compare.ClassNonunique: "several rows where one belongs",
}

// share is a part of a value as a percentage; a dash of nothing.
func share(num, den string) string { return percentOf(compare.Ratio{Num: num, Den: den}) }

func percentOf(r compare.Ratio) string { return r.Text() }

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

// count is a number with thousands separators, countOf with what is counted.
var (
	count   = term.Count
	countOf = report.Quantity
)

// digits sets thousands separators in a decimal text.
func digits(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		sign, s = s[:1], s[1:]
	}
	fraction := ""
	if i := strings.IndexByte(s, '.'); i >= 0 {
		s, fraction = s[:i], s[i:]
	}
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String() + fraction
}

// segmentText is a value of a segment in each of its columns.
func segmentText(v compare.SegmentValue) string { return strings.Join(segmentTexts(v), ", ") }
