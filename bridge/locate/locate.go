// Package locate finds the record that an event id was made from. An id made
// from a position holds it (package bridge, "Ids"), with a hash in the place of
// the topic: the topic is found by hashing the ids of all topics of the
// clusters that a bridge reads.
//
// Callers own the clients that they pass in, and their closing.
package locate

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// IDs knows the ids that are made from positions.
type IDs interface {
	// TopicHash is the part of an id that stands for a topic.
	TopicHash(cluster string, topicID [16]byte) uint64
	// Position reads the position back from an id; ok is false for every id
	// that was not made from one.
	Position(id [16]byte) (hash uint64, partition int32, offset int64, ordinal uint16, ok bool)
}

// Cluster is a Kafka cluster to look in.
type Cluster struct {
	Name   string // of the source in the spec
	Spec   jobspecs.KafkaCluster
	Client *kgo.Client
}

// ID is an event id that holds a position.
type ID struct {
	Text      string
	Hash      uint64 // of cluster and topic
	Partition int32
	Offset    int64
	Ordinal   uint16 // of the event within the record
}

// Parse reads an id; it refuses one that holds no position, and says why.
func Parse(text string, ids IDs) (ID, error) {
	var u [16]byte
	s := strings.ToLower(strings.TrimSpace(text))
	ok := len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-'
	if ok {
		_, err := hex.Decode(u[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:]))
		ok = err == nil
	}
	if !ok {
		return ID{}, exit.Usagef("%q is not a UUID", text).WithHint("give the value of a message's attribute kappa-id, like 00000000-0000-8000-8000-000000000000")
	}
	id := ID{Text: s}
	if id.Hash, id.Partition, id.Offset, id.Ordinal, ok = ids.Position(u); ok {
		return id, nil
	}
	switch version := u[6] >> 4; version {
	case 5:
		return ID{}, exit.Usagef("%s is a UUIDv5: it was made from fields (ids.from: fields), so no position can be read back from it", s).
			WithHint("its message has the attribute kappa-position, and its row in the raw table the column position")
	default:
		return ID{}, exit.Usagef("%s is a UUIDv%d: it was not made from a position", s, version).
			WithHint("ids that an earlier system gave are kept; the message's attribute kappa-position says where its record stands")
	}
}

// Result is where a record stands.
type Result struct {
	ID       string `json:"id"`
	Source   string `json:"source"` // in the spec
	Position string `json:"position"`
	Cluster  string `json:"cluster"`
	Topic    string `json:"topic"`
	TopicID  string `json:"topic_id"`

	Partition int32   `json:"partition"`
	Offset    int64   `json:"offset"`
	Ordinal   int     `json:"ordinal"` // of the event within the record
	State     string  `json:"state"`   // held, gone, or beyond the end of the log
	First     int64   `json:"log_start"`
	End       int64   `json:"log_end"`
	Record    *Record `json:"record,omitempty"`

	cluster *Cluster
}

// States of a position.
const (
	Held   = "held"   // between the start and the end of the log
	Gone   = "gone"   // before the start: retention took it
	Beyond = "beyond" // the log ends before it
)

// Find looks the topic of an id up in the clusters' metadata: all topics, not
// only those that are read.
func Find(ctx context.Context, id ID, clusters []Cluster, ids IDs) (*Result, error) {
	looked, topics := []string{}, 0
	for i := range clusters {
		c := &clusters[i]
		admin := kadm.NewClient(c.Client)
		// Authorized operations make the client ask the brokers, not its cache.
		meta, err := admin.Metadata(kadm.WithAuthorizedOps(ctx))
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", c.Name, kafka.Explain(err, c.Spec))
		}
		for _, t := range meta.Topics {
			if t.ID != (kadm.TopicID{}) && ids.TopicHash(meta.Cluster, t.ID) == id.Hash {
				r := &Result{ID: id.Text, Source: c.Name, Cluster: meta.Cluster, Topic: t.Topic, TopicID: t.ID.String(),
					Partition: id.Partition, Offset: id.Offset, Ordinal: int(id.Ordinal), cluster: c}
				r.Position = envelope.Position{Cluster: r.Cluster, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}.String()
				return r, r.bounds(ctx, admin)
			}
		}
		looked = append(looked, fmt.Sprintf("%s (cluster %s)", c.Name, meta.Cluster))
		topics += len(meta.Topics)
	}
	return nil, exit.Environmentf("none of the %d topics of %s has the hash %010x of %s: partition %d, offset %d, event %d of a topic that is not there",
		topics, strings.Join(looked, ", "), id.Hash, id.Text, id.Partition, id.Offset, id.Ordinal).
		WithHint("was the topic deleted, or deleted and created again under the same name? Otherwise the event came from another cluster, or the credentials may not see its topic")
}

// bounds looks whether the log still holds the position.
func (r *Result) bounds(ctx context.Context, admin *kadm.Client) error {
	starts, err := admin.ListStartOffsets(ctx, r.Topic)
	if err == nil {
		var ends kadm.ListedOffsets
		ends, err = admin.ListEndOffsets(ctx, r.Topic)
		first, ok1 := starts.Lookup(r.Topic, r.Partition)
		end, ok2 := ends.Lookup(r.Topic, r.Partition)
		if err == nil {
			err = errors.Join(first.Err, end.Err)
		}
		if err == nil && (!ok1 || !ok2) {
			return exit.Environmentf("topic %s of source %s has no partition %d", r.Topic, r.Source, r.Partition)
		}
		r.First, r.End = first.Offset, end.Offset
	}
	if err != nil {
		return fmt.Errorf("source %s: %w", r.Source, kafka.Explain(err, r.cluster.Spec))
	}
	switch {
	case r.Offset < r.First:
		r.State = Gone
	case r.Offset >= r.End:
		r.State = Beyond
	default:
		r.State = Held
	}
	return nil
}

// readTimeout bounds the reading of one record: compaction may have taken it
// and all that is after it.
const readTimeout = 10 * time.Second

// read reads the record at a position that the log holds. It returns nil where
// the log has none there: compaction took it, it was a marker of a
// transaction, or the transaction was aborted.
func (r *Result) read(ctx context.Context, uncommitted bool) (*kgo.Record, error) {
	opts, err := kafka.Options(ctx, r.cluster.Spec)
	if err != nil {
		return nil, err
	}
	isolation := kgo.ReadCommitted()
	if uncommitted {
		isolation = kgo.ReadUncommitted()
	}
	client, err := kgo.NewClient(append(opts, kgo.ClientID("kappa-bridge-locate"), kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxPartitionBytes(1<<20),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.Topic: {r.Partition: kgo.NewOffset().At(r.Offset)}}))...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	wait, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for {
		fetches := client.PollRecords(wait, 1)
		switch err := fetches.Err(); {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", r.Position, kafka.Explain(err, r.cluster.Spec))
		}
		for _, rec := range fetches.Records() {
			if rec.Offset == r.Offset && !rec.Attrs.IsControl() {
				return rec, nil
			}
			return nil, nil
		}
	}
}
