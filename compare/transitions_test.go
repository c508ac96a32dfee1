package compare

import (
	"testing"

	"github.com/google/go-cmp/cmp"
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
