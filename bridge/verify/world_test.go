package verify

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/bigquery/bigquerytest"
	"github.com/kappa-migrate/kappa/sandbox/pubsub/pubsubtest"
)

func TestMain(m *testing.M) {
	// A dependency of the Cloud Storage fake starts this one when it is imported.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

const project = "kappa-test"

// world is a Kafka cluster with one topic, and what a bridge would have made
// of it.
type world struct {
	t      *testing.T
	client *kgo.Client
	admin  *kadm.Client
	id     string
	topic  kadm.TopicID
	base   time.Time
}

func newWorld(t *testing.T, partitions int32) *world {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return worldOf(t, cluster.ListenAddrs()[0])
}

// worldOf is the world of a cluster that has the topic.
func worldOf(t *testing.T, addr string) *world {
	t.Helper()
	w := &world{t: t, base: time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)}
	w.client = w.connect(addr, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	w.admin = kadm.NewClient(w.client)
	meta, err := w.admin.Metadata(t.Context(), "t")
	w.must(err)
	w.id, w.topic = meta.Cluster, meta.Topics["t"].ID
	return w
}

func (w *world) connect(addr string, opts ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr))...)
	w.must(err)
	w.t.Cleanup(c.Close)
	return c
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// record is a record at a number of minutes after the world began.
func (w *world) record(partition int32, value string, minutes int) *kgo.Record {
	return &kgo.Record{Topic: "t", Partition: partition, Value: []byte(value), Timestamp: w.base.Add(time.Duration(minutes) * time.Minute)}
}

func (w *world) produce(rs ...*kgo.Record) {
	w.t.Helper()
	for _, r := range rs { // one by one, so that each is a batch of its own
		w.must(w.client.ProduceSync(w.t.Context(), r).FirstErr())
	}
}

// fill produces n records, a minute apart.
func (w *world) fill(partition int32, n int) {
	for i := range n {
		w.produce(w.record(partition, "v"+strconv.Itoa(i), i))
	}
}

// commit commits offsets of the bridge's group, one for each partition.
func (w *world) commit(offsets ...int64) {
	w.t.Helper()
	os := kadm.Offsets{}
	for p, o := range offsets {
		os.AddOffset("t", int32(p), o, -1)
	}
	w.must(w.admin.CommitAllOffsets(w.t.Context(), "g", os))
}

func (w *world) cluster() Cluster {
	return Cluster{Name: "main", Client: w.client, Topics: []string{"t"}, Group: "g", Reader: func(opts ...kgo.Opt) (*kgo.Client, error) {
		seeds := w.client.OptValue(kgo.SeedBrokers).([]string)
		return kgo.NewClient(append(opts, kgo.SeedBrokers(seeds...))...)
	}}
}

func (w *world) config(arrived Arrived) Config {
	return Config{Bridge: "test", Clusters: []Cluster{w.cluster()}, Expecter: expecter{}, IDs: testIDs{}, Arrived: arrived}
}

func (w *world) verify(cfg Config) *Result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	r, err := Run(ctx, cfg)
	w.must(err)
	return r
}

// expecter does what values say: filter, dead, or else one event.
type expecter struct{}

func (expecter) Expect(_ context.Context, cluster string, topicID [16]byte, r *kgo.Record) (Expected, error) {
	switch string(r.Value) {
	case "filter":
		return Expected{Outcome: Filtered, Dropped: 1}, nil
	case "dead":
		return Expected{Outcome: DeadLettered, Reason: "transform"}, nil
	}
	return Expected{Events: []Event{{Time: r.Timestamp.UnixMilli(), ID: makeID(Location{
		Hash: testIDs{}.TopicHash(cluster, topicID), Partition: r.Partition, Offset: r.Offset})}}}, nil
}

// message is what a bridge publishes of the record at an offset.
func (w *world) message(partition int32, offset int64) *pubsubpb.PubsubMessage {
	id := makeID(Location{Hash: testIDs{}.TopicHash(w.id, w.topic), Partition: partition, Offset: offset})
	return &pubsubpb.PubsubMessage{Data: []byte(fmt.Sprint(partition, offset)), Attributes: map[string]string{
		envelope.AttrID:       formatID(id),
		envelope.AttrPosition: envelope.Position{Cluster: w.id, Topic: "t", Partition: partition, Offset: offset}.String(),
		envelope.AttrBridge:   "test/v1",
	}}
}

// everything is an Arrived that brings every expected event of partition 0 but
// those that are lost.
type everything struct {
	w    *world
	lost map[int64]bool
}

func (e everything) Read(_ context.Context, w *Window, each func(*Arrival) error) (Report, error) {
	for _, s := range w.Spans {
		for o := s.From; o < s.To; o++ {
			if e.lost[o] {
				continue
			}
			id, _ := parseID(e.w.message(s.Partition, o).Attributes[envelope.AttrID])
			if err := each(&Arrival{ID: id, Partition: s.Key(), Offset: o, Count: 1}); err != nil {
				return Report{}, err
			}
		}
	}
	return Report{Destination: Destination{Kind: kindBigQuery}}, nil
}

// pubSub is a Pub/Sub with topic out and a subscription to it.
func (w *world) pubSub(labels map[string]string) *pubsub.Client {
	w.t.Helper()
	c, _ := pubsubtest.Start(w.t, project)
	_, err := c.TopicAdminClient.CreateTopic(w.t.Context(), &pubsubpb.Topic{Name: topicName})
	w.must(err)
	_, err = c.SubscriptionAdminClient.CreateSubscription(w.t.Context(), &pubsubpb.Subscription{
		Name: "projects/" + project + "/subscriptions/verify", Topic: topicName, AckDeadlineSeconds: 10, Labels: labels})
	w.must(err)
	return c
}

const topicName = "projects/" + project + "/topics/out"

func (w *world) publish(c *pubsub.Client, ms ...*pubsubpb.PubsubMessage) {
	w.t.Helper()
	_, err := c.TopicAdminClient.Publish(w.t.Context(), &pubsubpb.PublishRequest{Topic: topicName, Messages: ms})
	w.must(err)
}

// bigQuery is a BigQuery with a raw table.
func (w *world) bigQuery() *bigquery.Client {
	w.t.Helper()
	c, _ := bigquerytest.Start(w.t, project, "d")
	raw := tables.Raw("raw", jobspecs.Event{Fields: []jobspecs.Field{{Name: "carrier", Type: "STRING"}, {Name: "delay", Type: "INT64"}}})
	w.must(c.Dataset("d").Table("raw").Create(w.t.Context(), raw.Metadata()))
	return c
}

// rawRow is a row of the raw table.
type rawRow struct {
	partition        int32
	offset           int64
	message, carrier string
	generation       int
	id               string // empty: its own
}

func (w *world) insert(c *bigquery.Client, rows ...rawRow) {
	w.t.Helper()
	var list []*bigquery.ValuesSaver
	schema := tables.Raw("raw", jobspecs.Event{Fields: []jobspecs.Field{{Name: "carrier", Type: "STRING"}, {Name: "delay", Type: "INT64"}}}).Schema
	for _, r := range rows {
		m := w.message(r.partition, r.offset)
		if r.id == "" {
			r.id = m.Attributes[envelope.AttrID]
		}
		at := w.base.Add(time.Duration(r.offset) * time.Minute)
		var carrier bigquery.Value
		if r.carrier != "" {
			carrier = r.carrier
		}
		list = append(list, &bigquery.ValuesSaver{Schema: schema, Row: []bigquery.Value{
			r.id, r.message, at, at, at, at, m.Attributes[envelope.AttrPosition], "job", r.generation, carrier, nil}})
	}
	w.must(c.Dataset("d").Table("raw").Inserter().Put(w.t.Context(), list))
}
