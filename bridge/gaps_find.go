package bridge

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Gap is what is gone of a partition beyond what its group has committed, as an
// operator sees it who is asked to accept it.
type Gap struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	TopicID   string `json:"topic_id"`
	Kind      string `json:"kind"`      // GapOther: nothing is gone
	What      string `json:"what"`      // is gone, for people
	Committed int64  `json:"committed"` // -1: the group has no offset
	From      int64  `json:"from"`      // first offset that is passed over
	To        int64  `json:"to"`        // where reading goes on
	Lost      int64  `json:"lost"`      // offsets that are passed over; -1: nobody knows
	Start     int64  `json:"log_start"`
	End       int64  `json:"log_end"`

	Accepted *Acceptance `json:"accepted,omitempty"` // what was accepted before

	group string
	id    kadm.TopicID
}

// FindGap looks up what is gone of a partition of a source. at is where reading
// is to go on, -1 for the place that fits: the beginning of what is left, or,
// after a log was cut back and where ids are made from positions, the offset up
// to which records had been read: new records before it would get the ids of
// old ones, and deduplication would drop them.
func FindGap(ctx context.Context, admin *kadm.Client, source jobspecs.KafkaSource, ids jobspecs.IDs, topic string, partition int32, at int64) (*Gap, error) {
	g := &Gap{Topic: topic, Partition: partition, group: source.Group, Committed: -1}
	meta, err := admin.Metadata(kadm.WithAuthorizedOps(ctx), topic) // never from memory
	if err != nil {
		return nil, exit.Environmentf("look up topic %s: %w", topic, err)
	}
	t := meta.Topics[topic]
	if _, ok := t.Partitions[partition]; t.Err != nil || !ok {
		return nil, exit.Environmentf("%s/%d is not there", topic, partition).WithHint("a topic that was deleted can be accepted once it has been created again; until then, take it out of the spec")
	}
	g.id, g.TopicID = t.ID, t.ID.String()
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, exit.Environmentf("look up where %s begins: %w", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, exit.Environmentf("look up where %s ends: %w", topic, err)
	}
	start, ok := starts.Lookup(topic, partition)
	end, eok := ends.Lookup(topic, partition)
	if !ok || !eok || start.Err != nil || end.Err != nil {
		return nil, exit.Environmentf("the bounds of %s/%d cannot be read: %v %v", topic, partition, start.Err, end.Err)
	}
	g.Start, g.End = start.Offset, end.Offset
	offsets, err := committedOffsets(ctx, admin, source.Group, topic)
	if err != nil {
		return nil, exit.Environmentf("look up the offsets of group %s: %w", source.Group, err)
	}
	accepted, err := acceptances(ctx, admin, source.Group, topic)
	if err != nil {
		return nil, exit.Environmentf("%w", err)
	}
	g.Accepted = accepted[partitionID{topic, partition}]
	c, ok := offsets.Lookup(topic, partition)
	if ok && c.Err == nil && c.At >= 0 {
		g.Committed = c.At
	} else {
		c = kadm.OffsetResponse{}
	}
	cut, err := g.divergence(ctx, admin, c)
	if err != nil {
		return nil, err
	}
	g.judge(c.Metadata, cut, ids.From == idsFromPosition)
	return g, g.place(at)
}

// divergence returns where the log left what had been read of it, -1 if it
// did not as far as leader epochs tell.
func (g *Gap) divergence(ctx context.Context, admin *kadm.Client, c kadm.OffsetResponse) (int64, error) {
	if g.Committed < 0 || c.LeaderEpoch < 0 {
		return -1, nil
	}
	var req kadm.OffsetForLeaderEpochRequest
	req.Add(g.Topic, g.Partition, c.LeaderEpoch)
	resp, err := admin.OffsetForLeaderEpoch(ctx, req)
	if err != nil {
		return -1, exit.Environmentf("look up the leader epochs of %s/%d: %w", g.Topic, g.Partition, err)
	}
	if o, ok := resp[g.Topic][g.Partition]; ok && o.Err == nil && o.EndOffset >= 0 && o.EndOffset < g.Committed {
		return o.EndOffset, nil
	}
	return -1, nil
}

// judge says what is gone. cut is where the log left what had been read, -1 if
// it did not.
func (g *Gap) judge(metadata string, cut int64, positionIDs bool) {
	was, marked := strings.CutPrefix(metadata, topicIDMark)
	switch {
	case g.Committed < 0:
		g.Kind, g.From, g.To, g.Lost = GapRecreated, -1, g.Start, -1
		g.What = fmt.Sprintf("group %s has no offset for it: Kafka forgets the offsets of a topic that is deleted; whatever of an earlier topic of that name was not read is gone", g.group)
	case marked && was != g.TopicID:
		g.Kind, g.From, g.To, g.Lost = GapRecreated, g.Committed, g.Start, -1
		g.What = fmt.Sprintf("the topic was created again (its id was %s, now it is %s): everything from offset %d on of the old topic is gone", was, g.TopicID, g.Committed)
	case g.Committed < g.Start:
		g.Kind, g.From, g.To = GapTruncated, g.Committed, g.Start
		g.Lost = g.To - g.From
		g.What = fmt.Sprintf("offsets %d to %d (%d) are gone before they were read: retention or a deletion removed them", g.From, g.To-1, g.Lost)
	case g.Committed > g.End || cut >= 0:
		from := g.End
		if cut >= 0 {
			from = min(from, cut)
		}
		g.Kind, g.From, g.To = GapCutBack, from, from
		g.What = fmt.Sprintf("offsets %d to %d (%d), which had been read, are gone: the log was cut back", from, g.Committed-1, g.Committed-from)
		if positionIDs {
			g.To = g.Committed
			g.What += fmt.Sprintf("; new records at these offsets are passed over, since ids made from positions would be those of the records that are gone, and deduplication would drop them: it goes on at offset %d, once the log has reached it", g.To)
		}
		g.Lost = g.To - g.From
	default:
		g.Kind, g.From, g.To = GapOther, g.Committed, g.Committed
		g.What = fmt.Sprintf("nothing is gone: offset %d is due, and the log goes from %d to %d", g.Committed, g.Start, g.End-1)
	}
}

// place sets where reading goes on.
func (g *Gap) place(at int64) error {
	if at < 0 {
		return nil
	}
	lowest, highest := g.Start, g.End
	switch {
	case g.Kind == GapCutBack:
		lowest, highest = g.From, max(g.Committed, g.End)
	case g.Kind == GapOther:
		lowest = g.Committed
	}
	if at < lowest || at > highest {
		return exit.Usagef("--at %d is not between %d and %d", at, lowest, highest).WithHint("leave --at out to go on where the log begins, or choose an offset in between")
	}
	switch g.To = at; {
	case g.Kind != GapRecreated:
		g.Lost = at - g.From
	case at > g.Start:
		g.What += fmt.Sprintf("; and offsets %d to %d (%d) of the new topic are passed over", g.Start, at-1, at-g.Start)
		g.Lost = at - g.Start
	}
	if g.Kind == GapOther && at > g.Committed {
		g.What = fmt.Sprintf("offsets %d to %d (%d), which are there, are passed over, if the bridge has stopped the partition at offset %d", g.From, at-1, g.Lost, g.Committed)
	}
	return nil
}

// Empty reports whether there is nothing to accept.
func (g *Gap) Empty() bool { return g.Kind == GapOther && g.To == g.Committed }

// Covered reports whether what was accepted before is just this, so that
// nothing is left to do.
func (g *Gap) Covered() bool {
	a := g.Accepted
	switch {
	case a == nil || a.TopicID != g.TopicID:
		return false
	case g.Empty():
		return g.Committed >= a.To
	default:
		return a.Applied == nil && a.Kind == g.Kind && a.Due == g.Committed && a.To == g.To
	}
}

// Accept records that somebody accepts a gap, for the bridge to go on.
func (g *Gap) Accept(ctx context.Context, admin *kadm.Client, by, reason string) (*Acceptance, error) {
	if strings.TrimSpace(by) == "" || strings.TrimSpace(reason) == "" {
		return nil, exit.Usagef("who accepts the gap, and why, must be said").WithHint("give --by NAME and --reason TEXT")
	}
	a := &Acceptance{Kind: g.Kind, TopicID: g.TopicID, Due: g.Committed, From: g.From, To: g.To, Lost: g.Lost, By: by, Reason: reason, Time: time.Now().UTC()}
	if err := a.record(ctx, admin, g.group, partitionID{g.Topic, g.Partition}); err != nil {
		return nil, err
	}
	return a, nil
}
