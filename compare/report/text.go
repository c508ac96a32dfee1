package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/kappa-migrate/kappa/compare"
)

// WriteText writes the result for people: what decides on the first screen,
// then what to look at. No line but those of SQL is longer than width columns;
// color uses ANSI codes.
func WriteText(w io.Writer, r *compare.Result, width int, color bool) error {
	t := &textReport{width: max(width, 40), color: color}
	t.verdict(r)
	t.days(r)
	t.counts(r)
	t.metrics(r)
	t.causes(r)
	t.scope(r)
	t.freshness(r)
	t.worst(r)
	t.trend(r)
	t.known(r)
	t.earlier(r)
	t.samples(r)
	t.cost(r)
	_, err := io.WriteString(w, t.b.String())
	return err
}

func verdictStyle(v string) string {
	switch v {
	case compare.Go:
		return green
	case compare.Hold:
		return red
	}
	return yellow
}

func (t *textReport) verdict(r *compare.Result) {
	for i, l := range fold(headline(r), t.width) {
		if i == 0 {
			l = strings.Replace(l, r.Verdict.Verdict+" ", r.Verdict.Verdict+"  ", 1)
		}
		t.line(bold+";"+verdictStyle(r.Verdict.Verdict), "%s", l)
	}
	if r.Description != "" {
		t.wrapped("", "", r.Description)
	}
	t.wrapped("", "", decided(r.Verdict))
	for _, c := range r.Verdict.Checks {
		mark, code := "met    ", green
		if !c.OK {
			mark, code = "NOT MET", red
		}
		t.item(code, "  ", mark+"  ", fmt.Sprintf("%s: %s (%s)", c.Rule, c.Got, c.Want))
	}
	for _, s := range r.Warnings {
		t.item(yellow, "  ", "warning  ", s)
	}
	t.wrapped(dim, "", "Gate: "+gateText(r.Gate)+".")
}

// daysShown bounds the days that the text report says more of than a mark.
const daysShown = 7

// days shows each day by a mark, and those that the gate counts and that break it
// by their rule.
func (t *textReport) days(r *compare.Result) {
	if len(r.Days) == 0 {
		return
	}
	counted := countedDays(r)
	title := fmt.Sprintf("Days: %d settled", len(r.Days))
	if r.Gate.Days > 0 {
		title = fmt.Sprintf("Days: %d of %d that the gate wants are met", daysMet(r), r.Gate.Days)
	}
	t.heading("%s", title)
	shown := r.Days[max(0, len(r.Days)-(t.width-26)):]
	var marks strings.Builder
	for _, d := range shown {
		marks.WriteString(passMark(d.OK))
	}
	last := ""
	if len(shown) > 1 {
		last = dayText(r, shown[len(shown)-1])
	}
	t.line("", "  %s %s %s", dayText(r, shown[0]), marks.String(), last)
	t.line(dim, "  + meets the gate, x does not")
	var broken []compare.Day
	for _, d := range r.Days[len(r.Days)-counted:] {
		if !d.OK {
			broken = append(broken, d)
		}
	}
	for i, d := range broken {
		if i == daysShown {
			t.line(dim, "  and %s", countOf(int64(len(broken)-i), "further day"))
			break
		}
		run := ""
		if d.Run != "" {
			run = ", compared by " + d.Run
		}
		t.wrapped(red, "  ", fmt.Sprintf("%s: %s (%s, %s exact, %s unexplained%s)", dayText(r, d), d.Why,
			countOf(d.Counts.Total, "key"), percentOf(compare.NewRatio(d.Counts.Exact, d.Counts.Total)), count(d.Unexplained), run))
	}
}

func passMark(ok bool) string {
	if ok {
		return "+"
	}
	return "x"
}

func (t *textReport) counts(r *compare.Result) {
	if r.Counts.Total == 0 {
		return
	}
	t.heading("%s compared", countOf(r.Counts.Total, "key"))
	head := []string{"class", "keys", "share"}
	for _, m := range r.Metrics {
		head = append(head, "by "+m.Name)
	}
	var rows []tableRow
	for _, c := range shownClasses(r) {
		n := r.Counts.Of(c)
		row := []string{c, count(n), compare.NewRatio(n, r.Counts.Total).Percent(2) + " %"}
		for _, m := range r.Metrics {
			row = append(row, share(m.Weight[c], m.Exact.Den))
		}
		rows = append(rows, tableRow{cells: row})
	}
	agree := []string{"exact or tolerated", count(r.Counts.Exact + r.Counts.Tolerated), r.Agree.Percent(2) + " %"}
	unexplained := []string{compare.Unexplained, count(r.Causes.Unexplained), compare.NewRatio(r.Causes.Unexplained, r.Counts.Total).Percent(2) + " %"}
	for _, m := range r.Metrics {
		agree, unexplained = append(agree, percentOf(m.Agree)), append(unexplained, percentOf(m.Unexplained))
	}
	if r.Counts.Tolerated > 0 {
		rows = append(rows, tableRow{cells: agree, code: dim})
	}
	rows = append(rows, tableRow{cells: unexplained, code: dim})
	t.table("lrr"+strings.Repeat("r", len(r.Metrics)), head, rows)
}

func (t *textReport) metrics(r *compare.Result) {
	if len(r.Metrics) == 0 {
		return
	}
	t.heading("Values")
	var rows []tableRow
	for _, m := range r.Metrics {
		rows = append(rows, tableRow{cells: []string{m.Name, total(m.BatchTotal), total(m.StreamTotal), signed(m.Difference), digits(m.Absolute)}, note: how(m)})
	}
	t.table("lrrrr", []string{"metric", "batch", "stream", "stream - batch", "absolute"}, rows)
}

// how says in what way a metric is compared, where that is not exactly.
func how(m compare.Metric) string {
	var parts []string
	if m.Tolerance != "" {
		parts = append(parts, "tolerance "+m.Tolerance)
	}
	if m.Approximate {
		parts = append(parts, m.Value+", approximate: compared under its tolerance alone")
	}
	if m.Skipped > 0 {
		parts = append(parts, countOf(m.Skipped, "key")+" in no sum: NaN or infinite")
	}
	return strings.Join(parts, "; ")
}

// evidenceShown bounds the causes of which the text report tells the evidence.
const evidenceShown = 10

func (t *textReport) causes(r *compare.Result) {
	if r.Causes.Differing == 0 {
		return
	}
	verb := "differ"
	if r.Causes.Differing == 1 {
		verb = "differs"
	}
	t.heading("Why %s %s: %s %% explained", countOf(r.Causes.Differing, "key"), verb, r.Causes.Explained.Percent(2))
	head := []string{"cause", "", "keys", "share"}
	for _, m := range r.Metrics {
		head = append(head, m.Name)
	}
	var rows []tableRow
	for i, c := range causesOf(r) {
		status := c.Status
		if status == compare.Unexplained {
			status = ""
		}
		row := []string{c.Cause, status, count(c.Keys), c.Share.Percent(2) + " %"}
		for _, m := range r.Metrics {
			d, _ := delta(c.Metrics, m.Name)
			row = append(row, signed(d.Difference))
		}
		of := tableRow{cells: row}
		if c.Status == compare.Unexplained && c.Keys > 0 {
			of.code = red
		}
		if i < evidenceShown {
			of.note = causeNote(r, c)
		}
		rows = append(rows, of)
	}
	t.table("llrr"+strings.Repeat("r", len(r.Metrics)), head, rows)
	if note := unexamined(r.Causes); note != "" {
		t.wrapped(yellow, "  ", note)
	}
}
