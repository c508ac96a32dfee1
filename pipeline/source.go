package pipeline

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"sync"
	"time"

	vkit "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/worker"
)

// source receives the messages of one subscription for the whole process. It
// pulls until it is drained, keeps the leases of all that it received, and
// acknowledges only when told to: after the pipeline has ended (rule P5).
//
// Pulling is one StreamingPull stream. Its flow control cannot bound what is
// unacknowledged, which here is everything; what waits to be processed is
// bounded by not reading from the stream.
type source struct {
	name   string // projects/P/subscriptions/S
	client *vkit.SubscriptionAdminClient
	log    *slog.Logger

	mu        sync.Mutex
	room      *sync.Cond // the queue has room, or pulling has ended
	queue     []*pubsubpb.ReceivedMessage
	queued    int           // bytes
	ended     bool          // pulling has ended: nothing more is queued
	exhausted bool          // and all of it has been handed out
	started   bool          // the reader has asked for messages
	failure   error         // why pulling ended, other than by a drain
	mark      *watermark    // guarded by mu
	leases    leases        // guarded by mu
	refused   []*lease      // came after the end; given back
	draining  chan struct{} // closed when the source is drained
	pulling   chan struct{} // closed when pulling has ended
}

const (
	queueMessages  = 20_000
	queueBytes     = 64 << 20
	receiveBackoff = 200 * time.Millisecond
	closeTimeout   = 2 * time.Second
)

func newSource(name string, client *vkit.SubscriptionAdminClient, p *Plan, log *slog.Logger) *source {
	s := &source{name: name, client: client, log: log.With("subscription", name),
		mark: newWatermark(p.Delay, p.Idle), draining: make(chan struct{}), pulling: make(chan struct{})}
	s.room = sync.NewCond(&s.mu)
	return s
}

// run pulls until the source is drained or the subscription cannot be read. It
// keeps the leases until ctx is done, and then gives back what is still held.
func (s *source) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.keepLeases(ctx) })
	err := s.pull(ctx)
	s.mu.Lock()
	s.ended, s.failure = true, err
	refused := s.refused
	s.mu.Unlock()
	close(s.pulling)
	if err := s.extend(ctx, refused, 0, time.Now()); err != nil {
		s.log.Debug("release_leases_failed", "messages", len(refused), "error", err) // they lapse by themselves
	}
	wg.Wait()
	s.release(ctx)
}

// drain ends pulling; what was received is still handed out.
func (s *source) drain() {
	s.mu.Lock()
	if !s.ended {
		s.ended = true
		close(s.draining)
		s.room.Broadcast() // frees a pull that waits for room
	}
	s.mu.Unlock()
	<-s.pulling
}

func (s *source) pull(ctx context.Context) error {
	for ; !s.stopped(ctx); s.pause(ctx) {
		err := s.pullStream(ctx)
		if s.stopped(ctx) {
			return nil
		}
		if err != nil && permanent(err) {
			return exit.Environmentf("pull from %s: %w", s.name, err).
				WithHint("check that the subscription exists and that the job may subscribe to it")
		}
		// Pub/Sub ends every stream now and then; that is no error.
		if status.Code(err) != codes.Unavailable && !errors.Is(err, io.EOF) {
			s.log.Warn("pull_interrupted", "error", err)
		}
	}
	return nil
}

func (s *source) stopped(ctx context.Context) bool {
	select {
	case <-s.draining:
		return true
	default:
		return ctx.Err() != nil
	}
}

func (s *source) pause(ctx context.Context) {
	select {
	case <-time.After(receiveBackoff):
	case <-s.draining:
	case <-ctx.Done():
	}
}

func (s *source) pullStream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.client.StreamingPull(ctx)
	if err != nil {
		return err
	}
	err = stream.Send(&pubsubpb.StreamingPullRequest{
		Subscription:             s.name,
		StreamAckDeadlineSeconds: int32(ackDeadline / time.Second),
		// Everything is held until the drain, so nothing may bound it.
		MaxOutstandingMessages: math.MaxInt64,
		MaxOutstandingBytes:    math.MaxInt64,
	})
	if err != nil && !errors.Is(err, io.EOF) { // on EOF Recv has the reason
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.closeStream(ctx, cancel, stream) })
	for {
		resp, err := stream.Recv()
		if err != nil {
			cancel()
			return err
		}
		s.enqueue(resp.GetReceivedMessages())
	}
}

// closeStream ends a stream when the source is drained: it asks the server to,
// so that what is under way still arrives and can be given back, rather than
// stay leased to nobody; a server that does not is not waited for.
func (s *source) closeStream(ctx context.Context, cancel context.CancelFunc, stream pubsubpb.Subscriber_StreamingPullClient) {
	select {
	case <-ctx.Done():
		return
	case <-s.draining:
	}
	_ = stream.CloseSend()
	select {
	case <-ctx.Done():
	case <-time.After(closeTimeout):
		cancel()
	}
}

// enqueue waits for room and takes the messages. Once the source is drained
// they are for the next reader.
func (s *source) enqueue(ms []*pubsubpb.ReceivedMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := s.leases.add(ms, time.Now()) // extended while they wait for room, too
	for !s.ended && (len(s.queue) >= queueMessages || s.queued >= queueBytes) {
		s.room.Wait()
	}
	if s.ended {
		s.leases.remove(added)
		s.refused = append(s.refused, added...)
		return
	}
	for _, m := range ms {
		s.queued += len(m.GetMessage().GetData())
	}
	s.queue = append(s.queue, ms...)
}

// take hands out the events of up to n messages and the watermark after them;
// each has the one before. exhausted: nothing more will ever come.
func (s *source) take(n int) (ms []*Message, after int64, exhausted bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.started = true
	before := s.mark.at(now)
	n = min(n, len(s.queue))
	ms = make([]*Message, 0, n)
	for i, rm := range s.queue[:n] {
		pm := rm.GetMessage()
		s.queue[i] = nil
		s.queued -= len(pm.GetData())
		for _, m := range newMessages(pm.GetMessageId(), pm.GetData(), pm.GetAttributes(), pm.GetPublishTime().AsTime().UnixMicro(), before) {
			ms = append(ms, m)
			if m.Source != unknownTime && m.Position != "" {
				s.mark.observe(partitionOf(m.Position), m.Source, now)
			}
		}
	}
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	s.room.Broadcast()
	exhausted = s.ended && len(s.queue) == 0 && s.pullEnded()
	if exhausted && s.failure != nil {
		return nil, 0, false, s.failure
	}
	s.exhausted = exhausted
	return ms, s.mark.at(now), exhausted, nil
}

func (s *source) pullEnded() bool {
	select {
	case <-s.pulling:
		return true
	default:
		return false
	}
}

// report is the state of the source; running: the reader has begun.
func (s *source) report() (r worker.Source, running bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r = worker.Source{Subscription: s.name, AtMaximum: s.exhausted, Held: int64(len(s.leases.held))}
	if w := s.mark.at(time.Now()); w != unknownTime {
		r.Watermark = time.UnixMicro(w).UTC()
	}
	return r, s.started
}
