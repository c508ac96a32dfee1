package jobspecs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/suggest"
)

// Columns that the tables have of their own, version 1. Event fields,
// dimensions and measures cannot be named like them. A test holds these lists
// against internal/tables.
var (
	rawColumns       = []string{"event_id", "message_id", "event_time", "source_time", "publish_time", "write_time", "position", "job", "generation", "watermark"}
	aggregateColumns = []string{"window_start", "job", "generation", "pane", "timing", "write_time"}
	batchColumns     = []string{"window_start"}
)

// fixedTables have a fixed name in every dataset.
var fixedTables = []string{"generations", "watermarks", "batch_loads", "deployments"}

// MaxHorizon is the longest horizon of a StreamJob: as long as Pub/Sub can keep
// a message.
const MaxHorizon = 31 * 24 * time.Hour

func (k *checker) streamJob(s *StreamJobSpec) {
	k.most("spec.jobs", s.Jobs, maxSplits)
	k.most("spec.sources.count", s.Sources.Count, maxSplits)
	k.notGoogle("spec.sources.subscriptionPrefix", s.Sources.SubscriptionPrefix)
	if k.ok("spec.jobs", "spec.sources.count") && s.Sources.Count < s.Jobs {
		k.fail(CodeConflict, "spec.jobs", "", "spec.jobs is %d, but there are only %d subscriptions: a job would have nothing to read", s.Jobs, s.Sources.Count)
	}
	k.tuning(s)
	k.update(s)
	k.rollout(s)
	if !k.ok("spec.pipeline") {
		return
	}
	if s.Pipeline == PipelineOther {
		k.parameters(s)
		return
	}
	k.positive("spec.horizon", s.Horizon)
	if k.ok("spec.horizon") && s.Horizon.D() > MaxHorizon {
		k.fail(CodeBadValue, "spec.horizon", "", "spec.horizon is %s: the longest is %s", s.Horizon.D(), MaxHorizon)
	}
	if d := s.Deduplication.Horizon; d > s.Horizon && k.ok("spec.horizon", "spec.deduplication") {
		k.fail(CodeConflict, "spec.deduplication.horizon", "make it shorter, or leave it out",
			"spec.deduplication.horizon is %s, longer than spec.horizon, %s: an event that late is in no aggregate anyhow", d, s.Horizon)
	}
	if k.ok("spec.sinks.bigtable.table", "spec.sinks.bigtable.ids") && s.Sinks.Bigtable.IDs == s.Sinks.Bigtable.Table {
		k.fail(CodeConflict, "spec.sinks.bigtable.ids", "", "spec.sinks.bigtable.ids is the table of the aggregates: ids have a table of their own")
	}
	k.positive("spec.watermark.idle", s.Watermark.Idle)
	if k.ok("spec.sinks.bigtable.instance", "spec.environment") && s.Environment == "production" && len(s.Sinks.Bigtable.Instance) < 6 {
		k.fail(CodeBadValue, "spec.sinks.bigtable.instance", "", "Bigtable instance %q is too short: ids have at least 6 characters", s.Sinks.Bigtable.Instance)
	}
	k.columns("event field", "spec.event.fields", fieldsNamed(s.Event.Fields), rawColumns)
	types := map[string]string{}
	for _, f := range s.Event.Fields {
		types[f.Name] = f.Type
	}
	for i, a := range s.Aggregations {
		k.aggregation(at("spec.aggregations", i), a, s.Event, types)
	}
	k.unique("aggregation", len(s.Aggregations), func(i int) (string, string) {
		return s.Aggregations[i].Name, at("spec.aggregations", i) + ".name"
	})
	k.tables(s)
}

// tables: every table of a dataset has its own name. BigQuery tells case apart.
func (k *checker) tables(s *StreamJobSpec) {
	names := []string{s.Sinks.BigQuery.Raw, s.Sinks.BigQuery.Late}
	paths := []string{"spec.sinks.bigquery.raw", "spec.sinks.bigquery.late"}
	for i, a := range s.Aggregations {
		names, paths = append(names, a.Table), append(paths, at("spec.aggregations", i)+".table")
	}
	k.unique("table", len(names), func(i int) (string, string) { return names[i], paths[i] })
	for i, name := range names {
		k.notFixed(paths[i], name)
	}
}

func (k *checker) notFixed(path, table string) {
	for _, f := range fixedTables {
		if table == f && k.ok(path) {
			k.fail(CodeBadValue, path, "", "%s cannot be %q: kappa keeps a table of its own under that name", path, table)
		}
	}
}

// window: windows are aligned to the Unix epoch, and times in BigQuery have microseconds.
func (k *checker) window(path string, w Duration) {
	k.positive(path, w)
	if k.ok(path) && w > 0 && w.D()%time.Second != 0 {
		k.fail(CodeBadValue, path, "", "%s must be whole seconds", path)
	}
}

// measure checks the field of a measure or metric. Nil types: the events'
// fields are not known here.
func (k *checker) measure(path, typ, field string, types map[string]string) {
	if !k.ok(path+".type", path+".field") {
		return
	}
	switch {
	case typ == "count" && field != "":
		k.fail(CodeConflict, path+".field", "remove it", "%s: count has no field", path)
	case typ != "count" && field == "":
		k.fail(CodeMissingField, path+".field", "name the INT64 field that it is made from", "%s: %s needs a field", path, typ)
	case field == "" || types == nil:
	case types[field] == "":
		k.notDeclared(path+".field", "field", field, types)
	case types[field] != "INT64" && k.ok("spec.event.fields"):
		k.fail(CodeBadValue, path+".field", "", "%s needs an INT64 field, but %q is %s", typ, field, types[field])
	}
}

func (k *checker) notDeclared(path, what, name string, types map[string]string) {
	if !k.ok(path, "spec.event.fields") {
		return
	}
	hint := "declare it in spec.event.fields"
	if s := suggest.Closest(name, slices.Sorted(maps.Keys(types))); s != "" {
		hint = fmt.Sprintf("did you mean %s?", s)
	}
	k.fail(CodeDanglingReference, path, hint, "%s %q is not a field of the event", what, name)
}

// named is the name of a column and where it stands below its list item.
type named struct{ name, below string }

func fieldsNamed(fs []Field) []named {
	out := make([]named, 0, len(fs))
	for _, f := range fs {
		out = append(out, named{f.Name, ".name"})
	}
	return out
}

// columns: the columns of a list are unique, which BigQuery decides without
// regard to case, and none of those taken.
func (k *checker) columns(what, path string, cols []named, taken []string) {
	k.unique(what, len(cols), func(i int) (string, string) {
		return strings.ToLower(cols[i].name), at(path, i) + cols[i].below
	})
	for i, c := range cols {
		p := at(path, i) + c.below
		for _, t := range taken {
			if strings.EqualFold(c.name, t) && k.ok(p) {
				k.fail(CodeDuplicateName, p, "", "%s %q: the table has another column of that name", what, c.name)
				break
			}
		}
	}
}
