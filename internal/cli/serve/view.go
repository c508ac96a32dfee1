package serve

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kappa-migrate/kappa/serve"
)

// result is what query prints; its JSON form is documented in docs/contracts.md.
type result struct {
	Aggregation string   `json:"aggregation"`
	Size        string   `json:"window"`
	Dimensions  []string `json:"dimensions"`
	Measures    []string `json:"measures"`
	Windows     []window `json:"windows"`
	Truncated   bool     `json:"truncated"` // there are more windows than --limit
}

type window struct {
	Key    map[string]*string `json:"key"`
	Start  time.Time          `json:"window_start"`
	Values map[string]*int64  `json:"values"`
}

// read reads the windows of a key, or of all keys if it is nil; a limit of 0 is
// none.
func (r *result) read(ctx context.Context, reader *serve.Reader, key []*string, from, to time.Time, limit int) error {
	add := func(w serve.Window) bool {
		if limit > 0 && len(r.Windows) == limit {
			r.Truncated = true
			return false
		}
		out := window{Key: map[string]*string{}, Start: w.Start, Values: map[string]*int64{}}
		for i, d := range r.Dimensions {
			out.Key[d] = w.Key[i]
		}
		for i, m := range r.Measures {
			out.Values[m] = w.Values[i]
		}
		r.Windows = append(r.Windows, out)
		return true
	}
	if key == nil {
		return reader.Scan(ctx, from, to, add)
	}
	windows, err := reader.Query(ctx, key, from, to)
	for _, w := range windows {
		if !add(w) {
			break
		}
	}
	return err
}

// text prints the windows as a table to out; what is to be said beside them
// goes to notes.
func (r *result) text(out, notes io.Writer) error {
	if len(r.Windows) == 0 {
		_, err := fmt.Fprintf(notes, "no window of %s is there that counts\n", r.Aggregation)
		return err
	}
	rows := [][]string{append(append(append([]string{}, r.Dimensions...), "window_start"), r.Measures...)}
	for _, w := range r.Windows {
		var row []string
		for _, d := range r.Dimensions {
			row = append(row, shown(w.Key[d]))
		}
		row = append(row, w.Start.Format(time.RFC3339))
		for _, m := range r.Measures {
			if v := w.Values[m]; v != nil {
				row = append(row, strconv.FormatInt(*v, 10))
			} else {
				row = append(row, "null")
			}
		}
		rows = append(rows, row)
	}
	if err := aligned(out, rows, len(r.Dimensions)+1); err != nil {
		return err
	}
	if r.Truncated {
		_, err := fmt.Fprintf(notes, "there are more windows than the %d shown: raise --limit\n", len(r.Windows))
		return err
	}
	return nil
}

// shown is a dimension as --key takes it, quoted where it could not be seen.
func shown(s *string) string {
	switch {
	case s == nil:
		return null
	case *s == null || strings.HasPrefix(*s, "%%"):
		return "%" + *s
	case *s == "" || strings.TrimSpace(*s) != *s || strings.ContainsFunc(*s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return strconv.Quote(*s)
	}
	return *s
}

// aligned prints rows as columns: the first ones to the left, numbers to the right.
func aligned(w io.Writer, rows [][]string, left int) error {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, c := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i < left {
				b.WriteString(c + pad)
			} else {
				b.WriteString(pad + c)
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}
