package compare

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/tables"
)

func TestTransitions(t *testing.T) {
	key := func(hour float64, key, class string) DifferingKey {
		return DifferingKey{Window: hours(hour), Key: key, Class: class}
	}
	all := []Range{span(0, 10)}
	last := func(complete bool, settled []Range, keys ...DifferingKey) lastKeys {
		return lastKeys{classes: classesOf(keys), settled: settled, complete: complete}
	}
	tests := []struct {
		name     string
		keys     []DifferingKey
		complete bool
		last     lastKeys
		want     []Transition
	}{
		{"nothing", nil, true, last(true, all), []Transition{}},
		{"as it was", []DifferingKey{key(1, "a", ClassExtra)}, true, last(true, all, key(1, "a", ClassExtra)), []Transition{{ClassExtra, ClassExtra, 1}}},
		{"new, gone and other", []DifferingKey{key(1, "a", ClassExtra), key(1, "b", ClassMissing)}, true, last(true, all, key(1, "b", ClassMismatch), key(2, "a", ClassMissing)),
			[]Transition{{ClassExact, ClassExtra, 1}, {ClassMismatch, ClassMissing, 1}, {ClassMissing, ClassExact, 1}}},
		{"a window that was not compared then", []DifferingKey{key(1, "a", ClassExtra)}, true, last(true, []Range{span(2, 10)}), []Transition{{classUnknown, ClassExtra, 1}}},
		{"not all were kept then", []DifferingKey{key(1, "a", ClassExtra)}, true, last(false, all), []Transition{{classUnknown, ClassExtra, 1}}},
		{"not all are kept now", nil, false, last(true, all, key(1, "a", ClassExtra)), []Transition{{ClassExtra, classUnknown, 1}}},
		{"a window that is not compared now", nil, true, last(true, []Range{span(0, 20)}, key(15, "a", ClassExtra)), []Transition{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, transitions(tt.keys, tt.complete, all, tt.last)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Keys of a run of another spec may be other columns, or hashes of them.
func TestTransitionsFromAnotherSpec(t *testing.T) {
	settled, err := jsonOf([]Range{span(0, 10)})
	if err != nil {
		t.Fatal(err)
	}
	for hash, want := range map[string][]Transition{"a": {{ClassExact, ClassExtra, 1}, {ClassMissing, ClassExact, 1}}, "b": {{classUnknown, ClassExtra, 1}}} {
		r := &Result{SpecHash: "a", Counts: Counts{Total: 1, Extra: 1}, Scope: Scope{Settled: []Range{span(0, 10)}}, DifferingKeys: []DifferingKey{{Window: hours(1), Key: `["a","b"]`, Class: ClassExtra}}}
		p := past{of: "then", keys: []DifferingKey{{Window: hours(1), Key: `["a"]`, Class: ClassMissing}},
			runs: []tables.CompareRun{{SpecHash: hash, RunID: stringCell("then"), Settled: stringCell(settled), Keys: 1, Missing: 1}}}
		if err := r.compareWithPast(p, hourly, "now"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, r.Transitions); diff != "" || r.Last == nil {
			t.Errorf("from spec %s (-want +got):\n%s", hash, diff)
		}
	}
}

func TestPasses(t *testing.T) {
	for want, verdicts := range [][]string{0: {Go, Hold}, 1: {Go, NoData, Go}, 2: {Hold, Go, "", Go, ""}, 3: {Go, Go, Go}} {
		var trend []TrendPoint
		for _, v := range verdicts {
			trend = append(trend, TrendPoint{Verdict: v})
		}
		if got := passes(trend); got != want {
			t.Errorf("%v: %d passes, want %d", verdicts, got, want)
		}
	}
}
