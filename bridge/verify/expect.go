package verify

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Expecter says what a record should have become. It is used by one goroutine.
type Expecter interface {
	// Expect puts the record through the spec's transform, ids and limits. An
	// error means that this cannot be found out now (a registry that is away):
	// it ends the run. cluster is the id of the record's cluster, topicID that
	// of its topic.
	Expect(ctx context.Context, cluster string, topicID [16]byte, r *kgo.Record) (Expected, error)
}

// Outcome is what becomes of a record.
type Outcome int

// Outcomes of a record.
const (
	Published    Outcome = iota // as the events of Expected
	Filtered                    // none of its events passes the filter
	DeadLettered                // it can never be published
)

// Expected is what a record should have become.
type Expected struct {
	Outcome Outcome
	Reason  string  // of DeadLettered: the short code that the dead letter has
	Events  []Event // of Published; valid until the next call
	Dropped int     // events of the record that the filter drops
}

// Event is an expected event.
type Event struct {
	ID      [16]byte
	Ordinal uint16 // number of the event within the record, from 0
	Time    int64  // event time, in milliseconds since the Unix epoch
}

// IDs knows the ids that are made from positions.
type IDs interface {
	// TopicHash is the part of an id that stands for a topic.
	TopicHash(cluster string, topicID [16]byte) uint64
	// Locate reads the position back from an id; ok is false for every id that
	// was not made from one.
	Locate(id [16]byte) (Location, bool)
}

// Location is the position that an id was made from.
type Location struct {
	Hash      uint64 // of cluster and topic (IDs.TopicHash)
	Partition int32
	Offset    int64
	Ordinal   uint16
}

// Arrival is an event that arrived.
type Arrival struct {
	ID        [16]byte
	Partition string // cluster/topic/partition
	Offset    int64
	Count     int64  // messages that brought it; at least 1
	Message   uint64 // hash of the message's id, where Count is 1; 0: Count holds distinct messages already
	Content   uint64 // hash of what the message holds; 0: not known
	Conflict  bool   // the messages that brought it do not hold the same
}
