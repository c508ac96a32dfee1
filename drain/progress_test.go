package drain

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRate(t *testing.T) {
	type step struct {
		wall time.Duration
		at   Watermark
	}
	event := func(d time.Duration) Watermark { return At(monday.Add(d)) }
	for _, c := range []struct {
		name   string
		steps  []step
		target time.Duration
		rate   float64
		known  bool
		eta    time.Duration
		etaOK  bool
	}{
		{name: "nothing yet"},
		{name: "one sample", steps: []step{{0, event(0)}}, target: time.Hour},
		{name: "half an hour a second", steps: []step{{0, event(0)}, {10 * time.Second, event(5 * time.Hour)}}, target: 6 * time.Hour, rate: 1800, known: true, eta: 2 * time.Second, etaOK: true},
		{name: "unknown and maximum have no place", steps: []step{{0, event(0)}, {time.Second, Watermark{}}, {2 * time.Second, Maximum()}, {10 * time.Second, event(10 * time.Second)}}, target: time.Minute, rate: 1, known: true, eta: 50 * time.Second, etaOK: true},
		{name: "stands still", steps: []step{{0, event(0)}, {10 * time.Second, event(0)}}, target: time.Hour, rate: 0, known: true},
		{name: "goes back", steps: []step{{0, event(time.Hour)}, {10 * time.Second, event(0)}}, target: time.Hour, rate: -360, known: true},
		{name: "is there", steps: []step{{0, event(0)}, {time.Second, event(time.Hour)}}, target: time.Hour, rate: 3600, known: true, etaOK: true},
		{name: "too slow to say", steps: []step{{0, event(0)}, {time.Second, event(time.Microsecond)}}, target: 24 * time.Hour, rate: 1e-6, known: true},
		{name: "two readings at once", steps: []step{{0, event(0)}, {0, event(time.Hour)}}, target: time.Hour},
		{name: "old samples are forgotten", steps: []step{{0, event(0)}, {10 * time.Minute, event(10 * time.Hour)}, {11 * time.Minute, event(10*time.Hour + time.Minute)}}, target: 11 * time.Hour, rate: 1, known: true, eta: 59 * time.Minute, etaOK: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r Rate
			for _, s := range c.steps {
				r.Add(monday.Add(s.wall), s.at)
			}
			if got, ok := r.PerSecond(); ok != c.known || math.Abs(got-c.rate) > 1e-9 {
				t.Errorf("rate %v, %v; want %v, %v", got, ok, c.rate, c.known)
			}
			if got, ok := r.ETA(monday.Add(c.target)); ok != c.etaOK || (got-c.eta).Abs() > time.Millisecond {
				t.Errorf("eta %v, %v; want %v, %v", got, ok, c.eta, c.etaOK)
			}
			if _, ok := r.ETA(time.Time{}); ok {
				t.Error("an eta without a target")
			}
		})
	}
}

// A watermark that moves evenly arrives when the estimate says.
func TestRateIsRight(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		speed := rapid.Float64Range(0.1, 5000).Draw(rt, "speed")
		every := time.Duration(rapid.Int64Range(1e6, 3e10).Draw(rt, "every"))
		var r Rate
		var now, wm time.Duration
		for range rapid.IntRange(2, 600).Draw(rt, "samples") {
			now += every
			wm = time.Duration(float64(now) * speed)
			r.Add(monday.Add(now), At(monday.Add(wm)))
		}
		left := time.Duration(rapid.Int64Range(1e9, 1e13).Draw(rt, "left"))
		eta, ok := r.ETA(monday.Add(wm + left))
		if want := float64(left) / speed; !ok || math.Abs(float64(eta)-want) > 1e-3*want+1e3 {
			rt.Fatalf("eta %v (%v), want %v", eta, ok, time.Duration(want))
		}
		if len(r.samples) > rateSamples {
			rt.Fatalf("%d samples kept", len(r.samples))
		}
	})
}

// The estimate is of what the pipeline still has to do; while sources move, or
// where nothing is known, there is none.
func TestTracker(t *testing.T) {
	reading := func(wall time.Duration, source, pipeline Watermark) Reading {
		return Reading{At: monday.Add(wall), Sources: []Source{{Subscription: subs + "flights-1", Watermark: source}}, Pipeline: pipeline}
	}
	event := func(d time.Duration) Watermark { return At(monday.Add(d)) }
	var tr tracker
	for i, c := range []struct {
		r    Reading
		rate float64 // -1: none
		eta  time.Duration
	}{
		{reading(0, Watermark{}, Watermark{}), -1, 0},
		{reading(10*time.Second, event(0), event(0)), -1, 0},
		{reading(20*time.Second, event(10*time.Hour), event(time.Hour)), 3600, 0},
		{reading(30*time.Second, Maximum(), event(2*time.Hour)), -1, 8 * 10 * time.Second},
		{reading(40*time.Second, Maximum(), event(6*time.Hour)), -1, 20 * time.Second},
		{reading(50*time.Second, Maximum(), Maximum()), -1, 0},
	} {
		sources, eta := tr.add(c.r)
		if (eta - c.eta).Abs() > time.Millisecond {
			t.Errorf("reading %d: eta %v, want %v", i, eta, c.eta)
		}
		switch got := sources[0].PerSecond; {
		case got == nil && c.rate >= 0, got != nil && *got != c.rate:
			t.Errorf("reading %d: rate %v, want %v", i, got, c.rate)
		}
	}
}
