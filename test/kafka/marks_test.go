//go:build kafka

package kafka

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/kappa-migrate/kappa/internal/kafka"
)

// TestMarksOutliveTheirTopic: brokers delete the offsets of a deleted topic, in
// every group; what is marked stays.
func TestMarksOutliveTheirTopic(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	offsets := make(kadm.Offsets)
	offsets.Add(kadm.Offset{Topic: r.name, Partition: 0, At: 7, LeaderEpoch: -1})
	if _, err := admin.CommitOffsets(r.ctx, r.name, offsets); err != nil {
		t.Fatal(err)
	}
	want := map[string]kadm.TopicID{r.name: {1, 2, 3}, "other": {4, 5, 6}}
	r.until("the topics are marked", func() string {
		if err := kafka.WriteTopicMarks(r.ctx, admin, r.name, want); err != nil {
			return err.Error()
		}
		return ""
	})
	if _, err := admin.DeleteTopic(r.ctx, r.name); err != nil {
		t.Fatal(err)
	}
	r.until("the offsets of the topic are gone", func() string {
		left, err := admin.FetchOffsets(r.ctx, r.name)
		if err != nil {
			return err.Error()
		}
		if _, ok := left.Lookup(r.name, 0); ok {
			return "they are there"
		}
		return ""
	})
	got, err := kafka.ReadTopicMarks(r.ctx, admin, r.name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
