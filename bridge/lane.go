package bridge

import (
	"sync"
	"sync/atomic"
	"time"
)

// lane gathers the messages of one topic, or of one ordering key of a topic,
// into batches and hands them to its senders. A batch is due when it is full, when its first
// message has waited for linger, and at once while the budget is under
// pressure or the bridge is stopping. As long as no sender is free, an open
// batch goes on filling.
type lane struct {
	topic    string // of the destination: projects/P/topics/T, or the name of a Kafka topic
	head     []byte // beginning of each publish request
	params   string // requestParams
	linger   time.Duration
	maxBytes int
	maxCount int
	pressure *atomic.Bool // of the budget

	mu     sync.Mutex
	ready  sync.Cond
	sealed [][]*event // full batches, oldest first
	open   []*event
	bytes  int // of open
	since  time.Time
	timer  *time.Timer
	flush  int // reasons to wait for nothing
	closed bool

	state laneState
}

func newLane(topic string, linger time.Duration, maxBytes, maxCount int, pressure *atomic.Bool) *lane {
	l := &lane{
		topic: topic, head: requestHead(topic), params: requestParams(topic), linger: linger, maxCount: maxCount, pressure: pressure,
		maxBytes: maxBytes - requestSize(len(topic)),
	}
	l.ready.L = &l.mu
	l.timer = time.AfterFunc(time.Hour, l.wake)
	l.timer.Stop()
	return l
}

// add takes events in their order.
func (l *lane) add(events []*event) {
	if len(events) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		if len(l.open) > 0 && l.bytes+e.size() > l.maxBytes {
			l.seal()
		}
		if len(l.open) == 0 {
			l.since = time.Now()
			if l.linger > 0 {
				l.timer.Reset(l.linger)
			}
		}
		l.open = append(l.open, e)
		l.bytes += e.size()
		if len(l.open) >= l.maxCount || l.bytes >= l.maxBytes {
			l.seal()
		}
	}
	if l.due() {
		l.ready.Signal()
	}
}

func (l *lane) seal() {
	l.sealed = append(l.sealed, l.open)
	l.open, l.bytes = make([]*event, 0, min(len(l.open), l.maxCount)), 0
	l.ready.Signal()
}

func (l *lane) due() bool {
	return len(l.open) > 0 && (l.flush > 0 || l.pressure.Load() || time.Since(l.since) >= l.linger)
}

// take waits for a batch; nil means that the lane is closed.
func (l *lane) take() []*event {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return nil
		case len(l.sealed) > 0:
			batch := l.sealed[0]
			l.sealed[0] = nil
			if l.sealed = l.sealed[1:]; len(l.sealed) == 0 {
				l.sealed = nil
			}
			return batch
		case l.due():
			batch := l.open
			l.open, l.bytes = nil, 0
			return batch
		}
		l.ready.Wait()
	}
}

// wake makes idle senders look again.
func (l *lane) wake() {
	l.mu.Lock()
	l.ready.Broadcast()
	l.mu.Unlock()
}

// setFlush begins or ends a time in which batches are due at once. Several may
// overlap.
func (l *lane) setFlush(on bool) {
	l.mu.Lock()
	if on {
		l.flush++
	} else {
		l.flush--
	}
	l.ready.Broadcast()
	l.mu.Unlock()
}

// close lets the senders go. Events that are still here are not done.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.timer.Stop()
	l.ready.Broadcast()
	l.mu.Unlock()
}
