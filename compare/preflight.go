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

// need is what a table beside the sides must have.
type need struct {
	table     string
	role      string // name of the spec's field
	partition string // column that a range is read by
	columns   map[string][]bigquery.FieldType
}

// needs are the tables that a comparison reads beside its sides. That of two
// plain sides needs none.
func (q queries) needs() []need {
	var all []need
	raw := func() map[string][]bigquery.FieldType {
		cols := map[string][]bigquery.FieldType{"event_time": {bigquery.TimestampFieldType}, "source_time": {bigquery.TimestampFieldType}}
		for _, name := range []string{"event_id", "message_id", "position"} {
			cols[name] = []bigquery.FieldType{bigquery.StringFieldType}
		}
		for _, k := range q.spec.Keys {
			cols[k.Name] = []bigquery.FieldType{fieldTypes[k.Type]}
		}
		for _, m := range q.spec.Metrics {
			if m.Field == "" {
				continue
			}
			cols[m.Field] = []bigquery.FieldType{fieldTypes[m.Value]}
			for from, to := range lossless {
				if slices.Contains(to, m.Value) {
					cols[m.Field] = append(cols[m.Field], from)
				}
			}
		}
		return cols
	}
	delivered := func() map[string][]bigquery.FieldType { // by a job of ours, which says so
		cols := raw()
		if q.hasWriters() {
			cols["job"], cols["generation"] = []bigquery.FieldType{bigquery.StringFieldType}, []bigquery.FieldType{bigquery.IntegerFieldType}
		}
		return cols
	}
	if q.spec.Evidence.Raw != "" {
		all = append(all, need{q.spec.Evidence.Raw, "evidence.raw", "event_time", delivered()})
		if t := q.spec.Evidence.Late; t != "" {
			all = append(all, need{t, "evidence.late", "event_time", delivered()})
		}
		if t := q.spec.Evidence.DeadLetters; t != "" {
			cols := raw()
			cols["reason"] = []bigquery.FieldType{bigquery.StringFieldType}
			all = append(all, need{t, "evidence.deadLetters", "event_time", cols})
		}
	}
	for _, t := range q.controlTables() {
		n := need{table: t.Name, role: "control table", columns: map[string][]bigquery.FieldType{}}
		for _, f := range t.Schema {
			n.columns[f.Name] = []bigquery.FieldType{f.Type}
		}
		all = append(all, n)
	}
	return all
}

// controlTables are those that say which rows count and what is settled, as far
// as the sides leave that open.
func (q queries) controlTables() []tables.Table {
	var all []tables.Table
	if q.readsWriters() {
		all = append(all, tables.GenerationsTable())
	}
	if q.readsWatermarks() {
		all = append(all, tables.WatermarksTable())
	}
	if q.readsLoads() {
		all = append(all, tables.BatchLoadsTable())
	}
	return all
}

// readsWriters reports whether rows count, or are evidence, by their writer.
func (q queries) readsWriters() bool {
	return q.batch.writers || q.stream.writers || q.spec.Evidence.Raw != ""
}

func (q queries) readsWatermarks() bool {
	return q.spec.Stream.Settled() == jobspecs.SettledByWatermarks && !tables.IsShadow(q.spec.Stream.Job)
}

func (q queries) readsLoads() bool { return q.spec.Batch.Shadow == "" && !batchByClock(q.spec) }

// preflight refuses sides and tables that the queries could not be right on. It
// reads metadata and makes dry runs, which are free, and from them q learns what
// the sides are and which rows to compare. It writes nothing.
func (r *runner) preflight(ctx context.Context, q *queries) error {
	for _, s := range []*side{&q.batch, &q.stream} {
		if err := r.preflightSide(ctx, q, s); err != nil {
			return err
		}
	}
	for _, n := range q.needs() {
		md, err := r.metadata(ctx, tableName{q.spec.Project, q.spec.Dataset, n.table}, n.role)
		if err != nil {
			return err
		}
		if err := n.check(md); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) metadata(ctx context.Context, t tableName, role string) (*bigquery.TableMetadata, error) {
	md, err := r.client.DatasetInProject(t.project, t.dataset).Table(t.table).Metadata(ctx)
	if err != nil {
		return nil, classify(fmt.Sprintf("look at table %s.%s (%s)", t.dataset, t.table, role), err)
	}
	return md, nil
}

// rollupOf is the set of dimensions that has the keys, as the stream's table
// names it: in the order of its columns. Nil: the table has one set alone.
func (q queries) rollupOf(schema bigquery.Schema) *string {
	var keys []string
	for _, k := range q.stream.keys {
		keys = append(keys, k.reads...)
	}
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

func (n need) check(md *bigquery.TableMetadata) error {
	var wrong []string
	have := fieldsOf(md.Schema)
	for _, name := range sortedKeys(n.columns) {
		want, f := n.columns[name], have[name]
		switch {
		case f == nil:
			wrong = append(wrong, fmt.Sprintf("has no column %s", name))
		case f.Repeated || !slices.Contains(want, f.Type):
			s := fmt.Sprintf("column %s is %s, wanted %s", name, typeText(f), want[0])
			if f.Type == bigquery.FloatFieldType {
				s += " (floating point does not add up to the same sum twice, so it cannot be compared exactly)"
			}
			wrong = append(wrong, s)
		case f.Collation != "":
			wrong = append(wrong, fmt.Sprintf("column %s has the collation %s, by which texts that differ are taken for one", name, f.Collation))
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

func fieldsOf(schema bigquery.Schema) map[string]*bigquery.FieldSchema {
	have := map[string]*bigquery.FieldSchema{}
	for _, f := range schema {
		have[f.Name] = f
	}
	return have
}

func typeText(f *bigquery.FieldSchema) string {
	if f.Repeated {
		return "repeated " + sqlType(f.Type)
	}
	return sqlType(f.Type)
}

// checkSpec refuses what the loader lets pass but a comparison cannot do.
func checkSpec(spec *jobspecs.ComparisonSpec) error {
	switch {
	case len(spec.Keys) == 0:
		return exit.Usagef("spec.keys is empty: name at least one key column")
	case len(spec.Metrics) == 0:
		return exit.Usagef("spec.metrics is empty: name at least one metric")
	}
	for _, k := range spec.Keys {
		if !slices.Contains([]string{"STRING", "INT64", "TIMESTAMP", "DATE", "BOOL"}, k.Type) {
			return exit.Usagef("key column %s has type %q: wanted STRING, INT64, TIMESTAMP, DATE or BOOL", k.Name, k.Type)
		}
	}
	for _, m := range spec.Metrics {
		_, numeric := decimalPlaces[m.Value]
		switch {
		case !numeric && m.Value != "FLOAT64":
			return exit.Usagef("metric %s has the value type %q: wanted INT64, NUMERIC, BIGNUMERIC or FLOAT64", m.Name, m.Value)
		case m.Type == "count" && m.Field != "":
			return exit.Usagef("metric %s is a count: it has no field", m.Name)
		case m.Type != "count" && m.Type != "sum" && m.Type != "min" && m.Type != "max":
			return exit.Usagef("metric %s has type %q: wanted count, sum, min or max", m.Name, m.Type)
		}
	}
	return checkSegments(spec)
}

// checkSegments refuses combinations of keys that results are broken down by
// anyway, or that are none.
func checkSegments(spec *jobspecs.ComparisonSpec) error {
	if len(spec.Segments) > maxSegmentSets {
		return exit.Usagef("spec.segments has %d combinations, one run takes %d", len(spec.Segments), maxSegmentSets)
	}
	seen := map[string]bool{}
	for _, k := range spec.Keys {
		seen[k.Name] = true
	}
	for _, s := range spec.Segments {
		for _, name := range s.Keys {
			if !slices.ContainsFunc(spec.Keys, func(k jobspecs.CompareKey) bool { return k.Name == name }) {
				return exit.Usagef("spec.segments names %q, which is no key", name)
			}
		}
		set := slices.Sorted(slices.Values(s.Keys))
		name := strings.Join(set, ", ")
		if len(slices.Compact(set)) != len(s.Keys) || seen[name] || len(set) == 0 {
			return exit.Usagef("spec.segments: the combination %q is there already: each key alone is, and each combination once", strings.Join(s.Keys, ", "))
		}
		seen[name] = true
	}
	return nil
}

// maxSegmentSets bounds the chosen combinations: each is a further grouping of
// all keys.
const maxSegmentSets = 20
