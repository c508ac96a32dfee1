package deploy

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kappa-migrate/kappa/internal/tables"
)

const (
	running    = pb.JobState_JOB_STATE_RUNNING
	pending    = pb.JobState_JOB_STATE_PENDING
	draining   = pb.JobState_JOB_STATE_DRAINING
	drained    = pb.JobState_JOB_STATE_DRAINED
	cancelled  = pb.JobState_JOB_STATE_CANCELLED
	cancelling = pb.JobState_JOB_STATE_CANCELLING
	failed     = pb.JobState_JOB_STATE_FAILED
	done       = pb.JobState_JOB_STATE_DONE
	updated    = pb.JobState_JOB_STATE_UPDATED
)

func TestDecide(t *testing.T) {
	row := func(generation int64, state, id string) *tables.Generation {
		return &tables.Generation{
			Job: "flights-0", Generation: generation, Kind: tables.WriterStream, State: state,
			DataflowJobID: bigquery.NullString{StringVal: id, Valid: id != ""},
		}
	}
	runs := func(state pb.JobState, generation int64) *known {
		return &known{id: "id-1", state: state, generation: generation, group: "flights", spec: "aa"}
	}
	for _, c := range []struct {
		name   string
		latest *tables.Generation
		active *known
		last   *known
		want   Action // without Job and Reason
		reason string

		retired bool
		nothing bool // is decided
	}{
		{name: "first launch", want: Action{Kind: Launch, Generation: 1}, reason: "never launched"},
		{name: "runs", latest: row(2, tables.StateOpen, "id-1"), active: runs(running, 2),
			want: Action{Kind: Keep, Generation: 2, DataflowID: "id-1"}, reason: "is RUNNING"},
		{name: "starts", latest: row(2, tables.StateOpen, "id-1"), active: runs(pending, 2),
			want: Action{Kind: Keep, Generation: 2, DataflowID: "id-1"}, reason: "is PENDING"},
		{name: "runs with another spec", latest: row(2, tables.StateOpen, "id-1"),
			active: &known{id: "id-1", state: running, generation: 2, group: "flights", spec: "bb"},
			want:   Action{Kind: Replace, Generation: 3, Drains: &Drains{Generation: 2, DataflowID: "id-1", State: "RUNNING"}}, reason: "with spec bb instead of aa"},
		{name: "starts with another spec", latest: row(2, tables.StateOpen, "id-1"),
			active: &known{id: "id-1", state: pending, generation: 2, group: "flights", spec: "bb"},
			want:   Action{Kind: Replace, Generation: 3, Drains: &Drains{Generation: 2, DataflowID: "id-1", State: "PENDING"}}, reason: "with spec bb instead of aa"},
		{name: "runs with another spec, and its answer was lost", latest: row(2, tables.StateOpen, ""),
			active: &known{id: "id-1", state: running, generation: 2, group: "flights", spec: "bb"},
			want:   Action{Kind: Replace, Generation: 3, Drains: &Drains{Generation: 2, DataflowID: "id-1", State: "RUNNING"}}, reason: "with spec bb instead of aa"},
		{name: "launched, but the answer was lost", latest: row(2, tables.StateOpen, ""), active: runs(running, 2),
			want: Action{Kind: Adopt, Generation: 2, DataflowID: "id-1"}, reason: "answer was lost"},
		{name: "on record, but not launched", latest: row(2, tables.StateOpen, ""),
			want: Action{Kind: Launch, Generation: 2}, reason: "was not launched"},
		{name: "launched, failed, and the answer was lost", latest: row(2, tables.StateOpen, ""), last: runs(failed, 2),
			want: Action{Kind: Launch, Generation: 3, Supersedes: "flights-0@2", Ended: &Ended{Generation: 2, State: "void", DataflowID: "id-1", Why: "its job is FAILED"}}, reason: "is FAILED"},
		{name: "has drained, on record", latest: row(2, tables.StateDrained, "id-1"),
			want: Action{Kind: Launch, Generation: 3}, reason: "has drained"},
		{name: "has drained, not on record", latest: row(2, tables.StateOpen, "id-1"), last: runs(drained, 2),
			want: Action{Kind: Launch, Generation: 3, Ended: &Ended{Generation: 2, State: "drained", DataflowID: "id-1", Why: "its job is DRAINED"}}, reason: "is DRAINED"},
		{name: "is done", latest: row(2, tables.StateOpen, "id-1"), last: runs(done, 2),
			want: Action{Kind: Launch, Generation: 3, Ended: &Ended{Generation: 2, State: "drained", DataflowID: "id-1", Why: "its job is DONE"}}, reason: "is DONE"},
		{name: "failed: void before its successor (P5)", latest: row(2, tables.StateOpen, "id-1"), last: runs(failed, 2),
			want: Action{Kind: Launch, Generation: 3, Supersedes: "flights-0@2", Ended: &Ended{Generation: 2, State: "void", DataflowID: "id-1", Why: "its job is FAILED"}}, reason: "is FAILED"},
		{name: "cancelled: void before its successor (P5)", latest: row(2, tables.StateOpen, "id-1"), last: runs(cancelled, 2),
			want: Action{Kind: Launch, Generation: 3, Supersedes: "flights-0@2", Ended: &Ended{Generation: 2, State: "void", DataflowID: "id-1", Why: "its job is CANCELLED"}}, reason: "is CANCELLED"},
		{name: "void, on record", latest: row(2, tables.StateVoid, "id-1"),
			want: Action{Kind: Launch, Generation: 3, Supersedes: "flights-0@2"}, reason: "is void"},
		{name: "cancelled, on record", latest: row(2, tables.StateCancelled, "id-1"),
			want: Action{Kind: Launch, Generation: 3, Supersedes: "flights-0@2"}, reason: "is cancelled"},

		{name: "drains: resumed", latest: row(2, tables.StateOpen, "id-1"), active: runs(draining, 2),
			want: Action{Kind: Replace, Generation: 3, Drains: &Drains{Generation: 2, DataflowID: "id-1", State: "DRAINING"}}, reason: "is DRAINING"},
		{name: "is being cancelled", latest: row(2, tables.StateOpen, "id-1"), active: runs(cancelling, 2),
			want: Action{Kind: Blocked, Generation: 2, DataflowID: "id-1"}, reason: "is CANCELLING"},
		{name: "drains, but is drained on record", latest: row(2, tables.StateDrained, "id-1"), active: runs(draining, 2),
			want: Action{Kind: Blocked, Generation: 2, DataflowID: "id-1"}, reason: "has as drained"},
		{name: "state of a later version", latest: row(2, tables.StateOpen, "id-1"), active: runs(99, 2),
			want: Action{Kind: Blocked, Generation: 2, DataflowID: "id-1"}, reason: "is 99"},
		{name: "somebody else's job", active: &known{id: "id-1", state: running},
			want: Action{Kind: Blocked, DataflowID: "id-1"}, reason: "was not launched for flights"},
		{name: "another group's job", latest: row(2, tables.StateOpen, "id-1"), active: &known{id: "id-1", state: running, generation: 2, group: "clicks", spec: "aa"},
			want: Action{Kind: Blocked, Generation: 2, DataflowID: "id-1"}, reason: "was not launched for flights"},
		{name: "runs, but the history is empty", active: runs(running, 1),
			want: Action{Kind: Blocked, Generation: 1, DataflowID: "id-1"}, reason: "does not know"},
		{name: "runs ahead of the history", latest: row(1, tables.StateDrained, "id-0"), active: runs(running, 2),
			want: Action{Kind: Blocked, Generation: 2, DataflowID: "id-1"}, reason: "does not know"},
		{name: "runs behind the history", latest: row(3, tables.StateOpen, ""), active: runs(running, 2),
			want: Action{Kind: Blocked, Generation: 2, DataflowID: "id-1"}, reason: "history is at 3"},
		{name: "runs, but is drained on record", latest: row(2, tables.StateDrained, "id-1"), active: runs(running, 2),
			want: Action{Kind: Blocked, Generation: 2, DataflowID: "id-1"}, reason: "has as drained"},
		{name: "runs as another job", latest: row(2, tables.StateOpen, "id-0"), active: runs(running, 2),
			want: Action{Kind: Blocked, Generation: 2, DataflowID: "id-1"}, reason: "has as job id-0"},
		{name: "open, but Dataflow has forgotten it (D3)", latest: row(2, tables.StateOpen, "id-0"),
			want: Action{Kind: Blocked, Generation: 2, DataflowID: "id-0"}, reason: "no longer knows"},
		{name: "updated, but the successor is gone", latest: row(2, tables.StateOpen, "id-1"), last: runs(updated, 2),
			want: Action{Kind: Blocked, Generation: 2, DataflowID: "id-1"}, reason: "is UPDATED"},

		{name: "retired, runs", retired: true, latest: row(2, tables.StateOpen, "id-1"), active: runs(running, 2),
			want: Action{Kind: Retire, Generation: 2, Drains: &Drains{Generation: 2, DataflowID: "id-1", State: "RUNNING"}}, reason: "no such job any more"},
		{name: "retired, drains", retired: true, latest: row(2, tables.StateOpen, "id-1"), active: runs(draining, 2),
			want: Action{Kind: Retire, Generation: 2, Drains: &Drains{Generation: 2, DataflowID: "id-1", State: "DRAINING"}}, reason: "no such job any more"},
		{name: "retired, is being cancelled", retired: true, latest: row(2, tables.StateOpen, "id-1"), active: runs(cancelling, 2),
			want: Action{Kind: Blocked, Generation: 2, DataflowID: "id-1"}, reason: "is CANCELLING"},
		{name: "retired, has drained, on record", retired: true, latest: row(2, tables.StateDrained, "id-1"), nothing: true},
		{name: "retired, void", retired: true, latest: row(2, tables.StateVoid, "id-1"), nothing: true},
		{name: "retired, without a history", retired: true, nothing: true},
		{name: "retired, has drained, not on record", retired: true, latest: row(2, tables.StateOpen, "id-1"), last: runs(drained, 2),
			want: Action{Kind: Retire, Generation: 2, Ended: &Ended{Generation: 2, State: "drained", DataflowID: "id-1", Why: "its job is DRAINED"}}, reason: "no such job any more"},
		{name: "retired, failed (P5)", retired: true, latest: row(2, tables.StateOpen, "id-1"), last: runs(failed, 2),
			want: Action{Kind: Retire, Generation: 2, Ended: &Ended{Generation: 2, State: "void", DataflowID: "id-1", Why: "its job is FAILED"}}, reason: "is FAILED"},
		{name: "retired, on record, but not launched", retired: true, latest: row(2, tables.StateOpen, ""),
			want: Action{Kind: Retire, Generation: 2, Ended: &Ended{Generation: 2, State: "void", Why: "it was not launched"}}, reason: "was not launched"},
		{name: "retired, open, but Dataflow has forgotten it (D3)", retired: true, latest: row(2, tables.StateOpen, "id-0"),
			want: Action{Kind: Blocked, Generation: 2, DataflowID: "id-0"}, reason: "no longer knows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := decide(observed{group: "flights", job: "flights-0", spec: "aa", retired: c.retired, latest: c.latest, active: c.active, last: c.last})
			if ok == c.nothing {
				t.Fatalf("decided %v", ok)
			}
			if c.nothing {
				return
			}
			if got.Job != "flights-0" || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("job %q, reason %q, want one with %q", got.Job, got.Reason, c.reason)
			}
			got.Job, got.Reason = "", ""
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("action (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckSubscription(t *testing.T) {
	for _, c := range []struct {
		name string
		sub  *pubsubpb.Subscription
		want []string // SEVERITY: beginning of the text
	}{
		{"as it should be", &pubsubpb.Subscription{Topic: "projects/p/topics/t", ExpirationPolicy: &pubsubpb.ExpirationPolicy{}}, nil},
		{"default expiration", &pubsubpb.Subscription{ExpirationPolicy: &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(31 * 24 * time.Hour)}}, nil},
		{"topic deleted", &pubsubpb.Subscription{Topic: "_deleted-topic_"}, []string{"error: its topic was deleted"}},
		{"detached", &pubsubpb.Subscription{Detached: true}, []string{"error: is detached"}},
		{"push", &pubsubpb.Subscription{PushConfig: &pubsubpb.PushConfig{PushEndpoint: "https://example.invalid"}}, []string{"error: delivers by push or export"}},
		{"export", &pubsubpb.Subscription{CloudStorageConfig: &pubsubpb.CloudStorageConfig{Bucket: "b"}}, []string{"error: delivers by push or export"}},
		{"filter", &pubsubpb.Subscription{Filter: `attributes.x = "y"`}, []string{`error: has the filter "attributes.x = \"y\""`}},
		{"dead letters", &pubsubpb.Subscription{DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: "t"}}, []string{"warning: has a dead-letter policy"}},
		{"expires soon", &pubsubpb.Subscription{ExpirationPolicy: &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(24 * time.Hour)}}, []string{"warning: expires, with its messages, after 24h0m0s"}},
		{"short deadline", &pubsubpb.Subscription{AckDeadlineSeconds: 10}, []string{"warning: has an acknowledgement deadline of 10 s"}},
		{"long deadline", &pubsubpb.Subscription{AckDeadlineSeconds: 60}, nil},
		{"exactly once", &pubsubpb.Subscription{EnableExactlyOnceDelivery: true}, []string{"warning: has exactly-once delivery"}},
		{"two at once", &pubsubpb.Subscription{Detached: true, Filter: "x"}, []string{"error: is detached", "error: has the filter"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &findings{plan: &Plan{}}
			checkSubscription(f, "subscription flights-0", c.sub)
			if len(f.plan.Problems) != len(c.want) {
				t.Fatalf("found %+v, want %q", f.plan.Problems, c.want)
			}
			for i, p := range f.plan.Problems {
				if !strings.HasPrefix(p.Severity+": "+p.Text, c.want[i]) {
					t.Errorf("found %+v, want %q", p, c.want[i])
				}
			}
		})
	}
}
