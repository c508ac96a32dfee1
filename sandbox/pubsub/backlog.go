package pubsub

import (
	"time"
)

// message is a published message; its bytes are shared by the subscriptions of
// its topic.
type message struct {
	encoded     []byte // PubsubMessage with id and publish time
	orderingKey string
	id          uint64 // ascending in the order of publishing
	published   int64  // nanoseconds since the epoch
}

// held is a message in one subscription.
type held struct {
	msg      message
	key      *keyQueue // nil: delivered in any order
	by       *consumer // who it is leased to
	lease    uint64    // 0: pending, or acknowledged and kept for its key's order
	deadline int64     // of the lease, nanoseconds since the epoch
	watched  int64     // the deadline under which the heap knows the lease
	attempts int32     // deliveries so far
}

// consumer is one stream or one unary pull, as the backlog sees it.
type consumer struct {
	maxMessages int64 // outstanding at a time; 0: no limit
	maxBytes    int64
	messages    int64 // outstanding
	bytes       int64
	keys        fifo[*keyQueue] // ordering keys listed with this consumer; void where keyQueue.in says otherwise
	listed      int             // entries of keys that are not void
	turn        bool            // whether bound keys go before the common queue
	closed      bool
}

func (c *consumer) full() bool {
	return c.maxMessages > 0 && c.messages >= c.maxMessages || c.maxBytes > 0 && c.bytes >= c.maxBytes
}

// pending is an element of the common queue: a message, or an ordering key
// that has messages pending and is bound to no consumer.
type pending struct {
	h *held
	k *keyQueue
}

// policy is what of a subscription's settings bears on delivery.
type policy struct {
	ordered     bool
	maxAttempts int32 // 0: no dead lettering
	retention   time.Duration
	retainAcked bool // keep acknowledged messages for seeking to a time
}

// backlog is the state of one subscription's messages. It does no I/O and
// keeps no time: its owner locks it, passes the time, and calls expire when
// the time of nextDeadline has come.
type backlog struct {
	policy
	queue     fifo[pending] // new messages and refused ones, and unbound ordering keys
	again     fifo[*held]   // messages whose lease ended: before the queue, for they are the oldest
	keys      map[string]*keyQueue
	leases    map[uint64]*held
	deadlines deadlineHeap
	lastLease uint64
	bytes     int64   // of all messages that are not gone
	count     int64   // of them
	dead      []*held // to be dead-lettered; the owner takes them out

	// dying holds the dead letters that are not published yet: until then they
	// are not acknowledged, and may come back.
	dying map[*held]struct{}

	acked      []message // acknowledged and retained, in the order of acknowledging
	ackedBytes int64     // of them
	sweepAt    int       // how many of them there may be before the old are looked for
}

func newBacklog(p policy) *backlog {
	return &backlog{policy: p, keys: map[string]*keyQueue{}, leases: map[uint64]*held{}}
}

// deadlineGrain is what deadlines are rounded up to, so that leases given at
// about the same time end at the same wake-up.
const deadlineGrain = int64(50 * time.Millisecond)

func deadline(now time.Time, d time.Duration) int64 {
	return (now.UnixNano() + int64(d) + deadlineGrain - 1) / deadlineGrain * deadlineGrain
}

func (b *backlog) add(m message) {
	h := &held{msg: m}
	b.kept(h)
	if b.ordered && m.orderingKey != "" {
		b.addOrdered(h)
		return
	}
	b.queue.pushBack(pending{h: h})
}

func (b *backlog) kept(h *held) {
	b.bytes += int64(len(h.msg.encoded))
	b.count++
}

// gone forgets a message.
func (b *backlog) gone(h *held) {
	b.bytes -= int64(len(h.msg.encoded))
	b.count--
}

// acknowledged forgets a message that is acknowledged for good, unless those
// are retained.
func (b *backlog) acknowledged(h *held) {
	b.gone(h)
	if b.retainAcked {
		b.retain(h.msg)
	}
}

// take leases up to n messages to c, for d, and calls emit with each; it stops
// early when emit returns false (the message it was called with is leased).
func (b *backlog) take(now time.Time, c *consumer, n int, d time.Duration, emit func(*held) bool) int {
	t, end := now.UnixNano(), deadline(now, d)
	taken := 0
	for taken < n && !c.full() && !c.closed {
		h := b.next(c)
		if h == nil {
			break
		}
		if b.expired(h.msg, t) {
			b.drop(h)
			continue
		}
		b.lastLease++
		h.lease, h.deadline, h.by = b.lastLease, end, c
		h.attempts++
		c.messages++
		c.bytes += int64(len(h.msg.encoded))
		b.leases[h.lease] = h
		b.watch(h)
		taken++
		if h.key != nil {
			b.delivered(h, c)
		}
		if !emit(h) {
			break
		}
	}
	return taken
}

// next removes the message that c is to get next from where it is pending.
func (b *backlog) next(c *consumer) *held {
	if b.again.len() > 0 {
		return b.again.popFront()
	}
	c.turn = !c.turn
	if c.listed > 0 && (c.turn || b.queue.len() == 0) {
		return b.nextBound(c)
	}
	if b.queue.len() == 0 {
		return nil
	}
	p := b.queue.popFront()
	if p.k != nil {
		return b.nextUnbound(p.k)
	}
	return p.h
}

// drop forgets a pending message that is past its retention.
func (b *backlog) drop(h *held) {
	b.gone(h)
	if h.key != nil {
		b.relist(h.key)
	}
}

// ready reports whether c would get a message now.
func (b *backlog) ready(c *consumer) bool {
	return !c.closed && !c.full() && (b.again.len() > 0 || b.queue.len() > 0 || c.listed > 0)
}

// unlease ends h's lease: its ack id is void from now on.
func (b *backlog) unlease(h *held) {
	delete(b.leases, h.lease)
	h.lease = 0
	if c := h.by; c != nil {
		c.messages--
		c.bytes -= int64(len(h.msg.encoded))
		h.by = nil
	}
}

// ack acknowledges a lease; one that is void is ignored.
func (b *backlog) ack(lease uint64) {
	h := b.leases[lease]
	if h == nil {
		return
	}
	b.unlease(h)
	if h.key != nil {
		b.ackedOrdered(h.key)
		return
	}
	b.acknowledged(h)
}

// modify sets a lease's deadline to d from now, or refuses its message if d is
// zero; a lease that is void is ignored.
func (b *backlog) modify(lease uint64, now time.Time, d time.Duration) {
	h := b.leases[lease]
	if h == nil {
		return
	}
	if d <= 0 {
		b.giveBack(h, false)
		return
	}
	h.deadline = deadline(now, d)
	if h.deadline < h.watched {
		b.watch(h)
	}
}

// giveBack makes a leased message pending again. One whose lease ended goes
// before all others; a refused one goes behind them, so that it cannot keep
// them from being delivered.
func (b *backlog) giveBack(h *held, expired bool) {
	if h.key != nil {
		b.giveBackOrdered(h)
		return
	}
	b.unlease(h)
	switch {
	case b.exhausted(h):
		b.die(h)
	case expired:
		b.again.pushBack(h)
	default:
		b.queue.pushBack(pending{h: h})
	}
}

// expired reports whether a message is past its retention at a time, in
// nanoseconds since the epoch.
func (b *backlog) expired(m message, now int64) bool { return now-m.published > int64(b.retention) }

// leave ends a consumer: its leases stay until they are acknowledged or end,
// its ordering keys go to whoever comes next once nothing of them is leased.
func (b *backlog) leave(c *consumer) {
	c.closed = true
	for c.keys.len() > 0 {
		if k := c.keys.popFront(); k.in == c {
			k.unbind() // c has messages of it out: it is listed again when they are acknowledged or end
		}
	}
}

// expire makes every message pending whose lease has ended by now.
func (b *backlog) expire(now time.Time) {
	t := now.UnixNano()
	for len(b.deadlines) > 0 && b.deadlines[0].at <= t {
		e := b.deadlines.pop()
		h := b.leases[e.lease]
		if h == nil || h.watched != e.at {
			continue // acknowledged, or watched under an earlier deadline
		}
		if h.deadline > t {
			b.watch(h)
			continue
		}
		b.giveBack(h, true)
	}
}

// nextDeadline returns when expire must be called next; false: never.
func (b *backlog) nextDeadline() (time.Time, bool) {
	if len(b.leases) == 0 {
		b.deadlines = nil // only entries of leases that are gone
		return time.Time{}, false
	}
	return time.Unix(0, b.deadlines[0].at), true
}

// purge forgets everything.
func (b *backlog) purge() {
	*b = backlog{policy: b.policy, keys: map[string]*keyQueue{}, leases: map[uint64]*held{}, lastLease: b.lastLease}
}

// watch puts h's deadline into the heap. Extending a lease does not touch the
// heap: the entry is renewed when it comes up.
func (b *backlog) watch(h *held) {
	h.watched = h.deadline
	if len(b.deadlines) > 2*len(b.leases)+1024 {
		// Most entries are of leases that are gone: without this they would
		// pile up for as long as their deadlines are away.
		b.deadlines.keep(func(e deadlineEntry) bool {
			l := b.leases[e.lease]
			return l != nil && l != h && l.watched == e.at
		})
	}
	b.deadlines.push(deadlineEntry{at: h.deadline, lease: h.lease})
}

// deadlineEntry says when to look at a lease.
type deadlineEntry struct {
	at    int64
	lease uint64
}

// before orders leases that end together as they were given: of the messages of
// an ordering key the first ends first, and takes its followers back with it.
func (e deadlineEntry) before(o deadlineEntry) bool {
	return e.at < o.at || e.at == o.at && e.lease < o.lease
}

// deadlineHeap is a binary heap, the earliest first.
type deadlineHeap []deadlineEntry

func (d *deadlineHeap) push(e deadlineEntry) {
	h := append(*d, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			break
		}
		h[up], h[i] = h[i], h[up]
		i = up
	}
	*d = h
}

func (d *deadlineHeap) pop() deadlineEntry {
	h := *d
	top := h[0]
	h[0] = h[len(h)-1]
	h = h[:len(h)-1]
	h.down(0)
	*d = h
	return top
}

func (d deadlineHeap) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(d); c++ {
			if d[c].before(d[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		d[i], d[least] = d[least], d[i]
		i = least
	}
}

// keep removes the entries for which keep is false.
func (d *deadlineHeap) keep(keep func(deadlineEntry) bool) {
	h := (*d)[:0]
	for _, e := range *d {
		if keep(e) {
			h = append(h, e)
		}
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	*d = h
}
