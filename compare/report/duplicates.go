package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/term"
)

// WriteDuplicates writes what the monitor has found for people.
func WriteDuplicates(w io.Writer, d *compare.Duplicates) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  duplicates of %s\n%s\n\n", d.Verdict, d.Monitor, plain(d.Rule))
	if d.Range != nil {
		writeShares(&b, d)
	}
	for _, c := range d.Checks {
		sign := "ok  "
		if !c.OK {
			sign = "HIGH"
		}
		fmt.Fprintf(&b, "%s  %-17s %s, wanted %s\n", sign, c.Rule, c.Got, c.Want)
	}
	writeReasons(&b, d)
	if len(d.Windows) > 0 {
		b.WriteString("\nwindows with the most duplicates\n")
		rows := [][]string{{"window", "duplicates", "deliveries", "too late", "counted"}}
		for _, x := range d.Windows {
			rows = append(rows, []string{stamp(x.Start), count(x.Duplicates), count(x.Deliveries), count(x.Late), count(x.Counted)})
		}
		writeColumns(&b, rows, 1)
	}
	writeGroups(&b, "keys", d.KeyNames, d.Keys)
	writeGroups(&b, "positions", []string{"cluster/topic/partition"}, d.Positions)
	fmt.Fprintf(&b, "\n%s, %s billed, spec %s\n", countOf(int64(len(d.Jobs)), "query job"), term.Bytes(d.Billed), d.SpecHash)
	for _, j := range d.Jobs {
		fmt.Fprintf(&b, "  %-16s %s  %s\n", j.Purpose, j.ID, term.Bytes(j.Billed))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeShares(b *strings.Builder, d *compare.Duplicates) {
	fmt.Fprintf(b, "range    %s to %s, windows of %s\n", stamp(d.Range.From), stamp(d.Range.To), d.WindowSize)
	c := d.Counts
	fmt.Fprintf(b, "events   %s deliveries, %s of them too late, %s counted\n", count(c.Deliveries), count(c.Late), count(c.Counted))
	by := "by counts of rows"
	if d.Exact {
		by = "by distinct events"
	}
	fmt.Fprintf(b, "before   %s duplicates before deduplication, %s\n", percentOf(d.Before), by)
	switch {
	case d.After != nil:
		fmt.Fprintf(b, "after    %s counted more than once\n", percentOf(*d.After))
	default:
		b.WriteString("after    not looked at; --exact counts distinct events\n")
	}
	if d.Change != nil {
		fmt.Fprintf(b, "past     %s by counts of rows from %s on; %s points since\n", percentOf(d.PastBefore), stamp(d.Past.From), withSign(*d.Change))
	} else if d.Past != nil {
		fmt.Fprintf(b, "past     nothing is counted from %s on\n", stamp(d.Past.From))
	}
	if d.Why != "" {
		fmt.Fprintf(b, "exact    %s\n", d.Why)
	}
	b.WriteByte('\n')
}

func withSign(s string) string {
	if strings.HasPrefix(s, "-") {
		return s
	}
	return "+" + s
}

func writeReasons(b *strings.Builder, d *compare.Duplicates) {
	c := d.Counts.DistinctCounts
	if c == nil {
		return
	}
	b.WriteString("\nevents\n")
	writeColumns(b, [][]string{
		{count(c.Events), "distinct events were delivered"},
		{count(c.TooLate), "of them only after the horizon"},
		{count(c.Redelivered), "further deliveries of one message"},
		{count(c.Republished), "further messages of one record"},
		{count(c.Recorded), "further records of one event"},
		{count(c.Twice), "counted beyond the events of their window"},
		{count(c.Missing), "not counted, and not too late"},
	}, 0)
}

func writeGroups(b *strings.Builder, what string, names []string, groups []compare.DuplicateGroup) {
	if len(groups) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s with the most duplicates\n", what)
	rows := [][]string{append(append([]string{}, names...), "duplicates", "deliveries", "events")}
	for _, g := range groups {
		var row []string
		for _, v := range g.Values {
			row = append(row, orNull(v))
		}
		rows = append(rows, append(row, count(g.Duplicates), count(g.Deliveries), count(g.Events)))
	}
	writeColumns(b, rows, len(names))
}

// writeColumns aligns rows: the first left columns to the left, all others but the
// only text behind numbers to the right.
func writeColumns(b *strings.Builder, rows [][]string, left int) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(plain(cell))))
		}
	}
	for _, row := range rows {
		line := " "
		for i, cell := range row {
			cell = plain(cell)
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if i < left || left == 0 && i > 0 {
				line += " " + cell + pad
				continue
			}
			line += " " + pad + cell
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}
