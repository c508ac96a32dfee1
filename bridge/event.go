package bridge

import (
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// event is one message on its way: of one event, or of a bundle of them.
type event struct {
	record *kgo.Record
	ticket ticket
	origin *origin
	chunk  *chunk   // whose bytes the record is part of
	parts  *parts   // nil where the record is this one message
	bundle []*event // the events of a bundle, which have no message of their own; nil where there is none

	lane  int    // number of the lane
	entry []byte // the message as an entry of a publish request
	data  []byte // that stands apart, after cut bytes of entry; nil if it stands in it
	cut   int
	held  *segment
	at    int // of entry in held

	// Of an event of a bundle, or of the bundle.
	when, source int64 // milliseconds
	ordering     []byte
}

// origin is what all records of a partition have in common.
type origin struct {
	prefix    string // of the position: cluster/topic/partition/
	hash      uint64 // topicHash
	partition int32
}

// chunk is the records of one poll. Their bytes are charged together and given
// back together: one record keeps the fetch's whole buffer alive.
type chunk struct {
	polled time.Time
	bytes  int64
	left   atomic.Int64 // records that are not done
}

// parts is shared by the messages of one record: its events, where it has
// several, or the parts of its dead letter. The record is done with the last.
type parts struct {
	left atomic.Int32
	of   *parts // a dead letter of one of several events: theirs
}

// size is the size of the message in a publish request, in bytes.
func (e *event) size() int { return len(e.entry) + len(e.data) }

// events calls f with every event of a message.
func (e *event) events(f func(*event)) {
	if e.bundle == nil {
		f(e)
		return
	}
	for _, m := range e.bundle {
		f(m)
	}
}

// first is the first event of a message.
func (e *event) first() *event {
	if len(e.bundle) > 0 {
		return e.bundle[0]
	}
	return e
}

// fenced reports whether the partitions of a message are all no longer ours.
func (e *event) fenced() bool {
	fenced := true
	e.events(func(m *event) { fenced = fenced && m.ticket.to.fenced.Load() })
	return fenced
}
