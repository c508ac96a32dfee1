package pipeline

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func message(id int, at time.Time, fields map[string]any) *pubsubpb.PubsubMessage {
	data, _ := json.Marshal(fields)
	return &pubsubpb.PubsubMessage{Data: data, Attributes: map[string]string{
		envelope.AttrID: flight{id: id}.eventID(), envelope.AttrEventTime: envelope.FormatTime(at), envelope.AttrSourceTime: envelope.FormatTime(at),
		envelope.AttrPosition: fmt.Sprintf("c/t/0/%d", id)}}
}

// Several aggregations with windows and dimensions of their own, all kinds of
// measures, null fields.
func TestAggregations(t *testing.T) {
	s := spec(t, func(s *jobspecs.StreamJobSpec) {
		s.Sources.Count = 1
		s.Event.Fields = []jobspecs.Field{{Name: "kind", Type: "STRING"}, {Name: "code", Type: "INT64"}, {Name: "due", Type: "TIMESTAMP"}, {Name: "amount", Type: "INT64"}}
		s.Aggregations = []jobspecs.Aggregation{
			{Name: "by_kind", Table: "by_kind", Dimensions: []string{"kind"}, Window: jobspecs.Duration(time.Hour), Measures: []jobspecs.Measure{
				{Name: "n", Type: "count"}, {Name: "total", Type: "sum", Field: "amount"}, {Name: "least", Type: "min", Field: "amount"}, {Name: "most", Type: "max", Field: "amount"}}},
			{Name: "by_all", Table: "by_all", Dimensions: []string{"due", "code", "kind"}, Window: jobspecs.Duration(90 * time.Minute), Measures: []jobspecs.Measure{{Name: "n", Type: "count"}}},
		}
	})
	start := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	due := start.Add(time.Second + 500*time.Microsecond)
	events := []*pubsubpb.PubsubMessage{
		message(1, start.Add(10*time.Minute), map[string]any{"kind": "a", "code": 7, "due": due, "amount": 5}),
		message(2, start.Add(20*time.Minute), map[string]any{"kind": "a", "code": 7, "due": due, "amount": -3}),
		message(3, start.Add(80*time.Minute), map[string]any{"kind": "a", "code": 7, "due": due}),
		message(4, start.Add(100*time.Minute), map[string]any{"kind": "a", "code": nil, "due": due, "amount": 9}),
		message(5, start.Add(30*time.Minute), map[string]any{"amount": 1}),
		message(6, start.Add(40*time.Minute), map[string]any{"kind": "a/b c#%null", "amount": math.MaxInt64}),
	}
	p := newPlatform(t, 1)
	m := newMemory()
	r := p.start(s, "flights-0", 1, m)
	p.publish(0, events...)
	r.until("read", func() bool { return m.count("raw_flights") == len(events) })
	r.drained()
	const h0, h1, w1 = "2001-01-08T00:00:00.000000Z", "2001-01-08T01:00:00.000000Z", "2001-01-08T01:30:00.000000Z"
	m.same(t, s.Spec.Aggregations[0], totals{
		"a " + h0:           "2 2 -3 5",
		"a " + h1:           "2 9 9 9",
		"<nil> " + h0:       "1 1 1 1",
		"a/b c#%null " + h0: "1 9223372036854775807 9223372036854775807 9223372036854775807",
	})
	m.same(t, s.Spec.Aggregations[1], totals{
		"2001-01-08T00:00:01.000500Z 7 a " + h0:     "3",
		"2001-01-08T00:00:01.000500Z <nil> a " + w1: "1",
		"<nil> <nil> <nil> " + h0:                   "1",
		"<nil> <nil> a/b c#%null " + h0:             "1",
	})
}

// A sum that does not fit INT64 ends the job and says which: it is never
// wrapped around.
func TestOverflow(t *testing.T) {
	s := spec(t, func(s *jobspecs.StreamJobSpec) { s.Sources.Count = 1 })
	start := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	p := newPlatform(t, 1)
	m := newMemory()
	r := p.start(s, "flights-0", 1, m)
	for i := range 2 { // in bundles of their own
		p.publish(0, message(i, start, map[string]any{"origin": "ATL", "delay": int64(math.MaxInt64), "distance": 1}))
		r.until("read", func() bool { return m.count("raw_flights") == i+1 })
	}
	close(r.drain)
	err := <-r.done
	if err == nil {
		t.Fatal("the job ends well")
	}
	for _, want := range []string{"flights_by_origin", "delay_sum", "origin=ATL", "2001-01-08T00:00:00Z", "INT64"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if m.count("stream_flights") != 0 {
		t.Errorf("panes are written: %v", m.rows["stream_flights"])
	}
}

// The insert ids tell apart all that readers tell apart, and nothing else. (P1)
func TestInsertIDs(t *testing.T) {
	plan, err := NewPlan(spec(t, nil), "flights-0", 1)
	if err != nil {
		t.Fatal(err)
	}
	agg := &plan.Aggregations[0]
	base := paneRow{start: 3600e6, pane: 1, key: []byte("a"), partials: make([]partial, 3)}
	id := plan.paneID(agg, &base)
	if again := base; plan.paneID(agg, &again) != id {
		t.Error("a pane has two ids")
	}
	seen := map[string]string{id: "base"}
	differ := func(what string, p *Plan, r paneRow) {
		id := p.paneID(agg, &r)
		if other, dup := seen[id]; dup {
			t.Errorf("%s has the id of %s", what, other)
		}
		seen[id] = what
	}
	for what, change := range map[string]func(*paneRow){
		"window": func(r *paneRow) { r.start++ }, "pane": func(r *paneRow) { r.pane++ }, "key": func(r *paneRow) { r.key = []byte("b") },
	} {
		r := base
		change(&r)
		differ(what, plan, r)
	}
	for what, change := range map[string]func(*Plan){"job": func(p *Plan) { p.Job = "x" }, "generation": func(p *Plan) { p.Generation = 2 }} {
		p := *plan
		change(&p)
		differ(what, &p, base)
	}
	e := &Event{ID: "e", MessageID: "m"}
	if diff := cmp.Diff("e/m/flights-0@1", plan.deliveryID(e)); diff != "" {
		t.Error(diff)
	}
	e.ID = strings.Repeat("x", 200)
	if got := plan.deliveryID(e); len(got) > mostInsertID {
		t.Errorf("insert id of %d characters", len(got))
	}
}

// The runner may give the panes of a window in order only, and none twice. (P2)
func TestPaneGuard(t *testing.T) {
	plan, err := NewPlan(spec(t, nil), "flights-0", 1)
	if err != nil {
		t.Fatal(err)
	}
	rt := &runtime{}
	key := appendValue(nil, Value{Valid: true, Str: "ATL"}, String)
	claim := func(key []byte, start, index int64) error { return rt.claimPane(plan, 0, key, start, index) }
	for _, ok := range []error{claim(key, 0, 0), claim(key, 0, 1), claim(key, 0, 5), claim(key, 3600e6, 0), claim([]byte{0}, 0, 0)} {
		if ok != nil {
			t.Error(ok)
		}
	}
	err = claim(key, 0, 5)
	if err == nil || !strings.Contains(err.Error(), "origin=ATL") || rt.failed(nil) != err {
		t.Errorf("a pane that came twice: %v", err)
	}
	if claim(key, 3600e6, 0) == nil {
		t.Error("a pane that came twice: no error")
	}
	hour, n := int64(3600e6), int64(2*leastSweep)
	for i := range n {
		if err := claim(key, (i+2)*hour, 0); err != nil {
			t.Fatal(err)
		}
	}
	if len(rt.panes.last) > leastSweep {
		t.Errorf("%d windows are remembered, of which 100 or so can get panes", len(rt.panes.last))
	}
	if claim(key, (n+1)*hour, 0) == nil {
		t.Error("a window within the horizon was forgotten")
	}
}
