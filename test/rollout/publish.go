package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"golang.org/x/sync/errgroup"

	"github.com/kappa-migrate/kappa/internal/envelope"
)

const (
	// perKey events share a key; each has a digit of the key's sum, to the base of 8.
	perKey = 16
	// eventsPerWindow is how many events of a shard fall into one window: event time
	// runs faster than the clock, so that windows close while the jobs run.
	eventsPerWindow = 2000
	window          = time.Hour
	batch           = 50 // messages of a request
	// againAfter is how many events of its shard come between an event and its
	// duplicate: far enough apart that a replacement comes between them.
	againAfter = 3000
	againEvery = 20 // one in so many events is sent twice
)

// firstEvent is when the first event happened.
var firstEvent = time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)

// shard publishes the events of one topic.
type shard struct {
	index  int
	topic  string // full name
	events atomic.Int64
	again  atomic.Int64 // messages that were sent a second time
}

// message is an event as the bridge publishes it. Its offset is that of the record
// that it came from, which a duplicate has too.
func (s *shard) message(n int64) *pubsubpb.PubsubMessage {
	at := envelope.FormatTime(firstEvent.Add(time.Duration(n) * window / eventsPerWindow))
	return &pubsubpb.PubsubMessage{
		Data: fmt.Appendf(nil, `{"block":"%d-%d","digit":%d}`, s.index, n/perKey, int64(1)<<(3*(n%perKey))),
		Attributes: map[string]string{
			envelope.AttrID:        fmt.Sprintf("%08x-0000-8000-8000-%012x", s.index, n),
			envelope.AttrEventTime: at, envelope.AttrSourceTime: at,
			envelope.AttrPosition: fmt.Sprintf("rollout/events/%d/%d", s.index, n),
		},
	}
}

// publish publishes at a rate, in events per second, until stop is closed.
func (s *shard) publish(ctx context.Context, client *pubsub.Client, rate int, stop <-chan struct{}) error {
	tick := time.NewTicker(time.Second * batch / time.Duration(rate))
	defer tick.Stop()
	for next := int64(0); ; {
		req := &pubsubpb.PublishRequest{Topic: s.topic}
		again := int64(0)
		for range batch {
			req.Messages = append(req.Messages, s.message(next))
			if old := next - againAfter; old >= 0 && old%againEvery == 0 {
				req.Messages = append(req.Messages, s.message(old))
				again++
			}
			next++
		}
		if _, err := client.TopicAdminClient.Publish(ctx, req); err != nil {
			return fmt.Errorf("publish to %s: %w", s.topic, err)
		}
		s.events.Store(next)
		s.again.Add(again)
		select {
		case <-tick.C:
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// publishAll publishes to all shards until the returned function is called, which
// returns the first error.
func publishAll(ctx context.Context, client *pubsub.Client, shards []*shard, rate int) (stop func() error) {
	g, gctx := errgroup.WithContext(ctx)
	done := make(chan struct{})
	for _, s := range shards {
		g.Go(func() error { return s.publish(gctx, client, rate/len(shards), done) })
	}
	return func() error {
		close(done)
		return g.Wait()
	}
}
