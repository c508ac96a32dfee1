package jobspecs

import (
	"math/big"
	"time"
)

func (k *checker) batchLoad(s *BatchLoadSpec) {
	// Folders are named by the hour that a batch starts at.
	k.positive("spec.source.batch", s.Source.Batch)
	if k.ok("spec.source.batch") && s.Source.Batch > 0 && s.Source.Batch.D()%time.Hour != 0 {
		k.fail(CodeBadValue, "spec.source.batch", "", "spec.source.batch is %s; it must be whole hours", s.Source.Batch)
	}
	k.notFixed("spec.table", s.Table)
	k.columns("key", "spec.keys", fieldsNamed(s.Keys), batchColumns)
	k.columns("metric", "spec.metrics", fieldsNamed(s.Metrics), append(fieldsOnly(s.Keys), batchColumns...))
}

func fieldsOnly(fs []Field) []string {
	out := make([]string, 0, len(fs))
	for _, f := range fs {
		out = append(out, f.Name)
	}
	return out
}

func (k *checker) comparison(s *ComparisonSpec) {
	k.window("spec.window", s.Window)
	k.columns("key", "spec.keys", fieldsNamed(s.Keys), aggregateColumns)
	var metrics []named
	for i, m := range s.Metrics {
		if s.Evidence.Raw != "" || m.Field != "" { // the field is what raw events are read for
			k.measure(at("spec.metrics", i), m.Type, m.Field, nil)
		}
		metrics = append(metrics, named{m.Name, ".name"})
	}
	k.columns("metric", "spec.metrics", metrics, append(fieldsOnly(s.Keys), aggregateColumns...))
	k.gate(&s.Gate)
	if s.Evidence.Late != "" && s.Evidence.Raw == "" && k.ok("spec.evidence") {
		k.fail(CodeMissingField, "spec.evidence.late", "name the raw table in spec.evidence.raw", "spec.evidence.late is of no use without spec.evidence.raw")
	}
	if s.Batch.Shadow != "" && s.Evidence.Raw != "" && k.ok("spec.batch.shadow", "spec.evidence") {
		k.fail(CodeConflict, "spec.evidence.raw", "leave out spec.evidence", "causes are looked for in what a batch layer has dropped; %s is a shadow, which drops nothing", s.Batch.Shadow)
	}
	for path, b := range map[string]Bytes{"spec.evidence.maxBytesBilled": s.Evidence.MaxBytesBilled, "spec.limits.maxBytesBilled": s.Limits.MaxBytesBilled} {
		if b <= 0 && k.ok(path) {
			k.fail(CodeBadValue, path, "", "%s must be more than zero", path)
		}
	}
	if s.Batch.Table == s.Stream.Table && k.ok("spec.batch.table", "spec.stream.table") {
		k.fail(CodeConflict, "spec.stream.table", "", "both sides are table %q", s.Stream.Table)
	}
}

func (k *checker) gate(g *Gate) {
	const path = "spec.gate.minExactPercent"
	if r := g.MinExactPercent.Rat(); k.ok(path) && (r.Sign() < 0 || r.Cmp(big.NewRat(100, 1)) > 0) {
		k.fail(CodeBadValue, path, "", "%s is %s; a percentage lies between 0 and 100", path, g.MinExactPercent)
	}
}
