package term

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Status is where a phase stands.
type Status int

// The states of a phase.
const (
	Running Status = iota
	Done
	Failed
)

// Phase is one step of the work, as it is shown.
type Phase struct {
	Name    string
	Status  Status
	Unit    string // of Count, in the plural, or UnitBytes; empty: nothing is counted
	Count   int64
	Total   int64   // zero: unknown
	Rate    float64 // per second; zero: unknown
	Elapsed time.Duration
	Note    string // free text, shown at the end of the line
}

// UnitBytes is the unit of what is shown as KiB, MiB and so on.
const UnitBytes = "bytes"

// Gauge is a named value that changes while the work goes on.
type Gauge struct {
	Name, Value string
}

// State is all that a display shows.
type State struct {
	Phases []Phase
	Gauges []Gauge
}

// Left estimates the time that p still takes; false if nothing can be said.
func (p Phase) Left() (time.Duration, bool) {
	if p.Status != Running || p.Rate <= 0 || p.Total <= p.Count {
		return 0, false
	}
	seconds := float64(p.Total-p.Count) / p.Rate
	if seconds > 1000*3600 {
		return 0, false // such a number helps nobody
	}
	return time.Duration(seconds * float64(time.Second)), true
}

const (
	nameColumns = 22
	barColumns  = 20
)

var spinner = []string{"◐", "◓", "◑", "◒"}

// Live renders s for a live region of the given size: no line is wider than
// width columns, and there are at most height lines, the first ones going
// first. Frame turns the spinner.
func Live(s State, width, height, frame int, color bool) []string {
	var lines []string
	for _, p := range s.Phases {
		line := livePhase(p, frame, true)
		if width > 0 && utf8.RuneCountInString(line) > width {
			line = livePhase(p, frame, false) // the numbers say more
		}
		lines = append(lines, fit(line, width, color, p.Status))
	}
	if n := len(s.Gauges); n > 0 {
		widest := 0
		for _, g := range s.Gauges {
			widest = max(widest, utf8.RuneCountInString(g.Name))
		}
		for _, g := range s.Gauges {
			lines = append(lines, cut("    "+pad(g.Name, widest)+"  "+g.Value, width))
		}
	}
	if height > 0 && len(lines) > height {
		lines = lines[len(lines)-height:]
	}
	return lines
}

func livePhase(p Phase, frame int, drawn bool) string {
	mark := spinner[frame%len(spinner)]
	switch p.Status {
	case Done:
		mark = "✓"
	case Failed:
		mark = "✗"
	}
	parts := []string{"  " + mark + " " + pad(p.Name, nameColumns)}
	if drawn && p.Status == Running && p.Total > 0 {
		parts = append(parts, bar(p.Count, p.Total))
	}
	return strings.Join(append(parts, details(p)...), "  ")
}

// Plain renders p as a line for logs and pipes, with the gauges while it runs.
func Plain(p Phase, gauges []Gauge) string {
	word := "…"
	switch p.Status {
	case Done:
		word = "done"
	case Failed:
		word = "FAILED"
	}
	parts := append([]string{p.Name + ": " + word}, details(p)...)
	if p.Status == Running {
		for _, g := range gauges {
			parts = append(parts, g.Name+" "+g.Value)
		}
	}
	return strings.Join(parts, ", ")
}

func details(p Phase) []string {
	var out []string
	number, unit := Count, " "+p.Unit
	if p.Unit == UnitBytes {
		number, unit = Bytes, ""
	}
	if p.Unit != "" {
		c := number(p.Count)
		if p.Status == Running && p.Total > 0 {
			c += "/" + number(p.Total)
		}
		out = append(out, c+unit)
	}
	if p.Unit != "" && p.Status == Running && p.Rate >= 0.5 { // less says nothing as a whole number
		out = append(out, number(int64(p.Rate+0.5))+"/s")
	}
	if left, ok := p.Left(); ok {
		out = append(out, Span(left)+" left")
	}
	if p.Note != "" {
		out = append(out, p.Note)
	}
	if p.Status != Running {
		out = append(out, Span(p.Elapsed))
	}
	return out
}

func bar(count, total int64) string {
	full := int(float64(barColumns) * min(1, max(0, float64(count)/float64(total))))
	return strings.Repeat("█", full) + strings.Repeat("░", barColumns-full)
}

func pad(s string, columns int) string {
	if n := utf8.RuneCountInString(s); n < columns {
		return s + strings.Repeat(" ", columns-n)
	}
	return s
}

// cut shortens s to width columns; an ellipsis stands for the rest.
func cut(s string, width int) string {
	if width <= 0 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// fit cuts first and colours then: escape sequences take no columns.
func fit(s string, width int, color bool, status Status) string {
	s = cut(s, width)
	if !color {
		return s
	}
	switch status {
	case Done:
		return Green + s + Reset
	case Failed:
		return Red + s + Reset
	}
	return s
}

// Escape sequences for the few styles that are used.
const (
	Bold  = "\x1b[1m"
	Red   = "\x1b[31m"
	Green = "\x1b[32m"
	Reset = "\x1b[0m"
)

// Count writes n with commas between thousands: 115,245.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Span writes d as people say it: 0.4s, 35s, 2m05s, 3h20m.
func Span(d time.Duration) string {
	switch {
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 59500*time.Millisecond:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

// Bytes writes n with a binary unit: 1.4 GiB.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, i := float64(n)/unit, 0
	for v >= unit && i < 3 {
		v, i = v/unit, i+1
	}
	return fmt.Sprintf("%.1f %s", v, []string{"KiB", "MiB", "GiB", "TiB"}[i])
}
