package bridge

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// numbers are the numbers of the messages of each key, in the order taken.
func numbers(t testing.TB, f *fakePubSub) map[string][]int {
	t.Helper()
	byKey := make(map[string][]int)
	for _, m := range f.taken("") {
		var v struct{ N int }
		if err := json.Unmarshal([]byte(m.data), &v); err != nil {
			t.Fatal(err)
		}
		byKey[m.attrs["k"]] = append(byKey[m.attrs["k"]], v.N)
	}
	return byKey
}

// With ordering every key stays in order, whatever fails, and nothing that was
// acknowledged is sent again.
func TestOrderIsKept(t *testing.T) {
	kafka := newKafka(t, 2, "in")
	f := newFakePubSub(t, outTopics(2)...)
	f.before = func(context.Context, string, []*pubsubpb.PubsubMessage) error {
		if rand.N(3) == 0 {
			return status.Error(codes.Unavailable, "injected")
		}
		return nil
	}
	spec := orderedSpec(kafka.ListenAddrs())
	spec.Spec.Split.Count, spec.Spec.Ordering.Buckets = 2, 2 // so few that a lane would have several senders
	records := numbered("in", 2, 0, 2100)
	for i, r := range records {
		r.Partition = int32(i % 7 % 2) // a key has one partition
	}
	produce(t, producer(t, kafka), records...)
	b := start(t, testConfig(t, spec, f))
	eventually(t, "all messages", func() bool { return f.total() >= 2100 })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	byKey, n := numbers(t, f), 0
	for key, list := range byKey {
		n += len(list)
		if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Errorf("key %s is out of order, or has one twice", key)
		}
	}
	if n != 2100 || len(byKey) != 7 {
		t.Errorf("%d messages of %d keys", n, len(byKey))
	}
}

// A bucket that fails blocks its own lane; the others go on. After the outage
// it goes on by itself.
func TestFailingBucketBlocksItself(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	spec := orderedSpec(kafka.ListenAddrs())
	down := bucketOf([]byte("k3"), 8)
	var out atomic.Bool
	out.Store(true)
	want := 0
	for i := range 700 {
		if k := []byte{'k', byte('0' + i%7)}; bucketOf(k, 8) != down {
			want++
		}
	}
	f.before = func(_ context.Context, _ string, messages []*pubsubpb.PubsubMessage) error {
		for _, m := range messages {
			if m.OrderingKey != messages[0].OrderingKey || m.OrderingKey == "" {
				t.Errorf("a request has the ordering keys %q and %q", messages[0].OrderingKey, m.OrderingKey)
			}
			if out.Load() && m.Attributes["k"] == "k3" {
				return status.Error(codes.Unavailable, "injected")
			}
		}
		return nil
	}
	produce(t, producer(t, kafka), numbered("in", 1, 0, 700)...)
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the other buckets", func() bool { return f.total() >= want })
	if got := numbers(t, f); len(got["k3"]) != 0 || f.total() != want {
		t.Errorf("%d messages, want %d; %d of the key that is down", f.total(), want, len(got["k3"]))
	}
	out.Store(false)
	eventually(t, "the rest", func() bool { return f.total() == 700 })
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 700 })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	if list := numbers(t, f)["k3"]; !slices.IsSorted(list) || len(list) != 100 {
		t.Errorf("the key that was down: %v", list)
	}
}
