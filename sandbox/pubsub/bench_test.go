package pubsub

import (
	"context"
	"fmt"
	"io"
	"testing"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// raw passes bytes through gRPC, so that the benchmarks measure the server and
// not the clients.
type raw struct{ encoding.CodecV2 }

func (r raw) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return r.CodecV2.Marshal(v)
}

// payload is a message of 1 KB with the attributes of the bridge.
func payload(i int) *pb.PubsubMessage {
	return &pb.PubsubMessage{Data: make([]byte, 700), Attributes: map[string]string{
		"kappa-id": fmt.Sprintf("00000000-0000-8000-8000-%012d", i), "kappa-event-time": "2001-01-08T00:01:00.000Z",
		"kappa-position": "kappa-sandbox/flights/3/12345", "kappa-source-time": "2001-01-08T00:04:00.000Z", "kappa-bridge": "flights/v1",
	}}
}

// reportProcessorTime reports the processor time of an operation, client and
// server together, which says more than the clock on a machine that is shared.
func reportProcessorTime(b *testing.B) func() {
	before := processorTime(b)
	return func() { b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkPublish publishes requests of 1,000 messages of 1 KB to a topic
// with one subscription that no one reads, emptied now and then.
func BenchmarkPublish(b *testing.B) {
	s, c := start(b)
	create(b, c, nil)
	req := &pb.PublishRequest{Topic: testTopic}
	for i := range 1000 {
		req.Messages = append(req.Messages, payload(i))
	}
	body := encode(b, req)
	//lint:ignore SA1019 the client has one connection here
	conn := c.TopicAdminClient.Connection()
	b.SetBytes(int64(len(body)) / 1000)
	b.ReportAllocs()
	defer reportProcessorTime(b)()
	for n := 0; b.Loop(); n++ {
		if n%1000 != 0 {
			continue // one iteration is one message
		}
		if err := conn.Invoke(b.Context(), pb.Publisher_Publish_FullMethodName, body, new(pb.PublishResponse), grpc.ForceCodecV2(raw{protoCodec})); err != nil {
			b.Fatal(err)
		}
		if s.retained.Load() > 100<<20 {
			sub := s.subs[testSub]
			sub.mu.Lock()
			sub.backlog.purge()
			sub.settle()
		}
	}
}

// BenchmarkPublishDeliverAck sends messages of 1 KB all the way: published,
// received on a stream that decodes them, acknowledged.
func BenchmarkPublishDeliverAck(b *testing.B) {
	_, c := start(b)
	create(b, c, nil)
	req := &pb.PublishRequest{Topic: testTopic}
	for i := range 1000 {
		req.Messages = append(req.Messages, payload(i))
	}
	body := encode(b, req)
	//lint:ignore SA1019 the client has one connection here
	conn := c.TopicAdminClient.Connection()
	b.SetBytes(int64(len(body)) / 1000)
	b.ReportAllocs()
	defer reportProcessorTime(b)()

	st := open(b, c, nil)
	received := make(chan int, 1000)
	ended := make(chan error, 1)
	go func() {
		for {
			resp, err := st.Recv()
			if err != nil {
				ended <- err
				return
			}
			if err := st.Send(&pb.StreamingPullRequest{AckIds: ackIDs(resp.ReceivedMessages)}); err != nil && err != io.EOF {
				ended <- err
				return
			}
			received <- len(resp.ReceivedMessages)
		}
	}()
	inFlight := 0
	wait := func(limit int) {
		for inFlight > limit {
			select {
			case n := <-received:
				inFlight -= n
			case err := <-ended:
				b.Fatal(err)
			}
		}
	}
	for n := 0; b.Loop(); n++ {
		if n%1000 != 0 {
			continue
		}
		if err := conn.Invoke(context.Background(), pb.Publisher_Publish_FullMethodName, body, new(pb.PublishResponse), grpc.ForceCodecV2(raw{protoCodec})); err != nil {
			b.Fatal(err)
		}
		inFlight += 1000
		wait(10_000)
	}
	wait(0)
}

// BenchmarkModifyAckDeadline extends the leases of 100,000 held messages, as a
// client that holds them does every few seconds.
func BenchmarkModifyAckDeadline(b *testing.B) {
	s, c := start(b)
	create(b, c, nil)
	const n = 100_000
	publishN(b, c, n)
	st := open(b, c, func(r *pb.StreamingPullRequest) { r.StreamAckDeadlineSeconds = 600 })
	held := ackIDs(st.receive(n))
	svc := &service{Server: s}
	i := 0
	for b.Loop() {
		if i+1000 > n {
			i = 0
		}
		if _, err := svc.ModifyAckDeadline(b.Context(), &pb.ModifyAckDeadlineRequest{Subscription: testSub, AckIds: held[i : i+1000], AckDeadlineSeconds: 600}); err != nil {
			b.Fatal(err)
		}
		i += 1000
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/lease")
}

// BenchmarkSeekToSnapshot goes back to 100,000 messages of 1 KB, during which
// nothing is published anywhere.
func BenchmarkSeekToSnapshot(b *testing.B) {
	_, c := start(b)
	create(b, c, nil)
	createSnapshot(b, c, testSnapshot, testSub)
	req := &pb.PublishRequest{Topic: testTopic}
	for i := range 1000 {
		req.Messages = append(req.Messages, payload(i))
	}
	for range 100 {
		if _, err := c.TopicAdminClient.Publish(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		seek(b, c, toSnapshot(testSub, testSnapshot))
	}
}
