package deploy

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// parameters are those of the template that make its job the backfill.
func (b Backfill) parameters() map[string]string {
	kind, name := b.source()
	span := b.span()
	p := map[string]string{kind: name, "from": stamp(span.From), "to": stamp(span.To)}
	if b.MaxBytes > 0 {
		p["maxbytes"] = strconv.FormatInt(b.MaxBytes, 10)
	}
	if b.Shadow != "" {
		p["shadow"] = "true"
	}
	return p
}

// checkSource checks that there is something to read.
func (d *Deployer) checkSource(ctx context.Context, f *findings, b Backfill) {
	switch kind, name := b.source(); {
	case b.Table != "":
		d.checkRawTable(ctx, f, b)
	case strings.HasPrefix(name, "gs://"):
		d.checkFiles(ctx, f, kind, name)
	default:
		if files, err := filepath.Glob(name); err != nil || len(files) == 0 {
			f.error(kind+" "+name, "names no file", "name files of events: lines of JSON, or Avro")
		}
	}
}

// checkFiles checks that a pattern, as path.Match has it, names an object.
func (d *Deployer) checkFiles(ctx context.Context, f *findings, kind, pattern string) {
	what := kind + " " + pattern
	mend := "name the Avro files that the archive's Cloud Storage subscription wrote"
	if kind == "files" {
		mend = "name files of events: lines of JSON, or Avro"
	}
	bucket, glob, _ := strings.Cut(strings.TrimPrefix(pattern, "gs://"), "/")
	prefix := glob
	if i := strings.IndexAny(glob, `*?[\`); i >= 0 {
		prefix = glob[:i]
	}
	it := d.cfg.Clients.Storage.Bucket(bucket).Objects(ctx, &storage.Query{Prefix: prefix})
	for {
		o, err := it.Next()
		switch {
		case errors.Is(err, iterator.Done):
			f.error(what, "names no file", mend)
			return
		case errors.Is(err, storage.ErrBucketNotExist):
			f.error(what, "the bucket "+bucket+" does not exist", "")
			return
		case err != nil:
			f.error(what, "cannot be listed: "+err.Error(), "")
			return
		}
		if match, _ := path.Match(glob, o.Name); match {
			return
		}
	}
}

// checkRawTable checks that a table has the columns of a raw table, and what it
// costs to read it.
func (d *Deployer) checkRawTable(ctx context.Context, f *findings, b Backfill) {
	what := "table " + b.Table
	dataset, name, _ := strings.Cut(b.Table, ".")
	t := d.cfg.Clients.BigQuery.Dataset(dataset).Table(name)
	md, err := t.Metadata(ctx)
	if notFound(err) {
		f.error(what, "does not exist", "name a raw table, DATASET.TABLE: "+d.cfg.Job.Spec.Sinks.BigQuery.Dataset+"."+d.cfg.Job.Spec.Sinks.BigQuery.Raw+" is that of the spec")
		return
	}
	if err != nil {
		f.error(what, "cannot be read: "+err.Error(), "")
		return
	}
	wanted := tables.Raw(name, d.cfg.Job.Spec.Event).Schema
	bad := false
	for _, w := range wanted {
		var has *bigquery.FieldSchema
		for _, h := range md.Schema {
			if h.Name == w.Name {
				has = h
			}
		}
		switch {
		case has == nil:
			f.error(what, fmt.Sprintf("lacks the column %s %s of a raw table", w.Name, w.Type), "")
			bad = true
		case has.Type != w.Type || has.Repeated:
			f.error(what, fmt.Sprintf("column %s is %s instead of %s", w.Name, has.Type, w.Type), "")
			bad = true
		}
	}
	if bad || b.MaxBytes == 0 {
		return
	}
	var columns []string
	for _, w := range wanted {
		columns = append(columns, "`"+w.Name+"`")
	}
	span := b.span()
	q := d.cfg.Clients.BigQuery.Query(fmt.Sprintf("SELECT %s\nFROM `%s.%s.%s`\nWHERE event_time >= @from AND event_time < @to",
		strings.Join(columns, ", "), t.ProjectID, dataset, name))
	q.DryRun = true
	q.Parameters = []bigquery.QueryParameter{{Name: "from", Value: span.From}, {Name: "to", Value: span.To}}
	job, err := q.Run(ctx)
	if err != nil {
		f.error(what, "cannot be read: "+err.Error(), "")
		return
	}
	if n := job.LastStatus().Statistics.TotalBytesProcessed; n > b.MaxBytes {
		f.error(what, fmt.Sprintf("reading it from %s to %s bills %d bytes, and %d are allowed", stamp(span.From), stamp(span.To), n, b.MaxBytes),
			"allow more, backfill a shorter span, or read the archive")
	}
}
