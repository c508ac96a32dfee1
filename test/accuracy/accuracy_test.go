package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/demo/flights"
)

var monday = time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)

func TestCount(t *testing.T) {
	all := []delivery{
		{event: "a", message: "1", position: "p1", delay: 1, distance: 10},
		{event: "a", message: "2", position: "p1", delay: 1, distance: 10}, // published twice
		{event: "a", message: "3", position: "p2", delay: 1, distance: 10}, // sent twice
		{event: "b", message: "4", position: "p3", delay: 5, distance: 50},
	}
	seen := func(delivery) bool { return true }
	for by, want := range map[int]values{byEvent: {true, 2, 6, 60}, byRecord: {true, 3, 7, 70}, byDelivery: {true, 4, 8, 80}} {
		if got := count(all, seen, by); got != want {
			t.Errorf("by %d: %+v, want %+v", by, got, want)
		}
	}
	if got := count(all, func(delivery) bool { return false }, byEvent); got.present {
		t.Errorf("nothing seen is %+v", got)
	}
}

func TestExplanations(t *testing.T) {
	at := monday.Add(3 * time.Hour)
	in, after := at.Add(-time.Minute), at.Add(time.Minute)
	one := func(fate string, arrived time.Time) []delivery {
		return []delivery{{event: "a", message: "1", position: "p1", arrived: in, fate: counted, delay: 1, distance: 10},
			{event: "b", message: "2", position: "p2", arrived: arrived, fate: fate, delay: 5, distance: 50}}
	}
	small, large := values{true, 1, 1, 10}, values{true, 2, 6, 60}
	tests := []struct {
		name          string
		deliveries    []delivery
		batch, stream values
		want          []string
	}{
		{"both right", one(counted, in), large, large, []string{""}},
		{"late in the batch", one(counted, after), small, large, []string{"late_dropped_by_batch"}},
		{"late in the stream", one(tooLate, in), large, small, []string{"late_dropped_by_stream"}},
		{"dead letter", one(undelivered, in), large, small, []string{"dropped_by_bridge"}},
		{"cut", one(lost, in), large, small, []string{"window_cut_by_drain"}},
		{"evidence at the cut-off", one(counted, at), small, large, nil},
		{"one unit off", one(counted, after), values{true, 1, 2, 10}, large, nil},
		{"a row that is not there", one(counted, in), values{}, large, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &world{deliveries: tt.deliveries, cutoff: at, batch: tt.batch, stream: tt.stream}
			var got []string
			for _, e := range w.explanations(metrics{sums: true}) {
				got = append(got, name(e))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("explanations (-want +got):\n%s", diff)
			}
		})
	}
}

// TestInjectedWorlds: the fate of a world is among its explanations, or a part of it
// is, for some of what was done may make no difference; a near miss has none.
func TestInjectedWorlds(t *testing.T) {
	in := &injector{rand: rand.New(rand.NewPCG(1, 2))}
	fs := []flights.Flight{{Delay: 3, Distance: 100}, {Delay: -2, Distance: 250}, {Delay: 40, Distance: 31}}
	made := map[string]int{}
	for range 20_000 {
		f := draw(in.rand)
		w, ok := in.make(place{"ORD", monday}, []string{"a", "b", "c"}, fs, f)
		if !ok {
			continue
		}
		made[f.miss]++
		sets := w.explanations(metrics{sums: true})
		if f.miss != "" {
			if len(sets) != 0 {
				t.Fatalf("%s: %v fits", f, sets)
			}
			continue
		}
		if !slices.ContainsFunc(sets, func(s []flaw) bool { return contains(f.flaws, s) }) {
			t.Fatalf("%s: none of %v is of it", f, sets)
		}
	}
	for _, m := range append(misses, "") {
		if made[m] < 100 {
			t.Errorf("%d worlds with the miss %q", made[m], m)
		}
	}
}

// TestGrade: what is wrong is seen.
func TestGrade(t *testing.T) {
	at := monday.Add(3 * time.Hour)
	p := place{"ORD", monday}
	late := &world{deliveries: []delivery{{event: "a", message: "1", position: "p", arrived: at.Add(time.Minute), fate: counted, delay: 1, distance: 1}}, cutoff: at, stream: values{true, 1, 1, 1}}
	miss := &world{deliveries: late.deliveries, cutoff: at, stream: values{true, 2, 1, 1}}
	tests := []struct {
		name        string
		world       *world
		found       map[place]attribution
		falseProven int
		missed      int
		madeUp      int
		right       bool
	}{
		{"right", late, map[place]attribution{p: {"late_dropped_by_batch", proven}}, 0, 0, 0, true},
		{"missed", late, map[place]attribution{p: {"unexplained", unexplained}}, 0, 1, 0, false},
		{"only likely", late, map[place]attribution{p: {"late_dropped_by_batch or duplicates_in_batch", likely}}, 0, 1, 1, false},
		{"another one proven", late, map[place]attribution{p: {"duplicates_in_stream", proven}}, 1, 1, 0, false},
		{"a near miss proven", miss, map[place]attribution{p: {"late_dropped_by_batch", proven}}, 1, 0, 1, false},
		{"a near miss unexplained", miss, map[place]attribution{p: {"unexplained", unexplained}}, 0, 0, 0, true},
		{"a difference that is not seen", late, map[place]attribution{}, 0, 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := grade("x", metrics{sums: true}, &keyed{places: []place{p}, worlds: map[place]*world{p: tt.world}, fates: map[place]fate{p: {}}}, tt.found)
			i := slices.IndexFunc(g.Causes, func(c causeGrade) bool { return c.Cause == string(lateBatch) })
			c := g.Causes[i]
			if g.FalseProven != tt.falseProven || c.Missed != tt.missed || c.MadeUp != tt.madeUp || (len(g.Wrong) == 0) != tt.right {
				t.Errorf("false proven %d, missed %d, made up %d, wrong %q", g.FalseProven, c.Missed, c.MadeUp, g.Wrong)
			}
			if g.OK {
				t.Error("it is called good, though most causes have no key")
			}
		})
	}
}
