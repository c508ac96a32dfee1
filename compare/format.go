package compare

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
	return digits(*s)
}

// plain makes a text from the data safe for a terminal: control characters,
// which could move the cursor or forge a line, are replaced.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Cf, r) {
			return '\ufffd'
		}
		return r
	}, s)
}

// cut shortens a line to width columns.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	runes := []rune(s)
	return string(runes[:width-1]) + "…"
}
