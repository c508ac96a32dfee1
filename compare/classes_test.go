package compare

import (
	"flag"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// classOf is what the class of a key is by its definition, computed with
// fractions: any rounding or overflow of the SQL is a difference to it.
func classOf(m jobspecs.Metric, batch, stream []*big.Rat, unique bool) string {
	if unique && (len(batch) > 1 || len(stream) > 1) {
		return ClassNonunique
	}
	switch {
	case len(batch) == 0:
		return ClassExtra
	case len(stream) == 0:
		return ClassMissing
	}
	b, s := mergedBy(m, batch), mergedBy(m, stream)
	if m.Nulls == "zero" {
		b, s = orZero(b), orZero(s)
	}
	switch {
	case b == nil && s == nil, b != nil && s != nil && b.Cmp(s) == 0:
		return ClassExact
	case b == nil || s == nil:
		return ClassMismatch
	}
	apart := new(big.Rat).Sub(b, s)
	apart.Abs(apart)
	greater := new(big.Rat).Abs(b)
	if other := new(big.Rat).Abs(s); other.Cmp(greater) > 0 {
		greater = other
	}
	if m.Tolerance.Absolute != "" && apart.Cmp(m.Tolerance.Absolute.Rat()) <= 0 {
		return ClassTolerated
	}
	allowed := new(big.Rat).Mul(greater, m.Tolerance.Relative.Rat())
	if m.Tolerance.Relative != "" && apart.Mul(apart, big.NewRat(100, 1)).Cmp(allowed) <= 0 {
		return ClassTolerated
	}
	return ClassMismatch
}

func mergedBy(m jobspecs.Metric, parts []*big.Rat) *big.Rat {
	var out *big.Rat
	for _, p := range parts {
		switch {
		case p == nil:
		case out == nil:
			out = new(big.Rat).Set(p)
		case m.Type == "min":
			if p.Cmp(out) < 0 {
				out.Set(p)
			}
		case m.Type == "max":
			if p.Cmp(out) > 0 {
				out.Set(p)
			}
		default:
			out.Add(out, p)
		}
	}
	return out
}

// drawRat draws a value of a type, near base often, so that bounds are met.
func drawRat(t *rapid.T, value string, base *big.Rat) *big.Rat {
	if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
		return nil
	}
	places := int64(1)
	if value == "NUMERIC" {
		places = 1_000_000_000
	}
	if base != nil && rapid.IntRange(0, 3).Draw(t, "near") > 0 {
		step := rapid.SampledFrom([]int64{0, 1, 2, 9, 10, 11, 1000}).Draw(t, "step")
		if rapid.Bool().Draw(t, "below") {
			step = -step
		}
		return new(big.Rat).Add(base, big.NewRat(step, places))
	}
	// Small enough that a few of them add up within the type, large enough to show
	// a float.
	whole := rapid.OneOf(rapid.Int64Range(-12, 12), rapid.Int64Range(-1_000_000_000, 1_000_000_000), rapid.Int64Range(-900_000_000_000_000_000, 900_000_000_000_000_000)).Draw(t, "whole")
	v := big.NewRat(whole, 1)
	if value == "NUMERIC" {
		v.Add(v, big.NewRat(rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, 999_999_999)).Draw(t, "fraction"), places))
	}
	return v
}

// Whatever the values, tolerances, parts and kinds of metrics, the class in SQL is
// the class by definition, and so are the sums.
func TestClassesAreThoseOfTheDefinition(t *testing.T) {
	// A check is a world of its own: some are enough, for each has many keys.
	checks := flag.Lookup("rapid.checks").Value
	given := checks.String()
	if given == "100" {
		if err := checks.Set("25"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = checks.Set(given) }()
	}
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.SampledFrom([]string{"INT64", "NUMERIC"}).Draw(rt, "value")
		w := newSides(t, value)
		m := w.metric()
		m.Type = rapid.SampledFrom([]string{"sum", "min", "max"}).Draw(rt, "type")
		m.Nulls = rapid.SampledFrom([]string{"null", "zero"}).Draw(rt, "nulls")
		m.Tolerance.Absolute = rapid.SampledFrom([]jobspecs.Decimal{"", "0", "1", "0.000000001", "0.0000000015", "2.5", "1000000"}).Draw(rt, "absolute")
		m.Tolerance.Relative = rapid.SampledFrom([]jobspecs.Decimal{"", "0", "1", "0.0000001", "33.3333333", "50", "100", "300"}).Draw(rt, "relative")
		unique := rapid.Bool().Draw(rt, "unique")
		w.spec.Spec.Batch.Unique, w.spec.Spec.Stream.Unique = unique, unique
		want := map[string]int64{}
		difference, absolute := new(big.Rat), new(big.Rat)
		for k := range 60 {
			var sides [2][]*big.Rat
			var base *big.Rat
			for side := range sides {
				for range rapid.SampledFrom([]int{0, 1, 1, 1, 1, 1, 2, 3}).Draw(rt, "rows") {
					v := drawRat(rt, value, base)
					if base == nil {
						base = v
					}
					sides[side] = append(sides[side], v)
					var cell any
					if v != nil {
						cell = v.FloatString(9)
						if value == "INT64" {
							cell = v.Num().Int64()
						}
					}
					w.add(side, fmt.Sprint("k", k), cell)
				}
			}
			if len(sides[0])+len(sides[1]) == 0 {
				continue
			}
			want[classOf(*m, sides[0], sides[1], unique)]++
			apart := new(big.Rat).Sub(orZero(mergedBy(*m, sides[1])), orZero(mergedBy(*m, sides[0])))
			difference.Add(difference, apart)
			absolute.Add(absolute, new(big.Rat).Abs(apart))
		}
		r := w.run()
		got := map[string]int64{}
		for _, class := range Classes {
			if n := r.Counts.Of(class); n > 0 {
				got[class] = n
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("%s %s, absolute %q, relative %q, nulls %s: classes (-want +got):\n%s", m.Type, value, m.Tolerance.Absolute, m.Tolerance.Relative, m.Nulls, diff)
		}
		if len(want) > 0 && (r.Metrics[0].Difference != decimalText(difference) || r.Metrics[0].Absolute != decimalText(absolute)) {
			rt.Fatalf("difference %s and %s, want %s and %s", r.Metrics[0].Difference, r.Metrics[0].Absolute, decimalText(difference), decimalText(absolute))
		}
	})
}

func TestBoundsOfTolerances(t *testing.T) {
	tests := []struct {
		value              string
		absolute, relative jobspecs.Decimal
		wantAbsolute       string
		wantRelative       string
	}{
		{"INT64", "1.9", "1", "1", "0.01"},
		{"NUMERIC", "0.1234567899", "0.0000001", "0.123456789", "0.000000001"},
		{"BIGNUMERIC", "0.12345678901234567890123456789012345678", "500", "0.12345678901234567890123456789012345678", "2"},
		{"INT64", "99999999999999999999999999999999999999", "200", "99999999999999999999999999999", "2"},
		{"FLOAT64", "0.1234567899", "12.5", "0.1234567899", "0.125"},
	}
	for _, tt := range tests {
		m := jobspecs.Metric{Value: tt.value, Tolerance: jobspecs.Tolerance{Absolute: tt.absolute, Relative: tt.relative}}
		if a, r := absoluteBound(m), relativeBound(m); a != tt.wantAbsolute || r != tt.wantRelative {
			t.Errorf("%s, %s, %s %%: %s and %s, want %s and %s", tt.value, tt.absolute, tt.relative, a, r, tt.wantAbsolute, tt.wantRelative)
		}
	}
}

// The text of a spec gets into the SQL only whole in its place, quoted; all else of
// it is the same for every spec.
func FuzzReconcileSQL(f *testing.F) {
	f.Add("old", "name", "UPPER(name)", "n + 1", "n > 0", "Europe/Berlin", "0.5")
	f.Add("old` --", "x`y", "name) FROM t --", "1; DROP TABLE old", "TRUE) OR (TRUE", "a'b", "1 OR 1")
	f.Add("d.t", "k\\", "@from", "/* */ n", "n IN (SELECT 1)", "UTC", "-1")
	f.Add("p-p-p-p.d.t", "ünï", "'it\\'s' || name", "CASE WHEN n > 1 THEN 2 END", "`from` = r'\\'", "", "1e5")
	f.Fuzz(func(t *testing.T, table, key, expression, metric, where, timeZone, tolerance string) {
		spec := flightsSpec().Spec
		spec.Batch.Table, spec.Batch.Where, spec.Stream.Where = table, where, where
		spec.Keys = []jobspecs.CompareKey{{Name: key, Type: "STRING", Batch: expression}}
		spec.Metrics = []jobspecs.Metric{{Name: "n", Type: "sum", Value: "NUMERIC", Stream: metric, Tolerance: jobspecs.Tolerance{Absolute: jobspecs.Decimal(tolerance)}}}
		spec.Window, spec.Alignment.TimeZone = jobspecs.Duration(day), timeZone
		q, err := newQueries(&spec)
		if err != nil {
			return
		}
		got := shape(q.reconcileQuery([]Range{span(0, 24)}, rowsThatCount{{writers: []string{}}}).sql, q)
		plainSpec := flightsSpec().Spec
		plainSpec.Batch.Table, plainSpec.Batch.Where, plainSpec.Stream.Where = "t", "c", "c"
		plainSpec.Keys = []jobspecs.CompareKey{{Name: "k", Type: "STRING", Batch: "LOWER(c)"}}
		plainSpec.Metrics = []jobspecs.Metric{{Name: "n", Type: "sum", Value: "NUMERIC", Stream: "LOWER(c)", Tolerance: jobspecs.Tolerance{Absolute: "1"}}}
		if where == "" {
			plainSpec.Batch.Where, plainSpec.Stream.Where = "", ""
		}
		if tolerance == "" {
			plainSpec.Metrics[0].Tolerance.Absolute = ""
		}
		p, err := newQueries(&plainSpec)
		if err != nil {
			t.Fatal(err)
		}
		if want := shape(p.reconcileQuery([]Range{span(0, 24)}, rowsThatCount{{writers: []string{}}}).sql, p); got != want {
			t.Errorf("the spec has changed the query (-want +got):\n%s", cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
		}
	})
}

// shape is a query without what the spec names, and without the measure of the
// bytes, which follows from the columns.
func shape(sql string, q queries) string {
	var lines []string
	for _, line := range strings.Split(sql, "\n") {
		if strings.HasSuffix(line, " AS bytes") && strings.HasPrefix(line, "    ") {
			line = "    bytes"
		}
		lines = append(lines, line)
	}
	sql = strings.Join(lines, "\n")
	for _, s := range []side{q.batch, q.stream} {
		for _, e := range append(append([]expression{}, s.keys...), s.metrics...) {
			sql = strings.Replace(sql, "    "+e.value()+" AS ", "    EXPRESSION AS ", 1)
		}
		sql = strings.Replace(sql, "  FROM "+s.from+"\n", "  FROM SIDE\n", 1)
		if s.where != "" {
			sql = strings.Replace(sql, "    AND ("+s.where+")", "    AND CONDITION", 1)
		}
	}
	return sql
}

func TestEveryStatementIsWritten(t *testing.T) {
	schema := bigquery.Schema{field("window_start", bigquery.DateFieldType), field("name", bigquery.StringFieldType), field("n", bigquery.NumericFieldType)}
	c := newSides(t, "BIGNUMERIC").spec
	c.Spec.Window, c.Spec.Alignment.TimeZone = jobspecs.Duration(day), "Europe/Berlin"
	c.Spec.Metrics[0].Tolerance = jobspecs.Tolerance{Absolute: "0.5", Relative: "1"}
	c.Spec.Batch.Where = "n > 0"
	all, err := Statements(c, StatementOptions{Batch: schema, Stream: schema})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
		for _, p := range s.Parameters {
			if !strings.Contains(s.SQL, "@"+p.Name) && s.Name == purposeReconcile {
				t.Errorf("%s has no use for @%s", s.Name, p.Name)
			}
		}
	}
	if diff := cmp.Diff([]string{"reconcile", "batch_side", "stream_side", "batch_types"}, names); diff != "" {
		t.Errorf("statements (-want +got):\n%s", diff)
	}
	for _, want := range []string{"CAST(`n` AS BIGNUMERIC) AS m0", "CAST(@absolute0 AS BIGNUMERIC)", "TRUNC(v0)", "@shift0_date", "`window_start` >= @from_date"} {
		if !strings.Contains(all[0].SQL, want) {
			t.Errorf("no %q in\n%s", want, all[0].SQL)
		}
	}
}
