package compare

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
)

//go:embed report.html.tmpl
var reportTemplate string

var reportHTML = template.Must(template.New("report").Funcs(template.FuncMap{
	"count": count, "countOf": countOf, "digits": digits, "signed": signed, "total": total, "bytes": bytesText,
	"stamp": stamp, "orNull": orNull, "absent": absent, "writer": writerName, "where": Writer.where, "join": strings.Join,
	"percent": func(r Ratio) string { return r.Percent(2) },
	"share":   share,
	"leftOut": LeftOut.text,
	"seconds": func(s float64) string { return strconv.FormatFloat(s, 'f', 1, 64) },
	"isNull":  func(s *string) bool { return s == nil },
}).Parse(reportTemplate))

// htmlView is what the template shows beside the result itself.
type htmlView struct {
	*Result
	Time    *chart
	Heat    *chart
	Diffs   []*chart
	Classes []classRow
	Causes  []causeRow
	Worst   []WindowResult
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
	Width   string
}

var classMeanings = map[string]string{
	ClassExact:     "on both sides, every metric equal",
	ClassTolerated: "equal within a declared tolerance",
	ClassMismatch:  "on both sides, some metric differs",
	ClassMissing:   "only on the batch side",
	ClassExtra:     "only on the stream side",
	ClassNonunique: "several rows where one belongs",
}

// WriteHTML writes the result as one self-contained page: it loads nothing,
// follows the reader's light or dark scheme, and works without scripts, but
// for sorting and filtering the samples.
func (r *Result) WriteHTML(w io.Writer) error {
	v := htmlView{Result: r, Heat: heatMap(r), Worst: r.worstWindows(10)}
	gate, err := strconv.ParseFloat(r.Gate.MinExactPercent, 64)
	if err != nil {
		gate = 0 // drawn nowhere; the decision was made on the exact fraction
	}
	v.Time = overTime(r, min(gate, 100))
	for i := range r.Metrics {
		if c := differences(r, i); c != nil {
			v.Diffs = append(v.Diffs, c)
		}
	}
	for _, c := range Classes {
		n := r.Counts.Of(c)
		if c == ClassTolerated && n == 0 {
			continue
		}
		row := classRow{Class: c, Meaning: classMeanings[c], Keys: n, Share: NewRatio(n, r.Counts.Total), Width: px(percent(n, r.Counts.Total))}
		for _, m := range r.Metrics {
			row.Weights = append(row.Weights, share(m.Weight[c], m.Exact.Den))
		}
		v.Classes = append(v.Classes, row)
	}
	if r.Causes.Unexplained == 0 {
		v.Causes = append(v.Causes, causeRow{Cause: Cause{Unexplained, Unexplained, 0, NewRatio(0, r.Causes.Differing)}, Meaning: causeMeaning(Unexplained), Width: "0"})
	}
	for _, c := range r.Causes.Entries {
		v.Causes = append(v.Causes, causeRow{Cause: c, Meaning: causeMeaning(c.Cause), Width: px(percent(c.Keys, r.Causes.Differing))})
	}
	if err := reportHTML.Execute(w, v); err != nil {
		return fmt.Errorf("write HTML report: %w", err)
	}
	return nil
}

var flawMeanings = map[string]string{
	"late_dropped_by_batch":  "the batch job had closed the window before the report arrived; the stream counted it",
	"duplicates_in_batch":    "the batch side counted an event more than once",
	"late_dropped_by_stream": "the event was later than the stream's horizon and went to the late table",
	"duplicates_in_stream":   "the stream side counted an event more than once",
	Unexplained:              "no combination of known flaws reproduces both sides from the raw events",
}

func causeMeaning(cause string) string {
	if strings.Contains(cause, " or ") {
		return "more than one combination of flaws reproduces both sides"
	}
	var parts []string
	for _, flaw := range strings.Split(cause, " + ") {
		parts = append(parts, flawMeanings[flaw])
	}
	return strings.Join(parts, "; ")
}

// Exactly is the whole-number share as a fraction, for a tooltip.
func (v htmlView) Exactly() string {
	return digits(v.Exact.Num) + " of " + digits(v.Exact.Den) + " keys"
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

// DifferingShare is the share of keys that are not exact.
func (v htmlView) DifferingShare() Ratio { return NewRatio(v.Counts.Differing(), v.Counts.Total) }
