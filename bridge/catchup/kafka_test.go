package catchup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func newKafka(t *testing.T, partitions int32, topics ...string) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.ClusterID("test-cluster"), kfake.SeedTopics(partitions, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func client(t *testing.T, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	one, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(one.Close)
	return one
}

// fill produces n records of a size to a partition, in batches of 100.
func fill(t *testing.T, p *kgo.Client, topic string, partition int32, n, size int) {
	t.Helper()
	value := []byte(strings.Repeat("x", size))
	for n > 0 {
		var records []*kgo.Record
		for range min(n, 100) {
			records = append(records, &kgo.Record{Topic: topic, Partition: partition, Value: value})
		}
		if err := p.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		n -= len(records)
	}
}

func source(name string, c *kfake.Cluster, topics ...string) Source {
	return Source{Name: name, Spec: jobspecs.KafkaSource{
		KafkaCluster: jobspecs.KafkaCluster{Brokers: c.ListenAddrs()}, Topics: topics, Group: "g", Start: "earliest", Isolation: "readCommitted",
	}}
}

func newCatchup(t *testing.T, sources ...Source) *Catchup {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Sources = sources
	c, err := New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func makePlan(t *testing.T, c *Catchup, req Request) *Plan {
	t.Helper()
	p, err := c.Make(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func committed(t *testing.T, c *kfake.Cluster, group string) map[string]string {
	t.Helper()
	of, err := kadm.NewClient(client(t, c)).FetchOffsets(context.Background(), group)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	of.Each(func(o kadm.OffsetResponse) {
		found[fmt.Sprintf("%s/%d", o.Topic, o.Partition)] = fmt.Sprintf("%d %s", o.At, o.Metadata)
	})
	return found
}

// One of 8 partitions holds 80 % of the bytes, and the sizes of its records
// change along the way: what is planned is what is there.
func TestPlanSkewed(t *testing.T) {
	k := newKafka(t, 8, "in")
	p := client(t, k)
	for i := range int32(8) {
		if i != 5 {
			fill(t, p, "in", i, 1000, 300)
		}
	}
	fill(t, p, "in", 5, 12000, 300)
	fill(t, p, "in", 5, 1000, 4800)
	c := newCatchup(t, source("main", k, "in"))
	plan := makePlan(t, c, Request{Splits: 10})
	if plan.Offsets != 20_000 || len(plan.Splits) != 10 || len(plan.Warnings) > 0 {
		t.Fatalf("%d offsets, %d splits, warnings %q", plan.Offsets, len(plan.Splits), plan.Warnings)
	}
	if plan.Even() > 0.01 { // a split has some 2,000 records; half a record at each end
		t.Errorf("planned splits are off by %f", plan.Even())
	}
	size := func(partition int32, offset int64) int {
		if partition == 5 && offset >= 12_000 {
			return 4800 + framing
		}
		return 300 + framing
	}
	real := 19_000*(300+framing) + 1000*(4800+framing)
	if off := math.Abs(float64(plan.Bytes)-float64(real)) / float64(real); off > 0.03 {
		t.Errorf("planned are %d bytes, there are %d", plan.Bytes, real)
	}
	for _, s := range plan.Splits {
		sum := 0
		for _, r := range s.Ranges {
			for o := r.From; o < r.To; o++ {
				sum += size(r.Partition, o)
			}
		}
		if off := math.Abs(float64(sum)-float64(real)/10) / (float64(real) / 10); off > 0.08 {
			t.Errorf("split %d has %d bytes, a tenth is %d", s.Number, sum, real/10)
		}
	}
	if f := NewForecast(plan, 1e6, &Inflow{}); f.Offsets != 20_000 || *f.ReadIn <= 0 {
		t.Errorf("forecast %+v", f)
	}
}

// Two clusters have the same topic; the range is between offsets.
func TestPlanSeveralClusters(t *testing.T) {
	a, b := newKafka(t, 2, "in"), newKafka(t, 1, "in", "more")
	fill(t, client(t, a), "in", 0, 500, 100)
	fill(t, client(t, a), "in", 1, 500, 100)
	fill(t, client(t, b), "in", 0, 500, 100)
	fill(t, client(t, b), "more", 0, 500, 100)
	c := newCatchup(t, source("a", a, "in"), source("b", b, "in", "more"))
	plan := makePlan(t, c, Request{
		From: mustBound(t, "from", "a/in/0=100", "b/in/0=200"), To: mustBound(t, "to", "a/in/0=300,more/0=400"), Splits: 4,
	})
	got := make(map[string][2]int64)
	for _, s := range plan.spans() {
		got[position(s.source, s.topic, s.partition)] = [2]int64{s.from, s.to}
	}
	want := map[string][2]int64{"a/in/0": {100, 300}, "a/in/1": {0, 500}, "b/in/0": {200, 500}, "b/more/0": {0, 400}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := c.Save(context.Background(), plan); err != nil {
		t.Fatal(err)
	}
	loaded, err := c.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plan, loaded); diff != "" {
		t.Errorf("the plan came back changed (-saved +loaded):\n%s", diff)
	}
	for _, bad := range []struct{ from, err string }{
		{"in/0=1", "several clusters"}, {"b/other/0=1", "none of the topics"}, {"b/in/1=1", "no partition 1"}, {"more/0=501", "the log ends at 500"},
	} {
		_, err := c.Make(context.Background(), Request{From: mustBound(t, "from", bad.from), Splits: 1})
		if err == nil || !strings.Contains(err.Error(), bad.err) {
			t.Errorf("--from %s: error %v, want %q", bad.from, err, bad.err)
		}
	}
}

// The plan is found again where it stopped, is handed over when all is read,
// and leaves nothing behind.
func TestPlanLives(t *testing.T) {
	ctx := context.Background()
	k := newKafka(t, 3, "in")
	p := client(t, k)
	for i := range int32(3) {
		fill(t, p, "in", i, 1000, 100)
	}
	c := newCatchup(t, source("main", k, "in"))
	if found, err := c.Load(ctx); err != nil || found != nil {
		t.Fatalf("a plan out of nowhere: %v, %v", found, err)
	}
	req := Request{Splits: 5}
	plan := makePlan(t, c, req)
	if err := c.Save(ctx, plan); err != nil {
		t.Fatal(err)
	}
	id := plan.Splits[0].Ranges[0].TopicID
	anchored := "0 " + topicIDMark + id
	if diff := cmp.Diff(map[string]string{"in/0": anchored, "in/1": anchored, "in/2": anchored}, committed(t, k, "g")); diff != "" {
		t.Errorf("the group's offsets once the plan is written:\n%s", diff)
	}
	found, there, err := c.Find(ctx, Request{Splits: 9})
	if err != nil || !there {
		t.Fatalf("the plan is not found: %v", err)
	}
	if diff := cmp.Diff(plan, found); diff != "" {
		t.Errorf("the plan came back changed (-saved +found):\n%s", diff)
	}
	for _, other := range []Request{{Splits: 6, SplitsGiven: true}, {From: mustBound(t, "from", "earliest"), Splits: 5}} {
		_, _, err := c.Find(ctx, other)
		var e *exit.Error
		if !errors.As(err, &e) || e.Code != exit.Usage || !strings.Contains(e.Hint, "--discard") {
			t.Errorf("other arguments than %q: %v", plan.Arguments, err)
		}
	}

	plan.Splits[1].Ranges[0].Next += 17
	if err := c.write(ctx, plan); err != nil {
		t.Fatal(err)
	}
	c = newCatchup(t, source("main", k, "in"))
	loaded, err := c.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plan, loaded); diff != "" {
		t.Errorf("the plan came back changed (-saved +loaded):\n%s", diff)
	}
	if _, err := c.HandOver(ctx, loaded); err == nil {
		t.Error("handed over what was not read")
	}

	for r := range loaded.ranges {
		r.Next = r.To
	}
	if err := c.write(ctx, loaded); err != nil {
		t.Fatal(err)
	}
	fill(t, p, "in", 0, 10, 10) // meanwhile
	handed, err := c.HandOver(ctx, loaded)
	if err != nil {
		t.Fatal(err)
	}
	if len(handed) != 3 || handed[0] != (Handed{Source: "main", Topic: "in", Now: 1000}) {
		t.Errorf("handed over %+v", handed)
	}
	end := "1000 " + topicIDMark + id
	if diff := cmp.Diff(map[string]string{"in/0": end, "in/1": end, "in/2": end}, committed(t, k, "g")); diff != "" {
		t.Errorf("the group's offsets after the hand-over:\n%s", diff)
	}
	if names, err := c.clusters["main"].groups(ctx); err != nil || len(names) > 0 {
		t.Errorf("groups left behind: %v, %v", names, err)
	}
}

// A plan of which only a part is there is never taken for a whole one.
func TestPlanInPart(t *testing.T) {
	ctx := context.Background()
	for _, tc := range []struct {
		name    string
		touch   func(*Plan)
		group   int64 // offset of the group
		dropped bool
	}{
		{"killed while writing it", func(*Plan) {}, 0, true},
		{"positions expired", func(p *Plan) { p.Splits[0].Ranges[0].Next++ }, 0, false},
		{"killed while dropping it, handed over", func(p *Plan) {
			for r := range p.ranges {
				r.Next = r.To
			}
		}, 1000, true},
		{"all that is there was read, but not handed over", func(p *Plan) {
			for r := range p.ranges {
				r.Next = r.To
			}
		}, 500, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := newKafka(t, 1, "in")
			fill(t, client(t, k), "in", 0, 1000, 10)
			c := newCatchup(t, source("main", k, "in"))
			plan := makePlan(t, c, Request{Splits: 4})
			if err := c.Save(ctx, plan); err != nil {
				t.Fatal(err)
			}
			tc.touch(plan)
			if err := c.write(ctx, plan); err != nil {
				t.Fatal(err)
			}
			one := c.clusters["main"]
			offsets := make(kadm.Offsets)
			offsets.Add(kadm.Offset{Topic: "in", At: tc.group, LeaderEpoch: -1})
			if err := one.admin.CommitAllOffsets(ctx, "g", offsets); err != nil {
				t.Fatal(err)
			}
			if _, err := one.admin.DeleteGroup(ctx, "g.catchup-3"); err != nil {
				t.Fatal(err)
			}
			found, err := c.Load(ctx)
			names, lerr := one.groups(ctx)
			if lerr != nil {
				t.Fatal(lerr)
			}
			if tc.dropped {
				if err != nil || found != nil || len(names) > 0 {
					t.Errorf("plan %v, error %v, groups %v", found, err, names)
				}
				return
			}
			var e *exit.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), "1 of the 4 ranges") || !strings.Contains(e.Hint, "--discard") || len(names) != 3 {
				t.Errorf("plan %v, error %v, groups %v", found, err, names)
			}
			if n, err := c.Discard(ctx); n != 3 || err != nil {
				t.Errorf("discarded %d, %v", n, err)
			}
			if found, err := c.Load(ctx); found != nil || err != nil {
				t.Errorf("plan %v, error %v after it was discarded", found, err)
			}
		})
	}
}

// Transactions leave offsets without records, and aborted records count for
// nothing.
func TestPlanTransactions(t *testing.T) {
	ctx := context.Background()
	k := newKafka(t, 1, "in")
	p := client(t, k, kgo.TransactionalID("tx"))
	for i := range 40 {
		if err := p.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		fill(t, p, "in", 0, 50, 100)
		if err := p.EndTransaction(ctx, i%2 == 0); err != nil {
			t.Fatal(err)
		}
	}
	plan := makePlan(t, newCatchup(t, source("main", k, "in")), Request{Splits: 4})
	if plan.Offsets != 40*51 {
		t.Errorf("%d offsets", plan.Offsets)
	}
	if want := 20.0 * 50 * (100 + framing); math.Abs(float64(plan.Bytes)-want) > 0.1*want {
		t.Errorf("%d bytes, there are %.0f", plan.Bytes, want)
	}
}

func TestMeasureInflow(t *testing.T) {
	k := newKafka(t, 1, "in")
	p := client(t, k)
	fill(t, p, "in", 0, 100, 100)
	c := newCatchup(t, source("main", k, "in"))
	plan := makePlan(t, c, Request{Splits: 1})
	a, err := c.look(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	fill(t, p, "in", 0, 50, 100)
	b, err := c.look(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b.at = a.at.Add(time.Second)
	in, err := inflow(a, b, plan.density(b))
	if err != nil || in.RecordsPerSecond != 50 || math.Abs(in.BytesPerSecond-50*110) > 1 {
		t.Errorf("%+v, %v", in, err)
	}
}

// A cluster that never had a group has no coordinator at first.
func TestPlanWaitsForCoordinator(t *testing.T) {
	k := newKafka(t, 1, "in")
	fill(t, client(t, k), "in", 0, 100, 10)
	until := time.Now().Add(time.Second)
	k.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		if time.Now().After(until) {
			return nil, nil, false
		}
		fr := req.(*kmsg.OffsetFetchRequest)
		resp := fr.ResponseKind().(*kmsg.OffsetFetchResponse)
		resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
		for _, g := range fr.Groups {
			rg := kmsg.NewOffsetFetchResponseGroup()
			rg.Group, rg.ErrorCode = g.Group, kerr.CoordinatorNotAvailable.Code
			resp.Groups = append(resp.Groups, rg)
		}
		return resp, nil, true
	})
	c := newCatchup(t, source("main", k, "in"))
	if p := planned(t, c, 2); p.Offsets != 100 {
		t.Errorf("%+v", p)
	}
}

func TestPatiently(t *testing.T) {
	asked := 0
	n, err := patiently(context.Background(), func() (int, error) {
		if asked++; asked < 3 {
			return 0, fmt.Errorf("wrapped: %w", kerr.CoordinatorNotAvailable)
		}
		return 7, nil
	})
	if n != 7 || err != nil || asked != 3 {
		t.Errorf("%d, %v after %d questions", n, err, asked)
	}
	asked = 0
	if _, err := patiently(context.Background(), func() (int, error) { asked++; return 0, kerr.GroupAuthorizationFailed }); err == nil || asked != 1 {
		t.Errorf("%v after %d questions", err, asked)
	}
}
