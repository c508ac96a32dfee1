package compare

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// yaml writes the guessed spec. What is guessed is marked, where it stands.
func (g *Init) yaml() string {
	in := g.in
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Written by kappa compare init from two schemas. Look at what is marked guess.")
	line("apiVersion: kappa/v1\nkind: Comparison\nmetadata: {name: %s}\nspec:", yamlText(in.Name))
	if in.Environment != "" {
		line("  environment: %s", in.Environment)
	}
	line("  project: %s\n  dataset: %s", yamlText(in.Project), yamlText(in.Dataset))
	side := func(name string, t InitTable, column string) {
		line("  %s:\n    table: %s\n    time: %s", name, yamlText(t.Name), yamlText(column))
	}
	side("batch", in.Batch, g.Time[0])
	if !in.Loads {
		line("    settledBy: clock\n    settleAfter: 24h # guess: how long after a window's end its rows are complete")
		g.guess("batch.settleAfter: 24h: no table batch_loads says what is loaded")
	}
	side("stream", in.Stream, g.Time[1])
	switch {
	case in.Job != "":
		line("    job: %s", yamlText(in.Job))
	default:
		line("    settleAfter: 24h # guess: how long after a window's end its rows are complete")
		g.guess("stream.settleAfter: 24h: no StreamJob is known whose watermarks say what is settled")
	}
	mark := func(m Match) string {
		if m.Sure == Sure {
			return ""
		}
		return fmt.Sprintf(" # %s: %s", m.Sure, m.Why)
	}
	columns := func(m Match) string {
		var s string
		if m.Batch != m.Name {
			s += ", batch: " + yamlText(m.Batch)
		}
		if m.Stream != m.Name {
			s += ", stream: " + yamlText(m.Stream)
		}
		return s
	}
	line("  keys:")
	for _, m := range g.Matches {
		if m.Role == "key" {
			line("    - {name: %s, type: %s%s}%s", yamlText(m.Name), m.Type, columns(m), mark(m))
		}
	}
	line("  window: %s%s", g.Window, map[bool]string{true: " # guess"}[len(g.in.Starts) < 10])
	g.alignment(line)
	line("  metrics:")
	for _, m := range g.Matches {
		if m.Role != "metric" {
			continue
		}
		value := ""
		if m.Value != "INT64" {
			value = ", value: " + m.Value
		}
		if m.Value == "FLOAT64" {
			// Floating point is compared under a tolerance alone.
			value += ", tolerance: {relative: 0.000001}"
			m.Sure, m.Why = Guessed, "say how far apart, in percent, floating point may be"
			g.guess("metric %s: tolerance 0.000001 %%: say how far apart floating point may be", m.Name)
		}
		line("    - {name: %s, type: %s%s%s}%s", yamlText(m.Name), m.Type, value, columns(m), mark(m))
	}
	line("  range: {last: 168h} # guess: without --from, the newest week")
	if in.Batch.Partition != g.Time[0] || in.Stream.Partition != g.Time[1] {
		line("  limits: {unpruned: allow} # guess: a table is not partitioned by its time column, and is read as a whole")
		g.guess("limits.unpruned: allow: a table is not partitioned by its time column, and is read as a whole")
	}
	return b.String()
}

// alignment writes where windows begin, if that is not at multiples of their size.
func (g *Init) alignment(line func(string, ...any)) {
	if len(g.in.Starts) == 0 {
		return
	}
	size, err := time.ParseDuration(g.Window)
	if err != nil || size <= 0 {
		return
	}
	first := slices.MinFunc(g.in.Starts, time.Time.Compare)
	if offset := first.Sub(floor(first, size)); offset != 0 {
		line("  alignment: {offset: %s}", shortDuration(offset))
	}
}
