package pubsub

import (
	"sync"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// A response of a pull holds at most this much, and at least one message.
const maxResponseBytes = 1 << 20

// subscription guards a backlog and watches its deadlines.
type subscription struct {
	server  *Server
	topic   *topic // whose messages it gets, also after that was deleted
	name    string
	number  uint64 // part of its ack ids; never used again
	ordered bool

	proto *pb.Subscription // replaced, never changed; guarded by the server's mutex

	mu         sync.Mutex
	backlog    *backlog
	accounted  int64 // of the backlog's bytes, in server.retained
	deadLetter string
	pullers    map[*puller]struct{}
	timer      *time.Timer
	timerAt    time.Time // when the timer is set to; zero: not set
	ended      error     // why no one can pull any more
}

// puller is a stream or a unary pull.
type puller struct {
	consumer
	wake     chan struct{} // capacity 1: look again
	deadline time.Duration // of new leases
}

func newSubscription(s *Server, t *topic, proto *pb.Subscription) *subscription {
	sub := &subscription{
		server: s, topic: t, name: proto.Name, number: s.lastSub.Add(1), ordered: proto.EnableMessageOrdering, proto: proto, pullers: map[*puller]struct{}{},
		backlog: newBacklog(policyOf(proto)), deadLetter: proto.GetDeadLetterPolicy().GetDeadLetterTopic(),
	}
	sub.timer = time.AfterFunc(time.Hour, sub.expire)
	sub.timer.Stop()
	return sub
}

// settle ends every change of a subscription: it brings the server's account
// and the timer up to date, wakes who can go on, and unlocks.
func (s *subscription) settle() {
	b := s.backlog
	bytes := b.bytes + b.ackedBytes
	s.server.retained.Add(bytes - s.accounted)
	s.accounted = bytes
	if at, ok := b.nextDeadline(); ok && (s.timerAt.IsZero() || at.Before(s.timerAt)) {
		s.timerAt = at
		s.timer.Reset(time.Until(at))
	}
	for p := range s.pullers {
		if b.ready(&p.consumer) || s.ended != nil {
			p.signal()
		}
	}
	dead, topic := b.dead, s.deadLetter
	b.dead = nil
	s.mu.Unlock()
	for _, h := range dead {
		s.server.deadLetter(s, topic, h)
	}
}

func (p *puller) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// expire is called by the timer.
func (s *subscription) expire() {
	s.mu.Lock()
	s.timerAt = time.Time{}
	if s.ended == nil {
		s.backlog.expire(time.Now())
	}
	s.settle()
}

// add adds published messages.
func (s *subscription) add(messages []message) {
	s.mu.Lock()
	if s.ended == nil {
		for _, m := range messages {
			s.backlog.add(m)
		}
		if s.backlog.sweepDue() {
			s.backlog.sweep(time.Now())
		}
	}
	s.settle()
}

// restore takes back a message that could not be dead-lettered.
func (s *subscription) restore(h *held) {
	s.mu.Lock()
	if s.ended == nil {
		s.backlog.restore(h)
	}
	s.settle()
}

// bury forgets a message that was dead-lettered.
func (s *subscription) bury(h *held) {
	s.mu.Lock()
	s.backlog.bury(h)
	s.settle()
}

// sweep drops acknowledged messages that are past their retention.
func (s *subscription) sweep(now time.Time) {
	s.mu.Lock()
	s.backlog.sweep(now)
	s.settle()
}

// unacknowledged returns what a snapshot of the subscription holds.
func (s *subscription) unacknowledged(now time.Time) ([]message, error) {
	s.mu.Lock()
	defer s.mu.Unlock() // nothing changed that would have to be settled
	return s.backlog.unacknowledged(now), s.ended
}

// seek makes the subscription forget what was acknowledged and delivered, and
// takes both from decide, which gets what was not acknowledged and what was.
func (s *subscription) seek(now time.Time, decide func(unacked, acked []message) (nextUnacked, nextAcked []message)) error {
	s.mu.Lock()
	defer s.settle()
	if s.ended != nil {
		return s.ended
	}
	s.backlog.sweep(now)
	s.backlog.reset(decide(s.backlog.unacknowledged(now), s.backlog.acked))
	return nil
}

// end makes the subscription unusable, drops what it holds and ends its pulls
// with err.
func (s *subscription) end(err error) {
	s.mu.Lock()
	if s.ended == nil {
		s.ended = err
		s.backlog.purge()
		s.timer.Stop()
	}
	s.settle()
}

// policyOf reads what bears on delivery out of a subscription's settings.
func policyOf(proto *pb.Subscription) policy {
	return policy{
		ordered:     proto.EnableMessageOrdering,
		maxAttempts: proto.GetDeadLetterPolicy().GetMaxDeliveryAttempts(),
		retention:   proto.MessageRetentionDuration.AsDuration(),
		retainAcked: proto.RetainAckedMessages,
	}
}

// configure applies changed settings. Whether messages are ordered never changes.
func (s *subscription) configure(proto *pb.Subscription) {
	s.mu.Lock()
	s.deadLetter = proto.GetDeadLetterPolicy().GetDeadLetterTopic()
	s.backlog.configure(time.Now(), policyOf(proto))
	s.settle()
}

// join makes p one of those who pull. The caller calls leave.
func (s *subscription) join(p *puller) error {
	s.mu.Lock()
	defer s.settle()
	if s.ended != nil {
		return s.ended
	}
	s.pullers[p] = struct{}{}
	return nil
}

func (s *subscription) leave(p *puller) {
	s.mu.Lock()
	delete(s.pullers, p)
	s.backlog.leave(&p.consumer)
	s.settle()
}

// take leases up to n messages to p and appends them to out as entries of a
// pull response.
func (s *subscription) take(p *puller, n int, out []byte) (_ []byte, taken int, err error) {
	s.mu.Lock()
	defer s.settle()
	if s.ended != nil {
		return out, 0, s.ended
	}
	var id [32]byte
	deadLetters := s.backlog.maxAttempts > 0
	taken = s.backlog.take(time.Now(), &p.consumer, n, p.deadline, func(h *held) bool {
		attempt := int32(0)
		if deadLetters { // as in the real service, the attempt is told only then
			attempt = h.attempts
		}
		out = appendReceived(out, appendAckID(id[:0], s.number, h.lease), h.msg.encoded, attempt)
		return len(out) < maxResponseBytes
	})
	return out, taken, nil
}

// change is a batch of acknowledgements or of new deadlines.
type change struct {
	lease    uint64
	ack      bool
	deadline time.Duration
}

func (s *subscription) apply(changes []change) {
	s.mu.Lock()
	now := time.Now()
	for _, c := range changes {
		if c.ack {
			s.backlog.ack(c.lease)
		} else {
			s.backlog.modify(c.lease, now, c.deadline)
		}
	}
	s.settle()
}

// leases turns ack ids into changes. Ids of another subscription, or of an
// earlier one of the same name, are void.
func (s *subscription) changes(out []change, ids []string, ack bool, deadline func(i int) time.Duration) ([]change, error) {
	for i, id := range ids {
		number, lease, ok := parseAckID(id)
		if !ok {
			return nil, invalid("You have passed an invalid ack ID to the service (ack_id=%s).", id)
		}
		if number != s.number {
			continue
		}
		c := change{lease: lease, ack: ack}
		if !ack {
			c.deadline = deadline(i)
		}
		out = append(out, c)
	}
	return out, nil
}
