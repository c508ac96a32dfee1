package bridge

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func orderedSpec(brokers []string) *jobspecs.Bridge {
	spec := testSpec(brokers, 1)
	spec.Spec.Ordering.Buckets = 8
	spec.Spec.Limits.BatchRecords = 20
	spec.Spec.Attributes = []jobspecs.Attribute{{Name: "k", Key: true}}
	return spec
}

// Bundles keep their bounds and never cross a split; every event in them has
// its own id; of a refused bundle only the bad event's record is given up.
func TestBundles(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(3)...)
	f.before = func(_ context.Context, topic string, messages []*pubsubpb.PubsubMessage) error {
		for _, m := range messages {
			if !strings.HasSuffix(topic, "/dead") && strings.Contains(string(m.Data), `"n":77,`) {
				return status.Error(codes.InvalidArgument, "77 is bad")
			}
		}
		return nil
	}
	spec := testSpec(kafka.ListenAddrs(), 3)
	spec.Spec.Transform = jobspecs.Transform{Decode: "json", Rename: map[string]string{"orig": "origin"}}
	spec.Spec.Bundle = jobspecs.Bundle{MaxEvents: 10, MaxBytes: 2000}
	produce(t, producer(t, kafka), numbered("in", 1, 0, 300)...)
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 300 })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	ids, most := make(map[string]bool), 0
	for _, m := range f.taken("") {
		if m.topic == "dead" {
			if m.position() != "test-cluster/in/0/77" || m.attrs[envelope.AttrReason] != reasonRejected {
				t.Errorf("dead letter %v", m.attrs)
			}
			continue
		}
		if m.attrs[envelope.AttrBundle] != envelope.BundleJSON || m.id() != "" || len(m.data) > 2000 {
			t.Errorf("%d bytes, attributes %v", len(m.data), m.attrs)
		}
		list, err := envelope.Unbundle(envelope.BundleJSON, []byte(m.data))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, len(list))
		for _, e := range list {
			var n int
			if _, err := fmt.Sscanf(string(e.Data), `{"n":%d,`, &n); err != nil {
				t.Fatalf("event %s", e.Data)
			}
			if topic := fmt.Sprintf("out-%d", xxhash.Sum64(fmt.Appendf(nil, "k%d", n%7))%3); topic != m.topic {
				t.Errorf("event %d is in %s, want %s", n, m.topic, topic)
			}
			if e.Position != fmt.Sprintf("test-cluster/in/0/%d", n) || e.EventTime != 1_000_000_000_000+int64(n) {
				t.Errorf("event %+v", e)
			}
			ids[e.ID] = true
		}
	}
	if len(ids) != 299 || len(f.taken("dead")) != 1 || most < 2 || most > 10 {
		t.Errorf("%d ids, %d dead letters, at most %d events in a message", len(ids), len(f.taken("dead")), most)
	}
}

// A record with several events is published whole or not at all, each event
// under its ordinal.
func TestSeveralEventsOfARecord(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	spec := testSpec(kafka.ListenAddrs(), 1)
	spec.Spec.Transform = jobspecs.Transform{Decode: "json", Events: "items"}
	spec.Spec.EventTime = jobspecs.EventTime{Field: "t", Unit: "seconds"}
	p := producer(t, kafka)
	for _, v := range []string{`{"items":[{"t":1},{"t":2},{"t":3}]}`, `{"items":[{"t":4},{"x":5}]}`, `{"items":[]}`} {
		produce(t, p, &kgo.Record{Topic: "in", Value: []byte(v), Timestamp: recordTime})
	}
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 3 })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	out, dead := f.taken("out-0"), f.taken("dead")
	if len(out) != 3 || len(dead) != 1 || dead[0].position() != "test-cluster/in/0/1" || dead[0].data != `{"items":[{"t":4},{"x":5}]}` {
		t.Fatalf("messages %v, dead letters %v", out, dead)
	}
	for _, m := range out {
		u, err := parseUUID([]byte(m.id()))
		if err != nil {
			t.Fatal(err)
		}
		_, _, offset, ordinal, ok := positionOf(u)
		if want := fmt.Sprintf(`{"t":%d}`, ordinal+1); !ok || offset != 0 || m.data != want {
			t.Errorf("ordinal %d has %s", ordinal, m.data)
		}
	}
}
