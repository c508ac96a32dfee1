package catchup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
)

// span is what a plan covers of a partition: its ranges are one next to the
// other.
type span struct {
	source, topic, topicID string
	partition              int32
	from, to               int64
}

// spans joins the ranges of a plan by partition.
func (p *Plan) spans() []*span {
	found := make(map[string]*span)
	var order []*span
	for r := range p.ranges {
		s := found[r.String()]
		if s == nil {
			s = &span{r.Source, r.Topic, r.TopicID, r.Partition, r.From, r.To}
			found[r.String()] = s
			order = append(order, s)
		}
		s.from, s.to = min(s.from, r.From), max(s.to, r.To)
	}
	return order
}

// Handed says what became of a partition at the hand-over.
type Handed struct {
	Source    string `json:"source"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Was       int64  `json:"was"` // committed offset of the group before; -1: none
	Now       int64  `json:"now"` // and after
	Left      string `json:"left,omitempty"`
}

// handOver decides where the group's offset of a partition goes: to the end of
// the range if it lies in the range, or at its beginning. An offset beyond the
// range stays; so does one before it: what lies between was not read, and must
// not be skipped.
func handOver(s *span, committed int64) Handed {
	h := Handed{Source: s.source, Topic: s.topic, Partition: s.partition, Was: committed, Now: committed}
	switch {
	case committed >= s.to:
	case committed < 0:
		h.Left = fmt.Sprintf("the group has no offset, so that it is not known whether what lies before offset %d is wanted", s.from)
	case committed < s.from:
		h.Left = fmt.Sprintf("the group is at offset %d and the range begins at %d: what lies between was not read", committed, s.from)
	default:
		h.Now = s.to
	}
	return h
}

// anchor gives the group an offset where it has none and the range begins where
// the group would have begun: otherwise it would not be known at the hand-over
// that nothing lies before the range. Where a gap before the range was accepted,
// the group moves over that.
func (c *cluster) anchor(ctx context.Context, p *Plan, log *slog.Logger) error {
	committed, err := c.committed(ctx)
	if err != nil {
		return err
	}
	meta, err := c.metadata(ctx)
	if err != nil {
		return c.wrap("look up topics", err)
	}
	begins, err := c.begins(ctx, meta, committed)
	if err != nil {
		return err
	}
	accepted, err := c.accepted(ctx)
	if err != nil {
		return err
	}
	if err := c.markTopics(ctx); err != nil {
		log.Warn("it cannot be noted which topics the group's offsets belong to: whether one is created again will only be seen while it is read", "source", c.Name, "error", err)
	}
	offsets := make(kadm.Offsets)
	for _, s := range p.spans() {
		if s.source != c.Name {
			continue
		}
		if o, ok := committed.Lookup(s.topic, s.partition); ok && o.At >= 0 && accepted[s.topic][s.partition].Covers(o.At, s.topicID) && accepted[s.topic][s.partition].To == s.from {
			offsets.Add(kadm.Offset{Topic: s.topic, Partition: s.partition, At: s.from, LeaderEpoch: -1, Metadata: topicIDMark + s.topicID})
		}
		if begin, ok := begins[s.topic][s.partition]; ok && begin == s.from {
			offsets.Add(kadm.Offset{Topic: s.topic, Partition: s.partition, At: s.from, LeaderEpoch: -1, Metadata: topicIDMark + s.topicID})
		}
	}
	if len(offsets) == 0 {
		return nil
	}
	err = c.set(ctx, c.Spec.Group, offsets)
	return c.busy(err, "commit where the range begins")
}

// markTopics notes the ids of topics that have no mark yet, where their
// deletion does not delete it.
func (c *cluster) markTopics(ctx context.Context) error {
	marks, err := kafka.ReadTopicMarks(ctx, c.admin, c.Spec.Group)
	if err != nil {
		return err
	}
	missing := make(map[string]kadm.TopicID)
	for name, id := range c.ids {
		if _, ok := marks[name]; !ok && id != (kadm.TopicID{}) {
			missing[name] = id
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return kafka.WriteTopicMarks(ctx, c.admin, c.Spec.Group, missing)
}

// handOver moves the group's offsets of a cluster to the end of the range.
func (c *cluster) handOver(ctx context.Context, spans []*span) ([]Handed, error) {
	meta, err := c.metadata(ctx)
	if err != nil {
		return nil, c.wrap("look up topics", err)
	}
	committed, err := c.committed(ctx)
	if err != nil {
		return nil, err
	}
	var all []Handed
	offsets := make(kadm.Offsets)
	for _, s := range spans {
		if s.source != c.Name {
			continue
		}
		if now := meta.Topics[s.topic].ID.String(); now != s.topicID {
			return nil, recreated(position(s.source, s.topic, s.partition), s.topicID, now) // invariant B3
		}
		at := int64(-1)
		if o, ok := committed.Lookup(s.topic, s.partition); ok && o.Err == nil {
			at = o.At
		}
		h := handOver(s, at)
		if h.Now != h.Was {
			offsets.Add(kadm.Offset{Topic: s.topic, Partition: s.partition, At: h.Now, LeaderEpoch: -1, Metadata: topicIDMark + s.topicID})
		}
		all = append(all, h)
	}
	if len(offsets) == 0 {
		return all, nil
	}
	// A commit by somebody who is not a member is refused by Kafka itself while
	// the group has members, so nobody who reads can be overtaken.
	if err := c.busy(c.set(ctx, c.Spec.Group, offsets), "hand over to group "+c.Spec.Group); err != nil {
		return nil, err
	}
	return all, c.passed(ctx, spans)
}

// passed notes which accepted gaps the group is beyond.
func (c *cluster) passed(ctx context.Context, spans []*span) error {
	accepted, err := c.accepted(ctx)
	if err != nil {
		return err
	}
	for _, s := range spans {
		if a := accepted[s.topic][s.partition]; s.source == c.Name && a != nil && a.Covers(a.Due, s.topicID) && a.To <= s.to {
			if err := a.Pass(ctx, c.admin, c.Spec.Group, s.topic, s.partition); err != nil {
				return c.wrap("note that an accepted gap was passed over", err)
			}
		}
	}
	return nil
}

// busy explains a commit that was refused because the group has members.
func (c *cluster) busy(err error, verb string) error {
	for _, e := range []error{kerr.UnknownMemberID, kerr.RebalanceInProgress, kerr.IllegalGeneration} {
		if errors.Is(err, e) {
			return exit.Environmentf("%s: the group has members: a bridge runs in it", verb).
				WithHint("stop the bridge, run kappa bridge catchup once more (what it has read, it does not read again), and start the bridge again")
		}
	}
	if err != nil {
		return c.wrap(verb, err)
	}
	return nil
}
