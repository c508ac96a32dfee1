package deploy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

const subscription0 = "projects/kappa-demo/subscriptions/flights-0"

// publish publishes messages to the first subscription's topic.
func (f *fixture) publish(texts ...string) {
	f.Helper()
	req := &pubsubpb.PublishRequest{Topic: "projects/kappa-demo/topics/flights-0"}
	for _, s := range texts {
		req.Messages = append(req.Messages, &pubsubpb.PubsubMessage{Data: []byte(s)})
	}
	if _, err := f.clients.PubSub.TopicAdminClient.Publish(f.Context(), req); err != nil {
		f.Fatal(err)
	}
}

// consume reads messages, as many as are wanted, and acknowledges them, as
// Dataflow does when its own state holds them.
func (f *fixture) consume(want int) []string {
	f.Helper()
	var got []string
	for deadline := time.Now().Add(10 * time.Second); len(got) < want && time.Now().Before(deadline); {
		resp, err := f.clients.PubSub.SubscriptionAdminClient.Pull(f.Context(), &pubsubpb.PullRequest{Subscription: subscription0, MaxMessages: 100})
		if err != nil {
			f.Fatal(err)
		}
		ack := &pubsubpb.AcknowledgeRequest{Subscription: subscription0}
		for _, m := range resp.GetReceivedMessages() {
			got = append(got, string(m.GetMessage().GetData()))
			ack.AckIds = append(ack.AckIds, m.GetAckId())
		}
		if len(ack.AckIds) > 0 {
			if err := f.clients.PubSub.SubscriptionAdminClient.Acknowledge(f.Context(), ack); err != nil {
				f.Fatal(err)
			}
		}
	}
	slices.Sort(got)
	return got
}

// snapshots are the snapshots and the writers that they were taken for.
func (f *fixture) snapshots() map[string]string {
	f.Helper()
	out := map[string]string{}
	it := f.clients.PubSub.SubscriptionAdminClient.ListSnapshots(f.Context(), &pubsubpb.ListSnapshotsRequest{Project: "projects/kappa-demo"})
	for s, err := range it.All() {
		if err != nil {
			f.Fatal(err)
		}
		out[strings.TrimPrefix(s.GetName(), "projects/kappa-demo/snapshots/")] = s.GetLabels()["kappa-job"] + "@" + s.GetLabels()["kappa-generation"]
	}
	return out
}

// What a generation had acknowledged when it died is read again by the next
// one, and by the one after that if that dies as well; what a drained one had
// acknowledged is not. (P5)
func TestSuccessorReadsAgain(t *testing.T) {
	f := start(t, true, nil)
	f.job.Spec.Jobs, f.job.Spec.Sources.Count = 1, 1
	f.publish("before")
	if got := f.consume(1); len(got) != 1 {
		t.Fatalf("consumed %v", got)
	}
	f.publish("waiting")
	id := f.apply().Jobs[0].DataflowID
	f.publish("a", "b")
	want := []string{"a", "b", "waiting"}
	for gen := 1; gen <= 3; gen++ {
		if got := f.consume(len(want)); !slices.Equal(got, want) {
			t.Fatalf("generation %d read %v, want %v", gen, got, want)
		}
		if got, name := f.snapshots()["kappa-flights-0"], fmt.Sprintf("flights-0@%d", gen); got != name {
			t.Errorf("the snapshot is of %s, want %s", got, name)
		}
		f.request(id, pb.JobState_JOB_STATE_CANCELLED)
		f.waitFor(id, pb.JobState_JOB_STATE_CANCELLED)
		f.publish(fmt.Sprint("c", gen))
		want = append(want, fmt.Sprint("c", gen))
		slices.Sort(want)
		id = f.apply().Jobs[0].DataflowID
	}
	f.consume(len(want))
	f.request(id, pb.JobState_JOB_STATE_DRAINED)
	f.waitFor(id, pb.JobState_JOB_STATE_DRAINED)
	f.publish("d")
	id = f.apply().Jobs[0].DataflowID
	if got := f.consume(1); !slices.Equal(got, []string{"d"}) {
		t.Errorf("after a drain: read %v", got)
	}
	f.request(id, pb.JobState_JOB_STATE_CANCELLED)
	f.waitFor(id, pb.JobState_JOB_STATE_CANCELLED)
	f.apply()
	if got := f.consume(1); !slices.Equal(got, []string{"d"}) {
		t.Errorf("a snapshot that was taken before the drain: read %v", got)
	}
}

// A snapshot that is gone stops the launch, until somebody says otherwise.
func TestSnapshotGone(t *testing.T) {
	f := start(t, true, nil)
	f.job.Spec.Jobs, f.job.Spec.Sources.Count = 1, 1
	id := f.apply().Jobs[0].DataflowID
	f.request(id, pb.JobState_JOB_STATE_CANCELLED)
	f.waitFor(id, pb.JobState_JOB_STATE_CANCELLED)
	if err := f.clients.PubSub.SubscriptionAdminClient.DeleteSnapshot(t.Context(), &pubsubpb.DeleteSnapshotRequest{Snapshot: "projects/kappa-demo/snapshots/kappa-flights-0"}); err != nil {
		t.Fatal(err)
	}
	launches := f.jobs.launches
	for range 2 {
		_, err := deploy.Apply(t.Context(), f.config(), nil)
		if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "flights-0@1 had acknowledged cannot be read again") {
			t.Errorf("got %v", err)
		}
	}
	if f.jobs.launches != launches {
		t.Error("it was launched")
	}
	cfg := f.config()
	cfg.WithoutReplay = true
	res, err := deploy.Apply(t.Context(), cfg, nil)
	if err != nil || res.Jobs[0].Generation != 2 || !res.Jobs[0].Launched {
		t.Errorf("without replay: %+v, %v", res, err)
	}
	if got := f.snapshots()["kappa-flights-0"]; got != "flights-0@2" {
		t.Errorf("the snapshot is of %q", got)
	}
}

// Where an archive is kept, nothing is taken.
func TestReplayFromArchive(t *testing.T) {
	f := start(t, true, nil)
	f.job.Spec.Jobs, f.job.Spec.Sources.Count, f.job.Spec.Sources.Replay = 1, 1, jobspecs.ReplayArchive
	id := f.apply().Jobs[0].DataflowID
	f.request(id, pb.JobState_JOB_STATE_CANCELLED)
	f.waitFor(id, pb.JobState_JOB_STATE_CANCELLED)
	var said []string
	if _, err := deploy.Apply(t.Context(), f.config(), func(e deploy.Event) { said = append(said, e.Text) }); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(said, "\n"); !strings.Contains(text, "flights-0@1 is dead: recompute its windows from the archive") {
		t.Errorf("said:\n%s", text)
	}
	if got := f.snapshots(); len(got) != 0 {
		t.Errorf("snapshots %v", got)
	}
}

// After a reshard the new reader of a subscription goes back to what the dead
// one had read, whatever its name.
func TestReplayAfterReshard(t *testing.T) {
	f := start(t, true, nil)
	f.job.Spec.Jobs, f.job.Spec.Sources.Count = 1, 2
	id := f.apply().Jobs[0].DataflowID
	f.request(id, pb.JobState_JOB_STATE_CANCELLED)
	f.waitFor(id, pb.JobState_JOB_STATE_CANCELLED)
	f.job.Spec.Jobs = 2
	f.apply()
	want := map[string]string{"kappa-flights-0": "flights-0@2", "kappa-flights-1": "flights-1@1"}
	if got := f.snapshots(); got["kappa-flights-0"] != want["kappa-flights-0"] || got["kappa-flights-1"] != want["kappa-flights-1"] || len(got) != 2 {
		t.Errorf("snapshots %v, want %v", got, want)
	}
	if gs := f.generations("flights-0"); gs[0].State != tables.StateVoid {
		t.Errorf("history %+v", gs)
	}
}
