package inspect

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/kappa-migrate/kappa/internal/report"
	"github.com/kappa-migrate/kappa/internal/term"
)

// Rows that a table of the text report has at most.
const mostRows = 10

// WriteText writes the result for people.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s: %s\n\n", r.Verdict, r.Bridge, r.Reason)
	table(&b, func(w io.Writer) {
		for _, c := range r.Checks {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", c.State, c.Subject, c.Detail)
			if c.Hint != "" && c.State != Passed {
				fmt.Fprintf(w, "  \t\thint: %s\n", c.Hint)
			}
		}
	})
	r.samples(&b)
	r.topics(&b)
	r.needs(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Result) samples(b *strings.Builder) {
	s := &r.Sample
	if s.Records == 0 {
		return
	}
	fmt.Fprintf(b, "\nsamples: %s of %s each on average\n", report.Quantity(s.Records, "record"), term.Bytes(s.Bytes/s.Records))
	if s.Tombstones > 0 {
		fmt.Fprintf(b, "  %s are tombstones\n", term.Count(s.Tombstones))
	}
	fmt.Fprintf(b, "  %s filtered (%s), %s refused (%s), %s published\n",
		term.Count(s.Filtered), percent(s.Filtered, s.Records), term.Count(s.Refused), percent(s.Refused, s.Records), report.Quantity(s.Events, "event"))
	if s.Events > 0 {
		m := s.Messages
		fmt.Fprintf(b, "  message sizes: least %s, median %s, mean %s, p99 %s, greatest %s\n", term.Bytes(m.Least), term.Bytes(m.Median), term.Bytes(m.Mean), term.Bytes(m.P99), term.Bytes(m.Greatest))
	}
	for _, f := range s.Refusals {
		fmt.Fprintf(b, "\nrefused for %s: %s\n", f.Reason, report.Quantity(f.Records, "record"))
		for _, e := range f.Examples {
			fmt.Fprintf(b, "  %s  %s\n", e.Position, e.Detail)
		}
	}
	if s.Events > 0 && len(r.Split.Parts) > 1 {
		fmt.Fprintf(b, "\ntopics of the destination, by the samples: the largest has %.2f times the mean\n", r.Split.MaxOverMean)
		r.Split.write(b, "topic", "messages")
	}
}

// write writes the largest parts as a table.
func (s *Skew) write(b *strings.Builder, what, unit string) {
	table(b, func(w io.Writer) {
		fmt.Fprintf(w, "  %s\tshare\t%s\tbytes\n", what, unit)
		for _, p := range s.largest(mostRows) {
			fmt.Fprintf(w, "  %s\t%.1f %%\t%s\t%s\n", p.Name, 100*p.Share, term.Count(p.Records), term.Bytes(p.Bytes))
		}
	})
	if n := len(s.Parts) - mostRows; n > 0 {
		fmt.Fprintf(b, "  … and %s more\n", term.Count(int64(n)))
	}
}

func (r *Result) topics(b *strings.Builder) {
	for i := range r.Topics {
		t := &r.Topics[i]
		about := ""
		if t.Estimated {
			about = "about "
		}
		fmt.Fprintf(b, "\n%s %s: %s, %s, %s%s; backlog %s; %s records/s over the last hour\n", t.Source, t.Topic, report.Quantity(int64(t.Partitions), "partition"),
			report.Quantity(t.Records, "record"), about, term.Bytes(t.Bytes), report.Quantity(t.Backlog, "record"), rate(t.PerSecond))
		if t.Skew.MaxOverMean > 0 && t.Partitions > 1 {
			fmt.Fprintf(b, "  the largest partition has %.2f times the mean\n", t.Skew.MaxOverMean)
			t.Skew.write(b, "partition", "records")
		}
	}
}

func (r *Result) needs(b *strings.Builder) {
	if t := &r.Throughput; t.MessagesPerSecond > 0 || t.BacklogMessages > 0 {
		fmt.Fprintf(b, "\npublishing needs %s messages/s, %s/s, at the rate of the last hour; the backlog is %s, %s\n",
			rate(t.MessagesPerSecond), term.Bytes(int64(t.BytesPerSecond)), report.Quantity(t.BacklogMessages, "message"), term.Bytes(t.BacklogBytes))
	}
}

func table(b *strings.Builder, write func(io.Writer)) {
	var raw strings.Builder
	w := tabwriter.NewWriter(&raw, 0, 0, 2, ' ', 0)
	write(w)
	w.Flush()
	for line := range strings.Lines(raw.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}

func percent(n, of int64) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of)) }

func rate(f float64) string {
	if f < 10 {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return term.Count(int64(f + 0.5))
}

// shortList writes names, the first ten of them.
func shortList(names []string) string {
	if len(names) <= mostRows {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:mostRows], ", ") + " and " + term.Count(int64(len(names)-mostRows)) + " more"
}
