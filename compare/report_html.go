package compare

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"
)

//go:embed report.html.tmpl
var reportTemplate string

//go:embed report.html.css
var reportStyle string

//go:embed report.html.js
var reportScript string

var reportHTML = template.Must(template.New("report").Funcs(template.FuncMap{
	"count": count, "countOf": countOf, "digits": digits, "signed": signed, "total": total, "bytes": bytesText, "plain": plain, "lines": plainLines,
	"stamp": moment, "date": func(t time.Time) string { return t.UTC().Format(time.DateOnly) }, "orNull": orNull, "absent": absent, "writer": writerName, "where": Writer.where, "join": strings.Join,
	"percent": percentOf, "share": share, "delta": func(ms []MetricDelta, name string) MetricDelta { d, _ := delta(ms, name); return d },
	"exact":   func(c Counts) Ratio { return NewRatio(c.Exact, c.Total) },
	"part":    NewRatio,
	"leftOut": LeftOut.text, "job": JobState.text, "how": Metric.how, "known": KnownDifference.stateText, "holds": KnownDifference.holds,
	"second": SecondLook.text, "baseline": Baseline.text, "gate": Gate.text, "windows": Scope.windowText, "side": SideScope.scopeText,
	"batchText": BatchFreshness.text, "streamText": StreamFreshness.text, "sampleText": Sample.text, "span": rangeText,
	"approximate": func() string { return approximateSegment },
	"decided":     Verdict.decided, "dayMetric": Day.metric,
	"lenOf": func(n int, unit string) string { return countOf(int64(n), unit) },
	"json":  jsonText, "keyColumns": keyColumns, "keyTexts": keyTexts, "segmentTexts": segmentTexts,
	"millis":  time.Time.UnixMilli,
	"seconds": func(s float64) string { return strconv.FormatFloat(s, 'f', 1, 64) },
	"isNull":  func(s *string) bool { return s == nil },
}).Parse(reportTemplate))

// scriptSource lets the browser run the page's own script and no other, whatever
// the data holds.
var scriptSource = func() string {
	sum := sha256.Sum256([]byte(reportScript))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// htmlView is what the template shows beside the result itself.
type htmlView struct {
	*Result
	Style        template.CSS
	Script       template.JS
	ScriptSource string
	Trend        *chart
	Time         *chart
	Bar          *chart
	Map          *heatChart
	Diffs        []*chart
	ClassRows    []classRow
	CauseRows    []causeRow
	Worst        []WindowResult
	Sorted       []Sample
	DayRows      []dayRow
	Met          int // days
}

type dayRow struct {
	Day
	Name    string
	Counted bool // by the gate
}

type classRow struct {
	Class   string
	Meaning string
	Keys    int64
	Share   Ratio
	Width   string // of the bar, in percent
	Weights []string
}

type causeRow struct {
	Cause
	Meaning string
}

// worstInPage bounds the worst windows of the page.
const worstInPage = 10

// WriteHTML writes the result as one self-contained page: it loads nothing,
// follows the reader's light or dark scheme, and works without scripts, but
// for filtering the samples and copying SQL.
func (r *Result) WriteHTML(w io.Writer) error {
	v := htmlView{Result: r, Style: template.CSS(reportStyle), Script: template.JS(reportScript), ScriptSource: scriptSource,
		Trend: trendChart(r), Bar: causeBar(r), Map: heatMap(r), Worst: r.worstWindows(worstInPage), Sorted: r.samplesByWorth(), Met: r.daysMet()}
	for i, d := range r.Days {
		v.DayRows = append(v.DayRows, dayRow{d, r.dayText(d), i >= len(r.Days)-r.countedDays()})
	}
	gate, err := strconv.ParseFloat(cmp.Or(r.Gate.MinExactPercent, "0"), 64)
	if err != nil {
		gate = 0 // drawn nowhere; the decision was made on the exact fraction
	}
	v.Time = overTime(r, min(gate, 100))
	for i := range r.Metrics {
		if c := differences(r, i); c != nil {
			v.Diffs = append(v.Diffs, c)
		}
	}
	for _, c := range r.shownClasses() {
		n := r.Counts.Of(c)
		row := classRow{Class: c, Meaning: classMeanings[c], Keys: n, Share: NewRatio(n, r.Counts.Total), Width: px(percent(n, r.Counts.Total))}
		for _, m := range r.Metrics {
			row.Weights = append(row.Weights, share(m.Weight[c], m.Exact.Den))
		}
		v.ClassRows = append(v.ClassRows, row)
	}
	for _, c := range r.causes() {
		v.CauseRows = append(v.CauseRows, causeRow{c, causeMeaning(c.Cause)})
	}
	if err := reportHTML.Execute(w, v); err != nil {
		return fmt.Errorf("write HTML report: %w", err)
	}
	return nil
}

// jsonText is a list for the page's script, in an attribute.
func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// keyColumns and keyTexts are the key of a sample as the page's script matches it
// with a segment; NULL is the text NULL.
func keyColumns(s Sample) []string {
	names := make([]string, len(s.Key))
	for i, k := range s.Key {
		names[i] = k.Column
	}
	return names
}

func keyTexts(s Sample) []string {
	values := make([]string, len(s.Key))
	for i, k := range s.Key {
		values[i] = orNull(k.Value)
	}
	return values
}

// segmentTexts are the values of a segment likewise.
func segmentTexts(v SegmentValue) []string {
	values := make([]string, len(v.Values))
	for i, s := range v.Values {
		values[i] = orNull(s)
	}
	return values
}

var flawMeanings = map[string]string{
	"late_dropped_by_batch":  "the batch job had closed the window before the report arrived; the stream counted it",
	"duplicates_in_batch":    "the batch side counted an event more than once",
	"late_dropped_by_stream": "the event was later than the stream's horizon and went to the late table",
	"duplicates_in_stream":   "the stream side counted an event more than once",
	Unexplained:              "no combination of known flaws reproduces both sides from the raw events",
}

// causeMeaning says in words what a cause is, where there are words for it; the
// evidence of a cause says it of its keys.
func causeMeaning(cause string) string {
	if strings.Contains(cause, " or ") {
		return "more than one combination of flaws reproduces both sides"
	}
	var parts []string
	for _, flaw := range strings.Split(cause, " + ") {
		if m := flawMeanings[flaw]; m != "" {
			parts = append(parts, m)
		}
	}
	return strings.Join(parts, "; ")
}

// Exactly is the whole-number share as a fraction, for a tooltip.
func (v htmlView) Exactly() string {
	return digits(v.Exact.Num) + " of " + digits(v.Exact.Den) + " keys"
}

// SpecChanged reports whether an earlier run had another spec.
func (v htmlView) SpecChanged(hash string) bool { return v.changed(hash) }

// LeftOutWindows are all windows that were left out, as far as they were counted.
func (v htmlView) LeftOutWindows() (n int64) {
	for _, l := range v.Scope.LeftOut {
		n += l.Windows
	}
	return n
}

// VerdictClass is the CSS class of the verdict.
func (v htmlView) VerdictClass() string {
	switch v.Verdict.Verdict {
	case Go:
		return "go"
	case Hold:
		return "hold"
	}
	return "nodata"
}
