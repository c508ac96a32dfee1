package main

import (
	"cmp"
	"slices"
	"time"
)

const maxSamples = 10

// report is the program's result.
type report struct {
	Events      int64 `json:"events"`       // rows of the input
	Windows     int64 `json:"windows"`      // keys of the truth, late events taken out
	LateDropped int64 `json:"late_dropped"` // events that are in the late table and in no aggregate
	BigQuery    side  `json:"bigquery"`
	Bigtable    side  `json:"bigtable"`
	Agrees      bool  `json:"agrees"`
}

// side is what one service says, against the truth.
type side struct {
	Counted          int64        `json:"counted"`           // events in the aggregates
	Lost             int64        `json:"lost"`              // sum over keys of events that are missing
	DoubleCounted    int64        `json:"double_counted"`    // sum over keys of events too many
	DisagreeingKeys  int64        `json:"disagreeing_keys"`  // keys with any other value than the truth
	ConflictingPanes int64        `json:"conflicting_panes"` // panes written twice with different values
	Same             bool         `json:"same"`
	Samples          []difference `json:"samples"`
}

// difference is a key on which service and truth disagree.
type difference struct {
	Origin      string    `json:"origin"`
	WindowStart time.Time `json:"window_start"`
	Truth       sums      `json:"truth"`
	Found       sums      `json:"found"`
}

// judge holds the services against the truth.
func judge(truth totals, ev evidence) report {
	var r report
	for _, s := range truth.byKey {
		r.Events += s.Flights
	}
	want := newTotals(time.Duration(truth.window) * time.Second)
	for k, s := range truth.byKey {
		want.byKey[k] = s
	}
	seen := map[string]bool{}
	for _, e := range ev.late {
		if seen[e.EventID] || ev.onTime[e.EventID] {
			continue
		}
		seen[e.EventID] = true
		r.LateDropped++
		k := want.keyAt(e.Origin, e.EventTime.Unix())
		// What is not in the input goes below zero here, and disagrees.
		left := want.byKey[k].minus(sums{1, e.Delay, e.Distance})
		if left == (sums{}) {
			delete(want.byKey, k)
		} else {
			want.byKey[k] = left
		}
	}
	r.Windows = int64(len(want.byKey))
	r.BigQuery = compare(want.byKey, merge(ev.bigquery, ev.writers), ev.bigquery.conflicting)
	r.Bigtable = compare(want.byKey, merge(ev.bigtable, ev.writers), ev.bigtable.conflicting)
	r.Agrees = r.BigQuery.Same && r.Bigtable.Same
	return r
}

// merge sums the panes of the writers that count in the pane's window.
func merge(p panes, ws writers) map[key]sums {
	out := map[key]sums{}
	for id, s := range p.byID {
		if ws.counts(id.writer, id.window) {
			out[id.key] = out[id.key].plus(s)
		}
	}
	return out
}

func compare(want, found map[key]sums, conflicting int64) side {
	s := side{ConflictingPanes: conflicting, Samples: []difference{}}
	check := func(k key) {
		w, f := want[k], found[k]
		_, wanted := want[k]
		_, there := found[k]
		s.Lost += max(0, w.Flights-f.Flights)
		s.DoubleCounted += max(0, f.Flights-w.Flights)
		if w != f || wanted != there {
			s.DisagreeingKeys++
			s.Samples = append(s.Samples, difference{k.origin, time.Unix(k.window, 0).UTC(), w, f})
		}
	}
	for k := range want {
		check(k)
	}
	for k, f := range found {
		s.Counted += f.Flights
		if _, ok := want[k]; !ok {
			check(k)
		}
	}
	slices.SortFunc(s.Samples, func(a, b difference) int {
		return cmp.Or(a.WindowStart.Compare(b.WindowStart), cmp.Compare(a.Origin, b.Origin))
	})
	s.Samples = s.Samples[:min(len(s.Samples), maxSamples)]
	s.Same = s.DisagreeingKeys == 0 && s.ConflictingPanes == 0
	return s
}
