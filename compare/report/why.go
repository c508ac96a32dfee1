package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/compare"
)

// WriteWhy writes the account of a key for people: what it is, the events line by line with the running
// totals of both sides, the stored rows, and where they meet. Lines but those of SQL
// keep to width columns.
func WriteWhy(to io.Writer, w *compare.Why, width int, color bool) error {
	t := &textReport{width: max(width, 40), color: color}
	t.item(bold, "", "", whyTitle(w))
	t.wrapped("", "", conclusion(w))
	t.heading("Events, by event time")
	names := make([]string, len(w.Metrics))
	for i, m := range w.Metrics {
		names[i] = m.Name
	}
	if len(w.Events) == 0 {
		t.line(dim, "  none")
	}
	for i, e := range w.Events {
		t.event(i+1, e, names)
	}
	if w.LeftOut > 0 {
		t.wrapped(dim, "  ", fmt.Sprintf("%s left out here; the totals below have them (--limit shows more)", deliveriesText(w.LeftOut)))
	}
	if w.Cut {
		t.wrapped(yellow, "  ", "the key has more deliveries than are ever read: nothing is rebuilt from them")
	}
	t.stored("Batch side", w.Batch, names)
	t.stored("Stream side", w.Stream, names)
	t.heading("Where they meet")
	var rows []tableRow
	for _, m := range w.Metrics {
		rows = append(rows, tableRow{cells: []string{m.Name, absent(m.BatchRebuilt), absent(m.Batch), absent(m.StreamRebuilt), absent(m.Stream)}})
	}
	t.table("lrrrr", []string{"metric", "batch rebuilt", "batch stored", "stream rebuilt", "stream stored"}, rows)
	t.item("", "  ", "batch   ", whySideText(w.Batch))
	t.item("", "  ", "stream  ", whySideText(w.Stream))
	t.b.WriteString("\n")
	for _, l := range strings.Split(w.SQL, "\n") {
		t.b.WriteString(t.style(dim, plainLines(l)) + "\n")
	}
	_, err := io.WriteString(to, t.b.String())
	return err
}

func whyTitle(w *compare.Why) string {
	var keys []string
	for _, k := range w.Key {
		keys = append(keys, k.Column+" = "+orNull(k.Value))
	}
	return fmt.Sprintf("%s in the window from %s to %s: %s", strings.Join(keys, ", "), stamp(w.Window.From), stamp(w.Window.To), w.Class)
}

// conclusion is the cause, or where the evidence stops.
func conclusion(w *compare.Why) string {
	switch {
	case w.Class == compare.ClassExact:
		return "Both sides have the same values."
	case w.Cause == compare.Unexplained || w.Cause == "":
		if w.Evidence == "" {
			return "Unexplained: no raw events are named (evidence.raw)."
		}
		return "Unexplained: " + w.Evidence + "."
	}
	return fmt.Sprintf("%s, %s: %s.", w.Cause, w.Status, w.Evidence)
}

func whySideText(s compare.WhySide) string {
	met := "rebuilt and stored do not meet"
	switch {
	case s.How == "":
		return "not rebuilt: the spec names no raw events (evidence.raw)"
	case s.Meets:
		met = "rebuilt and stored meet"
	}
	return met + ": " + s.How
}

func (t *textReport) event(n int, e compare.WhyEvent, names []string) {
	label := fmt.Sprintf("%4d  ", n)
	arrived := ""
	if e.Arrived != nil {
		arrived = ", arrived " + e.Arrived.Format(time.RFC3339)
	}
	text := fmt.Sprintf("%s  %s at %s%s", e.Time.Format(time.RFC3339), e.ID, e.Position, arrived)
	if e.Message != "" {
		text += ", message " + e.Message
	}
	if len(e.Writers) > 0 {
		text += ", read by " + strings.Join(e.Writers, ", ")
	}
	if e.Reason != "" {
		text += ", dead letter: " + e.Reason
	}
	if values := valuesText(names, e.Values, true); values != "" {
		text += "; " + values
	}
	t.item("", "", label, text)
	t.count("      batch   ", e.Batch, names)
	t.count("      stream  ", e.Stream, names)
}

func (t *textReport) count(label string, c compare.WhyCount, names []string) {
	mark, code := "+ ", ""
	if !c.Counted {
		mark, code = "- ", yellow
	}
	text := mark + valuesText(names, c.Totals, false)
	if c.Why != "" {
		text += " (" + c.Why + ")"
	}
	t.item(code, "", label, text)
}

// valuesText is values by the names of metrics; skip leaves out what is absent.
func valuesText(names []string, values []*string, skip bool) string {
	var parts []string
	for i, v := range values {
		if v != nil || !skip {
			parts = append(parts, names[i]+" "+absent(v))
		}
	}
	return strings.Join(parts, ", ")
}

func (t *textReport) stored(title string, s compare.WhySide, names []string) {
	t.heading("%s: %s", title, countOf(int64(len(s.Rows)+s.More), "stored row"))
	for _, r := range s.Rows {
		text := valuesText(names, r.Values, false)
		if r.Writer != "" {
			text = fmt.Sprintf("%s pane %d: %s", r.Writer, r.Pane, text)
		}
		code, label := "", "+ "
		if !r.Counts {
			code, label, text = yellow, "- ", text+" ("+r.Reason+")"
		}
		t.item(code, "  ", label, text)
	}
	if s.More > 0 {
		t.line(dim, "  %s left out", countOf(int64(s.More), "further row"))
	}
}

func deliveriesText(n int) string {
	if n == 1 {
		return "1 further delivery is"
	}
	return count(int64(n)) + " further deliveries are"
}
