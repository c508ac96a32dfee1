package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/term"
)

// Bounds of the Markdown report: a comment on a pull request holds 64 KiB.
const (
	markdownCauses  = 20
	markdownSamples = 5
	markdownWorst   = 5
	markdownJobs    = 20
	markdownSQL     = 4000 // bytes of the SQL of a sample
)

// WriteMarkdown writes a short report for a pull request or a chat: what decides,
// with the details folded away.
func WriteMarkdown(w io.Writer, r *compare.Result) error {
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
		m.printf("| %s |\n", strings.ReplaceAll(strings.Join(row, " | "), " %", "\u00a0%")) // one word, also in a narrow column
	}
	m.printf("\n")
}

// folded writes what is seen only after a click.
func (m *markdownReport) folded(title string, body func()) {
	m.printf("<details><summary>%s</summary>\n\n", markdown(title))
	body()
	m.printf("</details>\n\n")
}

var verdictSigns = map[string]string{compare.Go: "✅", compare.Hold: "❌", compare.NoData: "⚠️"}

func (m *markdownReport) verdict(r *compare.Result) {
	m.printf("## %s %s: %s\n\n", verdictSigns[r.Verdict.Verdict], r.Verdict.Verdict, markdown(r.Comparison))
	if r.Description != "" {
		m.printf("%s\n\n", markdownStart(r.Description))
	}
	m.printf("%s\n\n", markdown(decided(r.Verdict)))
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
	m.printf("Gate: %s.\n\n", markdown(gateText(r.Gate)))
}

func (m *markdownReport) tables(r *compare.Result) {
	if r.Counts.Total == 0 {
		return
	}
	head := []string{"class", "keys", "share"}
	for _, x := range r.Metrics {
		head = append(head, "by "+markdown(x.Name))
	}
	var rows [][]string
	for _, c := range shownClasses(r) {
		n := r.Counts.Of(c)
		row := []string{c, count(n), compare.NewRatio(n, r.Counts.Total).Percent(2) + " %"}
		for _, x := range r.Metrics {
			row = append(row, share(x.Weight[c], x.Exact.Den))
		}
		rows = append(rows, row)
	}
	agree := []string{"exact or tolerated", count(r.Counts.Exact + r.Counts.Tolerated), percentOf(r.Agree)}
	unexplained := []string{compare.Unexplained, count(r.Causes.Unexplained), percentOf(compare.NewRatio(r.Causes.Unexplained, r.Counts.Total))}
	all := []string{"**all**", count(r.Counts.Total), percentOf(r.Exact) + " exact"}
	for _, x := range r.Metrics {
		agree, unexplained, all = append(agree, percentOf(x.Agree)), append(unexplained, percentOf(x.Unexplained)), append(all, percentOf(x.Exact)+" exact")
	}
	if r.Counts.Tolerated > 0 {
		rows = append(rows, agree)
	}
	rows = append(rows, unexplained, all)
	m.table(1, head, rows)
	rows = nil
	for _, x := range r.Metrics {
		rows = append(rows, []string{markdown(x.Name), total(x.BatchTotal), total(x.StreamTotal), signed(x.Difference), digits(x.Absolute)})
	}
	m.table(1, []string{"metric", "batch", "stream", "stream - batch", "absolute"}, rows)
	for _, x := range r.Metrics {
		if note := how(x); note != "" {
			m.printf("%s: %s.\n\n", markdownStart(x.Name), markdown(note))
		}
	}
}

func (m *markdownReport) causes(r *compare.Result) {
	if r.Causes.Differing == 0 {
		return
	}
	m.printf("%s %% of %s that differ are explained; %s unexplained.\n\n", r.Causes.Explained.Percent(2), countOf(r.Causes.Differing, "key"), isAre(r.Causes.Unexplained))
	var rows [][]string
	for i, c := range causesOf(r) {
		if i == markdownCauses {
			break
		}
		status := c.Status
		if status == compare.Unexplained {
			status = ""
		}
		row := []string{markdown(c.Cause), status, count(c.Keys), percentOf(c.Share)}
		for _, x := range r.Metrics {
			d, _ := delta(c.Metrics, x.Name)
			row = append(row, signed(d.Difference))
		}
		rows = append(rows, row)
	}
	head := []string{"cause", "", "keys", "share"}
	for _, x := range r.Metrics {
		head = append(head, markdown(x.Name))
	}
	m.table(2, head, rows)
	for _, c := range causesOf(r)[:len(rows)] { // below: in the table they would be a narrow column
		if meaning := cmp.Or(causeMeaning(r, c), c.Evidence); meaning != "" && c.Keys > 0 {
			m.printf("- %s: %s\n", markdown(c.Cause), markdown(meaning))
		}
	}
	m.printf("\n")
	if more := len(causesOf(r)) - len(rows); more > 0 {
		m.printf("And %s: see the other reports.\n\n", countOf(int64(more), "further cause"))
	}
	if note := unexamined(r.Causes); note != "" {
		m.printf("%s\n\n", note)
	}
}

func (m *markdownReport) scope(r *compare.Result) {
	m.printf("%s %s compared", countOf(r.Scope.Windows, "window"), markdown(windowsText(r.Scope)))
	if !r.Scope.Range.From.IsZero() {
		m.printf(", %s", rangeText(r.Scope.Range))
	}
	m.printf("; ")
	for i, l := range r.Scope.LeftOut {
		if i > 0 {
			m.printf("; ")
		}
		m.printf("left out: %s", markdown(leftOutText(l)))
	}
	if len(r.Scope.LeftOut) == 0 {
		m.printf("nothing left out")
	}
	if parts := partsText(r); parts != "" {
		m.printf("; %s", parts)
	}
	m.printf(". A key is %s and the window.\n\n", markdown(strings.Join(r.Scope.Keys, ", ")))
	m.table(4, []string{"side", "read from", "", "how fresh"}, [][]string{
		{"batch", markdown(sideText(r.Scope.Batch)), countOf(r.Batch.Rows, "row"), markdown(batchText(r))},
		{"stream", markdown(sideText(r.Scope.Stream)), streamRows(r), markdown(streamText(r))}})
	for _, j := range r.Stream.Jobs {
		if j.Problem != "" {
			m.printf("Job %s: %s.\n\n", markdown(j.Job), markdown(j.Problem))
		}
	}
}

func (m *markdownReport) days(r *compare.Result) {
	if len(r.Days) == 0 {
		return
	}
	title := countOf(int64(len(r.Days)), "settled day")
	if r.Gate.Days > 0 {
		title = fmt.Sprintf("Days: %d of %d that the gate wants are met", daysMet(r), r.Gate.Days)
	}
	m.folded(title, func() {
		var rows [][]string
		for _, d := range r.Days {
			met := "met"
			if !d.OK {
				met = "**not met**: " + markdown(d.Why)
			}
			rows = append(rows, []string{dayText(r, d), met, count(d.Counts.Total), percentOf(compare.NewRatio(d.Counts.Exact, d.Counts.Total)), count(d.Unexplained)})
		}
		m.table(2, []string{"day", "gate", "keys", "exact", compare.Unexplained}, rows)
	})
}

// runs is what other runs and known differences say.
func (m *markdownReport) runs(r *compare.Result) {
	if hasTrend(r) {
		exact, verdicts := make([]float64, len(r.Trend)), ""
		for i, p := range r.Trend {
			exact[i] = exactPercent(p)
			verdicts += verdictMark(p.Verdict)
		}
		m.printf("Last %s: `%s` exact, `%s` verdicts (+ GO, x HOLD, ? NO DATA), %s in a row said GO.\n\n", countOf(int64(len(r.Trend)), "run"), sparkline(exact), verdicts, count(int64(r.Passes)))
	}
	if l := r.Last; l != nil {
		m.printf("Last run %s: %s, %s exact.\n\n", markdown(l.ID), l.Verdict, percentOf(l.Exact))
	}
	if b := r.Baseline; b != nil {
		m.printf("Baseline %s.\n\n", markdown(baselineText(*b)))
	}
	if l := r.SecondLook; l != nil {
		m.printf("Second look: %s.\n\n", markdown(secondLookText(*l)))
	}
	if len(r.Known) > 0 {
		m.folded(countOf(int64(len(r.Known)), "known difference"), func() {
			var rows [][]string
			for _, k := range r.Known {
				state := markdown(knownText(k))
				if !holds(k) {
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

func (m *markdownReport) worst(r *compare.Result) {
	if r.Counts.Differing() == 0 {
		return
	}
	m.folded("Where most keys differ", func() {
		row := func(name string, c compare.Counts) []string {
			return []string{name, count(c.Total), percentOf(compare.NewRatio(c.Exact, c.Total)), count(c.Differing())}
		}
		var rows [][]string
		for _, w := range worstWindows(r, markdownWorst) {
			rows = append(rows, append(row(moment(w.Start), w.Counts), count(w.Unexplained)))
		}
		m.table(1, []string{"window", "keys", "exact", "differ", compare.Unexplained}, rows)
		for _, s := range r.Segments {
			var rows [][]string
			for _, v := range s.Worst[:min(markdownWorst, len(s.Worst))] {
				rows = append(rows, row(markdown(cut(segmentText(v), cellShown)), v.Counts))
			}
			if len(rows) == 0 {
				continue
			}
			m.table(1, []string{markdown(strings.Join(s.Columns, ", ")), "keys", "exact", "differ"}, rows)
			if s.Approximate {
				m.printf("%s\n\n", approximateSegment)
			}
			if s.Truncated || len(s.Worst) > markdownWorst {
				m.printf("Further values have keys that differ.\n\n")
			}
		}
	})
}

func (m *markdownReport) samples(r *compare.Result) {
	samples := byWorth(r)
	if len(samples) == 0 {
		return
	}
	shown := samples[:min(markdownSamples, len(samples))]
	m.folded(fmt.Sprintf("Samples, %d of %d", len(shown), len(samples)), func() {
		for _, s := range shown {
			m.printf("**%s**, window %s: %s, %s\n\n", markdown(cut(sampleText(s), cellShown)), moment(s.Window), s.Class, markdown(causeText(s)))
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

func (m *markdownReport) cost(r *compare.Result) {
	c := r.Cost
	if len(c.Jobs) > 0 {
		m.folded(countOf(int64(len(c.Jobs)), "query job"), func() {
			var rows [][]string
			for i, j := range c.Jobs {
				if i == markdownJobs {
					rows = append(rows, []string{fmt.Sprintf("and %s", countOf(int64(len(c.Jobs)-i), "further job")), "", "", ""})
					break
				}
				rows = append(rows, []string{markdown(j.Purpose), markdown(j.ID), term.Bytes(j.Processed), term.Bytes(j.Billed)})
			}
			m.table(2, []string{"purpose", "job", "read", "billed"}, rows)
		})
	}
	m.printf("%s billed%s, %s read, %s estimated; evidence: %s read. Started %s, took %s, environment %s. Spec `%s`.\n",
		term.Bytes(c.Billed), timesBound(c), term.Bytes(c.Processed), term.Bytes(c.Estimated), term.Bytes(c.Evidence), minute(r.Started), took(r), markdown(r.Environment), plain(r.SpecHash))
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
