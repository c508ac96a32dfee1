package compare

import (
	"fmt"
	"io"
	"strings"
)

// Bounds of the Markdown report: a comment on a pull request holds 64 KiB.
const (
	markdownCauses  = 20
	markdownSamples = 5
	markdownWorst   = 5
	markdownSQL     = 4000 // bytes of the SQL of a sample
)

// WriteMarkdown writes a short report for a pull request or a chat: what decides,
// with the details folded away.
func (r *Result) WriteMarkdown(w io.Writer) error {
	m := &markdownReport{}
	m.verdict(r)
	m.tables(r)
	m.causes(r)
	m.scope(r)
	m.days(r)
	m.runs(r)
	m.worst(r)
	m.samples(r)
	m.cost(r)
	_, err := io.WriteString(w, m.b.String())
	return err
}

type markdownReport struct{ b strings.Builder }

func (m *markdownReport) printf(format string, args ...any) { fmt.Fprintf(&m.b, format, args...) }

// table writes a table; cells are Markdown already. Columns after the first
// left ones are aligned to the right.
func (m *markdownReport) table(left int, head []string, rows [][]string) {
	align := make([]string, len(head))
	for i := range align {
		align[i] = "---:"
		if i < left {
			align[i] = "---"
		}
	}
	for _, row := range append([][]string{head, align}, rows...) {
		m.printf("| %s |\n", strings.Join(row, " | "))
	}
	m.printf("\n")
}

// folded writes what is seen only after a click.
func (m *markdownReport) folded(title string, body func()) {
	m.printf("<details><summary>%s</summary>\n\n", markdown(title))
	body()
	m.printf("</details>\n\n")
}

var verdictSigns = map[string]string{Go: "✅", Hold: "❌", NoData: "⚠️"}

func (m *markdownReport) verdict(r *Result) {
	m.printf("## %s %s: %s\n\n", verdictSigns[r.Verdict.Verdict], r.Verdict.Verdict, markdown(r.Comparison))
	if r.Description != "" {
		m.printf("%s\n\n", markdownStart(r.Description))
	}
	m.printf("%s\n\n", markdown(r.Verdict.decided()))
	for _, s := range r.Warnings {
		m.printf("> **Warning:** %s\n\n", markdown(s))
	}
	var rows [][]string
	for _, c := range r.Verdict.Checks {
		met := "met"
		if !c.OK {
			met = "**not met**"
		}
		rows = append(rows, []string{markdown(c.Rule), met, markdown(c.Got), markdown(c.Want)})
	}
	if len(rows) > 0 {
		m.table(4, []string{"rule", "", "got", "wanted"}, rows)
	}
}

func (m *markdownReport) tables(r *Result) {
	if r.Counts.Total == 0 {
		return
	}
	head := []string{"class", "keys", "share"}
	for _, x := range r.Metrics {
		head = append(head, "by "+markdown(x.Name))
	}
	var rows [][]string
	for _, c := range r.shownClasses() {
		n := r.Counts.Of(c)
		row := []string{c, count(n), NewRatio(n, r.Counts.Total).Percent(2) + " %"}
		for _, x := range r.Metrics {
			row = append(row, share(x.Weight[c], x.Exact.Den))
		}
		rows = append(rows, row)
	}
	rows = append(rows, []string{"**all**", count(r.Counts.Total), r.Exact.Percent(2) + " % exact"})
	for range r.Metrics {
		rows[len(rows)-1] = append(rows[len(rows)-1], "")
	}
	m.table(1, head, rows)
	rows = nil
	for _, x := range r.Metrics {
		rows = append(rows, []string{markdown(x.Name), total(x.BatchTotal), total(x.StreamTotal), signed(x.Difference), digits(x.Absolute), percentOf(x.Unexplained)})
	}
	m.table(1, []string{"metric", "batch", "stream", "stream - batch", "absolute", Unexplained}, rows)
}

func (m *markdownReport) causes(r *Result) {
	if r.Causes.Differing == 0 {
		return
	}
	m.printf("%s %% of %s that differ are explained; %s unexplained.\n\n", r.Causes.Explained.Percent(2), countOf(r.Causes.Differing, "key"), isAre(r.Causes.Unexplained))
	var rows [][]string
	for i, c := range r.causes() {
		if i == markdownCauses {
			rows = append(rows, []string{fmt.Sprintf("and %s", countOf(int64(len(r.causes())-i), "further cause")), "", "", ""})
			break
		}
		rows = append(rows, []string{markdown(c.Cause), c.Status, count(c.Keys), c.Share.Percent(2) + " %"})
	}
	m.table(2, []string{"cause", "status", "keys", "share"}, rows)
}

func (m *markdownReport) scope(r *Result) {
	m.printf("%s %s compared", countOf(r.Scope.Windows, "window"), markdown(r.Scope.windowText()))
	if !r.Scope.Range.From.IsZero() {
		m.printf(", %s", rangeText(r.Scope.Range))
	}
	m.printf("; ")
	for i, l := range r.Scope.LeftOut {
		if i > 0 {
			m.printf("; ")
		}
		m.printf("left out: %s", markdown(l.text()))
	}
	if len(r.Scope.LeftOut) == 0 {
		m.printf("nothing left out")
	}
	m.printf(". Batch: %s. Stream: %s.\n\n", markdown(r.Batch.text()), markdown(r.Stream.text()))
}

func (m *markdownReport) days(r *Result) {
	if len(r.Days) == 0 {
		return
	}
	title := countOf(int64(len(r.Days)), "settled day")
	if r.Gate.Days > 0 {
		title = fmt.Sprintf("Days: %d of %d that the gate wants are met", r.daysMet(), r.Gate.Days)
	}
	m.folded(title, func() {
		var rows [][]string
		for _, d := range r.Days {
			met := "met"
			if !d.OK {
				met = "**not met**: " + markdown(d.Why)
			}
			rows = append(rows, []string{r.dayText(d), met, count(d.Counts.Total), percentOf(NewRatio(d.Counts.Exact, d.Counts.Total)), count(d.Unexplained)})
		}
		m.table(2, []string{"day", "gate", "keys", "exact", Unexplained}, rows)
	})
}

// runs is what other runs and known differences say.
func (m *markdownReport) runs(r *Result) {
	if len(r.Trend) > 0 {
		exact, verdicts := make([]float64, len(r.Trend)), ""
		for i, p := range r.Trend {
			exact[i] = p.exactPercent()
			verdicts += verdictMark(p.Verdict)
		}
		m.printf("Last %s: `%s` exact, `%s` verdicts (+ GO, x HOLD, ? NO DATA), %s in a row said GO.\n\n", countOf(int64(len(r.Trend)), "run"), sparkline(exact), verdicts, count(int64(r.Passes)))
	}
	if l := r.Last; l != nil {
		m.printf("Last run %s: %s, %s exact.\n\n", markdown(l.ID), l.Verdict, percentOf(l.Exact))
	}
	if b := r.Baseline; b != nil {
		m.printf("Baseline %s.\n\n", markdown(b.text()))
	}
	if l := r.SecondLook; l != nil {
		m.printf("Second look: %s.\n\n", markdown(l.text()))
	}
	if len(r.Known) > 0 {
		m.folded(countOf(int64(len(r.Known)), "known difference"), func() {
			var rows [][]string
			for _, k := range r.Known {
				state := markdown(k.stateText())
				if !k.holds() {
					state = "**" + state + "**"
				}
				rows = append(rows, []string{markdown(k.Name), state, markdown(k.Owner), markdown(k.Reason), k.Expires.UTC().Format("2006-01-02"), count(k.Hits), count(k.Limit)})
			}
			m.table(5, []string{"name", "state", "owner", "reason", "expires", "keys", "limit"}, rows)
		})
	}
	if len(r.Transitions) > 0 {
		m.folded("Classes since the last run", func() {
			var rows [][]string
			for _, x := range r.Transitions {
				rows = append(rows, []string{markdown(x.From), markdown(x.To), count(x.Keys)})
			}
			m.table(2, []string{"then", "now", "keys"}, rows)
		})
	}
}

func (m *markdownReport) worst(r *Result) {
	if r.Counts.Differing() == 0 {
		return
	}
	m.folded("Where most keys differ", func() {
		row := func(name string, c Counts) []string {
			return []string{name, count(c.Total), percentOf(NewRatio(c.Exact, c.Total)), count(c.Differing())}
		}
		var rows [][]string
		for _, w := range r.worstWindows(markdownWorst) {
			rows = append(rows, row(moment(w.Start), w.Counts))
		}
		m.table(1, []string{"window", "keys", "exact", "differ"}, rows)
		for _, s := range r.Segments {
			var rows [][]string
			for _, v := range s.Worst[:min(markdownWorst, len(s.Worst))] {
				rows = append(rows, row(markdown(cut(v.text(), cellShown)), v.Counts))
			}
			if len(rows) > 0 {
				m.table(1, []string{markdown(strings.Join(s.Columns, ", ")), "keys", "exact", "differ"}, rows)
			}
		}
	})
}

func (m *markdownReport) samples(r *Result) {
	samples := r.samplesByWorth()
	if len(samples) == 0 {
		return
	}
	shown := samples[:min(markdownSamples, len(samples))]
	m.folded(fmt.Sprintf("Samples, %d of %d", len(shown), len(samples)), func() {
		for _, s := range shown {
			m.printf("**%s**, window %s: %s, %s\n\n", markdown(cut(s.text(), cellShown)), moment(s.Window), s.Class, markdown(s.causeText()))
			var rows [][]string
			for _, x := range s.Metrics {
				rows = append(rows, []string{markdown(x.Name), absent(x.Batch), absent(x.Stream), signed(x.Difference)})
			}
			m.table(1, []string{"metric", "batch", "stream", "stream - batch"}, rows)
			if s.Evidence != "" {
				m.printf("%s\n\n", markdownStart(s.Evidence))
			}
			sql := plainLines(s.SQL)
			if len(sql) > markdownSQL {
				m.printf("Its SQL is in the JSON and HTML report.\n\n")
				continue
			}
			fence := "```"
			for strings.Contains(sql, fence) {
				fence += "`"
			}
			m.printf("%ssql\n%s\n%s\n\n", fence, sql, fence)
		}
	})
}

func (m *markdownReport) cost(r *Result) {
	m.printf("%s billed%s, %s read. Spec `%s`.\n", bytesText(r.Cost.Billed), r.Cost.TimesBound(), bytesText(r.Cost.Processed), plain(r.SpecHash))
}

var markdownEscapes = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "&", "&amp;", "<", "&lt;", ">", "&gt;",
	"|", `\|`, "#", `\#`, "~", `\~`, "$", `\$`, "@", "&#64;")

// markdown makes a text from the spec or the data safe within a line: it can
// neither be markup nor mention somebody.
func markdown(s string) string { return markdownEscapes.Replace(plain(s)) }

// markdownStart is markdown of a text that begins a paragraph, and must not be a
// list or a rule.
func markdownStart(s string) string {
	s = markdown(strings.TrimSpace(s))
	if s != "" && strings.ContainsRune("-+=", rune(s[0])) {
		s = `\` + s
	}
	return s
}
