package bridge

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// orphanLoop looks for partitions that no member of the group has, and then has
// the group assign all of them again. A static member that gives partitions up
// for another one, and is killed and started again before it could say so, gets
// back what the group had left it, without a rebalance: what it gave up is
// nobody's, so that nobody reads it, or misses it (invariant B3).
func (r *reader) orphanLoop(ctx context.Context) {
	tick := time.NewTicker(r.cfg.GroupEvery)
	defer tick.Stop()
	var before map[partitionID]bool
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		orphans, first, err := r.orphans(ctx)
		if err != nil {
			r.cfg.Log.Debug("look at the group", "error", err)
			continue // and before stays
		}
		var still []partitionID
		for id := range orphans {
			if before[id] {
				still = append(still, id)
			}
		}
		before = orphans
		if len(still) == 0 || !first {
			continue
		}
		r.cfg.Log.Warn("partitions that no member of the group reads; having them assigned again", "source", r.name, "partitions", names(still))
		before = nil
		r.client.ForceRebalance()
	}
}

// errRebalancing says that the group has no assignment to look at.
var errRebalancing = errors.New("the group rebalances")

// orphans returns the partitions that are nobody's, and whether this member is
// the one of the group that is to mend it.
func (r *reader) orphans(ctx context.Context) (map[partitionID]bool, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	groups, err := r.admin.DescribeGroups(ctx, r.source.spec.Group)
	if err == nil {
		err = groups.Error()
	}
	if err != nil {
		return nil, false, err
	}
	group := groups[r.source.spec.Group]
	if group.State != "Stable" {
		return nil, false, errRebalancing
	}
	topics, err := r.admin.ListTopics(ctx, r.topics.names()...)
	if err != nil {
		return nil, false, err
	}
	orphans := make(map[partitionID]bool)
	topics.EachPartition(func(p kadm.PartitionDetail) { orphans[partitionID{p.Topic, p.Partition}] = true })
	self, _ := r.client.GroupMetadata()
	first := true
	for _, m := range group.Members {
		first = first && self <= m.MemberID
		assigned, ok := m.Assigned.AsConsumer()
		if !ok {
			return nil, false, errRebalancing
		}
		for _, t := range assigned.Topics {
			for _, p := range t.Partitions {
				delete(orphans, partitionID{t.Topic, p})
			}
		}
	}
	return orphans, first, nil
}
