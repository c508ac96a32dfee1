package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/storage"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
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
func setUp(ctx context.Context, c *clients, s *specs, version string) error {
	// The records' own timestamps are years old: without a limit on retention
	// Kafka would delete them as soon as it looks.
	keep := "-1"
	topic := s.source().Topics[0]
	if _, err := c.admin.CreateTopic(ctx, partitions, 1, map[string]*string{"retention.ms": &keep}, topic); err != nil {
		return exit.Environmentf("create Kafka topic %s: %w", topic, err)
	}
	if err := setUpPubSub(ctx, c, s); err != nil {
		return err
	}
	if err := c.BigQuery.Dataset(s.stream.Spec.Sinks.BigQuery.Dataset).Create(ctx, &bigquery.DatasetMetadata{Location: "US"}); err != nil {
		return exit.Environmentf("create BigQuery dataset %s: %w", s.stream.Spec.Sinks.BigQuery.Dataset, err)
	}
	made := map[string]bool{}
	for _, uri := range []string{s.stream.Spec.Template, s.stream.Spec.Staging, s.load.Spec.Source.URI} {
		bucket, _ := splitURI(uri)
		if made[bucket] {
			continue
		}
		made[bucket] = true
		if err := c.Storage.Bucket(bucket).Create(ctx, s.stream.Spec.Project, nil); err != nil {
			return exit.Environmentf("create bucket %s: %w", bucket, err)
		}
	}
	for _, template := range s.templates {
		if err := putTemplate(ctx, c.Storage, template, version); err != nil {
			return err
		}
	}
	return nil
}

// setUpPubSub makes the topics of the split, the dead letters' topic, and a
// subscription to each. A subscription is paired with its topic by the number.
func setUpPubSub(ctx context.Context, c *clients, s *specs) error {
	project := s.bridge.Spec.Project
	dead := s.bridge.Spec.DeadLetter.Topic
	pairs := [][2]string{{dead, dead}}
	for i, topic := range s.bridge.Spec.Split.Topics() {
		pairs = append(pairs, [2]string{topic, s.stream.Spec.Sources.Name(i)})
	}
	for _, p := range pairs {
		topic := "projects/" + project + "/topics/" + p[0]
		if _, err := c.PubSub.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: topic}); err != nil {
			return exit.Environmentf("create topic %s: %w", p[0], err)
		}
		if _, err := c.PubSub.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{
			Name: "projects/" + project + "/subscriptions/" + p[1], Topic: topic, AckDeadlineSeconds: 600,
		}); err != nil {
			return exit.Environmentf("create subscription %s: %w", p[1], err)
		}
	}
	return nil
}

// putTemplate writes the flex template, as `gcloud dataflow flex-template build` does.
func putTemplate(ctx context.Context, client *storage.Client, uri, version string) error {
	type parameter struct {
		Name       string `json:"name"`
		Label      string `json:"label"`
		IsOptional bool   `json:"isOptional,omitempty"`
	}
	template := map[string]any{
		"image":   "us-central1-docker.pkg.dev/kappa-demo/kappa/kappa-pipeline:" + imageTag(version),
		"sdkInfo": map[string]string{"language": "GO"},
		"metadata": map[string]any{
			"name":        "kappa-pipeline",
			"description": "The streaming jobs of a StreamJob.",
			"parameters": []parameter{
				{"jobspec", "Resolved job file", false}, {"job", "Name of the job", false}, {"generation", "Generation of the job", false},
				{"archive", "Avro files of a backfill", true},
			},
		},
	}
	data, err := json.MarshalIndent(template, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the template: %w", err)
	}
	bucket, name := splitURI(uri)
	return putObject(ctx, client, bucket, name, "application/json", data)
}

// imageTag makes a container image's tag of a version: letters, digits, and ._-
func imageTag(version string) string {
	tag := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-' {
			return r
		}
		return '-'
	}, version)
	if tag == "" {
		return "latest"
	}
	return tag
}

// splitURI takes gs://BUCKET/OBJECT apart.
func splitURI(uri string) (bucket, object string) {
	bucket, object, _ = strings.Cut(strings.TrimPrefix(uri, "gs://"), "/")
	return bucket, object
}
