package catchup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/bridge"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Source is a cluster that a range is read from.
type Source struct {
	Name string // in the spec
	Spec jobspecs.KafkaSource
}

// cluster is a Source that is connected.
type cluster struct {
	Source
	client *kgo.Client
	admin  *kadm.Client
	topics []string // that are read, in order
	ids    map[string]kadm.TopicID
}

// open connects to a cluster and finds its topics.
func open(ctx context.Context, s Source) (_ *cluster, err error) {
	c := &cluster{Source: s}
	if c.client, err = kafka.Connect(ctx, s.Spec.KafkaCluster, "kappa-catchup"); err != nil {
		return nil, fmt.Errorf("spec.sources.%s: %w", s.Name, err)
	}
	c.admin = kadm.NewClient(c.client)
	found, _, err := kafka.Topics(ctx, c.admin, s.Spec)
	if err == nil && len(found) == 0 {
		err = exit.Environmentf("no topic matches topicPattern %q", s.Spec.TopicPattern).WithHint("correct the pattern: it must match the whole name")
	}
	if err != nil {
		c.client.Close()
		return nil, fmt.Errorf("spec.sources.%s: %w", s.Name, err)
	}
	c.topics = slices.Sorted(maps.Keys(found))
	c.ids = make(map[string]kadm.TopicID)
	for name, t := range found {
		c.ids[name] = t.ID
	}
	return c, nil
}

func (c *cluster) readCommitted() bool { return c.Spec.Isolation != "readUncommitted" }

// wrap says of an error which cluster it comes from, and how to mend it.
func (c *cluster) wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	var known *exit.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("source %s: %s: %w", c.Name, verb, kafka.Explain(err, c.Spec.KafkaCluster))
}

// partitions finds out what there is to be read of a cluster.
func (c *cluster) partitions(ctx context.Context, from, to Bound) ([]*Partition, []string, error) {
	meta, err := c.metadata(ctx)
	if err != nil {
		return nil, nil, c.wrap("look up topics", err)
	}
	starts, err := c.list(ctx, c.admin.ListStartOffsets)
	if err != nil {
		return nil, nil, err
	}
	end, err := c.ends(ctx)
	if err != nil {
		return nil, nil, err
	}
	committed, err := c.committed(ctx)
	if err != nil {
		return nil, nil, err
	}
	begins, err := c.begins(ctx, meta, committed)
	if err != nil {
		return nil, nil, err
	}
	accepted, err := c.accepted(ctx)
	if err != nil {
		return nil, nil, err
	}
	at := func(b Bound) (kadm.ListedOffsets, error) {
		if b.kind != boundTime {
			return nil, nil
		}
		ms := b.time.UnixMilli()
		if b.time.After(time.UnixMilli(ms)) {
			ms++ // Kafka keeps milliseconds, and the first record at or after a time is not before it
		}
		return c.list(ctx, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return c.admin.ListOffsetsAfterMilli(ctx, max(ms, 0), topics...)
		})
	}
	fromAt, err := at(from)
	if err != nil {
		return nil, nil, err
	}
	toAt, err := at(to)
	if err != nil {
		return nil, nil, err
	}
	var warnings []string
	sizes, err := c.sizes(ctx)
	if err != nil {
		warnings = append(warnings, fmt.Sprintf("source %s: the sizes of the partitions cannot be looked up (%v): the estimate rests on samples alone", c.Name, err))
	}
	// The offsets of a topic that is deleted go with it, the marks stay.
	marks, err := kafka.ReadTopicMarks(ctx, c.admin, c.Spec.Group)
	if err != nil {
		warnings = append(warnings, fmt.Sprintf("source %s: it cannot be looked up whether topics were created again since the group read them: %v", c.Name, err))
	}
	var parts []*Partition
	for _, name := range c.topics {
		t := meta.Topics[name]
		for flag, b := range map[string]Bound{"from": from, "to": to} {
			for _, partition := range b.partitions(c.Name, name) {
				if _, ok := t.Partitions[partition]; !ok {
					return nil, nil, exit.Usagef("--%s: %s/%s has %d partitions, and no partition %d", flag, c.Name, name, len(t.Partitions), partition)
				}
			}
		}
		for _, d := range t.Partitions.Sorted() {
			id := d.Partition
			if d.Err != nil {
				return nil, nil, c.wrap(fmt.Sprintf("look up %s/%d", name, id), d.Err)
			}
			e := extent{name: position(c.Name, name, id), committed: -1, begin: begins[name][id], accepted: -1}
			offset := func(l kadm.ListedOffsets) int64 { o, _ := l.Lookup(name, id); return o.Offset }
			e.start, e.end = offset(starts), offset(end)
			after := func(l kadm.ListedOffsets) int64 {
				if o, ok := l.Lookup(name, id); ok && o.Timestamp >= 0 {
					return o.Offset
				}
				return e.end // there is nothing as young
			}
			e.from, e.to = after(fromAt), after(toAt)
			if o, ok := committed.Lookup(name, id); ok && o.Err == nil && o.At >= 0 {
				e.committed = o.At
				if of, marked := strings.CutPrefix(o.Metadata, topicIDMark); marked && of != t.ID.String() {
					return nil, nil, recreated(e.name, of, t.ID.String())
				}
				if a := accepted[name][id]; a.Covers(o.At, t.ID.String()) {
					e.accepted = a.To
				}
			}
			if was, ok := marks[name]; ok && was != t.ID && e.committed < 0 {
				return nil, nil, recreated(e.name, was.String(), t.ID.String())
			}
			a, b, err := resolve(from, to, e, c.Name, name, id)
			if err != nil {
				return nil, nil, err
			}
			if a < b {
				parts = append(parts, &Partition{
					Source: c.Name, Topic: name, TopicID: t.ID.String(), Partition: id, From: a, To: b,
					start: e.start, end: e.end, size: sizes[name][id],
				})
			}
		}
	}
	return parts, warnings, nil
}

// recreated says that a topic is not the one that offsets were kept for
// (invariant B3).
func recreated(name, was, now string) error {
	return exit.Environmentf("%s: the topic was created again (its id was %s, now it is %s): the offsets of the old one say nothing about the new one", name, was, now).
		WithHint("what the old topic held is gone; accept that with kappa bridge accept, and drop a plan over it with kappa bridge catchup --discard")
}

// metadata looks up the topics as they are now: kadm answers from what it knew
// a few seconds ago unless the permitted operations are asked for, and a topic
// that was created again must be seen.
func (c *cluster) metadata(ctx context.Context) (kadm.Metadata, error) {
	return c.admin.Metadata(kadm.WithAuthorizedOps(ctx), c.topics...)
}

// list asks for offsets of all topics and fails where one cannot be told.
func (c *cluster) list(ctx context.Context, ask func(context.Context, ...string) (kadm.ListedOffsets, error)) (kadm.ListedOffsets, error) {
	l, err := ask(ctx, c.topics...)
	if err == nil {
		err = l.Error()
	}
	return l, c.wrap("look up offsets", err)
}

// coordinatorPatience is how long groups are waited for: a cluster that never
// had one, or whose brokers change, takes a few seconds to find who keeps it.
const coordinatorPatience = 20 * time.Second

// patiently asks about groups until there is a coordinator to answer.
func patiently[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	for deadline := time.Now().Add(coordinatorPatience); ; {
		found, err := ask()
		waits := errors.Is(err, kerr.CoordinatorNotAvailable) || errors.Is(err, kerr.CoordinatorLoadInProgress) || errors.Is(err, kerr.NotCoordinator)
		if !waits || time.Now().After(deadline) {
			return found, err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return found, err
		}
	}
}

// set commits offsets of a group that has no members, in the name of nobody.
func (c *cluster) set(ctx context.Context, group string, offsets kadm.Offsets) error {
	if len(offsets) == 0 {
		return nil
	}
	_, err := patiently(ctx, func() (struct{}, error) { return struct{}{}, c.admin.CommitAllOffsets(ctx, group, offsets) })
	return err
}

// ends looks up where the partitions end, for what the source may read.
func (c *cluster) ends(ctx context.Context) (kadm.ListedOffsets, error) {
	if c.readCommitted() {
		return c.list(ctx, c.admin.ListCommittedOffsets)
	}
	return c.list(ctx, c.admin.ListEndOffsets)
}

// committed looks up the group's offsets.
func (c *cluster) committed(ctx context.Context) (kadm.OffsetResponses, error) {
	found, err := patiently(ctx, func() (kadm.OffsetResponses, error) {
		return c.admin.FetchOffsetsForTopics(ctx, c.Spec.Group, c.topics...)
	})
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil // nobody has committed yet
	}
	if err == nil {
		err = found.Error()
	}
	return found, c.wrap("look up the committed offsets of "+c.Spec.Group, err)
}

// accepted looks up the gaps that somebody has accepted.
func (c *cluster) accepted(ctx context.Context) (map[string]map[int32]*bridge.Acceptance, error) {
	found, err := patiently(ctx, func() (map[string]map[int32]*bridge.Acceptance, error) {
		return bridge.AcceptedGaps(ctx, c.admin, c.Spec.Group, c.topics...)
	})
	return found, c.wrap("look up what was accepted", err)
}

// members is how many members the group has; 0 too where that cannot be told.
func (c *cluster) members(ctx context.Context) int {
	found, err := c.admin.DescribeGroups(ctx, c.Spec.Group)
	if err != nil {
		return 0
	}
	return len(found[c.Spec.Group].Members)
}

// begins is where the group begins in the partitions in which it has no
// committed offset: where the bridge itself would.
func (c *cluster) begins(ctx context.Context, meta kadm.Metadata, committed kadm.OffsetResponses) (map[string]map[int32]int64, error) {
	wanted := make(map[string][]int32)
	for _, name := range c.topics {
		for _, p := range meta.Topics[name].Partitions.Numbers() {
			if o, ok := committed.Lookup(name, p); !ok || o.At < 0 {
				wanted[name] = append(wanted[name], p)
			}
		}
	}
	found, err := kafka.Starts(ctx, c.admin, c.Spec, wanted)
	return found, c.wrap("look up where the group begins", err)
}

// sizes looks up what the partitions take on the brokers' disks: the largest
// replica of each, as one that is being copied is smaller.
func (c *cluster) sizes(ctx context.Context) (map[string]map[int32]int64, error) {
	dirs, err := c.admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return nil, err
	}
	found := make(map[string]map[int32]int64)
	for _, name := range c.topics {
		found[name] = make(map[int32]int64)
	}
	dirs.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if of := found[p.Topic]; of != nil && !p.IsFuture {
				of[p.Partition] = max(of[p.Partition], p.Size)
			}
		})
	})
	return found, nil
}
