package main

// What befalls records: reasons why they may come again, or not at all.

// killed notes that a bridge was killed, all of its requests being decided, and
// returns how many records it exposes: arrived from it and not committed, so
// that they will come again.
func (o *oracle) killed(member uint32, committed map[tp]int64) (exposed int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, from := range committed {
		l := o.log(p)
		for i := from; i < int64(len(l.records)); i++ {
			if r := &l.records[i]; r.copies > 0 && r.member == member {
				r.kills++
				exposed++
			}
		}
	}
	return exposed
}

// paused notes that a bridge was stopped for so long that others took its
// partitions: what it had read it may still publish, whatever they did since.
func (o *oracle) paused(committed, ends map[tp]int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, from := range committed {
		l := o.log(p)
		for i := from; i < ends[p]; i++ {
			r := l.at(i)
			r.pauses++
			r.ghost = true
		}
	}
}

// hide notes that answers to requests of a bridge were lost: records that
// arrived from it since, and are not committed, may come again.
func (o *oracle) hide(keys []place) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, k := range keys {
		o.log(k.from).at(k.offset).hidden++
	}
}

// place is a record's position.
type place struct {
	from   tp
	offset int64
}

// moved notes that a partition has another owner.
func (o *oracle) moved(p tp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log(p).moves++
}

// compacts notes that a partition is about to be compacted: until it is known
// what is left, records that are not committed yet may be gone.
func (o *oracle) compacts(p tp, committed int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.log(p)
	for i := committed; i < int64(len(l.records)); i++ {
		if r := &l.records[i]; r.fate == due && r.pending() {
			r.fate = compacting
		}
	}
}

// compactedAway notes which records a partition still has: others that had not
// been committed when compaction began need not arrive.
func (o *oracle) compactedAway(p tp, survive map[int64]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.log(p)
	for i := range l.records {
		r := &l.records[i]
		switch {
		case r.fate != compacting:
			continue
		case r.copies > 0 || survive[int64(i)]:
			r.fate = due
		default:
			r.fate = compacted
			o.tally.Compacted++
		}
		if now := l.now(); r.pending() && int64(i) < now {
			r.early = true
			o.fault(&o.tally.CommittedEarly, "%s/%d was committed (to %d) and has not arrived", p, i, now)
		}
		if r.pending() {
			l.low = min(l.low, int64(i))
		}
	}
}

// transactions settles what became of the transactions in a partition, by what
// a reader of committed records sees there: a producer may have been told
// wrongly, or nothing, about their ends while Kafka was in trouble.
func (o *oracle) transactions(p tp, visible map[int64]bool) (changed int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.log(p)
	for i := range l.records {
		r := &l.records[i]
		was := r.fate
		switch {
		case visible[int64(i)] && (was == aborted || was == doubtful):
			r.fate = due
		case !visible[int64(i)] && was == due:
			o.fault(&o.tally.Soak, "%s/%d was committed, and Kafka does not show it", p, i)
			r.fate = aborted
		case !visible[int64(i)] && was == doubtful:
			r.fate = aborted
		}
		if was != r.fate {
			changed++
		}
	}
	return changed
}

// left notes that partitions are not a bridge's any more: who gets them, which
// may be itself, reads again what it had not committed, beside so many records
// of them that it has not done yet and may still publish.
func (o *oracle) left(member uint32, partitions []tp, undone int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range partitions {
		o.log(p).moves++
	}
	o.undone[member] += undone
}

// gone notes that a bridge reported offsets from up to, without, to as lost.
// It returns how many records there were.
func (o *oracle) gone(p tp, from, to int64) (n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.log(p)
	for i := from; i < min(to, int64(len(l.records))); i++ {
		r := &l.records[i]
		if r.fate == unknown {
			continue
		}
		if r.copies > 0 {
			continue // it had arrived, and was not committed yet
		}
		r.fate = lost
		n++
	}
	o.tally.Lost += n
	return n
}
