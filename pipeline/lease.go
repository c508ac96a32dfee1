package pipeline

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"golang.org/x/sync/errgroup"
)

// leases are the messages that a source holds. A message whose lease has
// lapsed is delivered again, with a new acknowledgement id: to this source as
// long as it pulls, later to the next generation. Either recognises its event.
type leases struct{ held []*lease }

type lease struct {
	id    string
	until time.Time // when it lapses, at the earliest
}

const (
	// Short, since what a job held that died comes back only then.
	ackDeadline = 20 * time.Second
	// Until its first extension a message has the subscription's own deadline,
	// 10 seconds at least, if the server does not heed the stream's.
	firstDeadline = 10 * time.Second
	leaseTick     = time.Second

	modifyIDs      = 1000 // in a request: real ids are some 200 bytes, and 512 KiB is the limit
	ackCalls       = 4    // at a time
	releaseTimeout = 5 * time.Second
)

func (l *leases) add(ms []*pubsubpb.ReceivedMessage, now time.Time) []*lease {
	added := make([]*lease, len(ms))
	for i, m := range ms {
		added[i] = &lease{id: m.GetAckId(), until: now.Add(firstDeadline)}
	}
	l.held = append(l.held, added...)
	return added
}

func (l *leases) remove(ls []*lease) {
	l.held = slices.DeleteFunc(l.held, func(h *lease) bool { return slices.Contains(ls, h) })
}

// due returns the leases to extend at now: those of which no more than half is
// left. It drops those that have lapsed.
func (l *leases) due(now time.Time) (due []*lease) {
	kept := l.held[:0]
	for _, h := range l.held {
		if now.After(h.until) {
			continue
		}
		kept = append(kept, h)
		if h.until.Sub(now) <= ackDeadline/2 {
			due = append(due, h)
		}
	}
	clear(l.held[len(kept):])
	l.held = kept
	return due
}

// keepLeases extends the leases until ctx is done.
func (s *source) keepLeases(ctx context.Context) {
	tick := time.NewTicker(leaseTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		s.mu.Lock()
		due := s.leases.due(now)
		s.mu.Unlock()
		if err := s.extend(ctx, due, ackDeadline, now); err != nil && ctx.Err() == nil {
			s.log.Warn("extend_leases_failed", "messages", len(due), "error", err) // tried again at the next tick
		}
	}
}

// extend sets the deadline of leases to span from now on; 0 gives them back.
func (s *source) extend(ctx context.Context, due []*lease, span time.Duration, now time.Time) error {
	return chunks(due, func(part []*lease) error {
		err := s.client.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
			Subscription: s.name, AckIds: ids(part), AckDeadlineSeconds: int32(span / time.Second),
		})
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, l := range part {
				l.until = now.Add(span)
			}
		}
		return err
	})
}

// acknowledge acknowledges everything that the source holds. It tries for as
// long as ctx lives.
func (s *source) acknowledge(ctx context.Context, rt *runtime) error {
	s.mu.Lock()
	s.leases.due(time.Now())
	held := slices.Clone(s.leases.held) // which keepLeases goes on to change in place
	s.mu.Unlock()
	err := chunks(held, func(part []*lease) error {
		return rt.retry(ctx, fmt.Sprintf("acknowledge %d messages of %s", len(part), s.name), func() error {
			return s.client.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: s.name, AckIds: ids(part)})
		})
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.leases.held = nil
	s.mu.Unlock()
	return nil
}

// release gives all messages back, so that they are delivered to the next
// reader without waiting for their leases to lapse.
func (s *source) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	s.mu.Lock()
	held := s.leases.held
	s.leases.held = nil
	s.mu.Unlock()
	if err := s.extend(ctx, held, 0, time.Now()); err != nil {
		s.log.Warn("release_leases_failed", "messages", len(held), "error", err)
	}
}

func ids(ls []*lease) []string {
	out := make([]string, len(ls))
	for i, l := range ls {
		out[i] = l.id
	}
	return out
}

// chunks calls fn for all leases, a request's worth at a time.
func chunks(ls []*lease, fn func([]*lease) error) error {
	var g errgroup.Group
	g.SetLimit(ackCalls)
	for len(ls) > 0 {
		n := min(len(ls), modifyIDs)
		part := ls[:n]
		ls = ls[n:]
		g.Go(func() error { return fn(part) })
	}
	return g.Wait()
}

// acknowledgeAll acknowledges the messages of all sources.
func (rt *runtime) acknowledgeAll(ctx context.Context) error {
	var g errgroup.Group
	for _, s := range rt.sources {
		g.Go(func() error { return s.acknowledge(ctx, rt) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("acknowledge what was drained: %w", err)
	}
	return nil
}
