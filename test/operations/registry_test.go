package operations

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/bridge"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// metric is one metric of a bridge's /metrics.
type metric struct {
	kind   string              // counter, gauge, histogram
	values map[string][]string // by label: the values that were seen
}

func (m *metric) labels() []string {
	var names []string
	for l := range m.values {
		names = append(names, l)
	}
	slices.Sort(names)
	return names
}

var (
	once     sync.Once
	scraped  map[string]*metric
	scrapeOf string
)

// registry is what a bridge to which all has happened that it has a metric for
// shows at /metrics: a vector without a value would not be there.
func registry(t *testing.T) map[string]*metric {
	t.Helper()
	once.Do(func() { scrapeOf = eventfulRun(t); scraped = parse(scrapeOf) })
	if len(scraped) == 0 {
		t.Fatalf("no metrics were scraped:\n%s", scrapeOf)
	}
	return scraped
}

var (
	typeLine = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)
	sample   = regexp.MustCompile(`(?m)^([a-z_:0-9]+)(?:\{(.*)\})? \S+$`)
	label    = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
)

func parse(text string) map[string]*metric {
	found := map[string]*metric{}
	for _, m := range typeLine.FindAllStringSubmatch(text, -1) {
		found[m[1]] = &metric{kind: m[2], values: map[string][]string{}}
	}
	for _, s := range sample.FindAllStringSubmatch(text, -1) {
		m := found[s[1]]
		if m == nil { // part of a histogram or a summary
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if whole := found[strings.TrimSuffix(s[1], suffix)]; whole != nil {
					m = &metric{kind: whole.kind + suffix, values: map[string][]string{}}
					found[s[1]] = m
				}
			}
		}
		if m == nil {
			continue
		}
		for _, l := range label.FindAllStringSubmatch(s[2], -1) {
			m.values[l[1]] = append(m.values[l[1]], l[2])
		}
	}
	return found
}

// publisher is a Pub/Sub service that is troubled at first, and refuses what
// says "refuse".
type publisher struct {
	pubsubpb.UnimplementedPublisherServer
	requests atomic.Int32
}

func (*publisher) GetTopic(_ context.Context, req *pubsubpb.GetTopicRequest) (*pubsubpb.Topic, error) {
	return &pubsubpb.Topic{Name: req.Topic}, nil
}

func (*publisher) ListTopicSubscriptions(context.Context, *pubsubpb.ListTopicSubscriptionsRequest) (*pubsubpb.ListTopicSubscriptionsResponse, error) {
	return &pubsubpb.ListTopicSubscriptionsResponse{Subscriptions: []string{"projects/p/subscriptions/s"}}, nil
}

func (p *publisher) Publish(_ context.Context, req *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	switch p.requests.Add(1) {
	case 1:
		return nil, status.Error(codes.Unavailable, "away")
	case 2:
		return nil, status.Error(codes.PermissionDenied, "not allowed")
	}
	resp := &pubsubpb.PublishResponse{}
	for _, m := range req.Messages {
		if string(m.Data) == `{"n":"refuse"}` && !strings.HasSuffix(req.Topic, "dead") {
			return nil, status.Error(codes.InvalidArgument, "no")
		}
		resp.MessageIds = append(resp.MessageIds, "1")
	}
	return resp, nil
}

const eventfulSpec = `{apiVersion: kappa/v1, kind: Bridge, metadata: {name: eventful}, spec: {
  environment: sandbox, project: kappa-test,
  sources: {onprem: {brokers: ["BROKERS"], topics: [orders], group: kappa-orders}},
  transform: {decode: json, filter: 'record.n != "drop"'},
  split: {topicPrefix: orders-, count: 1}, deadLetter: {topic: dead}, listen: "127.0.0.1:0"}}`

// eventfulRun runs a bridge through everything that it counts and returns what
// it shows then.
func eventfulRun(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	admin := feed(ctx, t, kafka)
	defer admin.Close()
	spec := load(t, "eventful.yaml", strings.ReplaceAll(eventfulSpec, "BROKERS", kafka.ListenAddrs()[0]))
	acceptGap(ctx, t, admin, spec)
	failCommits(kafka)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	pubsubpb.RegisterPublisherServer(srv, &publisher{})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() { srv.Stop(); <-served }()
	client, err := pubsub.NewClient(ctx, "kappa-test", option.WithEndpoint(l.Addr().String()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	cfg := bridge.DefaultConfig()
	cfg.Spec, cfg.PubSub, cfg.Log, cfg.Version = spec, client, slog.New(slog.DiscardHandler), "v0"
	cfg.CommitEvery, cfg.LagEvery = 20*time.Millisecond, 20*time.Millisecond
	cfg.Backoff.First, cfg.Backoff.Blocked = 10*time.Millisecond, 10*time.Millisecond
	b, err := bridge.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	listening, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- b.Run(running, func(addr string) { listening <- addr }) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the bridge: %v", err)
		}
	}()
	addr := ""
	select {
	case addr = <-listening:
	case err := <-ended:
		ended <- nil
		t.Fatalf("the bridge ended: %v", err)
	}
	want := []string{
		`kappa_bridge_ready 1`, `kappa_bridge_lost_offsets_total{source="onprem",topic="orders"} 2`, `kappa_bridge_filtered_total 1`,
		`kappa_bridge_dead_letters_total{reason="transform"} 1`, `kappa_bridge_dead_letters_total{reason="rejected"} 1`, `kappa_bridge_dead_letter_messages_total 2`,
		`kappa_bridge_commits_total{result="ok"}`, `kappa_bridge_commits_total{result="failed"}`, `kappa_bridge_lag_seconds{`, `kappa_bridge_lag_records{`,
		`class="transient"`, `class="blocked"`, `kappa_bridge_publish_requests_total{code="OK"}`,
	}
	text, missing := "", ""
	for ctx.Err() == nil {
		text, missing = get(ctx, t, "http://"+addr+"/metrics"), ""
		for _, w := range want {
			if !strings.Contains(text, "\n"+w) && !(strings.HasPrefix(w, "class") && strings.Contains(text, w)) {
				missing = w
			}
		}
		if missing == "" {
			return text
		}
		<-time.After(10 * time.Millisecond) // between two looks, with a deadline
	}
	t.Errorf("this was never seen at /metrics: %s\n%s", missing, text)
	return text
}

// feed produces records, the first two of which are removed again.
func feed(ctx context.Context, t *testing.T, kafka *kfake.Cluster) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.ListenAddrs()...), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{`{"n":"gone"}`, `{"n":"gone"}`, `{"n":"1"}`, `{"n":"drop"}`, `no JSON`, `{"n":"refuse"}`, `{"n":"2"}`} {
		if err := client.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	admin := kadm.NewClient(client)
	commit := make(kadm.Offsets)
	commit.AddOffset("orders", 0, 0, -1)
	if err := admin.CommitAllOffsets(ctx, "kappa-orders", commit); err != nil {
		t.Fatal(err)
	}
	cut := make(kadm.Offsets)
	cut.AddOffset("orders", 0, 2, -1)
	resp, err := admin.DeleteRecords(ctx, cut)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	return admin
}

func acceptGap(ctx context.Context, t *testing.T, admin *kadm.Client, spec *jobspecs.Bridge) {
	t.Helper()
	g, err := bridge.FindGap(ctx, admin, spec.Spec.Sources["onprem"], spec.Spec.IDs, "orders", 0, -1)
	if err == nil {
		_, err = g.Accept(ctx, admin, "ada", "test")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// failCommits lets every third commit of an offset fail.
func failCommits(kafka *kfake.Cluster) {
	n := 0
	kafka.ControlKey(int16(kmsg.OffsetCommit), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		kafka.KeepControl()
		req := kreq.(*kmsg.OffsetCommitRequest)
		if n++; n%3 != 0 || req.Group != "kappa-orders" {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, rt := range req.Topics {
			st := kmsg.NewOffsetCommitResponseTopic()
			st.Topic, st.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				sp := kmsg.NewOffsetCommitResponseTopicPartition()
				sp.Partition, sp.ErrorCode = rp.Partition, kerr.UnknownServerError.Code
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, true
	})
}

func get(ctx context.Context, t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
