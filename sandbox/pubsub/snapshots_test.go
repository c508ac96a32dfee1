package pubsub

import (
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func createSnapshot(t testing.TB, c *pubsub.Client, name, sub string) *pb.Snapshot {
	t.Helper()
	snap, err := c.SubscriptionAdminClient.CreateSnapshot(t.Context(), &pb.CreateSnapshotRequest{Name: name, Subscription: sub})
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func toSnapshot(sub, name string) *pb.SeekRequest {
	return &pb.SeekRequest{Subscription: sub, Target: &pb.SeekRequest_Snapshot{Snapshot: name}}
}

func toTime(sub string, at time.Time) *pb.SeekRequest {
	return &pb.SeekRequest{Subscription: sub, Target: &pb.SeekRequest_Time{Time: timestamppb.New(at)}}
}

func seek(t testing.TB, c *pubsub.Client, req *pb.SeekRequest) {
	t.Helper()
	if _, err := c.SubscriptionAdminClient.Seek(t.Context(), req); err != nil {
		t.Fatal(err)
	}
}

func acknowledge(t testing.TB, c *pubsub.Client, sub string, ids ...string) {
	t.Helper()
	if err := c.SubscriptionAdminClient.Acknowledge(t.Context(), &pb.AcknowledgeRequest{Subscription: sub, AckIds: ids}); err != nil {
		t.Fatal(err)
	}
}

// available pulls all that a subscription has to give, without waiting.
func available(t testing.TB, c *pubsub.Client, sub string) []*pb.ReceivedMessage {
	t.Helper()
	var out []*pb.ReceivedMessage
	for {
		//lint:ignore SA1019 deprecated, and the only way not to wait
		resp, err := c.SubscriptionAdminClient.Pull(t.Context(), &pb.PullRequest{Subscription: sub, MaxMessages: maxPull, ReturnImmediately: true})
		if err != nil {
			t.Fatal(err)
		}
		if len(resp.ReceivedMessages) == 0 {
			return out
		}
		out = append(out, resp.ReceivedMessages...)
	}
}

// data returns what messages carry.
func data(messages []*pb.ReceivedMessage) []string {
	var out []string
	for _, m := range messages {
		out = append(out, string(m.Message.Data))
	}
	return out
}

func wantData(t testing.TB, what string, got []*pb.ReceivedMessage, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, data(got)); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

func publishData(t testing.TB, c *pubsub.Client, key string, data ...string) {
	t.Helper()
	req := &pb.PublishRequest{Topic: testTopic}
	for _, d := range data {
		req.Messages = append(req.Messages, &pb.PubsubMessage{Data: []byte(d), OrderingKey: key})
	}
	if _, err := c.TopicAdminClient.Publish(t.Context(), req); err != nil {
		t.Fatal(err)
	}
}

func TestSnapshots(t *testing.T) {
	_, c := start(t)
	create(t, c, nil)
	ctx := t.Context()
	topics, subs := c.TopicAdminClient, c.SubscriptionAdminClient

	before := time.Now()
	snap, err := subs.CreateSnapshot(ctx, &pb.CreateSnapshotRequest{Name: testSnapshot, Subscription: testSub, Labels: map[string]string{"team": "flights"}})
	if err != nil {
		t.Fatal(err)
	}
	want := &pb.Snapshot{Name: testSnapshot, Topic: testTopic, Labels: map[string]string{"team": "flights"}}
	if diff := cmp.Diff(want, snap, protocmp.Transform(), protocmp.IgnoreFields(&pb.Snapshot{}, "expire_time")); diff != "" {
		t.Errorf("created snapshot:\n%s", diff)
	}
	if life := snap.ExpireTime.AsTime().Sub(before); life < maxSnapshotLife || life > maxSnapshotLife+time.Minute {
		t.Errorf("it expires after %v, want %v", life, maxSnapshotLife)
	}
	got, err := subs.GetSnapshot(ctx, &pb.GetSnapshotRequest{Snapshot: testSnapshot})
	if diff := cmp.Diff(snap, got, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("got %v\n%s", err, diff)
	}
	updated, err := subs.UpdateSnapshot(ctx, &pb.UpdateSnapshotRequest{
		Snapshot:   &pb.Snapshot{Name: testSnapshot, Labels: map[string]string{"x": "y"}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels"}},
	})
	if err != nil || len(updated.Labels) != 1 || updated.Labels["x"] != "y" || updated.Topic != testTopic {
		t.Errorf("updated snapshot: %v, %v", updated, err)
	}

	// The service makes up a name.
	named := createSnapshot(t, c, "", testSub)
	if err := checkName("snapshots", named.Name); err != nil {
		t.Error(err)
	}
	if err := subs.DeleteSnapshot(ctx, &pb.DeleteSnapshotRequest{Snapshot: named.Name}); err != nil {
		t.Fatal(err)
	}

	// Paging: three more, two a page; one in another project.
	for _, name := range []string{testSnapshot + "-2", testSnapshot + "-3", "projects/q/snapshots/orders"} {
		createSnapshot(t, c, name, testSub)
	}
	var names []string
	it := subs.ListSnapshots(ctx, &pb.ListSnapshotsRequest{Project: "projects/p", PageSize: 2})
	for {
		snap, err := it.Next()
		if err == iterator.Done {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, snap.Name)
	}
	if want := []string{testSnapshot, testSnapshot + "-2", testSnapshot + "-3"}; !slices.Equal(names, want) {
		t.Errorf("listed %v, want %v", names, want)
	}
	names = nil
	ofTopic := topics.ListTopicSnapshots(ctx, &pb.ListTopicSnapshotsRequest{Topic: testTopic, PageSize: 3})
	for {
		name, err := ofTopic.Next()
		if err == iterator.Done {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if want := []string{testSnapshot, testSnapshot + "-2", testSnapshot + "-3", "projects/q/snapshots/orders"}; !slices.Equal(names, want) {
		t.Errorf("listed %v of the topic, want %v", names, want)
	}

	// A deleted topic leaves its snapshots, and what they hold.
	publishData(t, c, "", "a")
	wantData(t, "before the topic is deleted", available(t, c, testSub), "a")
	if err := topics.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: testTopic}); err != nil {
		t.Fatal(err)
	}
	got, err = subs.GetSnapshot(ctx, &pb.GetSnapshotRequest{Snapshot: testSnapshot})
	if err != nil || got.Topic != deletedTopic {
		t.Errorf("snapshot of a deleted topic: %v, %v", got, err)
	}
	seek(t, c, toSnapshot(testSub, testSnapshot))
	wantData(t, "after the topic was deleted", available(t, c, testSub), "a")
	_, err = topics.ListTopicSnapshots(ctx, &pb.ListTopicSnapshotsRequest{Topic: testTopic}).Next()
	wantCode(t, err, codes.NotFound, testTopic)

	// So does a deleted subscription.
	if err := subs.DeleteSubscription(ctx, &pb.DeleteSubscriptionRequest{Subscription: testSub}); err != nil {
		t.Fatal(err)
	}
	if _, err := subs.GetSnapshot(ctx, &pb.GetSnapshotRequest{Snapshot: testSnapshot}); err != nil {
		t.Error(err)
	}
}

func TestSnapshotErrors(t *testing.T) {
	_, c := start(t)
	create(t, c, nil)
	ctx := t.Context()
	subs := c.SubscriptionAdminClient
	createSnapshot(t, c, testSnapshot, testSub)
	const otherTopic, otherSub, otherSnapshot = "projects/p/topics/other", "projects/p/subscriptions/other", "projects/p/snapshots/other"
	if _, err := c.TopicAdminClient.CreateTopic(ctx, &pb.Topic{Name: otherTopic}); err != nil {
		t.Fatal(err)
	}
	if _, err := subs.CreateSubscription(ctx, &pb.Subscription{Name: otherSub, Topic: otherTopic}); err != nil {
		t.Fatal(err)
	}
	detached := testSub + "-detached"
	if _, err := subs.CreateSubscription(ctx, &pb.Subscription{Name: detached, Topic: testTopic}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TopicAdminClient.DetachSubscription(ctx, &pb.DetachSubscriptionRequest{Subscription: detached}); err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct {
		name, snapshot, sub string
		code                codes.Code
		part                string
	}{
		{"exists", testSnapshot, testSub, codes.AlreadyExists, testSnapshot},
		{"bad name", "projects/p/subscriptions/orders", testSub, codes.InvalidArgument, "Invalid resource name"},
		{"no subscription", otherSnapshot, testSub + "x", codes.NotFound, testSub + "x"},
		{"detached", otherSnapshot, detached, codes.FailedPrecondition, "detached"},
	} {
		_, err := subs.CreateSnapshot(ctx, &pb.CreateSnapshotRequest{Name: tt.snapshot, Subscription: tt.sub})
		wantCode(t, err, tt.code, tt.part)
	}
	_, err := subs.GetSnapshot(ctx, &pb.GetSnapshotRequest{Snapshot: otherSnapshot})
	wantCode(t, err, codes.NotFound, otherSnapshot)
	wantCode(t, subs.DeleteSnapshot(ctx, &pb.DeleteSnapshotRequest{Snapshot: otherSnapshot}), codes.NotFound, otherSnapshot)
	_, err = subs.ListSnapshots(ctx, &pb.ListSnapshotsRequest{Project: "p"}).Next()
	wantCode(t, err, codes.InvalidArgument, "")
	for path, code := range map[string]codes.Code{"": codes.InvalidArgument, "topic": codes.InvalidArgument, "expire_time": codes.Unimplemented} {
		req := &pb.UpdateSnapshotRequest{Snapshot: &pb.Snapshot{Name: testSnapshot}, UpdateMask: &fieldmaskpb.FieldMask{}}
		if path != "" {
			req.UpdateMask.Paths = []string{path}
		}
		_, err = subs.UpdateSnapshot(ctx, req)
		wantCode(t, err, code, path)
	}
	_, err = subs.UpdateSnapshot(ctx, &pb.UpdateSnapshotRequest{Snapshot: &pb.Snapshot{Name: otherSnapshot}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels"}}})
	wantCode(t, err, codes.NotFound, otherSnapshot)

	for _, tt := range []struct {
		name string
		req  *pb.SeekRequest
		code codes.Code
		part string
	}{
		{"no target", &pb.SeekRequest{Subscription: testSub}, codes.InvalidArgument, "neither"},
		{"bad time", &pb.SeekRequest{Subscription: testSub, Target: &pb.SeekRequest_Time{Time: &timestamppb.Timestamp{Nanos: -1}}}, codes.InvalidArgument, "time"},
		{"no subscription", toSnapshot(testSub+"x", testSnapshot), codes.NotFound, testSub + "x"},
		{"no snapshot", toSnapshot(testSub, otherSnapshot), codes.NotFound, otherSnapshot},
		{"of another topic", toSnapshot(otherSub, testSnapshot), codes.InvalidArgument, testTopic},
		{"detached", toSnapshot(detached, testSnapshot), codes.FailedPrecondition, "detached"},
	} {
		_, err := subs.Seek(ctx, tt.req)
		wantCode(t, err, tt.code, tt.part)
	}

	// A topic of the same name is not the same topic.
	if err := c.TopicAdminClient.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: testTopic}); err != nil {
		t.Fatal(err)
	}
	again := testSub + "-again"
	if _, err := c.TopicAdminClient.CreateTopic(ctx, &pb.Topic{Name: testTopic}); err != nil {
		t.Fatal(err)
	}
	if _, err := subs.CreateSubscription(ctx, &pb.Subscription{Name: again, Topic: testTopic}); err != nil {
		t.Fatal(err)
	}
	_, err = subs.Seek(ctx, toSnapshot(again, testSnapshot))
	wantCode(t, err, codes.InvalidArgument, deletedTopic)
}
