package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
)

var hour = time.Date(2001, 1, 8, 5, 0, 0, 0, time.UTC)

func k(origin string, hours int) key {
	return key{origin, hour.Add(time.Duration(hours) * time.Hour).Unix()}
}

func stream(w writer, state string) generation {
	return generation{Job: w.Job, Generation: w.Generation, Kind: "stream", State: state, Group: "flights", RecordedAt: hour, Seq: 1}
}

// backfill of the hours from, inclusive, to, exclusive, recorded after a number of hours.
func backfill(w writer, state string, from, to, recorded int) generation {
	g := stream(w, state)
	g.Kind, g.RecordedAt = "backfill", hour.Add(time.Duration(recorded)*time.Hour)
	g.From = bigquery.NullTimestamp{Timestamp: hour.Add(time.Duration(from) * time.Hour), Valid: true}
	g.To = bigquery.NullTimestamp{Timestamp: hour.Add(time.Duration(to) * time.Hour), Valid: true}
	return g
}

func listed(gs ...generation) writers {
	ws := writers{}
	for _, g := range gs {
		ws.add(g)
	}
	return ws
}

func stored(entries ...any) panes {
	var p panes
	for i := 0; i < len(entries); i += 2 {
		p.put(entries[i].(paneID), entries[i+1].(sums))
	}
	return p
}

func TestJudge(t *testing.T) {
	const job = "flights-0"
	w1, w2, fill := writer{job, 1}, writer{job, 2}, writer{"flights-fill", 1}
	input := newTotals(time.Hour)
	input.add(k("ATL", 0), sums{3, 10, 300})
	input.add(k("ATL", 1), sums{1, -5, 100})
	input.add(k("LAS", 0), sums{1, 0, 0})
	right := stored(
		paneID{k("ATL", 0), w1, 0}, sums{2, 6, 200},
		paneID{k("ATL", 0), w1, 1}, sums{1, 4, 100},
		paneID{k("ATL", 1), w1, 0}, sums{1, -5, 100},
		paneID{k("LAS", 0), w1, 0}, sums{1, 0, 0},
	)
	drained := listed(stream(w1, "drained"))
	event := func(id string, w writer) lateEvent {
		return lateEvent{EventID: id, MessageID: "m" + id, EventTime: hour.Add(61 * time.Minute), Job: w.Job, Generation: w.Generation, Origin: "ATL", Delay: -5, Distance: 100}
	}
	for _, tc := range []struct {
		name     string
		bigquery panes
		writers  writers
		late     []lateEvent
		onTime   map[string]bool
		want     side
		windows  int64
		dropped  int64
	}{
		{name: "right", bigquery: right, writers: drained, windows: 3, want: side{Counted: 5, Same: true}},
		{name: "a copy of a pane counts once", writers: drained, windows: 3, want: side{Counted: 5, Same: true},
			bigquery: stored(append(flat(right), paneID{k("ATL", 0), w1, 1}, sums{1, 4, 100})...)},
		{name: "a copy that says something else", writers: drained, windows: 3, want: side{Counted: 5, ConflictingPanes: 1},
			bigquery: stored(append(flat(right), paneID{k("ATL", 0), w1, 1}, sums{1, 5, 100})...)},
		{name: "a void writer does not count", writers: listed(stream(w1, "drained"), stream(w2, "void")), windows: 3, want: side{Counted: 5, Same: true},
			bigquery: stored(append(flat(right), paneID{k("ATL", 0), w2, 0}, sums{9, 9, 9})...)},
		{name: "an unlisted writer does not count", writers: drained, windows: 3, want: side{Counted: 5, Same: true},
			bigquery: stored(append(flat(right), paneID{k("ATL", 0), w2, 0}, sums{9, 9, 9})...)},
		{name: "a cancelled writer does not count", writers: listed(stream(w1, "drained"), stream(w2, "cancelled")), windows: 3, want: side{Counted: 5, Same: true},
			bigquery: stored(append(flat(right), paneID{k("ATL", 0), w2, 0}, sums{9, 9, 9})...)},
		{name: "a backfill replaces the streams in its hour, and adds nothing in others", windows: 3, want: side{Counted: 5, Same: true},
			writers: listed(stream(w1, "drained"), stream(w2, "open"), backfill(fill, "drained", 0, 1, 1)),
			bigquery: stored(
				paneID{k("ATL", 0), w1, 0}, sums{9, 9, 9}, paneID{k("ATL", 0), w2, 0}, sums{9, 9, 9}, paneID{k("ATL", 0), fill, 0}, sums{3, 10, 300},
				paneID{k("LAS", 0), fill, 0}, sums{1, 0, 0}, paneID{k("SFO", 0), w2, 0}, sums{9, 9, 9},
				paneID{k("ATL", 1), w1, 0}, sums{1, -5, 100}, paneID{k("ATL", 1), fill, 0}, sums{9, 9, 9})},
		{name: "what a backfill lacks in its hour is lost", windows: 3, writers: listed(stream(w1, "drained"), backfill(fill, "drained", 1, 2, 1)), bigquery: right,
			want: side{Counted: 4, Lost: 1, DisagreeingKeys: 1, Samples: []difference{{"ATL", hour.Add(time.Hour), sums{1, -5, 100}, sums{}}}}},
		{name: "a backfill that is not complete replaces nothing", windows: 3, want: side{Counted: 5, Same: true},
			writers:  listed(stream(w1, "drained"), backfill(fill, "open", 0, 2, 1)),
			bigquery: stored(append(flat(right), paneID{k("ATL", 0), fill, 0}, sums{9, 9, 9})...)},
		{name: "a second generation adds", writers: listed(stream(w1, "drained"), stream(w2, "open")), windows: 3,
			want:     side{Counted: 6, DoubleCounted: 1, DisagreeingKeys: 1, Samples: []difference{{"LAS", hour, sums{1, 0, 0}, sums{2, 0, 0}}}},
			bigquery: stored(append(flat(right), paneID{k("LAS", 0), w2, 0}, sums{1, 0, 0})...)},
		{name: "all void", writers: listed(stream(w1, "void")), bigquery: right, windows: 3,
			want: side{Lost: 5, DisagreeingKeys: 3, Samples: []difference{
				{"ATL", hour, sums{3, 10, 300}, sums{}}, {"LAS", hour, sums{1, 0, 0}, sums{}}, {"ATL", hour.Add(time.Hour), sums{1, -5, 100}, sums{}}}}},
		{name: "one lost, one too many: they do not cancel", writers: drained, windows: 3,
			want: side{Counted: 5, Lost: 1, DoubleCounted: 1, DisagreeingKeys: 2, Samples: []difference{
				{"ATL", hour, sums{3, 10, 300}, sums{2, 6, 200}}, {"LAS", hour, sums{1, 0, 0}, sums{2, 0, 0}}}},
			bigquery: stored(
				paneID{k("ATL", 0), w1, 0}, sums{2, 6, 200},
				paneID{k("ATL", 1), w1, 0}, sums{1, -5, 100},
				paneID{k("LAS", 0), w1, 0}, sums{2, 0, 0})},
		{name: "sums differ, counts do not", writers: drained, windows: 3,
			want: side{Counted: 5, DisagreeingKeys: 1, Samples: []difference{{"LAS", hour, sums{1, 0, 0}, sums{1, 1, 0}}}},
			bigquery: stored(
				paneID{k("ATL", 0), w1, 0}, sums{3, 10, 300},
				paneID{k("ATL", 1), w1, 0}, sums{1, -5, 100},
				paneID{k("LAS", 0), w1, 0}, sums{1, 1, 0})},
		{name: "a key that is not in the input", writers: drained, windows: 3,
			want:     side{Counted: 5, DisagreeingKeys: 1, Samples: []difference{{"SFO", hour, sums{}, sums{}}}},
			bigquery: stored(append(flat(right), paneID{k("SFO", 0), w1, 0}, sums{})...)},
		{name: "a dropped event is out of the truth, once", writers: drained, windows: 2, dropped: 1,
			late: []lateEvent{event("1", w1), event("1", w1)},
			want: side{Counted: 4, Same: true},
			bigquery: stored(
				paneID{k("ATL", 0), w1, 0}, sums{3, 10, 300},
				paneID{k("LAS", 0), w1, 0}, sums{1, 0, 0})},
		{name: "a late copy of an event that was in time changes nothing", writers: drained, windows: 3,
			late: []lateEvent{event("1", w1)}, onTime: map[string]bool{"1": true},
			bigquery: right, want: side{Counted: 5, Same: true}},
		{name: "an event that is dropped and counted", writers: drained, windows: 2, dropped: 1,
			late: []lateEvent{event("1", w1)}, bigquery: right,
			want: side{Counted: 5, DoubleCounted: 1, DisagreeingKeys: 1, Samples: []difference{{"ATL", hour.Add(time.Hour), sums{}, sums{1, -5, 100}}}}},
		{name: "a dropped event that is not in the input", writers: drained, windows: 3, dropped: 2,
			late: []lateEvent{event("1", w1), event("2", w1)}, bigquery: right,
			want: side{Counted: 5, DoubleCounted: 2, DisagreeingKeys: 1, Samples: []difference{{"ATL", hour.Add(time.Hour), sums{-1, 5, -100}, sums{1, -5, 100}}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := judge(input, evidence{writers: tc.writers, bigquery: tc.bigquery, bigtable: right, late: tc.late, onTime: tc.onTime})
			if tc.want.Samples == nil {
				tc.want.Samples = []difference{}
			}
			if d := cmp.Diff(tc.want, got.BigQuery); d != "" {
				t.Error(d)
			}
			if got.Events != 5 || got.Windows != tc.windows || got.LateDropped != tc.dropped {
				t.Errorf("%d events, %d windows, %d dropped", got.Events, got.Windows, got.LateDropped)
			}
			if got.Agrees != (got.BigQuery.Same && got.Bigtable.Same) {
				t.Errorf("agrees is %t", got.Agrees)
			}
			for _, format := range []string{"text", "json"} {
				var b bytes.Buffer
				if err := write(&b, format, got); err != nil || b.Len() == 0 {
					t.Errorf("%s: %v", format, err)
				}
				if format == "json" && !json.Valid(b.Bytes()) {
					t.Error("not JSON")
				}
			}
		})
	}
	// The two services are judged apart.
	if r := judge(input, evidence{writers: drained, bigquery: right}); r.Agrees || !r.BigQuery.Same || r.Bigtable.Lost != 5 {
		t.Errorf("an empty Bigtable: %+v", r)
	}
}

func flat(p panes) []any {
	var out []any
	for id, s := range p.byID {
		out = append(out, id, s)
	}
	return out
}

func TestParse(t *testing.T) {
	if got, err := parseRowKey("flights_by_origin#A%23%2FB#20010108T050000Z"); err != nil || got != (key{"A#/B", hour.Unix()}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "a#b", "a#b#c#20010108T050000Z", "a#b#2001", "a#%zz#20010108T050000Z"} {
		if _, err := parseRowKey(bad); err == nil {
			t.Errorf("row key %q is taken", bad)
		}
	}
	id, measure, err := parseColumn(k("ATL", 0), "delay_sum/flights-0/12/3")
	if err != nil || measure != "delay_sum" || id != (paneID{k("ATL", 0), writer{"flights-0", 12}, 3}) {
		t.Errorf("got %v, %q, %v", id, measure, err)
	}
	for _, bad := range []string{"", "a/b/1", "a/b/x/1", "a/b/1/x"} {
		if _, _, err := parseColumn(key{}, bad); err == nil {
			t.Errorf("column %q is taken", bad)
		}
	}
}
