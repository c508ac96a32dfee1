package pipeline

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// transport is a generation's connection to Pub/Sub. It knows what the server
// has leased to it, so that the world can let those leases lapse: otherwise the
// messages of a killed generation come back only after a deadline of seconds.
type transport struct {
	g *gate

	mu    sync.Mutex
	held  map[string]leased // by ack id: delivered, and neither acknowledged nor lapsed
	ever  map[string]bool   // messages that were delivered
	pumps sync.WaitGroup
}

type leased struct{ subscription, message string }

// unary lets calls through until the generation is killed.
func (t *transport) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ack, ok := req.(*pubsubpb.AcknowledgeRequest)
	if !ok {
		if t.g.wasCut() != "" {
			return errCut
		}
		err := invoke(ctx, method, req, reply, cc, opts...)
		if m, ok := req.(*pubsubpb.ModifyAckDeadlineRequest); ok && err == nil && m.GetAckDeadlineSeconds() == 0 {
			t.forget(m.GetAckIds())
		}
		return err
	}
	var done error
	err := t.g.do(opAck, func() {
		// It happens whether or not the caller waits for it.
		done = invoke(context.WithoutCancel(ctx), method, req, reply, cc, opts...)
		if done == nil {
			t.acknowledged(ack.GetAckIds())
		}
	})
	return errors.Join(err, done)
}

func (t *transport) acknowledged(ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		if l, ok := t.held[id]; ok {
			t.g.w.acknowledged(t.g.writer, l)
			delete(t.held, id)
		}
	}
}

// stream reads the stream that the server sends to its end, whatever becomes of
// the generation, because what is on its way is leased as well.
func (t *transport) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if t.g.wasCut() != "" {
		return nil, errCut
	}
	below, err := open(context.WithoutCancel(ctx), desc, cc, method, opts...)
	if err != nil {
		return nil, err
	}
	p := &pump{ClientStream: below, t: t, above: ctx, arrived: make(chan struct{}, 1)}
	ended := make(chan struct{})
	t.pumps.Go(func() { defer close(ended); p.run() })
	t.pumps.Go(func() {
		select {
		case <-ended:
		case <-ctx.Done():
			_ = below.CloseSend()
		case <-t.g.dead:
			_ = below.CloseSend()
		}
	})
	return p, nil
}

// pump is the stream as the generation sees it.
type pump struct {
	grpc.ClientStream
	t       *transport
	above   context.Context // the generation's
	arrived chan struct{}

	mu           sync.Mutex
	subscription string
	queue        []*pubsubpb.StreamingPullResponse
	err          error
}

// SendMsg notes the subscription.
func (p *pump) SendMsg(m any) error {
	if p.t.g.wasCut() != "" {
		return io.EOF
	}
	if r, ok := m.(*pubsubpb.StreamingPullRequest); ok && r.GetSubscription() != "" {
		p.mu.Lock()
		p.subscription = r.GetSubscription()
		p.mu.Unlock()
	}
	return p.ClientStream.SendMsg(m)
}

func (p *pump) run() {
	for err := error(nil); err == nil; {
		m := new(pubsubpb.StreamingPullResponse)
		err = p.ClientStream.RecvMsg(m)
		p.mu.Lock()
		if p.err = err; err == nil {
			p.queue = append(p.queue, m)
		}
		subscription := p.subscription
		p.mu.Unlock()
		p.t.mu.Lock()
		for _, r := range m.GetReceivedMessages() {
			p.t.held[r.GetAckId()] = leased{subscription, r.GetMessage().GetMessageId()}
			p.t.ever[r.GetMessage().GetMessageId()] = true
		}
		p.t.mu.Unlock()
		select {
		case p.arrived <- struct{}{}:
		default:
		}
	}
}

// RecvMsg hands on what has arrived.
func (p *pump) RecvMsg(m any) error {
	for {
		if p.t.g.wasCut() != "" {
			return errCut
		}
		p.mu.Lock()
		if len(p.queue) > 0 {
			next := p.queue[0]
			p.queue = p.queue[1:]
			p.mu.Unlock()
			proto.Merge(m.(proto.Message), next)
			return nil
		}
		err := p.err
		p.mu.Unlock()
		if err != nil {
			return err
		}
		select {
		case <-p.arrived:
		case <-p.t.g.dead:
		case <-p.above.Done():
			return p.above.Err()
		}
	}
}

func (t *transport) everHeld() map[string]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.ever)
}

// leases are those that have not lapsed.
func (t *transport) leases() map[string]leased {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.held)
}

// lapse lets leases lapse: those of a generation that is still alive are
// delivered to it again.
func (t *transport) lapse(ids map[string]leased) error {
	by := map[string][]string{}
	for id, l := range ids {
		by[l.subscription] = append(by[l.subscription], id)
	}
	for subscription, ids := range by {
		err := t.g.w.client.SubscriptionAdminClient.ModifyAckDeadline(context.Background(), &pubsubpb.ModifyAckDeadlineRequest{Subscription: subscription, AckIds: ids})
		if err != nil {
			return err
		}
	}
	t.forget(slices.Collect(maps.Keys(ids)))
	return nil
}

func (t *transport) forget(ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		delete(t.held, id)
	}
}
