package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	project     = "kappa-soak"
	deadTopic   = "soak-dead"
	topicPrefix = "soak-"
	splits      = 3
)

// Attributes of a message, by the contract; not taken from the code.
const (
	attrID       = "kappa-id"
	attrPosition = "kappa-position"
	attrTime     = "kappa-event-time"
	attrError    = "kappa-error" // what went wrong this time: two copies may differ
)

// poisonMark in a message's data makes this server refuse its request: nothing
// else can see that the message is bad.
const poisonMark = "POISON"

// weather is how the server behaves. Probabilities are between 0 and 1.
type weather struct {
	away     int            // > 0: every request fails with UNAVAILABLE
	topics   map[string]int // the same, by topic
	denied   int            // > 0: PERMISSION_DENIED
	throttle float64        // RESOURCE_EXHAUSTED
	hide     float64        // stored, and then an error
	slow     time.Duration  // longest delay
}

// backend is the Pub/Sub service; its endpoints share it.
type backend struct {
	oracle *oracle
	seed   uint64

	mu       sync.Mutex
	weather  weather
	topics   map[string]bool
	requests map[string]int
	n        uint64 // requests
	awayFor  uint32 // member for which the service is away
}

func newBackend(o *oracle, seed uint64, topics ...string) *backend {
	b := &backend{oracle: o, seed: seed, topics: make(map[string]bool), requests: make(map[string]int)}
	b.weather.topics = make(map[string]int)
	for _, t := range topics {
		b.topics[t] = true
	}
	return b
}

// change changes the weather.
func (b *backend) change(f func(w *weather)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.weather)
}

func (b *backend) count(answer string) {
	b.mu.Lock()
	b.requests[answer]++
	b.mu.Unlock()
}

// forecast is the fate of one request.
type forecast struct {
	refuse  error
	hide    error
	partial bool // only a part of the request is stored before the error
	delay   time.Duration
	dice    *rand.Rand
}

// next rolls the dice for a request.
func (b *backend) next(topic string, member uint32) forecast {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	f := forecast{dice: rand.New(rand.NewPCG(b.seed, b.n))}
	w := b.weather
	f.delay = time.Duration(f.dice.Int64N(int64(4 * time.Millisecond)))
	if w.slow > 0 {
		f.delay += time.Duration(f.dice.Int64N(int64(w.slow)))
	}
	switch {
	case w.away > 0 || w.topics[topic] > 0 || b.awayFor == member && member > 0:
		f.refuse = status.Error(codes.Unavailable, "the service is away")
	case w.denied > 0:
		f.refuse = status.Error(codes.PermissionDenied, "the caller has no permission any more")
	case f.dice.Float64() < w.throttle:
		f.refuse = status.Error(codes.ResourceExhausted, "quota exceeded")
	case f.dice.Float64() < w.hide:
		code := []codes.Code{codes.Unavailable, codes.Internal, codes.DeadlineExceeded, codes.Unknown, codes.Aborted}[f.dice.IntN(5)]
		f.hide, f.partial = status.Error(code, "something went wrong"), f.dice.IntN(3) == 0
	}
	return f
}

// endpoint is the address of the service that one bridge process uses, so that
// the server knows who published what.
type endpoint struct {
	pubsubpb.UnimplementedPublisherServer
	*backend
	member uint32
	server *grpc.Server
	addr   string
	done   chan struct{}

	mu     sync.Mutex
	recent []batch // answered of late, for disconnect and exposure
}

type batch struct {
	at     time.Time
	places []place
}

// serve opens an endpoint for a bridge process, at a free port if addr is "".
func (b *backend) serve(member uint32, addr string) (*endpoint, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("open a Pub/Sub endpoint: %w", err)
	}
	e := &endpoint{backend: b, member: member, addr: l.Addr().String()}
	e.start(l)
	return e, nil
}

func (e *endpoint) start(l net.Listener) {
	e.server, e.done = grpc.NewServer(grpc.MaxRecvMsgSize(20<<20), grpc.WaitForHandlers(true)), make(chan struct{})
	pubsubpb.RegisterPublisherServer(e.server, e)
	go func(s *grpc.Server, done chan struct{}) { defer close(done); _ = s.Serve(l) }(e.server, e.done)
}

// close ends the endpoint; when it returns, the fate of every request is decided.
func (e *endpoint) close() {
	e.server.Stop()
	<-e.done
}

// disconnect breaks the bridge's connections for a while. What it had stored
// just before may have lost its answer on the way.
func (e *endpoint) disconnect(ctx context.Context, d time.Duration) error {
	began := time.Now()
	e.close()
	e.mu.Lock()
	for _, b := range e.recent {
		if b.at.After(began.Add(-late / 4)) {
			e.oracle.hide(b.places)
		}
	}
	e.mu.Unlock()
	wait(ctx, d)
	l, err := net.Listen("tcp", e.addr)
	if err != nil {
		return fmt.Errorf("open the Pub/Sub endpoint again: %w", err)
	}
	e.start(l)
	return nil
}

// publishedSince is how many messages were stored since a time, at most
// keepRecent ago.
func (e *endpoint) publishedSince(at time.Time) (n int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.recent {
		if b.at.After(at) {
			n += int64(len(b.places))
		}
	}
	return n
}

const keepRecent = 2 * time.Minute

func (e *endpoint) remember(places []place) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.recent = append(e.recent, batch{now, places})
	for len(e.recent) > 0 && now.Sub(e.recent[0].at) > keepRecent {
		e.recent = e.recent[1:]
	}
}

func (b *backend) down() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.weather.away > 0 {
		return status.Error(codes.Unavailable, "the service is away")
	}
	return nil
}

// GetTopic answers the check before a bridge starts.
func (e *endpoint) GetTopic(_ context.Context, req *pubsubpb.GetTopicRequest) (*pubsubpb.Topic, error) {
	if err := e.down(); err != nil {
		return nil, err
	}
	if !e.topics[shortName(req.Topic)] {
		return nil, status.Errorf(codes.NotFound, "Resource not found (resource=%s)", req.Topic)
	}
	return &pubsubpb.Topic{Name: req.Topic}, nil
}

// ListTopicSubscriptions says that every topic has one.
func (e *endpoint) ListTopicSubscriptions(_ context.Context, req *pubsubpb.ListTopicSubscriptionsRequest) (*pubsubpb.ListTopicSubscriptionsResponse, error) {
	if err := e.down(); err != nil {
		return nil, err
	}
	return &pubsubpb.ListTopicSubscriptionsResponse{Subscriptions: []string{"projects/" + project + "/subscriptions/s"}}, nil
}

// Publish is the service, as the weather lets it be.
func (e *endpoint) Publish(ctx context.Context, req *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	begun := time.Now()
	topic := shortName(req.Topic)
	if !e.topics[topic] {
		return nil, status.Errorf(codes.NotFound, "Resource not found (resource=%s)", req.Topic)
	}
	f := e.next(topic, e.member)
	wait(ctx, f.delay)
	if ctx.Err() == nil && f.refuse != nil {
		e.count(status.Code(f.refuse).String())
		return nil, f.refuse
	}
	if err := acceptable(topic, req); err != nil {
		e.count(status.Code(err).String())
		return nil, err
	}
	messages := req.Messages
	if f.partial {
		messages = messages[:f.dice.IntN(len(messages))+1]
	}
	resp := &pubsubpb.PublishResponse{MessageIds: make([]string, 0, len(messages))}
	places := make([]place, 0, len(messages))
	for _, m := range messages {
		a := e.arrival(topic, m)
		a.begun = begun
		e.oracle.stored(a, f.hide != nil || ctx.Err() != nil)
		places = append(places, place{a.from, a.offset})
		resp.MessageIds = append(resp.MessageIds, strconv.Itoa(len(resp.MessageIds)))
	}
	e.remember(places)
	if f.hide != nil {
		e.count("stored, then " + status.Code(f.hide).String())
		return nil, f.hide
	}
	e.count("OK")
	return resp, nil
}

// acceptable checks what the real service checks, and looks for poison.
func acceptable(topic string, req *pubsubpb.PublishRequest) error {
	if len(req.Messages) == 0 || len(req.Messages) > 1000 {
		return status.Errorf(codes.InvalidArgument, "%d messages in a request", len(req.Messages))
	}
	for _, m := range req.Messages {
		if len(m.Data) == 0 && len(m.Attributes) == 0 || len(m.Attributes) > 100 {
			return status.Error(codes.InvalidArgument, "an empty message, or too many attributes")
		}
		if topic != deadTopic && strings.Contains(string(m.Data), poisonMark) {
			return status.Error(codes.InvalidArgument, "a message of the request is not valid")
		}
		for k, v := range m.Attributes {
			if k == "" || len(k) > 256 || len(v) > 1024 || strings.HasPrefix(k, "goog") {
				return status.Errorf(codes.InvalidArgument, "attribute %q", k)
			}
		}
	}
	return nil
}

// arrival reads a message.
func (e *endpoint) arrival(topic string, m *pubsubpb.PubsubMessage) arrival {
	a := arrival{member: e.member, id: m.Attributes[attrID], dead: topic == deadTopic, offset: -1}
	if parts := strings.Split(m.Attributes[attrPosition], "/"); len(parts) == 4 && parts[0] == e.oracle.cluster {
		p, perr := strconv.ParseInt(parts[2], 10, 32)
		n, nerr := strconv.ParseInt(parts[3], 10, 64)
		if perr == nil && nerr == nil {
			a.from, a.offset = tp{parts[1], int32(p)}, n
		}
	}
	if m.OrderingKey != "" {
		a.order = topic + "/" + m.OrderingKey // order is of a topic
	}
	a.content = contentOf(topic, m.Data, m.Attributes[attrTime])
	a.full = a.content
	for k, v := range m.Attributes { // the sum does not depend on the order
		if k != attrError {
			a.full += xxhash.Sum64String(k + "\x00" + v)
		}
	}
	return a
}

// contentOf sums up what a message is expected to be. Dead letters have no
// event time.
func contentOf(topic string, data []byte, eventTime string) uint64 {
	d := xxhash.New()
	_, _ = d.WriteString(topic + "\x00" + eventTime + "\x00")
	_, _ = d.Write(data)
	return d.Sum64()
}

func shortName(topic string) string {
	return strings.TrimPrefix(topic, "projects/"+project+"/topics/")
}

// wait waits for d, or less if ctx is done.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// spare makes the service away for one bridge alone; 0 ends that.
func (b *backend) spare(member uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.awayFor = member
}
