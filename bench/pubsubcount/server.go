package main

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/bench/internal/codec"
	"github.com/kappa-migrate/kappa/bench/internal/count"
	"github.com/kappa-migrate/kappa/bench/internal/report"
	"github.com/kappa-migrate/kappa/bench/internal/wire"
)

// Limits of a publish request.
const (
	maxMessages = 1000
	maxBytes    = 10_000_000
)

type server struct {
	pubsubpb.UnimplementedPublisherServer
	ledger   *count.Ledger
	delay    time.Duration
	latency  bool
	down     atomic.Bool
	response []byte // for maxMessages

	messages, bad, requests, refused, dataBytes, bytes atomic.Int64

	latencies, delays count.Latencies
}

func newServer(e count.Expect, delay time.Duration, latency bool) *server {
	return &server{ledger: count.NewLedger(e), delay: delay, latency: latency, response: wire.Response(maxMessages)}
}

// grpc is the server of the Publisher service, with Publish as bytes. Its
// windows and buffers are large: what is measured is the client.
func (s *server) grpc() *grpc.Server {
	g := grpc.NewServer(
		grpc.ForceServerCodecV2(codec.Codec{}),
		grpc.MaxRecvMsgSize(maxBytes+1<<20),
		grpc.InitialWindowSize(16<<20),
		grpc.InitialConnWindowSize(64<<20),
		grpc.ReadBufferSize(256<<10),
		grpc.NumStreamWorkers(8),
	)
	desc := pubsubpb.Publisher_ServiceDesc
	desc.Methods = slices.Clone(desc.Methods)
	i := slices.IndexFunc(desc.Methods, func(m grpc.MethodDesc) bool { return m.MethodName == "Publish" })
	desc.Methods[i].Handler = func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var b codec.Bytes
		if err := decode(&b); err != nil {
			return nil, err
		}
		return s.publish(&b)
	}
	g.RegisterService(&desc, s)
	return g
}

func (s *server) publish(b *codec.Bytes) (*codec.Bytes, error) {
	arrived := time.Now()
	if s.down.Load() {
		b.In.Free()
		s.refused.Add(1)
		return nil, status.Error(codes.Unavailable, "the server is down on purpose")
	}
	messages, times, err := s.take(b.In.ReadOnlyData())
	b.In.Free()
	if err != nil {
		return nil, err
	}
	time.Sleep(s.delay)
	now := time.Now()
	s.delays.Add(now.Sub(arrived), 1)
	for _, t := range times {
		s.latencies.Add(now.Sub(time.UnixMilli(t.millis)), t.n)
	}
	b.Out = mem.BufferSlice{mem.SliceBuffer(s.response[:wire.ResponseSize(messages)])}
	return b, nil
}

// sameTime is a number of messages with one source time.
type sameTime struct {
	millis int64
	n      int
}

// take counts the messages of a request. The request may be freed afterwards.
func (s *server) take(request []byte) (messages int, times []sameTime, err error) {
	batch := s.ledger.Begin()
	defer batch.End()
	var clock count.Clock
	var last []byte
	bad, bytes := 0, 0
	_, err = wire.Scan(request, func(m wire.Message) {
		messages++
		bytes += m.Data
		if !batch.Add(m.ID) {
			bad++
			return
		}
		if !s.latency {
			return
		}
		if len(times) > 0 && string(m.SourceTime) == string(last) {
			times[len(times)-1].n++
			return
		}
		if millis, ok := clock.Millis(m.SourceTime); ok {
			last = m.SourceTime
			times = append(times, sameTime{millis, 1})
		}
	})
	switch {
	case err != nil:
		return 0, nil, status.Error(codes.InvalidArgument, err.Error())
	case messages == 0 || messages > maxMessages || len(request) > maxBytes:
		return 0, nil, status.Errorf(codes.InvalidArgument, "%d messages, %d bytes in a request", messages, len(request))
	}
	s.messages.Add(int64(messages - bad))
	s.bad.Add(int64(bad))
	s.dataBytes.Add(int64(bytes))
	s.bytes.Add(int64(len(request)))
	s.requests.Add(1)
	return messages, times, nil
}

// GetTopic says that every topic exists, without retention.
func (s *server) GetTopic(_ context.Context, req *pubsubpb.GetTopicRequest) (*pubsubpb.Topic, error) {
	return &pubsubpb.Topic{Name: req.GetTopic()}, nil
}

// ListTopicSubscriptions says that every topic has a subscription.
func (s *server) ListTopicSubscriptions(_ context.Context, req *pubsubpb.ListTopicSubscriptionsRequest) (*pubsubpb.ListTopicSubscriptionsResponse, error) {
	return &pubsubpb.ListTopicSubscriptionsResponse{Subscriptions: []string{strings.Replace(req.GetTopic(), "/topics/", "/subscriptions/", 1)}}, nil
}

func (s *server) stats() report.Stats {
	r := report.Stats{
		Messages: s.messages.Load(), Bad: s.bad.Load(), Requests: s.requests.Load(), Refused: s.refused.Load(),
		DataBytes: s.dataBytes.Load(), Bytes: s.bytes.Load(), Latency: s.latencies.Percentiles(), Delay: s.delays.Percentiles(),
	}
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) == nil {
		r.CPUSeconds = float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1e9
	}
	return r
}
