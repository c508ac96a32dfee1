package jobspecs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/sqlexpr"
	"github.com/kappa-migrate/kappa/internal/suggest"
)

// checkReferences checks names that one document has of another, among those
// that are loaded together. A kind of which none is loaded is not missed: the
// specs of one side may be kept elsewhere.
func checkReferences(c *collector, docs []*document) {
	for _, doc := range docs {
		if job, ok := doc.value.(*StreamJob); ok {
			(&checker{c: c, d: doc.d}).rolloutGate(job, docs)
		}
		if m, ok := doc.value.(*DuplicateMonitor); ok {
			(&checker{c: c, d: doc.d}).monitorReferences(&m.Spec, docs)
		}
		cmp, ok := doc.value.(*Comparison)
		if !ok {
			continue
		}
		r := &references{checker: checker{c: c, d: doc.d}, docs: docs, spec: &cmp.Spec}
		r.stream()
		r.batch()
	}
}

// references checks what one Comparison refers to.
type references struct {
	checker
	docs []*document
	spec *ComparisonSpec
}

// stream: spec.stream names a StreamJob and a table that it writes, and what
// is compared is what it computes.
func (r *references) stream() {
	if r.spec.Stream.Job == "" || !r.ok("spec.stream.job") {
		return
	}
	name, _, shadow := strings.Cut(r.spec.Stream.Job, "_shadow_")
	var names []string
	for _, doc := range r.docs {
		job, ok := doc.value.(*StreamJob)
		if !ok {
			continue
		}
		if job.Metadata.Name == name {
			if !shadow { // a shadow writes tables of its own, of a spec that may be another
				r.streamJob(&job.Spec, doc)
			}
			return
		}
		names = append(names, job.Metadata.Name)
	}
	if len(names) > 0 {
		r.fail(CodeDanglingReference, "spec.stream.job", meant(name, "the loaded ones are", names), "no StreamJob is named %q", name)
	}
}

func (r *references) streamJob(job *StreamJobSpec, doc *document) {
	theirs := &checker{c: r.c, d: doc.d}
	name := r.spec.Stream.Job
	if job.Pipeline == PipelineOther {
		r.fail(CodeConflict, "spec.stream.job", "name a StreamJob with pipeline: "+PipelineKappa, "StreamJob %s has pipeline: %s: what its jobs write cannot be compared", name, PipelineOther)
		return
	}
	same := func(path, got, what, theirPath, want string) {
		if got != want && r.ok(path) && theirs.ok(theirPath) {
			r.fail(CodeConflict, path, "", "%s is %q, but StreamJob %s has %s %q", path, got, name, what, want)
		}
	}
	same("spec.project", r.spec.Project, "project", "spec.project", job.Project)
	same("spec.dataset", r.spec.Dataset, "dataset", "spec.sinks.bigquery", job.Sinks.BigQuery.Dataset)
	if r.spec.Evidence.Raw != "" {
		same("spec.evidence.raw", r.spec.Evidence.Raw, "raw table", "spec.sinks.bigquery", job.Sinks.BigQuery.Raw)
	}
	if r.spec.Evidence.Late != "" {
		same("spec.evidence.late", r.spec.Evidence.Late, "late table", "spec.sinks.bigquery", job.Sinks.BigQuery.Late)
	}
	if !r.ok("spec.stream.table") || !theirs.ok("spec.aggregations") {
		return
	}
	table := r.spec.TableOf(r.spec.Stream.Side)
	if table.Dataset != r.spec.Dataset { // otherwise that is said above
		same("spec.stream.table", table.Dataset, "dataset", "spec.sinks.bigquery", job.Sinks.BigQuery.Dataset)
	}
	i := slices.IndexFunc(job.Aggregations, func(a Aggregation) bool { return a.Table == table.Table })
	if i < 0 {
		var tables []string
		for _, a := range job.Aggregations {
			tables = append(tables, a.Table)
		}
		r.fail(CodeDanglingReference, "spec.stream.table", meant(table.Table, "its tables are", tables), "StreamJob %s writes no table %q", name, table.Table)
		return
	}
	r.aggregation(job.Aggregations[i], job.Event.Fields)
}

func (r *references) aggregation(a Aggregation, fields []Field) {
	if r.spec.Window != a.Window && r.ok("spec.window") {
		r.fail(CodeConflict, "spec.window", "", "spec.window is %s, but aggregation %s has windows of %s", r.spec.Window, a.Name, a.Window)
	}
	if set, ok := r.set(a); ok {
		var dims []Field
		for _, d := range set {
			if i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == d }); i >= 0 {
				dims = append(dims, fields[i])
			}
		}
		r.keys(dims, ".stream", streamColumn, "dimension", "aggregation "+a.Name)
	}
	r.reproducible(a)
	for i, m := range r.spec.Metrics {
		path := at("spec.metrics", i)
		if !r.ok(path) {
			continue
		}
		var names []string
		for _, x := range a.Measures {
			names = append(names, x.Name)
		}
		column, below, ok := columnOf(m.Name, m.Stream, ".stream")
		if !ok {
			continue // what an expression makes of them is not known here
		}
		j := slices.Index(names, column)
		if j < 0 {
			r.fail(CodeDanglingReference, path+below, meant(column, "its measures are", names), "aggregation %s has no measure %q", a.Name, column)
			continue
		}
		if x := a.Measures[j]; x.Type != m.Type || x.Field != m.Field && x.Expression == "" || x.Expression != "" && m.Field != "" {
			from := x.Field
			if x.Expression != "" {
				from = "an expression"
			}
			r.fail(CodeConflict, path, "", "metric %s is %s, but the measure of aggregation %s is %s", m.Name, made(m.Type, m.Field), a.Name, made(x.Type, from))
		}
	}
}

// set is the set of dimensions of an aggregation that is compared: of one that
// has rollups that whose dimensions are the keys.
func (r *references) set(a Aggregation) ([]string, bool) {
	if len(a.Rollups) == 0 {
		return a.Dimensions, true
	}
	if !r.ok("spec.keys") {
		return nil, false
	}
	var columns []string
	for _, key := range r.spec.Keys {
		columns = append(columns, columnsOf(key.Name, streamColumn(key))...)
	}
	if set, ok := a.Set(columns); ok {
		return set, true
	}
	var sets []string
	for _, s := range a.Sets() {
		if len(s) > 0 { // a comparison has a key
			sets = append(sets, Rollup(s))
		}
	}
	r.fail(CodeConflict, "spec.keys", "they are those of one of: "+strings.Join(sets, "; "), "the keys %s are no set of dimensions that aggregation %s groups by", Rollup(columns), a.Name)
	return nil, false
}

// reproducible: the raw events are evidence only of what can be computed from
// them in a query. invariant C5
func (r *references) reproducible(a Aggregation) {
	if r.spec.Evidence.Raw == "" || !r.ok("spec.evidence") {
		return
	}
	const hint = "leave spec.evidence out: causes are not looked for then"
	if a.Filter != "" {
		r.fail(CodeConflict, "spec.evidence.raw", hint, "aggregation %s has a filter, which the query over the raw events does not know", a.Name)
		return
	}
	for _, m := range a.Measures {
		if m.Expression != "" && slices.ContainsFunc(r.spec.Metrics, func(x Metric) bool { return slices.Contains(columnsOf(x.Name, x.Stream), m.Name) }) {
			r.fail(CodeConflict, "spec.evidence.raw", hint, "measure %s of aggregation %s is made from an expression, which the query over the raw events does not know", m.Name, a.Name)
			return
		}
	}
}

// columnOf is the column that a key or metric is on a side, and where in its item
// that is said: its own name, or the column that the side gives. False: the side
// gives an expression.
func columnOf(name, given, below string) (string, string, bool) {
	if given == "" {
		return name, ".name", true
	}
	column, ok := sqlexpr.Column(given)
	return column, below, ok
}

// columnsOf are all columns that a key or metric is made from on a side.
func columnsOf(name, given string) []string {
	if given == "" {
		return []string{name}
	}
	return sqlexpr.Columns(given)
}

func streamColumn(key CompareKey) string { return key.Stream }
func batchColumn(key CompareKey) string  { return key.Batch }

// keys: the key of the comparison is the key of the side, no more and no less.
// below is the field, which given reads, of what the side gives.
func (r *references) keys(want []Field, below string, given func(CompareKey) string, what, owner string) {
	if !r.ok("spec.keys") {
		return
	}
	var names []string
	for _, w := range want {
		names = append(names, w.Name)
		if !slices.ContainsFunc(r.spec.Keys, func(f CompareKey) bool { return slices.Contains(columnsOf(f.Name, given(f)), w.Name) }) {
			r.fail(CodeConflict, "spec.keys", "", "%s %q of %s is no key of the comparison", what, w.Name, owner)
		}
	}
	for i, f := range r.spec.Keys {
		path := at("spec.keys", i)
		column, where, ok := columnOf(f.Name, given(f), below)
		if !ok {
			continue
		}
		j := slices.Index(names, column)
		switch {
		case j < 0:
			r.fail(CodeDanglingReference, path+where, meant(column, "it has", names), "%s has no %s %q", owner, what, column)
		case want[j].Type != f.Type && f.Type != "STRING": // which every value can be cast to
			r.fail(CodeConflict, path+".type", "", "key %s is %s, but %s of %s is %s", f.Name, f.Type, what, owner, want[j].Type)
		}
	}
}

// batch: where the BatchLoad of the batch table is loaded, its columns are
// those that are compared.
func (r *references) batch() {
	if r.spec.Batch.Table == "" || !r.ok("spec.batch.table", "spec.dataset", "spec.project") {
		return
	}
	for _, doc := range r.docs {
		load, ok := doc.value.(*BatchLoad)
		if !ok || load.Spec.name() != r.spec.TableOf(r.spec.Batch.Side) {
			continue
		}
		if theirs := (&checker{c: r.c, d: doc.d}); !theirs.ok("spec.keys", "spec.metrics") {
			continue
		}
		owner := "BatchLoad " + load.Metadata.Name
		r.keys(load.Spec.Keys, ".batch", batchColumn, "key", owner)
		names := fieldsOnly(load.Spec.Metrics)
		for i, m := range r.spec.Metrics {
			column, below, ok := columnOf(m.Name, m.Batch, ".batch")
			if path := at("spec.metrics", i) + below; ok && r.ok(path) && !slices.Contains(names, column) {
				r.fail(CodeDanglingReference, path, meant(column, "its metrics are", names), "%s has no metric %q", owner, column)
			}
		}
	}
}

// meant is the hint for a name that is none of names.
func meant(name, list string, names []string) string {
	if s := suggest.Closest(name, names); s != "" {
		return fmt.Sprintf("did you mean %s?", s)
	}
	return list + " " + strings.Join(names, ", ")
}

// made says how a value is made from events.
func made(typ, field string) string {
	if field == "" {
		return typ
	}
	return typ + " of " + field
}
