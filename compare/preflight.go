package compare

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// need is what a table must have.
type need struct {
	table     string
	role      string // name of the spec's field
	partition string // column that a range is read by
	columns   map[string]bigquery.FieldType
}

// fieldTypes maps the type names of specs to the API's.
var fieldTypes = map[string]bigquery.FieldType{
	"STRING": bigquery.StringFieldType, "INT64": bigquery.IntegerFieldType, "TIMESTAMP": bigquery.TimestampFieldType,
}

func (q queries) needs() []need {
	keyed := func(partition string, further ...string) map[string]bigquery.FieldType {
		cols := map[string]bigquery.FieldType{partition: bigquery.TimestampFieldType}
		for _, k := range q.spec.Keys {
			cols[k.Name] = fieldTypes[k.Type]
		}
		for _, f := range further {
			cols[f] = bigquery.StringFieldType
		}
		return cols
	}
	metrics := func(cols map[string]bigquery.FieldType) map[string]bigquery.FieldType {
		for _, m := range q.spec.Metrics {
			cols[m.Name] = bigquery.IntegerFieldType
		}
		return cols
	}
	stream := metrics(keyed("window_start", "job"))
	stream["generation"], stream["pane"] = bigquery.IntegerFieldType, bigquery.IntegerFieldType
	batch := metrics(keyed("window_start"))
	if q.spec.Batch.Shadow != "" {
		batch = metrics(keyed("window_start", "job"))
		batch["generation"], batch["pane"] = bigquery.IntegerFieldType, bigquery.IntegerFieldType
	}
	all := []need{
		{q.spec.Batch.Table, "batch.table", "window_start", batch},
		{q.spec.Stream.Table, roleStream, "window_start", stream},
	}
	raw := func() map[string]bigquery.FieldType {
		cols := keyed("event_time", "event_id", "message_id", "position", "job")
		cols["source_time"], cols["generation"] = bigquery.TimestampFieldType, bigquery.IntegerFieldType
		for _, m := range q.spec.Metrics {
			if m.Field != "" {
				cols[m.Field] = bigquery.IntegerFieldType
			}
		}
		return cols
	}
	if t := q.spec.Evidence.Raw; t != "" {
		all = append(all, need{t, "evidence.raw", "event_time", raw()})
		if t := q.spec.Evidence.Late; t != "" {
			all = append(all, need{t, "evidence.late", "event_time", raw()})
		}
	}
	for _, t := range []tables.Table{tables.GenerationsTable(), tables.WatermarksTable(), tables.BatchLoadsTable()} {
		n := need{table: t.Name, role: "control table", columns: map[string]bigquery.FieldType{}}
		for _, f := range t.Schema {
			n.columns[f.Name] = f.Type
		}
		all = append(all, n)
	}
	return all
}

// preflight refuses tables that the queries could not be right on. It reads
// metadata alone, which is free, and from it q learns which rows to compare.
func (r *runner) preflight(ctx context.Context, q *queries) error {
	for _, n := range q.needs() {
		md, err := r.client.DatasetInProject(q.spec.Project, q.spec.Dataset).Table(n.table).Metadata(ctx)
		if err != nil {
			return classify(fmt.Sprintf("look at table %s.%s (%s)", q.spec.Dataset, n.table, n.role), err)
		}
		if err := n.check(md); err != nil {
			return err
		}
		if n.role == roleStream {
			q.rollup = q.rollupOf(md.Schema)
		}
	}
	return nil
}

const roleStream = "stream.table"

// rollupOf is the set of dimensions that has the keys, as the stream's table
// names it: in the order of its columns. Nil: the table has one set alone.
func (q queries) rollupOf(schema bigquery.Schema) *string {
	keys := fieldNames(q.spec.Keys)
	if slices.Contains(keys, jobspecs.RollupColumn) { // a dimension of that name: such a table has no rollups
		return nil
	}
	var set []string
	rolled := false
	for _, f := range schema {
		rolled = rolled || f.Name == jobspecs.RollupColumn
		if slices.Contains(keys, f.Name) {
			set = append(set, f.Name)
		}
	}
	if !rolled {
		return nil
	}
	name := jobspecs.Rollup(set)
	return &name
}

func fieldNames(fs []jobspecs.Field) []string {
	names := make([]string, len(fs))
	for i, f := range fs {
		names[i] = f.Name
	}
	return names
}

func (n need) check(md *bigquery.TableMetadata) error {
	var wrong []string
	have := map[string]*bigquery.FieldSchema{}
	for _, f := range md.Schema {
		have[f.Name] = f
	}
	for _, name := range sortedKeys(n.columns) {
		want, f := n.columns[name], have[name]
		switch {
		case f == nil:
			wrong = append(wrong, fmt.Sprintf("has no column %s", name))
		case f.Repeated || f.Type != want:
			s := fmt.Sprintf("column %s is %s, wanted %s", name, typeText(f), want)
			if f.Type == bigquery.FloatFieldType {
				s += " (floating point does not add up to the same sum twice, so it cannot be compared exactly)"
			}
			wrong = append(wrong, s)
		}
	}
	if n.partition != "" && (md.TimePartitioning == nil || md.TimePartitioning.Field != n.partition) {
		wrong = append(wrong, fmt.Sprintf("is not partitioned by %s, so a range of it could not be read alone", n.partition))
	}
	if len(wrong) == 0 {
		return nil
	}
	return exit.Environmentf("table %s (%s): %s", n.table, n.role, strings.Join(wrong, "; ")).
		WithHint("mend the table, or the columns and types in the spec")
}

func typeText(f *bigquery.FieldSchema) string {
	if f.Repeated {
		return "repeated " + string(f.Type)
	}
	return string(f.Type)
}

// checkSpec refuses what the loader lets pass but a comparison cannot do.
func checkSpec(spec *jobspecs.ComparisonSpec) error {
	switch {
	case spec.Window.D().Microseconds() <= 0:
		return exit.Usagef("spec.window is %s: windows must have a size", spec.Window)
	case len(spec.Keys) == 0:
		return exit.Usagef("spec.keys is empty: name at least one key column")
	case len(spec.Metrics) == 0:
		return exit.Usagef("spec.metrics is empty: name at least one metric")
	}
	for _, k := range spec.Keys {
		if _, ok := fieldTypes[k.Type]; !ok {
			return exit.Usagef("key column %s has type %q: wanted STRING, INT64 or TIMESTAMP", k.Name, k.Type)
		}
	}
	for _, m := range spec.Metrics {
		switch {
		case m.Type == "count" && m.Field != "":
			return exit.Usagef("metric %s is a count: it has no field", m.Name)
		case m.Type != "count" && m.Field == "" && spec.Evidence.Raw != "":
			return exit.Usagef("metric %s is a %s: name the field of the raw events that it is made from", m.Name, m.Type)
		case m.Type != "count" && m.Type != "sum" && m.Type != "min" && m.Type != "max":
			return exit.Usagef("metric %s has type %q: wanted count, sum, min or max", m.Name, m.Type)
		}
	}
	return nil
}
