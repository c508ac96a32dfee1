package bridge

import (
	"context"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// openDestination connects the publisher to what it publishes to, and checks
// that nothing that is published there is lost.
func (b *Bridge) openDestination(ctx context.Context, s *stages) error {
	p := s.publisher
	var pubsubTopics []string
	p.transport = pubsubTransport{b.cfg.PubSub}
	if b.spec.Destination.Kind == jobspecs.DestinationKafka {
		t, err := b.openKafkaTransport(ctx, "spec.destination.kafka", b.spec.Destination.Kafka, b.spec.Destination.Compression, b.plan.topics)
		if err != nil {
			return err
		}
		p.transport = t
		s.closers = append(s.closers, t.close)
	} else {
		pubsubTopics = b.plan.topics
	}
	switch d := &b.spec.DeadLetter; {
	case d.Kafka.Topic != "":
		t, err := b.openKafkaTransport(ctx, "spec.deadLetter.kafka", d.Kafka.KafkaCluster, "zstd", []string{d.Kafka.Topic})
		if err != nil {
			return err
		}
		t.whole = true
		p.graves = t
		s.closers = append(s.closers, t.close)
	case d.File != "":
		t, err := openFileTransport(d.File)
		if err != nil {
			return err
		}
		p.graves = t
		s.closers = append(s.closers, t.close)
	default:
		p.graves = pubsubTransport{b.cfg.PubSub}
		p.maxPart = b.plan.maxMessage - maxAttributes*(maxAttributeName+maxAttributeValue+16)
		pubsubTopics = append(pubsubTopics[:len(pubsubTopics):len(pubsubTopics)], d.Topic)
	}
	return b.checkPubSub(ctx, pubsubTopics)
}
