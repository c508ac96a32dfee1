// Package trial is what the commands share that look at a bridge from outside:
// the clusters of its sources, and what its spec makes of a record, in the
// forms that packages verify, inspect and locate ask for.
package trial

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/bridge"
	"github.com/kappa-migrate/kappa/bridge/inspect"
	"github.com/kappa-migrate/kappa/bridge/verify"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Source is a cluster that a bridge reads.
type Source struct {
	Name   string
	Spec   jobspecs.KafkaSource
	Client *kgo.Client
}

// Open connects to the clusters of a bridge's sources. The caller calls done,
// once it needs them no more; it does so also after an error.
func Open(ctx context.Context, spec *jobspecs.BridgeSpec, clientID string) (sources []Source, done func(), err error) {
	done = func() {
		for _, s := range sources {
			s.Client.Close()
		}
	}
	for _, name := range spec.SourceNames() {
		s := spec.Sources[name]
		client, err := kafka.Connect(ctx, s.KafkaCluster, clientID)
		if err != nil {
			return sources, done, exit.With(exit.Environment, err)
		}
		sources = append(sources, Source{name, s, client})
	}
	return sources, done, nil
}

// Clusters are the sources as package verify reads them. bounded says that the
// range has a beginning; otherwise it is where the spec lets the bridge begin.
func Clusters(ctx context.Context, sources []Source, clientID string, bounded bool) ([]verify.Cluster, error) {
	var list []verify.Cluster
	for _, s := range sources {
		admin := kadm.NewClient(s.Client)
		topics, _, err := kafka.Topics(ctx, admin, s.Spec)
		if err != nil {
			return nil, err
		}
		c := verify.Cluster{Name: s.Name, Client: s.Client, Group: s.Spec.Group, Uncommitted: Uncommitted(s.Spec)}
		for _, t := range topics.Sorted() {
			c.Topics = append(c.Topics, t.Topic)
		}
		if !bounded || s.Spec.Start != jobspecs.StartLatest {
			if c.Begin, err = begin(ctx, admin, s, topics); err != nil {
				return nil, err
			}
		}
		c.Reader = Reader(ctx, s.Spec.KafkaCluster, clientID)
		list = append(list, c)
	}
	return list, nil
}

// begin is where a bridge that had committed nothing would begin, which is
// where it once began, if its spec says so.
func begin(ctx context.Context, admin *kadm.Client, s Source, topics kadm.TopicDetails) (map[string]map[int32]int64, error) {
	if s.Spec.Start == jobspecs.StartLatest {
		return nil, exit.Usagef("source %s starts at latest, so it is not known where the bridge began", s.Name).
			WithHint("give the beginning of the range with --from or --offsets")
	}
	wanted := map[string][]int32{}
	for _, t := range topics {
		wanted[t.Topic] = t.Partitions.Numbers()
	}
	starts, err := kafka.Starts(ctx, admin, s.Spec, wanted)
	var outside *kafka.StartError
	if errors.As(err, &outside) { // retention has taken the offset: the range begins with the log
		err = nil
	}
	return starts, err
}

// Reader returns what makes clients that read a cluster's records.
func Reader(ctx context.Context, c jobspecs.KafkaCluster, clientID string) func(opts ...kgo.Opt) (*kgo.Client, error) {
	return func(opts ...kgo.Opt) (*kgo.Client, error) {
		how, err := kafka.Options(ctx, c)
		if err != nil {
			return nil, err
		}
		return kgo.NewClient(slices.Concat(how, []kgo.Opt{kgo.ClientID(clientID)}, opts)...)
	}
}

// Uncommitted reports whether a source reads records of open and aborted
// transactions too.
func Uncommitted(s jobspecs.KafkaSource) bool { return s.Isolation == "readUncommitted" }

// IDs are the ids that the bridge makes from positions.
type IDs struct{}

// TopicHash implements verify.IDs and locate.IDs.
func (IDs) TopicHash(cluster string, topicID [16]byte) uint64 {
	return bridge.TopicHash(cluster, topicID)
}

// Position implements locate.IDs.
func (IDs) Position(id [16]byte) (hash uint64, partition int32, offset int64, ordinal uint16, ok bool) {
	return bridge.Locate(id)
}

// Locate implements verify.IDs.
func (IDs) Locate(id [16]byte) (verify.Location, bool) {
	hash, partition, offset, ordinal, ok := bridge.Locate(id)
	return verify.Location{Hash: hash, Partition: partition, Offset: offset, Ordinal: ordinal}, ok
}

// Maker makes of records what the bridge would, and publishes nothing. It is
// for one goroutine.
type Maker struct {
	dry      *bridge.Dry
	events   []verify.Event
	messages []inspect.Message
}

// NewMaker compiles a spec.
func NewMaker(spec *jobspecs.Bridge, version string) (*Maker, error) {
	dry, err := bridge.NewDry(spec, version)
	return &Maker{dry: dry}, err
}

// Expect implements verify.Expecter.
func (m *Maker) Expect(ctx context.Context, cluster string, topicID [16]byte, r *kgo.Record) (verify.Expected, error) {
	d, err := m.dry.Make(ctx, cluster, topicID, r)
	if err != nil {
		return verify.Expected{}, err
	}
	x := verify.Expected{Reason: d.Reason, Dropped: d.Dropped}
	switch {
	case d.Reason != "":
		x.Outcome = verify.DeadLettered
	case len(d.Events) == 0:
		x.Outcome = verify.Filtered
	}
	m.events = m.events[:0]
	for i := range d.Events {
		e := &d.Events[i]
		m.events = append(m.events, verify.Event{ID: e.ID, Ordinal: e.Ordinal, Time: e.Time})
	}
	x.Events = m.events
	return x, nil
}

// Try implements inspect.Trier.
func (m *Maker) Try(ctx context.Context, cluster string, topicID [16]byte, r *kgo.Record) (inspect.Trial, error) {
	d, err := m.dry.Make(ctx, cluster, topicID, r)
	if err != nil {
		return inspect.Trial{}, err
	}
	m.messages = m.messages[:0]
	for i := range d.Events {
		m.messages = append(m.messages, inspect.Message{Topic: d.Events[i].Topic, Bytes: d.Events[i].Bytes})
	}
	return inspect.Trial{Messages: m.messages, Dropped: d.Dropped, Reason: d.Reason, Detail: d.Detail}, nil
}
