package bridge

import (
	"context"
	"fmt"

	pubsubv1 "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"
)

// rpcTransport sends requests by the generated client, which is several times
// cheaper than the library's Publisher: batching, concurrency and retries are
// ours anyway.
type rpcTransport struct {
	client *pubsubv1.TopicAdminClient
}

// noRetry keeps the client library from retrying by itself: our own retry
// knows about readiness, rebalances and the budget.
var noRetry = gax.WithRetry(func() gax.Retryer { return nil })

func (t rpcTransport) publish(ctx context.Context, topic string, events []*event) error {
	messages := make([]pubsubpb.PubsubMessage, len(events))
	req := &pubsubpb.PublishRequest{Topic: topic, Messages: make([]*pubsubpb.PubsubMessage, len(events))}
	for i, e := range events {
		m := &messages[i]
		m.Data = e.data
		m.Attributes = make(map[string]string, len(e.attrs))
		for _, a := range e.attrs {
			m.Attributes[a.name] = a.value
		}
		req.Messages[i] = m
	}
	resp, err := t.client.Publish(ctx, req, noRetry)
	if err != nil {
		return err
	}
	if got := len(resp.GetMessageIds()); got != len(events) {
		return fmt.Errorf("publish to %s: %d messages were sent, %d acknowledged", topic, len(events), got)
	}
	return nil
}
