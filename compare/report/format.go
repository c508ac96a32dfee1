package report

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

func orNull(s *string) string {
	if s == nil {
		return "NULL"
	}
	return plain(*s)
}

func absent(s *string) string {
	if s == nil {
		return "-"
	}
	return valueText(*s)
}

// valueText is a value of a metric; NaN and the infinities are texts.
func valueText(s string) string {
	if strings.ContainsFunc(s, unicode.IsLetter) {
		return plain(s)
	}
	return digits(plain(s))
}

// plain makes a text from the data safe for a terminal: control characters,
// which could move the cursor or forge a line, are replaced.
func plain(s string) string { return strings.Map(harmless, s) }

// plainLines is plain of a text of several lines.
func plainLines(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return harmless(r)
	}, s)
}

func harmless(r rune) rune {
	if unicode.IsControl(r) || r == utf8.RuneError || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
		return '\ufffd'
	}
	return r
}

// wide are the blocks whose characters take two columns of a terminal.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{{0x1100, 0x115f, 1}, {0x2e80, 0x303e, 1}, {0x3041, 0xa4cf, 1}, {0xa960, 0xa97f, 1}, {0xac00, 0xd7a3, 1}, {0xf900, 0xfaff, 1}, {0xfe30, 0xfe6f, 1}, {0xff00, 0xff60, 1}, {0xffe0, 0xffe6, 1}},
	R32: []unicode.Range32{{0x1f300, 0x1f64f, 1}, {0x1f680, 0x1f6ff, 1}, {0x1f900, 0x1faff, 1}, {0x20000, 0x3fffd, 1}},
}

// columns is how wide a terminal shows a character.
func columns(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// columnsOf is how wide a terminal shows a text.
func columnsOf(s string) int {
	n := 0
	for _, r := range s {
		n += columns(r)
	}
	return n
}

// cut shortens a line to width columns.
func cut(s string, width int) string {
	if columnsOf(s) <= width {
		return s
	}
	head, _ := splitAt(s, width-1)
	return head + "…"
}

// splitAt splits a text so that its head is as long as fits into width columns.
func splitAt(s string, width int) (head, tail string) {
	n := 0
	for i, r := range s {
		if n += columns(r); n > width && i > 0 {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// fold breaks a text into lines of at most width columns, between words where it
// can be.
func fold(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" {
			if columnsOf(line)+1+columnsOf(word) <= width {
				line += " " + word
				continue
			}
			lines = append(lines, line)
		}
		line = word
		for columnsOf(line) > width {
			head, tail := splitAt(line, width)
			if tail == "" {
				break
			}
			lines, line = append(lines, head), tail
		}
	}
	if line != "" || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}
