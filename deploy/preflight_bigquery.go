package deploy

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/kappa-migrate/kappa/internal/tables"
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
	list := []tables.Table{
		tables.GenerationsTable(), tables.WatermarksTable(),
		tables.Raw(spec.Sinks.BigQuery.Raw, spec.Event), tables.Late(spec.Sinks.BigQuery.Late, spec.Event),
	}
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
		for _, text := range schemaDifferences(t.Schema, md.Schema) {
			f.error(what, text, "change the table, or name another in the spec")
		}
		if !partitionedBy(md, t.PartitionBy) {
			f.warning(what, fmt.Sprintf("is not partitioned by day of %s: queries over a time range read all of it", t.PartitionBy), "")
		}
	}
}

// schemaDifferences says what keeps rows of the wanted schema from being
// written and read as they are.
func schemaDifferences(want, have bigquery.Schema) []string {
	var out []string
	existing := map[string]*bigquery.FieldSchema{}
	for _, h := range have {
		existing[h.Name] = h
	}
	for _, w := range want {
		h, ok := existing[w.Name]
		delete(existing, w.Name)
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("lacks the column %s %s", w.Name, w.Type))
		case h.Repeated:
			out = append(out, fmt.Sprintf("column %s is repeated", w.Name))
		case h.Type != w.Type:
			out = append(out, fmt.Sprintf("column %s is %s instead of %s", w.Name, h.Type, w.Type))
		case h.Required && !w.Required:
			out = append(out, fmt.Sprintf("column %s must be nullable", w.Name))
		}
	}
	for _, h := range have {
		if _, further := existing[h.Name]; further && h.Required {
			out = append(out, fmt.Sprintf("has the further required column %s, which no row would have", h.Name))
		}
	}
	return out
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
