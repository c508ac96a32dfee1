package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// StartError is an explicit offset outside its log: the partition cannot begin
// there, and where else it should begin only the operator knows.
type StartError struct {
	Topic     string
	Partition int32
	Offset    int64 // asked for
	First     int64 // first offset of the log
	End       int64 // offset of the next record
}

// Error names the offset and both bounds.
func (e *StartError) Error() string {
	return fmt.Sprintf("startOffsets: %s/%d: offset %d is not in the log, which goes from %d to %d",
		e.Topic, e.Partition, e.Offset, e.First, e.End)
}

// Starts resolves where partitions begin that have no committed offset: by
// startOffsets where they have one, else by start. A partition with nothing at
// or after a time begins at its end; latest is the last stable offset with
// readCommitted, so that records of open transactions are read when they commit.
//
// Offsets outside their log are left out of the result and come back as
// StartErrors in the error (errors.As, with exit.Usage), beside the offsets of
// all other partitions. With any other error nothing is resolved; it is
// explained (Explain), and worth trying again if it was the connection.
//
// For topics that a pattern finds while the bridge runs, call it with a source
// whose Start is earliest: what was written before they were seen counts too.
func Starts(ctx context.Context, admin *kadm.Client, s jobspecs.KafkaSource, wanted map[string][]int32) (map[string]map[int32]int64, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	l := lists{uncached(ctx), admin, slices.Sorted(maps.Keys(wanted))}
	begin, err := l.begin(s)
	if err != nil {
		return nil, Explain(fmt.Errorf("look up where to start: %w", err), s.KafkaCluster)
	}
	explicit, err := explicitOffsets(s, wanted)
	if err != nil {
		return nil, err
	}
	var first, end kadm.ListedOffsets
	if len(explicit) > 0 {
		if first, err = l.list(admin.ListStartOffsets); err == nil {
			end, err = l.list(admin.ListEndOffsets)
		}
		if err != nil {
			return nil, Explain(fmt.Errorf("look up the bounds of the log: %w", err), s.KafkaCluster)
		}
	}
	starts := make(map[string]map[int32]int64)
	var outside []error
	for _, topic := range l.topics {
		starts[topic] = make(map[int32]int64)
		for _, n := range wanted[topic] {
			at, ok := explicit[name(topic, n)]
			if !ok {
				o, err := lookup(begin, topic, n)
				if err != nil {
					return nil, Explain(fmt.Errorf("look up where to start: %w", err), s.KafkaCluster)
				}
				starts[topic][n] = o
				continue
			}
			lo, err := lookup(first, topic, n)
			hi, eerr := lookup(end, topic, n)
			if err = errors.Join(err, eerr); err != nil {
				return nil, Explain(fmt.Errorf("look up the bounds of the log: %w", err), s.KafkaCluster)
			}
			if at < lo || at > hi {
				outside = append(outside, &StartError{topic, n, at, lo, hi})
				continue
			}
			starts[topic][n] = at
		}
	}
	if len(outside) > 0 {
		return starts, exit.With(exit.Usage, errors.Join(outside...)).WithHint("correct startOffsets, or leave the partition out to start where start says")
	}
	return starts, nil
}

func name(topic string, partition int32) string {
	return topic + "/" + strconv.Itoa(int(partition))
}

// explicitOffsets returns the startOffsets of wanted partitions.
func explicitOffsets(s jobspecs.KafkaSource, wanted map[string][]int32) (map[string]int64, error) {
	found := make(map[string]int64)
	for topic, numbers := range wanted {
		for _, n := range numbers {
			text, ok := s.StartOffsets[name(topic, n)]
			if !ok {
				continue
			}
			at, err := strconv.ParseInt(text, 10, 64)
			if err != nil || at < 0 {
				return nil, exit.Usagef("startOffsets: %s: %q is no offset", name(topic, n), text)
			}
			found[name(topic, n)] = at
		}
	}
	return found, nil
}

func lookup(l kadm.ListedOffsets, topic string, partition int32) (int64, error) {
	o, ok := l.Lookup(topic, partition)
	if !ok {
		o, ok = l.Lookup(topic, -1) // where errors of a whole topic are
	}
	switch {
	case !ok:
		return 0, fmt.Errorf("%s/%d: not in the answer", topic, partition)
	case o.Err != nil:
		return 0, fmt.Errorf("%s/%d: %w", topic, partition, o.Err)
	}
	return o.Offset, nil
}

// lists asks for offsets of topics.
type lists struct {
	ctx    context.Context
	admin  *kadm.Client
	topics []string
}

func (l lists) list(by func(context.Context, ...string) (kadm.ListedOffsets, error)) (kadm.ListedOffsets, error) {
	return by(l.ctx, l.topics...)
}

// begin lists where s.Start is.
func (l lists) begin(s jobspecs.KafkaSource) (kadm.ListedOffsets, error) {
	switch s.Start {
	case "", jobspecs.StartEarliest:
		return l.list(l.admin.ListStartOffsets)
	case jobspecs.StartLatest:
		if s.Isolation == "readUncommitted" {
			return l.list(l.admin.ListEndOffsets)
		}
		return l.list(l.admin.ListCommittedOffsets)
	}
	t, err := time.Parse(time.RFC3339Nano, s.Start)
	if err != nil {
		return nil, exit.Usagef("start %q is neither earliest, latest nor a time", s.Start).
			WithHint("write a time like 2026-01-31T00:00:00Z")
	}
	return l.after(t)
}

// after lists the first offset at or after t. The ends are listed before: where
// there is nothing yet, a record that is written between the two questions must
// not be jumped over.
func (l lists) after(t time.Time) (kadm.ListedOffsets, error) {
	ends, err := l.list(l.admin.ListEndOffsets)
	if err != nil {
		return nil, err
	}
	found, err := l.list(func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
		return l.admin.ListOffsetsAfterMilli(ctx, ceilMilli(t), topics...)
	})
	if err != nil {
		return nil, err
	}
	for topic, partitions := range found {
		for n, o := range partitions {
			if o.Err != nil || o.Timestamp >= 0 {
				continue // an error, or a record
			}
			if end, ok := ends.Lookup(topic, n); ok {
				partitions[n] = end
			}
		}
	}
	return found, nil
}

// ceilMilli is t in milliseconds, in which Kafka keeps time, rounded up: the
// first record at or after t is not before it.
func ceilMilli(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return max(ms, 0) // negative times have meanings of their own
}
