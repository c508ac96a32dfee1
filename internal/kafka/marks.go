package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// A cluster deletes the committed offsets of a topic with the topic, and with
// them everything that could say that there was an older topic of that name. So
// the ids of topics are kept as metadata of offsets of another topic: the one in
// which offsets are, which is never deleted. Which of its partitions holds a
// topic's mark is a hash of the name.
const (
	marksTopic = "__consumer_offsets"
	marksGroup = ".kappa-topics" // added to the group
	maxMark    = 4096            // bytes of metadata, as brokers limit it (offset.metadata.max.bytes)
)

// ReadTopicMarks returns the ids that the topics of a group had when they were
// marked, by name; it is empty where nothing is marked.
func ReadTopicMarks(ctx context.Context, admin *kadm.Client, group string) (map[string]kadm.TopicID, error) {
	marks, _, err := readMarks(ctx, admin, group)
	return marks, err
}

func readMarks(ctx context.Context, admin *kadm.Client, group string) (marks map[string]kadm.TopicID, slots map[int32]string, err error) {
	marks, slots = make(map[string]kadm.TopicID), make(map[int32]string)
	offsets, err := admin.FetchOffsets(ctx, group+marksGroup)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return marks, slots, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the marks of topics: %w", err)
	}
	for n, o := range offsets[marksTopic] {
		if o.Err != nil {
			return nil, nil, fmt.Errorf("read the marks of topics: %w", o.Err)
		}
		slots[n] = o.Metadata
		maps.Copy(marks, parseMarks(o.Metadata))
	}
	return marks, slots, nil
}

// WriteTopicMarks marks topics with their ids, beside the topics that are marked
// already. It fails where the client may not Read __consumer_offsets, and where
// marks do not fit: beyond some 20 topics of the longest names per partition of
// it. In a cluster that never had a group it fails until the first one's
// coordinator is there (kerr.UnknownTopicOrPartition): try again.
func WriteTopicMarks(ctx context.Context, admin *kadm.Client, group string, ids map[string]kadm.TopicID) error {
	if len(ids) == 0 {
		return nil
	}
	partitions, err := marksPartitions(ctx, admin)
	if err != nil {
		return fmt.Errorf("mark topics: %w", err)
	}
	_, slots, err := readMarks(ctx, admin, group)
	if err != nil {
		return err
	}
	fresh := make(kadm.Offsets)
	for topic, id := range ids {
		n := int32(xxhash.Sum64String(topic) % uint64(partitions))
		marks := parseMarks(slots[n])
		marks[topic] = id
		slots[n] = formatMarks(marks)
		if len(slots[n]) > maxMark {
			return fmt.Errorf("mark topics: there are too many: the marks of partition %d have %d bytes", n, len(slots[n]))
		}
		fresh.Add(kadm.Offset{Topic: marksTopic, Partition: n, LeaderEpoch: -1, Metadata: slots[n]})
	}
	written, err := admin.CommitOffsets(ctx, group+marksGroup, fresh)
	if err == nil {
		err = written.Error()
	}
	if err != nil {
		return fmt.Errorf("mark topics: %w", err)
	}
	return nil
}

// marksPartitions is the number of partitions of the topic that has the marks.
func marksPartitions(ctx context.Context, admin *kadm.Client) (int, error) {
	meta, err := admin.Metadata(uncached(ctx), marksTopic)
	if err != nil {
		return 0, err
	}
	t := meta.Topics[marksTopic]
	if t.Err != nil || len(t.Partitions) == 0 {
		return 0, fmt.Errorf("topic %s: %w", marksTopic, kerr.UnknownTopicOrPartition)
	}
	return len(t.Partitions), nil
}

// formatMarks writes marks as NAME=ID, separated by spaces, by name: neither
// can hold a space or an equals sign.
func formatMarks(marks map[string]kadm.TopicID) string {
	var text strings.Builder
	for i, topic := range slices.Sorted(maps.Keys(marks)) {
		if i > 0 {
			text.WriteByte(' ')
		}
		id := marks[topic]
		text.WriteString(topic + "=" + base64.RawURLEncoding.EncodeToString(id[:]))
	}
	return text.String()
}

// parseMarks reads what formatMarks wrote; what is not a mark is left out.
func parseMarks(text string) map[string]kadm.TopicID {
	marks := make(map[string]kadm.TopicID)
	for _, field := range strings.Fields(text) {
		topic, encoded, ok := strings.Cut(field, "=")
		id, err := base64.RawURLEncoding.DecodeString(encoded)
		if !ok || topic == "" || err != nil || len(id) != 16 {
			continue
		}
		marks[topic] = kadm.TopicID(id)
	}
	return marks
}
