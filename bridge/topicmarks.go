package bridge

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/kappa-migrate/kappa/internal/kafka"
)

// A cluster forgets the offsets of a topic that is deleted, and with them what
// our commits say of the topic they belong to. So the ids of topics are marked
// apart from their offsets: a topic without offsets whose mark names another id
// was created again (invariant B3).

// topicMarks reads the marks; without permission to, topics that were created
// again while no bridge ran cannot be told from new ones, which is said once.
func (r *reader) topicMarks(ctx context.Context) map[string]kadm.TopicID {
	marks, err := kafka.ReadTopicMarks(ctx, r.admin, r.source.spec.Group)
	if err != nil {
		r.warnMarks(err)
		return nil
	}
	return marks
}

func (r *reader) warnMarks(err error) {
	if !r.unmarked.Swap(true) {
		r.cfg.Log.Warn("topics cannot be marked with their ids; one that is deleted and created again while no bridge runs may not be noticed", "source", r.name, "error", err)
	}
}

// markTopics marks topics that have no mark yet, and those whose partitions all
// have offsets of the topic as it is now.
func (r *reader) markTopics(ctx context.Context, marks map[string]kadm.TopicID, topics kadm.TopicDetails, committed kadm.OffsetResponses) {
	if marks == nil {
		return
	}
	fresh := make(map[string]kadm.TopicID)
	for name, t := range topics {
		was, marked := marks[name]
		if !marked || was != t.ID && ownOffsets(name, t, committed) {
			fresh[name] = t.ID
		}
	}
	if err := kafka.WriteTopicMarks(ctx, r.admin, r.source.spec.Group, fresh); err != nil {
		r.warnMarks(err)
	}
}

// ownOffsets reports whether every partition of a topic has an offset that
// belongs to the topic as it is now.
func ownOffsets(name string, t kadm.TopicDetail, committed kadm.OffsetResponses) bool {
	for _, p := range t.Partitions {
		c, ok := committed.Lookup(name, p.Partition)
		if of, marked := strings.CutPrefix(c.Metadata, topicIDMark); !ok || !marked || of != t.ID.String() {
			return false
		}
	}
	return true
}
