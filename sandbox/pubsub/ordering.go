package pubsub

// keyQueue holds the messages of one ordering key, in publishing order: first
// those out, then those waiting. Acknowledged messages stay in out as long as
// an earlier one is not: when that is delivered again, so are they.
type keyQueue struct {
	name    string
	out     fifo[*held]
	waiting fifo[*held]
	owner   *consumer // who has messages of it out; nil if none
	common  bool      // is in the common queue
	in      *consumer // in whose keys it is; nil if in no one's
}

// unbind takes k from the consumer that it is listed with. The entry there
// stays, void, and is skipped when it comes up.
func (k *keyQueue) unbind() {
	k.in.listed--
	k.in = nil
}

func (b *backlog) addOrdered(h *held) {
	h.key = b.keyOf(h)
	h.key.waiting.pushBack(h)
	b.relist(h.key)
}

// keyOf returns the queue of h's ordering key.
func (b *backlog) keyOf(h *held) *keyQueue {
	k := b.keys[h.msg.orderingKey]
	if k == nil {
		k = &keyQueue{name: h.msg.orderingKey}
		b.keys[k.name] = k
	}
	return k
}

// relist puts k where it can be found, if it has messages waiting: with its
// owner while that has messages of it out, else in the common queue. If the
// owner has left, k waits until what it has out is acknowledged or ends.
func (b *backlog) relist(k *keyQueue) {
	if k.out.len() == 0 {
		k.owner = nil
		if k.in != nil { // anyone may have it now
			k.unbind()
		}
	}
	switch {
	case k.common || k.in != nil:
	case k.waiting.len() == 0:
		if k.out.len() == 0 {
			delete(b.keys, k.name)
		}
	case k.owner == nil:
		k.common = true
		b.queue.pushBack(pending{k: k})
	case !k.owner.closed:
		k.in = k.owner
		k.in.listed++
		k.in.keys.pushBack(k)
	}
}

// nextUnbound takes the next message of a key from the common queue.
func (b *backlog) nextUnbound(k *keyQueue) *held {
	k.common = false
	return k.waiting.popFront()
}

// nextBound takes the next message of the keys listed with c, one of each in
// turn; c must have one listed.
func (b *backlog) nextBound(c *consumer) *held {
	k := c.keys.popFront()
	for k.in != c {
		k = c.keys.popFront()
	}
	k.unbind()
	return k.waiting.popFront()
}

// delivered notes that h was leased to c.
func (b *backlog) delivered(h *held, c *consumer) {
	k := h.key
	k.out.pushBack(h)
	k.owner = c
	b.relist(k)
}

// ackedOrdered forgets the acknowledged messages at the head of k.
func (b *backlog) ackedOrdered(k *keyQueue) {
	for k.out.len() > 0 && (*k.out.at(0)).lease == 0 {
		b.acknowledged(k.out.popFront())
	}
	b.relist(k)
}

// giveBackOrdered makes h and all that follow it wait again, in order.
func (b *backlog) giveBackOrdered(h *held) {
	k := h.key
	for k.out.len() > 0 {
		last := k.out.popBack()
		if last.lease != 0 {
			b.unlease(last)
		}
		if last == h && b.exhausted(h) {
			b.die(h)
		} else {
			k.waiting.pushFront(last)
		}
		if last == h {
			break
		}
	}
	b.ackedOrdered(k)
}
