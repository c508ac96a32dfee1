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

// deadLetter publishes a message that was delivered too often to the dead
// letter topic of its subscription. If there is no such topic the message
// stays in its subscription.
func (s *Server) deadLetter(sub *subscription, topic string, h *held) {
	s.mu.RLock()
	t := s.topics[topic]
	var subs []*subscription
	if t != nil {
		subs = t.subs
	}
	s.mu.RUnlock()
	if t == nil {
		s.cfg.Log.Warn("dead letter topic is missing", "topic", topic, "subscription", sub.name)
		sub.restore(h)
		return
	}
	m, err := deadLettered(sub.name, h, formatID(s.lastID.Add(1)), time.Now())
	if err != nil {
		s.cfg.Log.Error("dead letter failed", "error", err, "subscription", sub.name)
		sub.restore(h)
		return
	}
	for _, to := range subs {
		to.add([]message{m})
	}
}

// deadLettered makes the message that goes to the dead letter topic.
func deadLettered(subscription string, h *held, id string, now time.Time) (message, error) {
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
	attributes[attrDeadLetterTime] = h.msg.published.UTC().Format(time.RFC3339Nano)
	body, err := proto.Marshal(&pb.PubsubMessage{Data: m.Data, Attributes: attributes, OrderingKey: m.OrderingKey})
	if err != nil {
		return message{}, err
	}
	return message{encoded: appendStamp(body, id, now), orderingKey: m.OrderingKey, published: now}, nil
}
