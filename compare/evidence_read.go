package compare

import (
	"fmt"
	"math/big"
	"slices"
)

// evidenceReader takes the rows of an evidence query, which come key by key, and
// attributes causes to the keys that are forms of each other as soon as all of theirs
// have come: so memory does not grow with the events.
type evidenceReader struct {
	x      *examination
	e      evidenceBatch
	byFold map[string][]*openKey
	key    map[string]int // place among the distinct keys
	fold   int            // place of the first key whose rows are being read; -1: none
	groups map[int][]eventGroup
	shifts []int64
}

func (x *examination) reader(e evidenceBatch) *evidenceReader {
	r := &evidenceReader{x: x, e: e, byFold: map[string][]*openKey{}, key: map[string]int{}, fold: -1}
	for _, o := range e.keys {
		r.byFold[o.fold] = append(r.byFold[o.fold], o)
	}
	for i, k := range e.distinct {
		r.key[exactText(k)] = i
	}
	if e.shift {
		for _, o := range shiftOffsets {
			r.shifts = append(r.shifts, int64(o/e.slot))
		}
	}
	return r
}

func (r *evidenceReader) read(row row) error {
	n, err := get[int64](row, "g")
	if err != nil {
		return err
	}
	if n < 0 || n >= int64(len(r.e.distinct)) {
		return fmt.Errorf("evidence for key %d, which was not asked for", n)
	}
	g, err := r.readGroup(row)
	if err != nil {
		return err
	}
	if r.fold < 0 || r.e.folds[n] != r.e.folds[r.fold] {
		r.flush()
		r.fold, r.groups = int(n), map[int][]eventGroup{}
	}
	r.groups[int(n)] = append(r.groups[int(n)], g)
	return nil
}

func (r *evidenceReader) readGroup(row row) (g eventGroup, err error) {
	if g.slot, err = get[int64](row, "slot"); err != nil {
		return g, err
	}
	sign, err := get[string](row, "sign")
	if err != nil {
		return g, err
	}
	if g.records, err = parseSign(sign); err != nil {
		return g, err
	}
	if g.n, err = row.counter("n"); err != nil {
		return g, err
	}
	if g.inconsistent, err = row.counter("inconsistent"); err != nil {
		return g, err
	}
	g.values = make([]metricParts, len(r.e.rules))
	for i, m := range r.e.rules {
		if m.merge == mergeCount || m.merge == mergeUnknown {
			continue
		}
		v := &g.values[i]
		if v.value, v.invalid, err = finiteNumber(row, fmt.Sprintf("m%d", i)); err != nil {
			return g, err
		}
		for s, places := range m.places {
			if places >= 0 && m.merge == mergeSum {
				if v.rounded[s], err = row.decimal(fmt.Sprintf("%s%d", roundedNames[s], i)); err != nil {
					return g, err
				}
			}
		}
	}
	return g, nil
}

// finiteNumber reads a number; invalid says that it is NaN or infinite.
func finiteNumber(row row, name string) (v *big.Rat, invalid bool, err error) {
	raw, err := row.value(name)
	if err != nil {
		return nil, false, err
	}
	if f, ok := raw.(float64); ok && new(big.Rat).SetFloat64(f) == nil {
		return nil, true, nil
	}
	v, err = row.decimal(name)
	return v, false, err
}

// flush attributes causes to the keys whose rows have come.
func (r *evidenceReader) flush() {
	if r.fold < 0 {
		return
	}
	fold := r.e.folds[r.fold]
	r.attribute(r.byFold[fold])
	delete(r.byFold, fold)
}

// finish attributes causes to what is left: keys of which there is no raw event too.
func (r *evidenceReader) finish() {
	r.flush()
	r.groups = nil
	for _, keys := range r.byFold {
		r.attribute(keys)
	}
	r.byFold = nil
}

// attribute takes keys that are forms of each other, by window.
func (r *evidenceReader) attribute(keys []*openKey) {
	for len(keys) > 0 {
		n := 1
		for n < len(keys) && keys[n].d.window.Equal(keys[0].d.window) {
			n++
		}
		r.attributeWindow(keys[:n])
		keys = keys[n:]
	}
}

func (r *evidenceReader) attributeWindow(keys []*openKey) {
	var all []eventGroup
	var members []*difference
	oneSided := false
	for _, o := range keys {
		groups := r.near(r.groups[r.key[exactText(o.d.keys)]], o)
		all, members = append(all, groups...), append(members, o.d)
		o.finding, o.examined = r.subject(o, groups, [2]sideValue{o.d.batch, o.d.stream}).attribute(), true
		r.noteLoad(o, &o.finding)
		oneSided = oneSided || !o.d.batch.present || !o.d.stream.present
	}
	if len(keys) < 2 || !oneSided {
		return
	}
	// Taken for one key, do they agree? A form that only one side has is the evidence.
	sides := merged(r.e.rules, members)
	if !sides[batchSide].present || !sides[streamSide].present {
		return
	}
	forms := r.subject(keys[0], all, sides).attribute()
	forms.facts.forms = len(keys)
	r.noteLoad(keys[0], &forms)
	for _, o := range keys {
		o.forms = &forms
	}
}

func (r *evidenceReader) noteLoad(o *openKey, f *finding) {
	if f.facts.load > 0 {
		f.facts.loadedAt = r.e.loads[f.facts.load-1]
	}
}

// near is the part of the groups, which are in order, that the key's hypotheses use.
func (r *evidenceReader) near(groups []eventGroup, o *openKey) []eventGroup {
	w := r.window(o)
	if r.e.shift {
		reach := int64(maxOffset / r.e.slot)
		w = slots{w.from - reach, w.to + reach}
	}
	at := func(slot int64) int {
		i, _ := slices.BinarySearchFunc(groups, slot, func(g eventGroup, s int64) int { return int(g.slot - s) })
		return i
	}
	return groups[at(w.from):at(w.to)]
}

func (r *evidenceReader) window(o *openKey) slots {
	return slots{int64(o.d.window.Sub(r.e.within.From) / r.e.slot), int64(o.end.Sub(r.e.within.From) / r.e.slot)}
}

func (r *evidenceReader) subject(o *openKey, groups []eventGroup, sides [2]sideValue) subject {
	s := subject{rules: r.e.rules, sides: sides, groups: groups, window: r.window(o), unloaded: r.x.unloaded(o)}
	for _, t := range r.x.restated(o) {
		if i := slices.IndexFunc(r.e.loads, t.Equal); i >= 0 {
			s.loads = append(s.loads, loadTime{i + 1, t.Before(o.end.Add(r.x.q.spec.Batch.Cutoff.D()))})
		}
	}
	if o.suspect {
		s.shifts = r.shifts
	}
	return s
}
