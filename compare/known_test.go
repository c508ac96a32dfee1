package compare

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// testQueries are the queries of the spec, edited.
func testQueries(t testing.TB, edit func(*jobspecs.ComparisonSpec)) queries {
	t.Helper()
	spec := flightsSpec()
	edit(&spec.Spec)
	q, err := newQueries(&spec.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestKnown(t *testing.T) {
	base := jobspecs.KnownDifference{Name: "outage", Owner: "ann", Reason: "the feed was down", Expires: "2001-02-01", Limit: 2}
	with := func(edit func(*jobspecs.KnownDifference)) jobspecs.KnownDifference { k := base; edit(&k); return k }
	diff := func(class, origin string, gate any, hour float64, status string) difference {
		return difference{class: class, keys: []bigqueryValue{origin, gate}, window: hours(hour), status: status, cause: status}
	}
	tests := []struct {
		name  string
		known []jobspecs.KnownDifference
		diffs []difference
		want  []int // state, hits: index of the one that took each difference, -1 for none
		state string
		hits  int64
	}{
		{"used", []jobspecs.KnownDifference{base}, []difference{diff(ClassMissing, "ORD", nil, 1, Unexplained)}, []int{0}, KnownUsed, 1},
		{"what a cause explains is left alone", []jobspecs.KnownDifference{base}, []difference{diff(ClassMissing, "ORD", nil, 1, Proven), diff(ClassMissing, "ORD", nil, 1, Likely)}, []int{-1, -1}, KnownUnused, 0},
		{"tolerated keys do not differ", []jobspecs.KnownDifference{base}, []difference{diff(ClassTolerated, "ORD", nil, 1, Unexplained)}, []int{-1}, KnownUnused, 0},
		{"at its limit", []jobspecs.KnownDifference{base}, []difference{diff(ClassMissing, "A", nil, 1, Unexplained), diff(ClassExtra, "B", nil, 1, Unexplained)}, []int{0, 0}, KnownUsed, 2},
		{"over its limit it matches none", []jobspecs.KnownDifference{base}, []difference{diff(ClassMissing, "A", nil, 1, Unexplained), diff(ClassExtra, "B", nil, 1, Unexplained), diff(ClassExtra, "C", nil, 1, Unexplained)},
			[]int{-1, -1, -1}, KnownOverLimit, 3},
		{"expired", []jobspecs.KnownDifference{with(func(k *jobspecs.KnownDifference) { k.Expires = "2001-01-08T10:00:00Z" })}, []difference{diff(ClassMissing, "A", nil, 1, Unexplained)}, []int{-1}, KnownExpired, 1},
		{"a moment before it expires", []jobspecs.KnownDifference{with(func(k *jobspecs.KnownDifference) { k.Expires = "2001-01-08T10:00:01Z" })}, []difference{diff(ClassMissing, "A", nil, 1, Unexplained)}, []int{0}, KnownUsed, 1},
		{"by key", []jobspecs.KnownDifference{with(func(k *jobspecs.KnownDifference) { k.Keys = map[string]string{"origin": "ORD", "gate": " 7"} })},
			[]difference{diff(ClassMissing, "ORD", int64(7), 1, Unexplained), diff(ClassMissing, "ORD", int64(8), 1, Unexplained), diff(ClassMissing, "ORD", nil, 1, Unexplained), diff(ClassMissing, "ATL", int64(7), 1, Unexplained)}, []int{0, -1, -1, -1}, KnownUsed, 1},
		{"by class", []jobspecs.KnownDifference{with(func(k *jobspecs.KnownDifference) { k.Classes = []string{ClassMissing} })},
			[]difference{diff(ClassMissing, "ORD", nil, 1, Unexplained), diff(ClassExtra, "ORD", nil, 1, Unexplained)}, []int{0, -1}, KnownUsed, 1},
		{"by window, the end exclusive", []jobspecs.KnownDifference{with(func(k *jobspecs.KnownDifference) { k.From, k.To = "2001-01-08T01:00:00Z", "2001-01-08T02:00:00Z" })},
			[]difference{diff(ClassMissing, "A", nil, 0, Unexplained), diff(ClassMissing, "A", nil, 1, Unexplained), diff(ClassMissing, "A", nil, 2, Unexplained)}, []int{-1, 0, -1}, KnownUsed, 1},
		{"the first that holds takes a key", []jobspecs.KnownDifference{with(func(k *jobspecs.KnownDifference) { k.Name, k.Expires = "old", "2001-01-01" }), base},
			[]difference{diff(ClassMissing, "A", nil, 0, Unexplained)}, []int{1}, KnownUsed, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := testQueries(t, func(s *jobspecs.ComparisonSpec) {
				s.Keys = append(s.Keys, jobspecs.CompareKey{Name: "gate", Type: "INT64"})
				s.Known = tt.known
			})
			got := q.known(tt.diffs, hours(10))
			last := got[len(got)-1]
			if last.State != tt.state || last.Hits != tt.hits || last.Owner != "ann" || last.Limit != 2 {
				t.Errorf("%+v, want %s with %d hits", last, tt.state, tt.hits)
			}
			for i, d := range tt.diffs {
				switch want := tt.want[i]; {
				case want < 0 && (d.known != "" || d.status == Known):
					t.Errorf("key %d was taken by %s", i, d.known)
				case want >= 0 && (d.known != tt.known[want].Name || d.status != Known || d.cause != d.known || d.evidence == ""):
					t.Errorf("key %d: %+v", i, d)
				}
			}
		})
	}
}

func TestKnownDifferencesOfARun(t *testing.T) {
	w := newWorld(t)
	w.both("ORD", 0, 2)
	w.batch("ATL", 1, 1, 3, 7)
	w.spec.Spec.Gate = jobspecs.Gate{}
	w.spec.Spec.Known = []jobspecs.KnownDifference{{Name: "outage", Owner: "ann", Reason: "the feed was down", Expires: "2002-01-01", Limit: 1, Keys: map[string]string{"origin": "ATL"}}}
	r := w.run()
	if r.Verdict.Verdict != Go || r.Causes.Unexplained != 0 || r.Causes.Entries[0].Status != Known || r.Causes.Entries[0].Cause != "outage" || r.Samples[0].Known != "outage" || r.Metrics[0].Unexplained.Num != "0" {
		t.Errorf("%s by %s, causes %+v, samples %+v", r.Verdict.Verdict, r.Verdict.Rule, r.Causes, r.Samples)
	}
	w.spec.Spec.Known[0].Expires = jobspecs.Instant(hours(1).Format(time.RFC3339))
	r = w.again(Range{})
	if r.Verdict.Verdict != Hold || r.Causes.Unexplained != 1 || r.Known[0].State != KnownExpired || r.Windows[1].Unexplained != 1 || r.Metrics[0].Unexplained != (Ratio{"1", "3"}) {
		t.Errorf("expired: %s by %s, %+v", r.Verdict.Verdict, r.Verdict.Rule, r.Known)
	}
}

func TestCanonical(t *testing.T) {
	for _, tt := range [][3]string{{"INT64", " 007", "7"}, {"INT64", "x", "x"}, {"BOOL", "TRUE", "true"}, {"TIMESTAMP", "2001-01-08T01:00:00+01:00", "2001-01-08T00:00:00Z"}, {"TIMESTAMP", "noon", "noon"},
		{"STRING", " 7 ", " 7 "}, {"DATE", "2004-02-29", "2004-02-29"}} {
		if got := canonical(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%s %q is %q, want %q", tt[0], tt[1], got, tt[2])
		}
	}
}

func TestSensitiveKeys(t *testing.T) {
	w := newWorld(t)
	w.both("ORD", 0, 2)
	w.batch("very-secret", 1, 1, 3, 7)
	w.spec.Spec.Sensitive = []string{"origin"}
	w.spec.Spec.History.Dataset = w.spec.Spec.Dataset
	w.spec.Spec.Known = []jobspecs.KnownDifference{{Name: "outage", Owner: "ann", Reason: "gone", Expires: "2002-01-01", Limit: 1, Keys: map[string]string{"origin": "very-secret"}}}
	r := w.run()
	hash := hashed("origin", "very-secret")
	if len(hash) != 1+hashDigits || r.DifferingKeys[0].Key != `["`+hash+`"]` || *r.Samples[0].Key[0].Value != hash || r.Heat.Values[0][0] != hash || *r.Segments[0].Worst[0].Values[0] != hash || r.Known[0].Hits != 1 {
		t.Errorf("keys %+v, segments %+v, heat %+v, known %+v", r.DifferingKeys, r.Segments, r.Heat, r.Known)
	}
	for name, view := range Views(r) {
		var b bytesBuffer
		if err := view(&b); err != nil {
			t.Fatal(err)
		}
		if b.contains("very-secret") {
			t.Errorf("%s shows a sensitive value", name)
		}
	}
	keys := w.history("SELECT key FROM history.compare_keys")
	if diff := cmp.Diff([]map[string]bigqueryValue{{"key": `["` + hash + `"]`}}, keys); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	// The SQL of a sample finds the row by its hash.
	rows := w.history("SELECT origin FROM " + w.spec.Spec.Dataset + ".batch_flights WHERE " + hashCondition("origin", "origin", "STRING", hash))
	if len(rows) != 1 || rows[0]["origin"] != "very-secret" {
		t.Errorf("found %v by the hash", rows)
	}
}

// bytesBuffer is a buffer that can be searched.
type bytesBuffer struct{ bytes.Buffer }

func (b *bytesBuffer) contains(s string) bool { return bytes.Contains(b.Bytes(), []byte(s)) }

// What the service says of a query that has failed quotes values.
func TestErrorsHideSensitiveValues(t *testing.T) {
	w := newSides(t, "INT64")
	w.spec.Spec.Keys = []jobspecs.CompareKey{{Name: "name", Type: "INT64", Batch: "CAST(name AS INT64)", Stream: "CAST(name AS INT64)"}}
	w.add(theOld, "very-secret", int64(1))
	w.add(theNew, "7", int64(1))
	w.create()
	for _, sensitive := range [][]string{nil, {"name"}} {
		w.spec.Spec.Sensitive = sensitive
		_, err := w.compare()
		if err == nil || strings.Contains(err.Error(), "very-secret") != (sensitive == nil) || exit.Of(err) != exit.Failed || !strings.Contains(err.Error(), "run the reconcile query: ") {
			t.Errorf("sensitive %v: error %v", sensitive, err)
		}
	}
	// What says how to mend the spec stays.
	w.spec.Spec.Batch.Where = "nmae = 'x'"
	if _, err := w.compare(); err == nil || !strings.Contains(err.Error(), "nmae") {
		t.Errorf("error %v", err)
	}
}
