package catchup

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/kappa-migrate/kappa/bridge"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Offsets of the range that are gone stop what would have read them, and only
// that; the report has the count and the command (invariant B3).
func TestRunIntoGap(t *testing.T) {
	ctx := context.Background()
	k, f := newKafka(t, 8, "in"), newFakePubSub(t)
	counts := fillSkewed(t, k, 100)
	src := source("main", k, "in")
	c := newCatchup(t, src)
	p := planned(t, c, 8)
	gone := make(kadm.Offsets)
	gone.Add(kadm.Offset{Topic: "in", Partition: 3, At: 10, LeaderEpoch: -1})
	if _, err := c.clusters["main"].admin.DeleteRecords(ctx, gone); err != nil {
		t.Fatal(err)
	}
	err := newRunner(t, c, p, testRun(t, testSpec(src), f)).Run(ctx)
	contains(t, err, "in/3 is stopped: offsets 0 to 9 (10) are gone")
	contains(t, err, "kappa bridge accept -f SPEC --source main --partition in/3")
	if exit.Of(err) != exit.Environment {
		t.Errorf("exit code %d", exit.Of(err))
	}
	for i, n := range counts {
		if i != 3 {
			f.holds(t, fmt.Sprintf("test-cluster/in/%d", i), 0, n)
		}
	}
	left, err := c.Load(ctx)
	if err != nil || left == nil {
		t.Fatal(left, err)
	}
	undone := 0
	for one := range left.ranges {
		if one.Next < one.To {
			undone++
			if one.Partition != 3 || one.From != 0 || one.Next != 0 {
				t.Errorf("left to read: %+v", one)
			}
		}
	}
	if undone != 1 {
		t.Errorf("%d ranges are left to read", undone)
	}

	// Once somebody has accepted it, the same plan is read to its end.
	admin := c.clusters["main"].admin
	g, err := bridge.FindGap(ctx, admin, src.Spec, jobspecs.IDs{From: "position"}, "in", 3, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Accept(ctx, admin, "me", "a test"); err != nil {
		t.Fatal(err)
	}
	if err := newRunner(t, c, left, testRun(t, testSpec(src), f)).Run(ctx); err != nil {
		t.Fatal(err)
	}
	f.holds(t, "test-cluster/in/3", 10, counts[3])
	handed, err := c.HandOver(ctx, left)
	if err != nil || handed[len(handed)-1].Left != "" {
		t.Fatal(handed, err)
	}
	all, err := bridge.AcceptedGaps(ctx, admin, "g", "in")
	if err != nil || all["in"][3] == nil || all["in"][3].Applied == nil {
		t.Errorf("the acceptance is still open: %+v, %v", all["in"][3], err)
	}
}

// A gap before the range that was accepted is passed over.
func TestPlanBehindAcceptedGap(t *testing.T) {
	ctx := context.Background()
	k := newKafka(t, 1, "in")
	fill(t, client(t, k), "in", 0, 100, 10)
	src := source("main", k, "in")
	c := newCatchup(t, src)
	admin := c.clusters["main"].admin
	offsets := make(kadm.Offsets)
	offsets.Add(kadm.Offset{Topic: "in", At: 5, LeaderEpoch: -1})
	if err := admin.CommitAllOffsets(ctx, "g", offsets); err != nil {
		t.Fatal(err)
	}
	gone := make(kadm.Offsets)
	gone.Add(kadm.Offset{Topic: "in", At: 10, LeaderEpoch: -1})
	if _, err := admin.DeleteRecords(ctx, gone); err != nil {
		t.Fatal(err)
	}
	_, err := c.Make(ctx, Request{Splits: 2})
	contains(t, err, "offsets 5 to 9 (5 of them) are gone")
	g, err := bridge.FindGap(ctx, admin, src.Spec, jobspecs.IDs{From: "position"}, "in", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Accept(ctx, admin, "me", "a test"); err != nil {
		t.Fatal(err)
	}
	p := planned(t, c, 2)
	if p.Splits[0].Ranges[0].From != 10 || p.Offsets != 90 {
		t.Errorf("%+v", p)
	}
	for r := range p.ranges {
		r.Next = r.To
	}
	handed, err := c.HandOver(ctx, p)
	if err != nil || handed[0].Was != 10 || handed[0].Now != 100 || handed[0].Left != "" {
		t.Errorf("%+v, %v", handed, err)
	}
}

// A topic that is created again while it is read stops what is left of it.
func TestRunTopicCreatedAgain(t *testing.T) {
	ctx := context.Background()
	k, f := newKafka(t, 1, "in"), newFakePubSub(t)
	fill(t, client(t, k), "in", 0, 2000, 3000) // more than the budget holds before the first is published
	src := source("main", k, "in")
	c := newCatchup(t, src)
	p := planned(t, c, 4)
	admin := kadm.NewClient(client(t, k))
	var once atomic.Bool
	f.before = func(context.Context, int) error {
		if !once.Swap(true) {
			if _, err := admin.DeleteTopic(ctx, "in"); err != nil {
				t.Error(err)
			}
			if _, err := admin.CreateTopic(ctx, 1, 1, nil, "in"); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	cfg := testRun(t, testSpec(src), f)
	cfg.Parallel = 1
	cfg.Bridge.Spec.Spec.Limits.Memory, cfg.Bridge.Spec.Spec.Limits.BatchBytes = 4<<20, 64<<10
	err := newRunner(t, c, p, cfg).Run(ctx)
	contains(t, err, "created again")
}

// A log that ends before the range does was cut back: the range is not waited
// for, nor is what takes its place read.
func TestRunLogCutBack(t *testing.T) {
	k, f := newKafka(t, 1, "in"), newFakePubSub(t)
	fill(t, client(t, k), "in", 0, 100, 10)
	src := source("main", k, "in")
	c := newCatchup(t, src)
	p := makePlan(t, c, Request{Splits: 1})
	p.Splits[0].Ranges[0].To = 110 // as if there had been 10 more
	if err := c.Save(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	r := newRunner(t, c, p, testRun(t, testSpec(src), f))
	r.patience = 20 * time.Millisecond
	contains(t, r.Run(context.Background()), "in/0 is stopped: offsets 100 to 109 (10), which had been there when the range was planned, are gone")
	f.holds(t, "test-cluster/in/0", 0, 100)
	if p.Splits[0].Ranges[0].Next != 100 {
		t.Errorf("it is at %d", p.Splits[0].Ranges[0].Next)
	}
}
