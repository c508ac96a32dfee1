package jobspecs

import "time"

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
