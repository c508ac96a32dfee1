package terraform

import (
	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// dataset adds a dataset, and returns its address.
func (g *generator) dataset(project, name string, location func() expr, why string) string {
	key := thing("dataset", project, name)
	if ref := g.refs[key]; ref != "" {
		return ref
	}
	body := []item{
		attr("project", str(project)),
		attr("dataset_id", str(name)),
		attr("location", location()),
		attr("delete_contents_on_destroy", boolean(false)),
	}
	g.refs[key] = g.resource(fileBigQuery, "google_bigquery_dataset", identifier(name), key, why, nil, append(body, kept()...)...)
	return g.refs[key]
}

// tables adds tables of a dataset, if they are wanted.
func (g *generator) tables(project, dataset string, list ...tables.Table) {
	if !g.options.Tables {
		return
	}
	for _, t := range list {
		key := thing("table", project, dataset+"."+t.Name)
		if g.refs[key] != "" {
			continue
		}
		g.refs[key] = g.resource(fileBigQuery, "google_bigquery_table", identifier(dataset, t.Name), key, "", nil, tableBody(g.refs[thing("dataset", project, dataset)], project, t)...)
	}
}

func tableBody(dataset, project string, t tables.Table) []item {
	body := []item{
		attr("project", str(project)),
		attr("dataset_id", raw(dataset+".dataset_id")),
		attr("table_id", str(t.Name)),
		attr("description", str(t.Description)),
		attr("deletion_protection", boolean(true)),
	}
	if len(t.ClusterBy) > 0 {
		body = append(body, attr("clustering", strs(t.ClusterBy)))
	}
	if t.PartitionBy != "" {
		body = append(body, blank(), block("time_partitioning", nil, attr("type", str("DAY")), attr("field", str(t.PartitionBy))))
	}
	var columns []expr
	for _, f := range t.Schema {
		columns = append(columns, object(
			attr("name", str(f.Name)),
			attr("type", str(string(f.Type))),
			attr("mode", str(mode(f))),
			attr("description", str(f.Description)),
		))
	}
	return append(body, blank(), attr("schema", call("jsonencode", list(columns...))))
}

func mode(f *bigquery.FieldSchema) string {
	switch {
	case f.Repeated:
		return "REPEATED"
	case f.Required:
		return "REQUIRED"
	}
	return "NULLABLE"
}
