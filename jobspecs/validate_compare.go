package jobspecs

import (
	"math/big"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // which time zones there are must not depend on the machine

	"github.com/kappa-migrate/kappa/internal/suggest"
)

// day is the unit in which gates and settled windows are counted.
const day = Duration(24 * time.Hour)

func (k *checker) comparison(s *ComparisonSpec) {
	k.window("spec.window", s.Window)
	k.alignment(s)
	k.sides(s)
	k.columns("key", "spec.keys", fieldsNamed(s.KeyFields()), aggregateColumns)
	for i, key := range s.Keys {
		path := at("spec.keys", i)
		k.sqlExpression(path+".batch", key.Batch)
		k.sqlExpression(path+".stream", key.Stream)
	}
	var metrics []named
	for i, m := range s.Metrics {
		if p := at("spec.metrics", i) + ".value"; m.Value == "BIGNUMERIC" && len(s.Batch.Files) > 0 && k.ok(p, "spec.batch.files") {
			k.fail(CodeConflict, p, "NUMERIC holds 29 digits before the point and 9 after it", "a comparison of files has no BIGNUMERIC: the sandbox does not know it")
		}
		k.metric(at("spec.metrics", i), m, s.Evidence.Raw != "")
		metrics = append(metrics, named{m.Name, ".name"})
	}
	k.columns("metric", "spec.metrics", metrics, append(fieldsOnly(s.KeyFields()), aggregateColumns...))
	k.segments(s)
	k.partition(s)
	k.knownDifferences(s)
	k.percentage("spec.gate.minExactPercent", s.Gate.MinExactPercent)
	k.percentage("spec.gate.minExactValuePercent", s.Gate.MinExactValuePercent)
	k.percentage("spec.gate.maxUnexplainedValuePercent", s.Gate.MaxUnexplainedValuePercent)
	k.evidence(s)
	k.uniqueStrings("key", "spec.sensitive", s.Sensitive)
	for i, name := range s.Sensitive {
		k.isKey(at("spec.sensitive", i), name, s)
	}
	k.notZero("spec.evidence.maxBytesBilled", int64(s.Evidence.MaxBytesBilled))
	k.notZero("spec.limits.maxBytesBilled", int64(s.Limits.MaxBytesBilled))
	k.notZero("spec.limits.jobTimeout", int64(s.Limits.JobTimeout))
	if s.History.Dataset != "" && len(s.Batch.Files) > 0 && k.ok("spec.history", "spec.batch") {
		k.fail(CodeConflict, "spec.history", "leave it out", "a comparison of files keeps no history: its warehouse ends with the run")
	}
}

// alignment: only a day has another length in another zone.
func (k *checker) alignment(s *ComparisonSpec) {
	const path = "spec.alignment"
	if !k.ok("spec.window", path) {
		return
	}
	if o := s.Alignment.Offset; o >= s.Window && s.Window > 0 {
		k.fail(CodeBadValue, path+".offset", "", "%s.offset is %s; it must be less than a window, %s", path, o, s.Window)
	} else if o.D()%time.Second != 0 {
		k.fail(CodeBadValue, path+".offset", "", "%s.offset must be whole seconds", path)
	}
	if zone := s.Alignment.TimeZone; zone != "" {
		if _, err := time.LoadLocation(zone); err != nil || zone == "Local" {
			k.fail(CodeBadValue, path+".timeZone", "name it as the IANA database does, such as Europe/Berlin", "there is no time zone %q", zone)
		} else if s.Window != day {
			k.fail(CodeConflict, path+".timeZone", "set spec.window: 24h, or leave it out: shorter windows begin at the same moments in each zone of whole hours",
				"%s.timeZone is for windows of a day, but spec.window is %s", path, s.Window)
		}
	}
	if (s.Alignment.Offset != 0 || s.Alignment.TimeZone != "") && s.Stream.Job != "" && k.ok(path, "spec.stream.job") {
		k.fail(CodeConflict, path, "leave it out, or read the stream side by a query that puts the job's windows together",
			"the windows of %s begin at multiples of their size since 1970-01-01 UTC", s.Stream.Job)
	}
}

// metric checks one metric. With raw events the field is what they are read for.
func (k *checker) metric(path string, m Metric, evidence bool) {
	if evidence || m.Field != "" {
		k.measure(path, m.Type, m.Field, nil)
	}
	k.sqlExpression(path+".batch", m.Batch)
	k.sqlExpression(path+".stream", m.Stream)
	if !k.ok(path+".type", path+".value", path+".tolerance") {
		return
	}
	switch {
	case m.Type == "count" && m.Value != "INT64":
		k.fail(CodeConflict, path+".value", "remove it", "%s: a count is INT64, not %s", path, m.Value)
	case m.Value == "FLOAT64" && !m.Tolerance.Given(): // invariant C2
		k.fail(CodeMissingField, path+".value", "set "+path+".tolerance.relative, 0.0001 for example, or compare it as NUMERIC",
			"%s: FLOAT64 needs a tolerance: a sum of floating point is not the same twice", path)
	case m.Value == "FLOAT64" && evidence: // invariant C5
		k.fail(CodeConflict, path+".value", "compare it as NUMERIC, or leave spec.evidence out",
			"%s: a cause is proven by values that are met exactly, which FLOAT64 cannot be", path)
	}
	if a := m.Tolerance.Absolute; a.Rat().Sign() < 0 {
		k.fail(CodeBadValue, path+".tolerance.absolute", "", "%s.tolerance.absolute is %s; it cannot be negative", path, a)
	}
	k.percentage(path+".tolerance.relative", m.Tolerance.Relative)
}

// segments are combinations: each key alone is one anyhow.
func (k *checker) segments(s *ComparisonSpec) {
	for i, g := range s.Segments {
		path := at("spec.segments", i) + ".keys"
		k.uniqueStrings("key", path, g.Keys)
		for n, name := range g.Keys {
			k.isKey(at(path, n), name, s)
		}
		if len(g.Keys) == 1 && k.ok(path) {
			k.fail(CodeBadValue, path, "remove it", "%s is one key: results are broken down by each key alone anyhow", path)
		}
	}
	k.unique("segment", len(s.Segments), func(i int) (string, string) {
		return strings.Join(slices.Sorted(slices.Values(s.Segments[i].Keys)), " and "), at("spec.segments", i)
	})
}

// isKey reports a name that is none of a key.
func (k *checker) isKey(path, name string, s *ComparisonSpec) {
	keys := fieldsOnly(s.KeyFields())
	if k.ok(path, "spec.keys") && !slices.Contains(keys, name) {
		k.fail(CodeDanglingReference, path, meant(name, "the keys are", keys), "the comparison has no key %q", name)
	}
}

// partition: a part is compared by itself, so it must hold whole windows, and
// whole days where the gate judges days: one cut in two would be judged twice.
func (k *checker) partition(s *ComparisonSpec) {
	const path = "spec.range.partition"
	if !k.ok("spec.window", path, "spec.gate.days") || s.Window <= 0 {
		return
	}
	fits := s.wholeParts(s.Range.Partition)
	if k.d.where[path] == nil {
		s.Range.Partition = fits // the default fits most windows; who did not write it need not mend it
	}
	if p := s.Range.Partition; p != fits {
		of := "spec.window, " + s.Window.String()
		if s.Gate.Days > 0 && s.Window < day {
			of += ", and of a day, which the gate judges"
		}
		k.fail(CodeBadValue, path, "set it to "+fits.String(), "%s is %s; it must be a multiple of %s", path, p, of)
	}
}

// wholeParts is the shortest part, not shorter than p, that holds whole windows,
// and whole days where the gate judges days of several windows.
func (s *ComparisonSpec) wholeParts(p Duration) Duration {
	unit := s.Window
	if s.Gate.Days > 0 && s.Window < day {
		unit = multiple(s.Window, day)
	}
	return unit * max(1, (p+unit-1)/unit)
}

// multiple is the least common multiple of two spans that are longer than 0.
func multiple(a, b Duration) Duration {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}

func (k *checker) percentage(path string, d Decimal) {
	if r := d.Rat(); k.ok(path) && (r.Sign() < 0 || r.Cmp(big.NewRat(100, 1)) > 0) {
		k.fail(CodeBadValue, path, "", "%s is %s; a percentage lies between 0 and 100", path, d)
	}
}

func (k *checker) notZero(path string, n int64) {
	if n <= 0 && k.ok(path) {
		k.fail(CodeBadValue, path, "", "%s must be more than zero", path)
	}
}

// evidence: what the raw events of a StreamJob prove is known of tables alone. A
// query or a file may hold anything under the names of the fields. invariant C5
func (k *checker) evidence(s *ComparisonSpec) {
	e := s.Evidence
	if !k.ok("spec.evidence") {
		return
	}
	if e.Raw == "" {
		for field, table := range map[string]string{"late": e.Late, "deadLetters": e.DeadLetters} {
			if table != "" {
				k.fail(CodeMissingField, "spec.evidence."+field, "name the raw table in spec.evidence.raw", "spec.evidence.%s is of no use without spec.evidence.raw", field)
			}
		}
		return
	}
	const path, hint = "spec.evidence.raw", "leave out spec.evidence"
	if !k.ok("spec.batch", "spec.stream") {
		return
	}
	switch {
	case s.Batch.Shadow != "":
		k.fail(CodeConflict, path, hint, "causes are looked for in what a batch layer has dropped; %s is a shadow, which drops nothing", s.Batch.Shadow)
	case s.Batch.Table == "" || s.Stream.Table == "":
		k.fail(CodeConflict, path, hint+", or name tables or views on both sides", "causes are looked for in tables alone: what a query or a file has made of the events is not known")
	case s.Stream.Job == "":
		k.fail(CodeConflict, path, "name the StreamJob in spec.stream.job, or "+hint, "which raw events count is known by the StreamJob that has written them")
	}
	tables := []string{e.Raw, e.Late, e.DeadLetters}
	k.unique("table", len(tables), func(i int) (string, string) {
		return tables[i], "spec.evidence." + []string{"raw", "late", "deadLetters"}[i]
	})
}

// didYouMean is the hint for one of a list of words.
func didYouMean(name string, list []string) string {
	if s := suggest.Closest(name, list); s != "" {
		return "did you mean " + s + "?"
	}
	return "it is one of " + strings.Join(list, ", ")
}
