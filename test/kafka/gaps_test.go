//go:build kafka

package kafka

import (
	"fmt"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// blocked is a bridge whose destination takes nothing: the Pub/Sub topic is
// deleted, and its memory is full, so that most records are still in Kafka.
func blocked(r *rig, plain *kgo.Client) (b *bridge, n int) {
	r.Helper()
	r.spec["limits"] = map[string]any{"memory": "8MiB", "batchBytes": "256KiB"}
	b = r.run()
	r.produce(plain, kgo.StringRecord("first"))
	r.committed(r.name, 0, 1)
	if err := dest.TopicAdminClient.DeleteTopic(r.ctx, &pubsubpb.DeleteTopicRequest{Topic: "projects/" + project + "/topics/" + r.name + "-0"}); err != nil {
		r.Fatal(err)
	}
	const more = 2000
	value := strings.Repeat("x", 20_000)
	records := make([]*kgo.Record, more)
	for i := range records {
		records[i] = kgo.StringRecord(fmt.Sprintf("%06d%s", i+1, value))
	}
	r.produce(plain, records...)
	r.until("the bridge says that the topic is missing", func() string {
		if text := b.get("/readyz"); !strings.Contains(text, r.name+"-0") {
			return text
		}
		return ""
	})
	return b, more + 1
}

// unblock gives the destination its topic back.
func unblock(r *rig) {
	r.Helper()
	topic := "projects/" + project + "/topics/" + r.name + "-0"
	if _, err := dest.TopicAdminClient.CreateTopic(r.ctx, &pubsubpb.Topic{Name: topic}); err != nil {
		r.Fatal(err)
	}
	sub := &pubsubpb.Subscription{Name: "projects/" + project + "/subscriptions/" + r.name + "-0", Topic: topic, AckDeadlineSeconds: 600}
	if err := dest.SubscriptionAdminClient.DeleteSubscription(r.ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: sub.Name}); err != nil {
		r.Fatal(err)
	}
	if _, err := dest.SubscriptionAdminClient.CreateSubscription(r.ctx, sub); err != nil {
		r.Fatal(err)
	}
}

// TestGoneUnderARunningBridge is invariant B3: records that are gone before they
// were read stop the partition, with the offsets and how many they are; what
// was read before is published and committed; what comes after is not touched.
func TestGoneUnderARunningBridge(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(r *rig, end int64){
		"deleted": func(r *rig, end int64) {
			to := make(kadm.Offsets)
			to.Add(kadm.Offset{Topic: r.name, Partition: 0, At: end})
			if _, err := admin.DeleteRecords(r.ctx, to); err != nil {
				r.Fatal(err)
			}
		},
		"retention": func(r *rig, _ int64) {
			one := "1"
			if _, err := admin.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &one}}, r.name); err != nil {
				r.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 2)
			plain := r.producer()
			b, n := blocked(r, plain)
			remove(r, int64(n))
			var first int64
			r.until("the records are gone", func() string {
				starts, err := admin.ListStartOffsets(r.ctx, r.name)
				if err != nil {
					return err.Error()
				}
				o, _ := starts.Lookup(r.name, 0)
				if first = o.Offset; first < int64(n) {
					return fmt.Sprintf("the log begins at %d", first)
				}
				return ""
			})
			unblock(r)
			var from, to, count int64
			r.until("the partition is stopped", func() string {
				text := b.get("/readyz")
				i := strings.Index(text, r.name+"/0 is stopped: offsets ")
				if i < 0 {
					return text
				}
				if _, err := fmt.Sscanf(text[i:], r.name+"/0 is stopped: offsets %d to %d (%d)", &from, &to, &count); err != nil {
					return err.Error() + ": " + text
				}
				return ""
			})
			if to != first-1 || count != to-from+1 || from < 2 || from > to {
				t.Errorf("offsets %d to %d (%d) are said to be gone; the log begins at %d", from, to, count, first)
			}
			r.committed(r.name, 0, from)
			if got := len(r.take(r.name + "-0")); int64(got) != from-1 { // the first was taken by the subscription that is gone
				t.Errorf("%d messages arrived, want the %d before the gap", got, from-1)
			}

			// The other partition goes on; this one does not by itself.
			keep := "-1"
			if _, err := admin.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &keep}}, r.name); err != nil {
				t.Fatal(err)
			}
			r.produce(plain, kgo.StringRecord("beyond the gap"), &kgo.Record{Partition: 1, Value: []byte("other")})
			r.committed(r.name, 1, 1)
			r.taken([]string{"other"})

			// Nor does it after a restart.
			b.stop()
			b = r.run()
			want := fmt.Sprintf("%s/0 is stopped: offsets %d to %d (%d)", r.name, from, to, count)
			r.until("the partition is stopped again", func() string {
				if text := b.get("/readyz"); !strings.Contains(text, want) {
					return "want " + want + ": " + text
				}
				return ""
			})
			r.committed(r.name, 0, from)
			r.taken(nil)

			// It goes on at the first record that is left once that is accepted.
			text := r.accept(r.name + "/0")
			if want := fmt.Sprintf("goes on at offset %d", first); !strings.Contains(text, want) {
				t.Errorf("want %q, accept says:\n%s", want, text)
			}
			r.allCommitted(r.name)
			r.taken([]string{"beyond the gap"})
			r.until("the bridge is ready", b.ready)
		})
	}
}

// TestRecreatedTopic is invariant B3 for a topic that is deleted and created
// again, under a running bridge and while none runs: offsets of the old topic
// mean nothing in the new one.
func TestRecreatedTopic(t *testing.T) {
	t.Parallel()
	recreate := func(r *rig) {
		r.Helper()
		if _, err := admin.DeleteTopic(r.ctx, r.name); err != nil {
			r.Fatal(err)
		}
		r.until("the topic is created again", func() string {
			if _, err := admin.CreateTopic(r.ctx, 1, 3, nil, r.name); err != nil {
				return err.Error()
			}
			return ""
		})
		r.known(r.name)
	}
	stopped := func(b *bridge) {
		b.Helper()
		b.until("the partition is stopped", func() string {
			text := b.get("/readyz")
			if !strings.Contains(text, b.name+"/0 is stopped: ") || !strings.Contains(text, "again") {
				return text
			}
			return ""
		})
	}
	for _, running := range []bool{true, false} {
		t.Run(fmt.Sprintf("running=%t", running), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			old := numbered("old", 5)
			r.produce(r.producer(), old...)
			b := r.run()
			r.committed(r.name, 0, 5)
			if !running {
				b.stop()
			}
			recreate(r)
			// More than the old topic had: the old offset is in range.
			fresh := numbered("new", 9)
			r.produce(r.producer(), fresh...)
			if !running {
				b = r.run()
			}
			stopped(b)
			r.taken(values(old))
			b.stop()
			b = r.run()
			stopped(b)
			r.taken(nil)
			r.accept(r.name + "/0")
			r.allCommitted(r.name)
			r.taken(values(fresh))
			r.until("the bridge is ready", b.ready)
		})
	}
}
