package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/jobspecs"
)

const testProject = "kappa-test"

// patience of the tests: far more than anything takes here.
const testTimeout = 60 * time.Second

// eventually polls until done, or fails the test.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// message is a message that the fake Pub/Sub took.
type message struct {
	topic string
	data  string
	attrs map[string]string
}

func (m message) id() string       { return m.attrs[envelope.AttrID] }
func (m message) position() string { return m.attrs[envelope.AttrPosition] }

// fakePubSub is the Publisher service: it records what it takes.
type fakePubSub struct {
	pubsubpb.UnimplementedPublisherServer
	addr string

	mu       sync.Mutex
	topics   map[string]*pubsubpb.Topic
	without  map[string]bool // topics without a subscription
	messages []message
	requests int
	discard  bool // count only
	count    int
	// before is called with each request; an error refuses it. It may block.
	before func(ctx context.Context, topic string, messages []*pubsubpb.PubsubMessage) error
}

func newFakePubSub(t testing.TB, topics ...string) *fakePubSub {
	t.Helper()
	f := &fakePubSub{topics: make(map[string]*pubsubpb.Topic), without: make(map[string]bool)}
	for _, topic := range topics {
		f.topics[topicName(testProject, topic)] = &pubsubpb.Topic{}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.MaxRecvMsgSize(20 << 20))
	pubsubpb.RegisterPublisherServer(srv, f)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	f.addr = l.Addr().String()
	return f
}

func (f *fakePubSub) client(t testing.TB) *pubsub.Client {
	t.Helper()
	c, err := pubsub.NewClient(context.Background(), testProject, option.WithEndpoint(f.addr), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (f *fakePubSub) GetTopic(_ context.Context, req *pubsubpb.GetTopicRequest) (*pubsubpb.Topic, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.topics[req.Topic]; t != nil {
		return t, nil
	}
	return nil, status.Errorf(codes.NotFound, "Resource not found (resource=%s)", req.Topic)
}

func (f *fakePubSub) ListTopicSubscriptions(_ context.Context, req *pubsubpb.ListTopicSubscriptionsRequest) (*pubsubpb.ListTopicSubscriptionsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.without[req.Topic] {
		return &pubsubpb.ListTopicSubscriptionsResponse{}, nil
	}
	return &pubsubpb.ListTopicSubscriptionsResponse{Subscriptions: []string{"projects/p/subscriptions/s"}}, nil
}

// Publish checks what the real service checks.
func (f *fakePubSub) Publish(ctx context.Context, req *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	f.mu.Lock()
	before, known := f.before, f.topics[req.Topic] != nil
	f.mu.Unlock()
	if !known {
		return nil, status.Errorf(codes.NotFound, "Resource not found (resource=%s)", req.Topic)
	}
	if len(req.Messages) == 0 || len(req.Messages) > 1000 {
		return nil, status.Errorf(codes.InvalidArgument, "%d messages in a request", len(req.Messages))
	}
	for _, m := range req.Messages {
		if len(m.Data) == 0 && len(m.Attributes) == 0 || len(m.Attributes) > 100 {
			return nil, status.Error(codes.InvalidArgument, "empty message, or too many attributes")
		}
		for k, v := range m.Attributes {
			if len(k) == 0 || len(k) > 256 || len(v) > 1024 || strings.HasPrefix(k, "goog") {
				return nil, status.Errorf(codes.InvalidArgument, "attribute %q", k)
			}
		}
	}
	if before != nil {
		if err := before(ctx, req.Topic, req.Messages); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	resp := &pubsubpb.PublishResponse{}
	topic := strings.TrimPrefix(req.Topic, topicName(testProject, ""))
	for _, m := range req.Messages {
		f.count++
		if !f.discard {
			f.messages = append(f.messages, message{topic: topic, data: string(m.Data), attrs: m.Attributes})
		}
		resp.MessageIds = append(resp.MessageIds, fmt.Sprint(f.count))
	}
	return resp, nil
}

// taken returns the messages taken by a topic, or by all topics.
func (f *fakePubSub) taken(topic string) []message {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []message
	for _, m := range f.messages {
		if topic == "" || m.topic == topic {
			found = append(found, m)
		}
	}
	return found
}

func (f *fakePubSub) total() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

func (f *fakePubSub) positions() map[string]int {
	seen := make(map[string]int)
	for _, m := range f.taken("") {
		seen[m.position()]++
	}
	return seen
}

func retention(f *fakePubSub, topic string) {
	f.topics[topicName(testProject, topic)].MessageRetentionDuration = durationpb.New(time.Hour)
}

// newKafka is a Kafka cluster in memory.
func newKafka(t testing.TB, partitions int32, topics ...string) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ClusterID("test-cluster"), kfake.SeedTopics(partitions, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// producer produces records to a cluster.
func producer(t testing.TB, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func produce(t testing.TB, p *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := p.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// numbered makes n records spread over partitions, with JSON values.
func numbered(topic string, partitions int32, first, n int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{
			Topic: topic, Partition: int32(i) % partitions, Timestamp: time.UnixMilli(1_000_000_000_000 + int64(first+i)),
			Key:   fmt.Appendf(nil, "k%d", (first+i)%7),
			Value: fmt.Appendf(nil, `{"n":%d,"orig":"A%d"}`, first+i, (first+i)%5),
		}
	}
	return records
}

// testSpec is a bridge from topic "in" to "out-0" … with "dead".
func testSpec(brokers []string, splits int) *jobspecs.Bridge {
	return &jobspecs.Bridge{
		Metadata: jobspecs.Metadata{Name: "test"},
		Spec: jobspecs.BridgeSpec{
			Platform: jobspecs.Platform{Environment: "sandbox", Project: testProject},
			Sources: map[string]jobspecs.KafkaSource{"main": {
				KafkaCluster: jobspecs.KafkaCluster{Brokers: brokers}, Topics: []string{"in"}, Group: "g", Start: "earliest", Isolation: "readCommitted",
			}},
			Transform:   jobspecs.Transform{Decode: "none"},
			EventTime:   jobspecs.EventTime{Unit: "rfc3339"},
			Destination: jobspecs.Destination{Kind: "pubsub"},
			IDs:         jobspecs.IDs{From: "position"},
			Split:       jobspecs.Split{TopicPrefix: "out-", Count: splits},
			DeadLetter:  jobspecs.DeadLetter{Topic: "dead"},
			Limits: jobspecs.BridgeLimit{
				Memory: 64 << 20, BatchBytes: 1 << 20, BatchRecords: 1000,
				Linger: jobspecs.Duration(5 * time.Millisecond), Drain: jobspecs.Duration(20 * time.Second),
			},
			Listen: "127.0.0.1:0",
		},
	}
}

// editSource changes the source of a test's spec.
func editSource(s *jobspecs.BridgeSpec, edit func(*jobspecs.KafkaSource)) {
	src := s.Sources["main"]
	edit(&src)
	s.Sources["main"] = src
}

func outTopics(n int) []string {
	topics := []string{"dead"}
	for i := range n {
		topics = append(topics, fmt.Sprintf("out-%d", i))
	}
	return topics
}

// testConfig is a quick configuration.
func testConfig(t testing.TB, spec *jobspecs.Bridge, f *fakePubSub) Config {
	cfg := DefaultConfig()
	cfg.Spec, cfg.Version, cfg.PubSub = spec, "v0", f.client(t)
	cfg.CommitEvery, cfg.LagEvery = 20*time.Millisecond, 50*time.Millisecond
	cfg.Backoff = Backoff{First: 5 * time.Millisecond, Max: 50 * time.Millisecond, Blocked: 10 * time.Millisecond, Longest: 50 * time.Millisecond, Timeout: 10 * time.Second}
	if testing.Verbose() {
		cfg.Log = slog.New(slog.NewTextHandler(writer{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return cfg
}

type writer struct{ t testing.TB }

func (w writer) Write(p []byte) (int, error) {
	w.t.Logf("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// running is a bridge that runs in the test's process.
type running struct {
	*Bridge
	t    testing.TB
	addr string
	stop context.CancelFunc
	done chan error
}

// start runs a bridge; the test's end stops it.
func start(t testing.TB, cfg Config) *running {
	t.Helper()
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Bridge: b, t: t, stop: cancel, done: make(chan error, 1)}
	addr := make(chan string, 1)
	go func() { r.done <- b.Run(ctx, func(a string) { addr <- a }) }()
	select {
	case r.addr = <-addr:
	case err := <-r.done:
		t.Fatalf("the bridge did not start: %v", err)
	}
	t.Cleanup(func() { cancel(); r.wait() })
	return r
}

// wait waits for the end of the bridge, once or again.
func (r *running) wait() error {
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(testTimeout):
		r.t.Error("the bridge does not end")
		return nil
	}
}

// halt stops the bridge in order.
func (r *running) halt() error {
	r.stop()
	return r.wait()
}
