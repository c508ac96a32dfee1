package bridge

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// How peers lost, doubled or held up their users' data. Those that have no test
// here have one elsewhere:
//
//	late acks commit partitions that were revoked  TestRebalanceWhileAcksAreSlow
//	(redpanda-data/connect PR 4009)
//	memory grows while the destination is down     TestMemoryIsBoundedWhileDestinationIsDown
//	(redpanda-data/connect issue 4657)
//	truncation and re-creation are hidden          TestTruncatedPartitionStops,
//	(apache/kafka PRs 22848, 23091, 23117)         TestRecreatedTopicStops
//	silent stalls                                  TestStalledPartitionFailsLivez
//	(redpanda-data/connect issue 4648)

// ordered makes a spec that orders by the record's key.
func ordered(spec *jobspecs.Bridge, buckets int) *jobspecs.Bridge {
	spec.Spec.Ordering = jobspecs.Ordering{Buckets: buckets}
	spec.Spec.Limits.BatchRecords = 10
	return spec
}

// keyed makes n records of one partition over so many keys; the value is the
// record's number.
func keyed(n, keys int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: "in", Timestamp: recordTime, Key: fmt.Appendf(nil, "k%d", i%keys), Value: strconv.AppendInt(nil, int64(i), 10)}
	}
	return records
}

// first returns the numbers in the order in which they arrived for the first
// time, by the key of keyed.
func first(t *testing.T, f *fakePubSub, keys int) map[int][]int {
	t.Helper()
	seen, order := make(map[int]bool), make(map[int][]int)
	for _, m := range f.taken("out-0") {
		n, err := strconv.Atoi(m.data)
		if err != nil {
			t.Fatal(err)
		}
		if !seen[n] {
			seen[n] = true
			order[n%keys] = append(order[n%keys], n)
		}
	}
	return order
}

// redpanda-data/connect issue 2935 (and Google's sink connector): after a blip
// of the network every publish on an ordering key fails until a restart, because
// nothing resumes the key. Here the lanes go on by themselves, in order.
func TestOrderingKeysGoOnAfterABlip(t *testing.T) {
	const records, keys = 600, 12
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	var blip atomic.Bool
	var failed sync.Map // ordering keys that a request of failed
	f.before = func(_ context.Context, _ string, messages []*pubsubpb.PubsubMessage) error {
		if blip.Load() {
			failed.Store(messages[0].OrderingKey, true)
			return status.Error(codes.Unavailable, "the network is away")
		}
		return nil
	}
	b := start(t, testConfig(t, ordered(testSpec(kafka.ListenAddrs(), 1), 4), f))
	all, p := keyed(records, keys), producer(t, kafka)
	produce(t, p, all[:records/2]...)
	eventually(t, "the first half", func() bool { return f.total() == records/2 })
	blip.Store(true)
	produce(t, p, all[records/2:]...)
	count := func() (n int) {
		failed.Range(func(any, any) bool { n++; return true })
		return n
	}
	eventually(t, "every ordering key to fail", func() bool { return count() == 4 })
	if _, empty := failed.Load(""); empty {
		t.Fatal("a message has no ordering key: the test tests nothing")
	}
	blip.Store(false)
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == records })
	if err := b.halt(); err != nil {
		t.Error(err)
	}
	for key, order := range first(t, f, keys) {
		if !slices.IsSorted(order) || len(order) != records/keys {
			t.Errorf("key %d arrived as %v", key, order)
		}
	}
}

// vectordotdev/vector issue 24543: on a 401 the failed request is skipped and
// its offset committed, so that 1 of 3 messages is lost. Here the one request
// that is refused for credentials holds the offset until it is accepted, while
// requests before and after it are acknowledged.
func TestFailedRequestIsNotSkipped(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	var expired atomic.Bool
	expired.Store(true)
	f.before = func(_ context.Context, _ string, messages []*pubsubpb.PubsubMessage) error {
		for _, m := range messages {
			if string(m.Data) == "1" && expired.Load() {
				return status.Error(codes.Unauthenticated, "invalid credentials")
			}
		}
		return nil
	}
	spec := testSpec(kafka.ListenAddrs(), 1)
	spec.Spec.Limits.BatchRecords = 1
	produce(t, producer(t, kafka), keyed(3, 3)...)
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the other two messages", func() bool { return f.total() == 2 })
	eventually(t, "the commit of the first", func() bool { return committed(t, kafka)[0] == 1 })
	eventually(t, "a red light", func() bool { return !b.ready() })
	if at := committed(t, kafka)[0]; at != 1 {
		t.Errorf("offset %d is committed, the message at 1 was refused", at)
	}
	expired.Store(false)
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 3 })
	if got := f.positions(); len(got) != 3 || f.total() != 3 {
		t.Errorf("arrived: %v", got)
	}
}

// GoogleCloudPlatform/pubsub issue 249: ordering by partition publishes a
// partition's requests one after the other, which cut the throughput to a fifth.
// Here the requests of different ordering keys of one partition are under way
// at once, and those of one key never are.
func TestOrderingDoesNotSerializeAPartition(t *testing.T) {
	const records, keys, buckets, together = 800, 100, 16, 6
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	var mu sync.Mutex
	open := make(map[string]int)
	most, twice := 0, ""
	reached := make(chan struct{})
	f.before = func(ctx context.Context, _ string, messages []*pubsubpb.PubsubMessage) error {
		key := messages[0].OrderingKey
		mu.Lock()
		open[key]++
		if open[key] > 1 {
			twice = key
		}
		if n := len(open); n > most {
			if most = n; most == together {
				close(reached)
			}
		}
		mu.Unlock()
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			if open[key]--; open[key] == 0 {
				delete(open, key)
			}
		}()
		select { // nothing is answered until enough of them are here
		case <-reached:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	produce(t, producer(t, kafka), keyed(records, keys)...)
	start(t, testConfig(t, ordered(testSpec(kafka.ListenAddrs(), 1), buckets), f))
	eventually(t, "requests of several ordering keys at once", func() bool {
		select {
		case <-reached:
			return true
		default:
			return false
		}
	})
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == records })
	mu.Lock()
	defer mu.Unlock()
	if twice != "" {
		t.Errorf("two requests of ordering key %q were under way at once", twice)
	}
	for key, order := range first(t, f, keys) {
		if !slices.IsSorted(order) {
			t.Errorf("key %d arrived as %v", key, order)
		}
	}
}

// mozilla/gcp-ingestion issue 313: one attribute of more than 1,024 bytes stops
// the pipeline. redpanda-data/connect issue 1042: a binary key is retried for
// ever. Here the one record goes to the dead letters, the key is carried encoded,
// and everything behind them arrives.
func TestUnfitAttributesStopNothing(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	spec := testSpec(kafka.ListenAddrs(), 1)
	spec.Spec.Attributes = []jobspecs.Attribute{{Name: "note", Header: "note", Unfit: "encode"}, {Name: "key", Key: true, Unfit: "encode"}}
	binary := []byte{0xff, 0x00, 0xfe}
	note := func(n int) []kgo.RecordHeader {
		return []kgo.RecordHeader{{Key: "note", Value: []byte(strings.Repeat("x", n))}}
	}
	produce(t, producer(t, kafka),
		&kgo.Record{Topic: "in", Timestamp: recordTime, Key: []byte("a"), Value: []byte("0"), Headers: note(1024)},
		&kgo.Record{Topic: "in", Timestamp: recordTime, Key: []byte("b"), Value: []byte("1"), Headers: note(1025)},
		&kgo.Record{Topic: "in", Timestamp: recordTime, Key: binary, Value: []byte("2"), Headers: note(1)},
		&kgo.Record{Topic: "in", Timestamp: recordTime, Key: []byte("d"), Value: []byte("3"), Headers: note(1)},
	)
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 4 })
	if !b.ready() {
		t.Error("the bridge is not ready")
	}
	if err := b.halt(); err != nil {
		t.Error(err)
	}
	keys := make(map[string]string)
	for _, m := range f.taken("out-0") {
		keys[m.data] = m.attrs["key"] + " " + m.attrs["key.encoding"]
	}
	want := map[string]string{"0": "a ", "2": base64.StdEncoding.EncodeToString(binary) + " base64", "3": "d "}
	if len(keys) != len(want) || keys["0"] != want["0"] || keys["2"] != want["2"] || keys["3"] != want["3"] {
		t.Errorf("keys by message %v, want %v", keys, want)
	}
	dead := f.taken("dead")
	if len(dead) != 1 || dead[0].data != "1" || dead[0].attrs["kappa-reason"] != reasonAttribute {
		t.Errorf("dead letters %v", dead)
	}
	if f.total() != 4 {
		t.Errorf("%d messages, want each once", f.total())
	}
}

// redpanda-data/connect issue 4387: a batch that fails in part is replayed
// whole, which doubles and reorders what had been accepted. Here, with ordering,
// the bad message alone goes to the dead letters; what was accepted is not
// published again, and the order of every key holds. A failure on the way there
// holds up its own lane only.
func TestPartialFailureReplaysNothing(t *testing.T) {
	const records, keys = 400, 8
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	bad := map[string]bool{"5": true, "133": true, "134": true, "399": true}
	var flaky atomic.Int64
	f.before = func(_ context.Context, topic string, messages []*pubsubpb.PubsubMessage) error {
		if strings.HasSuffix(topic, "/dead") {
			return nil
		}
		if flaky.Add(1)%5 == 0 {
			return status.Error(codes.Unavailable, "for a moment")
		}
		for _, m := range messages {
			if bad[string(m.Data)] {
				return status.Error(codes.InvalidArgument, "a message is bad")
			}
		}
		return nil
	}
	produce(t, producer(t, kafka), keyed(records, keys)...)
	b := start(t, testConfig(t, ordered(testSpec(kafka.ListenAddrs(), 1), 3), f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == records })
	if err := b.halt(); err != nil {
		t.Error(err)
	}
	for position, n := range f.positions() {
		if n != 1 {
			t.Errorf("%s was published %d times", position, n)
		}
	}
	if got := len(f.taken("out-0")); got != records-len(bad) {
		t.Errorf("%d messages arrived, want %d", got, records-len(bad))
	}
	for _, m := range f.taken("dead") {
		if !bad[m.data] {
			t.Errorf("%s is among the dead letters", m.data)
		}
		delete(bad, m.data)
	}
	if len(bad) > 0 {
		t.Errorf("not among the dead letters: %v", bad)
	}
	for key, order := range first(t, f, keys) {
		if !slices.IsSorted(order) {
			t.Errorf("key %d arrived as %v", key, order)
		}
	}
}

// redpanda-data/connect issue 4648: silent stalls of a quarter of an hour. A
// destination that answers nothing at all is given up on after the time for a
// request, is tried again, and shows in the metrics while it lasts.
func TestHungRequestsAreTriedAgain(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	var hang atomic.Bool
	hang.Store(true)
	f.before = func(ctx context.Context, _ string, _ []*pubsubpb.PubsubMessage) error {
		if hang.Load() {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	cfg := testConfig(t, testSpec(kafka.ListenAddrs(), 1), f)
	cfg.Backoff.Timeout = 100 * time.Millisecond
	produce(t, producer(t, kafka), keyed(10, 1)...)
	b := start(t, cfg)
	eventually(t, "retries in the metrics", func() bool {
		code, page := b.get("/metrics")
		return code == http.StatusOK && strings.Contains(page, `kappa_bridge_retries_total{class="transient",code="DeadlineExceeded"`)
	})
	if at := committed(t, kafka)[0]; at != 0 {
		t.Errorf("offset %d is committed, nothing was acknowledged", at)
	}
	hang.Store(false)
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 10 })
}
