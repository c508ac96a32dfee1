package compare

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// deadLetters gives the world a table of dead letters.
func (w *world) deadLetters() {
	w.spec.Spec.Evidence.DeadLetters = "dead_flights"
	t := tables.Raw("dead_flights", eventFields)
	for _, f := range t.Schema {
		f.Required = false
	}
	// No job has read them, so the table does not say which.
	t.Schema = slices.DeleteFunc(t.Schema, func(f *bigquery.FieldSchema) bool { return f.Name == "job" || f.Name == "generation" })
	t.Schema = append(t.Schema, &bigquery.FieldSchema{Name: "reason", Type: bigquery.StringFieldType})
	w.extra = append(w.extra, t)
}

// undelivered moves the newest event from the raw events to the dead letters.
func (w *world) undelivered() {
	raw := w.rows["raw_flights"]
	r := raw[len(raw)-1]
	w.rows["raw_flights"] = raw[:len(raw)-1]
	delete(r, "job")
	delete(r, "generation")
	r["reason"] = "too large"
	w.add("dead_flights", r)
}

// reload replaces the loads by one for each time, of all eight hours.
func (w *world) reload(rows int64, at ...float64) {
	delete(w.rows, tables.BatchLoads)
	for _, h := range at {
		w.load(0, 8)
		loads := w.rows[tables.BatchLoads]
		loads[len(loads)-1]["loaded_at"], loads[len(loads)-1]["row_count"] = hours(h), rows
	}
}

// money turns a metric and its field into NUMERIC.
func (w *world) money() {
	w.spec.Spec.Metrics[1].Value = "NUMERIC"
	w.alter = func(_ string, md *bigquery.TableMetadata) {
		for _, f := range md.Schema {
			if f.Name == "delay" || f.Name == "delay_sum" {
				f.Type = bigquery.NumericFieldType
			}
		}
	}
}

func cents(n int64) *big.Rat { return big.NewRat(n, 1000) }

// fare is an event of a price, in thousandths, and its row on each side.
func (w *world) fare(origin string, prices ...int64) {
	for _, p := range prices {
		w.event(flight{origin: origin, hour: 1, distance: 1})
		raw := w.rows["raw_flights"]
		raw[len(raw)-1]["delay"] = bigquery.NumericString(cents(p))
	}
}

func (w *world) fares(origin string, n int64, batch, stream *big.Rat) {
	w.batch(origin, 1, n, 0, n)
	w.pane("flights-0@1", 0, origin, 1, n, 0, n)
	for _, t := range []string{"batch_flights", "stream_flights"} {
		r := w.rows[t][len(w.rows[t])-1]
		if r["delay_sum"] = bigquery.NumericString(batch); t == "stream_flights" {
			r["delay_sum"] = bigquery.NumericString(stream)
		}
	}
}

// Each cause by its evidence, and what is one step beside it, which is none.
func TestScenariosOfCauses(t *testing.T) {
	causes := func(want map[string]int64) func(t *testing.T, r *Result) {
		return func(t *testing.T, r *Result) {
			got := map[string]int64{}
			for _, e := range r.Causes.Entries {
				got[e.Cause+": "+e.Status] += e.Keys
				if e.Evidence == "" || e.SQL == "" || len(e.Metrics) != len(r.Metrics) {
					t.Errorf("%s lacks evidence, SQL or metrics: %+v", e.Cause, e)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("causes %v\nwant   %v", got, want)
				for _, s := range r.Samples {
					t.Logf("%s %s: %s", *orNullText(s.Key[0].Value), s.Cause, s.Evidence)
				}
			}
		}
	}
	tests := []struct {
		name  string
		build func(w *world)
		want  map[string]int64
		also  func(t *testing.T, r *Result)
	}{
		{
			name: "dead letters",
			build: func(w *world) {
				w.deadLetters()
				w.event(flight{origin: "ORD", hour: 1, delay: 1, distance: 10})
				w.event(flight{origin: "ORD", hour: 1, delay: 5, distance: 20})
				w.undelivered()
				w.batch("ORD", 1, 2, 6, 30)
				w.pane("flights-0@1", 0, "ORD", 1, 1, 1, 10)
				// The key alone is in the dead letters.
				w.event(flight{origin: "ATL", hour: 1, delay: 5, distance: 20})
				w.undelivered()
				w.batch("ATL", 1, 1, 5, 20)
				// Off by one.
				w.event(flight{origin: "DEN", hour: 1, delay: 5, distance: 20})
				w.undelivered()
				w.batch("DEN", 1, 1, 6, 20)
				// Delivered in the end: the stream lost it in another way.
				w.event(flight{origin: "LAX", hour: 1, delay: 5, distance: 20})
				w.undelivered()
				w.deliver("e"+fmt.Sprint(w.events-1), flight{origin: "LAX", hour: 1, delay: 5, distance: 20}, 1)
				w.batch("LAX", 1, 1, 5, 20)
				// With one that was late for the batch side.
				w.event(flight{origin: "SFO", hour: 1, delay: 5, distance: 20})
				w.undelivered()
				w.event(flight{origin: "SFO", hour: 1, delay: 7, distance: 1, arrives: 3 * time.Hour})
				w.batch("SFO", 1, 1, 5, 20)
				w.pane("flights-0@1", 0, "SFO", 1, 1, 7, 1)
				w.both("XXX", 1, 2)
				w.both("YYY", 1, 2)
				w.both("ZZZ", 1, 2)
				w.both("AAA", 1, 2)
				w.both("BBB", 1, 2)
			},
			want: map[string]int64{"dropped_by_bridge: proven": 2, "unexplained: unexplained": 2, "late_dropped_by_batch + dropped_by_bridge: proven": 1},
		},
		{
			name: "windows cut by a drain",
			build: func(w *world) {
				w.generation("old-flights", 1, "stream", "cancelled", "")
				lost := flight{origin: "ORD", hour: 1, delay: 5, distance: 20, by: "old-flights@1"}
				w.event(lost)
				w.event(flight{origin: "ORD", hour: 1, delay: 1, distance: 10})
				w.batch("ORD", 1, 2, 6, 30)
				w.pane("flights-0@1", 0, "ORD", 1, 1, 1, 10)
				lost.origin = "DEN" // off by one
				w.event(lost)
				w.batch("DEN", 1, 1, 5, 21)
				lost.origin, lost.by = "ATL", "ghost-0@1" // a generation that is missing
				w.event(lost)
				w.batch("ATL", 1, 1, 5, 20)
				lost.origin = "LAX" // read again by one that counts: the loss is another one
				w.deliver("again", lost, 1)
				again := record{}
				for k, v := range w.rows["raw_flights"][len(w.rows["raw_flights"])-1] {
					again[k] = v
				}
				again["job"] = "flights-0"
				w.add("raw_flights", again)
				w.batch("LAX", 1, 1, 5, 20)
				for _, o := range []string{"AAA", "BBB", "CCC", "DDD"} {
					w.both(o, 1, 2)
				}
			},
			want: map[string]int64{"window_cut_by_drain: proven": 2, "unexplained: unexplained": 2},
		},
		{
			name: "restated after it was loaded",
			build: func(w *world) {
				w.reload(10, 2.5, 50)
				early, between, late := -time.Minute, 50*time.Minute, 3*time.Hour
				for _, o := range []string{"ORD", "DEN", "ATL"} {
					w.event(flight{origin: o, hour: 1, delay: 1, distance: 10, arrives: early})
					w.event(flight{origin: o, hour: 1, delay: 2, distance: 20, arrives: between})
					w.event(flight{origin: o, hour: 1, delay: 4, distance: 40, arrives: late})
					w.pane("flights-0@1", 0, o, 1, 3, 7, 70)
				}
				w.batch("ORD", 1, 1, 1, 10) // as at the first load
				w.batch("DEN", 1, 2, 3, 30) // as at the cut-off
				w.batch("ATL", 1, 1, 2, 20) // as never
				for _, o := range []string{"AAA", "BBB", "CCC", "DDD"} {
					w.both(o, 1, 2)
				}
			},
			want: map[string]int64{"batch_restated: proven": 1, "late_dropped_by_batch: proven": 1, "unexplained: unexplained": 1},
			also: func(t *testing.T, r *Result) {
				for _, s := range r.Samples {
					if s.Cause == "batch_restated" && !strings.Contains(s.Evidence, "2 of 3 events arrived after the load that ended at 2001-01-08T02:30:00Z") {
						t.Errorf("evidence: %s", s.Evidence)
					}
				}
			},
		},
		{
			name: "a load without rows of an hour",
			build: func(w *world) {
				for _, h := range []int{1, 2} {
					for _, o := range []string{"ORD", "DEN", "ATL"} {
						w.event(flight{origin: o, hour: h, delay: 1, distance: 10, arrives: -time.Minute})
						w.pane("flights-0@1", 0, o, h, 1, 1, 10)
					}
				}
				w.batch("ATL", 2, 1, 1, 10) // the hour was loaded: what is missing in it is something else
				for h := 3; h < 8; h++ {
					for _, o := range []string{"ORD", "DEN", "ATL"} {
						w.both(o, h, 2)
					}
				}
				// Were it loaded, it would have lacked it too.
				w.event(flight{origin: "LAX", hour: 1, delay: 1, distance: 10, arrives: 3 * time.Hour})
				w.pane("flights-0@1", 0, "LAX", 1, 1, 1, 10)
			},
			want: map[string]int64{"batch_load_missing: proven": 3, "unexplained: unexplained": 2, "batch_load_missing or late_dropped_by_batch: likely": 1},
		},
		{
			name: "one key is missing from a load that has rows",
			build: func(w *world) {
				w.event(flight{origin: "ORD", hour: 1, delay: 1, distance: 10, arrives: -time.Minute})
				w.pane("flights-0@1", 0, "ORD", 1, 1, 1, 10)
				for h := 3; h < 8; h++ {
					w.both("ORD", h, 2)
				}
			},
			want: map[string]int64{"unexplained: unexplained": 1},
		},
		{
			name: "an empty load",
			build: func(w *world) {
				w.reload(0, 100)
				w.event(flight{origin: "ORD", hour: 1, delay: 1, distance: 10, arrives: -time.Minute})
				w.pane("flights-0@1", 0, "ORD", 1, 1, 1, 10)
			},
			want: map[string]int64{"batch_load_missing: proven": 1},
		},
		{
			name: "sums that overflow",
			build: func(w *world) {
				big := int64(1) << 31
				for _, o := range []string{"ORD", "DEN", "ATL", "LAX"} {
					w.event(flight{origin: o, hour: 1, delay: big - 1, distance: 10, arrives: -time.Minute})
					w.event(flight{origin: o, hour: 1, delay: 6, distance: 10, arrives: -time.Minute})
				}
				for o, v := range map[string][2]int64{"ORD": {-big + 5, big + 5}, "DEN": {big - 1, big + 5}, "ATL": {big + 5, -big + 5}, "LAX": {-big + 6, big + 5}} {
					w.batch(o, 1, 2, v[0], 20)
					w.pane("flights-0@1", 0, o, 1, 2, v[1], 20)
				}
				for _, o := range []string{"AAA", "BBB", "CCC", "DDD"} {
					w.both(o, 1, 2)
				}
			},
			want: map[string]int64{"overflow_in_batch: proven": 2, "overflow_in_stream: proven": 1, "unexplained: unexplained": 1},
		},
		{
			name: "values that were rounded",
			build: func(w *world) {
				w.money()
				w.fare("ORD", 1004, 1004) // 2.008: 2.01 rounded as a whole
				w.fares("ORD", 2, cents(2010), cents(2008))
				w.fare("DEN", 1004, 1004) // 2.00 rounded event by event
				w.fares("DEN", 2, cents(2000), cents(2008))
				w.fare("ATL", 1004, 1004) // neither
				w.fares("ATL", 2, cents(2020), cents(2008))
				w.fare("LAX", 1004, 1004, 1004) // three events are not two
				w.fares("LAX", 2, cents(2010), cents(2008))
				w.both("AAA", 1, 2)
				w.both("BBB", 1, 2)
				w.both("CCC", 1, 2)
				w.both("DDD", 1, 2)
			},
			want: map[string]int64{"rounding_in_batch: proven": 2, "unexplained: unexplained": 2},
		},
		{
			name: "forms of keys",
			build: func(w *world) {
				pair := func(batch, stream any, raw any, off int64) {
					w.event(flight{origin: raw, hour: 1, delay: 1, distance: 10, arrives: -time.Minute})
					w.event(flight{origin: raw, hour: 1, delay: 2, distance: 20, arrives: -time.Minute})
					w.batch(batch, 1, 2, 3+off, 30)
					w.pane("flights-0@1", 0, stream, 1, 2, 3, 30)
				}
				pair("ord ", "ORD", "ORD", 0)
				pair(nil, "", "", 0)
				pair("Cafe\u0301", "Caf\u00e9", "Caf\u00e9", 0)
				pair("den", "DEN", "DEN", 1) // off by one
				// Two forms of the raw events are one key on the batch side.
				w.event(flight{origin: "atl", hour: 2, delay: 1, distance: 10, arrives: -time.Minute})
				w.event(flight{origin: "ATL", hour: 2, delay: 2, distance: 20, arrives: -time.Minute})
				w.event(flight{origin: "ATL", hour: 2, delay: 4, distance: 40, arrives: 3 * time.Hour})
				w.batch("ATL", 2, 2, 3, 30)
				w.pane("flights-0@1", 0, "atl", 2, 1, 1, 10)
				w.pane("flights-0@1", 0, "ATL", 2, 2, 6, 60)
				// Two keys of which each side has lost one are not forms of one.
				w.event(flight{origin: "sfo", hour: 1, delay: 1, distance: 10, late: true})
				w.event(flight{origin: "SFO", hour: 1, delay: 2, distance: 20, arrives: 3 * time.Hour})
				w.batch("sfo", 1, 1, 1, 10)
				w.pane("flights-0@1", 0, "SFO", 1, 1, 2, 20)
				for h := range 8 {
					for _, o := range []string{"AAA", "BBB", "CCC", "DDD", "EEE"} {
						w.both(o, h, 2)
					}
				}
			},
			want: map[string]int64{"key_form: proven": 6, "unexplained: unexplained": 2, "late_dropped_by_batch + key_form: proven": 2,
				"late_dropped_by_batch: proven": 1, "late_dropped_by_stream: proven": 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.build(w)
			r := w.run()
			causes(tt.want)(t, r)
			if tt.also != nil {
				tt.also(t, r)
			}
		})
	}
}

func orNullText(s *string) *string {
	text := nullText(s)
	return &text
}

// A batch layer whose clock is five hours off: most keys of the day say so, each by
// the events of its shifted window.
func TestScenarioOfShift(t *testing.T) {
	build := func(w *world, by int) {
		delete(w.rows, tables.BatchLoads)
		w.load(0, 48)
		for n, o := range []string{"ORD", "DEN", "ATL", "LAX"} {
			for h := range 48 {
				value := int64(100*n + 7*h*h%31 + 1)
				w.event(flight{origin: o, hour: h, delay: value, distance: 10, arrives: -time.Minute})
				raw := w.rows["raw_flights"]
				raw[len(raw)-1]["event_time"] = hours(float64(h)).Add(time.Duration(7*h+13*n) % 60 * time.Minute)
				if h%5 == n { // late for the batch side, by whatever clock
					w.event(flight{origin: o, hour: h, delay: 1, distance: 1, arrives: 3 * time.Hour})
					w.pane("flights-0@1", 0, o, h, 2, value+1, 11)
				} else {
					w.pane("flights-0@1", 0, o, h, 1, value, 10)
				}
				if label := h + by; label >= 0 && label < 48 {
					w.batch(o, label, 1, value, 10)
				}
			}
		}
		w.spec.Spec.Stream.SettleAfter = jobspecs.Duration(2 * time.Hour)
	}
	w := newWorld(t)
	build(w, -5)
	raw := w.rows["batch_flights"]
	raw[10]["delay_sum"] = raw[10]["delay_sum"].(int64) + 1 // off by one
	r := w.run()
	got := r.CauseCounts()
	if got["time_shift_in_batch"] == 0 || got["late_dropped_by_batch + time_shift_in_batch"] == 0 || got[Unexplained] != 1 {
		t.Errorf("causes %v", got)
	}
	for _, e := range r.Causes.Entries {
		if e.Cause == "time_shift_in_batch" && (e.Status != Proven || !strings.Contains(e.Evidence, "5 h later")) {
			t.Errorf("%s: %s, %s", e.Cause, e.Status, e.Evidence)
		}
	}

	// Two keys of a day that fit an offset prove none.
	w = newWorld(t)
	w.event(flight{origin: "ORD", hour: 1, delay: 5, distance: 10, arrives: -time.Minute})
	w.event(flight{origin: "ORD", hour: 4, delay: 7, distance: 20, arrives: -time.Minute})
	w.batch("ORD", 1, 1, 7, 20)
	w.pane("flights-0@1", 0, "ORD", 1, 1, 5, 10)
	w.pane("flights-0@1", 0, "ORD", 4, 1, 7, 20)
	r = w.run()
	for _, e := range r.Causes.Entries {
		if e.Status == Proven {
			t.Errorf("%s is called proven: %s", e.Cause, e.Evidence)
		}
	}
}
