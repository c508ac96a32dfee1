package flights

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
)

func readGzip(r io.Reader) ([]Flight, error) {
	z, err := gzip.NewReader(bufio.NewReaderSize(r, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("not a gzip file: %w", err)
	}
	defer z.Close()
	out, err := readCSV(z)
	if err != nil {
		return nil, fmt.Errorf("gzipped: %w", err)
	}
	return out, nil
}

func readCSV(r io.Reader) ([]Flight, error) {
	br := bufio.NewReaderSize(r, 1<<20)
	if bom, _ := br.Peek(3); string(bom) == "\xef\xbb\xbf" {
		_, _ = br.Discard(3)
	}
	cr := csv.NewReader(br)
	cr.ReuseRecord = true
	header, err := cr.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file has no header")
	}
	if err != nil {
		return nil, csvError(err)
	}
	at, err := locate(header)
	if err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	var out []Flight
	var codes interner
	for {
		row, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, csvError(err)
		}
		f, err := parse(row, at, &codes)
		if err != nil {
			line, _ := cr.FieldPos(0)
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		out = append(out, f)
	}
}

// csvError words the library's errors, which name the line, as ours.
func csvError(err error) error {
	var p *csv.ParseError
	if errors.As(err, &p) {
		return fmt.Errorf("line %d: %w", p.Line, p.Err)
	}
	return err
}
