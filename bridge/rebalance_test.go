package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// gate holds publish requests until it is opened.
type gate chan struct{}

func (g gate) hold(ctx context.Context, _ string, _ []*pubsubpb.PubsubMessage) error {
	select {
	case <-g:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *running) owns() []int32 {
	var owned []int32
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.readers) == 0 {
		return nil
	}
	for _, a := range r.readers[0].ledger.assignments() {
		owned = append(owned, a.id.partition)
	}
	slices.Sort(owned)
	return owned
}

// invariant B5, and the loss that a peer had: partitions move to another
// member while their acknowledgements are under way. The late ones must commit
// nothing, or the records that the new owner has not published yet are lost.
func TestRebalanceWhileAcksAreSlow(t *testing.T) {
	const records, partitions = 4000, 4
	kafka := newKafka(t, partitions, "in")
	fa, fb := newFakePubSub(t, outTopics(2)...), newFakePubSub(t, outTopics(2)...)
	slowA, slowB := make(gate), make(gate)
	fa.before, fb.before = slowA.hold, slowB.hold
	produce(t, producer(t, kafka), numbered("in", partitions, 0, records)...)
	spec := testSpec(kafka.ListenAddrs(), 2)
	spec.Spec.Limits.Drain = jobspecs.Duration(100 * time.Millisecond)
	spec.Spec.Limits.BatchRecords = 100

	a := start(t, testConfig(t, spec, fa))
	eventually(t, "the first member to read everything", func() bool { return a.Status().Records == records })
	b := start(t, testConfig(t, spec, fb))
	eventually(t, "the partitions to be shared", func() bool { return len(a.owns()) == 2 && len(b.owns()) == 2 })
	moved := b.owns()
	eventually(t, "the second member to read them again", func() bool { return b.Status().Records == records/2 })

	close(slowA) // now the first member's acknowledgements come, those of moved partitions too
	eventually(t, "the first member to commit its own", func() bool {
		at := committed(t, kafka)
		return at[a.owns()[0]] == records/partitions && at[a.owns()[1]] == records/partitions
	})
	for _, p := range moved {
		if at := committed(t, kafka)[p]; at != 0 {
			t.Errorf("partition %d: offset %d is committed, but its owner has published nothing", p, at)
		}
	}
	b.stop() // without having published a record
	if err := b.wait(); exit.Of(err) != exit.Interrupted {
		t.Errorf("the second member ends with %v", err)
	}
	eventually(t, "all records", func() bool { return len(fa.positions()) == records })
	eventually(t, "all commits", func() bool {
		return cmp.Equal(committed(t, kafka), map[int32]int64{0: 1000, 1: 1000, 2: 1000, 3: 1000})
	})
	close(slowB)
	ids := make(map[string]string)
	for _, m := range fa.taken("") {
		if id, ok := ids[m.position()]; ok && id != m.id() {
			t.Errorf("%s has ids %s and %s", m.position(), id, m.id())
		}
		ids[m.position()] = m.id()
	}
}

// Members come and go while records flow; none is lost.
func TestRebalanceChurn(t *testing.T) {
	const partitions, rounds, perRound = 4, 6, 800
	kafka := newKafka(t, partitions, "in")
	f := newFakePubSub(t, outTopics(2)...)
	f.before = func(ctx context.Context, _ string, _ []*pubsubpb.PubsubMessage) error {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
		return nil
	}
	spec := testSpec(kafka.ListenAddrs(), 2)
	spec.Spec.Limits.BatchRecords = 40
	p := producer(t, kafka)
	stay := start(t, testConfig(t, spec, f))
	for round := range rounds {
		produce(t, p, numbered("in", partitions, round*perRound, perRound)...)
		guest := start(t, testConfig(t, spec, f))
		eventually(t, "the guest to get partitions", func() bool { return len(guest.owns()) > 0 })
		if err := guest.halt(); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
	eventually(t, "all records", func() bool { return len(f.positions()) == rounds*perRound })
	if err := stay.halt(); err != nil {
		t.Error(err)
	}
	want := int64(rounds * perRound / partitions)
	if diff := cmp.Diff(map[int32]int64{0: want, 1: want, 2: want, 3: want}, committed(t, kafka)); diff != "" {
		t.Errorf("committed offsets (-want +got):\n%s", diff)
	}
}

// A rebalance that does not come to its end, since another member does not
// answer: what is published meanwhile is committed all the same, and the bridge
// can be stopped.
func TestStuckRebalance(t *testing.T) {
	kafka := newKafka(t, 2, "in")
	f := newFakePubSub(t, outTopics(1)...)
	slow := make(gate)
	f.before = slow.hold
	produce(t, producer(t, kafka), numbered("in", 2, 0, 100)...)
	b := start(t, testConfig(t, testSpec(kafka.ListenAddrs(), 1), f))
	eventually(t, "the bridge to read everything", func() bool { return b.Status().Records == 100 })

	joins := make(chan struct{}, 8)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	kafka.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		kafka.KeepControl()
		joins <- struct{}{}
		kafka.SleepControl(func() { <-release })
		return nil, nil, false
	})
	go b.readers[0].client.ForceRebalance()
	select {
	case <-joins:
	case <-time.After(testTimeout):
		t.Fatal("the bridge does not join again")
	}
	close(slow)
	eventually(t, "the commits", func() bool {
		return cmp.Equal(committed(t, kafka), map[int32]int64{0: 50, 1: 50})
	})
	began := time.Now()
	if err := b.halt(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
}

// invariant B5: before it has joined the group, and when it is out of it, a
// bridge commits nothing: Kafka takes such a commit where nobody else is there.
func TestCommitTakesMembership(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	kafka.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		kafka.SleepControl(func() { <-release })
		return nil, nil, false
	})
	produce(t, producer(t, kafka), numbered("in", 1, 0, 10)...)
	b := start(t, testConfig(t, testSpec(kafka.ListenAddrs(), 1), f))
	eventually(t, "the client", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.readers) == 1
	})
	if err := b.readers[0].send(context.Background(), map[partitionID]mark{{"in", 0}: {5, 0}}); err == nil {
		t.Error("a bridge that is in no group commits")
	}
	if at := committed(t, kafka); at[0] > 0 {
		t.Errorf("offset %d is committed", at[0])
	}
}

// A partition that the group has given to nobody is noticed and read: nothing
// says of it that it is missing (invariant B3).
func TestOrphanIsAdopted(t *testing.T) {
	kafka := newKafka(t, 3, "in")
	f := newFakePubSub(t, outTopics(1)...)
	kafka.ControlKey(int16(kmsg.SyncGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
		for i := range req.(*kmsg.SyncGroupRequest).GroupAssignment { // once: partition 1 is left out
			var a kmsg.ConsumerMemberAssignment
			if err := a.ReadFrom(req.(*kmsg.SyncGroupRequest).GroupAssignment[i].MemberAssignment); err != nil {
				t.Error(err)
			}
			a.Topics[0].Partitions = slices.DeleteFunc(a.Topics[0].Partitions, func(p int32) bool { return p == 1 })
			req.(*kmsg.SyncGroupRequest).GroupAssignment[i].MemberAssignment = a.AppendTo(nil)
		}
		kafka.DropControl()
		return nil, nil, false
	})
	produce(t, producer(t, kafka), numbered("in", 3, 0, 300)...)
	cfg := testConfig(t, testSpec(kafka.ListenAddrs(), 1), f)
	cfg.GroupEvery = 20 * time.Millisecond
	b := start(t, cfg)
	eventually(t, "two partitions", func() bool { return cmp.Equal(b.owns(), []int32{0, 2}) })
	eventually(t, "the records of all", func() bool { return len(f.positions()) == 300 })
}

// Two bridges with one instance id: the older one gives way and says why; it
// neither fights back nor takes the other one's membership with it.
func TestInstanceIDTwice(t *testing.T) {
	kafka := newKafka(t, 2, "in")
	f := newFakePubSub(t, outTopics(1)...)
	cfg := testConfig(t, testSpec(kafka.ListenAddrs(), 1), f)
	cfg.InstanceID = "one"
	a := start(t, cfg)
	eventually(t, "the first to have partitions", func() bool { return len(a.owns()) == 2 })
	b := start(t, cfg)
	err := a.wait()
	if exit.Of(err) != exit.Failed || !strings.Contains(fmt.Sprint(err), "another process has joined group g as one") {
		t.Errorf("error %v", err)
	}
	eventually(t, "the second to have partitions", func() bool { return len(b.owns()) == 2 })
	produce(t, producer(t, kafka), numbered("in", 2, 0, 100)...)
	eventually(t, "all messages", func() bool { return f.total() == 100 })
}

// A static member that stops in order leaves the group, so that others need
// not wait for its session to time out.
func TestStaticMemberLeaves(t *testing.T) {
	kafka := newKafka(t, 2, "in")
	f := newFakePubSub(t, outTopics(1)...)
	spec := testSpec(kafka.ListenAddrs(), 1)
	cfg := testConfig(t, spec, f)
	cfg.InstanceID = "one"
	a := start(t, cfg)
	eventually(t, "partitions", func() bool { return len(a.owns()) == 2 })
	if err := a.halt(); err != nil {
		t.Fatal(err)
	}
	cfg = testConfig(t, spec, f)
	cfg.InstanceID = "two"
	began := time.Now()
	b := start(t, cfg)
	eventually(t, "partitions", func() bool { return len(b.owns()) == 2 })
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("the next member waited %s", d)
	}
}

// admin is an admin client of a cluster.
func admin(t testing.TB, c *kfake.Cluster) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// invariant B3: offsets that retention has removed before they were read stop
// their partition, with what is gone; the others go on.
func TestTruncatedPartitionStops(t *testing.T) {
	kafka := newKafka(t, 2, "in")
	f := newFakePubSub(t, outTopics(1)...)
	p := producer(t, kafka)
	produce(t, p, numbered("in", 2, 0, 200)...)
	spec := testSpec(kafka.ListenAddrs(), 1)
	a := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return cmp.Equal(committed(t, kafka), map[int32]int64{0: 100, 1: 100}) })
	if err := a.halt(); err != nil {
		t.Fatal(err)
	}
	produce(t, p, numbered("in", 2, 200, 200)...)
	var to kadm.Offsets
	to.AddOffset("in", 0, 150, -1)
	if _, err := admin(t, kafka).DeleteRecords(context.Background(), to); err != nil {
		t.Fatal(err)
	}
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the other partition", func() bool { return committed(t, kafka)[1] == 200 })
	eventually(t, "the report", func() bool { _, body := b.get("/readyz"); return strings.Contains(body, "in/0 is stopped") })
	if code, body := b.get("/readyz"); code != 503 || !strings.Contains(body, "offsets 100 to 149 (50) are gone before they were read") {
		t.Errorf("/readyz: %d %q", code, body)
	}
	if at := committed(t, kafka)[0]; at != 100 {
		t.Errorf("the stopped partition committed %d", at)
	}
	for position := range f.positions() {
		var offset int
		if _, err := fmt.Sscanf(position, "test-cluster/in/0/%d", &offset); err == nil && offset >= 100 {
			t.Fatalf("%s was published beyond the gap", position)
		}
	}
	if err := b.halt(); err != nil {
		t.Error(err)
	}
	// The operator accepts the gap.
	var accept kadm.Offsets
	accept.AddOffset("in", 0, 150, -1)
	if err := admin(t, kafka).CommitAllOffsets(context.Background(), "g", accept); err != nil {
		t.Fatal(err)
	}
	c := start(t, testConfig(t, spec, f))
	eventually(t, "the rest", func() bool { return committed(t, kafka)[0] == 200 })
	eventually(t, "readiness", c.ready)
}

// invariant B3: a topic that was created again has other events at the same
// offsets; the old topic's committed offset must not skip them in silence.
func TestRecreatedTopicStops(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	p := producer(t, kafka)
	produce(t, p, numbered("in", 1, 0, 50)...)
	spec := testSpec(kafka.ListenAddrs(), 1)
	a := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 50 })
	if err := a.halt(); err != nil {
		t.Fatal(err)
	}
	// kfake, as Kafka does, forgets a deleted topic's offsets: another group of
	// the same cluster would keep them where the deletion races with a commit.
	adm := admin(t, kafka)
	old, err := adm.FetchOffsets(context.Background(), "g")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := adm.DeleteTopics(context.Background(), "in"); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopics(context.Background(), 1, 1, nil, "in"); err != nil {
		t.Fatal(err)
	}
	produce(t, producer(t, kafka), numbered("in", 1, 1000, 100)...)
	var again kadm.Offsets
	o := old["in"][0].Offset
	again.Add(kadm.Offset{Topic: "in", Partition: 0, At: o.At, LeaderEpoch: -1, Metadata: o.Metadata})
	if err := admin(t, kafka).CommitAllOffsets(context.Background(), "g", again); err != nil {
		t.Fatal(err)
	}
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the report", func() bool {
		_, body := b.get("/readyz")
		return strings.Contains(body, "in/0 is stopped: the topic was created again")
	})
	if err := b.halt(); err != nil {
		t.Error(err)
	}
	if n := f.total(); n != 50 {
		t.Errorf("%d messages, want the 50 of the old topic", n)
	}
}

// With start: latest, the place where a partition began is kept: what is
// produced while the bridge is away is read, though nothing was ever published.
func TestStartLatestIsAnchored(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	p := producer(t, kafka)
	produce(t, p, numbered("in", 1, 0, 10)...)
	spec := testSpec(kafka.ListenAddrs(), 1)
	editSource(&spec.Spec, func(k *jobspecs.KafkaSource) { k.Start = "latest" })
	a := start(t, testConfig(t, spec, f))
	eventually(t, "the start to be committed", func() bool { return committed(t, kafka)[0] == 10 })
	if err := a.halt(); err != nil {
		t.Fatal(err)
	}
	produce(t, p, numbered("in", 1, 10, 5)...)
	start(t, testConfig(t, spec, f))
	eventually(t, "what came meanwhile", func() bool { return f.total() == 5 })
	if n := f.positions()["test-cluster/in/0/10"]; n != 1 {
		t.Errorf("positions %v", f.positions())
	}
}

// Before it reads anything, the bridge refuses what would lose or strand data.
func TestPreflight(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	for _, c := range []struct {
		name string
		edit func(*jobspecs.BridgeSpec, *fakePubSub)
		want string
	}{
		{"missing topics", func(s *jobspecs.BridgeSpec, _ *fakePubSub) { s.Split.Count = 4 }, "out-2 does not exist; out-3 does not exist"},
		{"no subscription", func(_ *jobspecs.BridgeSpec, f *fakePubSub) { f.without[topicName(testProject, "out-1")] = true }, "out-1 has neither a subscription nor retention"},
		{"no dead letters", func(s *jobspecs.BridgeSpec, _ *fakePubSub) { s.DeadLetter.Topic = "nope" }, "nope does not exist"},
		{"no source", func(s *jobspecs.BridgeSpec, _ *fakePubSub) {
			editSource(s, func(k *jobspecs.KafkaSource) { k.Topics = []string{"in", "nope"} })
		}, "Kafka topics cannot be read: nope"},
		{"no broker", func(s *jobspecs.BridgeSpec, _ *fakePubSub) {
			editSource(s, func(k *jobspecs.KafkaSource) { k.Brokers = []string{"127.0.0.1:1"} })
		}, "127.0.0.1:1 refuses the connection"},
		{"no Pub/Sub", func(_ *jobspecs.BridgeSpec, f *fakePubSub) { f.addr = "127.0.0.1:1" }, "reach Pub/Sub"},
		{"address in use", func(s *jobspecs.BridgeSpec, f *fakePubSub) { s.Listen = f.addr }, "address already in use"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakePubSub(t, outTopics(2)...)
			spec := testSpec(kafka.ListenAddrs(), 2)
			c.edit(&spec.Spec, f)
			cfg := testConfig(t, spec, f)
			cfg.Startup = time.Second
			b, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = b.Run(context.Background(), nil)
			var e *exit.Error
			if err == nil || !strings.Contains(err.Error(), c.want) || exit.Of(err) != exit.Environment || !errors.As(err, &e) || e.Hint == "" {
				t.Errorf("error %v (code %d), want %q, code 3 and a hint", err, exit.Of(err), c.want)
			}
		})
	}
	t.Run("retention will do", func(t *testing.T) {
		f := newFakePubSub(t, outTopics(1)...)
		f.without[topicName(testProject, "out-0")] = true
		retention(f, "out-0")
		b := start(t, testConfig(t, testSpec(kafka.ListenAddrs(), 1), f))
		eventually(t, "readiness", b.ready)
	})
}
