package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// pollWait is how long a poll may bring nothing before the brokers are asked
// whether there is anything left.
const pollWait = time.Second

// reader reads the spans of one cluster to their ends.
type reader struct {
	c      *Cluster
	client *kgo.Client
	admin  *kadm.Client
	left   map[string]map[int32]*reading // not at their ends
	n      int                           // of left
	each   func(*reading, *kgo.Record) error
	step   func(offsets int64)
}

// reading is a span that is read.
type reading struct {
	Span
	*ledger
}

func (r *reading) done() bool { return r.next >= r.to }

// read hands every record of the spans to each, in the order of each
// partition's offsets; step is told how many offsets were passed.
func read(ctx context.Context, c *Cluster, spans []*reading, each func(*reading, *kgo.Record) error, step func(int64)) error {
	r := &reader{c: c, admin: kadm.NewClient(c.Client), left: map[string]map[int32]*reading{}, each: each, step: step}
	at := map[string]map[int32]kgo.Offset{}
	for _, s := range spans {
		if s.Start > s.next { // gone: a gap of the log
			step(min(s.Start, s.to) - s.next)
			s.next = s.Start
		}
		if s.done() {
			continue
		}
		if at[s.Topic] == nil {
			at[s.Topic], r.left[s.Topic] = map[int32]kgo.Offset{}, map[int32]*reading{}
		}
		at[s.Topic][s.Partition] = kgo.NewOffset().At(s.next)
		r.left[s.Topic][s.Partition] = s
		r.n++
	}
	if r.n == 0 {
		return nil
	}
	isolation := kgo.ReadCommitted()
	if c.Uncommitted {
		isolation = kgo.ReadUncommitted()
	}
	var err error
	r.client, err = c.Reader(
		kgo.ConsumePartitions(at), kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.MaxConcurrentFetches(2))
	if err != nil {
		return err
	}
	defer r.client.Close()
	for r.n > 0 {
		if err := r.poll(ctx); err != nil {
			return fmt.Errorf("source %s: %w", c.Name, err)
		}
	}
	return nil
}

func (r *reader) poll(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, pollWait)
	defer cancel()
	fetches := r.client.PollRecords(wait, 10_000)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		if s := r.left[topic][partition]; failed == nil && !errors.Is(err, context.DeadlineExceeded) {
			failed = r.mend(ctx, s, topic, err)
		}
	})
	if failed != nil {
		return failed
	}
	any := false
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		s := r.left[p.Topic][p.Partition]
		if s == nil || failed != nil {
			return
		}
		any = any || len(p.Records) > 0
		failed = r.take(s, p.Records)
	})
	if failed != nil || any {
		return failed
	}
	return r.probeAll(ctx)
}

// take enters the records of one fetch.
func (r *reader) take(s *reading, records []*kgo.Record) error {
	before := s.next
	for _, rec := range records {
		if rec.Offset >= s.to {
			s.next = s.to
			break
		}
		if rec.Offset < s.next {
			continue
		}
		if rec.Attrs.IsControl() {
			s.next = rec.Offset + 1
			continue
		}
		if err := r.each(s, rec); err != nil {
			return err
		}
	}
	r.step(s.next - before)
	r.finish(s)
	return nil
}

// finish stops reading a span that is at its end.
func (r *reader) finish(s *reading) {
	if !s.done() {
		return
	}
	r.client.RemoveConsumePartitions(map[string][]int32{s.Topic: {s.Partition}})
	delete(r.left[s.Topic], s.Partition)
	r.n--
}

// mend goes on after an error of a partition, or says why that cannot be.
func (r *reader) mend(ctx context.Context, s *reading, topic string, err error) error {
	if s == nil {
		if errors.Is(err, kgo.ErrClientClosed) || topic == "" {
			return exit.Environmentf("read: %w", err)
		}
		return nil // of a partition that is done
	}
	if !errors.Is(err, kerr.OffsetOutOfRange) {
		return exit.Environmentf("read %s: %w", s.key, err)
	}
	// Retention went past the position while it was read.
	starts, lerr := r.admin.ListStartOffsets(ctx, s.Topic)
	o, ok := starts.Lookup(s.Topic, s.Partition)
	if lerr = errors.Join(lerr, o.Err); lerr != nil || !ok || o.Offset <= s.next {
		return exit.Environmentf("read %s from offset %d: %w", s.key, s.next, errors.Join(err, lerr))
	}
	r.step(min(o.Offset, s.to) - s.next)
	s.next = o.Offset
	r.client.RemoveConsumePartitions(map[string][]int32{s.Topic: {s.Partition}})
	if r.finish(s); !s.done() {
		r.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{s.Topic: {s.Partition: kgo.NewOffset().At(s.next)}})
	}
	return nil
}

// probeAll ends the spans of which nothing is left: a log may end in offsets
// that no record ever comes from, because compaction took them.
func (r *reader) probeAll(ctx context.Context) error {
	var open []*reading
	for _, ps := range r.left {
		for _, s := range ps {
			open = append(open, s)
		}
	}
	for _, s := range open {
		next, err := r.probe(ctx, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			continue // brokers move and restart: the client goes on trying
		}
		if next > s.next {
			r.step(min(next, s.to) - s.next)
			s.next = next
			r.finish(s)
		}
	}
	return nil
}

// probe asks the leader of a partition what stands at the next offset. It
// returns the offset after all batches without records there: the end of the
// span if there is nothing at all.
func (r *reader) probe(ctx context.Context, s *reading) (int64, error) {
	meta, err := r.admin.Metadata(ctx, s.Topic)
	if err != nil {
		return 0, err
	}
	p, ok := meta.Topics[s.Topic].Partitions[s.Partition]
	if !ok || p.Err != nil {
		return 0, errors.Join(errors.New("no such partition"), p.Err)
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 100, 1, 1<<20
	if !r.c.Uncommitted {
		req.IsolationLevel = 1
	}
	req.SessionEpoch = -1
	t, fp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	t.Topic, t.TopicID = s.Topic, s.TopicID
	fp.Partition, fp.FetchOffset, fp.PartitionMaxBytes = s.Partition, s.next, 1<<20
	t.Partitions = append(t.Partitions, fp)
	req.Topics = append(req.Topics, t)
	answer, err := r.c.Client.Broker(int(p.Leader)).Request(ctx, req)
	if err != nil {
		return 0, err
	}
	resp, ok := answer.(*kmsg.FetchResponse)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, errors.Join(errors.New("unexpected answer to a fetch"))
	}
	got := &resp.Topics[0].Partitions[0]
	if err := errors.Join(kerr.ErrorForCode(resp.ErrorCode), kerr.ErrorForCode(got.ErrorCode)); err != nil {
		return 0, err
	}
	stable := got.HighWatermark
	if !r.c.Uncommitted {
		stable = got.LastStableOffset
	}
	return afterEmpty(s.next, s.to, stable, got.RecordBatches), nil
}

// afterEmpty steps over batches without records, and to the end where there
// is no batch before it: stable is how far the log can be read.
func afterEmpty(next, to, stable int64, batches []byte) int64 {
	const head = 61 // bytes of a batch before its records (format 2)
	for len(batches) > 0 {
		if len(batches) < head || batches[16] != 2 {
			return next
		}
		base, size := int64(binary.BigEndian.Uint64(batches)), int(binary.BigEndian.Uint32(batches[8:]))
		last, records := base+int64(binary.BigEndian.Uint32(batches[23:])), binary.BigEndian.Uint32(batches[57:])
		switch {
		case base >= to:
			return to
		case records > 0:
			return next
		}
		next = max(next, last+1)
		if size < head-12 || len(batches) < 12+size {
			return next // the rest of it was cut off
		}
		batches = batches[12+size:]
	}
	if next < to && stable >= to {
		return to
	}
	return next
}
