package bridge

import (
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
)

// topicIDs are the ids of the topics that are read, as they were when each was
// seen first.
type topicIDs struct {
	mu      sync.Mutex
	ids     map[string]kadm.TopicID
	renewed map[partitionID]kadm.TopicID // of a topic that was created again, where that was accepted
}

// of returns the id of the topic that the offsets of a partition belong to.
func (t *topicIDs) of(id partitionID) kadm.TopicID {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now, ok := t.renewed[id]; ok {
		return now
	}
	return t.ids[id.topic]
}

// renew notes that a partition is read on as one of the topic that now has the
// name.
func (t *topicIDs) renew(id partitionID, now kadm.TopicID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.renewed == nil {
		t.renewed = make(map[partitionID]kadm.TopicID)
	}
	t.renewed[id] = now
}

func (t *topicIDs) set(topic string, id kadm.TopicID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ids == nil {
		t.ids = make(map[string]kadm.TopicID)
	}
	t.ids[topic] = id
}

// first returns the id of a topic; one that was not known gets the given id.
func (t *topicIDs) first(topic string, now kadm.TopicID) kadm.TopicID {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id, ok := t.ids[topic]; ok {
		return id
	}
	if t.ids == nil {
		t.ids = make(map[string]kadm.TopicID)
	}
	t.ids[topic] = now
	return now
}

func (t *topicIDs) get(topic string) kadm.TopicID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ids[topic]
}

func (t *topicIDs) names() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.ids))
}
