package inspect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/kafka"
)

// sampleQuiet ends a round of samples: compaction and transactions can leave
// nothing where records were looked for.
const sampleQuiet = 2 * time.Second

// piece is where samples of a partition are taken: up to n records from from
// on, before to.
type piece struct {
	from, to int64
	n        int
}

// pieces are the places of a log [start, end) where up to n records are
// sampled: its start, its middle and its end. They do not overlap.
func pieces(start, end int64, n int) []piece {
	if end <= start || n <= 0 {
		return nil
	}
	if end-start <= int64(n) {
		return []piece{{start, end, n}}
	}
	tail := int64(max(1, n/3))
	middle := max(0, int64((n-int(tail))/2))
	head := int64(n) - tail - middle
	mid := max(start+head, min(start+(end-start)/2, end-tail-middle))
	list := []piece{{start, start + head, int(head)}}
	if middle > 0 {
		list = append(list, piece{mid, mid + middle, int(middle)})
	}
	return append(list, piece{end - tail, end, int(tail)})
}

// sample takes records of a source. Rounds are by place, so that each partition
// has one position at a time.
func (n *inspection) sample(ctx context.Context, s *source) {
	ids := map[string][16]byte{}
	var rounds []map[string]map[int32]piece
	for _, t := range s.topics {
		ids[t.Topic] = t.ID
		for _, p := range t.Partitions {
			start, _ := s.start.Lookup(t.Topic, p.Partition)
			end, _ := s.end.Lookup(t.Topic, p.Partition)
			for i, pc := range pieces(start.Offset, end.Offset, n.Samples) {
				if len(rounds) <= i {
					rounds = append(rounds, map[string]map[int32]piece{})
				}
				if rounds[i][t.Topic] == nil {
					rounds[i][t.Topic] = map[int32]piece{}
				}
				rounds[i][t.Topic][p.Partition] = pc
			}
		}
	}
	subject := "Kafka " + s.name + " samples"
	for _, round := range rounds {
		if err := n.round(ctx, s, ids, round); err != nil {
			n.failed(subject, err)
			return
		}
	}
	if len(rounds) > 0 {
		n.ok(subject, "records can be read, and put through the transform")
	}
}

func (n *inspection) round(ctx context.Context, s *source, ids map[string][16]byte, round map[string]map[int32]piece) error {
	at := map[string]map[int32]kgo.Offset{}
	left := 0
	for topic, ps := range round {
		at[topic] = map[int32]kgo.Offset{}
		for p, pc := range ps {
			at[topic][p] = kgo.NewOffset().At(pc.from)
			left++
		}
	}
	isolation := kgo.ReadCommitted()
	if s.spec.Isolation == "readUncommitted" {
		isolation = kgo.ReadUncommitted()
	}
	opts, err := kafka.Options(ctx, s.spec.KafkaCluster)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts, kgo.ClientID("kappa-bridge-check"), kgo.ConsumePartitions(at), kgo.FetchIsolationLevel(isolation),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxPartitionBytes(1<<20), kgo.MaxConcurrentFetches(2))...)
	if err != nil {
		return err
	}
	defer client.Close()
	for left > 0 {
		wait, cancel := context.WithTimeout(ctx, sampleQuiet)
		fetches := client.PollFetches(wait)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(fetches.Err(), context.DeadlineExceeded) {
			return nil // nothing more is there
		}
		var failed error
		fetches.EachError(func(topic string, partition int32, err error) {
			failed = errors.Join(failed, fmt.Errorf("read %s/%d: %w", topic, partition, kafka.Explain(err, s.spec.KafkaCluster)))
		})
		if failed != nil {
			return failed
		}
		fetches.EachRecord(func(r *kgo.Record) {
			pc, ok := round[r.Topic][r.Partition]
			if !ok || failed != nil {
				return
			}
			if r.Offset < pc.to {
				failed = n.try(ctx, s, ids[r.Topic], r)
				pc.n--
			}
			round[r.Topic][r.Partition] = pc
			if pc.n == 0 || r.Offset >= pc.to-1 {
				delete(round[r.Topic], r.Partition)
				client.PauseFetchPartitions(map[string][]int32{r.Topic: {r.Partition}})
				left--
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// try puts one record through the transform.
func (n *inspection) try(ctx context.Context, s *source, topicID [16]byte, r *kgo.Record) error {
	wait, cancel := context.WithTimeout(ctx, n.Wait)
	defer cancel()
	position := envelope.Position{Cluster: s.cluster, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}.String()
	x, err := n.Trier.Try(wait, s.cluster, topicID, r)
	if err != nil {
		return fmt.Errorf("record %s: %w", position, err)
	}
	n.tally.add(s.name, r, position, &x)
	n.Progress(n.tally.s.Records)
	return nil
}
