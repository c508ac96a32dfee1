package bridge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitTimeout bounds one commit: a rebalance waits for it.
const commitTimeout = 10 * time.Second

// topicIDMark begins the metadata of our commits: the id of the topic that the
// offset belongs to. A topic that was created again has the same name, so that
// an offset of the old one would silently skip records of the new one.
const topicIDMark = "kappa topic-id="

// assigned is called with the offsets of partitions that were assigned to us,
// before they are read. A partition without a committed offset gets one here,
// so that where it started is known for ever: otherwise a restart before the
// first commit would start at another place and skip what lies between.
func (r *reader) assigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	<-r.opened
	topics := slices.Sorted(maps.Keys(offsets))
	if len(topics) == 0 {
		return offsets, nil
	}
	meta, err := r.admin.Metadata(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("look up topics: %w", err)
	}
	for _, topic := range topics {
		if err := meta.Topics[topic].Err; err != nil {
			return nil, fmt.Errorf("look up topic %s: %w", topic, err)
		}
	}
	committed, err := r.admin.FetchOffsetsForTopics(ctx, r.spec.Source.Group, topics...)
	if err != nil {
		return nil, fmt.Errorf("look up committed offsets: %w", err)
	}
	anchors, err := r.anchors(ctx, offsets)
	if err != nil {
		return nil, err
	}
	if err := r.anchor(ctx, anchors); err != nil {
		return nil, err
	}
	for topic, partitions := range offsets {
		for number, offset := range partitions {
			id := partitionID{topic, number}
			start := offset.EpochOffset().Offset
			if m, ok := anchors[id]; ok {
				start = m.offset
				partitions[number] = kgo.NewOffset().At(start)
			}
			c, _ := committed.Lookup(topic, number)
			r.begin(id, start, r.refusal(id, meta.Topics[topic].ID, c))
		}
	}
	return offsets, nil
}

// anchors resolves the start of partitions without a committed offset.
func (r *reader) anchors(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[partitionID]mark, error) {
	var topics []string
	for topic, partitions := range offsets {
		for _, offset := range partitions {
			if offset.EpochOffset().Offset < 0 {
				topics = append(topics, topic)
				break
			}
		}
	}
	if len(topics) == 0 {
		return nil, nil
	}
	list := r.admin.ListStartOffsets
	if r.spec.Source.Start == "latest" {
		list = r.admin.ListCommittedOffsets
	}
	listed, err := list(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("look up where to start: %w", err)
	}
	found := make(map[partitionID]mark)
	for topic, partitions := range offsets {
		for number, offset := range partitions {
			if offset.EpochOffset().Offset >= 0 {
				continue
			}
			l, ok := listed.Lookup(topic, number)
			if !ok || l.Err != nil {
				return nil, fmt.Errorf("look up where to start %s/%d: %w", topic, number, l.Err)
			}
			found[partitionID{topic, number}] = mark{l.Offset, -1}
		}
	}
	return found, nil
}

// anchor commits marks for partitions that are not ours in the client's eyes
// yet: by a request of its own, because the client takes commits only for what
// it is reading.
func (r *reader) anchor(ctx context.Context, marks map[partitionID]mark) error {
	if len(marks) == 0 {
		return nil
	}
	r.commits.Lock()
	defer r.commits.Unlock()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = r.spec.Source.Group
	req.MemberID, req.Generation = r.client.GroupMetadata()
	if r.cfg.InstanceID != "" {
		req.InstanceID = &r.cfg.InstanceID
	}
	for id, m := range marks {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = id.partition, m.offset, m.leaderEpoch
		i := slices.IndexFunc(req.Topics, func(t kmsg.OffsetCommitRequestTopic) bool { return t.Topic == id.topic })
		if i < 0 {
			i = len(req.Topics)
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic, t.TopicID = id.topic, r.source.topics[id.topic]
			req.Topics = append(req.Topics, t)
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	if err := r.mark(req); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	resp, err := req.RequestWith(ctx, r.client)
	if err == nil {
		err = commitError(resp)
	}
	if err != nil {
		return fmt.Errorf("commit where to start: %w", err)
	}
	return nil
}

// mark notes in a commit which topics its offsets belong to.
func (r *reader) mark(req *kmsg.OffsetCommitRequest) error {
	for i := range req.Topics {
		of := topicIDMark + r.source.topics[req.Topics[i].Topic].String()
		for j := range req.Topics[i].Partitions {
			req.Topics[i].Partitions[j].Metadata = &of
		}
	}
	return nil
}

func commitError(resp *kmsg.OffsetCommitResponse) error {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("partition %d: %w", p.Partition, err)
			}
		}
	}
	return nil
}

// refusal says why a partition cannot be read, "" if it can.
func (r *reader) refusal(id partitionID, now kadm.TopicID, committed kadm.OffsetResponse) string {
	if of, ok := strings.CutPrefix(committed.Metadata, topicIDMark); ok && of != now.String() {
		return fmt.Sprintf("the topic was created again (its id was %s, now it is %s): everything from offset %d on of the old topic is gone, and the offset says nothing about the new one", of, now, committed.At)
	}
	if was := r.source.topics[id.topic]; was != now {
		return fmt.Sprintf("the topic was created again while the bridge ran (its id was %s, now it is %s)", was, now)
	}
	if r.spec.IDs.From == "position" {
		if err := checkIDPartition(id.partition); err != nil {
			return err.Error()
		}
	}
	return ""
}

// begin begins an assignment; with a refusal it is stopped from the start.
func (r *reader) begin(id partitionID, start int64, refusal string) {
	p := &partition{
		assignment: r.ledger.assign(id, start),
		origin: origin{
			prefix:    fmt.Sprintf("%s/%s/%d/", r.source.id, id.topic, id.partition),
			hash:      topicHash(r.source.id, r.source.topics[id.topic]),
			partition: id.partition,
		},
	}
	p.stopped.Store(refusal != "")
	r.client.ResumeFetchPartitions(map[string][]int32{id.topic: {id.partition}}) // it may have been stopped when we had it before
	r.mu.Lock()
	r.parts[id] = p
	r.mu.Unlock()
	if refusal != "" {
		r.stop(p, refusal) // invariant B3
	}
}

// revoked is called when partitions are given away in order: what is in flight
// gets a bounded time to be acknowledged, so that the next owner has little to
// repeat.
func (r *reader) revoked(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	gone := r.owned(lost)
	if len(gone) == 0 {
		return
	}
	r.mu.Lock()
	stopping := r.stopping
	r.mu.Unlock()
	if !stopping {
		r.publisher.setFlush(true)
		r.await(r.hard, r.spec.Limits.Drain.D(), func() bool {
			n := 0
			for _, p := range gone {
				n += p.outstanding()
			}
			return n == 0
		})
		r.publisher.setFlush(false)
	}
	r.commits.Lock()
	defer r.commits.Unlock()
	if err := r.commitLocked(); err != nil {
		r.cfg.Log.Warn("the commit before giving partitions away failed; their next owner repeats what was not committed", "error", err)
	}
	r.end(gone)
}

// lost is called when partitions were taken away: somebody else may own them
// already.
func (r *reader) lost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	r.commits.Lock()
	defer r.commits.Unlock()
	r.end(r.owned(lost))
}

// end ends assignments (invariant B5). r.commits is held.
func (r *reader) end(gone []*partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range gone {
		r.ledger.revoke(p.id)
		delete(r.parts, p.id)
		r.stats.lag.DeleteLabelValues(p.id.topic, fmt.Sprint(p.id.partition))
		r.health.solved(fetchPart(p.id))
		if p.stopped.Load() {
			r.health.solved(stopPart(p.id))
			r.stats.stopped.Dec()
		}
	}
}

func (r *reader) owned(lost map[string][]int32) []*partition {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*partition
	for topic, numbers := range lost {
		for _, n := range numbers {
			if p := r.parts[partitionID{topic, n}]; p != nil {
				found = append(found, p)
			}
		}
	}
	return found
}

// commit commits what the ledger allows.
func (r *reader) commit() error {
	r.commits.Lock()
	defer r.commits.Unlock()
	return r.commitLocked()
}

func (r *reader) commitLocked() error {
	marks := r.ledger.committable()
	if len(marks) == 0 {
		return nil
	}
	err := r.send(context.Background(), marks)
	if err != nil {
		r.stats.commits.WithLabelValues("failed").Inc()
		return err
	}
	r.stats.commits.WithLabelValues("ok").Inc()
	r.ledger.committedTo(marks)
	return nil
}

// send commits marks as a member of the group. r.commits is held.
func (r *reader) send(ctx context.Context, marks map[partitionID]mark) error {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	for id, m := range marks {
		if offsets[id.topic] == nil {
			offsets[id.topic] = make(map[int32]kgo.EpochOffset)
		}
		offsets[id.topic][id.partition] = kgo.EpochOffset{Epoch: m.leaderEpoch, Offset: m.offset}
	}
	var failed error
	r.client.CommitOffsetsSync(kgo.PreCommitFnContext(ctx, r.mark), offsets,
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			if failed = err; err == nil {
				failed = commitError(resp)
			}
		})
	return failed
}
