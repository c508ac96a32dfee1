package localfiles

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// maxLine bounds a line of a JSON file, and a row of a CSV file with the line breaks
// in its quotes: they are held in memory.
const maxLine = 16 << 20

var errLongRow = fmt.Errorf("the row is longer than %d MiB; a quote that is not closed takes the rest of the file with it", maxLine>>20)

// value is a value of a row of a text file.
type value struct {
	text   string
	null   bool
	quoted bool // the format told text from numbers, and this is text
	nested bool // a list or an object
}

// rows reads the rows of a text file.
type rows interface {
	// next calls f with each value of the next row; io.EOF after the last one.
	next(f each) error
}

// each takes a value of a row that begins in line.
type each func(line int, name string, v value) error

// newRows reads a file of a text format; name is for messages.
func newRows(name, format string, r io.Reader) (rows, []string, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	if bom, _ := br.Peek(3); string(bom) == "\xef\xbb\xbf" {
		_, _ = br.Discard(3)
	}
	if format == CSV {
		return newCSV(name, br)
	}
	return &jsonRows{name: name, r: br}, nil, nil
}

type csvRows struct {
	name   string
	r      *csv.Reader
	bound  *bounded
	line   int // that the next row is expected in
	header []string
}

// bounded is a reader that gives so many bytes and then an error.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLongRow
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// newCSV reads the header; a file without a byte has none, and no rows.
func newCSV(name string, r io.Reader) (rows, []string, error) {
	bound := &bounded{r, maxLine}
	c := &csvRows{name: name, r: csv.NewReader(bound), bound: bound, line: 1}
	c.r.ReuseRecord = true
	header, err := c.r.Read()
	if errors.Is(err, io.EOF) {
		return c, nil, nil
	}
	if err != nil {
		return nil, nil, c.bad(err)
	}
	c.header = slices.Clone(header)
	for i, h := range c.header {
		c.header[i] = strings.TrimSpace(h)
		if slices.Contains(c.header[:i], c.header[i]) {
			return nil, nil, at(name, 1, "two columns are named %q", c.header[i])
		}
	}
	return c, c.header, nil
}

func (c *csvRows) next(f each) error {
	c.bound.left = maxLine
	record, err := c.r.Read()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err != nil {
		return c.bad(err)
	}
	line, _ := c.r.FieldPos(0)
	c.line = line + 1
	for i, text := range record {
		if err := f(line, c.header[i], value{text: text, null: text == ""}); err != nil {
			return err
		}
	}
	return nil
}

func (c *csvRows) bad(err error) error {
	var pe *csv.ParseError
	if errors.Is(err, errLongRow) {
		return at(c.name, c.line, "%w", err)
	}
	if !errors.As(err, &pe) {
		return unread(c.name, err)
	}
	if errors.Is(pe.Err, csv.ErrFieldCount) {
		return at(c.name, pe.Line, "the row has not as many fields as the header, %d", len(c.header))
	}
	return at(c.name, pe.Line, "%w", pe.Err)
}

// unread is why a file was not read. That somebody has stopped it is not the file's
// fault.
func unread(name string, err error) error {
	err = fmt.Errorf("read %s: %w", name, err)
	if errors.Is(err, context.Canceled) {
		return err
	}
	return exit.With(exit.Environment, err)
}

// at is an error in a line of a file.
func at(name string, line int, format string, args ...any) error {
	return exit.Environmentf("%s:%d: %w", name, line, fmt.Errorf(format, args...))
}

type jsonRows struct {
	name  string
	r     *bufio.Reader
	line  int
	buf   []byte
	names []string
}

func (j *jsonRows) next(f each) error {
	for {
		text, err := j.read()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return j.row(text, f)
		}
		if err != nil {
			return io.EOF
		}
	}
}

// read returns the next line; with io.EOF the last one.
func (j *jsonRows) read() ([]byte, error) {
	j.line++
	j.buf = j.buf[:0]
	for {
		part, err := j.r.ReadSlice('\n')
		j.buf = append(j.buf, part...)
		switch {
		case len(j.buf) > maxLine:
			return nil, at(j.name, j.line, "the line is longer than %d MiB: one object a line is wanted", maxLine>>20)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, unread(j.name, err)
		}
		return j.buf, err
	}
}

func (j *jsonRows) row(text []byte, f each) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return at(j.name, j.line, "the line is no JSON object: %w", err)
	}
	j.names = j.names[:0]
	for name := range object {
		j.names = append(j.names, name)
	}
	slices.Sort(j.names)
	for _, name := range j.names {
		v, err := jsonValue(object[name])
		if err != nil {
			return at(j.name, j.line, "%s: %w", name, err)
		}
		if err := f(j.line, name, v); err != nil {
			return err
		}
	}
	return nil
}

func jsonValue(raw json.RawMessage) (value, error) {
	switch raw[0] {
	case 'n':
		return value{null: true}, nil
	case '"':
		v := value{quoted: true}
		err := json.Unmarshal(raw, &v.text)
		return v, err
	case '{', '[':
		return value{nested: true}, nil
	}
	return value{text: string(raw)}, nil
}
