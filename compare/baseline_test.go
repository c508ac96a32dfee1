package compare

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// baselineWorld has a key that is unexplained in the baseline, and the file of it.
func baselineWorld(t *testing.T) (*world, string) {
	w := newWorld(t)
	w.both("ORD", 0, 2)
	w.batch("ATL", 1, 1, 3, 7)
	w.spec.Spec.Gate = jobspecs.Gate{Days: 7, MinExactPercent: "99"}
	r := w.run()
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "compare.json")
	write(t, path, b.Bytes())
	return w, path
}

func TestBaseline(t *testing.T) {
	w, path := baselineWorld(t)
	run := func() *Result {
		t.Helper()
		cfg := w.config()
		cfg.Baseline = path
		r, err := Run(ctxBackground, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := run()
	want := &Baseline{File: path, Started: hours(200), SpecHash: r.SpecHash, Same: 1, Exact: NewRatio(1, 2),
		NewUnexplainedValue: map[string]Ratio{"flights": {"0", "3"}, "delay_sum": {"0", "13"}, "distance_sum": {"0", "207"}}}
	if diff := cmp.Diff(want, r.Baseline); diff != "" || r.Verdict.Verdict != Go || r.Causes.Unexplained != 1 || !r.Gate.RegressionsOnly {
		t.Errorf("%s by %s (-want +got):\n%s", r.Verdict.Verdict, r.Verdict.Rule, diff)
	}
	w.insert("batch_flights", aggregate("DEN", 2, 1, 1, 1))
	r = run()
	if r.Verdict.Verdict != Hold || r.Baseline.New != 1 || r.Baseline.NewUnexplained != 1 || r.Baseline.Same != 1 || r.Baseline.NewUnexplainedValue["flights"] != (Ratio{"1", "4"}) {
		t.Errorf("a regression: %s by %s, %+v", r.Verdict.Verdict, r.Verdict.Rule, r.Baseline)
	}
	if d := DecideByResult(r); d.Verdict.Verdict != Hold || d.Verdict.Rule != r.Verdict.Rule {
		t.Errorf("by the result: %+v", d.Verdict)
	}
}

// A cause that is no longer found makes a key a regression; what is beyond the list
// is taken for one.
func TestAgainst(t *testing.T) {
	base := &Result{DifferingKeys: []DifferingKey{{hours(1), `["A"]`, ClassExtra, "late", Proven}, {hours(1), `["B"]`, ClassExtra, Unexplained, Unexplained}, {hours(2), `["C"]`, ClassExtra, Unexplained, Unexplained},
		{hours(50), `["C"]`, ClassExtra, Unexplained, Unexplained}}}
	now := []difference{
		{class: ClassExtra, keys: []bigqueryValue{"A"}, window: hours(1), status: Unexplained},
		{class: ClassMissing, keys: []bigqueryValue{"B"}, window: hours(1), status: Unexplained},
		{class: ClassTolerated, keys: []bigqueryValue{"C"}, window: hours(2), status: Unexplained},
		{class: ClassExtra, keys: []bigqueryValue{"D"}, window: hours(2), status: Proven},
	}
	r := &Result{Counts: Counts{Total: 10, Exact: 4, Tolerated: 1, Extra: 4, Missing: 1}, DifferingKeys: differingKeys(now), Scope: Scope{Settled: []Range{span(0, 10)}}}
	b := r.against(base, "f", now)
	if b.New != 1+2 || b.Same != 2 || b.Gone != 0 || b.NewUnexplained != 1+2 {
		t.Errorf("of a list that is cut off: %+v", b)
	}
	r.Counts = Counts{Total: 8, Exact: 4, Tolerated: 1, Extra: 2, Missing: 1}
	if b := r.against(base, "f", now); b.New != 1 || b.Same != 2 || b.Gone != 1 || b.NewUnexplained != 1 {
		t.Errorf("%+v", b)
	}
}

func TestBadBaselines(t *testing.T) {
	w, path := baselineWorld(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(f func(*Result)) []byte {
		var r Result
		if err := json.Unmarshal(good, &r); err != nil {
			t.Fatal(err)
		}
		f(&r)
		var b bytes.Buffer
		if err := r.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
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
			write(t, path, tt.data)
			cfg := w.config()
			cfg.Baseline = path
			_, err := Run(ctxBackground, cfg)
			if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, code %d", err, exit.Of(err))
			}
		})
	}
	if _, err := ReadBaseline(filepath.Join(t.TempDir(), "none.json")); exit.Of(err) != exit.Environment {
		t.Errorf("error %v", err)
	}
}

// No file makes the reader fail otherwise than by an error, or gives a baseline that
// does not know all of its keys.
func FuzzReadBaseline(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"version":2}`, `{"version":2,"keys":{"total":1,"missing":1},"differing_keys":[{"key":"[null]"}]}`, `{"version":2,"exact":{"num":"1e999999","den":"0"}}`} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "compare.json")
		write(t, path, data)
		base, err := ReadBaseline(path)
		if err != nil {
			if base != nil || exit.Of(err) != exit.Usage {
				t.Fatalf("%v, %v", base, err)
			}
			return
		}
		if int64(len(base.DifferingKeys)) != base.Counts.Differing() {
			t.Fatalf("a baseline of %d keys lists %d", base.Counts.Differing(), len(base.DifferingKeys))
		}
		_ = checkBaseline(base, &Result{})
		(&Result{}).against(base, path, nil)
	})
}
