package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// tp is a partition of a source topic.
type tp struct {
	topic     string
	partition int32
}

func (p tp) String() string { return fmt.Sprintf("%s/%d", p.topic, p.partition) }

// fate is what has to become of a record.
type fate uint8

const (
	unknown    fate = iota // seen, but the producer has not reported it yet
	due                    // has to arrive
	poison                 // has to arrive in the dead letters
	aborted                // of an aborted transaction: must never arrive
	doubtful               // of a transaction whose end nobody knows yet
	compacting             // not committed when compaction began, whose outcome is not known yet
	compacted              // compacted away before it was committed: may be missing
	lost                   // truncated and reported as lost: must not arrive
)

// record is what the oracle knows of one offset. There are millions.
type record struct {
	want   uint64 // expected content
	full   uint64 // everything in the first copy
	member uint32 // who published the latest copy
	moves  uint32 // of the partition when that was
	copies uint16
	fate   fate
	dead   bool // the first copy came to the dead letters
	ghost  bool // a paused bridge may publish it long after it was committed
	early  bool // was found committed before it had arrived; reported

	kills, hidden, pauses uint8 // reasons for further copies, not used yet
}

// pending reports whether an offset must not be committed yet.
func (r *record) pending() bool {
	return (r.fate == due || r.fate == poison) && r.copies == 0 && !r.early
}

// arrival is a message that Pub/Sub stored.
type arrival struct {
	member  uint32
	from    tp
	offset  int64
	id      string // "" in a dead letter without one
	dead    bool
	content uint64    // of topic, data and event time, as in produced
	full    uint64    // of everything
	order   string    // topic and ordering key
	begun   time.Time // when the server took its request
}

// log is one partition.
type log struct {
	records   []record
	low       int64 // no offset below is pending
	moves     uint32
	latest    map[string]int64 // last first copy of an ordering key
	committed []commit         // oldest first; the last is the present one
}

type commit struct {
	at     time.Time
	offset int64
}

// late is how long after a commit a copy may still come whose request was on
// its way when the partition was taken from its bridge.
const late = 2 * time.Second

// asOf is what was committed at a time.
func (l *log) asOf(at time.Time) int64 {
	for _, c := range slices.Backward(l.committed) {
		if !c.at.After(at) {
			return c.offset
		}
	}
	return 0
}

func (l *log) now() int64 {
	if n := len(l.committed); n > 0 {
		return l.committed[n-1].offset
	}
	return 0
}

func (l *log) at(offset int64) *record {
	if grow := offset + 1 - int64(len(l.records)); grow > 0 {
		l.records = append(l.records, make([]record, grow)...)
	}
	return &l.records[offset]
}

// oracle knows what was produced, and judges what it sees.
type oracle struct {
	cluster string
	topics  map[string][16]byte // topic ids

	began time.Time

	mu     sync.Mutex
	logs   map[tp]*log
	undone map[uint32]int64 // records of partitions that a bridge gave away, which it may still publish
	tally  tally
	faults []string // first violations of each kind in words
}

func newOracle(cluster string, topics map[string][16]byte) *oracle {
	return &oracle{cluster: cluster, topics: topics, logs: make(map[tp]*log), undone: make(map[uint32]int64), began: time.Now()}
}

func (o *oracle) log(p tp) *log {
	l := o.logs[p]
	if l == nil {
		l = &log{}
		o.logs[p] = l
	}
	return l
}

// keptFaults is how many violations of each kind are told in words.
const keptFaults = 10

// fault notes a violation. o.mu is held.
func (o *oracle) fault(n *int64, format string, args ...any) {
	if *n++; *n <= keptFaults {
		o.faults = append(o.faults, fmt.Sprintf("%.1fs: ", time.Since(o.began).Seconds())+fmt.Sprintf(format, args...))
	}
}

// produced notes a record that Kafka has, and what its message must be.
func (o *oracle) produced(p tp, offset int64, f fate, content uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.log(p)
	r := l.at(offset)
	if r.fate != unknown {
		o.fault(&o.tally.Soak, "%s/%d was produced twice: the soak itself is at fault", p, offset)
		return
	}
	r.fate, r.want = f, content
	o.tally.Records++
	if r.copies > 0 { // arrived before its producer heard of it
		o.judge(p, offset, r, r.dead, r.full, content)
		return
	}
	if r.pending() {
		if now := l.now(); offset < now {
			r.early = true
			o.fault(&o.tally.CommittedEarly, "%s/%d was committed (to %d) and has not arrived", p, offset, now)
		}
		l.low = min(l.low, offset)
	}
}

// judge compares the first copy with what was expected. o.mu is held.
func (o *oracle) judge(p tp, offset int64, r *record, dead bool, content, want uint64) {
	switch {
	case r.fate == lost:
		o.fault(&o.tally.Phantoms, "%s/%d was reported as lost, and arrived", p, offset)
	case dead && r.fate != poison:
		o.fault(&o.tally.Misplaced, "%s/%d went to the dead letters", p, offset)
	case !dead && r.fate == poison:
		o.fault(&o.tally.Misplaced, "%s/%d can never be published, and was", p, offset)
	case content != want:
		o.fault(&o.tally.WrongContent, "%s/%d has other content than was produced, or is in another topic", p, offset)
	}
}

// stored notes a message that the server keeps. hidden says that the bridge is
// not told so.
func (o *oracle) stored(a arrival, hidden bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	id, ok := o.topics[a.from.topic]
	if !ok || a.offset < 0 || a.offset > 1<<40 {
		o.fault(&o.tally.Phantoms, "a message says that it is %s/%d", a.from, a.offset)
		return
	}
	if want := eventID(o.cluster, id, a.from.partition, a.offset); a.id != want && (a.id != "" || !a.dead) {
		o.fault(&o.tally.WrongID, "%s/%d has id %q, want %s", a.from, a.offset, a.id, want)
	}
	o.tally.Stored++
	if a.dead {
		o.tally.DeadLetters++
	}
	l := o.log(a.from)
	r := l.at(a.offset)
	if r.copies == 0 {
		o.ordered(l, a)
		r.dead = a.dead
		switch {
		case r.fate == unknown:
			r.full = a.content // judged when the producer hears of it
		default:
			o.judge(a.from, a.offset, r, a.dead, a.content, r.want)
			r.full = a.full
		}
	} else {
		o.copy(l, r, a)
	}
	r.copies++
	r.member, r.moves = a.member, l.moves
	if hidden {
		r.hidden++
	}
}

// ordered judges whether the messages of an ordering key arrive, for the first
// time each, in the order of their records. o.mu is held.
func (o *oracle) ordered(l *log, a arrival) {
	if a.order == "" {
		if a.from.topic == topicCut {
			o.fault(&o.tally.Disordered, "%s/%d has no ordering key", a.from, a.offset)
		}
		return
	}
	if l.latest == nil {
		l.latest = make(map[string]int64)
	}
	if last, ok := l.latest[a.order]; ok && a.offset < last {
		o.fault(&o.tally.Disordered, "%s/%d arrived after %d of the same ordering key", a.from, a.offset, last)
	}
	l.latest[a.order] = max(l.latest[a.order], a.offset)
}

// copy judges a copy beside the first. o.mu is held.
func (o *oracle) copy(l *log, r *record, a arrival) {
	d := &o.tally.Duplicates
	d.Total++
	if known := r.full; known != a.full && known != a.content || r.dead != a.dead {
		o.fault(&o.tally.TwoContents, "%s/%d came with two contents, or to two topics", a.from, a.offset)
	}
	switch {
	case r.hidden > 0:
		r.hidden--
		d.Hidden++
	case r.kills > 0:
		r.kills--
		d.Killed++
	case r.pauses > 0:
		r.pauses--
		d.Paused++
	case r.member != a.member, r.moves != l.moves:
		d.Moved++
	case o.undone[a.member] > 0:
		o.undone[a.member]--
		d.Moved++
	default:
		o.fault(&d.Unexplained, "%s/%d was published again by the same bridge (%d) for no reason", a.from, a.offset, a.member)
	}
	if committed := l.asOf(a.begun.Add(-late)); a.offset < committed && !r.ghost {
		o.fault(&o.tally.AfterCommit, "%s/%d was published again by bridge %d although %d was committed", a.from, a.offset, a.member, committed)
	}
}

// asks notes that a bridge asks to commit an offset.
//
// invariant B1: every record before it has arrived.
func (o *oracle) asks(p tp, offset int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.log(p)
	o.tally.Commits++
	for ; l.low < min(offset, int64(len(l.records))); l.low++ {
		if r := &l.records[l.low]; r.pending() {
			r.early = true
			o.fault(&o.tally.CommittedEarly, "%s was committed to %d, and %d has not arrived", p, offset, l.low)
		}
	}
}

// commits notes that an offset is committed.
func (o *oracle) commits(p tp, offset int64, at time.Time) {
	o.mu.Lock()
	now := o.log(p).now()
	o.mu.Unlock()
	if offset == now {
		return
	}
	o.asks(p, offset) // where nobody saw it asked
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.log(p)
	if offset < now {
		o.fault(&o.tally.CommittedEarly, "%s was committed to %d after it had been to %d", p, offset, now)
	}
	l.committed = append(l.committed, commit{at, offset})
	for len(l.committed) > 2 && time.Since(l.committed[1].at) > time.Minute {
		l.committed = l.committed[1:]
	}
}

// finish judges what is not there, once everything has been delivered.
func (o *oracle) finish() (tally, []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	byName := func(a, b tp) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	}
	for _, p := range slices.SortedFunc(maps.Keys(o.logs), byName) {
		for i := range o.logs[p].records {
			switch r := &o.logs[p].records[i]; {
			case (r.fate == due || r.fate == poison) && r.copies == 0:
				o.fault(&o.tally.Missing, "%s/%d never arrived", p, i)
			case r.fate == aborted && r.copies > 0:
				o.fault(&o.tally.Phantoms, "%s/%d is of an aborted transaction, and arrived", p, i)
			case r.fate == unknown && r.copies > 0:
				o.fault(&o.tally.Phantoms, "%s/%d arrived and was never produced", p, i)
			}
		}
	}
	return o.tally, slices.Clone(o.faults)
}

// progress is how many records were produced and how many messages stored.
func (o *oracle) progress() (produced, stored, duplicates int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tally.Records, o.tally.Stored, o.tally.Duplicates.Total
}

// unfinished names the partitions that have records which did not arrive, or
// which are not committed.
func (o *oracle) unfinished(committed map[tp]int64) (names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, l := range o.logs {
		missing, first, end := 0, int64(-1), int64(0)
		for i := range l.records {
			r := &l.records[i]
			if r.pending() {
				if missing++; first < 0 {
					first = int64(i)
				}
			}
			if r.fate == due || r.fate == poison {
				end = int64(i) + 1
			}
		}
		switch {
		case missing > 0:
			names = append(names, fmt.Sprintf("%s: %d records have not arrived, the first is %d; committed %d of %d", p, missing, first, committed[p], end))
		case committed[p] < end:
			names = append(names, fmt.Sprintf("%s: all arrived, committed only %d of %d", p, committed[p], end))
		}
	}
	slices.Sort(names)
	return names
}
