package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/term"
)

// WritePlan writes a plan for people.
func WritePlan(w io.Writer, p *compare.Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "comparison %s\n", p.Comparison)
	fmt.Fprintf(&b, "%s of %s settled\n", countOf(p.Scope.Windows, "window"), p.Scope.WindowSize)
	for _, r := range p.Scope.Settled {
		fmt.Fprintf(&b, "           %s\n", rangeText(r))
	}
	for _, l := range p.Scope.LeftOut {
		fmt.Fprintf(&b, "left out   %s\n", leftOutText(l))
	}
	if p.Scope.Windows > 0 {
		fmt.Fprintf(&b, "bytes      %s by dry run, %s allowed\n", term.Bytes(p.Bytes), term.Bytes(p.Limit))
		if ratio, ok := p.Ratio.Rat(); ok {
			fmt.Fprintf(&b, "           %s is the lower bound, with the minimum that is billed for a table; billed ÷ lower bound %s\n", term.Bytes(p.LowerBound), ratio.FloatString(2))
		}
		if p.Partitions > 1 {
			fmt.Fprintf(&b, "partitions %d, each with a query and that allowance of its own; the first query is shown\n", p.Partitions)
		}
	}
	for _, q := range p.Queries {
		note := ""
		if q.DryRun {
			note = ", dry run alone"
		}
		if q.Bytes != nil {
			note += ", " + term.Bytes(*q.Bytes) + " by dry run"
		}
		fmt.Fprintf(&b, "\n-- %s%s\n", q.Purpose, note)
		for _, v := range q.Parameters {
			value := "set while the run goes on"
			if v.Value != "" {
				value = plain(v.Value)
			}
			fmt.Fprintf(&b, "-- @%s = %s\n", v.Name, value)
		}
		b.WriteString(strings.TrimSpace(q.SQL) + ";\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteDecision writes a decision for people.
func WriteDecision(w io.Writer, d *compare.Decision) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s: %s\n", d.Verdict.Verdict, plain(d.Comparison), plain(d.Verdict.Rule))
	if d.Newest != nil {
		fmt.Fprintf(&b, "by the %s; the newest of it was compared at %s\n", d.Source, minute(*d.Newest))
	}
	for _, day := range d.Days {
		mark := "ok"
		if !day.OK {
			mark = "no  " + plain(day.Why)
		}
		fmt.Fprintf(&b, "  %s  %s, %s unexplained  %s\n", dayName(day.Start), countOf(day.Counts.Total, "key"), count(day.Unexplained), mark)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// dayName names a day by its date if it begins at midnight UTC.
func dayName(t time.Time) string {
	if t = t.UTC(); t.Equal(t.Truncate(day)) {
		return t.Format(time.DateOnly)
	}
	return moment(t)
}
