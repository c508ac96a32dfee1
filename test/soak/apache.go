package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/kappa-migrate/kappa/internal/apachekafka"
)

// apache is a real Apache Kafka cluster.
type apache struct {
	*apachekafka.Cluster
	admin *admin
}

func newApache(ctx context.Context, brokers int) (*apache, error) {
	c, err := apachekafka.Start(ctx, apachekafka.Config{Brokers: brokers, JVM: []string{"-Xmx512m", "-XX:+UseSerialGC"}, Properties: map[string]string{
		"min.insync.replicas": "2", // what was acknowledged survives the broker
		// The bridges take the processors that they get: brokers must not fall out
		// of their own cluster for that.
		"broker.heartbeat.interval.ms":          "1000",
		"broker.session.timeout.ms":             "6000",
		"controller.quorum.fetch.timeout.ms":    "6000",
		"controller.quorum.election.timeout.ms": "3000",
		"controller.quorum.request.timeout.ms":  "5000",
	}})
	if err != nil {
		return nil, fmt.Errorf("start Apache Kafka: %w", err)
	}
	a := &apache{Cluster: c}
	if a.admin, err = newAdmin(a.addrs()); err != nil {
		c.Close()
		return nil, err
	}
	return a, nil
}

func (a *apache) addrs() []string { return a.Addrs(apachekafka.Plaintext) }
func (a *apache) brokers() int    { return a.Size() }

func (a *apache) close() {
	a.admin.Close()
	a.Close()
}

// restart restarts a broker: in order where it is down for a short time only,
// with SIGKILL otherwise.
func (a *apache) restart(ctx context.Context, broker int, down time.Duration) error {
	if broker++; down < 2*time.Second {
		a.Stop(broker)
	} else {
		a.Kill(broker)
	}
	wait(ctx, down)
	return a.Restart(ctx, broker)
}

// moveLeaders makes other replicas the preferred leaders, and elects them.
func (a *apache) moveLeaders(ctx context.Context, topic string, _ int, dice *rand.Rand) error {
	return again(ctx, "move the leaders of "+topic, func(ctx context.Context) error {
		topics, err := a.admin.ListTopicsWithInternal(ctx, topic)
		if err != nil {
			return err
		}
		var assign kadm.AlterPartitionAssignmentsReq
		set := make(kadm.TopicsSet)
		for _, p := range topics[topic].Partitions {
			turn := 1 + dice.IntN(max(len(p.Replicas)-1, 1))
			assign.Assign(topic, p.Partition, append(append([]int32(nil), p.Replicas[turn%len(p.Replicas):]...), p.Replicas[:turn%len(p.Replicas)]...))
			set.Add(topic, p.Partition)
		}
		resp, err := a.admin.AlterPartitionAssignments(ctx, assign)
		if err == nil {
			err = resp.Error()
		}
		if err != nil {
			return err
		}
		_, err = a.admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, set) // those that cannot be elected stay where they are
		return err
	})
}

// confuse moves the coordinators of groups and transactions, there and back.
func (a *apache) confuse(ctx context.Context, d time.Duration) error {
	dice := rand.New(rand.NewPCG(uint64(d), 5))
	for _, topic := range []string{"__consumer_offsets", "__transaction_state", "__consumer_offsets"} {
		if err := a.moveLeaders(ctx, topic, 0, dice); err != nil {
			return err
		}
		wait(ctx, d/3)
	}
	return nil
}

// compact lets the cleaner at the records that it may not touch otherwise. What
// it does not reach in time it reaches the next time.
func (a *apache) compact(ctx context.Context) error {
	if err := a.admin.configure(ctx, topicKeyed, compactionLag, "0"); err != nil {
		return err
	}
	wait(ctx, 3*time.Second)
	if err := a.admin.configure(ctx, topicKeyed, compactionLag, forever); err != nil {
		return err
	}
	wait(ctx, time.Second) // one that runs still ends
	return nil
}

// expire waits until the retention that the topic now has was applied.
func (a *apache) expire(ctx context.Context, topic string) error {
	topics := map[string]int{topic: cutTopics[topic]}
	ends, err := a.admin.ends(ctx, topics)
	for deadline := time.Now().Add(20 * time.Second); err == nil && time.Now().Before(deadline); wait(ctx, 200*time.Millisecond) {
		var starts map[tp]int64
		if starts, err = a.admin.starts(ctx, topics); err != nil {
			return err
		}
		done := true
		for p, end := range ends {
			done = done && starts[p] >= end
		}
		if done {
			return nil
		}
	}
	return err
}
