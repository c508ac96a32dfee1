package bridge

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// AcceptedGaps looks up what operators have accepted of the gaps in topics that
// a group reads.
func AcceptedGaps(ctx context.Context, admin *kadm.Client, group string, topics ...string) (map[string]map[int32]*Acceptance, error) {
	found, err := acceptances(ctx, admin, group, topics...)
	if err != nil {
		return nil, err
	}
	all := make(map[string]map[int32]*Acceptance)
	for id, a := range found {
		if all[id.topic] == nil {
			all[id.topic] = make(map[int32]*Acceptance)
		}
		all[id.topic][id.partition] = a
	}
	return all, nil
}

// Covers reports whether a says that offsets from at on, which retention or a
// deletion has removed, may be passed over; reading then goes on at a.To. It is
// false for nil.
func (a *Acceptance) Covers(at int64, topicID string) bool {
	return a != nil && a.Kind == GapTruncated && a.Applied == nil && a.TopicID == topicID && a.Due <= at && at < a.To
}

// Pass notes in a that the gap was passed over, so that it never serves another
// one.
func (a *Acceptance) Pass(ctx context.Context, admin *kadm.Client, group, topic string, partition int32) error {
	passed, now := *a, time.Now().UTC()
	passed.Applied = &now
	return passed.record(ctx, admin, group, partitionID{topic, partition})
}
