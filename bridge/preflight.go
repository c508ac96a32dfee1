package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/twmb/franz-go/pkg/kadm"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// cluster is what the bridge has to know about the source at the start.
type cluster struct {
	id      string
	brokers int
	topics  map[string]kadm.TopicID
}

// checkKafka finds the cluster, its id and the source topics.
func (b *Bridge) checkKafka(ctx context.Context) (*cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Startup)
	defer cancel()
	source := b.spec.Source
	meta, err := b.admin.Metadata(ctx, source.Topics...)
	if err != nil {
		return nil, exit.Environmentf("reach Kafka at %s: %w", strings.Join(source.Brokers, ", "), err).
			WithHint("check spec.source.brokers and that they can be reached from here")
	}
	c := &cluster{id: meta.Cluster, brokers: len(meta.Brokers), topics: make(map[string]kadm.TopicID)}
	var missing []string
	for _, name := range source.Topics {
		t, ok := meta.Topics[name]
		switch {
		case !ok || t.Err != nil && t.ID == (kadm.TopicID{}) && len(t.Partitions) == 0:
			reason := "not found"
			if t.Err != nil {
				reason = t.Err.Error()
			}
			missing = append(missing, fmt.Sprintf("%s (%s)", name, reason))
		case b.spec.IDs.From == "position" && t.ID == (kadm.TopicID{}):
			return nil, exit.Environmentf("topic %s has no topic id: its brokers are older than Kafka 2.8", name).
				WithHint("set ids.from: fields, or upgrade the brokers: ids made from positions need topic ids")
		default:
			c.topics[name] = t.ID
		}
	}
	if len(missing) > 0 {
		return nil, exit.Environmentf("Kafka topics cannot be read: %s", strings.Join(missing, "; ")).
			WithHint("create them, or correct spec.source.topics")
	}
	if c.id == "" {
		return nil, exit.Environmentf("the Kafka brokers do not report a cluster id, which positions are made of").
			WithHint("upgrade the brokers to Kafka 0.10.1 or later")
	}
	return c, nil
}

// checkPubSub refuses topics that are missing or that keep nothing: what is
// published to a topic with neither a subscription nor retention is gone.
func (b *Bridge) checkPubSub(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Startup)
	defer cancel()
	topics := make([]string, 0, b.spec.Split.Count+1)
	for i := range b.spec.Split.Count {
		topics = append(topics, b.spec.Split.Topic(i))
	}
	topics = append(topics, b.spec.DeadLetter.Topic)
	problems := make([]string, len(topics))
	unreachable := make([]error, len(topics))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i, topic := range topics {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			problems[i], unreachable[i] = b.checkTopic(ctx, topic)
		})
	}
	wg.Wait()
	for _, err := range unreachable {
		if err != nil {
			return exit.Environmentf("reach Pub/Sub: %w", err).WithHint("check the network, the credentials and spec.project")
		}
	}
	var found []string
	for _, p := range problems {
		if p != "" {
			found = append(found, p)
		}
	}
	if len(found) > 0 {
		return exit.Environmentf("Pub/Sub topics cannot be published to: %s", strings.Join(found, "; ")).
			WithHint("create each topic and a subscription to it (or set its message retention) before the bridge publishes")
	}
	return nil
}

// checkTopic returns what is wrong with a topic, or an error if that cannot be
// found out.
func (b *Bridge) checkTopic(ctx context.Context, topic string) (problem string, err error) {
	admin := b.cfg.PubSub.TopicAdminClient
	name := topicName(b.spec.Project, topic)
	t, err := admin.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: name})
	switch status.Code(err) {
	case codes.OK:
	case codes.NotFound:
		return topic + " does not exist", nil
	case codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument:
		return fmt.Sprintf("%s: %s", topic, status.Convert(err).Message()), nil
	default:
		return "", fmt.Errorf("look up topic %s: %w", name, err)
	}
	if t.GetMessageRetentionDuration().AsDuration() > 0 {
		return "", nil
	}
	it := admin.ListTopicSubscriptions(ctx, &pubsubpb.ListTopicSubscriptionsRequest{Topic: name, PageSize: 1})
	switch _, err := it.Next(); {
	case errors.Is(err, iterator.Done):
		return topic + " has neither a subscription nor retention, so what is published to it would be lost", nil
	case status.Code(err) == codes.PermissionDenied:
		return fmt.Sprintf("%s: its subscriptions cannot be listed: %s", topic, status.Convert(err).Message()), nil
	case err != nil:
		return "", fmt.Errorf("list the subscriptions of %s: %w", name, err)
	}
	return "", nil
}
