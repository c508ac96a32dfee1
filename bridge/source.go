package bridge

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// source is one cluster that is read.
type source struct {
	name    string
	spec    jobspecs.KafkaSource
	opts    []kgo.Opt // how it is reached
	client  *kgo.Client
	admin   *kadm.Client
	id      string // of the cluster
	brokers int
	topics  topicIDs
	ledger  *ledger
	lag     atomic.Int64 // -1: not known yet
}

// path is where the source stands in the spec.
func (s *source) path() string { return "spec.sources." + s.name }

// openSource connects to a cluster and looks at what is to be read.
func (b *Bridge) openSource(ctx context.Context, name string) (_ *source, err error) {
	s := &source{name: name, spec: b.spec.Sources[name], ledger: newLedger()}
	s.lag.Store(-1)
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Startup)
	defer cancel()
	if s.opts, err = kafka.Options(ctx, s.spec.KafkaCluster); err == nil {
		s.client, err = kafka.Connect(ctx, s.spec.KafkaCluster, "kappa-bridge-admin")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path(), err)
	}
	s.admin = kadm.NewClient(s.client)
	if err := b.checkSource(ctx, s); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *source) close() { s.client.Close() }

// checkSource finds the cluster, its id and its topics.
func (b *Bridge) checkSource(ctx context.Context, s *source) error {
	topics, meta, err := kafka.Topics(ctx, s.admin, s.spec)
	if err != nil {
		return fmt.Errorf("%s: %w", s.path(), err)
	}
	s.id, s.brokers = meta.Cluster, len(meta.Brokers)
	if s.id == "" {
		return exit.Environmentf("the Kafka brokers of %s do not report a cluster id, which positions are made of", s.path()).
			WithHint("upgrade the brokers to Kafka 0.10.1 or later")
	}
	for name, t := range topics {
		if b.spec.IDs.From == idsFromPosition && t.ID == (kadm.TopicID{}) {
			return exit.Environmentf("topic %s has no topic id: its brokers are older than Kafka 2.8", name).
				WithHint("set ids.from: fields, or upgrade the brokers: ids made from positions need topic ids")
		}
		s.topics.set(name, t.ID)
	}
	return nil
}

// isolation is what the consumer does about transactions.
func (s *source) isolation() kgo.IsolationLevel {
	if s.spec.Isolation == "readUncommitted" {
		return kgo.ReadUncommitted()
	}
	return kgo.ReadCommitted()
}
