package deploy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Kinds of resources.
const (
	kindDataset        = "dataset"
	kindTable          = "table"
	kindBigtableTable  = "bigtable table"
	kindBigtableFamily = "bigtable family"
	kindFile           = "file"
)

// wantedTables are the BigQuery tables that the jobs write and that their
// readers need.
func (d *Deployer) wantedTables() []tables.Table {
	spec := d.cfg.Job.Spec
	list := []tables.Table{tables.GenerationsTable(), tables.WatermarksTable(), tables.DeploymentsTable()}
	if spec.Pipeline == jobspecs.PipelineOther {
		return list // it has sinks of its own
	}
	list = append(list, tables.Raw(spec.Sinks.BigQuery.Raw, spec.Event), tables.Late(spec.Sinks.BigQuery.Late, spec.Event))
	for _, a := range spec.Aggregations {
		list = append(list, tables.Aggregate(a, spec.Event))
	}
	return list
}

// checkBigQuery checks the dataset and the tables.
func (d *Deployer) checkBigQuery(ctx context.Context, f *findings) {
	name := d.cfg.Job.Spec.Sinks.BigQuery.Dataset
	ds := d.cfg.Clients.BigQuery.Dataset(name)
	if _, err := ds.Metadata(ctx); notFound(err) {
		f.create(kindDataset, name, "in "+d.cfg.Job.Spec.Region)
		f.historyMissing = true
		for _, t := range d.wantedTables() {
			f.create(kindTable, name+"."+t.Name, "")
		}
		return
	} else if err != nil {
		f.error("dataset "+name, "cannot be read: "+err.Error(), "")
		return
	}
	for _, t := range d.wantedTables() {
		what := "table " + name + "." + t.Name
		md, err := ds.Table(t.Name).Metadata(ctx)
		if notFound(err) {
			f.create(kindTable, name+"."+t.Name, "")
			if t.Name == tables.Generations {
				f.historyMissing = true
			}
			continue
		}
		if err != nil {
			f.error(what, "cannot be read: "+err.Error(), "")
			continue
		}
		if text := setsDiffer(t, md.Schema); text != "" {
			f.error(what, text, otherRollupTable)
			continue
		}
		for _, diff := range schemaDifferences(t.Schema, md.Schema) {
			f.error(what, diff.text, fmt.Sprintf(diff.mend, d.cfg.Job.Spec.Project+"."+name+"."+t.Name))
		}
		if !partitionedBy(md, t.PartitionBy) {
			f.warning(what, fmt.Sprintf("is not partitioned by day of %s: queries over a time range read all of it", t.PartitionBy), "")
		}
	}
}

// difference is a column that is not as it has to be.
type difference struct {
	text string
	mend string // with %s for the full name of the table
}

// otherTable is all that can be done about a column whose type is wrong.
const otherTable = "BigQuery cannot change that: name another table in the spec, or copy %s and drop it"

// schemaDifferences says what keeps rows of the wanted schema from being
// written and read as they are, column by column.
func schemaDifferences(want, have bigquery.Schema) []difference {
	var out []difference
	existing := map[string]*bigquery.FieldSchema{}
	for _, h := range have {
		existing[strings.ToLower(h.Name)] = h // BigQuery tells no case apart
	}
	alter := func(format string, args ...any) string {
		return "run: ALTER TABLE `%s` " + fmt.Sprintf(format, args...)
	}
	for _, w := range want {
		h, ok := existing[strings.ToLower(w.Name)]
		delete(existing, strings.ToLower(w.Name))
		switch {
		case !ok:
			out = append(out, difference{fmt.Sprintf("lacks the column %s %s", w.Name, w.Type), alter("ADD COLUMN %s %s", w.Name, sqlType(w.Type))})
		case h.Repeated:
			out = append(out, difference{fmt.Sprintf("column %s is repeated", w.Name), otherTable})
		case h.Type != w.Type:
			out = append(out, difference{fmt.Sprintf("column %s is %s instead of %s", w.Name, h.Type, w.Type), otherTable})
		case h.Required && !w.Required:
			out = append(out, difference{fmt.Sprintf("column %s must be nullable", w.Name), alter("ALTER COLUMN %s DROP NOT NULL", w.Name)})
		}
	}
	for _, h := range have {
		if _, further := existing[strings.ToLower(h.Name)]; further && h.Required {
			out = append(out, difference{fmt.Sprintf("has the further required column %s, which no row would have", h.Name), alter("ALTER COLUMN %s DROP NOT NULL", h.Name)})
		}
	}
	return out
}

// sqlType is the name of a type in SQL.
func sqlType(t bigquery.FieldType) string {
	switch t {
	case bigquery.IntegerFieldType:
		return "INT64"
	case bigquery.FloatFieldType:
		return "FLOAT64"
	case bigquery.BooleanFieldType:
		return "BOOL"
	}
	return string(t)
}

func partitionedBy(md *bigquery.TableMetadata, column string) bool {
	if column == "" {
		return true
	}
	p := md.TimePartitioning
	return p != nil && p.Field == column && (p.Type == bigquery.DayPartitioningType || p.Type == "")
}

func notFound(err error) bool {
	var e *googleapi.Error
	return errors.As(err, &e) && e.Code == http.StatusNotFound
}
