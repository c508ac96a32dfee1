package main

import (
	"maps"
	"math/big"
	"slices"
)

// miss puts the evidence of a key off by one. It reports false where there is nothing
// that could be.
func (in *injector) miss(stream, batch *entry, f fate) bool {
	side, off := batchSide, &batch.batch
	if in.rand.IntN(2) == 0 {
		side, off = streamSide, &stream.stream
	}
	unit := batch.units[side]
	switch f.miss {
	case missEvent:
		d := stream.deliveries[in.rand.IntN(len(stream.deliveries))]
		one, _ := in.typed(sums{1, d.delay, d.miles, d.miles, nearest(d.miles*millionthsOfKm, unit)}, f.flaws&rounded, unit)
		*off = off.plus(one)
	case missUnit:
		if !off.present {
			return false
		}
		c := delaySum + column(in.rand.IntN(int(columns-delaySum)))
		by := int64(1 - 2*in.rand.IntN(2))
		if c.kept() > 1 {
			by *= unit
		}
		off.of[c] = new(big.Int).Add(off.of[c], big.NewInt(by))
	case missPlaces:
		if !off.present || unit > 1 {
			return false
		}
		x := off.of[kilometres].Int64()
		off.of[kilometres] = big.NewInt(nearest(x, 10_000))
	case missBounds:
		if !off.present || off.of[delayMicros].BitLen() > 31 {
			return false
		}
		turn := new(big.Int).Lsh(big.NewInt(1), 32)
		if in.rand.IntN(2) == 0 {
			turn.Neg(turn)
		}
		off.of[delayMicros] = turn.Add(turn, off.of[delayMicros])
	case missCutoff, missLoad:
		at := stream.cutoff()
		if f.miss == missLoad {
			at = stream.loads[0]
		}
		i := slices.IndexFunc(stream.deliveries, func(d delivery) bool { return d.arrived.After(at) })
		if i < 0 {
			return false
		}
		for n := range stream.deliveries { // at the time is in time
			if stream.deliveries[n].position == stream.deliveries[i].position {
				stream.deliveries[n].arrived = at
			}
		}
	case missRaw:
		event := stream.deliveries[in.rand.IntN(len(stream.deliveries))].event
		stream.deliveries = slices.DeleteFunc(stream.deliveries, func(d delivery) bool { return d.event == event })
	}
	return true
}

// tells reports whether a window's forms of a key show what was done to them, in every
// comparison: something that was done fits each that differs. To a near miss nothing fits
// that was not done, and in some comparison nothing at all.
func tells(forms map[key]*entry) bool {
	k := &keyed{entries: forms, keys: slices.Collect(maps.Keys(forms))}
	misses, unfit := false, false
	for _, e := range forms {
		misses = misses || e.fate.miss != ""
	}
	for _, c := range comparisons {
		for at, want := range k.expect(c.metrics) {
			f := forms[at].fate
			done := func(s flaw) bool { return s.part(f.flaws) }
			unfit = unfit || f.miss != "" && len(want.sets) == 0
			if f.miss != "" && !all(want.sets, done) || f.miss == "" && !slices.ContainsFunc(want.sets, done) {
				return false
			}
		}
	}
	return unfit || !misses
}

func all(sets []flaw, is func(flaw) bool) bool {
	return !slices.ContainsFunc(sets, func(s flaw) bool { return !is(s) })
}
