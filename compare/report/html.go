package report

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

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/internal/term"
)

//go:embed report.html.tmpl
var reportTemplate string

//go:embed report.html.css
var reportStyle string

//go:embed report.html.js
var reportScript string

var reportHTML = template.Must(template.New("report").Funcs(template.FuncMap{
	"count": count, "countOf": countOf, "digits": digits, "signed": signed, "total": total, "bytes": term.Bytes, "plain": plain, "lines": plainLines,
	"stamp": moment, "minute": minute, "date": func(t time.Time) string { return t.UTC().Format(time.DateOnly) }, "orNull": orNull, "absent": absent, "writer": func(job string, generation int64) string {
		return tables.Writer{Job: job, Generation: generation}.String()
	}, "where": where, "join": strings.Join,
	"percent": percentOf, "share": share, "delta": func(ms []compare.MetricDelta, name string) compare.MetricDelta { d, _ := delta(ms, name); return d },
	"exact":   func(c compare.Counts) compare.Ratio { return compare.NewRatio(c.Exact, c.Total) },
	"part":    compare.NewRatio,
	"leftOut": leftOutText, "job": jobText, "how": how, "known": knownText, "holds": holds,
	"second": secondLookText, "baseline": baselineText, "gate": func(g compare.Gate) string { return strings.ReplaceAll(gateText(g), " %", "\u00a0%") }, "windows": windowsText, "side": sideText,
	"batchText": batchText, "rowsText": rowsText, "streamText": streamText, "span": rangeText, "timesBound": timesBound,
	"approximate": func() string { return approximateSegment },
	"decided":     decided, "dayMetric": dayMetric,
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
	*compare.Result
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
	Worst        []compare.WindowResult
	Sorted       []compare.Sample
	DayRows      []dayRow
	Met          int // days
}

type dayRow struct {
	compare.Day
	Name    string
	Counted bool // by the gate
}

type classRow struct {
	Class   string
	Meaning string
	Keys    int64
	Share   compare.Ratio
	Width   string // of the bar, in percent
	Weights []string
}

type causeRow struct {
	compare.Cause
	Meaning string
}

// worstInPage bounds the worst windows of the page.
const worstInPage = 10

// WriteHTML writes the result as one self-contained page: it loads nothing,
// follows the reader's light or dark scheme, and works without scripts, but
// for filtering the samples and copying SQL.
func WriteHTML(w io.Writer, r *compare.Result) error {
	v := htmlView{Result: r, Style: template.CSS(reportStyle), Script: template.JS(reportScript), ScriptSource: scriptSource,
		Trend: trendChart(r), Bar: causeBar(r), Map: heatMap(r), Worst: worstWindows(r, worstInPage), Sorted: byWorth(r), Met: daysMet(r)}
	for i, d := range r.Days {
		v.DayRows = append(v.DayRows, dayRow{d, dayText(r, d), i >= len(r.Days)-countedDays(r)})
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
	for _, c := range shownClasses(r) {
		n := r.Counts.Of(c)
		row := classRow{Class: c, Meaning: classMeanings[c], Keys: n, Share: compare.NewRatio(n, r.Counts.Total), Width: px(percent(n, r.Counts.Total))}
		for _, m := range r.Metrics {
			row.Weights = append(row.Weights, share(m.Weight[c], m.Exact.Den))
		}
		v.ClassRows = append(v.ClassRows, row)
	}
	for _, c := range causesOf(r) {
		v.CauseRows = append(v.CauseRows, causeRow{c, causeMeaning(r, c)})
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
func keyColumns(s compare.Sample) []string {
	names := make([]string, len(s.Key))
	for i, k := range s.Key {
		names[i] = k.Column
	}
	return names
}

func keyTexts(s compare.Sample) []string {
	values := make([]string, len(s.Key))
	for i, k := range s.Key {
		values[i] = orNull(k.Value)
	}
	return values
}

// segmentTexts are the values of a segment likewise.
func segmentTexts(v compare.SegmentValue) []string {
	values := make([]string, len(v.Values))
	for i, s := range v.Values {
		values[i] = orNull(s)
	}
	return values
}

// Exactly is the whole-number share as a fraction, for a tooltip.
func (v htmlView) Exactly() string {
	return digits(v.Exact.Num) + " of " + digits(v.Exact.Den) + " keys"
}

// SpecChanged reports whether an earlier run had another spec.
func (v htmlView) SpecChanged(hash string) bool { return specChanged(v.Result, hash) }

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
	case compare.Go:
		return "go"
	case compare.Hold:
		return "hold"
	}
	return "nodata"
}
