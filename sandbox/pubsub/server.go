package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // publishers may compress
	"google.golang.org/grpc/status"
)

// Config says how to serve.
type Config struct {
	Addr string       // to listen on; default 127.0.0.1:0
	Log  *slog.Logger // required

	// MaxBacklogBytes bounds the messages that are held: each counted once per
	// subscription, once per snapshot of a subscription that had not
	// acknowledged it, and once per topic for what was published since its
	// oldest snapshot. Publishing beyond it is refused with RESOURCE_EXHAUSTED.
	// Default DefaultMaxBacklogBytes.
	MaxBacklogBytes int64
}

// DefaultMaxBacklogBytes is the default of Config.MaxBacklogBytes.
const DefaultMaxBacklogBytes = 1 << 30

// Validate fills in defaults and reports what is missing.
func (c *Config) Validate() error {
	if c.Log == nil {
		return errors.New("pubsub: Config.Log is nil")
	}
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if c.MaxBacklogBytes == 0 {
		c.MaxBacklogBytes = DefaultMaxBacklogBytes
	}
	if c.MaxBacklogBytes < 0 {
		return fmt.Errorf("pubsub: Config.MaxBacklogBytes is %d", c.MaxBacklogBytes)
	}
	return nil
}

// Server is a running Pub/Sub server.
type Server struct {
	cfg      Config
	listener net.Listener
	grpc     *grpc.Server
	serving  sync.WaitGroup // Serve, and the receiving halves of streams

	lastID   atomic.Uint64 // message ids
	lastSub  atomic.Uint64 // numbers of subscriptions, part of ack ids
	retained atomic.Int64  // bytes held, as Config.MaxBacklogBytes counts them

	// mu guards what follows; taken before a subscription's, never after.
	//
	// Publishing holds it for reading until every subscription and the record
	// have the messages, creating a snapshot and seeking hold it for writing: so
	// a request is before a snapshot or behind it everywhere.
	mu        sync.RWMutex
	topics    map[string]*topic
	subs      map[string]*subscription
	snapshots map[string]*snapshot
}

// topic is a topic. Its proto and its list of subscriptions are replaced, never
// changed, so that whoever read them under the lock may go on using them.
type topic struct {
	proto     *pb.Topic
	subs      []*subscription
	snapshots []*snapshot
	record    record // for the snapshots
}

// New starts a server.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("pubsub: %w", err)
	}
	s := &Server{cfg: cfg, listener: l, topics: map[string]*topic{}, subs: map[string]*subscription{}, snapshots: map[string]*snapshot{}}
	// Ids differ from those of an earlier run, as real ones do.
	s.lastID.Store(uint64(time.Now().UnixMicro()))
	s.grpc = grpc.NewServer(
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(2*maxRequestBytes), // over the limit is refused by checkRequest
		grpc.MaxSendMsgSize(4*maxRequestBytes),
		grpc.WaitForHandlers(true), // so that no goroutine is added to serving while Close waits for it
		grpc.InitialWindowSize(4<<20),
		grpc.InitialConnWindowSize(16<<20),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			method, _ := grpc.MethodFromServerStream(stream)
			return unsupported("the method " + method)
		}),
	)
	svc := &service{Server: s}
	s.grpc.RegisterService(publisherDesc(), svc)
	pb.RegisterSubscriberServer(s.grpc, svc)
	s.serving.Go(func() {
		if err := s.grpc.Serve(l); err != nil {
			cfg.Log.Error("pubsub server stopped", "error", err)
		}
	})
	return s, nil
}

// closeGrace is how long Close waits for calls to end: long enough to tell every
// stream, not longer for a client that does not read.
const closeGrace = time.Second

// Addr is the host:port that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends all streams and stops the server. What it held is gone.
func (s *Server) Close() {
	s.endAll() // streams and pulls learn why they end
	force := time.AfterFunc(closeGrace, s.grpc.Stop)
	s.grpc.GracefulStop()
	force.Stop()
	s.serving.Wait()
	s.endAll() // what was created meanwhile
}

func (s *Server) endAll() {
	s.mu.Lock()
	subs := s.subs
	for _, snap := range s.snapshots {
		s.dropSnapshot(snap)
	}
	s.topics, s.subs = map[string]*topic{}, map[string]*subscription{}
	s.mu.Unlock()
	for _, sub := range subs {
		sub.end(status.Error(codes.Unavailable, "the sandbox's Pub/Sub is shutting down"))
	}
}

// service implements the two gRPC services on a Server.
type service struct {
	*Server
	pb.UnimplementedPublisherServer
	pb.UnimplementedSubscriberServer
}

func notFound(resource string) error {
	return status.Errorf(codes.NotFound, "Resource not found (resource=%s).", resource)
}

func alreadyExists(resource string) error {
	return status.Errorf(codes.AlreadyExists, "Resource already exists in the project (resource=%s).", resource)
}

func (s *Server) topic(name string) (*topic, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.topics[name]
	if t == nil {
		return nil, notFound(name)
	}
	return t, nil
}

func (s *Server) subscription(name string) (*subscription, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	sub := s.subs[name]
	if sub == nil {
		return nil, notFound(name)
	}
	return sub, nil
}

// publish is the Publish method, on the encoded request.
func (s *Server) publish(_ context.Context, request []byte) (*pb.PublishResponse, error) {
	req, err := scanPublish(request)
	if err != nil {
		if errors.Is(err, errMalformed) {
			err = invalid("The request is not a valid PublishRequest.")
		}
		return nil, err
	}
	if err := checkName("topics", req.topic); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.topics[req.topic]
	if t == nil {
		return nil, notFound(req.topic)
	}
	holders := len(t.subs)
	if len(t.snapshots) > 0 {
		holders++ // the record
	}
	now := time.Now()
	if err := s.checkSpace(int64(req.size*holders), now); err != nil {
		return nil, err
	}
	n := uint64(len(req.messages))
	first := s.lastID.Add(n) - n + 1
	ids := make([]string, n)
	messages := make([]message, n)
	for i, m := range req.messages {
		ids[i] = formatID(first + uint64(i))
		if holders > 0 { // invariant: without a subscription or a snapshot the message is gone, as it is in the real service
			messages[i] = message{encoded: m.stamp(ids[i], now), orderingKey: string(m.orderingKey), id: first + uint64(i), published: now.UnixNano()}
		}
	}
	s.fanOut(t, messages)
	return &pb.PublishResponse{MessageIds: ids}, nil
}

// fanOut gives published messages to all that hold those of a topic; the caller
// holds s.mu for reading.
func (s *Server) fanOut(t *topic, messages []message) {
	for _, sub := range t.subs {
		sub.add(messages)
	}
	if len(t.snapshots) > 0 {
		s.retained.Add(t.record.append(messages))
	}
}

// checkSpace refuses to hold more bytes than the limit allows; the caller holds
// s.mu for reading.
func (s *Server) checkSpace(more int64, now time.Time) error {
	if s.retained.Load()+more <= s.cfg.MaxBacklogBytes {
		return nil
	}
	for _, sub := range s.subs { // retained messages may have outlived their retention
		sub.sweep(now)
	}
	if held := s.retained.Load() + more; held > s.cfg.MaxBacklogBytes {
		return status.Errorf(codes.ResourceExhausted, "the sandbox's Pub/Sub would hold %d bytes of messages that are unacknowledged or retained for seeking, its limit is %d", held, s.cfg.MaxBacklogBytes)
	}
	return nil
}
