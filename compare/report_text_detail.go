package compare

import (
	"fmt"
	"strings"
	"time"
)

func (t *textReport) scope(r *Result) {
	s := r.Scope
	t.heading("%s %s compared", countOf(s.Windows, "window"), s.windowText())
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
	if r.Partitions > 1 {
		resumed := ""
		if r.Resumed > 0 {
			resumed = fmt.Sprintf(", %d of them by a run that was stopped", r.Resumed)
		}
		t.line("", "  in %d parts%s", r.Partitions, resumed)
	}
	if len(s.LeftOut) == 0 {
		t.line("", "  nothing left out")
	}
	for _, l := range s.LeftOut {
		t.item("", "  ", "left out  ", l.text())
		t.spans(l.Ranges)
	}
	t.item("", "  ", "batch   ", fmt.Sprintf("%s: %s", s.Batch.scopeText(), countOf(r.Batch.Rows, "row")))
	stream := fmt.Sprintf("%s: %s", s.Stream.scopeText(), countOf(r.Stream.Rows, "row"))
	if r.Stream.Copies > 0 {
		stream += ", identical copies collapsed: " + count(r.Stream.Copies)
	}
	t.item("", "  ", "stream  ", stream)
	t.item("", "  ", "key     ", strings.Join(s.Keys, ", ")+" and the window")
}

func (t *textReport) freshness(r *Result) {
	t.heading("Freshness")
	t.item("", "  ", "batch   ", r.Batch.text())
	t.item("", "  ", "stream  ", r.Stream.text())
	for _, j := range r.Stream.Jobs {
		at := ""
		if j.ObservedAt != nil {
			at = ", seen at " + moment(*j.ObservedAt)
		}
		code := ""
		if j.Problem != "" {
			code = yellow
		}
		t.wrapped(code, "    ", fmt.Sprintf("%s: %s%s", writerName(j.Job, j.Generation), j.text(), at))
	}
	for _, g := range r.Stream.Generations {
		name := writerName(plain(g.Job), g.Generation)
		switch {
		case !g.Counts:
			t.wrapped(yellow, "    ", fmt.Sprintf("%s does not count (%s): %s left out", name, g.Reason, countOf(g.Ignored, "row")))
		case g.Within != nil || g.Ignored > 0:
			t.wrapped(yellow, "    ", fmt.Sprintf("%s: %s left out, counts %s", name, countOf(g.Ignored, "row"), g.where()))
		}
	}
}

// text is how fresh the batch side is.
func (b BatchFreshness) text() string {
	s := countOf(b.Loads, "load")
	if b.Reloaded > 0 {
		s += fmt.Sprintf(" (%s loaded more than once)", countOf(b.Reloaded, "range"))
	}
	if b.CoveredTo != nil {
		s += " up to " + moment(*b.CoveredTo)
	}
	if b.LastLoaded != nil {
		s += ", the last at " + moment(*b.LastLoaded)
	}
	return s
}

// text is how fresh the stream side is.
func (s StreamFreshness) text() string {
	switch {
	case s.AtMaximum:
		return "all there is has been read"
	case s.SettledTo != nil:
		return "all jobs are past " + moment(*s.SettledTo)
	}
	return "how far it is is unknown"
}

// worstShown bounds the worst lists of the text report.
const worstShown = 5

func (t *textReport) worst(r *Result) {
	if r.Counts.Differing() == 0 {
		return
	}
	deltas := func(row []string, ms []MetricDelta) tableRow {
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
	exact := func(c Counts) string { return percentOf(NewRatio(c.Exact, c.Total)) }
	align := strings.Repeat("r", len(r.Metrics))
	var rows []tableRow
	for _, w := range r.worstWindows(worstShown) {
		rows = append(rows, deltas([]string{moment(w.Start), count(w.Counts.Total), exact(w.Counts), count(w.Counts.Differing()), count(w.Unexplained)}, w.Metrics))
	}
	t.heading("Worst windows (stream - batch)")
	t.table("lrrrr"+align, head("window", "keys", "exact", "differ", Unexplained), rows)
	for _, s := range r.Segments {
		if len(s.Worst) == 0 {
			continue
		}
		var rows []tableRow
		for _, v := range s.Worst[:min(worstShown, len(s.Worst))] {
			rows = append(rows, deltas([]string{v.text(), count(v.Counts.Total), exact(v.Counts), count(v.Counts.Differing())}, v.Metrics))
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

func (t *textReport) samples(r *Result) {
	samples := r.samplesByWorth()
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
		row = append(row, s.Class, s.causeText())
		for _, m := range s.Metrics {
			row = append(row, absent(m.Batch)+" -> "+absent(m.Stream))
		}
		rows = append(rows, tableRow{cells: row})
	}
	t.table(align, head, rows)
	t.first(samples[0])
}

// first tells more of the sample that should be looked at first.
func (t *textReport) first(s Sample) {
	t.heading("The first sample: %s, window %s", s.text(), moment(s.Window))
	t.wrapped("", "  ", fmt.Sprintf("%s on the batch side, %s that count on the stream side", countOf(s.BatchRows, "row"), countOf(s.StreamRows, "row")))
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

func (t *textReport) cost(r *Result) {
	t.heading("Cost")
	c := r.Cost
	accuracy := ""
	if c.Accuracy != "" {
		accuracy = " (" + strings.ToLower(c.Accuracy) + ")"
	}
	t.item("", "  ", "reconciliation  ", fmt.Sprintf("%s billed%s, %s read, %s estimated%s", bytesText(c.Billed), c.TimesBound(), bytesText(c.Processed), bytesText(c.Estimated), accuracy))
	t.item("", "  ", "evidence        ", bytesText(c.Evidence)+" read")
	for i, j := range c.Jobs {
		if i == jobsShown {
			t.line(dim, "  and %s", countOf(int64(len(c.Jobs)-i), "further job"))
			break
		}
		t.wrapped(dim, "  ", fmt.Sprintf("job %s (%s, %s billed)", j.ID, j.Purpose, bytesText(j.Billed)))
	}
	t.wrapped(dim, "  ", fmt.Sprintf("started %s, took %s, environment %s", moment(r.Started), time.Duration(r.Seconds*float64(time.Second)).Round(time.Millisecond), r.Environment))
	t.wrapped(dim, "  ", "spec "+r.SpecHash)
}

// jobsShown bounds the query jobs of the text report.
const jobsShown = 8
