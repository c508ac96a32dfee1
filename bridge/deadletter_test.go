package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func alter(name, value string) []kadm.AlterConfig {
	return []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: kadm.StringPtr(value)}}
}

// invariant B1: a record that goes to the dead letters in parts is done with
// its last part, not with the first that is acknowledged.
func TestRecordIsDoneWithItsLastPart(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	last := make(gate)
	f.before = func(ctx context.Context, topic string, messages []*pubsubpb.PubsubMessage) error {
		if len(messages) > 1 {
			return status.Error(codes.Unavailable, "one part at a time")
		}
		if messages[0].Attributes[envelope.AttrPart] == "2/2" {
			return last.hold(ctx, topic, messages)
		}
		return nil
	}
	p := producer(t, kafka, kgo.ProducerBatchMaxBytes(20<<20), kgo.MaxBufferedBytes(1<<30), kgo.BrokerMaxWriteBytes(64<<20))
	produce(t, p, &kgo.Record{Topic: "in", Value: []byte(strings.Repeat("0123456789", 1_200_000)), Timestamp: recordTime})
	spec := testSpec(kafka.ListenAddrs(), 1)
	spec.Spec.Limits.Memory = 256 << 20
	cfg := testConfig(t, spec, f)
	cfg.Backoff.Timeout = testTimeout
	b := start(t, cfg)
	produce(t, p, &kgo.Record{Topic: "in", Value: []byte("small"), Timestamp: recordTime})
	eventually(t, "the first part, and the record behind it", func() bool { return len(f.taken("dead")) == 1 && len(f.taken("out-0")) == 1 })
	eventually(t, "the acknowledgements", func() bool { return b.stats.deadLettersPublished.Load() == 1 && b.stats.published.Load() == 1 })
	if n := b.inFlight(); n != 1 {
		t.Errorf("%d records are under way, want the one whose second part is", n)
	}
	for range 5 { // commits run all the time
		if err := b.readers[0].commit(); err != nil {
			t.Fatal(err)
		}
	}
	if at := committed(t, kafka)[0]; at != 0 {
		t.Fatalf("offset %d is committed while a part is on its way", at)
	}
	close(last)
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 2 })
}

// The same, for itself: whatever order the parts are acknowledged in.
func TestFinisherCountsParts(t *testing.T) {
	a := newLedger().assign(partitionID{"t", 0}, 0)
	first, err := a.fetched(1, func(int) entry { return entry{} })
	if err != nil {
		t.Fatal(err)
	}
	c := &chunk{bytes: 1}
	c.left.Store(1)
	outer, inner := &parts{}, &parts{}
	outer.left.Store(2)
	inner.of = outer
	inner.left.Store(3)
	pub := &publisher{budget: newBudget(10, nil)}
	one := func(p *parts) *event { return &event{ticket: first, chunk: c, parts: p} }
	for i, p := range []*parts{inner, outer, inner, inner} {
		if _, ok := a.committable(); ok {
			t.Fatalf("done before message %d of 4", i+1)
		}
		pub.finish([]*event{one(p)}, true)
	}
	if m, ok := a.committable(); !ok || m.offset != 1 {
		t.Error("not done with the last message")
	}
}

// binaryRecord has everything that text has not.
func binaryRecord() *kgo.Record {
	return &kgo.Record{Topic: "in", Key: []byte{0, 0xff, '\n'}, Value: []byte("{\xff\x00\n"), Timestamp: recordTime,
		Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{0xfe}}, {Key: "h", Value: []byte("again")}, {Key: "none"}}}
}

// Dead letters of a file: one JSON line each, on disk before the offset moves;
// a line that was not written whole is written over.
func TestDeadLettersOfAFile(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	name := filepath.Join(t.TempDir(), "dead.json")
	whole := `{"position":"c/t/0/1","reason":"transform","error":"e","bridge":"b","key":null,"value":""}` + "\n"
	if err := os.WriteFile(name, []byte(whole+`{"position":"c/t/0/2","rea`), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := testSpec(kafka.ListenAddrs(), 1)
	spec.Spec.Transform = jobspecs.Transform{Decode: "json", Rename: map[string]string{"n": "m"}}
	spec.Spec.DeadLetter = jobspecs.DeadLetter{File: name}
	r := binaryRecord()
	produce(t, producer(t, kafka), r, &kgo.Record{Topic: "in", Value: []byte{}, Timestamp: recordTime})
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 2 })
	text, err := os.ReadFile(name) // before it stops: what is committed is there
	if err != nil {
		t.Fatal(err)
	}
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	rest, ok := strings.CutPrefix(string(text), whole)
	if !ok {
		t.Fatalf("the file is %q", text)
	}
	var got []envelope.DeadLetter
	for _, line := range bytes.Split(bytes.TrimSpace([]byte(rest)), []byte("\n")) {
		var d envelope.DeadLetter
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if d.Error == "" {
			t.Errorf("%s: no error", d.Position)
		}
		d.Error = ""
		got = append(got, d)
	}
	want := []envelope.DeadLetter{
		{Position: "test-cluster/in/0/0", ID: wantID(t, kafka.ListenAddrs(), 0), Reason: reasonTransform, Bridge: "test/v0", Time: envelope.FormatTime(recordTime), Key: r.Key, Value: r.Value,
			Headers: []envelope.Header{{Name: "h", Value: []byte{0xfe}}, {Name: "h", Value: []byte("again")}, {Name: "none"}}},
		{Position: "test-cluster/in/0/1", ID: wantID(t, kafka.ListenAddrs(), 1), Reason: reasonTransform, Bridge: "test/v0", Time: envelope.FormatTime(recordTime), Value: []byte{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("letters (-want +got):\n%s", diff)
	}
}

// A file that cannot be written blocks: nothing is committed past the record,
// readiness says why, and it goes on by itself.
func TestDeadLettersAreDown(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	var down atomic.Bool
	down.Store(true)
	spec := testSpec(kafka.ListenAddrs(), 1)
	spec.Spec.Transform = jobspecs.Transform{Decode: "json", Rename: map[string]string{"n": "m"}}
	f.before = func(_ context.Context, topic string, _ []*pubsubpb.PubsubMessage) error {
		if down.Load() && strings.HasSuffix(topic, "/dead") {
			return status.Error(codes.PermissionDenied, "no entry")
		}
		return nil
	}
	produce(t, producer(t, kafka), &kgo.Record{Topic: "in", Value: []byte(`{}`), Timestamp: recordTime}, binaryRecord(), &kgo.Record{Topic: "in", Value: []byte(`{}`), Timestamp: recordTime})
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the others", func() bool { return len(f.taken("out-0")) == 2 })
	eventually(t, "a red light", func() bool {
		_, body := b.get("/readyz")
		return strings.Contains(body, "dead is blocked") && strings.Contains(body, "no entry")
	})
	eventually(t, "the commit before the letter", func() bool { return committed(t, kafka)[0] == 1 })
	if at := committed(t, kafka)[0]; at != 1 {
		t.Errorf("offset %d is committed beyond the letter", at)
	}
	down.Store(false)
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 3 })
	eventually(t, "readiness", b.ready)
}

// Of a Kafka topic of dead letters: the record as it was, and why.
func TestDeadLettersOfKafka(t *testing.T) {
	kafka := newKafka(t, 1, "in", "graves")
	f := newFakePubSub(t, outTopics(1)...)
	spec := testSpec(kafka.ListenAddrs(), 1)
	spec.Spec.Transform = jobspecs.Transform{Decode: "json", Rename: map[string]string{"n": "m"}}
	spec.Spec.DeadLetter = jobspecs.DeadLetter{Kafka: jobspecs.DeadLetterKafka{KafkaCluster: jobspecs.KafkaCluster{Brokers: kafka.ListenAddrs()}, Topic: "graves"}}
	r := binaryRecord()
	produce(t, producer(t, kafka), r)
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 1 })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	got := consumeAll(t, kafka.ListenAddrs(), "graves", 1)[0]
	l := kafkaLetter(got)
	if !bytes.Equal(got.Key, r.Key) || !bytes.Equal(got.Value, r.Value) || l.Position != "test-cluster/in/0/0" || l.Reason != reasonTransform || l.Error == "" || l.ID != wantID(t, kafka.ListenAddrs(), 0) {
		t.Errorf("record %+v, letter %+v", got, l)
	}
	want := []envelope.Header{{Name: "h", Value: []byte{0xfe}}, {Name: "h", Value: []byte("again")}, {Name: "none"}}
	if diff := cmp.Diff(want, l.Headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

// A write that fails half-way leaves nothing behind, and its events are not done.
func TestFileTransport(t *testing.T) {
	name := filepath.Join(t.TempDir(), "dead.json")
	tr, err := openFileTransport(name)
	if err != nil {
		t.Fatal(err)
	}
	tr.file.Close() // as a disk that went away
	pool := newSegments(1<<10, newBudget(1<<20, nil), 1)
	d := &draft{data: []byte("x")}
	d.add(envelope.AttrPosition, "c/t/0/1")
	e := &event{record: &kgo.Record{Value: []byte("x")}}
	pool.forced(d, e)
	err = tr.publish(context.Background(), nil, []*event{e})
	if v, _ := tr.judge(err); err == nil || v != blocked || !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v is %s", err, v)
	}
	if tr, err = openFileTransport(name); err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	for range 2 {
		if err := tr.publish(context.Background(), nil, []*event{e}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(name)
	if err != nil || bytes.Count(text, []byte("\n")) != 2 || int64(len(text)) != tr.size {
		t.Errorf("%q, %v", text, err)
	}
}
