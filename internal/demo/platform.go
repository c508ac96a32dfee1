package demo

import (
	"context"
	"strings"

	"cloud.google.com/go/bigquery"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/provision"
)

// partitions is the number of partitions of the Kafka topic.
const partitions = 6

// clients are the connections to the sandbox, made as for the real services.
type clients struct {
	*deploy.Clients
	kafka *kgo.Client
	admin *kadm.Client
}

func connect(ctx context.Context, s *specs) (*clients, error) {
	cloud, err := deploy.Connect(ctx, s.stream)
	if err != nil {
		return nil, err
	}
	kafka, err := kgo.NewClient(kgo.SeedBrokers(s.source().Brokers...))
	if err != nil {
		cloud.Close()
		return nil, exit.Environmentf("connect to Kafka: %w", err)
	}
	return &clients{Clients: cloud, kafka: kafka, admin: kadm.NewClient(kafka)}, nil
}

func (c *clients) close() {
	c.kafka.Close()
	c.Close()
}

// setUp makes what a real migration has made beforehand, with Terraform or by
// other hands: the Kafka topic and the cloud's resources that the specs name.
func setUp(ctx context.Context, c *clients, s *specs) error {
	// The records' own timestamps are years old: without a limit on retention
	// Kafka would delete them as soon as it looks.
	keep := "-1"
	topic := s.source().Topics[0]
	if _, err := c.admin.CreateTopic(ctx, partitions, 1, map[string]*string{"retention.ms": &keep}, topic); err != nil {
		return exit.Environmentf("create Kafka topic %s: %w", topic, err)
	}
	if _, err := provision.Apply(ctx, s.expects); err != nil {
		return err
	}
	if err := c.BigQuery.Dataset(s.stream.Spec.Sinks.BigQuery.Dataset).Create(ctx, &bigquery.DatasetMetadata{Location: "US"}); err != nil {
		return exit.Environmentf("create BigQuery dataset %s: %w", s.stream.Spec.Sinks.BigQuery.Dataset, err)
	}
	return nil
}

// splitURI takes gs://BUCKET/OBJECT apart.
func splitURI(uri string) (bucket, object string) {
	bucket, object, _ = strings.Cut(strings.TrimPrefix(uri, "gs://"), "/")
	return bucket, object
}
