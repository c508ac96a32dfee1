package inspect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/report"
)

// pubSub looks at topics that are published to.
func (n *inspection) pubSub(ctx context.Context, topics []string, role string) {
	ctx, cancel := context.WithTimeout(ctx, n.Wait)
	defer cancel()
	found := make([]Check, len(topics))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i, topic := range topics {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			found[i] = n.pubSubTopic(ctx, topic)
			found[i].Subject = "Pub/Sub " + role + " " + topic
		})
	}
	wg.Wait()
	for _, c := range found {
		n.add(c)
	}
}

// pubSubTopic looks at one topic: it must keep what is published to it, and
// take it from us.
func (n *inspection) pubSubTopic(ctx context.Context, topic string) Check {
	admin := n.PubSub.TopicAdminClient
	name := fmt.Sprintf("projects/%s/topics/%s", n.spec.Project, topic)
	t, err := admin.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: name})
	switch status.Code(err) {
	case codes.OK:
	case codes.NotFound:
		return Check{State: Failed, Detail: "does not exist", Hint: "create the topic, and a subscription to it"}
	default:
		return Check{State: Failed, Detail: status.Convert(err).Message(), Hint: "check the network, the credentials and spec.project"}
	}
	keeps := ""
	if d := t.GetMessageRetentionDuration().AsDuration(); d > 0 {
		keeps = "retention " + shortDuration(d)
	}
	subs, err := n.subscriptions(ctx, name)
	switch {
	case err != nil && keeps == "":
		return Check{State: Failed, Detail: "its subscriptions cannot be listed: " + status.Convert(err).Message(), Hint: "grant roles/pubsub.viewer on the topic, or set the topic's message retention"}
	case err == nil && subs == 0 && keeps == "":
		return Check{State: Failed, Detail: "has neither a subscription nor retention, so what is published to it would be lost", Hint: "create a subscription, or set the topic's message retention"}
	case err == nil && keeps != "":
		keeps = report.Quantity(int64(subs), "subscription") + ", " + keeps
	case err == nil:
		keeps = report.Quantity(int64(subs), "subscription")
	}
	return n.mayPublish(ctx, name, keeps)
}

// subscriptions is the number of subscriptions of a topic, up to a page.
func (n *inspection) subscriptions(ctx context.Context, name string) (int, error) {
	it := n.PubSub.TopicAdminClient.ListTopicSubscriptions(ctx, &pubsubpb.ListTopicSubscriptionsRequest{Topic: name, PageSize: 100})
	for found := 0; ; found++ {
		_, err := it.Next()
		if errors.Is(err, iterator.Done) || found == 100 {
			return found, nil
		}
		if err != nil {
			return found, err
		}
	}
}

// mayPublish asks whether the credentials may publish. Emulators cannot say.
func (n *inspection) mayPublish(ctx context.Context, name, keeps string) Check {
	const permission = "pubsub.topics.publish"
	//lint:ignore SA1019 any of the pooled connections will do
	policy := iampb.NewIAMPolicyClient(n.PubSub.TopicAdminClient.Connection())
	resp, err := policy.TestIamPermissions(ctx, &iampb.TestIamPermissionsRequest{Resource: name, Permissions: []string{permission}})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return Check{State: Passed, Detail: keeps + "; permission to publish not known: this service cannot say"}
	case err != nil:
		return Check{State: Skipped, Detail: keeps + "; permission to publish not known: " + status.Convert(err).Message()}
	case len(resp.Permissions) == 0:
		return Check{State: Failed, Detail: "the credentials may not publish to it", Hint: "grant roles/pubsub.publisher on the topic"}
	}
	return Check{State: Passed, Detail: keeps}
}

func shortDuration(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0:
		return report.Quantity(int64(d/(24*time.Hour)), "day")
	case d%time.Hour == 0:
		return report.Quantity(int64(d/time.Hour), "hour")
	}
	return d.String()
}
