package compare

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// WriteText writes the result for people: what decides on the first screen,
// then what to look at. Lines are cut at width; color uses ANSI codes.
func (r *Result) WriteText(w io.Writer, width int, color bool) error {
	t := &textReport{width: max(width, 40), color: color}
	t.verdict(r)
	t.counts(r)
	t.metrics(r)
	t.causes(r)
	t.scope(r)
	t.freshness(r)
	t.worst(r)
	t.samples(r)
	t.cost(r)
	_, err := io.WriteString(w, t.b.String())
	return err
}

type textReport struct {
	b     strings.Builder
	width int
	color bool
}

// ANSI styles.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (t *textReport) style(code, s string) string {
	if !t.color || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// line writes one line, cut at the width before it is styled.
func (t *textReport) line(code, format string, args ...any) {
	s := cut(strings.TrimRight(fmt.Sprintf(format, args...), " "), t.width)
	if code != "" {
		s = t.style(code, s)
	}
	t.b.WriteString(s + "\n")
}

func (t *textReport) heading(format string, args ...any) {
	t.b.WriteString("\n")
	t.line(bold, format, args...)
}

// wrapped writes a text that may take several lines, indented.
func (t *textReport) wrapped(code, indent, s string) {
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && utf8.RuneCountInString(indent+line+" "+word) > t.width {
			t.line(code, "%s%s", indent, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	if line != "" {
		t.line(code, "%s%s", indent, line)
	}
}

// table writes rows in aligned columns; a column whose name in align is 'r' is
// aligned to the right.
func (t *textReport) table(align string, rows [][]string) {
	widths := make([]int, len(align))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			b.WriteString("  ")
			if align[i] == 'r' {
				b.WriteString(pad + cell)
			} else {
				b.WriteString(cell + pad)
			}
		}
		code := ""
		if n == 0 {
			code = dim
		}
		t.line(code, "%s", b.String())
	}
}

func verdictStyle(v string) string {
	switch v {
	case Go:
		return green
	case Hold:
		return red
	}
	return yellow
}

func (t *textReport) verdict(r *Result) {
	headline := r.Verdict.Verdict + "  " + r.Comparison
	if r.Counts.Total > 0 {
		headline += fmt.Sprintf(": %s %% of %s exact", r.Exact.Percent(2), countOf(r.Counts.Total, "key"))
	}
	t.line(bold+";"+verdictStyle(r.Verdict.Verdict), "%s", headline)
	if r.Description != "" {
		t.wrapped("", "", plain(r.Description))
	}
	t.wrapped("", "", "Decided by "+r.Verdict.Rule+".")
	for _, c := range r.Verdict.Checks {
		mark, code := "met    ", green
		if !c.OK {
			mark, code = "NOT MET", red
		}
		t.line(code, "  %s  %s: %s (%s)", mark, c.Rule, c.Got, c.Want)
	}
	for _, s := range r.Warnings {
		t.wrapped(yellow, "  ", "warning: "+plain(s))
	}
}

func (t *textReport) counts(r *Result) {
	if r.Counts.Total == 0 {
		return
	}
	t.heading("%s compared", countOf(r.Counts.Total, "key"))
	head := []string{"class", "keys", "share"}
	for _, m := range r.Metrics {
		head = append(head, "by "+m.Name)
	}
	rows := [][]string{head}
	for _, c := range Classes {
		n := r.Counts.Of(c)
		if c == ClassTolerated && n == 0 {
			continue // no tolerance is declared
		}
		row := []string{c, count(n), NewRatio(n, r.Counts.Total).Percent(2) + " %"}
		for _, m := range r.Metrics {
			row = append(row, share(m.Weight[c], m.Exact.Den))
		}
		rows = append(rows, row)
	}
	t.table("lrr"+strings.Repeat("r", len(r.Metrics)), rows)
}

func share(num, den string) string {
	p := Ratio{num, den}.Percent(2)
	if p == "n/a" {
		return "-"
	}
	return p + " %"
}

func (t *textReport) metrics(r *Result) {
	if len(r.Metrics) == 0 {
		return
	}
	t.heading("Values")
	rows := [][]string{{"metric", "batch", "stream", "stream - batch", "absolute"}}
	for _, m := range r.Metrics {
		rows = append(rows, []string{m.Name, total(m.BatchTotal), total(m.StreamTotal), signed(m.Difference), digits(m.Absolute)})
	}
	t.table("lrrrr", rows)
}

func total(s string) string {
	if s == "" {
		return "-"
	}
	return digits(s)
}

func signed(s string) string {
	if s != "0" && !strings.HasPrefix(s, "-") {
		s = "+" + s
	}
	return digits(s)
}

func (t *textReport) causes(r *Result) {
	if r.Causes.Differing == 0 {
		return
	}
	verb := "differ"
	if r.Causes.Differing == 1 {
		verb = "differs"
	}
	t.heading("Why %s %s: %s %% explained", countOf(r.Causes.Differing, "key"), verb, r.Causes.Explained.Percent(2))
	rows := [][]string{{"cause", "", "keys", "share"}}
	if r.Causes.Unexplained == 0 {
		rows = append(rows, []string{Unexplained, "", "0", "0.00 %"})
	}
	for _, c := range r.Causes.Entries {
		status := c.Status
		if status == Unexplained {
			status = ""
		}
		rows = append(rows, []string{c.Cause, status, count(c.Keys), c.Share.Percent(2) + " %"})
	}
	t.table("llrr", rows)
}

func (t *textReport) scope(r *Result) {
	s := r.Scope
	t.heading("%s of %s compared", countOf(s.Windows, "window"), s.WindowSize)
	if !s.Range.From.IsZero() || !s.Range.To.IsZero() {
		how := "as asked for"
		if s.Default {
			how = "as far as the batch loads reach"
		}
		t.line("", "  from %s to %s, %s", stamp(s.Range.From), stamp(s.Range.To), how)
	}
	if len(s.LeftOut) == 0 {
		t.line("", "  nothing left out")
	}
	for _, l := range s.LeftOut {
		t.wrapped("", "  ", "left out: "+l.text())
		for i, x := range l.Ranges {
			if i == 5 {
				t.line(dim, "    and %s", countOf(int64(len(l.Ranges)-i), "further span"))
				break
			}
			t.line(dim, "    %s to %s", stamp(x.From), stamp(x.To))
		}
	}
}

// text is the left-out windows in a sentence.
func (l LeftOut) text() string {
	if l.Windows == 0 {
		return plain(l.Message)
	}
	return fmt.Sprintf("%s, %s: %s", countOf(l.Windows, "window"), l.Reason, plain(l.Message))
}

func (t *textReport) freshness(r *Result) {
	t.heading("Freshness")
	batch := fmt.Sprintf("  batch   %s", countOf(r.Batch.Loads, "load"))
	if r.Batch.CoveredTo != nil && r.Batch.LastLoaded != nil {
		batch += fmt.Sprintf(" up to %s, the last at %s", stamp(*r.Batch.CoveredTo), stamp(*r.Batch.LastLoaded))
	}
	t.line("", "%s", batch)
	for _, j := range r.Stream.Jobs {
		state := "watermark unknown"
		switch {
		case j.Problem != "":
			state = j.Problem
		case j.AtMaximum:
			state = "all there is has been read"
		case j.Watermark != nil:
			state = "watermark " + stamp(*j.Watermark)
		}
		at := ""
		if j.ObservedAt != nil {
			at = ", seen at " + stamp(*j.ObservedAt)
		}
		t.line("", "  stream  %s: %s%s", writerName(plain(j.Job), j.Generation), plain(state), at)
	}
	for _, g := range r.Stream.Generations {
		name := writerName(plain(g.Job), g.Generation)
		switch {
		case !g.Counts:
			t.line(yellow, "  %s does not count (%s): %s left out", name, plain(g.Reason), countOf(g.Ignored, "row"))
		case g.Within != nil || g.Ignored > 0:
			t.line(yellow, "  %s: %s left out, counts %s", name, countOf(g.Ignored, "row"), g.where())
		}
	}
}

// worstShown bounds the worst lists of the text report.
const worstShown = 5

func (t *textReport) worst(r *Result) {
	if r.Counts.Differing() == 0 {
		return
	}
	deltas := func(row []string, ms []MetricDelta) []string {
		for _, m := range ms {
			row = append(row, signed(m.Difference))
		}
		return row
	}
	head := func(name string) []string {
		row := []string{name, "keys", "differ"}
		for _, m := range r.Metrics {
			row = append(row, m.Name)
		}
		return row
	}
	align := "lrr" + strings.Repeat("r", len(r.Metrics))
	rows := [][]string{head("window")}
	for _, w := range r.worstWindows(worstShown) {
		rows = append(rows, deltas([]string{stamp(w.Start), count(w.Counts.Total), count(w.Counts.Differing())}, w.Metrics))
	}
	t.heading("Worst windows (stream - batch)")
	t.table(align, rows)
	for _, s := range r.Segments {
		rows := [][]string{head(s.Column)}
		for _, v := range s.Worst[:min(worstShown, len(s.Worst))] {
			rows = append(rows, deltas([]string{orNull(v.Value), count(v.Counts.Total), count(v.Counts.Differing())}, v.Metrics))
		}
		t.heading("Worst by %s (stream - batch)", s.Column)
		t.table(align, rows)
	}
}

func (t *textReport) samples(r *Result) {
	if len(r.Samples) == 0 {
		return
	}
	t.heading("Samples (batch -> stream)")
	head := []string{"class"}
	for _, k := range r.Samples[0].Key {
		head = append(head, k.Column)
	}
	head = append(head, "window", "cause")
	for _, m := range r.Samples[0].Metrics {
		head = append(head, m.Name)
	}
	rows := [][]string{head}
	for _, s := range r.Samples {
		row := []string{s.Class}
		for _, k := range s.Key {
			row = append(row, orNull(k.Value))
		}
		row = append(row, stamp(s.Window), s.Cause)
		for _, m := range s.Metrics {
			row = append(row, absent(m.Batch)+" -> "+absent(m.Stream))
		}
		rows = append(rows, row)
	}
	t.table(strings.Repeat("l", len(rows[0])), rows)
	t.heading("SQL of the first sample (all others: JSON and HTML report)")
	// Never cut: it is there to be copied.
	t.b.WriteString(r.Samples[0].SQL + "\n")
}

func (t *textReport) cost(r *Result) {
	t.heading("Cost")
	c := r.Cost
	t.line("", "  reconciliation  %s read, %s estimated, %s billed%s", bytesText(c.Processed), bytesText(c.Estimated), bytesText(c.Billed), c.TimesBound())
	t.line("", "  evidence        %s", bytesText(c.Evidence))
	for _, j := range c.Jobs {
		t.line(dim, "  job %s (%s)", j.ID, j.Purpose)
	}
	t.line(dim, "  started %s, took %s", stamp(r.Started), time.Duration(r.Seconds*float64(time.Second)).Round(time.Millisecond))
	t.line(dim, "  spec %s", r.SpecHash)
}

// TimesBound says how many times the least possible was billed.
func (c Cost) TimesBound() string {
	if c.LowerBound == 0 || c.Billed == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.2f times the least possible)", float64(c.Billed)/float64(c.LowerBound))
}
