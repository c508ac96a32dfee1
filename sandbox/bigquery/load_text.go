package bigquery

import (
	"bufio"
	"bytes"
	"database/sql/driver"
	"encoding/csv"
	"errors"
	"io"
	"unicode/utf8"

	bq "google.golang.org/api/bigquery/v2"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

// jsonSource reads newline-delimited JSON.
type jsonSource struct {
	r      *bufio.Reader
	ignore bool
	dec    *rowDecoder
}

func newJSONSource(r io.Reader, ignoreUnknown bool) *jsonSource {
	return &jsonSource{r: bufio.NewReaderSize(r, 64<<10), ignore: ignoreUnknown}
}

func (s *jsonSource) close() {}

func (s *jsonSource) columns() []googlesql.Column { return nil }

func (s *jsonSource) bind(cols []googlesql.Column) error {
	s.dec = newRowDecoder(cols, s.ignore)
	return nil
}

func (s *jsonSource) next(row []driver.Value) (bool, error) {
	for {
		line, err := s.r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return true, s.dec.decode(line, row)
		}
		if err != nil {
			return false, nil
		}
	}
}

// csvSource reads CSV.
type csvSource struct {
	r    *csv.Reader
	skip int64
	null string
	cols []googlesql.Column
}

func newCSVSource(r io.Reader, conf *bq.JobConfigurationLoad) (*csvSource, error) {
	s := &csvSource{r: csv.NewReader(r), skip: conf.SkipLeadingRows, null: conf.NullMarker}
	s.r.FieldsPerRecord = -1
	s.r.ReuseRecord = true
	if conf.Quote != nil && *conf.Quote != `"` {
		return nil, errNotImplemented("quote %q", *conf.Quote)
	}
	if d := conf.FieldDelimiter; d != "" {
		if d == "tab" || d == `\t` {
			d = "\t"
		}
		c, size := utf8.DecodeRuneInString(d)
		if size != len(d) {
			return nil, errInvalid("The field delimiter must be one character, not %q", conf.FieldDelimiter)
		}
		s.r.Comma = c
	}
	return s, nil
}

func (s *csvSource) close() {}

func (s *csvSource) columns() []googlesql.Column { return nil }

func (s *csvSource) bind(cols []googlesql.Column) error {
	s.cols = cols
	for _, c := range cols {
		if c.Type.Kind == googlesql.Array || c.Type.Kind == googlesql.Struct {
			return errInvalid("CSV has no type %s (field %s)", c.Type, c.Name)
		}
	}
	for ; s.skip > 0; s.skip-- {
		if _, err := s.r.Read(); err != nil && !errors.Is(err, io.EOF) {
			return errInvalid("%s", err)
		}
	}
	return nil
}

func (s *csvSource) next(row []driver.Value) (bool, error) {
	rec, err := s.r.Read()
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, errInvalid("%s", err)
	}
	line, _ := s.r.FieldPos(0)
	switch {
	case len(rec) < len(s.cols):
		return false, errInvalid("CSV table references column position %d, but line %d has only %d columns.", len(s.cols)-1, line, len(rec))
	case len(rec) > len(s.cols):
		return false, errInvalid("Too many values in line %d. Found %d column(s) while expected %d.", line, len(rec), len(s.cols))
	}
	for i, c := range s.cols {
		text := rec[i]
		// An empty field is NULL, but for strings unless NULL has its own mark.
		if text == s.null && (s.null != "" || c.Type.Kind != googlesql.String && c.Type.Kind != googlesql.Bytes) {
			row[i] = nil
			continue
		}
		v, ferr := parseScalar(c.Type, []byte(text), c.Name)
		if ferr != nil {
			return false, ferr
		}
		row[i] = v
	}
	return true, nil
}
