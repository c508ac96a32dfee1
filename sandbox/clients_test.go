package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigtable"
	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

const project = sandbox.DefaultProject

func TestKafka(t *testing.T) {
	s := sandboxtest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	brokers := kgo.SeedBrokers(s.Environment()[sandbox.EnvKafka])
	cl, err := kgo.NewClient(brokers, kgo.UnknownTopicRetries(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)

	created, err := adm.CreateTopic(ctx, -1, -1, nil, "flights")
	if err != nil || created.NumPartitions != sandbox.DefaultPartitions {
		t.Fatalf("created topic: %+v, %v", created, err)
	}
	if _, err := adm.CreateTopic(ctx, 1, 1, nil, "flights"); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("created twice: %v", err)
	}
	md, err := adm.Metadata(ctx, "flights")
	if err != nil || md.Cluster != sandbox.ClusterID || md.Topics["flights"].ID == (kadm.TopicID{}) {
		t.Errorf("metadata: %+v, %v", md, err)
	}
	const n = 1000
	at := time.UnixMilli(979_000_000_000)
	var records []*kgo.Record
	for i := range n {
		records = append(records, &kgo.Record{Topic: "flights", Key: fmt.Append(nil, i%50), Value: fmt.Append(nil, i), Timestamp: at})
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "misspelt", Value: []byte("x")}).FirstErr(); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("producing to a topic that is not there: %v", err)
	}

	group, err := kgo.NewClient(brokers, kgo.ConsumerGroup("bridge"), kgo.ConsumeTopics("flights"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	seen := map[string]bool{}
	for len(seen) < n {
		fetches := group.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			seen[string(r.Value)] = true
			if !r.Timestamp.Equal(at) {
				t.Errorf("timestamp %v, want %v", r.Timestamp, at)
			}
		})
	}
	if err := group.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	lag, err := adm.Lag(ctx, "bridge")
	if err != nil || lag["bridge"].Lag.Total() != 0 {
		t.Errorf("lag after the commit: %v, %v", lag["bridge"].Lag, err)
	}
}

func TestPubSub(t *testing.T) {
	sandboxtest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := platform(t).PubSub(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	topic, sub := "projects/"+project+"/topics/flights-0", "projects/"+project+"/subscriptions/flights-0"
	if _, err := c.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: topic}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{Name: sub, Topic: topic, AckDeadlineSeconds: 60}); err != nil {
		t.Fatal(err)
	}
	const n = 5000
	p := c.Publisher(topic)
	var results []*pubsub.PublishResult
	for i := range n {
		results = append(results, p.Publish(ctx, &pubsub.Message{Data: fmt.Append(nil, i), Attributes: map[string]string{"kappa-id": fmt.Sprint(i)}}))
	}
	ids := map[string]bool{}
	for _, r := range results {
		id, err := r.Get(ctx)
		if err != nil {
			t.Fatal(err)
		}
		ids[id] = true
	}
	p.Stop()
	receiving, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	received := map[string]string{}
	if err := c.Subscriber(sub).Receive(receiving, func(_ context.Context, m *pubsub.Message) {
		mu.Lock()
		defer mu.Unlock()
		received[m.ID] = m.Attributes["kappa-id"]
		m.Ack()
		if len(received) == n {
			stop()
		}
	}); err != nil {
		t.Fatal(err)
	}
	for id := range ids {
		if received[id] == "" {
			t.Fatalf("message %s of %d was not received", id, len(received))
		}
	}
	err = c.Subscriber(sub+"-missing").Receive(ctx, func(context.Context, *pubsub.Message) {})
	if status.Code(err) != codes.NotFound {
		t.Errorf("receiving from a subscription that is not there: %v", err)
	}
}

func TestBigtable(t *testing.T) {
	sandboxtest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	admin, err := platform(t).BigtableAdmin(ctx, "kappa")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if err := admin.CreateTable(ctx, "aggregates"); err != nil {
		t.Fatal(err)
	}
	if err := admin.CreateColumnFamily(ctx, "aggregates", "m"); err != nil {
		t.Fatal(err)
	}
	if err := admin.CreateTable(ctx, "aggregates"); status.Code(err) != codes.AlreadyExists {
		t.Errorf("created twice: %v", err)
	}
	if tables, err := admin.Tables(ctx); err != nil || !slices.Equal(tables, []string{"aggregates"}) {
		t.Errorf("tables: %v, %v", tables, err)
	}
	info, err := admin.TableInfo(ctx, "aggregates")
	if err != nil || !slices.Equal(info.Families, []string{"m"}) {
		t.Errorf("table: %+v, %v", info, err)
	}

	client, err := platform(t).Bigtable(ctx, "kappa")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	table := client.Open("aggregates")
	at := bigtable.Time(time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC))
	write := func(value byte, rows int) {
		t.Helper()
		var keys []string
		var muts []*bigtable.Mutation
		for i := range rows {
			m := bigtable.NewMutation()
			m.Set("m", "flights/flights-0/1/0", at, []byte{value})
			keys, muts = append(keys, fmt.Sprintf("row#%05d", i)), append(muts, m)
		}
		if errs, err := table.ApplyBulk(ctx, keys, muts); err != nil || errs != nil {
			t.Fatalf("write: %v, %v", errs, err)
		}
	}
	const n = 3000
	write(1, n)
	write(2, n) // the same cells again: replaced, not added
	rows := 0
	if err := table.ReadRows(ctx, bigtable.PrefixRange("row#"), func(r bigtable.Row) bool {
		if cells := r["m"]; len(cells) != 1 || cells[0].Value[0] != 2 {
			t.Errorf("%s: %v", r.Key(), cells)
		}
		rows++
		return true
	}); err != nil || rows != n {
		t.Errorf("read %d rows, want %d: %v", rows, n, err)
	}
	var page []string
	if err := table.ReadRows(ctx, bigtable.NewRange("row#00010", ""), func(r bigtable.Row) bool {
		page = append(page, r.Key())
		return true
	}, bigtable.LimitRows(3)); err != nil || !slices.Equal(page, []string{"row#00010", "row#00011", "row#00012"}) {
		t.Errorf("page: %v, %v", page, err)
	}
	if r, err := table.ReadRow(ctx, "missing"); err != nil || r != nil {
		t.Errorf("a row that is not there: %v, %v", r, err)
	}
	large := bigtable.NewMutation() // over gRPC's default limit
	large.Set("m", "large", at, make([]byte, 8<<20))
	if err := table.Apply(ctx, "large", large); err != nil {
		t.Errorf("8 MiB: %v", err)
	}
	// The client itself takes no more than gRPC's default from an emulator.
	if r, err := table.ReadRow(ctx, "large", bigtable.RowFilter(bigtable.StripValueFilter())); err != nil || len(r["m"]) != 1 {
		t.Errorf("the row of 8 MiB: %v, %v", r, err)
	}
	bad := bigtable.NewMutation()
	bad.Set("nope", "q", at, []byte("x"))
	if err := table.Apply(ctx, "row", bad); err == nil {
		t.Error("a family that is not there was written to")
	}
	if err := client.Open("missing").Apply(ctx, "row", large); status.Code(err) != codes.NotFound {
		t.Errorf("a table that is not there: %v", err)
	}
	// The fake panics in methods that it does not have.
	if err := admin.CreateBackup(ctx, "aggregates", "c", "b", time.Now().Add(24*time.Hour)); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "CreateBackup") {
		t.Errorf("backup: %v, want UNIMPLEMENTED by name", err)
	}
	if _, err := admin.Tables(ctx); err != nil {
		t.Errorf("after a call that is not supported: %v", err)
	}
}
