package compare

import (
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown writes a short report for a pull request or a chat.
func (r *Result) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s: %s\n\n", r.Verdict.Verdict, markdown(r.Comparison))
	if r.Description != "" {
		fmt.Fprintf(&b, "%s\n\n", markdown(r.Description))
	}
	fmt.Fprintf(&b, "Decided by %s.\n\n", markdown(r.Verdict.Rule))
	for _, s := range r.Warnings {
		fmt.Fprintf(&b, "> **Warning:** %s\n\n", markdown(s))
	}
	if r.Counts.Total > 0 {
		b.WriteString("| class | keys | share |\n| --- | ---: | ---: |\n")
		for _, c := range Classes {
			if n := r.Counts.Of(c); n > 0 || c != ClassTolerated {
				fmt.Fprintf(&b, "| %s | %s | %s %% |\n", c, count(n), NewRatio(n, r.Counts.Total).Percent(2))
			}
		}
		b.WriteString("\n| metric | batch | stream | stream - batch | absolute |\n| --- | ---: | ---: | ---: | ---: |\n")
		for _, m := range r.Metrics {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", markdown(m.Name), total(m.BatchTotal), total(m.StreamTotal), signed(m.Difference), digits(m.Absolute))
		}
		b.WriteString("\n")
	}
	if r.Causes.Differing > 0 {
		fmt.Fprintf(&b, "%s %% of %s that differ are explained.\n\n", r.Causes.Explained.Percent(2), countOf(r.Causes.Differing, "key"))
		b.WriteString("| cause | status | keys | share |\n| --- | --- | ---: | ---: |\n")
		for _, c := range r.Causes.Entries {
			fmt.Fprintf(&b, "| %s | %s | %s | %s %% |\n", markdown(c.Cause), c.Status, count(c.Keys), c.Share.Percent(2))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%s of %s compared", countOf(r.Scope.Windows, "window"), r.Scope.WindowSize)
	for _, l := range r.Scope.LeftOut {
		fmt.Fprintf(&b, "; left out: %s (%s)", countOf(l.Windows, "window"), l.Reason)
	}
	fmt.Fprintf(&b, ". %s read, %s billed. Spec `%s`.\n", bytesText(r.Cost.Processed), bytesText(r.Cost.Billed), r.SpecHash)
	_, err := io.WriteString(w, b.String())
	return err
}

var markdownEscapes = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "|", `\|`, "#", `\#`)

// markdown makes a text from the spec or the data safe within a line.
func markdown(s string) string { return markdownEscapes.Replace(plain(s)) }
