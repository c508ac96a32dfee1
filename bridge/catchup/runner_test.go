package catchup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/exit"
)

func newRunner(t *testing.T, c *Catchup, p *Plan, cfg RunConfig) *Runner {
	t.Helper()
	r, err := c.NewRunner(p, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// All of a skewed topic is read once, and the bridge goes on where the range
// ends.
func TestRun(t *testing.T) {
	ctx := context.Background()
	k, f := newKafka(t, 8, "in"), newFakePubSub(t)
	counts := fillSkewed(t, k, 300)
	src := source("main", k, "in")
	c := newCatchup(t, src)
	p := planned(t, c, 8)
	r := newRunner(t, c, p, testRun(t, testSpec(src), f))
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	for i, n := range counts {
		if d := f.holds(t, fmt.Sprintf("test-cluster/in/%d", i), 0, n); d > 0 {
			t.Errorf("partition %d: %d duplicates, though nothing failed", i, d)
		}
	}
	if s := r.Progress(); s.SplitsDone != len(p.Splits) || s.Done != s.Bytes || s.Forecast.Bytes != 0 {
		t.Errorf("progress at the end: %+v", s)
	}
	loaded, err := c.Load(ctx)
	if err != nil || loaded == nil || !loaded.Done() {
		t.Fatalf("the plan in Kafka once all is read: %+v, %v", loaded, err)
	}
	handed, err := c.HandOver(ctx, loaded)
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range handed {
		if h.Now != counts[h.Partition] || h.Left != "" {
			t.Errorf("partition %d was handed over at %d of %d: %s", i, h.Now, counts[h.Partition], h.Left)
		}
	}
}

// Told to stop, it commits what is in flight; the next run goes on there, so
// that nothing is published twice.
func TestRunStopsInOrder(t *testing.T) {
	k, f := newKafka(t, 8, "in"), newFakePubSub(t)
	counts := fillSkewed(t, k, 300)
	src := source("main", k, "in")
	c := newCatchup(t, src)
	planned(t, c, 8)
	var gate atomic.Int64 // messages that are taken before the destination rests
	f.before = func(ctx context.Context, _ int) error {
		for ctx.Err() == nil {
			if n, _ := f.count(); int64(n) < gate.Load() {
				return nil
			}
			<-time.After(time.Millisecond)
		}
		return ctx.Err()
	}
	spec := testSpec(src)
	spec.Spec.Limits.Memory, spec.Spec.Limits.BatchBytes, spec.Spec.Limits.BatchRecords = 4<<20, 64<<10, 50
	stops := 0
	for {
		p, err := c.Load(context.Background())
		if err != nil || p == nil {
			t.Fatalf("plan %v, %v", p, err)
		}
		before, _ := f.count()
		gate.Store(int64(before) + 500)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		r := newRunner(t, c, p, testRun(t, spec, f))
		go func() { done <- r.Run(ctx) }()
		eventually(t, "some messages", func() bool { n, _ := f.count(); return n >= before+500 || r.Progress().SplitsDone == 8 })
		cancel()
		gate.Store(1 << 40)
		if err = <-done; err == nil {
			break
		}
		stops++
		if exit.Of(err) != exit.Interrupted || !strings.Contains(err.Error(), "left to read") {
			t.Fatal(err)
		}
	}
	if stops < 2 {
		t.Errorf("stopped %d times only: the test is too easy", stops)
	}
	for i, n := range counts {
		if d := f.holds(t, fmt.Sprintf("test-cluster/in/%d", i), 0, n); d > 0 {
			t.Errorf("partition %d: %d duplicates", i, d)
		}
	}
}

// Leaders move, brokers answer with errors, the destination is away: it takes
// longer, that is all.
func TestRunThroughTrouble(t *testing.T) {
	k, f := newKafka(t, 8, "in"), newFakePubSub(t)
	counts := fillSkewed(t, k, 300)
	src := source("main", k, "in")
	c := newCatchup(t, src)
	p := planned(t, c, 8)
	var fetches, publishes atomic.Int64
	k.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		switch n := fetches.Add(1); {
		case n%11 == 0:
			return nil, errors.New("connection lost"), true
		case n%7 == 0:
			fr := req.(*kmsg.FetchRequest)
			resp := fr.ResponseKind().(*kmsg.FetchResponse)
			for _, rt := range fr.Topics {
				st := kmsg.NewFetchResponseTopic()
				st.Topic, st.TopicID = rt.Topic, rt.TopicID
				for _, rp := range rt.Partitions {
					sp := kmsg.NewFetchResponseTopicPartition()
					sp.Partition, sp.ErrorCode = rp.Partition, []int16{kerr.KafkaStorageError.Code, kerr.UnknownServerError.Code, kerr.NotLeaderForPartition.Code}[n%3]
					st.Partitions = append(st.Partitions, sp)
				}
				resp.Topics = append(resp.Topics, st)
			}
			return resp, nil, true
		}
		return nil, nil, false
	})
	f.before = func(context.Context, int) error {
		if n := publishes.Add(1); n%5 == 0 {
			return status.Error(codes.Unavailable, "away")
		}
		return nil
	}
	done := make(chan error, 1)
	r := newRunner(t, c, p, testRun(t, testSpec(src), f))
	go func() { done <- r.Run(context.Background()) }()
	for i := 0; ; i++ {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			for i, n := range counts {
				f.holds(t, fmt.Sprintf("test-cluster/in/%d", i), 0, n)
			}
			return
		case <-time.After(5 * time.Millisecond):
			_ = k.MoveTopicPartition("in", int32(i%8), int32(i%2))
		case <-time.After(testTimeout):
			t.Fatal("it does not end")
		}
	}
}

func TestRunRefusesOrder(t *testing.T) {
	k, f := newKafka(t, 1, "in"), newFakePubSub(t)
	fill(t, client(t, k), "in", 0, 10, 10)
	src := source("main", k, "in")
	c := newCatchup(t, src)
	spec := testSpec(src)
	spec.Spec.Ordering.Buckets = 4
	r, err := c.NewRunner(makePlan(t, c, Request{Splits: 1}), testRun(t, spec, f))
	if err == nil {
		err = r.Run(context.Background())
	}
	contains(t, err, "spec.ordering.buckets")
	if exit.Of(err) != exit.Usage {
		t.Errorf("exit code %d", exit.Of(err))
	}
	if n, _ := f.count(); n > 0 {
		t.Errorf("%d messages were published", n)
	}
}

// Transactions end in offsets without records: a range is read to its end all
// the same.
func TestRunTransactions(t *testing.T) {
	ctx := context.Background()
	k, f := newKafka(t, 1, "in"), newFakePubSub(t)
	p := client(t, k, transactional)
	committed := map[int64]bool{}
	next := int64(0)
	for i := range 30 {
		if err := p.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		fill(t, p, "in", 0, 20, 100)
		if err := p.EndTransaction(ctx, i%3 != 2); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			committed[next] = i%3 != 2
			next++
		}
		next++
	}
	src := source("main", k, "in")
	c := newCatchup(t, src)
	if err := newRunner(t, c, planned(t, c, 7), testRun(t, testSpec(src), f)).Run(ctx); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for o := range next {
		if n := f.times[fmt.Sprintf("test-cluster/in/0/%d", o)]; (n == 1) != committed[o] {
			t.Errorf("offset %d came %d times", o, n)
		}
	}
}

func TestSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, parallel := rapid.IntRange(0, 100).Draw(t, "n"), rapid.IntRange(1, 20).Draw(t, "parallel")
		order := spread(n, parallel)
		slices.Sort(order)
		for i, o := range order {
			if i != o {
				t.Fatalf("%d splits, %d at a time: %v", n, parallel, order)
			}
		}
		if len(order) != n {
			t.Fatalf("%d splits, %d at a time: %d", n, parallel, len(order))
		}
	})
	if got := spread(8, 4); !slices.Equal(got, []int{0, 2, 4, 6, 1, 3, 5, 7}) {
		t.Errorf("%v", got)
	}
}

func TestSpeed(t *testing.T) {
	var s speed
	if s.rate() != 0 {
		t.Error("a rate of nothing")
	}
	at := time.Unix(0, 0)
	for i := range 100 {
		n := int64(10 * i)
		if i >= 50 {
			n = 500 + int64(20*(i-50))
		}
		s.add(at.Add(time.Duration(i)*time.Second), n)
	}
	if got := s.rate(); got != 20 {
		t.Errorf("%f bytes per second, the last window had 20", got)
	}
	if len(s.looks) > 25 {
		t.Errorf("%d looks are kept", len(s.looks))
	}
}

// While the destination is away, no more is read than the budget holds
// (invariant B4); once it is back, all of it is.
func TestRunMemory(t *testing.T) {
	k, f := newKafka(t, 8, "in"), newFakePubSub(t)
	p := client(t, k)
	for i := range int32(8) {
		fill(t, p, "in", i, 500, 10_000)
	}
	src := source("main", k, "in")
	c := newCatchup(t, src)
	plan := planned(t, c, 16)
	back := make(chan struct{})
	f.before = func(ctx context.Context, _ int) error {
		select {
		case <-back:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	cfg := testRun(t, testSpec(src), f)
	cfg.Parallel = 8
	r := newRunner(t, c, plan, cfg)
	done := make(chan error, 1)
	go func() { done <- r.Run(context.Background()) }()
	var last, still int64
	eventually(t, "reading to come to rest", func() bool {
		s := r.Progress().Bridge
		if s.Memory > s.Budget {
			t.Fatalf("%d bytes are held, the budget is %d", s.Memory, s.Budget)
		}
		if s.Records == 0 || s.Records != last {
			last, still = s.Records, 0
		}
		still++
		return still > 100
	})
	if last*10_000 < int64(cfg.Bridge.Spec.Spec.Limits.Memory)/8 || last == 4000 {
		t.Errorf("%d records were read while the destination was away", last)
	}
	close(back)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		if d := f.holds(t, fmt.Sprintf("test-cluster/in/%d", i), 0, 500); d > 0 {
			t.Errorf("partition %d: %d duplicates", i, d)
		}
	}
}
