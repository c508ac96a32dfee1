package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// checkPubSub refuses topics that are missing or that keep nothing: what is
// published to a topic with neither a subscription nor retention is gone.
func (b *Bridge) checkPubSub(ctx context.Context, topics []string) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Startup)
	defer cancel()
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
