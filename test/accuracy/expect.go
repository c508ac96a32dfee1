package main

import (
	"slices"
	"time"
)

// key is what is compared.
type key struct {
	origin string
	start  time.Time
}

const day = 24 * time.Hour

func (k key) day() time.Time { return k.start.Truncate(day) }

// null is the origin that is NULL.
const null = "\x00"

// entry is one key: what arrived, what each side has made of it, and what was done.
type entry struct {
	scope
	name          string // what its origin is a form of
	batch, stream values
	fate          fate
}

func (e *entry) there() bool { return e.batch.present || e.stream.present }

// keyed are all keys.
type keyed struct {
	keys    []key // by window, then by origin
	entries map[key]*entry
	untold  int // draws that were drawn again, for nobody could tell what was done
}

// formsWith are all forms of a key as they would be if one of them were another.
func (k *keyed) formsWith(at key, changed *entry) map[key]*entry {
	out := map[key]*entry{at: changed}
	for of, e := range k.entries {
		if of != at && of.start.Equal(at.start) && e.name == changed.name {
			out[of] = e
		}
	}
	return out
}

// between are the deliveries of an origin's events that happened in a span of time.
func (k *keyed) between(origin string, from, to time.Time) []delivery {
	var out []delivery
	for h := from.Truncate(window); h.Before(to); h = h.Add(window) {
		e := k.entries[key{origin, h}]
		if e == nil {
			continue
		}
		for _, d := range e.deliveries {
			if !d.at.Before(from) && d.at.Before(to) {
				out = append(out, d)
			}
		}
	}
	return out
}

// Statuses of an attribution, as kappa writes them.
const (
	proven      = "proven"
	likely      = "likely"
	unexplained = "unexplained"
)

// expectation is what should be said of a key that differs: all of the smallest sets of
// flaws that reproduce both sides.
type expectation struct {
	status string
	sets   []flaw
}

// offsets are how much later than the window's events those may have happened that a
// shifted batch side has: as clocks are apart.
var offsets = func() []time.Duration {
	var out []time.Duration
	for h := range 14 {
		out = append(out, time.Duration(h+1)*time.Hour, -time.Duration(h+1)*time.Hour)
	}
	for _, text := range []string{"3h30m", "4h30m", "5h30m", "5h45m", "6h30m", "8h45m", "9h30m", "10h30m", "12h45m"} {
		d, err := time.ParseDuration(text)
		if err != nil {
			panic(err)
		}
		out = append(out, d, -d)
	}
	return out
}()

// further are half hours that clocks are not apart: that such a span of time reproduces
// the batch side speaks against an offset, and for nothing.
var further = func() []time.Duration {
	var out []time.Duration
	for h := range 14 {
		d := time.Duration(h)*time.Hour + 30*time.Minute
		if !slices.Contains(offsets, d) {
			out = append(out, d, -d)
		}
	}
	return out
}()

// tally counts keys of a window or a day.
type tally struct{ all, differing, onBatch int }

func (t *tally) most() bool { return 2*t.differing > t.all }

// open is a key that differs.
type open struct {
	*entry
	key    key
	stream []flaw         // sets that give the stream side
	alone  []flaw         // sets that the key by itself shows
	forms  []flaw         // and those of all its forms taken for one key
	shifts map[int][]flaw // and those of a shifted window, by offset
}

// expect works out what should be said of each key that differs by some metrics.
func (k *keyed) expect(m metrics) map[key]expectation {
	windows, days := map[time.Time]*tally{}, map[time.Time]*tally{}
	var all []*open
	for _, at := range k.keys {
		e := k.entries[at]
		if !e.there() {
			continue
		}
		w, d := tallyOf(windows, at.start), tallyOf(days, at.day())
		w.all, d.all = w.all+1, d.all+1
		if e.batch.present {
			w.onBatch++
		}
		if !m.same(e.batch, e.stream) {
			w.differing, d.differing = w.differing+1, d.differing+1
			all = append(all, &open{entry: e, key: at})
		}
	}
	for _, o := range all {
		batch := o.sets(batchSide, o.batch, m)
		// A window of several keys of which none is on the batch side was not loaded.
		if w := windows[o.key.start]; w.onBatch == 0 && w.all > 1 {
			batch = smallest(append(batch, unloadedBatch))
		}
		o.stream = o.sets(streamSide, o.entry.stream, m)
		o.alone = joined(batch, o.stream)
		// One key shows no shift: it is looked for where most differ.
		if windows[o.key.start].most() || days[o.key.day()].most() {
			o.shifts = k.shifted(o, m)
		}
	}
	takeForms(all, m)
	elected := elect(all)
	out := map[key]expectation{}
	for _, o := range all {
		out[o.key] = o.conclude(elected[o.key.day()])
	}
	return out
}

func tallyOf(of map[time.Time]*tally, at time.Time) *tally {
	if of[at] == nil {
		of[at] = &tally{}
	}
	return of[at]
}

// shifted are the sets that give the batch side from the events of a shifted window.
func (k *keyed) shifted(o *open, m metrics) map[int][]flaw {
	out := map[int][]flaw{}
	for i, by := range slices.Concat(offsets, further) {
		for _, s := range k.scopeAt(o.key, by).sets(batchSide, o.batch, m) {
			out[i] = append(out[i], s|shiftedBatch)
		}
	}
	return out
}

// scopeAt is what a batch side that is shifted has for a key: of its loads nothing is
// known.
func (k *keyed) scopeAt(at key, by time.Duration) scope {
	from := at.start.Add(by)
	s := scope{deliveries: k.between(at.origin, from, from.Add(window)), end: from.Add(window), units: [2]int64{1, 1}}
	if e := k.entries[at]; e != nil {
		s.units = e.units
	}
	return s
}

// takeForms takes the forms of a key that differ for one key. That one side has a form
// which the other has not is the evidence.
func takeForms(all []*open, m metrics) {
	type name struct {
		of    string
		start time.Time
	}
	groups := map[name][]*open{}
	for _, o := range all {
		n := name{o.name, o.key.start}
		groups[n] = append(groups[n], o)
	}
	for _, group := range groups {
		one := scope{end: group[0].end, loads: group[0].loads, units: group[0].units}
		var batch, stream values
		oneSided := false
		for _, o := range group {
			one.deliveries = append(one.deliveries, o.deliveries...)
			batch, stream = batch.plus(o.batch), stream.plus(o.entry.stream)
			oneSided = oneSided || !o.batch.present || !o.entry.stream.present
		}
		if len(group) < 2 || !oneSided || !batch.present || !stream.present {
			continue
		}
		sets := joined([]flaw{keyForm}, one.explanations(batch, stream, m))
		for _, o := range group {
			o.forms = sets
		}
	}
}

// election is which offsets reproduce more than half of a day's differing keys on the
// batch side; proven says that it is one alone, of at least three keys, and that for ten
// keys which tell it from another offset at most one speaks for that.
type election struct {
	offsets []int
	proven  bool
}

func elect(all []*open) map[time.Time]election {
	votes := map[time.Time][]map[int][]flaw{}
	for _, o := range all {
		if o.shifts == nil || !o.batch.present {
			continue
		}
		vote := o.shifts
		if len(o.alone) > 0 { // what else explains a key speaks for no shift
			vote = nil
		}
		votes[o.key.day()] = append(votes[o.key.day()], vote)
	}
	count := func(of []map[int][]flaw, with, without int) (n int) {
		for _, vote := range of {
			if _, not := vote[without]; vote[with] != nil && !not {
				n++
			}
		}
		return n
	}
	out := map[time.Time]election{}
	for d, of := range votes {
		var e election
		for i := range offsets {
			if 2*count(of, i, -1) > len(of) {
				e.offsets = append(e.offsets, i)
			}
		}
		if len(e.offsets) == 1 {
			best := e.offsets[0]
			e.proven = count(of, best, -1) >= 3
			for i := range len(offsets) + len(further) {
				e.proven = e.proven && count(of, i, best)*10 <= count(of, best, i)
			}
		}
		out[d] = e
	}
	return out
}

// conclude is what should be said of a key. A shift that its day does not prove is likely
// at most, but what else fits is no more than that beside it.
func (o *open) conclude(day election) expectation {
	sets := slices.Concat(o.alone, o.forms)
	for _, i := range day.offsets {
		sets = append(sets, joined(o.shifts[i], o.stream)...)
	}
	sets = smallest(sets)
	switch {
	case len(sets) == 0:
		return expectation{unexplained, nil}
	case len(sets) > 1 || sets[0].has(shiftedBatch) && !day.proven:
		return expectation{likely, sets}
	}
	return expectation{proven, sets}
}
