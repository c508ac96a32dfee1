package bridge

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// partitionID names a partition.
type partitionID struct {
	topic     string
	partition int32
}

// mark is where consumption goes on: what is committed for a partition.
type mark struct {
	offset      int64
	leaderEpoch int32
}

// ledger knows which fetched records of which partitions are done. It does no
// I/O. A partition has one assignment at a time; giving it away fences that
// assignment for ever, and getting it back makes a new one, so that whatever
// is still in flight for the old one can no longer move an offset.
type ledger struct {
	mu    sync.Mutex
	parts map[partitionID]*assignment
	epoch uint64
}

func newLedger() *ledger { return &ledger{parts: make(map[partitionID]*assignment)} }

// assign begins a new assignment of id whose first record is at or after
// start. An assignment of id that is still there is fenced.
func (l *ledger) assign(id partitionID, start int64) *assignment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.parts[id]; old != nil {
		old.fence()
	}
	l.epoch++
	a := &assignment{id: id, epoch: l.epoch, next: start, committed: start}
	l.parts[id] = a
	return a
}

// revoke ends the assignment of id: it commits nothing more, and its late
// acknowledgements are ignored.
func (l *ledger) revoke(id partitionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.parts[id]; a != nil {
		a.fence() // invariant B5
		delete(l.parts, id)
	}
}

// current returns the assignment of id, nil if there is none.
func (l *ledger) current(id partitionID) *assignment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.parts[id]
}

// assignments returns all current assignments.
func (l *ledger) assignments() []*assignment {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*assignment, 0, len(l.parts))
	for _, a := range l.parts {
		all = append(all, a)
	}
	return all
}

// committable returns what can be committed and has not been.
func (l *ledger) committable() map[partitionID]mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	var marks map[partitionID]mark
	for id, a := range l.parts {
		if m, ok := a.committable(); ok {
			if marks == nil {
				marks = make(map[partitionID]mark)
			}
			marks[id] = m
		}
	}
	return marks
}

// committedTo notes that marks were committed.
func (l *ledger) committedTo(marks map[partitionID]mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, m := range marks {
		if a := l.parts[id]; a != nil {
			a.committedTo(m.offset)
		}
	}
}

// outstanding returns the number of fetched records that are not done.
func (l *ledger) outstanding() int {
	n := 0
	for _, a := range l.assignments() {
		n += a.outstanding()
	}
	return n
}

// ticket is one fetched record of one assignment.
type ticket struct {
	to  *assignment
	seq uint64
}

// assignment is one partition for as long as it is ours.
type assignment struct {
	id    partitionID
	epoch uint64

	fenced atomic.Bool // set once; a fenced assignment is dead

	mu      sync.Mutex
	entries []entry // ring: records from seq head on, in the order fetched
	head    uint64  // seq of the first record that is not trimmed
	tail    uint64  // seq that the next record gets
	open    int     // records that are not done
	next    int64   // lowest offset that may still be fetched

	done      mark // after the last record of the done prefix
	hasDone   bool
	latest    int64 // timestamp of the record before done
	committed int64
}

type entry struct {
	offset      int64
	milli       int64 // the record's own timestamp, since the epoch
	leaderEpoch int32
	done        bool
}

// fetched enters the records that were fetched, in order, and returns the
// ticket of the first; the others follow by seq. Offsets have gaps where
// records were compacted away or were transaction markers. An offset that does
// not grow is an error: the log was rewritten under us.
//
// invariant B1: what is entered is what was fetched, never a range of offsets.
func (a *assignment) fetched(n int, record func(i int) entry) (ticket, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := ticket{to: a, seq: a.tail}
	due := a.next
	for i := range n { // all or none is entered
		offset := record(i).offset
		if offset < due {
			return first, fmt.Errorf("record at offset %d was fetched where %d or later was due", offset, due)
		}
		due = offset + 1
	}
	for i := range n {
		a.push(record(i))
	}
	a.next = due
	return first, nil
}

func (a *assignment) push(e entry) {
	if n := uint64(len(a.entries)); a.tail-a.head == n {
		grown := make([]entry, max(64, 2*n)) // always a power of two
		for seq := a.head; seq < a.tail; seq++ {
			grown[seq&uint64(len(grown)-1)] = a.entries[seq&(n-1)]
		}
		a.entries = grown
	}
	a.entries[a.tail&uint64(len(a.entries)-1)] = e
	a.tail++
	a.open++
}

// ack notes that records are done: acknowledged by the destination, durably
// dead-lettered, or filtered. Acknowledging twice, or after the assignment
// ended, does nothing.
func (a *assignment) ack(seqs []uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, seq := range seqs {
		if seq < a.head || seq >= a.tail {
			continue // acknowledged before, or the assignment is over
		}
		if e := &a.entries[seq&uint64(len(a.entries)-1)]; !e.done {
			e.done = true
			a.open--
		}
	}
	a.trim()
}

// trim moves the done prefix on.
func (a *assignment) trim() {
	for a.head < a.tail {
		e := a.entries[a.head&uint64(len(a.entries)-1)]
		if !e.done {
			return // invariant B1: nothing beyond a record that is not done
		}
		a.done, a.hasDone, a.latest = mark{e.offset + 1, e.leaderEpoch}, true, e.milli
		a.head++
	}
	if len(a.entries) > 4096 {
		a.entries = nil // a burst is over: give its memory back
	}
}

// committable returns the highest offset that can be committed, if that is
// further than what was committed.
func (a *assignment) committable() (mark, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fenced.Load() || !a.hasDone || a.done.offset <= a.committed {
		return mark{}, false
	}
	return a.done, true
}

func (a *assignment) committedTo(offset int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.committed = max(a.committed, offset)
}

// position returns the lowest offset that may still be fetched and the last
// one that was committed.
func (a *assignment) position() (next, committed int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.next, a.committed
}

// behind returns the age of the oldest record that is not done; where none is
// outstanding, but lag records are still to be read, that of the newest one
// that is done.
func (a *assignment) behind(now time.Time, lag int64) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case lag == 0:
		return 0
	case a.head < a.tail && len(a.entries) > 0:
		return max(0, now.Sub(time.UnixMilli(a.entries[a.head&uint64(len(a.entries)-1)].milli)))
	case a.hasDone:
		return max(0, now.Sub(time.UnixMilli(a.latest)))
	default:
		return 0
	}
}

func (a *assignment) outstanding() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fenced.Load() {
		return 0
	}
	return a.open
}

func (a *assignment) fence() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fenced.Store(true)
	a.entries, a.head, a.open = nil, a.tail, 0 // no ticket finds its record any more
}
