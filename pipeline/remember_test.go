package pipeline

import (
	"fmt"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/worker"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Ids that are remembered for less than the horizon: within that a duplicate is
// dropped, also across a redeploy; later an event is counted, whether it came
// before or not, and that is counted too. No event is late for it. (P3)
func TestShorterDeduplication(t *testing.T) {
	p, m := newPlatform(t, 1), newMemory()
	remember := 2 * time.Hour
	s := spec(t, func(s *jobspecs.StreamJobSpec) {
		s.Sources.Count, s.Horizon, s.Deduplication.Horizon = 1, jobspecs.Duration(24*time.Hour), jobspecs.Duration(remember)
	})
	start := time.Date(2001, 1, 8, 0, 5, 0, 0, time.UTC)
	event := func(id int, at, arrival time.Duration) flight {
		return flight{id: id, origin: "A00", scheduled: start.Add(at), arrival: start.Add(arrival), delay: 1, distance: 1}
	}
	var counted []flight // with an id of its own each
	r := p.start(s, "flights-0", 1, m)
	sent := 0
	send := func(f flight, counts bool) {
		t.Helper()
		p.publishFlights(1, []flight{f})
		if sent++; counts {
			f.id = 1000 + sent
			counted = append(counted, f)
		}
		r.until("read", func() bool { return m.count("raw_flights") == sent })
	}
	clock := func(id int, at time.Duration) {
		t.Helper()
		send(event(id, at, at), true)
		r.watermarkAtLeast(start.Add(at))
	}
	expect := func(duplicates, undeduplicated int64) {
		t.Helper()
		c := r.last().Counters
		if c[worker.CounterDuplicates] != duplicates || c[worker.CounterUndeduplicated] != undeduplicated || c[worker.CounterLate] != 0 {
			t.Errorf("counters %v, want %d duplicates and %d undeduplicated", c, duplicates, undeduplicated)
		}
	}
	first := event(1, 0, 0)
	send(first, true)
	clock(2, remember)
	send(first, false) // the watermark is at its time plus what is remembered: not beyond
	clock(3, remember+time.Minute)
	send(first, true)                 // no longer known
	send(event(4, 0, remember), true) // late, and new
	send(event(4, 0, remember), true) // and not known afterwards
	clock(5, 10*time.Hour)
	send(event(2, remember, remember), true) // forgotten, and left for the next generation
	r.drained()
	expect(1, 4)

	r = p.start(s, "flights-0", 2, m, "flights-0@1")
	send(first, false)                // no watermark is known yet, and its id was left
	send(event(4, 0, remember), true) // its id was never kept
	send(event(5, 10*time.Hour, 10*time.Hour), false)
	clock(6, 13*time.Hour)
	send(event(4, 0, remember), true)
	send(event(6, 13*time.Hour, 13*time.Hour), false)
	r.drained()
	expect(3, 1)
	m.same(t, s.Spec.Aggregations[0], truth(counted))
}

// The slices of ids follow from how long they are remembered, which is the
// horizon if nothing is said.
func TestRememberedFor(t *testing.T) {
	for _, c := range []struct{ horizon, remember, want, slice time.Duration }{
		{96 * time.Hour, 0, 96 * time.Hour, 6 * time.Hour},
		{96 * time.Hour, 96 * time.Hour, 96 * time.Hour, 6 * time.Hour},
		{96 * time.Hour, 16 * time.Hour, 16 * time.Hour, time.Hour},
		{96 * time.Hour, time.Minute, time.Minute, time.Minute},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			p, err := NewPlan(spec(t, func(s *jobspecs.StreamJobSpec) {
				s.Horizon, s.Deduplication.Horizon = jobspecs.Duration(c.horizon), jobspecs.Duration(c.remember)
			}), "flights-0", 1)
			if err != nil || p.Remember != c.want || p.Slice != c.slice || p.Horizon != c.horizon {
				t.Errorf("remembered for %s in slices of %s, horizon %s, %v", p.Remember, p.Slice, p.Horizon, err)
			}
		})
	}
}
