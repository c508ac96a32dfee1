package main

import (
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
)

func TestWriters(t *testing.T) {
	a1, a2, b1, f, g := writer{"a", 1}, writer{"a", 2}, writer{"b", 1}, writer{"f", 1}, writer{"g", 1}
	of := func(group string, g generation) generation { g.Group = group; return g }
	instead := func(w writer, g generation) generation {
		g.Supersedes = bigquery.NullString{StringVal: w.String(), Valid: true}
		return g
	}
	later := func(g generation) generation { g.Seq++; return g }
	noSpan := backfill(f, "drained", 0, 4, 1)
	noSpan.To.Valid = false
	for _, c := range []struct {
		name string
		rows []generation
		want map[string]string // writer → hours, of 0 to 4, in which it counts
	}{
		{"open and drained", []generation{stream(a1, "drained"), stream(a2, "open")}, map[string]string{"a@1": "01234", "a@2": "01234"}},
		{"void, cancelled, of a later version", []generation{stream(a1, "void"), stream(a2, "cancelled"), stream(b1, "paused")}, nil},
		{"the newest row holds", []generation{later(stream(a1, "void")), stream(a1, "open"), stream(a2, "open"), later(stream(a2, "drained"))}, map[string]string{"a@2": "01234"}},
		{"a complete backfill holds its span, in its group", []generation{stream(a1, "drained"), backfill(f, "drained", 1, 3, 1), stream(a2, "open"), of("fares", stream(b1, "open"))},
			map[string]string{"a@1": "034", "a@2": "034", "f@1": "12", "b@1": "01234"}},
		{"others hold nothing", []generation{stream(a1, "drained"), backfill(g, "open", 0, 4, 1), noSpan, backfill(b1, "void", 0, 4, 1)}, map[string]string{"a@1": "01234"}},
		{"the last of overlapping ones", []generation{stream(a1, "drained"), backfill(f, "drained", 0, 3, 2), backfill(g, "drained", 2, 4, 1)},
			map[string]string{"a@1": "4", "f@1": "012", "g@1": "3"}},
		{"recorded at once", []generation{backfill(f, "drained", 0, 2, 1), backfill(g, "drained", 0, 2, 1)}, map[string]string{"g@1": "01"}},
		{"superseded as a whole", []generation{stream(a1, "drained"), instead(a1, stream(a2, "open"))}, map[string]string{"a@2": "01234"}},
		{"a void one supersedes nothing", []generation{stream(a1, "drained"), instead(a1, stream(a2, "void"))}, map[string]string{"a@1": "01234"}},
		{"a superseded backfill holds nothing", []generation{stream(a1, "drained"), backfill(f, "drained", 0, 4, 1), instead(f, backfill(g, "drained", 0, 2, 2))},
			map[string]string{"a@1": "234", "g@1": "01"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := map[string]string{}
			ws := listed(c.rows...)
			for _, w := range []writer{a1, a2, b1, f, g} {
				for h := range 5 {
					if ws.counts(w, hour.Unix()+int64(h)*3600) {
						got[w.String()] += string(rune('0' + h))
					}
				}
			}
			if c.want == nil {
				c.want = map[string]string{}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("counting hours (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSortLate(t *testing.T) {
	a1, a2, fill, void, ghost := writer{"a", 1}, writer{"a", 2}, writer{"fill", 1}, writer{"a", 3}, writer{"ghost", 1}
	ws := listed(stream(a1, "drained"), stream(a2, "open"), stream(void, "void"), backfill(fill, "drained", 2, 3, 1))
	type row struct {
		event, message string
		by             writer
		hour           int
		late           bool
	}
	for _, c := range []struct {
		name    string
		rows    []row
		dropped int      // rows of the late table that say anything
		onTime  []string // events
	}{
		{"dropped", []row{{"e", "m", a1, 0, true}}, 1, nil},
		{"another delivery of it was in time", []row{{"e", "m1", a1, 0, true}, {"e", "m2", a2, 0, false}}, 1, []string{"e"}},
		{"both were late", []row{{"e", "m1", a1, 0, true}, {"e", "m2", a2, 0, true}}, 2, nil},
		{"the next generation read the same delivery, in time", []row{{"e", "m", a1, 0, true}, {"e", "m", a2, 0, false}}, 1, []string{"e"}},
		{"late by one that died: it says nothing", []row{{"e", "m", void, 0, true}}, 0, nil},
		{"in time by one that died or is not listed: it says nothing", []row{{"e", "m", a1, 0, true}, {"e", "m2", void, 0, false}, {"e", "m3", ghost, 0, false}}, 1, nil},
		{"late in a stream, read again by the backfill of its window", []row{{"e", "m", a1, 2, true}, {"e", "m", fill, 2, false}}, 1, []string{"e"}},
		{"late after the backfill of its window", []row{{"e", "m", a2, 2, true}}, 1, nil},
		{"in time in a stream that a backfill has replaced there", []row{{"e", "m", a1, 2, true}, {"e", "m2", a2, 2, false}}, 1, nil},
		{"read by a backfill of other windows", []row{{"e", "m", a1, 3, true}, {"e", "m", fill, 3, false}}, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var late []lateEvent
			var read []delivery
			for _, r := range c.rows {
				at := hour.Add(time.Duration(r.hour)*time.Hour + 59*time.Minute)
				if r.late {
					late = append(late, lateEvent{EventID: r.event, MessageID: r.message, EventTime: at, Job: r.by.Job, Generation: r.by.Generation})
				}
				read = append(read, delivery{r.event, r.message, at, r.by.Job, r.by.Generation}) // a late delivery is in the raw table too
			}
			dropped, onTime := sortLate(late, read, ws, newTotals(time.Hour))
			want := map[string]bool{}
			for _, e := range c.onTime {
				want[e] = true
			}
			if diff := cmp.Diff(want, onTime); diff != "" || len(dropped) != c.dropped {
				t.Errorf("%d dropped, want %d; in time (-want +got):\n%s", len(dropped), c.dropped, diff)
			}
		})
	}
}
