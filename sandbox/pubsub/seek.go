package pubsub

import (
	"cmp"
	"slices"
	"time"
)

// unacknowledged returns the messages that are not acknowledged for good, in
// the order in which they were published. Among them are messages of an
// ordering key that are acknowledged while one before them is not: they are
// delivered again with it.
func (b *backlog) unacknowledged(now time.Time) []message {
	out := make([]message, 0, int(b.count)+len(b.dying))
	t := now.UnixNano()
	add := func(h *held) {
		if !b.expired(h.msg, t) {
			out = append(out, h.msg)
		}
	}
	for i := range b.queue.len() {
		if p := b.queue.at(i); p.h != nil {
			add(p.h)
		}
	}
	for i := range b.again.len() {
		add(*b.again.at(i))
	}
	for _, h := range b.leases {
		if h.key == nil {
			add(h)
		}
	}
	for _, k := range b.keys {
		for i := range k.out.len() {
			add(*k.out.at(i))
		}
		for i := range k.waiting.len() {
			add(*k.waiting.at(i))
		}
	}
	for h := range b.dying {
		add(h)
	}
	sortMessages(out)
	return out
}

// sortMessages puts messages into the order in which they were published.
func sortMessages(messages []message) {
	slices.SortFunc(messages, func(a, b message) int { return cmp.Compare(a.id, b.id) })
}

// reset makes exactly some messages pending and others acknowledged. Every ack
// id is void from now on: leases are numbered on, so none of them comes again.
func (b *backlog) reset(unacked, acked []message) {
	for _, h := range b.leases {
		b.unlease(h)
	}
	for _, k := range b.keys {
		if k.in != nil {
			k.unbind()
		}
		// A consumer that it was listed with keeps it until it looks for more:
		// it must not hold messages until then.
		*k = keyQueue{}
	}
	b.purge()
	for _, m := range unacked {
		b.add(m)
	}
	if b.retainAcked {
		for _, m := range acked {
			b.retain(m)
		}
	}
}

// retain keeps an acknowledged message.
func (b *backlog) retain(m message) {
	b.acked = append(b.acked, m)
	b.ackedBytes += int64(len(m.encoded))
}

// sweepDue reports whether there are twice as many acknowledged messages as
// after the last sweep. So sweeping costs a message two looks at most, however
// often the owner asks.
func (b *backlog) sweepDue() bool { return len(b.acked) > b.sweepAt }

// sweep drops acknowledged messages that are past their retention, or all of
// them if none are to be kept any more.
func (b *backlog) sweep(now time.Time) {
	t := now.UnixNano()
	b.acked = slices.Clone(slices.DeleteFunc(b.acked, func(m message) bool { return !b.retainAcked || b.expired(m, t) }))
	b.ackedBytes = 0
	for _, m := range b.acked {
		b.ackedBytes += int64(len(m.encoded))
	}
	b.sweepAt = 2*len(b.acked) + 1024
}

// configure applies changed settings.
func (b *backlog) configure(now time.Time, p policy) {
	b.policy = p
	b.sweep(now)
}

// seekTime decides what is acknowledged after a seek to a time, in nanoseconds
// since the epoch: what was published before it.
func seekTime(at int64) func(unacked, acked []message) (nextUnacked, nextAcked []message) {
	return func(unacked, acked []message) (nextUnacked, nextAcked []message) {
		for _, messages := range [][]message{unacked, acked} {
			for _, m := range messages {
				if m.published < at {
					nextAcked = append(nextAcked, m)
				} else {
					nextUnacked = append(nextUnacked, m)
				}
			}
		}
		sortMessages(nextUnacked)
		return nextUnacked, nextAcked
	}
}

// seekSnapshot decides what is acknowledged after a seek to a snapshot: all
// that it does not hold.
func seekSnapshot(snapshot []message) func(unacked, acked []message) (nextUnacked, nextAcked []message) {
	return func(unacked, acked []message) (nextUnacked, nextAcked []message) {
		pending := make(map[uint64]struct{}, len(snapshot))
		for _, m := range snapshot {
			pending[m.id] = struct{}{}
		}
		for _, messages := range [][]message{unacked, acked} {
			for _, m := range messages {
				if _, ok := pending[m.id]; !ok {
					nextAcked = append(nextAcked, m)
				}
			}
		}
		return snapshot, nextAcked
	}
}
