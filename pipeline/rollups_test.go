package pipeline

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/internal/worker"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// rolled is the flights job with rollups, a filter and expressions.
func rolled(t testing.TB) *jobspecs.StreamJob {
	return spec(t, func(s *jobspecs.StreamJobSpec) {
		s.Event.Fields = append(s.Event.Fields, jobspecs.Field{Name: "scheduled", Type: "TIMESTAMP"},
			jobspecs.Field{Name: "carrier", Type: "STRING"}, jobspecs.Field{Name: "class", Type: "INT64"})
		s.Aggregations = []jobspecs.Aggregation{{
			Name: "flights", Table: "stream_flights", Window: jobspecs.Duration(time.Hour),
			Dimensions: []string{"origin", "carrier", "class"},
			Rollups:    [][]string{{"carrier", "origin"}, {"origin"}, {"class"}, {}},
			Filter:     "event.origin != 'A03' && event.distance > 200",
			Measures: []jobspecs.Measure{
				{Name: "flights", Type: "count"},
				{Name: "delayed", Type: "count", Expression: "event.delay > 15"},
				{Name: "seconds", Type: "sum", Expression: "event.delay * 60"},
				{Name: "worst", Type: "max", Field: "delay"},
				{Name: "best_long", Type: "min", Expression: "event.distance > 1500 ? event.delay : null"},
			},
		}}
	})
}

// sale is an event of the rolled up job.
type sale struct {
	f       flight
	carrier *string
	class   *int64
}

func sales(seed uint64, n int) []sale {
	var out []sale
	for i, f := range flights(seed, n, 24*time.Hour, 6) {
		s := sale{f: f}
		if i%7 > 0 {
			c := string(rune('P' + i%3))
			s.carrier = &c
		}
		if i%5 > 0 {
			c := int64(i % 4)
			s.class = &c
		}
		out = append(out, s)
	}
	return out
}

func (s sale) message(offset int) *pubsubpb.PubsubMessage {
	fields := map[string]any{"origin": s.f.origin, "delay": s.f.delay, "distance": s.f.distance, "scheduled": s.f.scheduled, "carrier": s.carrier, "class": s.class}
	if s.f.id%11 == 0 {
		delete(fields, "delay")
	}
	if s.f.id%13 == 0 {
		delete(fields, "distance") // the filter is null
	}
	m := message(s.f.id, s.f.scheduled, fields)
	m.Attributes["kappa-source-time"] = s.f.message(offset).Attributes["kappa-source-time"]
	return m
}

// rollupsOf computes what the aggregation must come to, set by set.
func rollupsOf(a jobspecs.Aggregation, list []sale) totals {
	merged, seen := map[string][]partial{}, map[int]bool{}
	for _, s := range list {
		if seen[s.f.id] || s.f.origin == "A03" || s.f.id%13 == 0 || s.f.distance <= 200 {
			continue
		}
		seen[s.f.id] = true
		delay, there := s.f.delay, s.f.id%11 != 0
		for _, set := range a.Sets() {
			k := []string{"[" + strings.Join(set, ",") + "]"}
			for _, d := range set {
				switch {
				case d == "origin":
					k = append(k, s.f.origin)
				case d == "carrier" && s.carrier != nil:
					k = append(k, *s.carrier)
				case d == "class" && s.class != nil:
					k = append(k, fmt.Sprint(*s.class))
				default:
					k = append(k, "<nil>")
				}
			}
			key := strings.Join(append(k, formatMicros(s.f.scheduled.Truncate(time.Hour).UnixMicro())), " ")
			if merged[key] == nil {
				merged[key] = []partial{{true, 0}, {true, 0}, {}, {}, {}}
			}
			m := merged[key]
			m[0].value++
			if !there {
				continue
			}
			if delay > 15 {
				m[1].value++
			}
			m[2] = partial{true, m[2].value + 60*delay}
			if !m[3].valid || delay > m[3].value {
				m[3] = partial{true, delay}
			}
			if s.f.distance > 1500 && (!m[4].valid || delay < m[4].value) {
				m[4] = partial{true, delay}
			}
		}
	}
	return text(merged)
}

// Every set of dimensions comes to what a plain computation gives, in both
// sinks, with duplicates and through a redeploy that cuts windows. (P1, P2)
func TestRollups(t *testing.T) {
	p := newPlatform(t, 2)
	s := rolled(t)
	a := s.Spec.Aggregations[0]
	all := sales(11, 2400)
	m := newMemory()
	m.flaky = 50
	sent := 0
	send := func(r *run, list []sale) {
		by := make([][]*pubsubpb.PubsubMessage, 2)
		for i, s := range list {
			by[s.f.id%2] = append(by[s.f.id%2], s.message(i))
		}
		for topic, ms := range by {
			p.publish(topic, ms...)
		}
		sent += len(list)
		r.until("read", func() bool { return m.count("raw_flights") >= sent })
	}
	first := p.start(s, "flights-0", 1, m)
	for part := range slices.Chunk(all[:1500], 250) {
		send(first, append(slices.Clone(part), part[:20]...))
	}
	first.drained()
	second := p.start(s, "flights-0", 2, m, "flights-0@1")
	send(second, all[1000:])
	second.drained()

	want := rollupsOf(a, all)
	m.same(t, a, want)
	for _, set := range a.Sets() {
		name := "[" + jobspecs.Rollup(set) + "] "
		n := 0
		for k := range want {
			if strings.HasPrefix(k, name) {
				n++
			}
		}
		if n < 20 {
			t.Errorf("set %s has %d keys: the test shows nothing", name, n)
		}
	}
	if got := second.last().Counters[worker.CounterDuplicates]; got != 500 {
		t.Errorf("%d duplicates dropped, want 500", got)
	}
}

// An expression that cannot be evaluated ends the job and says for which event:
// it is neither counted nor skipped. (P2)
func TestExpressionFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*jobspecs.Aggregation)
		want   []string
	}{
		{"filter", func(a *jobspecs.Aggregation) { a.Filter = "event.distance / event.delay > 3" }, []string{"filter", "division by zero"}},
		{"measure", func(a *jobspecs.Aggregation) {
			a.Measures[1] = jobspecs.Measure{Name: "product", Type: "sum", Expression: "event.distance * 9223372036854775807"}
		}, []string{"measure product", "integer overflow"}},
		{"count", func(a *jobspecs.Aggregation) {
			a.Measures[0] = jobspecs.Measure{Name: "odd", Type: "count", Expression: "event.distance % event.delay == 1"}
		}, []string{"measure odd", "modulus by zero"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := spec(t, func(s *jobspecs.StreamJobSpec) { s.Sources.Count = 1; c.change(&s.Aggregations[0]) })
			start := time.Date(2001, 1, 8, 0, 30, 0, 0, time.UTC)
			p, m := newPlatform(t, 1), newMemory()
			r := p.start(s, "flights-0", 1, m)
			p.publish(0, message(7, start, map[string]any{"origin": "ATL", "delay": 0, "distance": 5}))
			var err error
			select {
			case err = <-r.done:
			case <-time.After(10 * time.Second):
				t.Fatal("the job goes on")
			}
			if err == nil {
				t.Fatal("the job ends well")
			}
			for _, want := range append(c.want, "aggregation flights_by_origin", "event "+flight{id: 7}.eventID(), "key (origin=ATL)", "2001-01-08T00:30:00Z") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if m.count("stream_flights") != 0 {
				t.Errorf("panes are written: %v", m.rows["stream_flights"])
			}
		})
	}
}

// keyIn is the key of an event in a set.
func keyIn(p *Plan, agg *Aggregation, set int, e *packed) []byte {
	var d dimensions
	p.dimensions(&d, agg, e)
	return agg.appendKey(nil, set, &d)
}

// Keys of different sets, and different keys of one set, are different; a key
// reads back as what it was made from; and so is each row, insert id and
// Bigtable row. (P1, P2)
func TestKeysOfSets(t *testing.T) {
	plan, err := NewPlan(rolled(t), "flights-0", 1)
	if err != nil {
		t.Fatal(err)
	}
	agg := &plan.Aggregations[0]
	value := rapid.SampledFrom([]Value{{}, {Valid: true}, {Valid: true, Int: 1}, {Valid: true, Int: math.MinInt64}, {Valid: true, Str: "a"}, {Valid: true, Str: "a#"}, {Valid: true, Str: ":"}})
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) (packed, int) {
			e := packed{}
			for range plan.Used {
				e.values = append(e.values, value.Draw(t, label))
			}
			return e, rapid.IntRange(0, len(agg.Sets)-1).Draw(t, label+" set")
		}
		e1, set1 := draw("one")
		e2, set2 := draw("two")
		k1, k2 := keyIn(plan, agg, set1, &e1), keyIn(plan, agg, set2, &e2)
		set, dims, err := plan.readKey(agg, k1)
		if err != nil || set != set1 {
			t.Fatalf("set %d, %v, want %d", set, err, set1)
		}
		same := set1 == set2
		for i, d := range agg.Dims {
			in := slices.Contains(agg.Sets[set1].Dims, i)
			want, _, err := readPackedValue(appendValue(nil, e1.values[d], plan.usedKind(d)), plan.usedKind(d))
			if err != nil {
				t.Fatal(err)
			}
			if !in {
				want = Value{}
			}
			if dims[i] != want {
				t.Fatalf("dimension %d is %+v, want %+v", i, dims[i], want)
			}
			same = same && (!in || bytes.Equal(appendValue(nil, e1.values[d], plan.usedKind(d)), appendValue(nil, e2.values[d], plan.usedKind(d))))
		}
		r1, r2 := paneRow{key: k1, partials: make([]partial, 5)}, paneRow{key: k2, partials: make([]partial, 5)}
		c1, err1 := plan.cells(agg, &r1)
		c2, err2 := plan.cells(agg, &r2)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		for what, equal := range map[string]bool{"keys": bytes.Equal(k1, k2), "insert ids": plan.paneID(agg, &r1) == plan.paneID(agg, &r2), "Bigtable rows": c1.Key == c2.Key} {
			if equal != same {
				t.Fatalf("%s of %s and %s are equal: %v, want %v", what, c1.Key, c2.Key, equal, same)
			}
		}
	})
	if _, _, err := plan.readKey(agg, []byte{9}); err == nil {
		t.Error("a key of a set that is not there is read")
	}
}

// The rows of a rolled up aggregation fit its table.
func TestRollupRowFits(t *testing.T) {
	s := rolled(t)
	plan, err := NewPlan(s, "flights-0", 1)
	if err != nil {
		t.Fatal(err)
	}
	plan.Run = t.Name()
	defer install(plan, &runtime{})()
	f := &paneRowsFn{Plan: plan}
	if err := f.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	agg := &plan.Aggregations[0]
	e := packed{values: slices.Repeat([]Value{{Valid: true, Int: 3, Str: "x"}}, len(plan.Used))}
	row, err := f.row(agg, &paneRow{key: keyIn(plan, agg, 1, &e), partials: []partial{{true, 4}, {true, 0}, {}, {}, {}}}, "now")
	if err != nil {
		t.Fatal(err)
	}
	got, _, _ := row.Save()
	want := map[string]bigquery.Value{"rollup": "origin,carrier", "origin": "x", "carrier": "x", "window_start": formatMicros(0), "flights": int64(4), "delayed": int64(0),
		"job": "flights-0", "generation": int64(1), "pane": int64(0), "timing": "early", "write_time": "now"}
	delete(got, "timing")
	delete(want, "timing")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	columns := map[string]bool{}
	for _, c := range tables.Aggregate(s.Spec.Aggregations[0], s.Spec.Event).Schema {
		columns[c.Name] = true
	}
	for _, c := range f.columns {
		if !columns[c] {
			t.Errorf("column %s is not in the table", c)
		}
	}
	if len(columns) != len(f.columns) {
		t.Errorf("columns %v", f.columns)
	}
}

func TestPlanRefusesRollupsAndExpressions(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*jobspecs.StreamJobSpec)
		want   string
	}{
		"rollup":         {func(s *jobspecs.StreamJobSpec) { s.Aggregations[0].Rollups = [][]string{{"delay"}} }, "rollup (delay)"},
		"filter":         {func(s *jobspecs.StreamJobSpec) { s.Aggregations[0].Filter = "event.delay" }, "filter: 1:1: it must give a bool"},
		"expression":     {func(s *jobspecs.StreamJobSpec) { s.Aggregations[0].Measures[0].Expression = "event.delay" }, "measure flights: 1:1: it must give a bool"},
		"both":           {func(s *jobspecs.StreamJobSpec) { s.Aggregations[0].Measures[1].Expression = "event.delay" }, "a field and an expression"},
		"longer horizon": {func(s *jobspecs.StreamJobSpec) { s.Deduplication.Horizon = s.Horizon + 1 }, "remembered for 96h0m0.000000001s"},
		"negative":       {func(s *jobspecs.StreamJobSpec) { s.Deduplication.Horizon = -1 }, "remembered for"},
	} {
		if _, err := NewPlan(spec(t, c.change), "flights-0", 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
