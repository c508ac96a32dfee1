package localfiles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"

	"github.com/kappa-migrate/kappa/internal/exit"
)

var columnName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,299}$`)

// textColumn is a column of text files.
type textColumn struct {
	name    string
	typ     string // once it is settled
	guess   *guess // nil: the type was given
	layout  int    // of times, as of convert
	leftOut string // why it is not loaded; empty: it is
}

// scan is what reading all rows of text files has found out.
type scan struct {
	source  Source
	format  string
	columns []*textColumn // in the order of their first appearance
	byName  map[string]*textColumn
	rows    int64
}

// scanText reads all rows of the files. step gets the bytes that were read.
func scanText(ctx context.Context, s Source, paths []string, format string, step func(int)) (*scan, error) {
	sc := &scan{source: s, format: format, byName: map[string]*textColumn{}}
	var first []column
	for _, path := range paths {
		header, err := eachRow(ctx, path, format, step, func(line int, name string, v value) error { return sc.see(path, line, name, v) }, func() { sc.rows++ })
		if err != nil {
			return nil, err
		}
		cols := make([]column, len(header))
		for i, h := range header {
			cols[i].name = h
			sc.column(h) // also those without a value
		}
		switch {
		case len(cols) == 0: // JSON, or a file without a byte
		case first == nil:
			first = cols
		default:
			if err := sameColumns(paths[0], first, path, cols); err != nil {
				return nil, err
			}
		}
	}
	for _, c := range sc.columns {
		if c.guess != nil && c.leftOut == "" {
			c.typ = c.guess.typ()
		}
	}
	return sc, nil
}

// eachRow reads the rows of one file and returns its header.
func eachRow(ctx context.Context, path, format string, step func(int), f each, end func()) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, exit.Environmentf("open the file: %w", err)
	}
	defer file.Close()
	r, header, err := newRows(path, format, &stepper{ctx, file, step})
	if err != nil {
		return nil, err
	}
	for {
		if err := r.next(f); errors.Is(err, io.EOF) {
			return header, nil
		} else if err != nil {
			return nil, err
		}
		end()
	}
}

// stepper says how far a file is read, and stops when ctx ends.
type stepper struct {
	ctx  context.Context
	r    io.Reader
	step func(int)
}

func (s *stepper) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	s.step(n)
	return n, err
}

// column returns the column of a name.
func (sc *scan) column(name string) *textColumn {
	if c := sc.byName[name]; c != nil {
		return c
	}
	c := &textColumn{name: name, typ: sc.source.Types[name]}
	if c.typ == "" {
		c.guess = newGuess()
	}
	if !columnName.MatchString(name) {
		c.leftOut = "its name is no column name: letters, digits and _ are"
	}
	sc.byName[name] = c
	sc.columns = append(sc.columns, c)
	return c
}

// maxColumns is how many columns a table of BigQuery can have.
const maxColumns = 10_000

// see takes a value: it fits the type that its column must have, or narrows down
// what that is.
func (sc *scan) see(path string, line int, name string, v value) error {
	c := sc.column(name)
	switch {
	case len(sc.columns) > maxColumns:
		return at(path, line, "there are more than %d columns: are values names here?", maxColumns)
	case c.leftOut != "":
		return nil
	case v.null && name == sc.source.Time:
		return at(path, line, "%s is empty: the row belongs to no window", name)
	case v.null:
		return nil
	case v.nested && (c.guess == nil || name == sc.source.Time):
		return at(path, line, "%s is a list or an object, not a value", name)
	case v.nested:
		c.leftOut = "it holds lists or objects"
		return nil
	case c.guess == nil:
		if _, ok := convert(v.text, c.typ, &c.layout); !ok {
			return at(path, line, "%s is %s, which is no %s", name, sc.shown(name, v.text), c.typ)
		}
		return nil
	}
	c.guess.see(v.text, v.quoted)
	if typ := c.guess.typ(); name == sc.source.Time && typ != typeDate && typ != typeTimestamp {
		return at(path, line, "%s is %s, which is no time: 2001-01-08T06:00:00Z is one, and 2001-01-08", name, sc.shown(name, v.text))
	}
	return nil
}

// shown is a value of a file, as much as fits in a line. invariant A4
func (sc *scan) shown(name, text string) string {
	const most = 60
	if slices.Contains(sc.source.Hidden, name) {
		return "a value"
	}
	if len(text) > most {
		return fmt.Sprintf("%.*q…", most, text)
	}
	return fmt.Sprintf("%q", text)
}

// loaded are the columns that are loaded.
func (sc *scan) loaded() []*textColumn {
	return slices.DeleteFunc(slices.Clone(sc.columns), func(c *textColumn) bool { return c.leftOut != "" })
}
