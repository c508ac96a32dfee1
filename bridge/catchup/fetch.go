package catchup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// framing is what a record takes in a batch beside its key, value and headers,
// about: lengths, and how its offset and time differ from the batch's.
const framing = 10

// recordBytes is what a plan counts for a record.
func recordBytes(r *kgo.Record) int {
	n := framing + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// leaders knows which broker to ask for a partition.
type leaders struct {
	cluster *cluster
	mu      sync.Mutex
	known   map[string]map[int32]int32
}

// find returns the leader of a partition; again asks the cluster once more.
func (l *leaders) find(ctx context.Context, topic string, partition int32, again bool) (int32, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if leader, ok := l.known[topic][partition]; ok && !again {
		return leader, nil
	}
	meta, err := l.cluster.metadata(ctx)
	if err != nil {
		return 0, err
	}
	l.known = make(map[string]map[int32]int32)
	for name, t := range meta.Topics {
		l.known[name] = make(map[int32]int32)
		for id, p := range t.Partitions {
			l.known[name][id] = p.Leader
		}
	}
	leader, ok := l.known[topic][partition]
	if !ok {
		return 0, kerr.UnknownTopicOrPartition
	}
	if leader < 0 {
		return 0, kerr.LeaderNotAvailable
	}
	return leader, nil
}

// fetchRequest asks for one stretch of a partition.
type fetchRequest struct {
	topic         string
	topicID       [16]byte
	partition     int32
	offset        int64
	lastEpoch     int32 // leader epoch of the last record that was fetched; -1: none
	maxBytes      int32
	maxWait       time.Duration
	readCommitted bool
}

// fetch sends one fetch request to a broker, outside of any fetch session. The
// answer's own error is part of it.
func fetch(ctx context.Context, client *kgo.Client, leader int32, r fetchRequest) (*kmsg.FetchResponseTopicPartition, error) {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID = -1
	req.MaxWaitMillis = int32(r.maxWait.Milliseconds())
	req.MinBytes = 1
	req.MaxBytes = r.maxBytes
	if r.readCommitted {
		req.IsolationLevel = 1
	}
	req.SessionEpoch = -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition = r.partition
	p.FetchOffset = r.offset
	p.LastFetchedEpoch = r.lastEpoch
	p.PartitionMaxBytes = r.maxBytes
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = r.topic, r.topicID
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := client.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	answer := resp.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return nil, err
	}
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("broker %d answered a fetch of one partition with %d topics", leader, len(answer.Topics))
	}
	return &answer.Topics[0].Partitions[0], nil
}

// moved reports whether an error goes away by asking another broker, or the
// same a little later.
func moved(err error) bool {
	for _, e := range []error{
		kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.ReplicaNotAvailable, kerr.UnknownLeaderEpoch, kerr.FencedLeaderEpoch,
		kerr.OffsetNotAvailable, kerr.KafkaStorageError, kerr.BrokerNotAvailable, kerr.PreferredLeaderNotAvailable,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// sampleBytes is how much a sample reads, about.
const sampleBytes = 256 << 10

// pieceBytes is about how much of it is one piece.
const pieceBytes = sampleBytes / 16

// reading is a way to read samples of several clusters.
type reading struct {
	clusters map[string]*leaders
	patience time.Duration // for one sample
}

// sample reads what stands at an offset, about sampleBytes, or up to the end of
// the range.
func (r *reading) sample(ctx context.Context, p *Partition, offset int64) ([]Sample, error) {
	l := r.clusters[p.Source]
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	id, err := parseTopicID(p.TopicID)
	if err != nil {
		return nil, err
	}
	for again := false; ; again = true {
		s, err := l.sample(ctx, p, id, offset, again)
		if err == nil || ctx.Err() == nil && !moved(err) {
			return s, l.cluster.wrap(fmt.Sprintf("read a sample of %s at offset %d", p, offset), err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return s, l.cluster.wrap(fmt.Sprintf("read a sample of %s at offset %d", p, offset), errors.Join(err, ctx.Err()))
		}
	}
}

func (l *leaders) sample(ctx context.Context, p *Partition, id [16]byte, offset int64, again bool) ([]Sample, error) {
	leader, err := l.find(ctx, p.Topic, p.Partition, again)
	if err != nil {
		return nil, err
	}
	answer, err := fetch(ctx, l.cluster.client, leader, fetchRequest{
		topic: p.Topic, topicID: id, partition: p.Partition, offset: offset, lastEpoch: -1,
		maxBytes: sampleBytes, maxWait: 100 * time.Millisecond, readCommitted: l.cluster.readCommitted(),
	})
	if err != nil {
		return nil, err
	}
	var stored, plain float64
	// The first batch comes as a whole and counts as a whole: of a large one, what
	// is behind the offset may be a few records, which say little.
	part, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: p.From, IsolationLevel: isolation(l.cluster.readCommitted()), Topic: p.Topic, Partition: p.Partition,
	}, answer, kgo.DefaultDecompressor(), func(m kgo.FetchBatchMetrics) {
		stored += float64(m.CompressedBytes) + batchHead
		plain += float64(m.UncompressedBytes)
	})
	if part.Err != nil && next <= offset {
		return nil, part.Err
	}
	if next <= offset {
		return nil, kerr.OffsetNotAvailable // nothing came: the leader is behind, for the moment
	}
	ratio := 1.0
	if plain > 0 {
		ratio = stored / plain
	}
	var pieces []Sample
	if len(part.Records) > 0 {
		offset = min(offset, part.Records[0].Offset)
	}
	s := Sample{Offset: offset, Next: offset}
	for _, r := range part.Records {
		if r.Offset >= p.To {
			break
		}
		if s.Bytes >= pieceBytes {
			pieces = append(pieces, s)
			s = Sample{Offset: s.Next, Next: s.Next}
		}
		s.Next = r.Offset + 1
		s.Bytes += float64(recordBytes(r))
		s.Stored = s.Bytes * ratio
	}
	s.Next = max(s.Next, min(next, p.To)) // offsets without records: compacted away, or of transactions
	if s.Next > s.Offset {
		pieces = append(pieces, s)
	}
	return pieces, nil
}

// batchHead is the size of a record batch's header.
const batchHead = 61

func isolation(readCommitted bool) kgo.IsolationLevel {
	if readCommitted {
		return kgo.ReadCommitted()
	}
	return kgo.ReadUncommitted()
}
