package jobspecs

import "slices"

func (k *checker) duplicateMonitor(s *DuplicateMonitorSpec) {
	k.window("spec.counts.window", s.Counts.Window)
	k.positive("spec.range.last", s.Range.Last)
	tables := []string{s.Raw, s.Late, s.Counts.Table}
	paths := []string{"spec.raw", "spec.late", "spec.counts.table"}
	k.unique("table", len(tables), func(i int) (string, string) { return tables[i], paths[i] })
	for i, name := range tables {
		k.notFixed(paths[i], name)
	}
	var keys []named
	for _, name := range s.Keys {
		keys = append(keys, named{name, ""})
	}
	k.columns("key", "spec.keys", keys, rawColumns)
	k.uniqueStrings("key", "spec.sensitive", s.Sensitive)
	for i, name := range s.Sensitive {
		if path := at("spec.sensitive", i); k.ok(path, "spec.keys") && !slices.Contains(s.Keys, name) {
			k.fail(CodeDanglingReference, path, meant(name, "the keys are", s.Keys), "the monitor has no key %q", name)
		}
	}
	for path, d := range map[string]Decimal{"maxPercentBefore": s.Alert.MaxPercentBefore, "maxPercentAfter": s.Alert.MaxPercentAfter, "maxIncrease": s.Alert.MaxIncrease} {
		if path = "spec.alert." + path; d.Rat().Sign() < 0 && k.ok(path) {
			k.fail(CodeBadValue, path, "", "%s is %s; it cannot be negative", path, d)
		}
	}
	k.notZero("spec.limits.maxBytesBilled", int64(s.Limits.MaxBytesBilled))
	k.notZero("spec.limits.maxBytesExact", int64(s.Limits.MaxBytesExact))
	k.notZero("spec.limits.jobTimeout", int64(s.Limits.JobTimeout))
}

// monitorReferences checks the names that a DuplicateMonitor has of its StreamJob.
func (k *checker) monitorReferences(s *DuplicateMonitorSpec, docs []*document) {
	if !k.ok("spec.counts") {
		return
	}
	var names []string
	for _, doc := range docs {
		job, ok := doc.value.(*StreamJob)
		if !ok {
			continue
		}
		if job.Metadata.Name == s.Counts.Job {
			k.monitored(s, &job.Spec, &checker{c: k.c, d: doc.d})
			return
		}
		names = append(names, job.Metadata.Name)
	}
	if len(names) > 0 {
		k.fail(CodeDanglingReference, "spec.counts.job", meant(s.Counts.Job, "the loaded ones are", names), "no StreamJob is named %q", s.Counts.Job)
	}
}

func (k *checker) monitored(s *DuplicateMonitorSpec, job *StreamJobSpec, theirs *checker) {
	name := s.Counts.Job
	if job.Pipeline == PipelineOther {
		k.fail(CodeConflict, "spec.counts.job", "name a StreamJob with pipeline: "+PipelineKappa, "StreamJob %s has pipeline: %s: what its jobs count is not known", name, PipelineOther)
		return
	}
	for _, f := range []struct{ path, got, what, theirs, want string }{
		{"spec.project", s.Project, "project", "spec.project", job.Project},
		{"spec.dataset", s.Dataset, "dataset", "spec.sinks.bigquery", job.Sinks.BigQuery.Dataset},
		{"spec.raw", s.Raw, "raw table", "spec.sinks.bigquery", job.Sinks.BigQuery.Raw},
		{"spec.late", s.Late, "late table", "spec.sinks.bigquery", job.Sinks.BigQuery.Late},
	} {
		if f.got != f.want && f.got != "" && k.ok(f.path) && theirs.ok(f.theirs) {
			k.fail(CodeConflict, f.path, "", "%s is %q, but StreamJob %s has %s %q", f.path, f.got, name, f.what, f.want)
		}
	}
	if theirs.ok("spec.event.fields") {
		fields := fieldsOnly(job.Event.Fields)
		for i, key := range s.Keys {
			if path := at("spec.keys", i); k.ok(path) && !slices.Contains(fields, key) {
				k.fail(CodeDanglingReference, path, meant(key, "its fields are", fields), "events of StreamJob %s have no field %q", name, key)
			}
		}
	}
	if !theirs.ok("spec.aggregations") {
		return
	}
	i := slices.IndexFunc(job.Aggregations, func(a Aggregation) bool { return a.Table == s.Counts.Table })
	if i < 0 {
		var tables []string
		for _, a := range job.Aggregations {
			tables = append(tables, a.Table)
		}
		k.fail(CodeDanglingReference, "spec.counts.table", meant(s.Counts.Table, "its tables are", tables), "StreamJob %s writes no table %q", name, s.Counts.Table)
		return
	}
	a := job.Aggregations[i]
	if a.Filter != "" {
		k.fail(CodeConflict, "spec.counts.table", "name the table of an aggregation without one", "aggregation %s has a filter: it does not count all events", a.Name)
	}
	if a.Window != s.Counts.Window {
		k.fail(CodeConflict, "spec.counts.window", "", "spec.counts.window is %s, but aggregation %s has windows of %s", s.Counts.Window, a.Name, a.Window)
	}
	var counts []string
	for _, m := range a.Measures {
		if m.Type == "count" {
			counts = append(counts, m.Name)
		}
	}
	if !slices.Contains(counts, s.Counts.Measure) {
		k.fail(CodeDanglingReference, "spec.counts.measure", meant(s.Counts.Measure, "there are", counts), "aggregation %s has no measure %q of type count", a.Name, s.Counts.Measure)
	}
}
