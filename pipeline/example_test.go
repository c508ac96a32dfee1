package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	weekfile "github.com/kappa-migrate/kappa/examples/flights"
	weekly "github.com/kappa-migrate/kappa/internal/demo/flights"
	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/worker"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// The example of rollups over real flights, some of them sent twice, through a
// redeploy: each set's numbers are those of a plain computation. (P2)
func TestRollupsExample(t *testing.T) {
	set, err := jobspecs.Load([]string{"../jobspecs/examples/rollups"}, jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	s := set.StreamJobs[0]
	s.Spec.Jobs, s.Spec.Sources.SubscriptionPrefix, s.Spec.Sources.Count = 1, "flights-", 2 // those of the test's platform
	a := s.Spec.Aggregations[0]
	week, err := weekly.ReadBytes(weekfile.WeekName, weekfile.Week)
	if err != nil {
		t.Fatal(err)
	}
	const n = 8000
	week = week[:n]
	slices.SortStableFunc(week, func(a, b weekly.Flight) int { return a.ArrivesAt().Compare(b.ArrivesAt()) })

	p, m := newPlatform(t, 2), newMemory()
	sent := 0
	send := func(r *run, from, to int) {
		by := make([][]*pubsubpb.PubsubMessage, 2)
		for i := from; i < to; i++ {
			f := week[i]
			data, _ := json.Marshal(map[string]any{"origin": f.Origin, "destination": f.Destination, "delay": f.Delay, "distance": f.Distance})
			by[i%2] = append(by[i%2], &pubsubpb.PubsubMessage{Data: data, Attributes: map[string]string{
				envelope.AttrID: flight{id: i}.eventID(), envelope.AttrEventTime: envelope.FormatTime(f.ScheduledAt()),
				envelope.AttrSourceTime: envelope.FormatTime(f.ArrivesAt()), envelope.AttrPosition: fmt.Sprintf("c/flights/%d/%d", i%2, i)}})
		}
		for topic, ms := range by {
			p.publish(topic, ms...)
		}
		sent += to - from
		r.until("read", func() bool { return m.count("raw_routes") >= sent })
	}
	r := p.start(s, "routes-0", 1, m)
	for i := 0; i < n/2; i += 1000 {
		send(r, i, i+1000)
	}
	r.drained()
	r = p.start(s, "routes-0", 2, m, "routes-0@1")
	send(r, n/2-300, n) // the first of them once more
	r.drained()
	if c := r.last().Counters; c[worker.CounterDuplicates] != 300 || c[worker.CounterUndeduplicated] != 0 || c[worker.CounterLate] != 0 {
		t.Errorf("counters %v", c)
	}
	m.same(t, a, routes(week))
}

// routes computes the example's aggregates in the plainest way.
func routes(week []weekly.Flight) totals {
	merged := map[string][]partial{}
	for _, f := range week {
		if f.Distance < 100 || f.Origin == f.Destination {
			continue
		}
		hour := formatMicros(f.Scheduled - f.Scheduled%3600e6)
		for _, key := range []string{"[origin,destination] " + f.Origin + " " + f.Destination, "[origin] " + f.Origin, "[destination] " + f.Destination, "[]"} {
			key = strings.Join([]string{key, hour}, " ")
			if merged[key] == nil {
				merged[key] = []partial{{true, 0}, {true, 0}, {true, 0}, {true, int64(f.Delay)}, {}}
			}
			m := merged[key]
			m[0].value++
			if f.Delay > 15 {
				m[1].value++
			}
			m[2].value += int64(max(f.Delay, 0))
			m[3].value = max(m[3].value, int64(f.Delay))
			if f.Delay <= 0 {
				m[4] = partial{true, max(m[4].value, int64(f.Distance))}
			}
		}
	}
	return text(merged)
}
