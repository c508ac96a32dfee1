package main

import (
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/demo/flights"
)

// span is the days of all keys.
type span struct{ from, to time.Time }

// loaded is when the last load of everything ended.
func (s span) loaded() time.Time { return s.to.AddDate(0, 1, 0) }

// sample are the flights of origins by chance, until they make some keys; 0: all.
func sample(fs []flights.Flight, most int, r *rand.Rand) []flights.Flight {
	if most == 0 {
		return fs
	}
	of := map[string]map[time.Time]bool{}
	for _, f := range fs {
		if of[f.Origin] == nil {
			of[f.Origin] = map[time.Time]bool{}
		}
		of[f.Origin][f.ScheduledAt().Truncate(window)] = true
	}
	origins := slices.Sorted(maps.Keys(of))
	r.Shuffle(len(origins), func(i, j int) { origins[i], origins[j] = origins[j], origins[i] })
	chosen, n := map[string]bool{}, 0
	for _, o := range origins {
		if n > 0 && n+len(of[o]) > most {
			continue
		}
		chosen[o], n = true, n+len(of[o])
	}
	return slices.DeleteFunc(slices.Clone(fs), func(f flights.Flight) bool { return !chosen[f.Origin] })
}

// inject gives every key its fate.
func inject(fs []flights.Flight, seed uint64) (*keyed, span) {
	in := &injector{rand: rand.New(rand.NewPCG(seed, 0)), names: map[string]string{}, null: map[time.Time]bool{}}
	of, ids := map[key][]flights.Flight{}, map[key][]string{}
	for i, f := range fs {
		p := key{f.Origin, f.ScheduledAt().Truncate(window)}
		of[p], ids[p] = append(of[p], f), append(ids[p], fmt.Sprintf("e%d", i))
	}
	places := slices.SortedFunc(maps.Keys(of), compareKeys)
	all := span{places[0].day(), places[len(places)-1].day().Add(day)}
	days := map[time.Time]ofDay{}
	var week []ofDay
	for d := all.from; d.Before(all.to); d = d.Add(day) {
		if len(week) == 0 {
			week = drawWeek(in.rand)
		}
		days[d], week = week[0], week[1:]
	}
	k := &keyed{entries: map[key]*entry{}}
	for _, p := range places {
		for {
			d := days[p.day()]
			if entries, ok := in.make(p, ids[p], of[p], draw(in.rand, d), d, all.loaded()); ok {
				maps.Copy(k.entries, entries)
				break
			}
		}
	}
	for _, d := range slices.SortedFunc(maps.Keys(days), time.Time.Compare) {
		if days[d].shifted != 0 {
			in.shift(k, d, days[d], all.loaded())
		}
		in.unload(k, d, days[d].shifted == 0)
	}
	k.keys, k.untold = slices.SortedFunc(maps.Keys(k.entries), compareKeys), in.untold
	return k, all
}

func compareKeys(a, b key) int {
	if c := a.start.Compare(b.start); c != 0 {
		return c
	}
	return strings.Compare(a.origin, b.origin)
}

// shift gives a day's keys on the batch side the events of another span of time. The raw
// events stay where they are.
func (in *injector) shift(k *keyed, d time.Time, of ofDay, last time.Time) {
	origins := map[string]bool{}
	for at := range k.entries {
		if from := at.start.Add(-of.shifted); !from.Add(window).Before(d) && from.Before(d.Add(day)) || at.day().Equal(d) {
			origins[at.origin] = true
		}
	}
	for _, origin := range slices.Sorted(maps.Keys(origins)) {
		for h := d; h.Before(d.Add(day)); h = h.Add(window) {
			if of.miss == missFew && in.rand.IntN(4) > 0 {
				continue
			}
			in.shiftKey(k, key{origin, h}, of, last)
		}
	}
}

func (in *injector) shiftKey(k *keyed, at key, of ofDay, last time.Time) {
	e := k.entries[at]
	if e == nil {
		end := at.start.Add(window)
		e = &entry{scope: scope{end: end, loads: loadsOf(at.start, last), units: of.units()}, name: in.names[at.origin], fate: fate{flaws: of.rounds}}
	}
	if e.fate.miss != "" && of.miss != "" {
		return // one miss is enough
	}
	s := k.scopeAt(at, of.shifted)
	s.units = of.units()
	flaws := e.fate.flaws & batchFlaws &^ restatedBatch
	flaws |= s.evident(batchSide) & seenFlaws // whatever the bridge lost in that span of time
	batch, ok := in.side(s, batchSide, flaws, in.rand.IntN(2))
	if !ok { // nothing overflows there
		flaws &^= overflowBatch
		batch, _ = in.side(s, batchSide, flaws, in.rand.IntN(2))
	}
	shifted := *e
	shifted.batch = batch
	switch shifted.fate.flaws |= flaws; {
	case of.miss != "":
		shifted.fate.miss = of.miss
	case e.fate.miss != "" && batch.present:
		shifted.batch.of[delaySum] = new(big.Int).Add(batch.of[delaySum], big.NewInt(1))
	}
	if of.miss != missOffset {
		shifted.fate.flaws |= shiftedBatch
	}
	switch {
	case of.miss != "" && !tells(k.formsWith(at, &shifted)):
		return
	case of.miss == "" && e.fate.miss != "" && shifted.strange(s): // no near miss: it is made anew
		shifted.fate.miss, shifted.batch = "", batch
		shifted.fate.flaws &^= overflowStream
		shifted.stream, _ = in.side(e.scope, streamSide, shifted.fate.flaws&streamFlaws, 0)
	}
	if shifted.there() {
		k.entries[at] = &shifted
	}
}

// strange reports whether, in some comparison, something reproduces a key that was not
// done to it, be it from its own window or from a shifted one.
func (e *entry) strange(shifted scope) bool {
	for _, c := range comparisons {
		batch := e.sets(batchSide, e.batch, c.metrics)
		for _, s := range shifted.sets(batchSide, e.batch, c.metrics) {
			batch = append(batch, s|shiftedBatch)
		}
		for _, s := range joined(batch, e.sets(streamSide, e.stream, c.metrics)) {
			if !s.part(e.fate.flaws) {
				return true
			}
		}
	}
	return false
}

// unload takes the batch side's rows of some windows of a day away, or of none but those
// of which chance has left it no row: they are the same.
func (in *injector) unload(k *keyed, d time.Time, some bool) {
	windows := map[time.Time][]key{}
	for at := range k.entries {
		if at.day().Equal(d) {
			windows[at.start] = append(windows[at.start], at)
		}
	}
	for _, w := range slices.SortedFunc(maps.Keys(windows), time.Time.Compare) {
		keys := windows[w]
		slices.SortFunc(keys, compareKeys)
		onStream, onBatch := 0, 0
		for _, at := range keys {
			if k.entries[at].stream.present {
				onStream++
			}
			if k.entries[at].batch.present {
				onBatch++
			}
		}
		switch n := in.rand.IntN(16); {
		case onStream > 1 && (onBatch == 0 || some && n == 0): // of a single key nobody can say whether it was a load's fault
			for _, at := range keys {
				in.unloadKey(k.entries[at])
			}
		case some && n == 1: // all but one that is there
			in.rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			stays := slices.IndexFunc(keys, func(at key) bool { return k.entries[at].batch.present })
			for i, at := range keys {
				if e := k.entries[at]; i != stays && e.fate.miss == "" && e.stream.present {
					gone := *e
					gone.batch, gone.fate.miss = values{}, missWindow
					if stays >= 0 && tells(k.formsWith(at, &gone)) {
						k.entries[at] = &gone
					}
				}
			}
		}
	}
}

// unloadKey takes the batch side's row away. What was a near miss by it would be none
// any more: its stream side is made anew.
func (in *injector) unloadKey(e *entry) {
	e.batch = values{}
	if e.fate.miss != "" {
		e.fate.miss = ""
		e.fate.flaws &^= overflowStream
		e.stream, _ = in.side(e.scope, streamSide, e.fate.flaws&streamFlaws, 0)
	}
	e.fate.flaws |= unloadedBatch
}
