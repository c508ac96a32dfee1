package compare

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Two values of one key, and the class that the key gets.
func TestClassOfTwoValues(t *testing.T) {
	const most = "99999999999999999999999999999.999999999" // 29 + 9 digits
	type values struct{ batch, stream any }
	tests := []struct {
		name               string
		value              string
		absolute, relative jobspecs.Decimal
		nulls              string
		of                 map[string][]values // by class
	}{
		{name: "INT64", value: "INT64", of: map[string][]values{
			ClassExact:    {{int64(0), int64(0)}, {int64(math.MaxInt64), int64(math.MaxInt64)}, {nil, nil}},
			ClassMismatch: {{int64(16777216), int64(16777217)}, {int64(math.MaxInt64), int64(math.MaxInt64 - 1)}, {int64(math.MinInt64), int64(math.MaxInt64)}, {nil, int64(0)}, {int64(0), nil}},
		}},
		{name: "NULL as zero", value: "INT64", nulls: "zero", of: map[string][]values{
			ClassExact: {{nil, int64(0)}, {int64(0), nil}, {nil, nil}}, ClassMismatch: {{nil, int64(1)}, {int64(-1), nil}},
		}},
		{name: "INT64, absolute", value: "INT64", absolute: "1.5", of: map[string][]values{
			ClassExact: {{int64(5), int64(5)}}, ClassTolerated: {{int64(5), int64(6)}, {int64(-1), int64(0)}, {int64(math.MaxInt64), int64(math.MaxInt64 - 1)}},
			ClassMismatch: {{int64(5), int64(7)}, {nil, int64(0)}, {int64(math.MinInt64), int64(math.MaxInt64)}},
		}},
		{name: "INT64, relative", value: "INT64", relative: "1", of: map[string][]values{
			ClassTolerated: {{int64(100), int64(99)}, {int64(99), int64(100)}, {int64(-100), int64(-99)}, {int64(9_200_000_000_000_000_000), int64(9_108_000_000_000_000_000)}},
			ClassMismatch:  {{int64(100), int64(98)}, {int64(99), int64(98)}, {int64(9_200_000_000_000_000_000), int64(9_107_999_999_999_999_999)}, {int64(1), int64(-1)}, {int64(0), int64(1)}},
		}},
		{name: "either bound, and NULL as zero", value: "INT64", absolute: "3", relative: "10", nulls: "zero", of: map[string][]values{
			ClassTolerated: {{nil, int64(3)}, {int64(1), int64(4)}, {int64(100), int64(90)}}, ClassMismatch: {{nil, int64(4)}, {int64(100), int64(89)}},
		}},
		{name: "a tolerance beyond all values", value: "INT64", absolute: "99999999999999999999999999999999999999", of: map[string][]values{
			ClassTolerated: {{int64(math.MinInt64), int64(math.MaxInt64)}},
		}},
		{name: "NUMERIC", value: "NUMERIC", of: map[string][]values{
			ClassExact: {{"0.1", "0.100000000"}, {"-12345678901234567.123456789", "-12345678901234567.123456789"}},
			ClassMismatch: {{"12345678901234567.123456789", "12345678901234567.123456788"}, {"0.000000001", "0"},
				{"17", "17.000000001"}, {"-0.000000001", "0.000000001"}},
		}},
		{name: "NUMERIC, 29 + 9 digits, the last differs", value: "NUMERIC", of: map[string][]values{ClassMismatch: {{most, most[:len(most)-1] + "8"}}}},
		{name: "NUMERIC, 29 + 9 digits", value: "NUMERIC", of: map[string][]values{ClassExact: {{"-" + most, "-" + most}}}},
		{name: "NUMERIC, 29 + 9 digits, absolute", value: "NUMERIC", absolute: "0.0000000019", of: map[string][]values{ClassTolerated: {{most, most[:len(most)-1] + "8"}}}},
		{name: "NUMERIC, absolute", value: "NUMERIC", absolute: "0.000000001", of: map[string][]values{
			ClassTolerated: {{"1.000000001", "1"}, {"0", "-0.000000001"}}, ClassMismatch: {{"1.000000002", "1"}},
		}},
		{name: "an absolute tolerance below the last digit", value: "NUMERIC", absolute: "0.0000000009", of: map[string][]values{ClassMismatch: {{"1.000000001", "1"}}}},
		{name: "NUMERIC, relative", value: "NUMERIC", relative: "0.0000001", of: map[string][]values{
			// One part in 10⁹: of 1.999999999 that is 1.999999999e-9, so one unit in the last place is within it and two are not.
			ClassTolerated: {{"1.999999999", "1.999999998"}, {"2", "1.999999998"}, {"1000000000", "999999999"}, {"12345678901", "12345678888.654321099"}},
			ClassMismatch: {{"1.999999999", "1.999999997"}, {"0.999999999", "0.999999998"}, {"1000000000", "999999998.999999999"},
				{"12345678901", "12345678888.654321098"}},
		}},
		{name: "FLOAT64 is never exact", value: "FLOAT64", absolute: "0", of: map[string][]values{
			ClassTolerated: {{0.1, 0.1}, {1e300, 1e300}, {math.Copysign(0, -1), 0.0}, {"NaN", "NaN"}, {"Infinity", "Infinity"}, {"-Infinity", "-Infinity"}},
			ClassExact:     {{nil, nil}},
			ClassMismatch: {{0.1, 0.2}, {"NaN", 0.0}, {0.0, "NaN"}, {"NaN", "Infinity"}, {"Infinity", "-Infinity"}, {"Infinity", 1.0}, {nil, 0.0}, {"NaN", nil}, {nil, "Infinity"},
				{0.30000000000000004, 0.3}},
		}},
		{name: "FLOAT64, relative", value: "FLOAT64", relative: "0.1", of: map[string][]values{
			ClassTolerated: {{1000.0, 999.5}, {0.30000000000000004, 0.3}}, ClassMismatch: {{1000.0, 998.0}, {0.0, 1e-300}},
		}},
		{name: "FLOAT64, NULL as zero", value: "FLOAT64", absolute: "0.5", nulls: "zero", of: map[string][]values{
			ClassTolerated: {{nil, 0.25}, {0.0, nil}}, ClassMismatch: {{nil, 1.0}, {nil, "NaN"}, {"Infinity", nil}}, ClassExact: {{nil, nil}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newSides(t, tt.value)
			w.metric().Tolerance = jobspecs.Tolerance{Absolute: tt.absolute, Relative: tt.relative}
			if tt.nulls != "" {
				w.metric().Nulls = tt.nulls
			}
			want := Counts{}
			mismatches := map[string]bool{}
			for class, pairs := range tt.of {
				for i, v := range pairs {
					name := fmt.Sprint(class, i)
					w.add(theOld, name, v.batch)
					w.add(theNew, name, v.stream)
					want.Total++
					switch class {
					case ClassExact:
						want.Exact++
					case ClassTolerated:
						want.Tolerated++
					default:
						want.Mismatch++
						mismatches[name] = true
					}
				}
			}
			r := w.run()
			for _, s := range r.Samples {
				if name := shown(s.Key[0].Value); !mismatches[name] {
					t.Errorf("%s is a %s: %s and %s", name, s.Class, shown(s.Metrics[0].Batch), shown(s.Metrics[0].Stream))
				}
				delete(mismatches, shown(s.Key[0].Value))
			}
			for name := range mismatches {
				t.Errorf("%s is no mismatch", name)
			}
			if diff := cmp.Diff(want, r.Counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

// FLOAT64 that is not finite is in no sum, and is shown as it is.
func TestNotFinite(t *testing.T) {
	w := newSides(t, "FLOAT64")
	w.metric().Tolerance.Absolute = "0.25"
	w.add(theOld, "a", 1.5)
	w.add(theNew, "a", 1.75)
	w.add(theOld, "b", "NaN")
	w.add(theNew, "b", 7.0)
	w.add(theOld, "c", "-Infinity")
	w.add(theOld, "d", 2.0)
	w.add(theNew, "d", "Infinity")
	w.add(theOld, "e", "NaN")
	w.add(theNew, "e", "NaN")
	r := w.run()
	m := r.Metrics[0]
	if m.BatchTotal != "1.5" || m.StreamTotal != "1.75" || m.Difference != "0.25" || m.Absolute != "0.25" || m.Skipped != 4 || !m.Approximate {
		t.Errorf("metric %+v", m)
	}
	want := Counts{Total: 5, Tolerated: 2, Mismatch: 2, Missing: 1}
	if diff := cmp.Diff(want, r.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	got := map[string]string{}
	for _, s := range r.Samples {
		got[shown(s.Key[0].Value)] = shown(s.Metrics[0].Batch) + " " + shown(s.Metrics[0].Stream) + " " + s.Metrics[0].Difference
	}
	if diff := cmp.Diff(map[string]string{"b": "NaN 7 ", "c": "-Inf NULL ", "d": "2 Inf "}, got); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
}

// Totals are exact where INT64 would overflow, and numbers keep all their digits.
func TestHugeSums(t *testing.T) {
	w := newSides(t, "INT64")
	for i := range 20 {
		w.add(theOld, fmt.Sprint(i), int64(math.MaxInt64))
		w.add(theNew, fmt.Sprint(i), int64(math.MinInt64))
	}
	m := w.run().Metrics[0]
	if m.BatchTotal != "184467440737095516140" || m.StreamTotal != "-184467440737095516160" || m.Difference != "-368934881474191032300" || m.Absolute != "368934881474191032300" ||
		m.Weight[ClassMismatch] != "184467440737095516160" {
		t.Errorf("metric %+v", m)
	}
}

// Parts whose sum is beyond INT64 fail the run, and a wider type mends it.
func TestOverflowOfAKey(t *testing.T) {
	w := newSides(t, "INT64")
	w.spec.Spec.Batch.Unique = false
	w.add(theOld, "a", int64(math.MaxInt64))
	w.add(theOld, "a", int64(1))
	w.add(theNew, "a", int64(1))
	w.create()
	_, err := w.compare()
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), "overflow") || exit.Of(err) != exit.Failed {
		t.Fatalf("error %v, want an overflow", err)
	}
	w.metric().Value = "NUMERIC"
	r, err := w.compare()
	if err != nil {
		t.Fatal(err)
	}
	if m := r.Metrics[0]; m.BatchTotal != "9223372036854775808" || r.Counts.Mismatch != 1 {
		t.Errorf("metric %+v, counts %+v", m, r.Counts)
	}
}

// Keys meet by their bytes: NULL is a value, and normal forms, case and space make
// other keys.
func TestKeysMeetByTheirBytes(t *testing.T) {
	w := newSides(t, "INT64")
	for _, side := range []int{theOld, theNew} {
		for _, name := range []any{nil, "", " ", "Café", "Cafe\u0301", "café", "CAFÉ", "Å", "\u212b", "\u00c5 ", "ﬁ", "fi", "🇩🇪", "`;--'\"\\"} {
			w.add(side, name, int64(1))
		}
	}
	w.add(theOld, "nai\u0308ve", int64(1))
	w.add(theNew, "na\u00efve", int64(1))
	r := w.run()
	// Å is written here as U+00C5, so it is not the Ångström sign U+212B.
	if diff := cmp.Diff(Counts{Total: 16, Exact: 14, Missing: 1, Extra: 1}, r.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestEmptyAndUnequalSides(t *testing.T) {
	tests := []struct {
		name          string
		batch, stream []string
		want          Counts
		batchUnique   bool
		streamUnique  bool
	}{
		{"both empty", nil, nil, Counts{}, true, true},
		{"batch empty", nil, []string{"a", "b"}, Counts{Total: 2, Extra: 2}, true, true},
		{"stream empty", []string{"a"}, nil, Counts{Total: 1, Missing: 1}, true, true},
		{"all different", []string{"a", "b"}, []string{"c", "d"}, Counts{Total: 4, Missing: 2, Extra: 2}, true, true},
		{"twice in the batch", []string{"a", "a", "b"}, []string{"a", "b"}, Counts{Total: 2, Exact: 1, Nonunique: 1}, true, true},
		{"twice in the stream", []string{"a", "b"}, []string{"a", "b", "b"}, Counts{Total: 2, Exact: 1, Nonunique: 1}, true, true},
		{"twice in the stream alone", nil, []string{"b", "b"}, Counts{Total: 1, Nonunique: 1}, true, true},
		{"parts on both sides", []string{"a", "a", "b"}, []string{"a", "a", "b", "b"}, Counts{Total: 2, Exact: 1, Mismatch: 1}, false, false},
		{"parts in the batch", []string{"a", "a"}, []string{"a", "a"}, Counts{Total: 1, Nonunique: 1}, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newSides(t, "INT64")
			w.spec.Spec.Batch.Unique, w.spec.Spec.Stream.Unique = tt.batchUnique, tt.streamUnique
			for _, name := range tt.batch {
				w.add(theOld, name, int64(3))
			}
			for _, name := range tt.stream {
				w.add(theNew, name, int64(3))
			}
			r := w.run()
			if diff := cmp.Diff(tt.want, r.Counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if empty := len(tt.batch) == 0 || len(tt.stream) == 0; empty != (r.Verdict.Verdict == NoData) || r.Counts.Differing() > 0 && r.Verdict.Verdict == Go {
				t.Errorf("verdict %s of %+v", r.Verdict.Verdict, r.Counts)
			}
			if r.Batch.Rows != int64(len(tt.batch)) || r.Stream.Rows != int64(len(tt.stream)) {
				t.Errorf("rows %d and %d", r.Batch.Rows, r.Stream.Rows)
			}
		})
	}
}

// Windows of a calendar day meet, whatever type the time column has and however
// long the day is.
func TestCalendarDays(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	days := []time.Time{
		time.Date(2000, 2, 28, 0, 0, 0, 0, berlin), time.Date(2000, 2, 29, 0, 0, 0, 0, berlin), time.Date(2000, 3, 1, 0, 0, 0, 0, berlin),
		time.Date(2000, 3, 25, 0, 0, 0, 0, berlin), time.Date(2000, 3, 26, 0, 0, 0, 0, berlin), time.Date(2000, 3, 27, 0, 0, 0, 0, berlin),
		time.Date(2000, 10, 28, 0, 0, 0, 0, berlin), time.Date(2000, 10, 29, 0, 0, 0, 0, berlin), time.Date(2000, 10, 30, 0, 0, 0, 0, berlin), time.Date(2000, 12, 31, 0, 0, 0, 0, berlin),
	}
	types := []bigquery.FieldType{bigquery.TimestampFieldType, bigquery.DateTimeFieldType, bigquery.DateFieldType}
	for _, offset := range []time.Duration{0, 6 * time.Hour} {
		for i, typ := range types {
			t.Run(fmt.Sprint(typ, " ", offset), func(t *testing.T) {
				w := newSides(t, "INT64")
				w.spec.Spec.Window = jobspecs.Duration(day)
				w.spec.Spec.Alignment = jobspecs.Alignment{TimeZone: "Europe/Berlin", Offset: jobspecs.Duration(offset)}
				w.from = Range{days[0].Add(-48 * time.Hour), days[len(days)-1].Add(72 * time.Hour)}
				for side, typ := range []bigquery.FieldType{typ, types[(i+1)%3]} {
					w.columns[side][0].Type = typ
					for n, d := range days {
						start := time.Date(d.Year(), d.Month(), d.Day(), 0, 0, 0, int(offset), berlin)
						r := record{"name": "a", "n": int64(n)}
						switch typ {
						case bigquery.TimestampFieldType:
							r["window_start"] = start
						case bigquery.DateTimeFieldType:
							r["window_start"] = civil.DateTimeOf(start)
						default:
							r["window_start"] = civil.DateOf(d)
						}
						w.rows[side] = append(w.rows[side], r)
					}
				}
				r := w.run()
				if diff := cmp.Diff(Counts{Total: 10, Exact: 10}, r.Counts); diff != "" {
					t.Errorf("counts (-want +got):\n%s", diff)
				}
				var got, want []string
				for i, d := range days {
					got, want = append(got, stamp(r.Windows[i].Start)), append(want, stamp(time.Date(d.Year(), d.Month(), d.Day(), 0, 0, 0, int(offset), berlin)))
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("windows (-want +got):\n%s", diff)
				}
				if r.Scope.TimeZone != "Europe/Berlin" || r.Scope.Windows != 312 {
					t.Errorf("scope %+v", r.Scope)
				}
			})
		}
	}
}

func TestMisalignedWindows(t *testing.T) {
	w := newSides(t, "INT64")
	w.add(theOld, "a", int64(1))
	w.rows[theOld][0]["window_start"] = hours(0.25)
	w.create()
	_, err := w.compare()
	if err == nil || !strings.Contains(err.Error(), "a row's window starts at 2001-01-08T00:15:00Z") {
		t.Errorf("error %v", err)
	}
	w.spec.Spec.Alignment.Offset = jobspecs.Duration(15 * time.Minute)
	if r, err := w.compare(); err != nil || r.Counts.Missing != 1 {
		t.Errorf("aligned: %v", err)
	}
}

// On a day on which clocks go forward, an hour before midnight of the old time is
// as long after the start of the day as midnight of the new one.
func TestClockTimesThatNoWindowHas(t *testing.T) {
	w := newSides(t, "INT64")
	w.spec.Spec.Window = jobspecs.Duration(day)
	w.spec.Spec.Alignment = jobspecs.Alignment{TimeZone: "Europe/Berlin"}
	at := map[int]string{theOld: "2000-03-26T23:00:00", theNew: "2000-03-27T00:00:00"}
	for side, text := range at {
		start, err := civil.ParseDateTime(text)
		if err != nil {
			t.Fatal(err)
		}
		w.columns[side][0].Type = bigquery.DateTimeFieldType
		w.rows[side] = append(w.rows[side], record{"window_start": start, "name": "a", "n": int64(1)})
	}
	w.from = Range{time.Date(2000, 3, 20, 0, 0, 0, 0, zone(t, "Europe/Berlin")), time.Date(2000, 3, 30, 0, 0, 0, 0, zone(t, "Europe/Berlin"))}
	w.create()
	if r, err := w.compare(); err == nil || !strings.Contains(err.Error(), "a row's window starts at 2000-03-26T22:00:00.000001Z") {
		t.Errorf("error %v, %+v", err, r)
	}
}
