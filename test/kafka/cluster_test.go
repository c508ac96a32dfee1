//go:build kafka

package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
)

// pump writes records to all partitions until it is stopped, and returns what
// the cluster has confirmed.
func pump(r *rig, partitions int32) (stop func() map[string]bool) {
	r.Helper()
	client := r.producer()
	ctx, cancel := context.WithCancel(r.ctx)
	written := make(map[string]bool)
	var mu sync.Mutex
	var pumping sync.WaitGroup
	pumping.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			rec := &kgo.Record{Partition: int32(i) % partitions, Value: fmt.Appendf(nil, "r%d", i)}
			client.Produce(context.WithoutCancel(ctx), rec, func(rec *kgo.Record, err error) {
				if err != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				written[string(rec.Value)] = true
			})
			if i%20 == 19 {
				select {
				case <-time.After(5 * time.Millisecond): // the rate
				case <-ctx.Done():
				}
			}
		}
	})
	return func() map[string]bool {
		r.Helper()
		cancel()
		pumping.Wait()
		if err := client.Flush(r.ctx); err != nil {
			r.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		return written
	}
}

// arrived checks that all that was written arrived, and that everything has one
// id; it returns how many came more than once.
func (r *rig) arrived(written map[string]bool) (twice int) {
	r.Helper()
	ids := make(map[string]string) // by position
	of := make(map[string]string)  // position by id
	left := maps.Clone(written)
	for _, m := range r.take(r.name + "-0") {
		at, id := m.position.String(), m.attributes[envelope.AttrID]
		delete(left, m.data)
		if ids[at] != "" {
			twice++
		}
		if was := ids[at]; was != "" && was != id || of[id] != "" && of[id] != at {
			r.Errorf("%s has ids %s and %s; id %s is of %s too", at, was, id, id, of[id])
		}
		ids[at], of[id] = id, at
	}
	if len(left) > 0 {
		r.Errorf("%d of %d records did not arrive, such as %v", len(left), len(written), slices.Sorted(maps.Keys(left))[:min(5, len(left))])
	}
	if len(written) == 0 {
		r.Error("nothing was written")
	}
	return twice
}

// TestLeaderMoves: the leaders of all partitions move, by a reassignment and by
// an election, while records flow; nothing is lost, and nothing comes twice.
func TestLeaderMoves(t *testing.T) {
	t.Parallel()
	const partitions = 4
	r := newRig(t, partitions)
	r.run()
	stop := pump(r, partitions)
	for round := range 3 {
		moved := make(kadm.AlterPartitionAssignmentsReq)
		var sets kadm.TopicsSet
		for p := range int32(partitions) {
			order := []int32{1, 2, 3}
			n := (round + int(p)) % 3
			moved.Assign(r.name, p, append(slices.Clone(order[n:]), order[:n]...))
			sets.Add(r.name, p)
		}
		if _, err := admin.AlterPartitionAssignments(r.ctx, moved); err != nil {
			t.Fatal(err)
		}
		r.until("the leaders move", func() string {
			if _, err := admin.ElectLeaders(r.ctx, kadm.ElectPreferredReplica, sets); err != nil {
				return err.Error()
			}
			meta, err := admin.Metadata(kadm.WithAuthorizedOps(r.ctx), r.name)
			if err != nil {
				return err.Error()
			}
			for p := range int32(partitions) {
				if got, want := meta.Topics[r.name].Partitions[p].Leader, int32((round+int(p))%3)+1; got != want {
					return fmt.Sprintf("partition %d is led by %d, want %d", p, got, want)
				}
			}
			return ""
		})
	}
	written := stop()
	r.allCommitted(r.name)
	if twice := r.arrived(written); twice > 0 {
		t.Errorf("%d messages came twice, though nothing failed at the destination", twice)
	}
}

// TestBrokersRestart: every broker is killed and comes back, one after the
// other, while records flow; nothing is lost.
func TestBrokersRestart(t *testing.T) {
	const partitions = 4
	r := newRig(t, partitions)
	b := r.run()
	stop := pump(r, partitions)
	for n := 1; n <= cluster.Size(); n++ {
		cluster.Kill(n)
		if err := cluster.Restart(r.ctx, n); err != nil {
			t.Fatal(err)
		}
		r.until("all copies are in sync", func() string {
			meta, err := admin.Metadata(kadm.WithAuthorizedOps(r.ctx))
			if err != nil {
				return err.Error()
			}
			for _, topic := range meta.Topics {
				for _, p := range topic.Partitions {
					if len(p.ISR) < len(p.Replicas) {
						return fmt.Sprintf("%s/%d has only %v of %v", topic.Topic, p.Partition, p.ISR, p.Replicas)
					}
				}
			}
			return ""
		})
	}
	written := stop()
	r.allCommitted(r.name)
	r.until("the bridge is ready", b.ready)
	t.Logf("%d records, %d came twice", len(written), r.arrived(written))
}

// TestStaticMembership: a bridge that is killed gets its partitions back at
// once when it is started again, long before its session ends.
func TestStaticMembership(t *testing.T) {
	t.Parallel()
	const partitions = 4
	r := newRig(t, partitions)
	written := make(map[string]bool)
	plain := r.producer()
	write := func(prefix string) {
		for i := range 40 {
			rec := &kgo.Record{Partition: int32(i % partitions), Value: fmt.Appendf(nil, "%s%d", prefix, i)}
			r.produce(plain, rec)
			written[string(rec.Value)] = true
		}
	}
	generation := func() (members []string) {
		described, err := admin.DescribeGroups(r.ctx, r.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range described[r.name].Members {
			members = append(members, *m.InstanceID)
		}
		return members
	}
	b := r.run("--instance-id", "one")
	write("a")
	r.allCommitted(r.name)
	for range 2 {
		b.process.Kill()
		begin := time.Now()
		b = r.run("--instance-id", "one")
		write(begin.Format(time.RFC3339Nano))
		r.allCommitted(r.name)
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("it took %s until the partitions were read again; the session lasts 45 s", took)
		}
		if diff := cmp.Diff([]string{"one"}, generation()); diff != "" {
			t.Errorf("members of the group: %s", diff)
		}
	}
	r.arrived(written)

	// Two of one id: the second takes over, the first ends and says why.
	other := r.run("--instance-id", "one")
	select {
	case <-b.process.Done():
	case <-time.After(patience):
		t.Fatal("two bridges of one instance id run")
	}
	if b.process.ExitCode() == 0 {
		t.Errorf("the first ended with 0 and said:\n%s", b.words())
	}
	r.until("the second is ready", other.ready)
}
