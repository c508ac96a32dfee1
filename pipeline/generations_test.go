package pipeline

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/internal/worker"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// An event that is published before and after a drain counts once, also when
// the second generation reshards, has another horizon, hence other slices, and
// hands over what it inherited to a third. (P3)
func TestDuplicateAcrossDrains(t *testing.T) {
	p := newPlatform(t, 4)
	m := newMemory()
	fs := flights(3, 1200, 30*time.Hour, 8)
	parts := [][]flight{fs[:400], fs[400:800], fs[800:]}
	var predecessors []string
	var all []flight
	for gen := range 3 {
		jobs := []int{1, 2, 1}[gen]
		s := spec(t, func(s *jobspecs.StreamJobSpec) {
			s.Jobs, s.Sources.Count = jobs, 4
			s.Horizon = jobspecs.Duration([]time.Duration{96 * time.Hour, 40 * time.Hour, 48 * time.Hour}[gen])
		})
		again := slices.Concat(parts[:gen]...) // everything that came before comes again
		send := append(slices.Clone(parts[gen]), again...)
		all = append(all, send...)
		before := m.count("raw_flights")
		var runs []*run
		var writers []string
		for j := range jobs {
			runs = append(runs, p.start(s, fmt.Sprintf("flights-%d", j), int64(gen+1), m, predecessors...))
			writers = append(writers, fmt.Sprintf("flights-%d@%d", j, gen+1))
		}
		p.publishFlights(4, send)
		runs[0].until("everything is read", func() bool { return m.count("raw_flights") == before+len(send) })
		var duplicates int64
		for _, r := range runs {
			r.drained()
			duplicates += r.last().Counters[worker.CounterDuplicates]
		}
		predecessors = append(predecessors, writers...)
		if duplicates != int64(len(again)) {
			t.Errorf("generation %d dropped %d duplicates, want %d", gen+1, duplicates, len(again))
		}
		m.same(t, s.Spec.Aggregations[0], truth(all))
	}
}

// What a void generation has counted does not count, so its ids are not known
// to the next one, whether it left them or not. (P5)
func TestVoidLeavesNoIDs(t *testing.T) {
	p := newPlatform(t, 2)
	m := newMemory()
	s := spec(t, nil)
	fs := flights(4, 400, 30*time.Hour, 8)
	p.publishFlights(2, fs)
	r := p.start(s, "flights-0", 1, m)
	r.until("everything is read", func() bool { return m.count("raw_flights") == len(fs) })
	r.drained() // and is void, say because somebody says so
	if len(m.kept) == 0 {
		t.Fatal("a drained job left no ids")
	}
	p.publishFlights(2, fs)
	r = p.start(s, "flights-0", 2, m)
	r.until("everything is read again", func() bool { return m.count("raw_flights") == 2*len(fs) })
	r.drained()
	if diff := cmp.Diff(truth(fs), m.read(t, s.Spec.Aggregations[0], "flights-0@1")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A job that has forgotten a slice of ids, because its watermark has passed it,
// still leaves it to the next generation, which knows no watermark yet and
// would count what comes again.
func TestForgottenIDsAreLeft(t *testing.T) {
	p := newPlatform(t, 1)
	m := newMemory()
	s := spec(t, func(s *jobspecs.StreamJobSpec) { s.Sources.Count, s.Horizon = 1, jobspecs.Duration(2*time.Hour) })
	start := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	old := flight{id: 1, origin: "A00", scheduled: start, arrival: start}
	r := p.start(s, "flights-0", 1, m)
	p.publishFlights(1, []flight{old})
	r.until("it is read", func() bool { return m.count("raw_flights") == 1 })
	p.publishFlights(1, []flight{{id: 2, origin: "A00", scheduled: start.Add(9 * time.Hour), arrival: start.Add(9 * time.Hour)}})
	r.until("its ids are forgotten", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.kept) == 1 })
	r.drained()

	r = p.start(s, "flights-0", 2, m, "flights-0@1")
	p.publishFlights(1, []flight{old})
	r.until("it is read again", func() bool { return m.count("raw_flights") == 3 })
	r.drained()
	if got := r.last().Counters[worker.CounterDuplicates]; got != 1 {
		t.Errorf("%d duplicates dropped, want 1", got)
	}
	if got := m.count("late_flights"); got != 0 {
		t.Errorf("%d rows in the late table: the new generation knew a watermark, and the test shows nothing", got)
	}
}

// Events of windows that a backfill has replaced go to the late table, even
// while the generation knows no watermark. (P4)
func TestReplacedWindowsAreClosed(t *testing.T) {
	p := newPlatform(t, 2)
	m := newMemory()
	s := spec(t, nil)
	fs := flights(5, 600, 20*time.Hour, 8)
	start := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	replaced := tables.Span{From: start.Add(3 * time.Hour), To: start.Add(6 * time.Hour)}
	var kept []flight
	for _, f := range fs {
		if !replaced.Contains(f.scheduled) {
			kept = append(kept, f)
		}
	}
	p.replaced = []tables.Span{replaced}
	p.publishFlights(2, fs)
	r := p.start(s, "flights-0", 1, m)
	r.until("everything is read", func() bool { return m.count("raw_flights") == len(fs) })
	r.drained()
	m.same(t, s.Spec.Aggregations[0], truth(kept))
	if got, want := len(m.column("late_flights", "event_id")), len(fs)-len(kept); got != want || got == 0 {
		t.Errorf("%d events in the late table, want %d", got, want)
	}
}

// The ids in Bigtable: written twice, in chunks, read by whoever overlaps.
func TestBigtableIDs(t *testing.T) {
	table := openTable(t, tables.IDFamily)
	store := bigtableIDs{table: table}
	day := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	slice := tables.IDSlice{Subscription: "flights-1", Shard: 3, Shards: 8, Start: day.Add(6 * time.Hour), Size: 6 * time.Hour}
	many := bytes.Repeat([]byte("0123456789abcdef"), idCell/16+5)
	one, two := tables.Writer{Job: "flights-0", Generation: 1}, tables.Writer{Job: "flights-1", Generation: 2}
	other := slice
	other.Shard++
	for range 2 {
		for _, w := range []struct {
			s   tables.IDSlice
			w   tables.Writer
			ids []byte
		}{{slice, one, many}, {slice, two, many[:32]}, {other, one, many[:16]}} {
			if err := store.Write(t.Context(), w.s, w.w, w.ids); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		start, size time.Duration
		want        map[tables.Writer]int
	}{
		{6 * time.Hour, 6 * time.Hour, map[tables.Writer]int{one: len(many), two: 32}},
		{0, 24 * time.Hour, map[tables.Writer]int{one: len(many), two: 32}},
		{11 * time.Hour, time.Hour, map[tables.Writer]int{one: len(many), two: 32}},
		{12 * time.Hour, time.Hour, map[tables.Writer]int{}},
		{0, 6 * time.Hour, map[tables.Writer]int{}},
	} {
		s := slice
		s.Start, s.Size = day.Add(c.start), c.size
		got := map[tables.Writer]int{}
		if err := store.Read(t.Context(), s, func(w tables.Writer, ids []byte) { got[w] += len(ids) }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", s.RowKey(), diff)
		}
	}
}
