package bigquery

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"

	bq "google.golang.org/api/bigquery/v2"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

var loadKeys = []string{
	"sourceUris", "schema", "destinationTable", "createDisposition", "writeDisposition", "sourceFormat", "useAvroLogicalTypes",
	"timePartitioning", "clustering", "skipLeadingRows", "fieldDelimiter", "quote", "allowQuotedNewlines", "nullMarker",
	"ignoreUnknownValues", "encoding", "autodetect",
}

// checkLoad checks a load job's configuration.
func checkLoad(data []byte, conf *bq.JobConfigurationLoad, media *spool) error {
	if err := allowKeys(data, "configuration.load.", loadKeys...); err != nil {
		return err
	}
	switch strings.ToUpper(conf.SourceFormat) {
	case "AVRO", "PARQUET", "CSV", "", "NEWLINE_DELIMITED_JSON":
	default:
		return errNotImplemented("sourceFormat %s", conf.SourceFormat)
	}
	switch {
	case conf.DestinationTable == nil:
		return errInvalid("Required parameter is missing: configuration.load.destinationTable")
	case conf.Autodetect && !describesItself(conf.SourceFormat):
		return errNotImplemented("autodetect")
	case conf.Encoding != "" && !strings.EqualFold(conf.Encoding, "UTF-8"):
		return errNotImplemented("encoding %s", conf.Encoding)
	case len(conf.SourceUris) == 0 && media == nil:
		return errInvalid("Required parameter is missing: configuration.load.sourceUris")
	case strings.Contains(conf.DestinationTable.TableId, "$"):
		return errNotImplemented("a partition decorator: %s", conf.DestinationTable.TableId)
	}
	return checkDispositions(conf.CreateDisposition, conf.WriteDisposition)
}

// describesItself reports whether files of a format hold their schema.
func describesItself(format string) bool {
	return strings.EqualFold(format, "AVRO") || strings.EqualFold(format, formatParquet)
}

func checkDispositions(create, write string) error {
	switch create {
	case "", "CREATE_IF_NEEDED", "CREATE_NEVER":
	default:
		return errInvalid("Invalid createDisposition %q", create)
	}
	switch write {
	case "", "WRITE_APPEND", "WRITE_TRUNCATE", "WRITE_EMPTY":
		return nil
	case "WRITE_TRUNCATE_DATA":
		return errNotImplemented("writeDisposition %s", write)
	}
	return errInvalid("Invalid writeDisposition %q", write)
}

// rowSource yields the rows of one file.
type rowSource interface {
	// columns are those of the file; nil if it takes them from the table.
	columns() []googlesql.Column
	// next fills row in the order of the destination's columns given to bind,
	// and returns false at the end.
	next(row []driver.Value) (bool, error)
	bind(cols []googlesql.Column) error
	close()
}

// file is something to load.
type file struct {
	name string
	open func(ctx context.Context) (io.ReadCloser, error)
}

// files are the files of a load job.
func (s *Server) files(ctx context.Context, conf *bq.JobConfigurationLoad, media *spool) ([]file, error) {
	if media != nil {
		return []file{{"the uploaded file", func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(media.reader()), nil
		}}}, nil
	}
	var out []file
	for _, uri := range conf.SourceUris {
		obs, err := s.storage.find(ctx, uri)
		if err != nil {
			return nil, err
		}
		for _, ob := range obs {
			out = append(out, file{ob.uri(), func(ctx context.Context) (io.ReadCloser, error) { return s.storage.open(ctx, ob) }})
		}
	}
	return out, nil
}

// counter counts what is read of a file.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// newSource reads rows from body.
func newSource(conf *bq.JobConfigurationLoad, body *counter) (rowSource, error) {
	switch strings.ToUpper(conf.SourceFormat) {
	case "AVRO":
		return newAvroSource(body, conf.UseAvroLogicalTypes)
	case formatParquet:
		return newParquetSource(body)
	case "NEWLINE_DELIMITED_JSON":
		return newJSONSource(body, conf.IgnoreUnknownValues), nil
	}
	return newCSVSource(body, conf)
}

// runLoad runs a load job: all files or none.
func (s *Server) runLoad(ctx context.Context, j *job, project string, media *spool) error {
	conf := j.conf.Load
	files, err := s.files(ctx, conf, media)
	if err != nil {
		return err
	}
	var cols []googlesql.Column
	schema := conf.Schema
	if schema != nil && len(schema.Fields) > 0 {
		if cols, err = columnsOf(schema); err != nil {
			return err
		}
	} else if describesItself(conf.SourceFormat) {
		if cols, err = s.fileColumns(ctx, conf, files[0]); err != nil {
			return err
		}
		schema = schemaOf(cols)
	}
	w := &writeJob{
		server: s, project: project, ref: conf.DestinationTable, create: conf.CreateDisposition, write: conf.WriteDisposition,
		partitioning: conf.TimePartitioning, clustering: conf.Clustering, cols: cols, schema: schema, byName: true, declared: conf.Schema != nil,
	}
	if w.write == "" {
		w.write = "WRITE_APPEND"
	}
	stats := &bq.JobStatistics3{InputFiles: int64(len(files)), ForceSendFields: []string{"OutputRows", "BadRecords"}}
	err = w.run(ctx, func(ctx context.Context, conn *sql.Conn, st *store, cols []googlesql.Column) error {
		for _, f := range files {
			rows, bytes, err := s.loadFile(ctx, conf, f, conn, st, cols)
			if err != nil {
				return loadError(f.name, err)
			}
			stats.OutputRows += rows
			stats.InputFileBytes += bytes
		}
		return nil
	})
	if err != nil {
		return err
	}
	j.stats = &bq.JobStatistics{Load: stats, TotalBytesProcessed: stats.InputFileBytes}
	return nil
}

// loadError names the file that an error is about.
func loadError(name string, err error) error {
	var ne *nullError
	if errors.Is(err, context.Canceled) || errors.As(err, &ne) {
		return err
	}
	ae := asAPI(err)
	return &apiError{status: ae.status, reason: ae.reason, location: name,
		message: "Error while reading data, error message: " + ae.message + " File: " + name}
}

// fileColumns are the columns of a file that describes itself.
func (s *Server) fileColumns(ctx context.Context, conf *bq.JobConfigurationLoad, f file) ([]googlesql.Column, error) {
	body, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	src, err := newSource(conf, &counter{Reader: body})
	if err != nil {
		return nil, loadError(f.name, err)
	}
	defer src.close()
	cols := src.columns()
	for i := range cols {
		cols[i].Physical = fmt.Sprintf("c%d", i)
	}
	return cols, nil
}

func (s *Server) loadFile(ctx context.Context, conf *bq.JobConfigurationLoad, f file, conn *sql.Conn, st *store, cols []googlesql.Column) (rows, size int64, err error) {
	body, err := f.open(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer body.Close()
	count := &counter{Reader: body}
	src, err := newSource(conf, count)
	if err != nil {
		return 0, 0, err
	}
	defer src.close()
	if err := src.bind(cols); err != nil {
		return 0, 0, err
	}
	err = appendRows(conn, st.name, len(cols), func(row []driver.Value) (bool, error) {
		if rows%1000 == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		ok, err := src.next(row)
		if !ok || err != nil {
			return false, err
		}
		for i, c := range cols {
			if c.Required && row[i] == nil {
				return false, fieldError(c.Name, "Required field "+c.Name+" cannot be null")
			}
		}
		rows++
		return true, nil
	})
	return rows, count.n, err
}
