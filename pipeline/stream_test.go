package pipeline

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/googleapi"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/worker"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// watermarkAtLeast waits until the watermarks of all sources have reached a time.
func (r *run) watermarkAtLeast(want time.Time) {
	r.t.Helper()
	r.until("watermark "+want.String(), func() bool {
		rep := r.last()
		for _, s := range rep.Sources {
			if s.Watermark.Before(want) {
				return false
			}
		}
		return len(rep.Sources) > 0
	})
}

// Flights that come late and twice, over two subscriptions, in several bundles,
// with sinks that write and then fail now and then: every flight counts once,
// and every delivery is in the raw table. (P1, P2)
func TestStreamEqualsTruth(t *testing.T) {
	p := newPlatform(t, 2)
	s := spec(t, nil)
	fs := flights(7, 3000, 24*time.Hour, 12)
	var early, held []flight // a fifth comes when its window has long been written
	for i, f := range fs {
		if i%5 == 0 {
			held = append(held, f)
		} else {
			early = append(early, f)
		}
		if i%40 == 0 { // sent twice: at once, or far later
			early = append(early, f)
		}
	}
	for i := range 12 { // moves the watermarks of both subscriptions past all windows
		at := fs[0].scheduled.Truncate(time.Hour).Add(48 * time.Hour)
		early = append(early, flight{id: 100_000 + i, origin: fmt.Sprintf("A%02d", i%2), partition: i / 2, scheduled: at, arrival: at})
	}
	m := newMemory()
	m.flaky = 60 // every sixtieth write is done, and then reported as failed
	r := p.start(s, "flights-0", 3, m)
	sent := 0
	send := func(fs []flight, size int) {
		for i := 0; i < len(fs); i += size {
			part := fs[i:min(i+size, len(fs))]
			p.publishFlights(2, part)
			sent += len(part)
			r.until("part is read", func() bool { return m.count("raw_flights") >= sent })
		}
	}
	send(early, 300)
	windows := len(truth(early)) - 2 // those of the last flights are open
	r.until("all windows are written", func() bool { return len(m.panes(s.Spec.Aggregations[0])) >= windows })
	send(held, 60)
	r.drained()

	fs = append(early, held...)
	a := s.Spec.Aggregations[0]
	m.same(t, a, truth(fs))
	if got := len(m.column("raw_flights", "message_id")); got != len(fs) {
		t.Errorf("%d deliveries in the raw table, want %d", got, len(fs))
	}
	distinct := map[int]bool{}
	for _, f := range fs {
		distinct[f.id] = true
	}
	rep := r.last()
	want := map[string]int64{worker.CounterMessages: int64(len(fs)), worker.CounterEvents: int64(len(fs)),
		worker.CounterDuplicates: int64(len(fs) - len(distinct)), worker.CounterLate: 0, worker.CounterBad: 0, worker.CounterUndeduplicated: 0, worker.CounterPanes: rep.Counters[worker.CounterPanes]}
	if diff := cmp.Diff(want, rep.Counters); diff != "" {
		t.Errorf("counters (-want +got)\n%s", diff)
	}
	if !rep.Drained || len(rep.Sources) != 2 || !rep.Sources[0].AtMaximum || rep.Sources[0].Held != 0 {
		t.Errorf("last report: %+v", rep)
	}
	late := 0
	for key, panes := range m.panes(a) {
		seen := map[string]bool{}
		for _, pane := range panes {
			seen[pane] = true
		}
		for i := range len(seen) { // indices from 0 on, none twice
			if !seen[fmt.Sprintf("%d on_time", i)] && !seen[fmt.Sprintf("%d late", i)] {
				t.Errorf("%s has panes %v", key, panes)
			}
		}
		if len(seen) > 1 {
			late++
		}
	}
	if late < 50 {
		t.Errorf("only %d windows have late panes: the test shows nothing about them", late)
	}
}

// A duplicate that comes long after its window has ended, but within the
// horizon, is not counted again; nor is a late event counted twice. (The state
// of a stateful function in fixed windows is gone by then on Prism.)
func TestDuplicateAfterWindowEnd(t *testing.T) {
	p := newPlatform(t, 2)
	s := spec(t, nil)
	start := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	first := []flight{{id: 1, origin: "A00", scheduled: start.Add(5 * time.Minute), arrival: start.Add(6 * time.Minute), delay: 1, distance: 10},
		{id: 2, origin: "A01", scheduled: start.Add(5 * time.Minute), arrival: start.Add(6 * time.Minute), delay: 1, distance: 10}}
	later := func(h int) []flight { // move both watermarks on
		at := start.Add(time.Duration(h) * time.Hour)
		return []flight{{id: 100 + 2*h, origin: "A00", scheduled: at, arrival: at}, {id: 101 + 2*h, origin: "A01", scheduled: at, arrival: at}}
	}
	m := newMemory()
	r := p.start(s, "flights-0", 1, m)
	var all []flight
	send := func(fs ...flight) {
		all = append(all, fs...)
		p.publishFlights(2, fs)
		r.until("read", func() bool { return m.count("raw_flights") >= len(all) })
	}
	send(first...)
	for h := 5; h <= 80; h += 25 {
		send(later(h)...)
		r.watermarkAtLeast(start.Add(time.Duration(h) * time.Hour))
		r.until("the first window's pane", func() bool { return m.count("stream_flights") >= 2 })
		send(first...)
	}
	late := flight{id: 3, origin: "A00", scheduled: start.Add(7 * time.Minute), arrival: start.Add(80 * time.Hour), delay: 4800, distance: 1}
	send(late)
	send(late)
	r.drained()
	m.same(t, s.Spec.Aggregations[0], truth(all))
	if got := r.last().Counters[worker.CounterDuplicates]; got != 9 {
		t.Errorf("%d duplicates dropped, want 9", got)
	}
}

// Events behind the watermark by more than the horizon are in the late table,
// counted, and in no aggregate; all others are in the aggregates. (P4)
func TestTooLateIsNotLost(t *testing.T) {
	const horizon = 6 * time.Hour
	p := newPlatform(t, 1)
	s := spec(t, func(s *jobspecs.StreamJobSpec) { s.Horizon, s.Sources.Count = jobspecs.Duration(horizon), 1 })
	fs := flights(3, 600, 48*time.Hour, 3)
	m := newMemory()
	r := p.start(s, "flights-0", 1, m)
	var counted []flight
	var late []string
	end := fs[len(fs)-1].arrival
	p.publishFlights(1, fs)
	counted = append(counted, fs...)
	r.until("read", func() bool { return m.count("raw_flights") == len(fs) })
	mark := end // the least of the partitions' greatest
	greatest := map[int]time.Time{}
	for _, f := range fs {
		greatest[f.partition] = f.arrival // in order of arrival
	}
	for _, at := range greatest {
		if at.Before(mark) {
			mark = at
		}
	}
	r.watermarkAtLeast(mark)
	r.until("all windows that have ended", func() bool { return r.last().Counters[worker.CounterPanes] > 0 })
	var after []flight
	for i := range 200 { // from a day behind the watermark to right at it
		f := flight{id: 10_000 + i, origin: "A00", scheduled: mark.Add(-time.Duration(i) * 7 * time.Minute).Truncate(time.Millisecond), arrival: end, delay: 1, distance: 1}
		after = append(after, f)
		if f.scheduled.Add(horizon).Before(mark) {
			late = append(late, f.eventID())
		} else {
			counted = append(counted, f)
		}
	}
	p.publishFlights(1, after)
	r.until("read", func() bool { return m.count("raw_flights") == len(fs)+len(after) })
	r.drained()

	if len(late) < 50 || len(late) > 150 {
		t.Fatalf("%d of 200 are late: the test shows nothing", len(late))
	}
	if diff := cmp.Diff(late, m.column("late_flights", "event_id")); diff != "" {
		t.Errorf("late table (-want +got)\n%s", shorten(diff))
	}
	if diff := cmp.Diff([]string{formatMicros(mark.UnixMicro())}, m.column("late_flights", "watermark")); diff != "" {
		t.Errorf("watermark in the late table (-want +got)\n%s", diff)
	}
	if got := r.last().Counters[worker.CounterLate]; got != int64(len(late)) {
		t.Errorf("%d counted as late, want %d", got, len(late))
	}
	m.same(t, s.Spec.Aggregations[0], truth(counted))
}

// A subscription that is days ahead of another closes none of its windows.
func TestTwoSpeeds(t *testing.T) {
	p := newPlatform(t, 2)
	s := spec(t, func(s *jobspecs.StreamJobSpec) { s.Horizon = jobspecs.Duration(time.Hour) })
	fs := flights(5, 800, 72*time.Hour, 4) // origins A00 to A03: even ones go to one topic
	m := newMemory()
	r := p.start(s, "flights-0", 1, m)
	var fast, slow []flight
	for _, f := range fs {
		if f.arrival.Sub(f.scheduled) > time.Hour {
			continue // late by itself
		}
		if int(f.origin[len(f.origin)-1])%2 == 0 {
			fast = append(fast, f)
		} else {
			slow = append(slow, f)
		}
	}
	p.publishFlights(2, fast)
	r.until("the fast one", func() bool { return m.count("raw_flights") == len(fast) })
	for patience := time.After(time.Second); ; { // what must not happen does not, for a while
		select {
		case <-patience:
		case <-time.After(10 * time.Millisecond):
			if n := m.count("stream_flights"); n > 0 {
				t.Fatalf("%d panes are written before the slow subscription has been read", n)
			}
			continue
		}
		break
	}
	for i := 0; i < len(slow); i += 100 {
		p.publishFlights(2, slow[i:min(i+100, len(slow))])
		r.until("the slow one", func() bool { return m.count("raw_flights") >= len(fast)+min(i+100, len(slow)) })
	}
	r.drained()
	if late := m.count("late_flights"); late != 0 {
		t.Errorf("%d events are late", late)
	}
	m.same(t, s.Spec.Aggregations[0], truth(append(fast, slow...)))
}

// A message that cannot be decoded is counted, is in the raw table with what
// there is, and stops nothing.
func TestBadMessages(t *testing.T) {
	p := newPlatform(t, 1)
	s := spec(t, func(s *jobspecs.StreamJobSpec) { s.Sources.Count = 1 })
	good := flights(1, 4, time.Hour, 1)
	bad := flights(2, 4, time.Hour, 1)
	m := newMemory()
	r := p.start(s, "flights-0", 1, m)
	p.publishFlights(1, good)
	for i, f := range bad {
		f.id += 100
		msg := f.message(100 + i)
		switch i {
		case 0:
			msg.Data = []byte(`{"origin":"A00","delay":"much"}`)
		case 1:
			delete(msg.Attributes, "kappa-id")
		case 2:
			msg.Attributes["kappa-event-time"] = "today"
		case 3:
			msg.Data = []byte("\x00")
		}
		p.publish(0, msg)
	}
	r.until("read", func() bool { return m.count("raw_flights") == 8 })
	r.drained()
	if got := r.last().Counters[worker.CounterBad]; got != 4 {
		t.Errorf("%d bad, want 4", got)
	}
	m.same(t, s.Spec.Aggregations[0], truth(good))
	for _, row := range m.rows["raw_flights"] {
		for _, c := range []string{"event_id", "message_id", "event_time", "source_time", "publish_time", "write_time", "position", "job", "generation"} {
			if row[c] == nil {
				t.Errorf("column %s is null, but required: %v", c, row)
			}
		}
		if row["event_id"] == (flight{id: bad[0].id + 100}).eventID() && row["origin"] != nil {
			t.Errorf("half-decoded fields in the raw table: %v", row)
		}
	}
}

// An error of a sink that cannot pass ends the job with what is wrong and how
// to mend it, and nothing is acknowledged.
func TestPermanentSinkError(t *testing.T) {
	p := newPlatform(t, 1)
	s := spec(t, func(s *jobspecs.StreamJobSpec) { s.Sources.Count = 1 })
	m := newMemory()
	m.insert = func(string) error {
		return &googleapi.Error{Code: 404, Message: "Not found: Table kappa-demo:kappa.raw_flights"}
	}
	r := p.start(s, "flights-0", 1, m)
	p.publishFlights(1, flights(1, 10, time.Hour, 1))
	select {
	case err := <-r.done:
		var e *exit.Error
		if !errors.As(err, &e) || e.Code != exit.Environment || e.Hint == "" {
			t.Errorf("got %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the job goes on")
	}
	next := newMemory()
	r = p.start(s, "flights-0", 2, next)
	r.until("everything is delivered again", func() bool { return next.count("raw_flights") >= 10 })
	r.drained()
}
