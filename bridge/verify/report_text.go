package verify

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kappa-migrate/kappa/internal/report"
	"github.com/kappa-migrate/kappa/internal/term"
)

// WriteText writes the result for people: the verdict, what was counted, and at
// most samples lines of each kind of finding.
func (r *Result) WriteText(w io.Writer, samples int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s: %s\n", r.Verdict, r.Bridge, r.Reason)
	fmt.Fprintf(&b, "arrived, by %s\n", r.Arrived.text())
	for _, s := range r.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", s)
	}
	r.totals(&b)
	r.partitions(&b)
	r.hours(&b, samples)
	r.ranges(&b, samples)
	findings(&b, samples, "ids at a position that is not theirs", r.WrongIDs, r.Totals.WrongIDs)
	findings(&b, samples, "two contents under one id", r.Conflicts, r.Totals.Conflicts)
	findings(&b, samples, "published though the spec says otherwise", r.Unexpected, r.Totals.Unexpected)
	_, err := io.WriteString(w, b.String())
	return err
}

func (d Destination) text() string {
	if d.Kind == kindBigQuery {
		return "table " + d.Table
	}
	s := report.Quantity(int64(len(d.Subscriptions)), "subscription") + " " + strings.Join(d.Subscriptions, ", ")
	if !d.Acknowledged {
		s += " (not acknowledged)"
	}
	return s
}

func (r *Result) totals(b *strings.Builder) {
	t := &r.Totals
	b.WriteString("\n")
	rows := [][2]string{
		{term.Count(t.Records), "records in Kafka"},
		{term.Count(t.Filtered), "of them filtered"},
		{term.Count(t.DeadLettered), "of them dead letters" + reasons(r.Partitions) + r.looked()},
		{term.Count(t.Expected), "events expected"},
		{term.Count(t.Arrived), "arrived"},
		{term.Count(t.Missing), "missing"},
		{term.Count(t.Duplicated), "arrived more than once, by " + report.Quantity(t.Duplicates, "further message")},
	}
	more := func(n int64, text string) {
		if n > 0 {
			rows = append(rows, [2]string{term.Count(n), text})
		}
	}
	more(t.Rejected, "did not arrive, and are dead letters: the destination refused them")
	more(t.LettersMissing, "records that can only be dead letters, and are not among them")
	more(t.WrongIDs, "arrived under an id that is not theirs")
	more(t.Conflicts, "arrived with two contents")
	more(t.Unexpected, "arrived of records that should not have been published")
	more(t.Unheld, "arrived of records that Kafka no longer has (not judged)")
	more(t.Dropped, "events filtered")
	more(t.Repeated, "events that their record holds twice under one id")
	more(t.Redelivered, "redeliveries of one message by Pub/Sub (not duplicates)")
	more(t.Gaps, "offsets that the log has no record at: retention, compaction, transactions")
	more(r.Outside, "arrived from outside of the range (not judged)")
	more(r.Unreadable, "messages without an id or a position (not judged)")
	table(b, tabwriter.AlignRight, func(w io.Writer) {
		for _, row := range rows {
			fmt.Fprintf(w, "%s\t %s\n", row[0], row[1])
		}
	})
}

// looked says whether dead letters were looked for, where that matters.
func (r *Result) looked() string {
	switch {
	case r.Totals.DeadLettered == 0:
		return ""
	case r.Letters:
		return ", of which " + term.Count(r.Totals.LettersFound) + " were found"
	}
	return ", not looked for"
}

// reasons sums up why records can only be dead letters.
func reasons(ps []Partition) string {
	sums := map[string]int64{}
	for _, p := range ps {
		for reason, n := range p.DeadLetters {
			sums[reason] += n
		}
	}
	var list []string
	for reason, n := range sums {
		list = append(list, fmt.Sprintf("%s %s", reason, term.Count(n)))
	}
	slices.Sort(list)
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

func (r *Result) partitions(b *strings.Builder) {
	if len(r.Partitions) == 0 {
		return
	}
	b.WriteString("\npartitions\n")
	table(b, 0, func(w io.Writer) {
		fmt.Fprintln(w, "  partition\toffsets\texpected\tarrived\tmissing\tduplicates")
		for _, p := range r.Partitions {
			fmt.Fprintf(w, "  %s\t%d to %d\t%s\t%s\t%s\t%s\n", p.Partition, p.From, p.To-1, term.Count(p.Expected), term.Count(p.Arrived), term.Count(p.Counts.Missing), term.Count(p.Duplicates))
		}
	})
}

// hours lists the hours in which something is missing or duplicated.
func (r *Result) hours(b *strings.Builder, samples int) {
	var lines []string
	n := 0
	for _, p := range r.Partitions {
		for _, h := range p.Hours {
			if h.Missing == 0 && h.Duplicates == 0 {
				continue
			}
			if n++; n <= samples {
				lines = append(lines, fmt.Sprintf("  %s\t%s\t%s\t%s\t%s\t%s", p.Partition, h.Hour.Format(time.RFC3339), term.Count(h.Expected), term.Count(h.Arrived), term.Count(h.Missing), term.Count(h.Duplicates)))
			}
		}
	}
	if n == 0 {
		return
	}
	b.WriteString("\nhours (of the records' timestamps) that are not whole\n")
	table(b, 0, func(w io.Writer) {
		fmt.Fprintln(w, "  partition\thour\texpected\tarrived\tmissing\tduplicates")
		for _, l := range lines {
			fmt.Fprintln(w, l)
		}
	})
	rest(b, n, samples)
}

// ranges lists what is missing and what came more than once.
func (r *Result) ranges(b *strings.Builder, samples int) {
	list := func(title string, of func(*Partition) []Offsets) {
		n := 0
		for i := range r.Partitions {
			p := &r.Partitions[i]
			for _, g := range of(p) {
				if n == 0 {
					fmt.Fprintf(b, "\n%s\n", title)
				}
				if n++; n <= samples {
					fmt.Fprintf(b, "  %s/%s\n", p.Partition, g)
				}
			}
		}
		rest(b, n, samples)
	}
	list("missing", func(p *Partition) []Offsets { return p.Missing })
	list("dead letters that are missing", func(p *Partition) []Offsets { return p.LettersMissing })
	list("arrived more than once", func(p *Partition) []Offsets { return p.Duplicated })
}

func (r Offsets) String() string {
	s := strconv.FormatInt(r.First, 10)
	if r.Last != r.First {
		s += fmt.Sprintf(" to %d, %s", r.Last, report.Quantity(r.Count, "event"))
	}
	if r.Ordinal > 0 {
		s += fmt.Sprintf(", event %d of the record", r.Ordinal)
	}
	return s
}

func findings(b *strings.Builder, samples int, title string, list []Finding, total int64) {
	if total == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for i, f := range list {
		if i < samples {
			fmt.Fprintf(b, "  %s  %s  %s\n", f.Position, f.ID, f.Problem)
		}
	}
	rest(b, int(total), samples)
}

// rest says how many lines were left out.
func rest(b *strings.Builder, n, samples int) {
	if n > samples {
		fmt.Fprintf(b, "  … and %s more: see --output json\n", term.Count(int64(n-samples)))
	}
}

func table(b *strings.Builder, flags uint, write func(io.Writer)) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', flags)
	write(w)
	w.Flush()
}
