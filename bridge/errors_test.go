package bridge

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// get returns the status and the body of one of the bridge's pages.
func (r *running) get(path string) (int, string) {
	r.t.Helper()
	resp, err := http.Get("http://" + r.addr + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (r *running) ready() bool { code, _ := r.get("/readyz"); return code == http.StatusOK }

// invariant B6: errors of the service end nothing and lose nothing, whatever
// they are and however long they last.
func TestTransientErrors(t *testing.T) {
	kafka := newKafka(t, 2, "in")
	f := newFakePubSub(t, outTopics(3)...)
	var n atomic.Int64
	kinds := []codes.Code{codes.Unavailable, codes.Internal, codes.ResourceExhausted, codes.Aborted, codes.DeadlineExceeded, codes.Unknown, codes.Canceled}
	f.before = func(context.Context, string, []*pubsubpb.PubsubMessage) error {
		if i := n.Add(1); i%4 != 0 {
			return status.Error(kinds[int(i)%len(kinds)], "injected")
		}
		return nil
	}
	produce(t, producer(t, kafka), numbered("in", 2, 0, 2000)...)
	spec := testSpec(kafka.ListenAddrs(), 3)
	spec.Spec.Limits.BatchRecords = 50
	b := start(t, testConfig(t, spec, f))
	eventually(t, "all messages", func() bool { return len(f.positions()) == 2000 })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	if b.Status().DeadLettered != 0 {
		t.Errorf("%d records were given up", b.Status().DeadLettered)
	}
	if diff := cmp.Diff(map[int32]int64{0: 1000, 1: 1000}, committed(t, kafka)); diff != "" {
		t.Errorf("committed offsets (-want +got):\n%s", diff)
	}
}

// invariant B6: what somebody has to mend pauses the topic and turns readiness
// red, and nothing is committed; when it is mended everything goes on by itself.
func TestBlockedTopic(t *testing.T) {
	for _, code := range []codes.Code{codes.NotFound, codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition} {
		t.Run(code.String(), func(t *testing.T) {
			kafka := newKafka(t, 1, "in")
			f := newFakePubSub(t, outTopics(1)...)
			var broken atomic.Bool
			broken.Store(true)
			f.before = func(context.Context, string, []*pubsubpb.PubsubMessage) error {
				if broken.Load() {
					return status.Error(code, "injected")
				}
				return nil
			}
			b := start(t, testConfig(t, testSpec(kafka.ListenAddrs(), 1), f))
			eventually(t, "readiness", b.ready)
			produce(t, producer(t, kafka), numbered("in", 1, 0, 100)...)
			eventually(t, "a red light", func() bool { return !b.ready() })
			if _, body := b.get("/readyz"); !strings.Contains(body, "out-0 is blocked") {
				t.Errorf("/readyz says %q", body)
			}
			if live, _ := b.get("/livez"); live != http.StatusOK {
				t.Errorf("/livez is %d", live)
			}
			if at := committed(t, kafka)[0]; at != 0 {
				t.Errorf("offset %d is committed, nothing was acknowledged", at)
			}
			broken.Store(false)
			eventually(t, "all messages", func() bool { return f.total() == 100 })
			eventually(t, "readiness", b.ready)
			eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 100 })
			if b.Status().DeadLettered != 0 {
				t.Error("a record was given up")
			}
		})
	}
}

// invariant B6: of a refused batch only the bad messages go to the dead
// letters, with their original bytes, before their offsets are committed.
func TestBadMessagesAreFound(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	bad := map[string]bool{`{"n":3,"orig":"A3"}`: true, `{"n":77,"orig":"A2"}`: true, `{"n":299,"orig":"A4"}`: true}
	var held atomic.Bool
	held.Store(true)
	f.before = func(ctx context.Context, topic string, messages []*pubsubpb.PubsubMessage) error {
		if strings.HasSuffix(topic, "/dead") && held.Load() {
			return status.Error(codes.Unavailable, "the dead letters have to wait")
		}
		for _, m := range messages {
			if bad[string(m.Data)] && !strings.HasSuffix(topic, "/dead") {
				return status.Error(codes.InvalidArgument, "a message is bad")
			}
		}
		return nil
	}
	produce(t, producer(t, kafka), numbered("in", 1, 0, 300)...)
	b := start(t, testConfig(t, testSpec(kafka.ListenAddrs(), 1), f))
	eventually(t, "all good messages", func() bool { return len(f.taken("out-0")) == 297 })
	eventually(t, "the commit before the bad one", func() bool { return committed(t, kafka)[0] == 3 })
	held.Store(false)
	eventually(t, "the dead letters", func() bool { return len(f.taken("dead")) == 3 })
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 300 })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	for _, m := range f.taken("dead") {
		if !bad[m.data] || m.attrs["kappa-reason"] != reasonRejected || !strings.Contains(m.attrs["kappa-error"], "a message is bad") {
			t.Errorf("dead letter %+v", m)
		}
		delete(bad, m.data)
	}
	if len(bad) != 0 || f.total() != 300 {
		t.Errorf("missing %v; %d messages in all, want each once", bad, f.total())
	}
}

// What cannot be published goes to the dead letters whole, and only that.
func TestDeadLetters(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	huge := strings.Repeat("0123456789", 1_200_000)
	p := producer(t, kafka, kgo.ProducerBatchMaxBytes(20<<20), kgo.MaxBufferedBytes(1<<30), kgo.BrokerMaxWriteBytes(64<<20))
	values := []string{`{"n":0}`, `not json`, `{"n":"1"}`, ``, `{"a":0}`, `{"n":9}`}
	var records []*kgo.Record
	for _, v := range values {
		records = append(records, &kgo.Record{Topic: "in", Timestamp: recordTime, Key: []byte{0xff}, Value: []byte(v), Headers: []kgo.RecordHeader{
			{Key: "h", Value: []byte("v")}, {Key: "long", Value: []byte(strings.Repeat("x", 2000))}}})
	}
	produce(t, p, records...)
	produce(t, p, &kgo.Record{Topic: "in", Timestamp: recordTime, Key: []byte("k"), Value: []byte(`{"n":1,"huge":"` + huge + `"}`)})
	spec := testSpec(kafka.ListenAddrs(), 1)
	spec.Spec.Transform = jobspecs.Transform{Decode: "json", Filter: "record.n < 5", Rename: map[string]string{"n": "m"}}
	spec.Spec.Limits.Memory = 256 << 20
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 7 })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	var good []string
	for _, m := range f.taken("out-0") {
		good = append(good, m.data)
	}
	if diff := cmp.Diff([]string{`{"m":0}`}, good); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	got, parts := make(map[string]string), make(map[string]string)
	for _, m := range f.taken("dead") {
		if part := m.attrs["kappa-part"]; part != "" {
			parts[part] = m.data
			if m.attrs["kappa-reason"] != reasonTooLarge || m.attrs["kappa-key"] != "k" {
				t.Errorf("part %s: attributes %v", part, m.attrs)
			}
			continue
		}
		got[m.data] = m.attrs["kappa-reason"] + " " + m.position()
		if m.attrs["kappa-key"] != "/w==" || m.attrs["kappa-key.encoding"] != "base64" || m.attrs["kappa-header.h"] != "v" || m.attrs["kappa-omitted"] != "headers" {
			t.Errorf("attributes %v", m.attrs)
		}
	}
	want := map[string]string{
		`not json`:  "transform test-cluster/in/0/1",
		`{"n":"1"}`: "transform test-cluster/in/0/2",
		``:          "transform test-cluster/in/0/3",
		`{"a":0}`:   "transform test-cluster/in/0/4",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
	if keys := slices.Sorted(maps.Keys(parts)); !slices.Equal(keys, []string{"1/2", "2/2"}) || parts["1/2"]+parts["2/2"] != `{"n":1,"huge":"`+huge+`"}` {
		t.Errorf("the parts %v do not make the record", keys)
	}
	s := b.Status()
	if s.Filtered != 1 || s.DeadLettered != 5 || s.Published != 1 {
		t.Errorf("status %+v", s)
	}
	if _, err := http.Get("http://" + b.addr + "/metrics"); err == nil {
		t.Error("the listener outlives the bridge")
	}
}

func TestMetrics(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	produce(t, producer(t, kafka), numbered("in", 1, 0, 10)...)
	b := start(t, testConfig(t, testSpec(kafka.ListenAddrs(), 1), f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 10 })
	eventually(t, "no lag", func() bool { return b.Status().Lag == 0 })
	code, body := b.get("/metrics")
	if code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	for _, line := range []string{
		"kappa_bridge_records_total 10", "kappa_bridge_messages_published_total 10", "kappa_bridge_filtered_total 0",
		"kappa_bridge_in_flight_records 0", `kappa_bridge_lag_records{partition="0",source="main",topic="in"} 0`,
		`kappa_bridge_publish_requests_total{code="OK"} `, "kappa_bridge_ack_seconds_count ", "kappa_bridge_memory_budget_bytes 6.7108864e+07",
		"kappa_bridge_stopped_partitions 0", `kappa_bridge_commits_total{result="ok"} `,
	} {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("/metrics has no line %q", line)
		}
	}
}

// Stopping with messages that are not acknowledged says so, commits none of
// them, and ends in time.
func TestStopLeavesWorkUndone(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	var calls atomic.Int64
	f.before = func(context.Context, string, []*pubsubpb.PubsubMessage) error {
		calls.Add(1)
		return status.Error(codes.Unavailable, "injected")
	}
	produce(t, producer(t, kafka), numbered("in", 1, 0, 10)...)
	spec := testSpec(kafka.ListenAddrs(), 1)
	spec.Spec.Limits.Drain = jobspecs.Duration(50 * time.Millisecond)
	b := start(t, testConfig(t, spec, f))
	eventually(t, "a try", func() bool { return calls.Load() > 0 })
	err := b.halt()
	if exit.Of(err) != exit.Interrupted || !strings.Contains(fmt.Sprint(err), "10 records not acknowledged") {
		t.Errorf("error %v", err)
	}
	if at := committed(t, kafka)[0]; at != 0 {
		t.Errorf("offset %d is committed", at)
	}
}

// invariant B4: while the destination is down the bridge holds no more than
// its budget, and when it is back everything is delivered.
func TestMemoryIsBoundedWhileDestinationIsDown(t *testing.T) {
	for _, c := range []struct {
		name          string
		transform     jobspecs.Transform
		records, size int
	}{
		{"passing through", jobspecs.Transform{Decode: "none"}, 30_000, 2000},
		{"passing large values on", jobspecs.Transform{Decode: "none"}, 8000, 8000}, // which stay where they were fetched
		{"rewriting", jobspecs.Transform{Decode: "json", Set: map[string]string{"x": `"y"`}}, 30_000, 2000},
	} {
		t.Run(c.name, func(t *testing.T) {
			records, size := c.records, c.size
			kafka := newKafka(t, 4, "in")
			f := newFakePubSub(t, outTopics(2)...)
			f.discard = true
			var down atomic.Bool
			down.Store(true)
			f.before = func(context.Context, string, []*pubsubpb.PubsubMessage) error {
				if down.Load() {
					return status.Error(codes.Unavailable, "down")
				}
				return nil
			}
			p := producer(t, kafka)
			value := []byte(`{"filler":"` + strings.Repeat("x", size) + `"}`)
			batch := make([]*kgo.Record, records)
			for i := range batch {
				batch[i] = &kgo.Record{Topic: "in", Partition: int32(i % 4), Timestamp: recordTime, Value: value}
			}
			produce(t, p, batch...)
			spec := testSpec(kafka.ListenAddrs(), 2)
			spec.Spec.Transform = c.transform
			spec.Spec.Limits.Memory, spec.Spec.Limits.BatchBytes = 16<<20, 256<<10
			spec.Spec.Limits.Linger = jobspecs.Duration(time.Hour) // memory pressure must flush, or nothing moves
			b := start(t, testConfig(t, spec, f))
			most := int64(0)
			watch := func() int64 {
				m := b.Status().Memory
				most = max(most, m)
				return m
			}
			last, since := int64(-1), time.Now()
			eventually(t, "the intake to stop", func() bool {
				watch()
				if n := b.Status().Records; n != last {
					last, since = n, time.Now()
				}
				return last > 0 && time.Since(since) > 500*time.Millisecond
			})
			if last == int64(records) {
				t.Fatalf("all %d records are in memory: the test has too few", records)
			}
			down.Store(false)
			eventually(t, "the intake to go on", func() bool { watch(); return b.Status().Records == int64(records) })
			if err := b.halt(); err != nil {
				t.Fatal(err)
			}
			if f.total() != records {
				t.Errorf("%d messages, want %d", f.total(), records)
			}
			if most > b.Status().Budget {
				t.Errorf("%d bytes in use, the budget is %d", most, b.Status().Budget)
			}
			if used := b.Status().Memory; used != 0 {
				t.Errorf("%d bytes are never given back", used)
			}
			t.Logf("most in use: %d of %d", most, b.Status().Budget)
		})
	}
}
