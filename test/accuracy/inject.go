package main

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"time"
	"unicode"

	"github.com/kappa-migrate/kappa/internal/demo/flights"
)

// injector makes keys of flights.
type injector struct {
	rand   *rand.Rand
	next   int                // number of the next record
	names  map[string]string  // what origins are forms of
	null   map[time.Time]bool // windows that have a key of NULL
	untold int                // draws that were drawn again, for nobody could tell what was done
}

// record adds a record of an event, as messages.
func (in *injector) record(to *[]delivery, f flights.Flight, event, fate string, arrived time.Time, messages int) {
	in.next++
	for m := range messages {
		*to = append(*to, delivery{event: event, message: fmt.Sprintf("m%d-%d", in.next, m), position: fmt.Sprintf("c/flights/0/%d", in.next),
			at: f.ScheduledAt(), arrived: arrived, fate: fate, delay: int64(f.Delay), miles: int64(f.Distance)})
	}
}

// arrival is a time before the cut-off or after it, or about the time of a load.
func (in *injector) arrival(end time.Time, late bool, load time.Time) time.Time {
	milliseconds := func(d time.Duration) time.Duration {
		return time.Duration(in.rand.Int64N(d.Milliseconds())) * time.Millisecond
	}
	switch {
	case !late:
		return end.Add(cutoff - milliseconds(cutoff))
	case !load.IsZero():
		return load.Add(milliseconds(2*time.Hour) - time.Hour)
	}
	return end.Add(cutoff + time.Millisecond + milliseconds(day))
}

// loadsOf are the ends of the loads that hold a window: of four hours' batches an hour
// after them, and of everything in the end.
func loadsOf(start, last time.Time) []time.Time {
	return []time.Time{start.Truncate(batchOf).Add(batchOf + time.Hour), last}
}

const batchOf = 4 * time.Hour

// make lets the flights of a key have their fate, and returns the keys that come of
// them: several if they are forms of one. It reports false where they cannot have it,
// or where chance made something else fit.
func (in *injector) make(at key, ids []string, fs []flights.Flight, f fate, d ofDay, last time.Time) (map[key]*entry, bool) {
	base := scope{end: at.start.Add(window), loads: loadsOf(at.start, last), units: d.units()}
	group := base
	group.deliveries = in.deliver(ids, fs, f.flaws, base)
	form := forms{name: at.origin, raw: [2]string{at.origin, at.origin}, batch: at.origin}
	switch {
	case f.miss == missForm:
		form.batch, form.apart = at.origin[:2]+"-", true
	case f.flaws.has(keyForm):
		form = in.forms(at, len(fs), f.flaws.has(roundedStream|overflowStream))
	}
	entries := map[key]*entry{}
	stream := key{form.raw[0], at.start}
	of := func(origin string) *entry {
		k := key{origin, at.start}
		if entries[k] == nil {
			name := form.name
			if form.apart {
				name = origin
			}
			entries[k] = &entry{scope: base, name: name, fate: f}
			in.names[origin] = name
		}
		return entries[k]
	}
	n := 0
	for i, d := range group.deliveries {
		if i > 0 && d.event != group.deliveries[i-1].event {
			n = 1 - n
		}
		e := of(form.raw[n])
		e.deliveries = append(e.deliveries, d)
	}
	kind := in.rand.IntN(2)
	for _, e := range entries {
		ok := false
		if e.stream, ok = in.side(e.scope, streamSide, f.flaws&streamFlaws, kind); !ok {
			return nil, false
		}
	}
	batch, ok := in.side(group, batchSide, f.flaws&batchFlaws, kind)
	if !ok {
		return nil, false
	}
	of(form.batch).batch = batch
	if f.miss != "" && !in.miss(entries[stream], of(form.batch), f) {
		return nil, false
	}
	there := entries[stream].there()
	if f.flaws.has(keyForm) { // a form that neither side has is not to be seen
		there = batch.present && entries[stream].stream.present
		for _, e := range entries {
			there = there && e.there()
		}
	}
	if !there || tells(entries) {
		return entries, there
	}
	if f.miss == "" {
		in.untold++
	}
	return nil, false
}

// deliver is what arrived of a key's flights.
func (in *injector) deliver(ids []string, fs []flights.Flight, flaws flaw, k scope) []delivery {
	some := func(f flaw) map[int]bool { // of the flights: at least one, seldom all
		if !flaws.has(f) {
			return nil
		}
		out := map[int]bool{in.rand.IntN(len(fs)): true}
		for i := range fs {
			if in.rand.IntN(8) == 0 {
				out[i] = true
			}
		}
		return out
	}
	var load time.Time
	if flaws.has(restatedBatch) {
		load = k.loads[0]
	}
	late, dropped, twice, again, dead, gone := some(lateBatch|restatedBatch), some(lateStream), some(duplicatesBatch), some(duplicatesStream), some(droppedByBridge), some(cutByDrain)
	var out []delivery
	for i, f := range fs {
		fate := fateOf(dead[i], gone[i], dropped[i])
		arrived := in.arrival(k.end, late[i], load)
		if fate == undelivered || fate == lost {
			in.record(&out, f, ids[i], fate, arrived, 1)
			continue
		}
		messages := 1
		if again[i] || in.rand.IntN(40) == 0 {
			messages = 2
		}
		in.record(&out, f, ids[i], fate, arrived, messages)
		if twice[i] || in.rand.IntN(40) == 0 {
			in.record(&out, f, ids[i], fate, in.arrival(k.end, late[i] && in.rand.IntN(2) == 0, load), 1)
		}
	}
	return out
}

// fateOf is what becomes of an event that several things could happen to.
func fateOf(dead, gone, late bool) string {
	switch {
	case dead:
		return undelivered
	case gone:
		return lost
	case late:
		return tooLate
	}
	return counted
}

// side is what a side makes of what arrived under its flaws; kind is of duplicates.
func (in *injector) side(k scope, side int, flaws flaw, kind int) (values, bool) {
	counts := k.counts(side, flaws)
	if len(counts) == 0 {
		return values{}, false
	}
	return in.typed(counts[kind%len(counts)], flaws, k.units[side])
}

// typed is what a side's types make of what was counted.
func (in *injector) typed(s sums, flaws flaw, unit int64) (values, bool) {
	if s.n == 0 {
		return values{}, true
	}
	v := values{present: true}
	for c := range columns {
		v.of[c] = s.value(c)
	}
	if flaws.has(rounded) {
		way := in.rand.IntN(4)
		for _, c := range []column{kilometres, longest} {
			if all := s.rounded(c, unit); all != nil {
				v.of[c] = big.NewInt(all[min(way, len(all)-1)])
			}
		}
	}
	if flaws.has(overflown) {
		some := false
		for _, c := range []column{delayMicros, picometres} {
			if all := s.overflows(c); len(all) > 0 && !(some && in.rand.IntN(2) == 0) {
				v.of[c], some = all[in.rand.IntN(len(all))], true
			}
		}
		return v, some
	}
	return v, true
}

// forms are how a key is written.
type forms struct {
	name  string
	raw   [2]string // by the raw events and the stream: of the even and of the odd events
	batch string
	apart bool // they are no forms of each other
}

// forms draws a key that is written in two ways: on the batch side in another way, or by
// the raw events in two.
func (in *injector) forms(at key, events int, typed bool) forms {
	o := at.origin
	wide := strings.Map(func(r rune) rune {
		if r > ' ' && r < unicode.MaxASCII {
			return r + 0xfee0 // full width: another normal form
		}
		return r
	}, o)
	pair := []string{o, []string{strings.ToLower(o), " " + o, o + " ", o[:1] + strings.ToLower(o[1:]), wide}[in.rand.IntN(5)]}
	f := forms{name: o}
	if in.rand.IntN(6) == 0 && !in.null[at.start] {
		in.null[at.start] = true
		pair, f.name = []string{null, ""}, ""
	}
	in.rand.Shuffle(2, func(i, j int) { pair[i], pair[j] = pair[j], pair[i] })
	f.raw, f.batch = [2]string{pair[0], pair[0]}, pair[1]
	if events > 1 && !typed && in.rand.IntN(2) == 0 { // types would do to each form what they do
		f.raw, f.batch = [2]string{pair[0], pair[1]}, pair[0]
	}
	return f
}
