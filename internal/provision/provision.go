// Package provision makes, in the sandbox, what specs expect to find and no
// command makes: Kafka topics, Pub/Sub topics and subscriptions, buckets and
// the template. In production Terraform or other hands have made them.
//
// Flow: the specs say what there is to make (Resources, without any I/O), and
// Apply makes what is not there yet. Documents that are not for the sandbox are
// refused.
package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/storage"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Apply makes the resources of the specs that are not there yet, by the
// addresses that the environment gives, and returns what it made, each in words,
// also if it fails.
func Apply(ctx context.Context, set *jobspecs.Set) ([]string, error) {
	r, err := Find(set)
	if err != nil {
		return nil, err
	}
	a := &applier{}
	for _, brokers := range r.Brokers() {
		if err := a.kafka(ctx, brokers, r.Kafka[brokers]); err != nil {
			return a.made, err
		}
	}
	for _, p := range r.Projects {
		if err := a.project(ctx, p); err != nil {
			return a.made, err
		}
	}
	return a.made, nil
}

// sandbox is the environment of the documents that are taken.
const sandbox = "sandbox"

// applier makes resources, and keeps what it made.
type applier struct{ made []string }

func (a *applier) say(format string, args ...any) {
	a.made = append(a.made, fmt.Sprintf(format, args...))
}

func (a *applier) kafka(ctx context.Context, brokers string, topics []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds(brokers)...))
	if err != nil {
		return exit.Environmentf("connect to Kafka at %s: %w", brokers, err)
	}
	defer client.Close()
	// Events may be older than any retention.
	keep := "-1"
	made, err := kadm.NewClient(client).CreateTopics(ctx, -1, -1, map[string]*string{"retention.ms": &keep}, topics...)
	if err != nil {
		return exit.Environmentf("create Kafka topics: %w", err)
	}
	for _, t := range made.Sorted() {
		switch {
		case errors.Is(t.Err, kerr.TopicAlreadyExists):
		case t.Err != nil:
			return exit.Environmentf("create Kafka topic %s: %w", t.Topic, t.Err)
		default:
			a.say("Kafka topic %s", t.Topic)
		}
	}
	return nil
}

func (a *applier) project(ctx context.Context, p Project) error {
	platform, err := gcp.Open(jobspecs.Platform{Environment: sandbox, Project: p.ID})
	if err != nil {
		return err
	}
	if len(p.Topics)+len(p.Subscriptions) > 0 {
		if err := a.pubsub(ctx, platform, p); err != nil {
			return err
		}
	}
	if len(p.Buckets) == 0 {
		return nil
	}
	client, err := platform.Storage(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, bucket := range p.Buckets {
		err := client.Bucket(bucket).Create(ctx, p.ID, nil)
		var there *googleapi.Error
		switch {
		case errors.As(err, &there) && there.Code == 409:
		case err != nil:
			return exit.Environmentf("create bucket %s: %w", bucket, err)
		default:
			a.say("bucket %s", bucket)
		}
	}
	for _, uri := range p.Templates {
		if err := a.template(ctx, client, uri); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) pubsub(ctx context.Context, platform gcp.Platform, p Project) error {
	client, err := platform.PubSub(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, t := range p.Topics {
		_, err := client.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: "projects/" + p.ID + "/topics/" + t})
		if err := a.unlessThere(err, "topic "+t); err != nil {
			return err
		}
	}
	for _, s := range p.Subscriptions {
		_, err := client.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{
			Name: "projects/" + p.ID + "/subscriptions/" + s.Name, Topic: "projects/" + p.ID + "/topics/" + s.Topic, AckDeadlineSeconds: 600,
		})
		if err := a.unlessThere(err, "subscription "+s.Name+" of "+s.Topic); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) unlessThere(err error, what string) error {
	switch {
	case status.Code(err) == codes.AlreadyExists:
		return nil
	case err != nil:
		return exit.Environmentf("create %s: %w", what, err)
	}
	a.say("%s", what)
	return nil
}

// template writes a flex template, as `gcloud dataflow flex-template build` does.
func (a *applier) template(ctx context.Context, client *storage.Client, uri string) error {
	bucket, name := splitURI(uri)
	type parameter struct {
		Name       string `json:"name"`
		Label      string `json:"label"`
		IsOptional bool   `json:"isOptional,omitempty"`
	}
	data, err := json.MarshalIndent(map[string]any{
		"image":   "kappa-pipeline:sandbox",
		"sdkInfo": map[string]string{"language": "GO"},
		"metadata": map[string]any{
			"name":        "kappa-pipeline",
			"description": "The streaming jobs of a StreamJob.",
			"parameters": []parameter{
				{"jobspec", "Resolved job file", false}, {"job", "Name of the job", false}, {"generation", "Generation of the job", false},
				{"archive", "Avro files of a backfill", true}, {"files", "Files of events of a backfill", true},
				{"table", "Raw table of a backfill", true}, {"maxbytes", "Most bytes that a query on it may bill", true},
				{"from", "Least event time of a backfill", true}, {"to", "End of the event times of a backfill", true},
				{"shadow", "Whether a backfill writes to BigQuery alone", true},
			},
		},
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the template: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // an upload that is left half-way must not go on
	object := client.Bucket(bucket).Object(name)
	if _, err := object.Attrs(ctx); err == nil {
		return nil
	}
	w := object.NewWriter(ctx)
	w.ChunkSize, w.ContentType = 0, "application/json"
	_, err = w.Write(data)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return exit.Environmentf("write %s: %w", uri, err)
	}
	a.say("template %s", uri)
	return nil
}

// add appends what is not in the list yet.
func add[T comparable](list *[]T, items ...T) {
	for _, x := range items {
		if !slices.Contains(*list, x) {
			*list = append(*list, x)
		}
	}
}
