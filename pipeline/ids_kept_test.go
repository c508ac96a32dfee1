package pipeline

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/internal/worker"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// The ids of a slice that came in so many bundles that they were rewritten as
// one entry are all still known. (P3)
func TestCompactedIDsAreKnown(t *testing.T) {
	p := newPlatform(t, 1)
	m := newMemory()
	s := spec(t, func(s *jobspecs.StreamJobSpec) { s.Sources.Count = 1 })
	at := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	var fs []flight // all of one shard and slice, hence of one key of the state
	for id := 0; len(fs) < mostEntries+6; id++ {
		f := flight{id: id, origin: "A00", scheduled: at, arrival: at, delay: 1, distance: 1}
		if shardOf(idBytes(f.eventID()), localShards) == 0 {
			fs = append(fs, f)
		}
	}
	r := p.start(s, "flights-0", 1, m)
	for i := range fs { // each in a bundle of its own
		p.publishFlights(1, fs[i:i+1])
		r.until("it is read", func() bool { return m.count("raw_flights") == i+1 })
	}
	p.publishFlights(1, fs)
	r.until("all are read again", func() bool { return m.count("raw_flights") == 2*len(fs) })
	r.drained()
	if got := r.last().Counters[worker.CounterDuplicates]; got != int64(len(fs)) {
		t.Errorf("%d duplicates dropped, want %d", got, len(fs))
	}
	m.same(t, s.Spec.Aggregations[0], truth(fs))
}

// A generation knows what its predecessors have left and what it has left
// itself, and nothing else. (P3, P5)
func TestInherit(t *testing.T) {
	plan, err := NewPlan(spec(t, nil), "flights-0", 3)
	if err != nil {
		t.Fatal(err)
	}
	plan.Predecessors = []string{"flights-0@2", "flights-1@1"}
	m := newMemory()
	slice := tables.IDSlice{Subscription: "flights-0", Shards: plan.Shards, Start: time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC), Size: plan.Slice}
	for i, w := range []tables.Writer{
		{Job: "flights-0", Generation: 3}, {Job: "flights-0", Generation: 2}, {Job: "flights-1", Generation: 1},
		{Job: "flights-0", Generation: 1}, {Job: "flights-1", Generation: 3}, {Job: "flights-0", Generation: 33},
	} {
		if err := m.Write(t.Context(), slice, w, bytes.Repeat([]byte{byte('a' + i)}, 16)); err != nil {
			t.Fatal(err)
		}
	}
	rt := &runtime{log: slog.New(slog.DiscardHandler), ids: m}
	ids, err := rt.inherit(t.Context(), plan, slice)
	if err != nil {
		t.Fatal(err)
	}
	known := map[byte]int{}
	for _, b := range ids {
		known[b]++
	}
	if diff := cmp.Diff(map[byte]int{'a': 16, 'b': 16, 'c': 16}, known); diff != "" {
		t.Errorf("bytes of ids that are known (-want +got)\n%s", diff)
	}
}
