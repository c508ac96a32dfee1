package kafka

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// base is the time of the first record of filled.
var base = time.UnixMilli(1_700_000_000_000).UTC()

// filled is a cluster whose topic orders has, in partition 0, records at base,
// +1 s, … +9 s, the first three of which are deleted, two records of an open
// transaction at +10 s and +11 s, and nothing in partition 1.
func filled(t *testing.T) (jobspecs.KafkaCluster, *kadm.Client, *kfake.Cluster) {
	t.Helper()
	c := fake(t)
	cluster := jobspecs.KafkaCluster{Brokers: c.ListenAddrs()}
	produce(t, cluster, 0, 10)
	tx, err := Connect(t.Context(), cluster, "tx", kgo.TransactionalID("tx"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tx.Close)
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for i := 10; i < 12; i++ {
		r := &kgo.Record{Topic: "orders", Value: []byte("open"), Timestamp: base.Add(time.Duration(i) * time.Second)}
		if err := tx.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	admin, err := NewAdmin(t.Context(), cluster, "kappa-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	deleted := make(kadm.Offsets)
	deleted.Add(kadm.Offset{Topic: "orders", Partition: 0, At: 3})
	if _, err := admin.DeleteRecords(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	return cluster, admin, c
}

// produce writes records from to until-1 of partition 0.
func produce(t *testing.T, cluster jobspecs.KafkaCluster, from, until int) {
	t.Helper()
	client, err := Connect(t.Context(), cluster, "produce", kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := from; i < until; i++ {
		r := &kgo.Record{Topic: "orders", Value: []byte("x"), Timestamp: base.Add(time.Duration(i) * time.Second)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStarts(t *testing.T) {
	cluster, admin, _ := filled(t)
	at := func(d time.Duration) string { return base.Add(d).Format(time.RFC3339Nano) }
	for name, c := range map[string]struct {
		start, isolation string
		offsets          map[string]string
		want0, want1     int64
	}{
		"default":                          {"", "", nil, 3, 0},
		"earliest":                         {"earliest", "", nil, 3, 0},
		"latest, read committed":           {"latest", "readCommitted", nil, 10, 0},
		"latest, read uncommitted":         {"latest", "readUncommitted", nil, 12, 0},
		"time of a record":                 {at(5 * time.Second), "", nil, 5, 0},
		"time between two records":         {at(5*time.Second + time.Nanosecond), "", nil, 6, 0},
		"time zone":                        {base.Add(5 * time.Second).In(time.FixedZone("", 3600)).Format(time.RFC3339), "", nil, 5, 0},
		"time before all, deleted records": {at(-time.Hour), "", nil, 3, 0},
		"time in an open transaction":      {at(11 * time.Second), "readCommitted", nil, 11, 0},
		"time after all":                   {at(time.Hour), "readCommitted", nil, 12, 0},
		"time before 1970":                 {"1960-01-01T00:00:00Z", "", nil, 3, 0},
		"one explicit":                     {"latest", "readCommitted", map[string]string{"orders/0": "4"}, 4, 0},
		"first":                            {"latest", "readCommitted", map[string]string{"orders/0": "3"}, 3, 0},
		"end":                              {"earliest", "", map[string]string{"orders/0": "12", "orders/1": "0"}, 12, 0},
	} {
		t.Run(name, func(t *testing.T) {
			source := jobspecs.KafkaSource{KafkaCluster: cluster, Start: c.start, Isolation: c.isolation, StartOffsets: c.offsets}
			got, err := Starts(t.Context(), admin, source, map[string][]int32{"orders": {0, 1}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]map[int32]int64{"orders": {0: c.want0, 1: c.want1}}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStartsOutsideTheLog(t *testing.T) {
	cluster, admin, _ := filled(t)
	source := jobspecs.KafkaSource{KafkaCluster: cluster, Start: "earliest", StartOffsets: map[string]string{"orders/0": "2", "orders/1": "1"}}
	got, err := Starts(t.Context(), admin, source, map[string][]int32{"orders": {0, 1}})
	for _, want := range []string{
		"orders/0: offset 2 is not in the log, which goes from 3 to 12",
		"orders/1: offset 1 is not in the log, which goes from 0 to 0",
	} {
		if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one of code %d with %q", err, exit.Usage, want)
		}
	}
	var outside *StartError
	if !errors.As(err, &outside) || outside.Offset != 2 {
		t.Errorf("error %v; want a StartError of offset 2", err)
	}
	if len(got["orders"]) != 0 {
		t.Errorf("starts %v of partitions that have none", got)
	}
	source.StartOffsets = map[string]string{"orders/0": "13"}
	got, err = Starts(t.Context(), admin, source, map[string][]int32{"orders": {0, 1}})
	if !errors.As(err, &outside) || outside.End != 12 {
		t.Errorf("one beyond the end: %v", err)
	}
	if diff := cmp.Diff(map[string]map[int32]int64{"orders": {1: 0}}, got); diff != "" {
		t.Errorf("the other partition: %s", diff)
	}
}

// TestStartsJumpsOverNothing: a record that is written between the question
// for the time and that for the end is not skipped.
func TestStartsJumpsOverNothing(t *testing.T) {
	cluster, admin, c := filled(t)
	wrote := false
	c.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if byTime := r.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0].Timestamp > 0; byTime && !wrote {
			wrote = true
			c.SleepControl(func() { produce(t, cluster, 7200, 7201) })
		}
		return nil, nil, false
	})
	source := jobspecs.KafkaSource{KafkaCluster: cluster, Start: base.Add(3 * time.Hour).Format(time.RFC3339)}
	got, err := Starts(t.Context(), admin, source, map[string][]int32{"orders": {0}})
	if err != nil || !wrote {
		t.Fatal(err, wrote)
	}
	if got["orders"][0] > 12 {
		t.Errorf("start %d: the record at 12 is skipped", got["orders"][0])
	}
}

func TestStartsErrors(t *testing.T) {
	cluster, admin, c := filled(t)
	want := map[string][]int32{"orders": {0}}
	for name, s := range map[string]jobspecs.KafkaSource{
		"start":  {KafkaCluster: cluster, Start: "yesterday"},
		"offset": {KafkaCluster: cluster, StartOffsets: map[string]string{"orders/0": "-1"}},
	} {
		if _, err := Starts(t.Context(), admin, s, want); exit.Of(err) != exit.Usage {
			t.Errorf("%s: %v; want a usage error", name, err)
		}
	}
	if _, err := Starts(t.Context(), admin, jobspecs.KafkaSource{KafkaCluster: cluster}, map[string][]int32{"orders": {7}}); err == nil || !strings.Contains(err.Error(), "orders/7") {
		t.Errorf("a partition that is not there: %v", err)
	}
	_, err := Starts(t.Context(), admin, jobspecs.KafkaSource{KafkaCluster: cluster}, map[string][]int32{"gone": {0}})
	if !errors.Is(err, kerr.UnknownTopicOrPartition) || exit.Of(err) != exit.Environment {
		t.Errorf("a topic that is not there: %v", err)
	}
	if got, err := Starts(t.Context(), admin, jobspecs.KafkaSource{}, nil); got != nil || err != nil {
		t.Errorf("nothing wanted: %v, %v", got, err)
	}
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if got, err := Starts(ctx, admin, jobspecs.KafkaSource{KafkaCluster: cluster}, want); got != nil || exit.Of(err) != exit.Environment {
		t.Errorf("a cluster that is gone: %v, %v", got, err)
	}
}

func TestTopics(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "orders.eu", "orders.us", "my.orders", "ordersXeu", "__consumer_offsets"))
	cluster := jobspecs.KafkaCluster{Brokers: c.ListenAddrs()}
	admin, err := NewAdmin(t.Context(), cluster, "kappa-test")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	yes := "true"
	if _, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "kfake.is_internal", Value: &yes}}, "__consumer_offsets"); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]struct {
		source jobspecs.KafkaSource
		want   []string
	}{
		"names":               {jobspecs.KafkaSource{Topics: []string{"orders", "my.orders"}}, []string{"my.orders", "orders"}},
		"whole names":         {jobspecs.KafkaSource{TopicPattern: `orders`}, []string{"orders"}},
		"alternatives":        {jobspecs.KafkaSource{TopicPattern: `orders\.eu|my.*`}, []string{"my.orders", "orders.eu"}},
		"everything":          {jobspecs.KafkaSource{TopicPattern: `.*`}, []string{"my.orders", "orders", "orders.eu", "orders.us", "ordersXeu"}},
		"nothing yet":         {jobspecs.KafkaSource{TopicPattern: `later-.*`}, nil},
		"case does not count": {jobspecs.KafkaSource{TopicPattern: `(?i)ORDERS\..*`}, []string{"orders.eu", "orders.us"}},
	} {
		s.source.KafkaCluster = cluster
		got, meta, err := Topics(t.Context(), admin, s.source)
		if err != nil || meta.Cluster == "" {
			t.Errorf("%s: %v, cluster %q", name, err, meta.Cluster)
			continue
		}
		if diff := cmp.Diff(s.want, slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for topic, d := range got {
			if d.ID == (kadm.TopicID{}) || len(d.Partitions) == 0 {
				t.Errorf("%s: topic %s has id %s and %d partitions", name, topic, d.ID, len(d.Partitions))
			}
		}
	}
}

// TestTopicsAsksEveryTime: the client's cache would give the id of a topic that
// is gone, and know nothing of a new one.
func TestTopicsAsksEveryTime(t *testing.T) {
	c := fake(t)
	cluster := jobspecs.KafkaCluster{Brokers: c.ListenAddrs()}
	admin, err := NewAdmin(t.Context(), cluster, "kappa-test")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	find := func() kadm.TopicID {
		found, _, err := Topics(t.Context(), admin, jobspecs.KafkaSource{KafkaCluster: cluster, Topics: []string{"orders"}})
		if err != nil {
			t.Fatal(err)
		}
		return found["orders"].ID
	}
	old := find()
	if _, err := admin.DeleteTopic(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	if find() == old {
		t.Error("a topic that was created again has its old id")
	}
	if _, err := admin.CreatePartitions(t.Context(), 1, "orders"); err != nil {
		t.Fatal(err)
	}
	got, err := Starts(t.Context(), admin, jobspecs.KafkaSource{KafkaCluster: cluster}, map[string][]int32{"orders": {0, 1}})
	if diff := cmp.Diff(map[string]map[int32]int64{"orders": {0: 0, 1: 0}}, got); err != nil || diff != "" {
		t.Errorf("a new partition: %v %s", err, diff)
	}
}

func TestTopicsRefuses(t *testing.T) {
	c := fake(t)
	cluster := jobspecs.KafkaCluster{Brokers: c.ListenAddrs()}
	admin, err := NewAdmin(t.Context(), cluster, "kappa-test")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	topics := func(s jobspecs.KafkaSource) error {
		s.KafkaCluster = cluster
		_, _, err := Topics(t.Context(), admin, s)
		return err
	}
	err = topics(jobspecs.KafkaSource{Topics: []string{"orders", "one", "two"}})
	wantEnvironment(t, err, "one (not found); two (not found)", "create them")
	if err := topics(jobspecs.KafkaSource{TopicPattern: "("}); exit.Of(err) != exit.Usage {
		t.Errorf("a broken pattern: %v", err)
	}
	err = topics(jobspecs.KafkaSource{Topics: []string{"orders"}, StartOffsets: map[string]string{"orders/1": "0", "orders/2": "0", "other/0": "0", "orders": "0"}})
	for _, want := range []string{"orders/2: topic orders has 2 partitions, 0 to 1", "topic other is not one that is read", "orders names no partition"} {
		if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), want) {
			t.Errorf("start offsets: %v; want %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "orders/1") {
		t.Errorf("orders/1 is there: %v", err)
	}
}

// TestConsumeByPattern: the client consumes exactly what Topics finds.
func TestConsumeByPattern(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "orders.eu", "ordersXeu", "x.orders.eu"))
	cluster := jobspecs.KafkaCluster{Brokers: c.ListenAddrs()}
	source := jobspecs.KafkaSource{KafkaCluster: cluster, TopicPattern: `orders\.eu|orders`}
	client, err := Connect(t.Context(), cluster, "kappa-test", append(Consume(source), kgo.DefaultProduceTopic("x"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, topic := range []string{"x.orders.eu", "ordersXeu", "orders.eu", "orders"} { // those that match come last
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(topic)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	seen := make(map[string]bool)
	for len(seen) < 2 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("only %v was consumed", seen)
		}
		fetches.EachRecord(func(r *kgo.Record) { seen[r.Topic] = true })
	}
	if diff := cmp.Diff(map[string]bool{"orders.eu": true, "orders": true}, seen); diff != "" {
		t.Error(diff)
	}
}
