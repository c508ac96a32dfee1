package bridge

import (
	"cmp"
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

	"github.com/kappa-migrate/kappa/internal/kafka"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// commitTimeout bounds one commit: a rebalance waits for it.
const commitTimeout = 10 * time.Second

// topicIDMark begins the metadata of our commits: the id of the topic that the
// offset belongs to. A topic that was created again has the same name, so that
// an offset of the old one would silently skip records of the new one.
const topicIDMark = "kappa topic-id="

// assigned is called with the offsets of partitions that were assigned to us,
// before they are read. A look-up that fails is tried again, for as long as the
// group waits: to fail here would cost the member all of its partitions.
func (r *reader) assigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	<-r.opened
	if len(offsets) == 0 {
		return offsets, nil
	}
	ctx, cancel := context.WithTimeout(ctx, assignTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := r.assign(ctx, offsets)
		if err == nil {
			r.health.solved(groupPart(r.source))
			return offsets, nil
		}
		if r.health.problem(groupPart(r.source), "partitions that were assigned cannot be read yet: "+err.Error()) {
			r.cfg.Log.Warn("partitions were assigned, but where to begin cannot be looked up; retrying", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(r.cfg.Backoff.wait(transient, attempt)):
		}
	}
}

// assignTimeout bounds how long an assignment may take: the group waits.
const assignTimeout = 45 * time.Second

// assign begins partitions. One without a committed offset gets one here, so
// that where it started is known for ever: otherwise a restart before the first
// commit would start at another place and skip what lies between.
func (r *reader) assign(ctx context.Context, offsets map[string]map[int32]kgo.Offset) error {
	topics := slices.Sorted(maps.Keys(offsets))
	meta, err := r.admin.Metadata(kadm.WithAuthorizedOps(ctx), topics...) // with that option it is never answered from memory
	if err != nil {
		return fmt.Errorf("look up topics: %w", err)
	}
	for _, topic := range topics {
		if err := meta.Topics[topic].Err; err != nil {
			return fmt.Errorf("look up topic %s: %w", topic, err)
		}
	}
	committed, err := r.admin.FetchOffsetsForTopics(ctx, r.source.spec.Group, topics...)
	if err != nil {
		return fmt.Errorf("look up committed offsets: %w", err)
	}
	marks := r.topicMarks(ctx)
	accepted, err := acceptances(ctx, r.admin, r.source.spec.Group, topics...)
	if err != nil {
		return err
	}
	anchors, refused, err := r.anchors(ctx, offsets)
	if err != nil {
		return err
	}
	passed := make(map[partitionID]*gap)
	for topic, partitions := range offsets {
		now := meta.Topics[topic].ID
		r.topics.first(topic, now)
		for number := range partitions {
			id := partitionID{topic, number}
			c, _ := committed.Lookup(topic, number)
			refusal := r.refusal(id, now, c)
			if was, ok := marks[topic]; refusal == nil && ok && was != now && c.Metadata == "" {
				refusal = &gap{Kind: GapRecreated, Due: -1, From: -1, To: -1, What: fmt.Sprintf("the topic was created again while no bridge ran (its id was %s, now it is %s): whatever of the old topic had not been read is gone", was, now)}
			}
			if refusal != nil && accepted[id] != nil && accepted[id].fits(*refusal, now) {
				passed[id], anchors[id] = refusal, mark{accepted[id].To, -1}
				r.topics.renew(id, now)
			} else if refusal != nil {
				refused[id] = refusal
			}
		}
	}
	for id := range refused {
		delete(anchors, id)
	}
	r.markTopics(ctx, marks, meta.Topics, committed) // before there are offsets that a mark must go with
	if err := r.anchor(ctx, anchors); err != nil {
		return err
	}
	for id, g := range passed {
		r.passedOver(ctx, id, *g, accepted[id])
	}
	var begun []partitionID
	for topic, partitions := range offsets {
		for number, offset := range partitions {
			id := partitionID{topic, number}
			start := offset.EpochOffset().Offset
			if m, ok := anchors[id]; ok {
				start = m.offset
				partitions[number] = kgo.NewOffset().At(start)
			}
			r.begin(id, start, refused[id])
			begun = append(begun, id)
		}
	}
	r.cfg.Log.Info("partitions assigned", "source", r.name, "partitions", names(begun))
	return nil
}

// anchors resolves the start of partitions without a committed offset. Those
// whose start the spec gives outside of the log are refused.
func (r *reader) anchors(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[partitionID]mark, map[partitionID]*gap, error) {
	known, later := make(map[string][]int32), make(map[string][]int32)
	for topic, partitions := range offsets {
		wanted := known
		if r.topics.get(topic) == (kadm.TopicID{}) && r.source.spec.TopicPattern != "" {
			wanted = later // it was created since: all of it is wanted
		}
		for number, offset := range partitions {
			if offset.EpochOffset().Offset < 0 {
				wanted[topic] = append(wanted[topic], number)
			}
		}
	}
	found, refused := make(map[partitionID]mark), make(map[partitionID]*gap)
	begin := r.source.spec
	for _, wanted := range []map[string][]int32{known, later} {
		if len(wanted) > 0 {
			starts, err := kafka.Starts(ctx, r.admin, begin, wanted)
			for _, out := range startErrors(err) {
				refused[partitionID{out.Topic, out.Partition}] = &gap{Kind: GapOther, From: out.Offset, To: -1, What: out.Error()}
			}
			if starts == nil && err != nil {
				return nil, nil, fmt.Errorf("look up where to start: %w", err)
			}
			for topic, partitions := range starts {
				for number, offset := range partitions {
					found[partitionID{topic, number}] = mark{offset, -1}
				}
			}
		}
		begin.Start, begin.StartOffsets = jobspecs.StartEarliest, nil
	}
	return found, refused, nil
}

// startErrors are the starts in err that lie outside of the log.
func startErrors(err error) []*kafka.StartError {
	switch e := err.(type) {
	case *kafka.StartError:
		return []*kafka.StartError{e}
	case interface{ Unwrap() []error }:
		var all []*kafka.StartError
		for _, one := range e.Unwrap() {
			all = append(all, startErrors(one)...)
		}
		return all
	case interface{ Unwrap() error }:
		return startErrors(e.Unwrap())
	default:
		return nil
	}
}

// anchor commits where partitions begin that have no offset.
func (r *reader) anchor(ctx context.Context, marks map[partitionID]mark) error {
	if len(marks) == 0 {
		return nil
	}
	r.commits.Lock()
	defer r.commits.Unlock()
	if err := r.send(ctx, marks); err != nil {
		return fmt.Errorf("commit where to start: %w", err)
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

// refusal says why a partition cannot be read, nil if it can.
func (r *reader) refusal(id partitionID, now kadm.TopicID, committed kadm.OffsetResponse) *gap {
	if of, ok := strings.CutPrefix(committed.Metadata, topicIDMark); ok && of != now.String() {
		return &gap{Kind: GapRecreated, Due: committed.At, From: committed.At, To: -1, What: fmt.Sprintf("the topic was created again (its id was %s, now it is %s): everything from offset %d on of the old topic is gone, and the offset says nothing about the new one", of, now, committed.At)}
	}
	if was := r.topics.of(id); was != now {
		return &gap{Kind: GapRecreated, Due: committed.At, From: committed.At, To: -1, What: fmt.Sprintf("the topic was created again while the bridge ran (its id was %s, now it is %s)", was, now)}
	}
	if r.Bridge.spec.IDs.From == idsFromPosition {
		if err := checkIDPartition(id.partition); err != nil {
			return &gap{Kind: GapOther, Due: committed.At, From: committed.At, To: -1, What: err.Error()}
		}
	}
	return nil
}

// begin begins an assignment; with a refusal it is stopped from the start.
func (r *reader) begin(id partitionID, start int64, refusal *gap) {
	p := &partition{
		assignment: r.ledger.assign(id, start),
		trouble:    r.fetchPart(id),
		origin: origin{
			prefix:    fmt.Sprintf("%s/%s/%d/", r.source.id, id.topic, id.partition),
			hash:      topicHash(r.source.id, r.topics.of(id)),
			partition: id.partition,
		},
	}
	p.stopped.Store(refusal != nil)
	r.mu.Lock()
	r.parts[id] = p
	r.mu.Unlock()
	if refusal != nil {
		r.stop(p, *refusal) // invariant B3
		return
	}
	r.client.ResumeFetchPartitions(map[string][]int32{id.topic: {id.partition}}) // it may have been stopped when we had it before
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
		r.stages.publisher.setFlush(true)
		await(r.hard, r.Bridge.spec.Limits.Drain.D(), func() bool { return outstanding(gone) == 0 })
		r.stages.publisher.setFlush(false)
	}
	r.commits.Lock()
	defer r.commits.Unlock()
	if err := r.commitLocked(); err != nil {
		r.cfg.Log.Warn("the commit before giving partitions away failed; their next owner repeats what was not committed", "error", err)
	}
	r.cfg.Log.Info("partitions given away", "source", r.name, "partitions", names(idsOf(gone)), "undone", outstanding(gone))
	r.giveUp(gone)
}

// lost is called when partitions were taken away: somebody else may own them
// already.
func (r *reader) lost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	r.commits.Lock()
	defer r.commits.Unlock()
	gone := r.owned(lost)
	if len(gone) > 0 {
		r.cfg.Log.Warn("partitions taken away; their next owner repeats what was not committed", "source", r.name, "partitions", names(idsOf(gone)), "undone", outstanding(gone))
	}
	r.giveUp(gone)
}

// outstanding is how many records of partitions are not done.
func outstanding(parts []*partition) (n int) {
	for _, p := range parts {
		n += p.outstanding()
	}
	return n
}

func idsOf(parts []*partition) []partitionID {
	ids := make([]partitionID, len(parts))
	for i, p := range parts {
		ids[i] = p.id
	}
	return ids
}

// names lists partitions for a log line: "orders/0,3 users/1".
func names(ids []partitionID) string {
	slices.SortFunc(ids, func(a, b partitionID) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	var b strings.Builder
	for i, id := range ids {
		switch {
		case i == 0:
			fmt.Fprintf(&b, "%s/%d", id.topic, id.partition)
		case id.topic == ids[i-1].topic:
			fmt.Fprintf(&b, ",%d", id.partition)
		default:
			fmt.Fprintf(&b, " %s/%d", id.topic, id.partition)
		}
	}
	return b.String()
}

// giveUp ends assignments (invariant B5). r.commits is held.
func (r *reader) giveUp(gone []*partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range gone {
		if p = r.parts[p.id]; p == nil { // another since, where a gap was accepted meanwhile
			continue
		}
		r.ledger.revoke(p.id)
		delete(r.parts, p.id)
		r.stats.lag.DeleteLabelValues(r.name, p.id.topic, fmt.Sprint(p.id.partition))
		r.stats.lagSeconds.DeleteLabelValues(r.name, p.id.topic, fmt.Sprint(p.id.partition))
		r.unstall(p)
		r.health.solved(r.fetchPart(p.id))
		if p.stopped.Load() {
			r.health.solved(r.stopPart(p.id))
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
//
// It is a request of its own: the client's would take commits only for what is
// being read, and would hold them back for as long as the group rebalances,
// though the cluster takes them. It names the member and its generation, so
// that the cluster refuses it from one that has lost its partitions (invariant
// B5), and in the metadata the topics that the offsets belong to.
func (r *reader) send(ctx context.Context, marks map[partitionID]mark) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = r.source.spec.Group
	req.MemberID, req.Generation = r.client.GroupMetadata()
	if req.MemberID == "" { // such a commit is anybody's, and taken where the group is empty
		return fmt.Errorf("not in consumer group %s", req.Group)
	}
	if r.cfg.InstanceID != "" {
		req.InstanceID = &r.cfg.InstanceID
	}
	for id, m := range marks {
		topic := r.topics.of(id)
		i := slices.IndexFunc(req.Topics, func(t kmsg.OffsetCommitRequestTopic) bool { return t.Topic == id.topic && t.TopicID == topic })
		if i < 0 {
			i = len(req.Topics)
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic, t.TopicID = id.topic, topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = id.partition, m.offset, m.leaderEpoch
		p.Metadata = kmsg.StringPtr(topicIDMark + topic.String())
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	resp, err := req.RequestWith(ctx, r.client)
	if err != nil {
		return err
	}
	return commitError(resp)
}
