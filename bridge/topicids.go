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
	mu  sync.Mutex
	ids map[string]kadm.TopicID
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
