package catchup

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Offsets of a topic that was created again, or that are gone, are said, not
// jumped over (invariant B3).
func TestPlanOfWhatIsGone(t *testing.T) {
	ctx := context.Background()
	k := newKafka(t, 1, "in")
	fill(t, client(t, k), "in", 0, 100, 10)
	c := newCatchup(t, source("main", k, "in"))
	plan := makePlan(t, c, Request{Splits: 2})
	if err := c.Save(ctx, plan); err != nil {
		t.Fatal(err)
	}
	admin := c.clusters["main"].admin
	gone := make(kadm.Offsets)
	gone.Add(kadm.Offset{Topic: "in", At: 30, LeaderEpoch: -1})
	if _, err := admin.DeleteRecords(ctx, gone); err != nil {
		t.Fatal(err)
	}
	_, err := c.Make(ctx, Request{Splits: 2})
	if err == nil || !strings.Contains(err.Error(), "offsets 0 to 29 (30 of them) are gone") {
		t.Errorf("truncated: %v", err)
	}
	if _, err := admin.DeleteTopic(ctx, "in"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, "in"); err != nil {
		t.Fatal(err)
	}
	for r := range plan.ranges {
		r.Next = r.To
	}
	fresh := newCatchup(t, source("main", k, "in"))
	if err := fresh.write(ctx, plan); err != nil { // deleting a topic deletes its offsets, but some time later
		t.Fatal(err)
	}
	was := make(kadm.Offsets)
	was.Add(kadm.Offset{Topic: "in", At: 0, LeaderEpoch: -1, Metadata: topicIDMark + plan.Splits[0].Ranges[0].TopicID})
	if err := fresh.clusters["main"].admin.CommitAllOffsets(ctx, "g", was); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"load":      func() error { _, err := c.Load(ctx); return err },
		"plan":      func() error { _, err := c.Make(ctx, Request{Splits: 2}); return err },
		"hand over": func() error { _, err := c.HandOver(ctx, plan); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), "created again") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A topic that was created again is not read as if it were the old one, even
// though Kafka has forgotten the offsets of the old one.
func TestPlanOfTopicCreatedAgain(t *testing.T) {
	ctx := context.Background()
	k := newKafka(t, 1, "in", "__consumer_offsets")
	fill(t, client(t, k), "in", 0, 100, 10)
	c := newCatchup(t, source("main", k, "in"))
	plan := makePlan(t, c, Request{Splits: 2})
	if err := c.Save(ctx, plan); err != nil {
		t.Fatal(err)
	}
	admin := kadm.NewClient(client(t, k))
	if _, err := admin.DeleteTopic(ctx, "in"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteGroups(ctx, "g", "g.catchup-0", "g.catchup-1"); err != nil { // as Kafka does
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, "in"); err != nil {
		t.Fatal(err)
	}
	fill(t, client(t, k), "in", 0, 100, 10)
	c = newCatchup(t, source("main", k, "in"))
	if _, _, err := c.Find(ctx, Request{Splits: 2}); err == nil || !strings.Contains(err.Error(), "created again") {
		t.Errorf("a new plan over the new topic: %v", err)
	}
}

// While a bridge reads in the group, nothing is handed over, and what it has
// reached counts.
func TestHandOverWaitsForTheGroup(t *testing.T) {
	ctx := context.Background()
	k := newKafka(t, 1, "in")
	fill(t, client(t, k), "in", 0, 100, 10)
	c := newCatchup(t, source("main", k, "in"))
	plan := makePlan(t, c, Request{Splits: 2})
	if err := c.Save(ctx, plan); err != nil {
		t.Fatal(err)
	}
	for r := range plan.ranges {
		r.Next = r.To
	}
	member := client(t, k, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("in"), kgo.DisableAutoCommit())
	fetches := member.PollRecords(ctx, 1)
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	_, err := c.HandOver(ctx, plan)
	var e *exit.Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "stop the bridge") {
		t.Errorf("handed over to a group that reads: %v", err)
	}
	if err := member.CommitRecords(ctx, &kgo.Record{Topic: "in", Offset: 99, LeaderEpoch: -1}); err != nil {
		t.Fatal(err)
	}
	handed, err := c.HandOver(ctx, plan)
	if err != nil || len(handed) != 1 || handed[0].Now != 100 {
		t.Errorf("the group is at the end already: %+v, %v", handed, err)
	}
}

func TestHandOverDecision(t *testing.T) {
	s := &span{source: "s", topic: "t", from: 10, to: 20}
	for _, c := range []struct {
		committed, now int64
		left           string
	}{{10, 20, ""}, {15, 20, ""}, {20, 20, ""}, {25, 25, ""}, {9, 9, "what lies between was not read"}, {-1, -1, "no offset"}} {
		h := handOver(s, c.committed)
		if h.Now != c.now || (h.Left == "") != (c.left == "") || !strings.Contains(h.Left, c.left) {
			t.Errorf("at %d: %+v", c.committed, h)
		}
	}
}
