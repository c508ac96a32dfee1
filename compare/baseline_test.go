package compare

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// baselineWorld has a key that is unexplained in the baseline, and the file of it.
func baselineWorld(t *testing.T) (*world, []byte) {
	w := newWorld(t)
	w.both("ORD", 0, 2)
	w.batch("ATL", 1, 1, 3, 7)
	w.spec.Spec.Gate = jobspecs.Gate{Days: 7, MinExactPercent: "99"}
	return w, written(t, w.run())
}

// written is the compare.json of a result.
func written(t testing.TB, r *Result) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Views(r)["JSON"](&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// runAgainst compares a world with what a file holds.
func (w *world) runAgainst(file []byte) (*Result, error) {
	cfg := w.config()
	base, err := ReadJSON(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	cfg.Baseline, cfg.BaselineFile = base, "main/compare.json"
	return Run(ctxBackground, cfg)
}

func TestBaseline(t *testing.T) {
	w, file := baselineWorld(t)
	run := func() *Result {
		t.Helper()
		r, err := w.runAgainst(file)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := run()
	want := &Baseline{File: "main/compare.json", Started: hours(200), SpecHash: r.SpecHash, Same: 1, Exact: NewRatio(1, 2),
		NewUnexplainedValue: map[string]Ratio{"flights": {"0", "3"}, "delay_sum": {"0", "13"}, "distance_sum": {"0", "207"}}}
	if diff := cmp.Diff(want, r.Baseline); diff != "" || r.Verdict.Verdict != Go || r.Causes.Unexplained != 1 || !r.Gate.RegressionsOnly {
		t.Errorf("%s by %s (-want +got):\n%s", r.Verdict.Verdict, r.Verdict.Rule, diff)
	}
	w.insert("batch_flights", aggregate("DEN", 2, 1, 1, 1))
	r = run()
	if r.Verdict.Verdict != Hold || r.Baseline.New != 1 || r.Baseline.NewUnexplained != 1 || r.Baseline.Same != 1 || r.Baseline.NewUnexplainedValue["flights"] != (Ratio{"1", "4"}) {
		t.Errorf("a regression: %s by %s, %+v", r.Verdict.Verdict, r.Verdict.Rule, r.Baseline)
	}
	if d := DecideByResult(r, r.Started, 0); d.Verdict.Verdict != Hold || d.Verdict.Rule != r.Verdict.Rule {
		t.Errorf("by the result: %+v", d.Verdict)
	}
}

// A cause that is no longer found makes a key a regression, and so does another
// class; what is beyond the list is taken for one.
func TestAgainst(t *testing.T) {
	base := &Result{DifferingKeys: []DifferingKey{{hours(1), `["A"]`, ClassExtra, "late", Proven}, {hours(1), `["B"]`, ClassExtra, Unexplained, Unexplained}, {hours(2), `["C"]`, ClassExtra, Unexplained, Unexplained},
		{hours(50), `["C"]`, ClassExtra, Unexplained, Unexplained}}}
	now := []difference{
		{class: ClassExtra, keys: []bigqueryValue{"A"}, window: hours(1), status: Unexplained},
		{class: ClassMissing, keys: []bigqueryValue{"B"}, window: hours(1), status: Unexplained},
		{class: ClassExtra, keys: []bigqueryValue{"C"}, window: hours(50), status: Unexplained},
		{class: ClassTolerated, keys: []bigqueryValue{"C"}, window: hours(2), status: Unexplained},
		{class: ClassExtra, keys: []bigqueryValue{"D"}, window: hours(2), status: Proven},
	}
	r := &Result{Counts: Counts{Total: 11, Exact: 4, Tolerated: 1, Extra: 5, Missing: 1}, DifferingKeys: differingKeys(now), Scope: Scope{Settled: []Range{span(0, 10)}}}
	b := r.against(base, "f", now)
	if b.New != 1+2 || b.Same != 3 || b.Gone != 0 || b.NewUnexplained != 2+2 {
		t.Errorf("of a list that is cut off: %+v", b)
	}
	r.Counts = Counts{Total: 9, Exact: 4, Tolerated: 1, Extra: 3, Missing: 1}
	if b := r.against(base, "f", now); b.New != 1 || b.Same != 3 || b.Gone != 1 || b.NewUnexplained != 2 {
		t.Errorf("%+v", b)
	}
}

func TestBadBaselines(t *testing.T) {
	w, good := baselineWorld(t)
	edit := func(f func(*Result)) []byte {
		var r Result
		if err := json.Unmarshal(good, &r); err != nil {
			t.Fatal(err)
		}
		f(&r)
		return written(t, &r)
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "it is empty"},
		{"cut off", good[:len(good)/2], "not the JSON of a result"},
		{"not JSON", []byte("hello"), "not the JSON of a result"},
		{"of something else", []byte(`{"name":"x"}`), "it has no version"},
		{"of another version", []byte(`{"version":1}`), "it has version 1"},
		{"of another comparison", edit(func(r *Result) { r.Comparison = "trains" }), "it is of the comparison trains, not of flights"},
		{"of other keys", edit(func(r *Result) {
			r.Scope.Keys[0] = "carrier"
			for i := range r.Samples {
				r.Samples[i].Key[0].Column = "carrier"
			}
			r.Segments[0].Columns[0], r.Heat.Columns[0] = "carrier", "carrier"
		}), "its keys are [carrier], not [origin]"},
		{"of other windows", edit(func(r *Result) { r.Scope.WindowSize = "2h" }), "its windows are others"},
		{"without its keys", edit(func(r *Result) { r.DifferingKeys = nil }), "it lists 0 of 1 key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.runAgainst(tt.data)
			if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, code %d", err, exit.Of(err))
			}
		})
	}
}

// No baseline that can be read makes a comparison with it fail, or counts as one unless it
// lists all of its keys.
func FuzzBaseline(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"version":2}`, `{"version":2,"keys":{"total":1,"missing":1},"differing_keys":[{"key":"[null]"}]}`, `{"version":2,"exact":{"num":"1e999999","den":"0"}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		base, err := ReadJSON(bytes.NewReader(data))
		if err != nil {
			return
		}
		err = base.fitAsBaseline("compare.json")
		if whole := int64(len(base.DifferingKeys)) == base.Counts.Differing(); whole != (err == nil) {
			t.Fatalf("a baseline of %d keys lists %d: %v", base.Counts.Differing(), len(base.DifferingKeys), err)
		}
		_ = checkBaseline(base, &Result{})
		(&Result{}).against(base, "compare.json", nil)
	})
}
