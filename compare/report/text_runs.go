package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/kappa-migrate/kappa/compare"
)

// trend shows the last runs as a line of blocks, so that a fall is seen at a
// glance.
func (t *textReport) trend(r *compare.Result) {
	if !hasTrend(r) {
		return
	}
	t.heading("Trend of %s, %s in a row said GO", countOf(int64(len(r.Trend)), "run"), count(int64(r.Passes)))
	points := r.Trend[max(0, len(r.Trend)-(t.width-16)):]
	exact, unexplained := make([]float64, len(points)), make([]float64, len(points))
	var verdicts strings.Builder
	low, high := -1, -1
	for i, p := range points {
		exact[i], unexplained[i] = exactPercent(p), float64(p.Unexplained)
		verdicts.WriteString(verdictMark(p.Verdict))
		if p.Keys == 0 {
			unexplained[i] = math.NaN()
			continue
		}
		if low < 0 || exact[i] < exact[low] {
			low = i
		}
		if high < 0 || exact[i] > exact[high] {
			high = i
		}
	}
	last := points[len(points)-1]
	t.line("", "  exact        %s", sparkline(exact))
	if low >= 0 {
		t.line(dim, "               %s to %s, now %s", percentOf(points[low].Exact), percentOf(points[high].Exact), percentOf(last.Exact))
	}
	t.line("", "  unexplained  %s", sparkline(unexplained))
	t.line(dim, "               now %s", countOf(last.Unexplained, "key"))
	t.line("", "  verdict      %s", verdicts.String())
	t.line(dim, "               + GO, x HOLD, ? NO DATA")
	t.line(dim, "  from %s to %s", minute(points[0].Started), minute(last.Started))
	for i := len(points) - 1; i > 0; i-- {
		if points[i].SpecHash != points[i-1].SpecHash {
			t.wrapped(yellow, "  ", fmt.Sprintf("the spec changed with %s of %s", points[i].ID, minute(points[i].Started)))
			break // the newest change: runs before it judged by other rules
		}
	}
}

func verdictMark(v string) string {
	if v == compare.NoData {
		return "?"
	}
	return passMark(v == compare.Go)
}

// exactPercent is the exact percentage of a run; NaN of one without keys.
func exactPercent(p compare.TrendPoint) float64 {
	if p.Keys == 0 {
		return math.NaN()
	}
	return p.Exact.PercentFloat()
}

// sparkline draws values between their least and their greatest; a dot for NaN.
func sparkline(values []float64) string {
	const blocks = "▁▂▃▄▅▆▇█"
	levels := []rune(blocks)
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	var b strings.Builder
	for _, v := range values {
		level := 0
		if math.IsNaN(v) {
			b.WriteRune('·')
			continue
		}
		if high > low {
			level = int((v - low) / (high - low) * float64(len(levels)-1))
		} else if high > 0 {
			level = len(levels) - 1
		}
		b.WriteRune(levels[level])
	}
	return b.String()
}

func (t *textReport) known(r *compare.Result) {
	if len(r.Known) == 0 {
		return
	}
	t.heading("Known differences")
	var rows []tableRow
	for _, k := range r.Known {
		row := tableRow{cells: []string{k.Name, k.State, count(k.Hits), count(k.Limit), k.Expires.UTC().Format("2006-01-02"), k.Owner}, note: k.Reason}
		if !holds(k) {
			row.code, row.note = yellow, knownText(k)+"; "+k.Reason
		}
		rows = append(rows, row)
	}
	t.table("llrrll", []string{"name", "state", "keys", "limit", "expires", "owner"}, rows)
}

// earlier compares this run with the one before and with the baseline.
func (t *textReport) earlier(r *compare.Result) {
	if r.Last == nil && r.SecondLook == nil && r.Baseline == nil && len(r.Transitions) == 0 {
		return
	}
	t.heading("Against earlier runs")
	if l := r.Last; l != nil {
		t.item("", "  ", "last run     ", fmt.Sprintf("%s at %s: %s, %s exact, %s", l.ID, minute(l.Started), l.Verdict, percentOf(l.Exact), rangeText(l.Range)))
		if specChanged(r, l.SpecHash) {
			t.wrapped(yellow, "  ", "the spec has changed since the last run")
		}
	}
	if b := r.Baseline; b != nil {
		t.item("", "  ", "baseline     ", baselineText(*b))
		if specChanged(r, b.SpecHash) {
			t.wrapped(yellow, "  ", "the baseline is of another spec")
		}
	}
	if l := r.SecondLook; l != nil {
		t.item("", "  ", "second look  ", secondLookText(*l))
		t.spans(l.StillOpen)
	}
	if len(r.Transitions) > 0 {
		var rows []tableRow
		for _, x := range r.Transitions {
			rows = append(rows, tableRow{cells: []string{x.From, x.To, count(x.Keys)}})
		}
		t.table("llr", []string{"class then", "class now", "keys"}, rows)
	}
}

// spansShown bounds the spans of time that the text report lists.
const spansShown = 5

func (t *textReport) spans(ranges []compare.Range) {
	for i, x := range ranges {
		if i == spansShown {
			t.line(dim, "    and %s", countOf(int64(len(ranges)-i), "further span"))
			return
		}
		t.line(dim, "    %s", rangeText(x))
	}
}

func rangeText(r compare.Range) string { return moment(r.From) + " to " + moment(r.To) }
