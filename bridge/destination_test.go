package bridge

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// consumeAll reads n records of a topic.
func consumeAll(t testing.TB, brokers []string, topic string, n int) []*kgo.Record {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n && ctx.Err() == nil {
		all = append(all, c.PollFetches(ctx).Records()...)
	}
	if len(all) != n {
		t.Fatalf("%d records in %s, want %d", len(all), topic, n)
	}
	return all
}

// The example of the two-step layout, both bridges at once: what arrives has
// the ids, the event times, the keys and the tombstones of the first hop.
func TestTwoStepExample(t *testing.T) {
	t.Run("as it is", func(t *testing.T) { testTwoSteps(t, false) })
	// A tombstone has no field for the event time: it has the record's.
	t.Run("with tombstones", func(t *testing.T) { testTwoSteps(t, true) })
}

func testTwoSteps(t *testing.T, withTombstones bool) {
	kafka := newKafka(t, 2, "interactions", "interactions-clean-0", "interactions-dead-letters")
	brokers := kafka.ListenAddrs()
	set, err := jobspecs.Load([]string{"../jobspecs/examples/two-step"}, jobspecs.Vars{Set: map[string]string{"KAFKA_BROKERS": brokers[0]}})
	if err != nil {
		t.Fatal(err)
	}
	f := newFakePubSub(t)
	for _, topic := range []string{"interactions-0", "interactions-1", "interactions-dead-letters"} {
		f.topics[topicName("kappa-demo", topic)] = &pubsubpb.Topic{}
	}
	const n = 60
	var records []*kgo.Record
	tombstones, probes := 0, 0
	for i := range n {
		r := &kgo.Record{
			Topic: "interactions", Partition: int32(i % 2), Key: fmt.Appendf(nil, "u%d", i%5), Timestamp: recordTime.Add(time.Duration(i) * time.Second),
			Value:   fmt.Appendf(nil, `{"ts":"2001-01-08T00:00:%02dZ","usr":"u%d","kind":"like","n":%d}`, i, i%5, i),
			Headers: []kgo.RecordHeader{{Key: "trace", Value: fmt.Appendf(nil, "t%d", i)}},
		}
		switch i % 10 {
		case 7:
			r.Value = []byte(`{"kind":"probe","ts":"2001-01-08T00:00:00Z"}`)
			probes++
		case 3:
			if withTombstones {
				r.Value = nil
				tombstones++
			}
		}
		records = append(records, r)
	}
	first := testConfig(t, set.Bridges[0], newFakePubSub(t))
	second := testConfig(t, set.Bridges[1], f)
	if set.Bridges[0].Metadata.Name != "interactions-transform" {
		first.Spec, second.Spec = second.Spec, first.Spec
	}
	if withTombstones {
		first.Spec.Spec.EventTime = jobspecs.EventTime{Unit: "rfc3339"}
	}
	produce(t, producer(t, kafka), records...)
	a, b := start(t, first), start(t, second)
	want := n - probes
	eventually(t, "all messages", func() bool { return f.total() >= want })
	between := consumeAll(t, brokers, "interactions-clean-0", want)
	if err := a.halt(); err != nil {
		t.Error(err)
	}
	if err := b.halt(); err != nil {
		t.Error(err)
	}
	got := make(map[string]message)
	for _, m := range f.taken("") {
		got[m.id()] = m
	}
	if len(got) != want || f.total() != want {
		t.Fatalf("%d messages with %d ids, want %d", f.total(), len(got), want)
	}
	for _, r := range between {
		id, _ := header(r, envelope.AttrID)
		m, ok := got[string(id)]
		if !ok {
			t.Errorf("the first hop's id %s did not arrive", id)
			continue
		}
		when, _ := header(r, envelope.AttrEventTime)
		trace, _ := header(r, "trace")
		if m.attrs[envelope.AttrEventTime] != string(when) || m.attrs["trace"] != string(trace) || m.data != string(r.Value) || (r.Value == nil) != (m.attrs[envelope.AttrNull] == "true") {
			t.Errorf("%s: message %+v of record %s %v", id, m, r.Value, r.Headers)
		}
		var i int
		if _, err := fmt.Sscanf(string(trace), "t%d", &i); err != nil || string(r.Key) != string(records[i].Key) || !r.Timestamp.Equal(records[i].Timestamp) {
			t.Errorf("record %s: key %q, time %s, %v", trace, r.Key, r.Timestamp, err)
		}
		if want := fmt.Sprintf("2001-01-08T00:00:%02d.000Z", i); !withTombstones && string(when) != want {
			t.Errorf("record %s: event time %s, want %s", trace, when, want)
		}
		if position, _ := header(r, envelope.AttrPosition); !strings.HasPrefix(string(position), "test-cluster/interactions/") {
			t.Errorf("position %s", position)
		}
		if r.Value != nil {
			if want := fmt.Sprintf(`{"time":"2001-01-08T00:00:%02dZ","user":"u%d","kind":"like","n":%d}`, i, i%5, i); string(r.Value) != want {
				t.Errorf("record %s is %s", trace, r.Value)
			}
		} else {
			tombstones--
		}
	}
	if tombstones != 0 {
		t.Errorf("%d tombstones are missing", tombstones)
	}
}

// A dead letter that the Kafka topic of dead letters does not take blocks, says
// so, and is never lost.
func TestDeadLetterTooLargeForKafka(t *testing.T) {
	kafka := newKafka(t, 1, "in", "graves")
	f := newFakePubSub(t, outTopics(1)...)
	p := producer(t, kafka)
	spec := testSpec(kafka.ListenAddrs(), 1)
	spec.Spec.Transform = jobspecs.Transform{Decode: "json", Rename: map[string]string{"n": "m"}}
	spec.Spec.DeadLetter = jobspecs.DeadLetter{Kafka: jobspecs.DeadLetterKafka{KafkaCluster: jobspecs.KafkaCluster{Brokers: kafka.ListenAddrs()}, Topic: "graves"}}
	limit := func(bytes string) {
		adm := admin(t, kafka)
		if _, err := adm.AlterTopicConfigs(context.Background(), alter("max.message.bytes", bytes), "graves"); err != nil {
			t.Fatal(err)
		}
	}
	limit("2000")
	value := make([]byte, 9000) // does not compress
	for i, x := 0, uint64(1); i < len(value); i++ {
		x = x*6364136223846793005 + 1442695040888963407
		value[i] = byte(x >> 56)
	}
	produce(t, p, &kgo.Record{Topic: "in", Value: []byte(`{"n":1}`), Timestamp: recordTime}, &kgo.Record{Topic: "in", Value: value, Timestamp: recordTime, Key: []byte{0, 0xff}}, &kgo.Record{Topic: "in", Value: []byte(`{"n":2}`), Timestamp: recordTime})
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the problem", func() bool {
		_, body := b.get("/readyz")
		return strings.Contains(body, "publishing to graves is blocked: MESSAGE_TOO_LARGE")
	})
	eventually(t, "the others", func() bool { return f.total() == 2 })
	if at := committed(t, kafka)[0]; at > 1 {
		t.Errorf("offset %d is committed beyond the letter", at)
	}
	limit("1000000")
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 3 })
	r := consumeAll(t, kafka.ListenAddrs(), "graves", 1)[0]
	if diff := cmp.Diff(value, r.Value); diff != "" || string(r.Key) != "\x00\xff" {
		t.Errorf("key %q, value differs:\n%s", r.Key, diff)
	}
}
