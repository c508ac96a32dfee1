package pubsub

import (
	"maps"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
)

// Attributes that the service adds to a dead-lettered message.
const (
	attrDeadLetterCount   = "CloudPubSubDeadLetterSourceDeliveryCount"
	attrDeadLetterSub     = "CloudPubSubDeadLetterSourceSubscription"
	attrDeadLetterProject = "CloudPubSubDeadLetterSourceSubscriptionProject"
	attrDeadLetterTime    = "CloudPubSubDeadLetterSourceTopicPublishTime"
)

func (b *backlog) exhausted(h *held) bool { return b.maxAttempts > 0 && h.attempts >= b.maxAttempts }

// die takes out a message that is to be dead-lettered.
func (b *backlog) die(h *held) {
	b.gone(h)
	b.dead = append(b.dead, h)
	if b.dying == nil {
		b.dying = map[*held]struct{}{}
	}
	b.dying[h] = struct{}{}
}

// bury forgets a message that was dead-lettered.
func (b *backlog) bury(h *held) {
	if _, ok := b.dying[h]; !ok {
		return // a seek has decided on it meanwhile
	}
	delete(b.dying, h)
	if b.retainAcked {
		b.retain(h.msg)
	}
}

// restore takes back a message that could not be dead-lettered.
func (b *backlog) restore(h *held) {
	if _, ok := b.dying[h]; !ok {
		return // a seek has decided on it meanwhile
	}
	delete(b.dying, h)
	b.kept(h)
	if h.key == nil {
		b.queue.pushBack(pending{h: h})
		return
	}
	h.key = b.keyOf(h)
	h.key.waiting.pushFront(h)
	b.relist(h.key)
}

// deadLetter publishes a message that was delivered too often to the dead
// letter topic of its subscription. If there is no such topic the message
// stays in its subscription.
func (s *Server) deadLetter(sub *subscription, topic string, h *held) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.topics[topic]
	if t == nil {
		s.cfg.Log.Warn("dead letter topic is missing", "topic", topic, "subscription", sub.name)
		sub.restore(h)
		return
	}
	m, err := deadLettered(sub.name, h, s.lastID.Add(1), time.Now())
	if err != nil {
		s.cfg.Log.Error("dead letter failed", "error", err, "subscription", sub.name)
		sub.restore(h)
		return
	}
	s.fanOut(t, []message{m})
	sub.bury(h)
}

// deadLettered makes the message that goes to the dead letter topic.
func deadLettered(subscription string, h *held, id uint64, now time.Time) (message, error) {
	var m pb.PubsubMessage
	if err := proto.Unmarshal(h.msg.encoded, &m); err != nil {
		return message{}, err
	}
	parts := strings.Split(subscription, "/")
	attributes := maps.Clone(m.Attributes)
	if attributes == nil {
		attributes = map[string]string{}
	}
	attributes[attrDeadLetterCount] = strconv.Itoa(int(h.attempts))
	attributes[attrDeadLetterSub] = parts[3]
	attributes[attrDeadLetterProject] = parts[1]
	attributes[attrDeadLetterTime] = time.Unix(0, h.msg.published).UTC().Format(time.RFC3339Nano)
	body, err := proto.Marshal(&pb.PubsubMessage{Data: m.Data, Attributes: attributes, OrderingKey: m.OrderingKey})
	if err != nil {
		return message{}, err
	}
	return message{encoded: appendStamp(body, formatID(id), now), orderingKey: m.OrderingKey, id: id, published: now.UnixNano()}, nil
}
