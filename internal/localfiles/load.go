package localfiles

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Column is a column of a loaded table.
type Column struct {
	Name, Type string
	Guessed    bool // from the values, of which the format does not say what they are
}

// Loaded is what was loaded.
type Loaded struct {
	Files   []string
	Format  string
	Rows    int64
	Columns []Column
	LeftOut []string // columns that are not in the table, and why
}

// Load loads the files of a source into a new table. step gets how many bytes of
// how many were read; text is read twice.
func Load(ctx context.Context, table *bigquery.Table, s Source, step func(done, total int64)) (*Loaded, error) {
	paths, format, err := s.match()
	if err != nil {
		return nil, err
	}
	l := &loader{table: table, source: s, format: format, step: step}
	for _, path := range paths {
		st, err := os.Stat(path)
		if err != nil {
			return nil, exit.Environmentf("%s.files: %w", s.Name, err)
		}
		l.total += st.Size()
	}
	out := &Loaded{Files: paths, Format: format}
	if format == CSV || format == JSON {
		l.total *= 2
		err = l.text(ctx, out)
	} else {
		err = l.binary(ctx, out)
	}
	if err != nil {
		return nil, err
	}
	if out.Rows == 0 {
		return nil, s.empty(paths)
	}
	return out, nil
}

// empty is NO DATA: nothing was there to be compared, so nothing can be equal.
func (s Source) empty(paths []string) error {
	name := paths[0]
	if len(paths) > 1 {
		name = fmt.Sprintf("%s and %d more", paths[0], len(paths)-1)
	}
	return exit.With(exit.NoData, fmt.Errorf("NO DATA: the files of the %s side hold no rows (%s)", s.Name, name)) // invariant C4
}

type loader struct {
	table       *bigquery.Table
	source      Source
	format      string
	step        func(done, total int64)
	done, total int64
}

func (l *loader) read(n int) {
	l.done += int64(n)
	l.step(l.done, l.total)
}

// binary loads files that hold their schema.
func (l *loader) binary(ctx context.Context, out *Loaded) error {
	var first []column
	for _, path := range out.Files {
		cols, err := columnsOf(path, l.format)
		if err != nil {
			return err
		}
		if first == nil {
			first = cols
			if err := l.needs(func(name string) bool {
				return slices.ContainsFunc(cols, func(c column) bool { return c.name == name })
			}, cols); err != nil {
				return err
			}
		} else if err := sameColumns(out.Files[0], first, path, cols); err != nil {
			return err
		}
	}
	for _, path := range out.Files {
		file, err := os.Open(path)
		if err != nil {
			return exit.Environmentf("open the file: %w", err)
		}
		src := bigquery.NewReaderSource(&stepper{ctx, file, l.read})
		src.SourceFormat = bigquery.Parquet
		if l.format == Avro {
			src.SourceFormat = bigquery.Avro
			src.AvroOptions = &bigquery.AvroOptions{UseAvroLogicalTypes: true}
		}
		rows, err := l.job(ctx, src)
		file.Close() // it was only read
		if err != nil {
			return fmt.Errorf("load %s: %w", path, err)
		}
		out.Rows += rows
	}
	md, err := l.table.Metadata(ctx)
	if err != nil {
		return fmt.Errorf("look at the loaded files of the %s side: %w", l.source.Name, err)
	}
	for _, f := range md.Schema {
		out.Columns = append(out.Columns, Column{Name: f.Name, Type: string(f.Type)})
	}
	return nil
}

// needs refuses files that lack a column that the spec names.
func (l *loader) needs(has func(name string) bool, cols []column) error {
	names := []string{l.source.Time}
	for name := range l.source.Types {
		names = append(names, name)
	}
	slices.Sort(names[1:])
	for _, name := range names {
		if has(name) {
			continue
		}
		var have []string
		for _, c := range cols {
			have = append(have, c.name)
		}
		return exit.Environmentf("%s.files: there is no column %s; there are %s", l.source.Name, name, strings.Join(have, ", ")).
			WithHint("say in the spec which column holds it")
	}
	return nil
}

// text loads CSV and JSON, as JSON that says what every value is.
func (l *loader) text(ctx context.Context, out *Loaded) error {
	sc, err := scanText(ctx, l.source, out.Files, l.format, l.read)
	if err != nil {
		return err
	}
	if sc.rows == 0 {
		return nil
	}
	var have []column
	for _, c := range sc.columns {
		have = append(have, column{name: c.name})
		if c.leftOut != "" {
			out.LeftOut = append(out.LeftOut, fmt.Sprintf("%s (%s)", c.name, c.leftOut))
		}
	}
	if err := l.needs(func(name string) bool { c := sc.byName[name]; return c != nil && c.leftOut == "" }, have); err != nil {
		return err
	}
	var schema bigquery.Schema
	for _, c := range sc.loaded() {
		schema = append(schema, &bigquery.FieldSchema{Name: c.name, Type: fieldType(c.typ)})
		out.Columns = append(out.Columns, Column{Name: c.name, Type: c.typ, Guessed: c.guess != nil})
	}
	pr, pw := io.Pipe()
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		pw.CloseWithError(l.write(ctx, sc, out.Files, pw))
	}()
	src := bigquery.NewReaderSource(pr)
	src.SourceFormat = bigquery.JSON
	src.Schema = schema
	out.Rows, err = l.job(ctx, src)
	pr.CloseWithError(errors.New("the load job has ended"))
	<-writing
	if err != nil {
		return fmt.Errorf("load the files of the %s side: %w", l.source.Name, err)
	}
	if out.Rows != sc.rows {
		return exit.Environmentf("%s.files: %d rows were read and then %d loaded: the files have changed meanwhile", l.source.Name, sc.rows, out.Rows)
	}
	return nil
}

// fieldType is a type by the name that schemas have, which are older than those
// of SQL.
func fieldType(typ string) bigquery.FieldType {
	switch typ {
	case typeInt:
		return bigquery.IntegerFieldType
	case typeFloat:
		return bigquery.FloatFieldType
	case typeBool:
		return bigquery.BooleanFieldType
	}
	return bigquery.FieldType(typ)
}

// write writes the rows as JSON lines.
func (l *loader) write(ctx context.Context, sc *scan, paths []string, w io.Writer) error {
	bw := bufio.NewWriterSize(w, 256<<10)
	line := []byte{'{'}
	for _, path := range paths {
		_, err := eachRow(ctx, path, l.format, l.read, func(n int, name string, v value) error {
			c := sc.byName[name]
			if c == nil {
				return at(path, n, "the file has changed meanwhile")
			}
			if v.null || c.leftOut != "" {
				return nil
			}
			text, ok := convert(v.text, c.typ, &c.layout)
			if !ok {
				return at(path, n, "the file has changed meanwhile")
			}
			if len(line) > 1 {
				line = append(line, ',')
			}
			line = append(append(append(line, '"'), name...), '"', ':')
			return appendText(&line, text)
		}, func() {
			_, _ = bw.Write(append(line, '}', '\n')) // an error stays until Flush
			line = line[:1]
		})
		if err != nil {
			return err
		}
	}
	return bw.Flush()
}

// appendText appends a string of JSON.
func appendText(b *[]byte, text string) error {
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			quoted, err := json.Marshal(text)
			*b = append(*b, quoted...)
			return err
		}
	}
	*b = append(append(append(*b, '"'), text...), '"')
	return nil
}

// job runs a load job to its end and returns how many rows it loaded.
func (l *loader) job(ctx context.Context, src *bigquery.ReaderSource) (int64, error) {
	load := l.table.LoaderFrom(src)
	load.WriteDisposition = bigquery.WriteAppend
	load.TimePartitioning = &bigquery.TimePartitioning{Type: bigquery.DayPartitioningType, Field: l.source.Time}
	job, err := load.Run(ctx)
	if err != nil {
		return 0, reason(err)
	}
	st, err := job.Wait(ctx)
	if err == nil {
		err = st.Err()
	}
	if err != nil {
		return 0, reason(err)
	}
	d, ok := st.Statistics.Details.(*bigquery.LoadStatistics)
	if !ok {
		return 0, errors.New("the service sent no statistics")
	}
	return d.OutputRows, nil
}

// reason keeps of the service's error what says something about the file.
func reason(err error) error {
	var coded *exit.Error
	if errors.As(err, &coded) || errors.Is(err, context.Canceled) { // our own, through the upload
		return err
	}
	text := err.Error()
	var api *googleapi.Error
	var job *bigquery.Error
	switch {
	case errors.As(err, &job):
		text = job.Message
	case errors.As(err, &api):
		text = api.Message
	}
	text = strings.TrimPrefix(text, "Error while reading data, error message: ")
	text, _, _ = strings.Cut(text, " File: ")
	return exit.Environmentf("%s", text)
}
