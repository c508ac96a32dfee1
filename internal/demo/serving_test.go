package demo

import "testing"

func TestDiffering(t *testing.T) {
	a := map[servedKey]served{{"ATL", 1}: {Origin: "ATL", Flights: 1}, {"ATL", 2}: {Origin: "ATL", Flights: 2}, {"LAS", 1}: {Origin: "LAS"}}
	b := map[servedKey]served{{"ATL", 1}: {Origin: "ATL", Flights: 1}, {"ATL", 2}: {Origin: "ATL", Flights: 3}, {"SFO", 1}: {Origin: "SFO"}}
	if got := differing(a, b); got != 3 {
		t.Errorf("%d differ, want 3: another value, and one missing on each side", got)
	}
	if got := differing(a, a); got != 0 {
		t.Errorf("%d differ from themselves", got)
	}
}
