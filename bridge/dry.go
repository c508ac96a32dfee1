package bridge

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// TopicHash is the 40-bit hash of a topic that ids made from positions hold:
// of its cluster's id and its own.
func TopicHash(cluster string, topicID [16]byte) uint64 { return topicHash(cluster, topicID) }

// Locate reads the position back from an id that was made from one: the hash
// of its topic (TopicHash), partition, offset, and ordinal of the event within
// the record. ok is false for every other id.
func Locate(id [16]byte) (hash uint64, partition int32, offset int64, ordinal uint16, ok bool) {
	return positionOf(id)
}

// Dry makes of records what a bridge would make of them, and publishes
// nothing. It is for one goroutine.
type Dry struct {
	maker   *maker
	bundles bool
	origins map[dryKey]*origin
	made    Dried
	blocked string
}

type dryKey struct {
	cluster, topic string
	id             [16]byte
	partition      int32
}

// Dried is what a record would become. Without events and without a reason,
// the filter drops it.
type Dried struct {
	Events  []DriedEvent // valid until the next call of Make
	Dropped int          // events that the filter drops
	Reason  string       // why it would be a dead letter: the short code; empty: it would not
	Detail  string       // what exactly is wrong; nothing of the record's content
}

// DriedEvent is an event that would be published.
type DriedEvent struct {
	ID      [16]byte
	Ordinal uint16 // number of the event within the record, from 0
	Time    int64  // event time, in milliseconds since the Unix epoch
	Topic   string // short name
	Bytes   int    // in a publish request; of a bundle, the event's part
}

// NewDry compiles a spec. version is the bridge's, which messages carry.
func NewDry(spec *jobspecs.Bridge, version string) (*Dry, error) {
	p, err := newPlan(spec.Metadata.Name, version, &spec.Spec)
	if err != nil {
		return nil, err
	}
	d := &Dry{maker: newMaker(p), bundles: p.bundle.MaxEvents > 0, origins: map[dryKey]*origin{}}
	if m := d.maker.machine; m != nil {
		m.Blocked = func(problem string) {
			if problem != "" {
				d.blocked = problem
			}
		}
	}
	return d, nil
}

// Make makes of a record what the bridge would. The error is that of ctx, with
// what stood in the way: a schema registry that is away is waited for.
func (d *Dry) Make(ctx context.Context, cluster string, topicID [16]byte, r *kgo.Record) (Dried, error) {
	d.made, d.blocked = Dried{Events: d.made.Events[:0]}, ""
	err := d.make(ctx, d.origin(cluster, topicID, r), r)
	var why *badRecord
	switch {
	case errors.As(err, &why):
		d.made.Events = d.made.Events[:0]
		d.made.Reason, d.made.Detail = why.reason, why.err.Error()
	case err != nil && d.blocked != "":
		return Dried{}, fmt.Errorf("%s: %w", d.blocked, err)
	case err != nil:
		return Dried{}, err
	}
	return d.made, nil
}

func (d *Dry) origin(cluster string, topicID [16]byte, r *kgo.Record) *origin {
	key := dryKey{cluster, r.Topic, topicID, r.Partition}
	o := d.origins[key]
	if o == nil {
		at := envelope.Position{Cluster: cluster, Topic: r.Topic, Partition: r.Partition}
		o = &origin{prefix: at.PartitionKey() + "/", hash: topicHash(cluster, topicID), partition: r.Partition}
		d.origins[key] = o
	}
	return o
}

// make does what worker.record and worker.several do, up to the segments.
func (d *Dry) make(ctx context.Context, from *origin, r *kgo.Record) error {
	m := d.maker
	if m.ids.From == idsFromPosition {
		if err := checkIDPartition(r.Partition); err != nil {
			return bad(reasonID, err)
		}
	}
	n, err := m.open(ctx, r)
	if err != nil {
		return err
	}
	if m.decoded {
		d.made.Dropped = m.machine.Dropped()
	}
	for i := range n {
		if err := m.describe(i, r, from); err != nil {
			return err
		}
		id, err := parseUUID([]byte(m.draft.value(0)))
		if err != nil {
			return err
		}
		e := DriedEvent{ID: id, Time: m.when, Topic: m.topics[m.lane/max(m.buckets, 1)]}
		if m.exploded && m.decoded {
			e.Ordinal = uint16(m.machine.Ordinal(i))
		}
		if e.Bytes, err = d.size(r); err != nil {
			return err
		}
		d.made.Events = append(d.made.Events, e)
	}
	return nil
}

// size is the size of the event that was described last, which must fit.
func (d *Dry) size(r *kgo.Record) (int, error) {
	m := d.maker
	if !d.bundles {
		size := fieldSize(m.draft.inner())
		if size > m.maxMessage {
			return 0, bad(reasonTooLarge, fmt.Errorf("the message has %d bytes, Pub/Sub takes %d", size, m.maxMessage))
		}
		return size, nil
	}
	entry, err := envelope.AppendBundled(nil, m.avro, envelope.Bundled{
		ID: m.draft.value(0), EventTime: m.when, Position: m.draft.value(2), SourceTime: m.source, Data: m.draft.data, Null: r.Value == nil,
	})
	if err != nil {
		return 0, bad(reasonTransform, err)
	}
	if len(entry)+bundleMargin > m.maxMessage {
		return 0, bad(reasonTooLarge, fmt.Errorf("the event has %d bytes, Pub/Sub takes %d", len(entry), m.maxMessage-bundleMargin))
	}
	return len(entry), nil
}
