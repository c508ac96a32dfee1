// Package report is what the results of the features write alike: their JSON
// form, and counts with a noun in their text form. Numbers and sizes alone are
// written by package term.
package report

import (
	"encoding/json"
	"io"

	"github.com/kappa-migrate/kappa/internal/term"
)

// WriteJSON writes v as indented JSON with a line break at the end. The
// characters <, > and & stay as they are: results are read by people too.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Quantity writes n with what is counted, a noun whose plural ends in s:
// 1 event, 2,000 events.
func Quantity(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return term.Count(n) + " " + noun
}

// All writes that it is every one of n: the one event, all 2,000 events.
func All(n int64, noun string) string {
	if n == 1 {
		return "the one " + noun
	}
	return "all " + Quantity(n, noun)
}
