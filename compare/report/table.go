package report

import (
	"fmt"
	"strings"
)

// textReport writes lines that keep to a width. Everything that it is given may
// come from the data: no line of it holds a control character but its own
// styles.
type textReport struct {
	b     strings.Builder
	width int
	color bool
}

// ANSI styles.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (t *textReport) style(code, s string) string {
	if !t.color || code == "" || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// line writes one line, cut at the width before it is styled.
func (t *textReport) line(code, format string, args ...any) {
	s := plain(strings.TrimRight(fmt.Sprintf(format, args...), " "))
	t.b.WriteString(t.style(code, cut(s, t.width)) + "\n")
}

func (t *textReport) heading(format string, args ...any) {
	t.b.WriteString("\n")
	t.item(bold, "", "", fmt.Sprintf(format, args...))
}

// wrapped writes a text that may take several lines; those after the first are
// indented further.
func (t *textReport) wrapped(code, indent, s string) {
	t.lines(code, indent, indent+strings.Repeat(" ", min(2, len(indent))), s)
}

// item writes a text after its label; further lines begin below the text.
func (t *textReport) item(code, indent, label, s string) {
	first := indent + label
	t.lines(code, first, strings.Repeat(" ", columnsOf(first)), s)
}

func (t *textReport) lines(code, first, rest, s string) {
	for i, l := range fold(plain(s), t.width-columnsOf(rest)) {
		if i == 0 {
			t.line(code, "%s%s", first, l)
		} else {
			t.line(code, "%s%s", rest, l)
		}
	}
}

// tableRow is a row of a table; the note is written below it.
type tableRow struct {
	cells []string
	code  string
	note  string
}

// Bounds of the columns of a table.
const (
	cellShown = 240 // characters of a cell: keys may be long
	longWord  = 26  // columns of a word that is broken only where it must be
	gap       = 2   // before each column
)

// table writes rows in aligned columns; a column whose letter in align is 'r' is
// aligned to the right. Where it is too wide texts are folded; then it is
// continued below, with its first column again: a number is never cut.
func (t *textReport) table(align string, head []string, rows []tableRow) {
	all := append([]tableRow{{cells: head, code: dim}}, rows...)
	widths, least := make([]int, len(align)), make([]int, len(align))
	for i, row := range all {
		all[i].cells = make([]string, len(align))
		for k, cell := range row.cells[:min(len(align), len(row.cells))] {
			cell = cut(plain(cell), cellShown)
			all[i].cells[k], widths[k] = cell, max(widths[k], columnsOf(cell))
			if align[k] == 'r' {
				least[k] = widths[k]
			}
			for _, word := range strings.Fields(cell) {
				least[k] = max(least[k], min(longWord, columnsOf(word)))
			}
		}
	}
	for n, block := range t.blocks(widths, least) {
		if n > 0 {
			t.b.WriteString("\n")
		}
		for _, row := range all {
			t.row(align, widths, block, row)
			if n == 0 && row.note != "" {
				t.wrapped(dim, "    ", row.note)
			}
		}
	}
}

// blocks makes columns narrower, to the least that they need, so that all of them
// fit; and says which stand beside each other.
func (t *textReport) blocks(widths, least []int) [][]int {
	total := 0
	for _, w := range widths {
		total += w + gap
	}
	for total > t.width {
		widest := -1
		for i, w := range widths {
			if w > least[i] && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		total--
	}
	room := t.width - gap - min(widths[0], t.width/2)
	widths[0] = min(widths[0], t.width/2)
	blocks, left := [][]int{{0}}, room
	for i := 1; i < len(widths); i++ {
		widths[i] = min(widths[i], room-gap)
		if widths[i]+gap > left {
			blocks, left = append(blocks, []int{0}), room
		}
		last := len(blocks) - 1
		blocks[last] = append(blocks[last], i)
		left -= widths[i] + gap
	}
	return blocks
}

func (t *textReport) row(align string, widths, block []int, row tableRow) {
	folded, lines := make([][]string, len(block)), 1
	for k, i := range block {
		folded[k] = fold(row.cells[i], widths[i])
		lines = max(lines, len(folded[k]))
	}
	for n := range lines {
		var b strings.Builder
		for k, i := range block {
			cell := ""
			if n < len(folded[k]) {
				cell = folded[k][n]
			}
			pad := strings.Repeat(" ", max(0, widths[i]-columnsOf(cell)))
			b.WriteString(strings.Repeat(" ", gap))
			if align[i] == 'r' {
				b.WriteString(pad + cell)
			} else {
				b.WriteString(cell + pad)
			}
		}
		t.line(row.code, "%s", b.String())
	}
}
