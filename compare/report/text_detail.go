package report

import (
	"fmt"
	"strings"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/internal/term"
)

func (t *textReport) scope(r *compare.Result) {
	s := r.Scope
	t.heading("%s %s compared", countOf(s.Windows, "window"), windowsText(s))
	if !s.Range.From.IsZero() || !s.Range.To.IsZero() {
		how := "as asked for"
		if s.Default {
			how = "as far as there is data that is settled"
		}
		t.wrapped("", "  ", rangeText(s.Range)+", "+how)
	}
	if len(s.Settled) > 1 {
		t.line(dim, "  in %d spans:", len(s.Settled))
		t.spans(s.Settled)
	}
	if parts := partsText(r); parts != "" {
		t.line("", "  %s", parts)
	}
	if len(s.LeftOut) == 0 {
		t.line("", "  nothing left out")
	}
	for _, l := range s.LeftOut {
		t.item("", "  ", "left out  ", leftOutText(l))
		t.spans(l.Ranges)
	}
	t.item("", "  ", "batch   ", fmt.Sprintf("%s: %s", sideText(s.Batch), countOf(r.Batch.Rows, "row")))
	t.item("", "  ", "stream  ", fmt.Sprintf("%s: %s", sideText(s.Stream), streamRows(r)))
	t.item("", "  ", "key     ", strings.Join(s.Keys, ", ")+" and the window")
}

func (t *textReport) freshness(r *compare.Result) {
	t.heading("Freshness")
	t.item("", "  ", "batch   ", batchText(r))
	t.item("", "  ", "stream  ", streamText(r))
	for _, j := range r.Stream.Jobs {
		at := ""
		if j.ObservedAt != nil {
			at = ", seen at " + minute(*j.ObservedAt)
		}
		code := ""
		if j.Problem != "" {
			code = yellow
		}
		t.wrapped(code, "    ", fmt.Sprintf("%s: %s%s", tables.Writer{Job: j.Job, Generation: j.Generation}.String(), jobText(j), at))
	}
	for _, g := range r.Stream.Generations {
		name := tables.Writer{Job: plain(g.Job), Generation: g.Generation}.String()
		switch {
		case !g.Counts:
			t.wrapped(yellow, "    ", fmt.Sprintf("%s does not count (%s): %s left out", name, g.Reason, countOf(g.Ignored, "row")))
		case g.Within != nil || g.Ignored > 0:
			left := ""
			if g.Ignored > 0 {
				left = ": " + countOf(g.Ignored, "row") + " left out"
			}
			t.wrapped(yellow, "    ", fmt.Sprintf("%s counts %s%s", name, where(g), left))
		}
	}
}

// worstShown bounds the worst lists of the text report.
const worstShown = 5

func (t *textReport) worst(r *compare.Result) {
	if r.Counts.Differing() == 0 {
		return
	}
	deltas := func(row []string, ms []compare.MetricDelta) tableRow {
		for _, m := range r.Metrics {
			d, _ := delta(ms, m.Name)
			row = append(row, signed(d.Difference))
		}
		return tableRow{cells: row}
	}
	head := func(name ...string) []string {
		for _, m := range r.Metrics {
			name = append(name, m.Name)
		}
		return name
	}
	exact := func(c compare.Counts) string { return percentOf(compare.NewRatio(c.Exact, c.Total)) }
	align := strings.Repeat("r", len(r.Metrics))
	var rows []tableRow
	for _, w := range worstWindows(r, worstShown) {
		rows = append(rows, deltas([]string{moment(w.Start), count(w.Counts.Total), exact(w.Counts), count(w.Counts.Differing()), count(w.Unexplained)}, w.Metrics))
	}
	t.heading("Worst windows (stream - batch)")
	t.table("lrrrr"+align, head("window", "keys", "exact", "differ", compare.Unexplained), rows)
	for _, s := range r.Segments {
		if len(s.Worst) == 0 {
			continue
		}
		var rows []tableRow
		for _, v := range s.Worst[:min(worstShown, len(s.Worst))] {
			rows = append(rows, deltas([]string{segmentText(v), count(v.Counts.Total), exact(v.Counts), count(v.Counts.Differing())}, v.Metrics))
		}
		name := strings.Join(s.Columns, ", ")
		t.heading("Worst by %s (stream - batch)", name)
		t.table("lrrr"+align, head(name, "keys", "exact", "differ"), rows)
		if s.Approximate {
			t.wrapped(dim, "  ", approximateSegment)
		}
		if s.Truncated || len(s.Worst) > worstShown {
			t.line(dim, "  further values have keys that differ")
		}
	}
}

// samplesShown bounds the samples of the text report.
const samplesShown = 10

func (t *textReport) samples(r *compare.Result) {
	samples := byWorth(r)
	if len(samples) == 0 {
		return
	}
	shown := samples[:min(samplesShown, len(samples))]
	title := "Samples (batch -> stream)"
	if len(shown) < len(samples) {
		title = fmt.Sprintf("Samples, %d of %d (batch -> stream)", len(shown), len(samples))
	}
	t.heading("%s", title)
	head := []string{"window"}
	for _, k := range shown[0].Key {
		head = append(head, k.Column)
	}
	head = append(head, "class", "cause")
	align := strings.Repeat("l", len(head))
	for _, m := range shown[0].Metrics {
		head, align = append(head, m.Name), align+"r"
	}
	var rows []tableRow
	for _, s := range shown {
		row := []string{moment(s.Window)}
		for _, k := range s.Key {
			row = append(row, orNull(k.Value))
		}
		row = append(row, s.Class, causeText(s))
		for _, m := range s.Metrics {
			row = append(row, absent(m.Batch)+" -> "+absent(m.Stream))
		}
		rows = append(rows, tableRow{cells: row})
	}
	t.table(align, head, rows)
	t.first(samples[0])
}

// first tells more of the sample that should be looked at first.
func (t *textReport) first(s compare.Sample) {
	t.heading("The first sample: %s, window %s", sampleText(s), moment(s.Window))
	t.wrapped("", "  ", rowsText(s))
	if s.Evidence != "" {
		t.wrapped("", "  ", s.Evidence)
	}
	if s.Known != "" {
		t.wrapped("", "  ", "known difference "+s.Known)
	}
	t.line(dim, "  Its SQL (all others: JSON and HTML report):")
	// Never cut: it is there to be copied.
	t.b.WriteString(plainLines(s.SQL) + "\n")
}

func (t *textReport) cost(r *compare.Result) {
	t.heading("Cost")
	c := r.Cost
	accuracy := ""
	if c.Accuracy != "" {
		accuracy = " (" + strings.ToLower(c.Accuracy) + ")"
	}
	t.item("", "  ", "reconciliation  ", fmt.Sprintf("%s billed%s, %s read, %s estimated%s", term.Bytes(c.Billed), timesBound(c), term.Bytes(c.Processed), term.Bytes(c.Estimated), accuracy))
	t.item("", "  ", "evidence        ", term.Bytes(c.Evidence)+" read")
	for i, j := range c.Jobs {
		if i == jobsShown {
			t.line(dim, "  and %s", countOf(int64(len(c.Jobs)-i), "further job"))
			break
		}
		t.wrapped(dim, "  ", fmt.Sprintf("job %s (%s, %s billed)", j.ID, j.Purpose, term.Bytes(j.Billed)))
	}
	t.wrapped(dim, "  ", fmt.Sprintf("started %s, took %s, environment %s", minute(r.Started), took(r), r.Environment))
	t.wrapped(dim, "  ", "spec "+r.SpecHash)
}

// jobsShown bounds the query jobs of the text report.
const jobsShown = 8
