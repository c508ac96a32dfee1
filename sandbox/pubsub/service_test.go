package pubsub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func wantCode(t *testing.T, err error, code codes.Code, part string) {
	t.Helper()
	if status.Code(err) != code || err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("got %v, want %v with %q", err, code, part)
	}
}

// invariant A4: a server that was told no address listens on loopback.
func TestLoopbackByDefault(t *testing.T) {
	s, _ := start(t)
	if !strings.HasPrefix(s.Addr(), "127.0.0.1:") {
		t.Errorf("listens on %s", s.Addr())
	}
}

func TestTopicsAndSubscriptions(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	topics, subs := c.TopicAdminClient, c.SubscriptionAdminClient
	create(t, c, func(s *pb.Subscription) { s.Labels = map[string]string{"team": "flights"} })

	got, err := subs.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: testSub})
	if err != nil {
		t.Fatal(err)
	}
	want := &pb.Subscription{
		Name: testSub, Topic: testTopic, AckDeadlineSeconds: 10, Labels: map[string]string{"team": "flights"},
		MessageRetentionDuration: durationpb.New(defaultRetention),
		ExpirationPolicy:         &pb.ExpirationPolicy{Ttl: durationpb.New(defaultExpiry)},
		PushConfig:               &pb.PushConfig{}, State: pb.Subscription_ACTIVE,
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("created subscription:\n%s", diff)
	}

	_, err = topics.CreateTopic(ctx, &pb.Topic{Name: testTopic})
	wantCode(t, err, codes.AlreadyExists, testTopic)
	_, err = subs.CreateSubscription(ctx, &pb.Subscription{Name: testSub, Topic: testTopic})
	wantCode(t, err, codes.AlreadyExists, testSub)
	_, err = subs.CreateSubscription(ctx, &pb.Subscription{Name: testSub + "2", Topic: testTopic + "2"})
	wantCode(t, err, codes.NotFound, testTopic+"2")
	_, err = topics.GetTopic(ctx, &pb.GetTopicRequest{Topic: testTopic + "2"})
	wantCode(t, err, codes.NotFound, "Resource not found (resource=projects/p/topics/orders2).")
	_, err = subs.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: testSub + "2"})
	wantCode(t, err, codes.NotFound, testSub+"2")
	_, err = topics.CreateTopic(ctx, &pb.Topic{Name: "projects/p/topics/goog"})
	wantCode(t, err, codes.InvalidArgument, "Invalid resource name")

	updated, err := subs.UpdateSubscription(ctx, &pb.UpdateSubscriptionRequest{
		Subscription: &pb.Subscription{Name: testSub, AckDeadlineSeconds: 77, Labels: map[string]string{"x": "y"}},
		UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"ack_deadline_seconds"}},
	})
	if err != nil || updated.AckDeadlineSeconds != 77 || updated.Labels["team"] != "flights" {
		t.Errorf("updated subscription: %v, %v", updated, err)
	}
	for path, code := range map[string]codes.Code{"topic": codes.InvalidArgument, "push_config": codes.Unimplemented} {
		_, err = subs.UpdateSubscription(ctx, &pb.UpdateSubscriptionRequest{Subscription: &pb.Subscription{Name: testSub}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}})
		wantCode(t, err, code, path)
	}
	topic, err := topics.UpdateTopic(ctx, &pb.UpdateTopicRequest{
		Topic:      &pb.Topic{Name: testTopic, MessageRetentionDuration: durationpb.New(time.Hour)},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"message_retention_duration"}},
	})
	if err != nil || topic.MessageRetentionDuration.AsDuration() != time.Hour {
		t.Errorf("updated topic: %v, %v", topic, err)
	}

	// Paging: seven more topics, three a page.
	for i := range 7 {
		if _, err := topics.CreateTopic(ctx, &pb.Topic{Name: fmt.Sprintf("projects/p/topics/page-%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := topics.CreateTopic(ctx, &pb.Topic{Name: "projects/pp/topics/other-project"}); err != nil {
		t.Fatal(err)
	}
	var names []string
	it := topics.ListTopics(ctx, &pb.ListTopicsRequest{Project: "projects/p", PageSize: 3})
	for {
		topic, err := it.Next()
		if err == iterator.Done {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimPrefix(topic.Name, "projects/p/topics/"))
	}
	if want := []string{"orders", "page-0", "page-1", "page-2", "page-3", "page-4", "page-5", "page-6"}; !slices.Equal(names, want) {
		t.Errorf("listed %v, want %v", names, want)
	}
	name, err := topics.ListTopicSubscriptions(ctx, &pb.ListTopicSubscriptionsRequest{Topic: testTopic}).Next()
	if err != nil || name != testSub {
		t.Errorf("subscriptions of the topic: %q, %v", name, err)
	}

	// A deleted topic leaves its subscriptions and their messages.
	publishN(t, c, 1)
	if err := topics.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: testTopic}); err != nil {
		t.Fatal(err)
	}
	sub, err := subs.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: testSub})
	if err != nil || sub.Topic != deletedTopic {
		t.Errorf("subscription of a deleted topic: %v, %v", sub, err)
	}
	if got := pull(t, c, 1); len(got) != 1 {
		t.Error("the message of a deleted topic is gone")
	}
	_, err = topics.Publish(ctx, &pb.PublishRequest{Topic: testTopic, Messages: []*pb.PubsubMessage{{Data: []byte("x")}}})
	wantCode(t, err, codes.NotFound, testTopic)
	if err := subs.DeleteSubscription(ctx, &pb.DeleteSubscriptionRequest{Subscription: testSub}); err != nil {
		t.Fatal(err)
	}
	_, err = subs.Pull(ctx, &pb.PullRequest{Subscription: testSub, MaxMessages: 1})
	wantCode(t, err, codes.NotFound, testSub)
}

func TestRefusesWhatItCannotDo(t *testing.T) {
	_, c := start(t)
	create(t, c, nil)
	ctx := t.Context()
	subs := c.SubscriptionAdminClient
	for part, change := range map[string]func(*pb.Subscription){
		"push subscriptions":          func(s *pb.Subscription) { s.PushConfig = &pb.PushConfig{PushEndpoint: "https://example.com"} },
		"BigQuery subscriptions":      func(s *pb.Subscription) { s.BigqueryConfig = &pb.BigQueryConfig{} },
		"Cloud Storage subscriptions": func(s *pb.Subscription) { s.CloudStorageConfig = &pb.CloudStorageConfig{} },
		"Bigtable subscriptions":      func(s *pb.Subscription) { s.BigtableConfig = &pb.BigtableConfig{} },
		"filters":                     func(s *pb.Subscription) { s.Filter = "attributes:x" },
		"exactly-once":                func(s *pb.Subscription) { s.EnableExactlyOnceDelivery = true },
		"retry_policy":                func(s *pb.Subscription) { s.RetryPolicy = &pb.RetryPolicy{} },
		"message_transforms":          func(s *pb.Subscription) { s.MessageTransforms = []*pb.MessageTransform{{}} },
		"tags":                        func(s *pb.Subscription) { s.Tags = map[string]string{"a": "b"} },
	} {
		s := &pb.Subscription{Name: testSub + "-new", Topic: testTopic}
		change(s)
		_, err := subs.CreateSubscription(ctx, s)
		wantCode(t, err, codes.Unimplemented, part)
	}
	for part, change := range map[string]func(*pb.Topic){
		"kms_key_name":                   func(s *pb.Topic) { s.KmsKeyName = "k" },
		"schema_settings":                func(s *pb.Topic) { s.SchemaSettings = &pb.SchemaSettings{} },
		"ingestion_data_source_settings": func(s *pb.Topic) { s.IngestionDataSourceSettings = &pb.IngestionDataSourceSettings{} },
	} {
		topic := &pb.Topic{Name: testTopic + "-new"}
		change(topic)
		_, err := c.TopicAdminClient.CreateTopic(ctx, topic)
		wantCode(t, err, codes.Unimplemented, part)
	}
	for _, bad := range []func(*pb.Subscription){
		func(s *pb.Subscription) { s.AckDeadlineSeconds = 9 },
		func(s *pb.Subscription) { s.AckDeadlineSeconds = 601 },
		func(s *pb.Subscription) { s.MessageRetentionDuration = durationpb.New(9 * time.Minute) },
		func(s *pb.Subscription) { s.MessageRetentionDuration = durationpb.New(32 * 24 * time.Hour) },
		func(s *pb.Subscription) { s.ExpirationPolicy = &pb.ExpirationPolicy{Ttl: durationpb.New(time.Hour)} },
		func(s *pb.Subscription) {
			s.DeadLetterPolicy = &pb.DeadLetterPolicy{DeadLetterTopic: testTopic, MaxDeliveryAttempts: 4}
		},
		func(s *pb.Subscription) { s.DeadLetterPolicy = &pb.DeadLetterPolicy{DeadLetterTopic: "x"} },
	} {
		s := &pb.Subscription{Name: testSub + "-new", Topic: testTopic}
		bad(s)
		_, err := subs.CreateSubscription(ctx, s)
		wantCode(t, err, codes.InvalidArgument, "")
	}
	_, err := subs.CreateSnapshot(ctx, &pb.CreateSnapshotRequest{Name: testSnapshot, Subscription: testSub, Tags: map[string]string{"a": "b"}})
	wantCode(t, err, codes.Unimplemented, "tags of snapshots")
	// A whole service that is not there.
	//lint:ignore SA1019 the client has one connection here
	schemas := pb.NewSchemaServiceClient(c.TopicAdminClient.Connection())
	_, err = schemas.GetSchema(ctx, &pb.GetSchemaRequest{})
	wantCode(t, err, codes.Unimplemented, "google.pubsub.v1.SchemaService/GetSchema")
}

// pull pulls up to n messages once.
func pull(t testing.TB, c *pubsub.Client, n int32) []*pb.ReceivedMessage {
	t.Helper()
	resp, err := c.SubscriptionAdminClient.Pull(t.Context(), &pb.PullRequest{Subscription: testSub, MaxMessages: n})
	if err != nil {
		t.Fatal(err)
	}
	return resp.ReceivedMessages
}

func ackIDs(messages []*pb.ReceivedMessage) []string {
	var out []string
	for _, m := range messages {
		out = append(out, m.AckId)
	}
	return out
}

func TestPullAckAndNack(t *testing.T) {
	s, c := start(t)
	create(t, c, nil)
	ctx := t.Context()
	subs := c.SubscriptionAdminClient
	publishN(t, c, 3)

	first := pull(t, c, 2)
	if len(first) != 2 || string(first[0].Message.Data) != "0" || first[0].DeliveryAttempt != 0 {
		t.Fatalf("first pull: %v", first)
	}
	if first[0].Message.MessageId == first[1].Message.MessageId || first[0].Message.PublishTime.AsTime().IsZero() {
		t.Errorf("ids or publish times are not set: %v", first)
	}
	if rest := pull(t, c, 10); len(rest) != 1 {
		t.Fatalf("second pull: %v", rest)
	}
	// Refuse one: it comes again, under another ack id; the old one is void.
	if err := subs.ModifyAckDeadline(ctx, &pb.ModifyAckDeadlineRequest{Subscription: testSub, AckIds: []string{first[0].AckId}, AckDeadlineSeconds: 0}); err != nil {
		t.Fatal(err)
	}
	again := pull(t, c, 10)
	if len(again) != 1 || !proto.Equal(again[0].Message, first[0].Message) || again[0].AckId == first[0].AckId {
		t.Fatalf("after the refusal: %v", again)
	}
	if err := subs.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: testSub, AckIds: []string{first[0].AckId}}); err != nil {
		t.Fatal(err)
	}
	if n := s.subs[testSub].backlog.count; n != 3 {
		t.Errorf("a void ack id acknowledged something: %d messages held, want 3", n)
	}
	if err := subs.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: testSub, AckIds: append(ackIDs(again), ackIDs(again)...)}); err != nil {
		t.Fatal(err)
	}
	if n := s.subs[testSub].backlog.count; n != 2 {
		t.Errorf("%d messages held, want 2", n)
	}
	// Errors of use.
	wantCode(t, subs.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: testSub, AckIds: []string{"nonsense"}}), codes.InvalidArgument, "invalid ack ID")
	wantCode(t, subs.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: testSub}), codes.InvalidArgument, "")
	wantCode(t, subs.ModifyAckDeadline(ctx, &pb.ModifyAckDeadlineRequest{Subscription: testSub, AckIds: []string{first[0].AckId}, AckDeadlineSeconds: 601}), codes.InvalidArgument, "deadline")
	many := &pb.AcknowledgeRequest{Subscription: testSub}
	for range 3000 {
		many.AckIds = append(many.AckIds, first[0].AckId)
	}
	wantCode(t, subs.Acknowledge(ctx, many), codes.InvalidArgument, "exceeds the limit: 524288 bytes")
	_, err := subs.Pull(ctx, &pb.PullRequest{Subscription: testSub})
	wantCode(t, err, codes.InvalidArgument, "max_messages")
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = subs.Pull(short, &pb.PullRequest{Subscription: testSub, MaxMessages: 1})
	wantCode(t, err, codes.DeadlineExceeded, "")
}

// TestDetach shows that a detached subscription drops its messages and refuses
// to be pulled.
func TestDetach(t *testing.T) {
	s, c := start(t)
	create(t, c, nil)
	publishN(t, c, 10)
	if _, err := c.TopicAdminClient.DetachSubscription(t.Context(), &pb.DetachSubscriptionRequest{Subscription: testSub}); err != nil {
		t.Fatal(err)
	}
	_, err := c.SubscriptionAdminClient.Pull(t.Context(), &pb.PullRequest{Subscription: testSub, MaxMessages: 1})
	wantCode(t, err, codes.FailedPrecondition, "detached")
	publishN(t, c, 10)
	if n := s.retained.Load(); n != 0 {
		t.Errorf("%d bytes retained, want 0", n)
	}
}

// TestBacklogIsBounded shows that publishing stops at the limit and goes on
// once messages were acknowledged.
func TestBacklogIsBounded(t *testing.T) {
	s, c := start(t)
	s.cfg.MaxBacklogBytes = 10_000
	create(t, c, nil)
	//lint:ignore SA1019 the client has one connection here
	publisher := pb.NewPublisherClient(c.TopicAdminClient.Connection()) // the official one tries again
	send := func() error {
		_, err := publisher.Publish(t.Context(), &pb.PublishRequest{Topic: testTopic, Messages: []*pb.PubsubMessage{{Data: make([]byte, 6_000)}}})
		return err
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, send(), codes.ResourceExhausted, "limit is 10000")
	if err := c.SubscriptionAdminClient.Acknowledge(t.Context(), &pb.AcknowledgeRequest{Subscription: testSub, AckIds: ackIDs(pull(t, c, 1))}); err != nil {
		t.Fatal(err)
	}
	if err := send(); err != nil {
		t.Errorf("after acknowledging: %v", err)
	}
}
