package verify

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
)

// Cluster is a Kafka cluster that is read.
type Cluster struct {
	Name        string      // of the source in the spec
	Client      *kgo.Client // for everything but reading records
	Topics      []string
	Group       string // of the bridge; its commits say how far it is
	Uncommitted bool   // the bridge reads records of open and aborted transactions too
	// Begin is where the bridge began, by topic and partition; what is before
	// it is not judged, unless the range says offsets. A partition that is not
	// there began with its log.
	Begin map[string]map[int32]int64
	// Reader makes a client that reads what the options say. It is closed here.
	Reader func(opts ...kgo.Opt) (*kgo.Client, error)
}

// Range says which positions are judged. Without offsets, it is all partitions
// of all topics, from the beginning of the log (or the first record at From or
// after it) to the group's committed offset (or, where that is less, the first
// record at To or after it).
type Range struct {
	From, To time.Time // zero: no bound
	Offsets  []OffsetRange
}

// OffsetRange is offsets [From, To) of one partition.
type OffsetRange struct {
	Source    string // name of the cluster in the spec; empty where only one has the topic
	Topic     string
	Partition int32
	From, To  int64 // To -1: as far as the group has committed
}

// ParseOffsets reads [SOURCE/]TOPIC/PARTITION:FROM-TO; TO is exclusive and may
// be left out.
func ParseOffsets(s string) (OffsetRange, error) {
	bad := exit.Usagef("%q is no range of offsets", s).WithHint("write [SOURCE/]TOPIC/PARTITION:FROM-TO, the last offset exclusive, like flights/0:100-200")
	where, offsets, ok := strings.Cut(s, ":")
	parts := strings.Split(where, "/")
	if !ok || len(parts) < 2 || len(parts) > 3 {
		return OffsetRange{}, bad
	}
	r := OffsetRange{Topic: parts[len(parts)-2], To: -1}
	if len(parts) == 3 {
		r.Source = parts[0]
	}
	n, err := strconv.ParseUint(parts[len(parts)-1], 10, 31)
	if err != nil || r.Topic == "" || len(parts) == 3 && r.Source == "" {
		return OffsetRange{}, bad
	}
	r.Partition = int32(n)
	from, to, ends := strings.Cut(offsets, "-")
	if r.From, err = strconv.ParseInt(from, 10, 64); err != nil || r.From < 0 {
		return OffsetRange{}, bad
	}
	if ends && to != "" {
		if r.To, err = strconv.ParseInt(to, 10, 64); err != nil || r.To <= r.From {
			return OffsetRange{}, bad
		}
	}
	return r, nil
}

// Span is offsets [From, To) of one partition of a topic.
type Span struct {
	Source    string
	Cluster   string // id
	Topic     string
	TopicID   [16]byte
	Partition int32
	From, To  int64
	Start     int64 // where the log begins
}

// Key is cluster/topic/partition.
func (s *Span) Key() string {
	return envelope.Position{Cluster: s.Cluster, Topic: s.Topic, Partition: s.Partition}.PartitionKey()
}

// resolve finds the spans of a range in one cluster. It also says what of the
// range cannot be judged.
func resolve(ctx context.Context, c *Cluster, r *Range) (spans []Span, warnings []string, err error) {
	if len(c.Topics) == 0 { // a pattern that matches nothing
		return nil, nil, nil
	}
	admin := kadm.NewClient(c.Client)
	wrap := func(what string, err error) error {
		return exit.Environmentf("source %s: %s: %w", c.Name, what, err)
	}
	// Authorized operations make the client ask the brokers, not its cache, which
	// may hold the id that a topic had before it was created again.
	meta, err := admin.Metadata(kadm.WithAuthorizedOps(ctx), c.Topics...)
	if err != nil {
		return nil, nil, wrap("read metadata", err)
	}
	for _, t := range meta.Topics.Sorted() {
		if t.Err != nil {
			return nil, nil, wrap("topic "+t.Topic, t.Err)
		}
	}
	offsets, err := listOffsets(ctx, admin, c, r)
	if err != nil {
		return nil, nil, wrap("list offsets", err)
	}
	for _, t := range meta.Topics.Sorted() {
		for _, p := range t.Partitions.Sorted() {
			s := Span{Source: c.Name, Cluster: meta.Cluster, Topic: t.Topic, TopicID: t.ID, Partition: p.Partition}
			at := offsets.of(t.Topic, p.Partition)
			at.from = max(at.from, c.begin(t.Topic, p.Partition))
			if at.err != nil {
				return nil, nil, wrap(fmt.Sprintf("list offsets of %s/%d", t.Topic, p.Partition), at.err)
			}
			if warning := s.bound(r.wanted(c.Name, t.Topic, p.Partition), len(r.Offsets) > 0, at, c.Group); warning != "" {
				warnings = append(warnings, s.Key()+": "+warning)
			}
			if s.From < s.To {
				spans = append(spans, s)
			}
		}
	}
	return spans, warnings, nil
}

func (c *Cluster) begin(topic string, partition int32) int64 {
	if at, ok := c.Begin[topic][partition]; ok {
		return at
	}
	return -1
}

// wanted finds what the range says of a partition by offsets.
func (r *Range) wanted(source, topic string, partition int32) *OffsetRange {
	i := slices.IndexFunc(r.Offsets, func(o OffsetRange) bool {
		return o.Topic == topic && o.Partition == partition && (o.Source == "" || o.Source == source)
	})
	if i < 0 {
		return nil
	}
	return &r.Offsets[i]
}

// partitionOffsets are what is known of a partition's offsets; -1: not there.
type partitionOffsets struct {
	start, end, committed, from, to int64
	err                             error
}

// bound sets From and To. It returns what must be said of them.
func (s *Span) bound(want *OffsetRange, byOffsets bool, at partitionOffsets, group string) (warning string) {
	s.Start = at.start
	switch {
	case want == nil && byOffsets:
		return ""
	case want == nil && at.committed < 0:
		if at.end > at.start {
			warning = fmt.Sprintf("group %s has committed no offset: not judged", group)
		}
		return warning
	case want == nil:
		s.From, s.To = max(at.start, at.from), at.committed
		if at.to >= 0 {
			s.To = min(s.To, at.to)
			if at.to > at.committed {
				warning = fmt.Sprintf("group %s has committed only up to offset %d: the rest of the range is not judged", group, at.committed)
			}
		}
	default:
		s.From, s.To = want.From, want.To
		if s.To < 0 {
			s.To = at.committed
		}
	}
	if s.To > at.end {
		warning = fmt.Sprintf("the log ends at offset %d: what is after it is not judged", at.end)
		s.To = at.end
	}
	if s.From < at.start && s.From < s.To {
		warning = fmt.Sprintf("Kafka no longer has offsets %d to %d: they are not judged", s.From, min(at.start, s.To)-1)
	}
	return warning
}

// offsetLists are what a cluster says of all partitions.
type offsetLists struct {
	start, end, from, to kadm.ListedOffsets
	committed            kadm.OffsetResponses
}

func listOffsets(ctx context.Context, admin *kadm.Client, c *Cluster, r *Range) (l offsetLists, err error) {
	if l.start, err = admin.ListStartOffsets(ctx, c.Topics...); err != nil {
		return l, err
	}
	if c.Uncommitted {
		l.end, err = admin.ListEndOffsets(ctx, c.Topics...)
	} else {
		l.end, err = admin.ListCommittedOffsets(ctx, c.Topics...)
	}
	if err != nil {
		return l, err
	}
	if !r.From.IsZero() {
		if l.from, err = admin.ListOffsetsAfterMilli(ctx, ceilMilli(r.From), c.Topics...); err != nil {
			return l, err
		}
	}
	if !r.To.IsZero() {
		if l.to, err = admin.ListOffsetsAfterMilli(ctx, ceilMilli(r.To), c.Topics...); err != nil {
			return l, err
		}
	}
	if c.Group == "" {
		return l, nil
	}
	l.committed, err = kafka.Committed(ctx, admin, c.Group)
	if err == nil {
		err = l.committed.Error()
	}
	if err != nil {
		return l, fmt.Errorf("of group %s: %w", c.Group, err)
	}
	return l, nil
}

func ceilMilli(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }

func (l *offsetLists) of(topic string, partition int32) partitionOffsets {
	p := partitionOffsets{start: -1, end: -1, committed: -1, from: -1, to: -1}
	get := func(to *int64, from kadm.ListedOffsets) {
		if o, ok := from.Lookup(topic, partition); ok {
			*to = o.Offset
			if o.Err != nil {
				p.err = o.Err
			}
		}
	}
	get(&p.start, l.start)
	get(&p.end, l.end)
	get(&p.from, l.from)
	get(&p.to, l.to)
	if o, ok := l.committed.Lookup(topic, partition); ok {
		p.committed = o.At
	}
	return p
}
