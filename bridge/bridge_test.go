package bridge

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// committed returns the committed offsets of the test's group and topic.
func committed(t testing.TB, c *kfake.Cluster) map[int32]int64 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	offsets, err := kadm.NewClient(client).FetchOffsets(context.Background(), "g")
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		t.Fatal(err)
	}
	at := make(map[int32]int64)
	for p, o := range offsets["in"] {
		at[p] = o.At
	}
	return at
}

// Everything that was produced arrives, remapped, identified and routed, and
// the offsets are committed.
func TestBridgeEndToEnd(t *testing.T) {
	kafka := newKafka(t, 3, "in")
	f := newFakePubSub(t, outTopics(4)...)
	produce(t, producer(t, kafka), numbered("in", 3, 0, 3000)...)
	spec := testSpec(kafka.ListenAddrs(), 4)
	spec.Spec.Transform.Decode = "json"
	spec.Spec.Transform.Rename = map[string]string{"orig": "origin"}
	spec.Spec.IDs.From, spec.Spec.IDs.Fields, spec.Spec.IDs.Namespace = "fields", []string{"n"}, "flights"
	spec.Spec.Split.Key = []string{"origin"}
	b := start(t, testConfig(t, spec, f))
	eventually(t, "all messages", func() bool { return f.total() >= 3000 })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	ids, byOrigin := make(map[string]bool), make(map[string]string)
	for _, m := range f.taken("") {
		ids[m.id()] = true
		_, origin, _ := strings.Cut(m.data, `"origin":`)
		if topic, ok := byOrigin[origin]; ok && topic != m.topic {
			t.Errorf("origin %s went to %s and to %s", origin, topic, m.topic)
		}
		byOrigin[origin] = m.topic
	}
	if len(ids) != 3000 || f.total() != 3000 {
		t.Errorf("%d ids in %d messages, want 3000 in 3000", len(ids), f.total())
	}
	if diff := cmp.Diff(map[int32]int64{0: 1000, 1: 1000, 2: 1000}, committed(t, kafka)); diff != "" {
		t.Errorf("committed offsets (-want +got):\n%s", diff)
	}
	s := b.Status()
	if s.Records != 3000 || s.Published != 3000 || s.InFlight != 0 || s.Memory != 0 {
		t.Errorf("status %+v", s)
	}
}
