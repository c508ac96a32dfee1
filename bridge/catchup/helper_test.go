package catchup

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/twmb/franz-go/pkg/kfake"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/kappa-migrate/kappa/bridge"
	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/jobspecs"
)

const testTimeout = 60 * time.Second

// eventually polls until done, or fails the test.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// fakePubSub is the Publisher service: it counts what it takes, by position.
type fakePubSub struct {
	pubsubpb.UnimplementedPublisherServer
	addr string

	mu      sync.Mutex
	ids     map[string]string // by position
	times   map[string]int    // how often a position came
	total   int
	mixed   []string // positions that came with two ids
	discard bool     // count only
	// before is called with each request and may wait, or refuse it.
	before func(ctx context.Context, n int) error
}

func newFakePubSub(t testing.TB) *fakePubSub {
	t.Helper()
	f := &fakePubSub{ids: make(map[string]string), times: make(map[string]int)}
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

func (f *fakePubSub) GetTopic(_ context.Context, req *pubsubpb.GetTopicRequest) (*pubsubpb.Topic, error) {
	return &pubsubpb.Topic{Name: req.Topic}, nil
}

func (f *fakePubSub) ListTopicSubscriptions(context.Context, *pubsubpb.ListTopicSubscriptionsRequest) (*pubsubpb.ListTopicSubscriptionsResponse, error) {
	return &pubsubpb.ListTopicSubscriptionsResponse{Subscriptions: []string{"projects/p/subscriptions/s"}}, nil
}

func (f *fakePubSub) Publish(ctx context.Context, req *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	f.mu.Lock()
	before := f.before
	f.mu.Unlock()
	if before != nil {
		if err := before(ctx, len(req.Messages)); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	resp := &pubsubpb.PublishResponse{}
	for _, m := range req.Messages {
		if f.discard {
			f.total++
			resp.MessageIds = append(resp.MessageIds, "1")
			continue
		}
		id, position := m.Attributes[envelope.AttrID], m.Attributes[envelope.AttrPosition]
		if was, ok := f.ids[position]; ok && was != id {
			f.mixed = append(f.mixed, position)
		}
		f.ids[position] = id
		f.times[position]++
		f.total++
		resp.MessageIds = append(resp.MessageIds, fmt.Sprint(f.total))
	}
	return resp, nil
}

func (f *fakePubSub) count() (total, distinct int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total, len(f.ids)
}

// holds checks that every offset from and below to came, and returns how many
// came more often than once.
func (f *fakePubSub) holds(t testing.TB, prefix string, from, to int64) (duplicates int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	missing := 0
	for o := from; o < to; o++ {
		n := f.times[fmt.Sprintf("%s/%d", prefix, o)]
		if n == 0 {
			missing++
		}
		duplicates += max(n-1, 0)
	}
	if missing > 0 || len(f.mixed) > 0 {
		t.Errorf("%s: %d of the offsets %d to %d are missing; positions with two ids: %v", prefix, missing, from, to, f.mixed)
	}
	return duplicates
}

func pubsubClient(t testing.TB, addr string) *pubsub.Client {
	t.Helper()
	c, err := pubsub.NewClient(context.Background(), "kappa-test", option.WithEndpoint(addr), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// testSpec is a bridge from the topics of clusters to out-0 and out-1.
func testSpec(sources ...Source) *jobspecs.Bridge {
	s := &jobspecs.Bridge{
		Metadata: jobspecs.Metadata{Name: "test"},
		Spec: jobspecs.BridgeSpec{
			Platform:    jobspecs.Platform{Environment: "sandbox", Project: "kappa-test"},
			Sources:     make(map[string]jobspecs.KafkaSource),
			Transform:   jobspecs.Transform{Decode: "none"},
			EventTime:   jobspecs.EventTime{Unit: "rfc3339"},
			Destination: jobspecs.Destination{Kind: "pubsub"},
			IDs:         jobspecs.IDs{From: "position"},
			Split:       jobspecs.Split{TopicPrefix: "out-", Count: 2},
			DeadLetter:  jobspecs.DeadLetter{Topic: "dead"},
			Limits: jobspecs.BridgeLimit{
				Memory: 16 << 20, BatchBytes: 256 << 10, BatchRecords: 500,
				Linger: jobspecs.Duration(5 * time.Millisecond), Drain: jobspecs.Duration(20 * time.Second),
			},
			Listen: "127.0.0.1:0",
		},
	}
	for _, one := range sources {
		s.Spec.Sources[one.Name] = one.Spec
	}
	return s
}

func testRun(t testing.TB, spec *jobspecs.Bridge, f *fakePubSub) RunConfig {
	cfg := DefaultRunConfig()
	cfg.Bridge.Spec, cfg.Bridge.Version, cfg.Bridge.PubSub = spec, "v0", pubsubClient(t, f.addr)
	cfg.Bridge.CommitEvery = 10 * time.Millisecond
	cfg.Bridge.Backoff = bridge.Backoff{First: 5 * time.Millisecond, Max: 50 * time.Millisecond, Blocked: 10 * time.Millisecond, Longest: 50 * time.Millisecond, Timeout: 10 * time.Second}
	cfg.LookEvery = 20 * time.Millisecond
	cfg.Parallel = 4
	return cfg
}

// planned makes and saves a plan.
func planned(t *testing.T, c *Catchup, splits int) *Plan {
	t.Helper()
	p := makePlan(t, c, Request{Splits: splits})
	if err := c.Save(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// fillSkewed fills 8 partitions, one of which has 80 % of the bytes, and
// returns how many records each has.
func fillSkewed(t *testing.T, k *kfake.Cluster, n int) []int64 {
	t.Helper()
	p := client(t, k)
	counts := make([]int64, 8)
	for i := range counts {
		counts[i] = int64(n)
		if i == 3 {
			counts[i] = int64(28 * n)
		}
		fill(t, p, "in", int32(i), int(counts[i]), 200)
	}
	return counts
}

func contains(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one with %q", err, want)
	}
}
